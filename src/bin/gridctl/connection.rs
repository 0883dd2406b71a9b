//! The connection to the broker, with the administrator's login.
//!
//! Guarantees that each request names its administrator, or has the credential, and that a unary call times out after a
//! minute. Does not know the requests.

use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::metadata::Ascii;
use tonic::metadata::MetadataValue;

use grid_broker::client::{ADMINISTRATOR_METADATA, BrokerChannel};
use grid_broker::contract::proto::ExportRecordsRequest;
use grid_broker::contract::proto::alert_service_client::AlertServiceClient;
use grid_broker::contract::proto::appliance_service_client::ApplianceServiceClient;
use grid_broker::contract::proto::broker_service_client::BrokerServiceClient;
use grid_broker::contract::proto::crash_dump_service_client::CrashDumpServiceClient;
use grid_broker::contract::proto::grid_log_service_client::GridLogServiceClient;
use grid_broker::contract::proto::identity_service_client::IdentityServiceClient;
use grid_broker::contract::proto::journal_service_client::JournalServiceClient;
use grid_broker::contract::proto::mail_service_client::MailServiceClient;

use crate::access::BrokerAccess;
use crate::error::CliError;
use crate::log::ExportPart;

/// Timeout of a unary call: a text search reads the whole grid log.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest reply that is accepted: a page of 1,000 records, each with its event, texts of 4 KiB.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The method of exports.
const EXPORT_PATH: &str = "/grid.events.v1.GridLogService/ExportRecords";

/// A connection to a broker.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The address of the broker, as typed.
    pub(crate) address: String,
    channel: BrokerChannel,
    administrator: Option<MetadataValue<Ascii>>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// If the address is invalid, no broker answers there, or it is another one than expected.
    pub(crate) async fn connect(access: &BrokerAccess) -> Result<Self, CliError> {
        let channel = access.options()?.connect().await?;
        // With a credential, the broker knows who calls.
        let login = access.login.as_deref().filter(|_| access.credential.is_none());
        let administrator = login.and_then(|login| login.parse().ok());
        Ok(Self { address: access.address.clone(), channel, administrator })
    }

    /// Makes the request of a unary call.
    pub(crate) fn unary<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = self.streaming(message);
        request.set_timeout(REPLY_TIMEOUT);
        request
    }

    /// Makes the request of a call that streams its replies.
    pub(crate) fn streaming<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(administrator) = &self.administrator {
            request.metadata_mut().insert(ADMINISTRATOR_METADATA, administrator.clone());
        }
        request
    }

    /// The client of the grid log service.
    pub(crate) fn grid_log(&self) -> GridLogServiceClient<BrokerChannel> {
        GridLogServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// Calls `ExportRecords`, whose records stay undecoded: the generated client decodes them one by one.
    pub(crate) async fn export(
        &self,
        request: ExportRecordsRequest,
    ) -> Result<tonic::Streaming<ExportPart>, tonic::Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(REPLY_BYTES_MAX);
        client.ready().await.map_err(tonic::Status::from_error)?;
        let path = PathAndQuery::from_static(EXPORT_PATH);
        let codec = tonic_prost::ProstCodec::default();
        let reply = client.server_streaming(self.streaming(request), path, codec).await?;
        Ok(reply.into_inner())
    }

    /// The client of the appliance service.
    pub(crate) fn appliances(&self) -> ApplianceServiceClient<BrokerChannel> {
        ApplianceServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the alert service.
    pub(crate) fn alerts(&self) -> AlertServiceClient<BrokerChannel> {
        AlertServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the crash dump service.
    pub(crate) fn crash_dumps(&self) -> CrashDumpServiceClient<BrokerChannel> {
        CrashDumpServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the mail service.
    pub(crate) fn mails(&self) -> MailServiceClient<BrokerChannel> {
        MailServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the journal service.
    pub(crate) fn journal(&self) -> JournalServiceClient<BrokerChannel> {
        JournalServiceClient::new(self.channel.clone())
    }

    /// The client of the identity service.
    pub(crate) fn identity(&self) -> IdentityServiceClient<BrokerChannel> {
        IdentityServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the broker service.
    pub(crate) fn broker_service(&self) -> BrokerServiceClient<BrokerChannel> {
        BrokerServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }
}

/// The login name, if gRPC metadata can carry it: visible ASCII only.
pub(crate) fn login_name() -> Option<String> {
    ["USER", "LOGNAME"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|login| !login.is_empty() && login.bytes().all(|byte| byte.is_ascii_graphic()))
}
