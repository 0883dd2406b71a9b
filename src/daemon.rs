//! Runs the broker as a process: binds, starts, announces its endpoints, serves, shuts down.
//!
//! Guarantees that listeners are bound before the journal is touched, that a broker loop that ends
//! early ends the process with its error, and that SIGTERM and Ctrl-C lose nothing acknowledged.
//! Contains no rules of the grid.

mod acknowledging;
mod endpoints;
mod identity;
mod listeners;
mod mail;
mod reload;
mod routes;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tonic_health::server::HealthReporter;

use crate::broker::{self, BrokerHandle, BrokerStartError, Started};
use crate::config::Settings;
use crate::crash_dump::CrashDumps;
use crate::crash_dump::agents::Agents;
use crate::grpc::{self, Services};
use crate::guru_meditation::{Reporter, Warnings};
use crate::identity::ack_link::AckKeyError;
use crate::identity::authenticator::Authenticator;
use crate::identity::server_tls::TlsError;
use crate::journal::{self, Journal, JournalError, JournalReader};
use crate::mail::MailOrigin;
use crate::ready_file::{ReadyFile, ReadyFileError};
use crate::service_manager::ServiceManager;
use crate::system_error::Explained;
use crate::{diagnostic_sections, listener, tasks};

use self::endpoints::endpoints_of;
use self::listeners::Listeners;
use self::reload::ReloadContext;
use self::routes::{grpc_routes, page_routes, serve_pages};
use self::tls::DaemonIdentity;

pub use endpoints::Endpoints;
pub use identity::{FirstAdministrator, FirstAdministratorError};
pub use reload::Reload;

/// Timeout of a shutdown; with the last lines of tracing and the end of the process it stays within
/// 10 s.
const STOP_WITHIN: Duration = Duration::from_millis(9_300);

/// Within this time a loop that ended closes its journal and returns its error.
const LOOP_ERROR_WITHIN: Duration = Duration::from_secs(5);

