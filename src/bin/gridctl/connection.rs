//! The connection to the broker, with the administrator's login.
//!
//! Guarantees that each request names its administrator, and that a unary call times out after a
//! minute. Does not know the requests.

use std::time::Duration;

use tonic::metadata::Ascii;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

use grid_broker::client::{self, ADMINISTRATOR_METADATA, ClientError};
use grid_broker::contract::proto::alert_service_client::AlertServiceClient;
use grid_broker::contract::proto::appliance_service_client::ApplianceServiceClient;
use grid_broker::contract::proto::broker_service_client::BrokerServiceClient;
use grid_broker::contract::proto::grid_log_service_client::GridLogServiceClient;
use grid_broker::contract::proto::journal_service_client::JournalServiceClient;
use grid_broker::contract::proto::mail_service_client::MailServiceClient;

/// Timeout of a unary call: a text search reads the whole grid log.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest reply that is accepted: a page of 1,000 records, each with its event, texts of 4 KiB.
const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A connection to a broker.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// The address of the broker, as typed.
    pub(crate) address: String,
    channel: Channel,
    administrator: Option<MetadataValue<Ascii>>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn connect(address: &str, login: Option<&str>) -> Result<Self, ClientError> {
        let channel = client::connect(address).await?;
        let administrator = login.and_then(|login| login.parse().ok());
        Ok(Self { address: address.to_owned(), channel, administrator })
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
    pub(crate) fn grid_log(&self) -> GridLogServiceClient<Channel> {
        GridLogServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the appliance service.
    pub(crate) fn appliances(&self) -> ApplianceServiceClient<Channel> {
        ApplianceServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the alert service.
    pub(crate) fn alerts(&self) -> AlertServiceClient<Channel> {
        AlertServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the mail service.
    pub(crate) fn mails(&self) -> MailServiceClient<Channel> {
        MailServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The client of the journal service.
    pub(crate) fn journal(&self) -> JournalServiceClient<Channel> {
        JournalServiceClient::new(self.channel.clone())
    }

    /// The client of the broker service.
    pub(crate) fn broker_service(&self) -> BrokerServiceClient<Channel> {
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
