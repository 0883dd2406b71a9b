//! Implements the services of the contract, one file each.
//!
//! Guarantees that every handler knows the principal it serves, and that every rejection is a status
//! with its field, its reason and what to do. Decides nothing: it validates, asks the broker and
//! encodes the reply.

mod alerts;
mod appliance_changes;
mod appliance_watch;
mod appliances;
mod authorization;
mod batch;
mod broker_status;
mod call_metrics;
mod content_filter;
mod crash_dumps;
mod encoded_body;
mod events;
mod explain;
mod export;
mod filter;
mod grid_log;
mod hello;
mod identity;
mod journal;
mod mail;
mod page;
mod panic_guard;
mod principal;
mod read_ahead;
mod revocation;
mod search;
mod session;
mod status;
mod stream_sender;
mod suppression_notice;
mod tail;
mod text_search;
mod unacknowledged;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::broker::{BrokerHandle, Started, Unavailable};
use crate::contract::event_server::event_service_server::EventServiceServer;
use crate::contract::proto::Outcome;
use crate::contract::servers::alert_service_server::AlertServiceServer;
use crate::contract::servers::appliance_service_server::ApplianceServiceServer;
use crate::contract::servers::broker_service_server::BrokerServiceServer;
use crate::contract::servers::crash_dump_service_server::CrashDumpServiceServer;
use crate::contract::servers::grid_log_service_server::GridLogServiceServer;
use crate::contract::servers::identity_service_server::IdentityServiceServer;
use crate::contract::servers::journal_service_server::JournalServiceServer;
use crate::contract::servers::mail_service_server::MailServiceServer;
use crate::crash_dump::CrashDumps;
use crate::crash_dump::agents::Agents;
use crate::grid::log::identity::SecurityIncident;
use crate::grid::values::identity::KeyHash;
use crate::grid::values::time::Timestamp;
use crate::grpc::appliance_changes::ApplianceChanges;
use crate::grpc::encoded_body::WithEncodedBodies;
use crate::grpc::tail::SharedTails;
use crate::guru_meditation::Reporter;
use crate::identity::authenticator::{AuthenticationMode, Authenticator};
use crate::identity::ca::CertificateAuthority;
use crate::identity::server_tls::TlsConfigs;
use crate::journal::{Identity, JournalReader};
use crate::metrics::{Label, Metrics};

pub use crate::grpc::authorization::authorize_calls;
pub use crate::grpc::call_metrics::count_calls;
pub use mail::{MailTest, TestTranscript};

/// Largest accepted message, in bytes: larger than an event may be, so that an event that is too large
/// is rejected by name and the stream continues.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Largest accepted message about credentials, in bytes: strangers send them.
const IDENTITY_BYTES_MAX: usize = 16 << 10;

/// How long watchers of health have to read the last status.
const HEALTH_FLUSH_PAUSE: Duration = Duration::from_millis(50);

/// The state shared by all services.
#[derive(Clone, Debug)]
pub struct Services {
    broker: BrokerHandle,
    reader: JournalReader,
    identity: Identity,
    term: u64,
    started_at: Timestamp,
    next_session_id: Arc<AtomicU64>,
    metrics: Metrics,
    /// `None` in tests.
    reporter: Option<Reporter>,
    mail_test: Option<MailTest>,
    /// `None` in tests.
    authenticator: Option<Authenticator>,
    /// The own CA; `None`: without TLS, or with the operator's CA.
    authority: Option<Arc<CertificateAuthority>>,
    crash_dumps: CrashDumps,
    tails: Arc<SharedTails>,
    appliance_changes: Arc<ApplianceChanges>,
    /// The certificates that the listener shows; `None`: without TLS.
    certificates: Option<watch::Receiver<Arc<TlsConfigs>>>,
    /// Load tests may use this broker.
    is_benchmark: bool,
    stopping: watch::Receiver<bool>,
}

