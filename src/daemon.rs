//! The broker as a process: binds, starts, says where it is, serves, stops in good order.
//!
//! Guarantees that listeners are bound before the journal is touched, that a broker loop that ends
//! early ends the process with its error, and that SIGTERM or Ctrl-C lose nothing acknowledged.
//! Decides nothing.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic_health::server::HealthReporter;

use crate::broker::{self, Broker, StartError, Started};
use crate::config::Settings;
use crate::grpc::{self, Desk};
use crate::guru_meditation::{Reporter, Warnings};
use crate::journal::JournalError;
use crate::{dashboard, report, tasks};

/// An orderly stop takes no longer.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Why the process ends without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The address is taken, or not ours.
    #[error("can't listen on {address} for {what}: {source}; --{what} or GRIDD_{} chooses another", what.to_uppercase())]
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
    /// The ready file can't be written.
    #[error("can't write the ready file {}: {source}", path.display())]
    ReadyFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended without order; what was acknowledged is durable all the same.
    #[error("{0}: ended at once, what was acknowledged is durable all the same")]
    NoOrderlyStop(&'static str),
    /// Signals can't be heard.
    #[error("can't hear signals: {0}")]
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

/// What a broker tells of itself when something is wrong.
#[derive(Clone, Debug)]
pub struct Telling {
    /// Its reports.
    pub reporter: Reporter,
    /// Its last warnings.
    pub warnings: Warnings,
}

/// Runs until SIGTERM or Ctrl-C. `tell` is called once it serves.
///
/// # Errors
///
/// [`DaemonError`] says what is in the way.
pub async fn run(
    settings: Settings,
    telling: Telling,
    ready_file: Option<&Path>,
    tell: impl FnOnce(&Place),
) -> Result<(), DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    let Telling { reporter, warnings } = telling;
    reporter.watch_runtime(Handle::current());
    report::configure(&reporter, &settings);
    if let Some(path) = ready_file {
        clear_ready_file(path)?;
    }
    let (grpc, grpc_at) = listen("grpc", settings.grpc).await?;
    let (http, http_at) = listen("http", settings.http).await?;

    let started = start_broker(&settings).await?;
    let (stop, stopping) = watch::channel(false);
    report::register(&reporter, &started, &warnings);
    let desk = Desk::new(&started, Some(reporter), stopping.clone());
    let (routes, health) = grpc::routes(desk).await?;
    let pages = dashboard::pages(stopping.clone());
    let serving = [
        tasks::spawn(
            "accept grpc",
            grpc::serve::serve(grpc, routes.into_axum_router(), stopping.clone()),
        ),
        tasks::spawn("accept http", grpc::serve::serve(http, pages, stopping)),
    ];
    let place = Place {
        grpc: grpc_at,
        http: http_at,
        data: std::path::absolute(&settings.journal.dir).unwrap_or(settings.journal.dir),
        term: started.term,
        last_record: started.reader.durable(),
    };
    if let Some(path) = ready_file {
        write_ready_file(path, &place)?;
    }
    tell(&place);

    let Started { broker, mut ended, .. } = started;
    tokio::select! {
        early = &mut ended => return Err(early_end(early)),
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("interrupted: stopping"),
    }
    let stop_in_order = stop_in_order(health, stop, serving, broker, ended);
    tokio::select! {
        stopped = tokio::time::timeout(STOP_WITHIN, stop_in_order) => {
            stopped.unwrap_or(Err(DaemonError::NoOrderlyStop("did not stop within 10 s")))
        }
        _ = terminate.recv() => Err(DaemonError::NoOrderlyStop("was told twice")),
        _ = interrupt.recv() => Err(DaemonError::NoOrderlyStop("was interrupted twice")),
    }
}

async fn stop_in_order(
    health: HealthReporter,
    stop: watch::Sender<bool>,
    serving: [JoinHandle<()>; 2],
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

async fn listen(
    what: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), DaemonError> {
    let failed = |source| DaemonError::Listen { address, what, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn start_broker(settings: &Settings) -> Result<Started, DaemonError> {
    let journal = settings.journal.clone();
    let grid = settings.grid.clone();
    let runtime = Handle::current();
    let starting = tasks::spawn_blocking("start", move || broker::start(&journal, grid, runtime));
    match starting.await {
        Ok(started) => Ok(started?),
        Err(_) => Err(DaemonError::LoopDied),
    }
}

fn early_end(ended: Result<Result<(), JournalError>, oneshot::error::RecvError>) -> DaemonError {
    match ended {
        Ok(Err(error)) => DaemonError::Journal(error),
        Ok(Ok(())) | Err(_) => DaemonError::LoopDied,
    }
}

/// A ready file of the last run says nothing true, and one that can't be written is told before
/// anything is begun.
fn clear_ready_file(path: &Path) -> Result<(), DaemonError> {
    let failed = |source| DaemonError::ReadyFile { path: path.to_owned(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    std::fs::write(path.with_extension("tmp"), "").map_err(failed)
}

fn write_ready_file(path: &Path, place: &Place) -> Result<(), DaemonError> {
    let failed = |source| DaemonError::ReadyFile { path: path.to_owned(), source };
    let ready = serde_json::json!({
        "grpc": place.grpc.to_string(),
        "http": place.http.to_string(),
        "data": place.data.display().to_string(),
        "pid": std::process::id(),
    });
    let beside = path.with_extension("tmp");
    std::fs::write(&beside, format!("{ready}\n")).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}