/// Why the process ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The address is in use, or not one of this host.
    #[error(
        "can't listen on {address} for {what}: {}; --{what} or GRIDD_{} chooses another",
        Explained(source),
        what.to_uppercase()
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// `grpc` or `http`.
        what: &'static str,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The broker failed to start.
    #[error(transparent)]
    Start(#[from] BrokerStartError),
    /// The first administrator could not be created.
    #[error(transparent)]
    FirstAdministrator(#[from] FirstAdministratorError),
    /// The journal failed at run time.
    #[error("the journal failed, so no event can be acknowledged any more: {0}")]
    Journal(#[from] JournalError),
    /// The key of links in mails cannot be used.
    #[error(transparent)]
    AckKey(#[from] AckKeyError),
    /// The broker loop panicked.
    #[error("the broker loop ended early; see the lines above")]
    LoopDied,
    /// The mail sender panicked.
    #[error("the mail sender ended early; see the lines above")]
    MailSenderDied,
    /// The ready file cannot be written.
    #[error(transparent)]
    ReadyFile(#[from] ReadyFileError),
    /// The shutdown was not orderly; everything acknowledged is durable all the same.
    #[error("{0}: ended at once; everything acknowledged is durable all the same")]
    UncleanShutdown(&'static str),
    /// Signal handlers cannot be installed.
    #[error("cannot install signal handlers: {}", Explained(.0))]
    Signals(std::io::Error),
    /// TLS or the broker's CA cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The gRPC services cannot be built: the build is broken.
    #[error("cannot build the gRPC services: {0}")]
    Services(#[from] tonic_reflection::server::Error),
}

/// What a start is told besides the settings.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    /// The file to write once the broker serves.
    pub ready_file: Option<PathBuf>,
    /// Whether another CA may be made although keys are enrolled.
    pub new_ca: bool,
}

/// Diagnostics of the process.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// Writes Guru Meditation Reports.
    pub reporter: Reporter,
    /// The last warnings.
    pub warnings: Warnings,
}

/// Runs until SIGTERM or Ctrl-C; reloads the settings on SIGHUP. Calls `announce` once it serves.
///
/// # Errors
///
/// [`DaemonError`] says why it cannot start or why it ended.
pub async fn run(
    settings: Settings,
    diagnostics: Diagnostics,
    reload: Reload,
    start: StartOptions,
    announce: impl FnOnce(&Endpoints),
) -> Result<(), DaemonError> {
    let mut signals = ShutdownSignals::install()?;
    let Diagnostics { reporter, warnings } = diagnostics;
    reporter.watch_runtime(Handle::current());
    let (settings_sender, effective) = watch::channel(settings.clone());
    diagnostic_sections::configure(&reporter, &settings, effective.clone());
    let hangups = signal(SignalKind::hangup()).map_err(DaemonError::Signals)?;
    settings.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    // Before anything is written, including a ready file in the data folder.
    Journal::refuse_foreign_files(&settings.journal).map_err(BrokerStartError::Journal)?;
    let manager = ServiceManager::from_environment();
    let ready_file = start.ready_file.as_deref().map(ReadyFile::prepare).transpose()?;
    let configs = mail::SenderConfigs::watch(effective);
    let Listeners { grpc: (grpc, mut grpc_rules), http: (http, http_rules) } =
        listeners::bind(&settings).await?;
    let (grpc_at, http_at) = (http_rules.other_address, grpc_rules.other_address);

    let (stop, stopping) = watch::channel(false);
    let (page_sources, pages) =
        page_routes(&settings, http_rules.metrics.clone(), stopping.clone());
    // Pages are served while the journal is still being read: alive, but not ready.
    let (page_tls, pages) = serve_pages(&settings, (http, http_rules), pages, stopping.clone());
    let Some(started) = start_unless_stopped(&settings, &manager, &mut signals).await? else {
        return Ok(());
    };
    let (authenticator, identity, first_administrator) =
        start_identity(&settings, &started, [grpc_at, http_at], start.new_ca).await?;
    grpc_rules.tls = identity.listener_tls(settings.grpc_has_tls(), &authenticator);
    // Pages that have no TLS do not wait for it.
    let _ = page_tls.send(identity.listener_tls(settings.http_has_tls(), &authenticator));
    let crash_dumps = start_crash_dumps(&started);
    let (ack_key, ack_page) = acknowledging::links(&settings, &started.broker)?;
    page_sources.publish(&started, crash_dumps.clone(), authenticator.clone(), ack_page);
    diagnostic_sections::register(&reporter, &started, &warnings);
    let journal = started.identity.journal;
    let services = Services::new(&started, Some(reporter), stopping.clone())
        .with_crash_dumps(crash_dumps)
        .with_benchmark(settings.benchmark)
        .with_mail_test(mail::mail_test(&configs.smtp, journal, &started.broker))
        .with_identity(authenticator.clone(), identity.authority.clone(), identity.certificates());
    let (routes, health) = grpc_routes(services, authenticator, &started.metrics).await?;
    let events = listener::serve(grpc, routes, grpc_rules, stopping.clone());
    let events = tasks::spawn("accept grpc", events);
    let endpoints = endpoints_of(&settings, (grpc_at, http_at), &started, &identity);
    let endpoints = Endpoints { first_administrator, ..endpoints };
    if let Some(file) = &ready_file {
        file.write(&endpoints.to_json())?;
    }
    announce(&endpoints);
    let status = endpoints.status();
    manager.ready(status.clone());
    manager.ping_watchdog(started.broker.clone());
    let context = ReloadContext {
        sighup: hangups,
        stopping: stopping.clone(),
        manager: manager.clone(),
        status,
        tls: identity.tls,
    };
    spawn_background(context, reload, settings_sender, &started);

    let Started { broker, mut ended, mail_jobs, .. } = started;
    let [mut mail_sender, delivery_reports] =
        mail::start(MailOrigin { journal, ack_key }, configs, mail_jobs, broker.clone(), stopping);
    tokio::select! {
        early = &mut ended => return Err(early_end(early)),
        _ = &mut mail_sender => return Err(mail_sender_ended(&mut ended).await),
        signal = signals.next() => tracing::info!("{signal}: stopping"),
    }
    manager.stopping();
    // The ready file is removed: the broker does not serve any more.
    drop(ready_file);
    let stop_in_order =
        shut_down(health, stop, [events, pages, mail_sender, delivery_reports], broker, ended);
    within_limit(stop_in_order, &mut signals).await
}

/// Waits for an orderly shutdown; not too long, and not if it is asked for a second time.
async fn within_limit(
    stop_in_order: impl Future<Output = Result<(), DaemonError>>,
    signals: &mut ShutdownSignals,
) -> Result<(), DaemonError> {
    tokio::select! {
        stopped = tokio::time::timeout(STOP_WITHIN, stop_in_order) => {
            stopped.unwrap_or(Err(DaemonError::UncleanShutdown("did not stop within 9.3 s")))
        }
        _ = signals.next() => Err(DaemonError::UncleanShutdown("was asked to stop a second time")),
    }
}

/// Sets up what knows callers, the CA and TLS if they are needed, and the first administrator.
async fn start_identity(
    settings: &Settings,
    started: &Started,
    listeners: [SocketAddr; 2],
    new_ca: bool,
) -> Result<(Authenticator, DaemonIdentity, Option<FirstAdministrator>), DaemonError> {
    let authenticator = identity::start(started, settings.authentication_mode());
    let needs = tls::AuthorityNeeds {
        journal: started.identity.journal,
        enrolled_keys: authenticator.credentials().read(|it| it.keys().len()),
        may_replace: new_ca,
    };
    let parts = tls::set_up(settings, needs, listeners).await?;
    if let Some(keeper) = &parts.tls {
        drop(tasks::spawn("certificates", keeper.clone().keep_current()));
        let status = keeper.status.subscribe();
        let reporting = tls::report_certificate(status, started.broker.clone());
        drop(tasks::spawn("certificate alert", reporting));
    }
    // The last step: its token is shown only if the start succeeds.
    let data = &settings.journal.dir;
    let first = identity::first_administrator(&authenticator, &started.broker, data).await?;
    Ok((authenticator, parts, first))
}

/// Starts what triggers crash dumps that the broker decides by itself.
fn start_crash_dumps(started: &Started) -> CrashDumps {
    let crash_dumps = CrashDumps::new(started.broker.clone(), Agents::default());
    let due = crash_dumps.clone().run_due(started.due_dumps.clone());
    drop(tasks::spawn("crash dumps", due));
    crash_dumps
}

/// Starts what reloads the settings, what measures the journal, and the heartbeat.
fn spawn_background(
    context: ReloadContext,
    reload: Reload,
    settings: watch::Sender<Settings>,
    started: &Started,
) {
    let (stopping, metrics) = (context.stopping.clone(), started.metrics.clone());
    mail::start_heartbeat(settings.subscribe(), metrics, started.broker.clone(), stopping);
    let reloading = reload::reload_on_sighup(context, reload, settings, started.broker.clone());
    drop(tasks::spawn("reload", reloading));
    drop(tasks::spawn("journal growth", sample_growth(started.reader.clone())));
}

/// Samples how fast the journal grows, as long as the runtime lives.
async fn sample_growth(reader: JournalReader) {
    let mut ticks = tokio::time::interval(journal::SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reader = reader.clone();
        // It walks a folder. If it was cancelled, the whole process is ending.
        let _ = tasks::spawn_blocking("journal growth", move || reader.sample_growth()).await;
    }
}

/// The signals that request a shutdown.
struct ShutdownSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl ShutdownSignals {
    fn install() -> Result<Self, DaemonError> {
        let install = |kind| signal(kind).map_err(DaemonError::Signals);
        let (terminate, interrupt) =
            (install(SignalKind::terminate())?, install(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    /// Waits for the next signal and returns its name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "interrupted",
        }
    }
}

/// Starts the broker; `None` if a signal requested a stop meanwhile. Reading the journal may take
/// long and changes nothing that the next start needs, so it can be interrupted.
async fn start_unless_stopped(
    settings: &Settings,
    manager: &ServiceManager,
    signals: &mut ShutdownSignals,
) -> Result<Option<Started>, DaemonError> {
    let extension = manager.extend_start();
    let started = tokio::select! {
        started = start_broker(settings) => Some(started),
        signal = signals.next() => {
            tracing::info!("{signal}: stopping before the start was complete; no events were accepted");
            manager.stopping();
            None
        }
    };
    if let Some(extension) = extension {
        extension.abort();
    }
    started.transpose()
}

async fn shut_down(
    health: HealthReporter,
    stop: watch::Sender<bool>,
    serving: [JoinHandle<()>; 4],
    broker: BrokerHandle,
    ended: oneshot::Receiver<Result<(), JournalError>>,
) -> Result<(), DaemonError> {
    grpc::announce_shutdown(&health).await;
    // Sessions send GoAway and end; then the loop stops after everything they sent.
    stop.send_replace(true);
    for task in serving {
        let _ = task.await;
    }
    // A loop that has already ended returns its error below.
    let _ = broker.stop().await;
    match ended.await {
        Ok(ended) => ended.map_err(DaemonError::Journal),
        Err(_) => Err(DaemonError::LoopDied),
    }
}

async fn start_broker(settings: &Settings) -> Result<Started, DaemonError> {
    let journal = settings.journal.clone();
    let grid = settings.grid.clone();
    let applied = settings.applied_at_start();
    let runtime = Handle::current();
    let starting =
        tasks::spawn_blocking("start", move || broker::start(&journal, grid, applied, runtime));
    match starting.await {
        Ok(started) => Ok(started?),
        Err(_) => Err(DaemonError::LoopDied),
    }
}

/// A loop that ends also ends the mail sender, and returns its error a moment later.
async fn mail_sender_ended(ended: &mut oneshot::Receiver<Result<(), JournalError>>) -> DaemonError {
    match tokio::time::timeout(LOOP_ERROR_WITHIN, ended).await {
        Ok(early) => early_end(early),
        Err(_) => DaemonError::MailSenderDied,
    }
}

fn early_end(ended: Result<Result<(), JournalError>, oneshot::error::RecvError>) -> DaemonError {
    match ended {
        Ok(Err(error)) => DaemonError::Journal(error),
        Ok(Ok(())) | Err(_) => DaemonError::LoopDied,
    }
}