impl Services {
    /// The services of a started broker; `stopping` becomes true when it stops.
    pub fn new(
        started: &Started,
        reporter: Option<Reporter>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            broker: started.broker.clone(),
            reader: started.reader.clone(),
            identity: started.identity,
            term: started.term,
            started_at: started.at,
            next_session_id: Arc::new(AtomicU64::new(1)),
            metrics: started.metrics.clone(),
            reporter,
            mail_test: None,
            authenticator: None,
            authority: None,
            crash_dumps: CrashDumps::new(started.broker.clone(), Agents::default()),
            tails: Arc::new(SharedTails::new(started.broker.clone())),
            appliance_changes: Arc::new(ApplianceChanges::new()),
            certificates: None,
            is_benchmark: false,
            stopping,
        }
    }

    /// The same with a mail test; `None`: mail is not configured.
    #[must_use]
    pub fn with_mail_test(self, mail_test: Option<MailTest>) -> Self {
        Self { mail_test, ..self }
    }

    /// The same, with whether load tests may use the broker.
    #[must_use]
    pub fn with_benchmark(self, is_benchmark: bool) -> Self {
        Self { is_benchmark, ..self }
    }

    /// The same with crash dumps that other doors trigger, too.
    #[must_use]
    pub fn with_crash_dumps(self, crash_dumps: CrashDumps) -> Self {
        Self { crash_dumps, ..self }
    }

    /// The same with what authenticates callers and issues certificates.
    #[must_use]
    pub fn with_identity(
        self,
        authenticator: Authenticator,
        authority: Option<Arc<CertificateAuthority>>,
        certificates: Option<watch::Receiver<Arc<TlsConfigs>>>,
    ) -> Self {
        Self { authenticator: Some(authenticator), authority, certificates, ..self }
    }

    /// The pin of the certificates that the listener shows now; `None`: without TLS.
    fn pin(&self) -> Option<KeyHash> {
        self.certificates.as_ref().map(|certificates| certificates.borrow().pin)
    }

    /// Records that somebody read something sensitive, where callers are known.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` if that cannot be recorded: then it is not read.
    async fn record_access(&self, by: Box<str>, what: &str) -> Result<(), Status> {
        let mode = self.authenticator.as_ref().map(Authenticator::mode);
        if mode != Some(AuthenticationMode::Required) {
            return Ok(());
        }
        let incident = SecurityIncident::Accessed { by, what: what.into() };
        self.broker.record_access(incident).await.map_err(status::unavailable)
    }

    /// Counts an invalid or unsupported event.
    fn count_invalid(&self, outcome: Outcome) {
        let outcome = Label::without_prefix("OUTCOME_", outcome.as_str_name());
        self.metrics.event(Label("unknown"), outcome);
    }

    /// Rejects a call while the broker stops; the client shall retry.
    fn ensure_not_stopping(&self) -> Result<(), Status> {
        if *self.stopping.borrow() {
            return Err(status::unavailable(Unavailable::Stopping));
        }
        Ok(())
    }
}

/// The services whose health is reported; the empty name is the whole server.
const HEALTH_SERVICES: [&str; 9] = [
    "",
    "grid.events.v1.AlertService",
    "grid.events.v1.ApplianceService",
    "grid.events.v1.BrokerService",
    "grid.events.v1.EventService",
    "grid.events.v1.GridLogService",
    "grid.events.v1.IdentityService",
    "grid.events.v1.JournalService",
    "grid.events.v1.MailService",
];

/// Reports to all health checks that the broker stops, and ends their watches.
pub async fn announce_shutdown(health: &HealthReporter) {
    for service in HEALTH_SERVICES {
        health.set_service_status(service, ServingStatus::NotServing).await;
    }
    // Watchers get the last status before their streams end.
    tokio::time::sleep(HEALTH_FLUSH_PAUSE).await;
    for service in HEALTH_SERVICES {
        let mut health = health.clone();
        health.clear_service_status(service).await;
    }
}

/// Builds the routes of all services, and the reporter of their health.
///
/// # Errors
///
/// When the reflection service rejects the contract's descriptors: a broken build.
pub async fn routes(
    services: Services,
) -> Result<(Routes, HealthReporter), tonic_reflection::server::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    for service in HEALTH_SERVICES {
        health.set_service_status(service, ServingStatus::Serving).await;
    }
    health.set_serving::<JournalServiceServer<Services>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(crate::contract::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let routes = Routes::new(health_service)
        .add_service(reflection)
        .add_service(
            EventServiceServer::new(services.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
        )
        .add_service(WithEncodedBodies(GridLogServiceServer::new(services.clone())))
        .add_service(ApplianceServiceServer::new(services.clone()))
        .add_service(AlertServiceServer::new(services.clone()))
        .add_service(CrashDumpServiceServer::new(services.clone()))
        .add_service(MailServiceServer::new(services.clone()))
        .add_service(
            IdentityServiceServer::new(services.clone())
                .max_decoding_message_size(IDENTITY_BYTES_MAX),
        )
        .add_service(BrokerServiceServer::new(services.clone()))
        .add_service(JournalServiceServer::new(services));
    Ok((routes.prepare(), health))
}
