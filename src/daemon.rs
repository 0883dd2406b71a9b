//! The broker as a process: binds, starts, says where it is, serves, stops in good order.
//!
//! Guarantees that listeners are bound before the journal is touched, that a broker loop that ends
//! early ends the process with its error, and that SIGTERM or Ctrl-C lose nothing acknowledged.
//! Decides nothing.

mod listeners;
mod mailing;
mod reload;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tonic_health::server::HealthReporter;

use crate::broker::{self, Broker, StartError, Started};
use crate::config::Settings;
use crate::grpc::{self, Desk};
use crate::guru_meditation::{Reporter, Warnings};
use crate::journal::{self, Journal, JournalError, Reader};
use crate::ready_file::{ReadyFile, ReadyFileError};
use crate::service_manager::ServiceManager;
use crate::system_error::Explained;
use crate::{dashboard, listener, report, tasks};

use self::listeners::Listeners;
use self::reload::Hearing;

pub use reload::Reload;

/// An orderly stop takes no longer; with the last lines and the end of the process it stays within
/// 10 s.
const STOP_WITHIN: Duration = Duration::from_millis(9_300);

/// A loop that ended closes its journal within this time, and says why it ended.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(5);

/// Why the process ends without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The address is taken, or not ours.
    #[error(
        "can't listen on {address} for {what}: {}; --{what} or GRIDD_{} chooses another",
        Explained(source),
        what.to_uppercase()
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// `grpc` or `http`.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The broker does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The journal failed while it ran.
    #[error("the journal failed, so nothing more can be promised: {0}")]
    Journal(#[from] JournalError),
    /// The loop panicked.
    #[error("the broker loop ended early; the lines above say why")]
    LoopDied,
    /// The courier panicked.
    #[error("the courier of mails ended early; the lines above say why")]
    CourierDied,
    /// The ready file can't be written.
    #[error(transparent)]
    ReadyFile(#[from] ReadyFileError),
    /// It ended without order; what was acknowledged is durable all the same.
    #[error("{0}: ended at once, what was acknowledged is durable all the same")]
    NoOrderlyStop(&'static str),
    /// Signals can't be heard.
    #[error("can't hear signals: {}", Explained(.0))]
    Signals(std::io::Error),
    /// The build is broken.
    #[error("the services can't be put together: {0}")]
    Services(#[from] tonic_reflection::server::Error),
}

/// Where a broker that serves can be found.
#[derive(Clone, Debug)]
pub struct Place {
    /// gRPC, as really bound.
    pub grpc: SocketAddr,
    /// HTTP, as really bound.
    pub http: SocketAddr,
    /// The data folder, absolute.
    pub data: PathBuf,
    /// The start count.
    pub term: u64,
    /// The newest record.
    pub last_record: u64,
}

impl Place {
    /// What the ready file holds: one object, one line.
    fn to_json(&self) -> String {
        let ready = serde_json::json!({
            "grpc": self.grpc.to_string(),
            "http": self.http.to_string(),
            "data": self.data.display().to_string(),
            "pid": std::process::id(),
            "version": env!("CARGO_PKG_VERSION"),
            "term": self.term,
        });
        format!("{ready}\n")
    }
}

/// What a broker tells of itself when something is wrong.
#[derive(Clone, Debug)]
pub struct Telling {
    /// Its reports.
    pub reporter: Reporter,
    /// Its last warnings.
    pub warnings: Warnings,
}

/// Runs until SIGTERM or Ctrl-C; reads the settings again on SIGHUP. `tell` is called once it serves.
///
/// # Errors
///
/// [`DaemonError`] says what is in the way.
pub async fn run(
    settings: Settings,
    telling: Telling,
    reload: Reload,
    ready_file: Option<&Path>,
    tell: impl FnOnce(&Place),
) -> Result<(), DaemonError> {
    let mut stops = Stops::heard()?;
    let Telling { reporter, warnings } = telling;
    reporter.watch_runtime(Handle::current());
    let (in_force, now_in_force) = watch::channel(settings.clone());
    report::configure(&reporter, &settings, now_in_force.clone());
    let hangups = signal(SignalKind::hangup()).map_err(DaemonError::Signals)?;
    settings.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    // Before anything is written, a ready file within it included.
    Journal::refuse_strangers(&settings.journal).map_err(StartError::Journal)?;
    let manager = ServiceManager::of_environment();
    let ready_file = ready_file.map(ReadyFile::prepare).transpose()?;
    let post = mailing::follow(now_in_force);
    let Listeners { grpc: (grpc, grpc_rules), http: (http, http_rules) } =
        listeners::bind(&settings).await?;
    let (grpc_at, http_at) = (http_rules.other, grpc_rules.other);

    let (stop, stopping) = watch::channel(false);
    let (show_desk, desk) = watch::channel(None);
    let pages = dashboard::pages(desk, http_rules.counted.clone(), stopping.clone());
    // Pages answer while the journal is still being read: alive, and not ready.
    let pages = listener::serve(http, pages, http_rules, stopping.clone());
    let pages = tasks::spawn("accept http", pages);
    let Some(started) = start_unless_stopped(&settings, &manager, &mut stops).await? else {
        return Ok(());
    };
    show_desk.send_replace(Some(dashboard::Desk::new(&started)));
    report::register(&reporter, &started, &warnings);
    let journal = started.identity.journal;
    let mail_test = mailing::test(&post, journal, &started.broker);
    let desk = Desk::new(&started, Some(reporter), stopping.clone()).with_mail_test(mail_test);
    let (routes, health) = grpc::routes(desk).await?;
    let routes = grpc::counted(routes.into_axum_router(), started.metrics.clone());
    let events = listener::serve(grpc, routes, grpc_rules, stopping.clone());
    let events = tasks::spawn("accept grpc", events);
    let place = Place {
        grpc: grpc_at,
        http: http_at,
        data: std::path::absolute(&settings.journal.dir)
            .unwrap_or_else(|_| settings.journal.dir.clone()),
        term: started.term,
        last_record: started.reader.durable(),
    };
    if let Some(file) = &ready_file {
        file.write(&place.to_json())?;
    }
    tell(&place);
    let status = format!("serves on {grpc_at} and http://{http_at}, start {}", place.term);
    manager.ready(status.clone());
    manager.watches(started.broker.clone());
    let hearing = Hearing { hangups, stopping: stopping.clone(), manager: manager.clone(), status };
    let reloading = reload::on_hangups(hearing, reload, in_force, started.broker.clone());
    drop(tasks::spawn("reload", reloading));
    drop(tasks::spawn("journal growth", sample_growth(started.reader.clone())));

    let Started { broker, mut ended, mails, .. } = started;
    let [mut courier, answers] = mailing::start(journal, post, mails, broker.clone(), stopping);
    tokio::select! {
        early = &mut ended => return Err(early_end(early)),
        _ = &mut courier => return Err(courier_ended(&mut ended).await),
        signal = stops.next() => tracing::info!("{signal}: stopping"),
    }
    manager.stopping();
    // It does not serve any more.
    drop(ready_file);
    let stop_in_order =
        stop_in_order(health, stop, [events, pages, courier, answers], broker, ended);
    tokio::select! {
        stopped = tokio::time::timeout(STOP_WITHIN, stop_in_order) => {
            stopped.unwrap_or(Err(DaemonError::NoOrderlyStop("did not stop within 9.3 s")))
        }
        _ = stops.next() => Err(DaemonError::NoOrderlyStop("was told to stop a second time")),
    }
}

/// Samples how fast the journal grows, as long as the runtime lives.
async fn sample_growth(reader: Reader) {
    let mut ticks = tokio::time::interval(journal::SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let reader = reader.clone();
        // It walks a folder. Whoever cut it short has a reason to end everything.
        let _ = tasks::spawn_blocking("journal growth", move || reader.sample_growth()).await;
    }
}

/// The signals that ask for an end.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn heard() -> Result<Self, DaemonError> {
        let hear = |kind| signal(kind).map_err(DaemonError::Signals);
        let (terminate, interrupt) =
            (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt })
    }

    /// The next one, by name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "interrupted",
        }
    }
}

/// The broker, started; or nothing if it was told to stop meanwhile. Reading the journal may take
/// long, changes nothing that the next start would miss, and so can be cut short.
async fn start_unless_stopped(
    settings: &Settings,
    manager: &ServiceManager,
    stops: &mut Stops,
) -> Result<Option<Started>, DaemonError> {
    let telling = manager.starts();
    let started = tokio::select! {
        started = start_broker(settings) => Some(started),
        signal = stops.next() => {
            tracing::info!("{signal}: stopping before the start was done; nothing was taken");
            manager.stopping();
            None
        }
    };
    if let Some(telling) = telling {
        telling.abort();
    }
    started.transpose()
}

async fn stop_in_order(
    health: HealthReporter,
    stop: watch::Sender<bool>,
    serving: [JoinHandle<()>; 4],
    broker: Broker,
    ended: oneshot::Receiver<Result<(), JournalError>>,
) -> Result<(), DaemonError> {
    grpc::tell_stopping(&health).await;
    // Sessions hear it, say GoAway and end; then the loop stops behind all they brought.
    stop.send_replace(true);
    for task in serving {
        let _ = task.await;
    }
    // A loop that has ended already tells why below.
    let _ = broker.stop().await;
    match ended.await {
        Ok(ended) => ended.map_err(DaemonError::Journal),
        Err(_) => Err(DaemonError::LoopDied),
    }
}

async fn start_broker(settings: &Settings) -> Result<Started, DaemonError> {
    let journal = settings.journal.clone();
    let grid = settings.grid.clone();
    let in_force = settings.at_start();
    let runtime = Handle::current();
    let starting =
        tasks::spawn_blocking("start", move || broker::start(&journal, grid, in_force, runtime));
    match starting.await {
        Ok(started) => Ok(started?),
        Err(_) => Err(DaemonError::LoopDied),
    }
}

/// A loop that ends ends the courier, too, and a moment later says why.
async fn courier_ended(ended: &mut oneshot::Receiver<Result<(), JournalError>>) -> DaemonError {
    match tokio::time::timeout(LAST_WORD_WITHIN, ended).await {
        Ok(early) => early_end(early),
        Err(_) => DaemonError::CourierDied,
    }
}

fn early_end(ended: Result<Result<(), JournalError>, oneshot::error::RecvError>) -> DaemonError {
    match ended {
        Ok(Err(error)) => DaemonError::Journal(error),
        Ok(Ok(())) | Err(_) => DaemonError::LoopDied,
    }
}
