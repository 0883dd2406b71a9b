//! `vme agent`: one small process that sends all events of the appliance.
//!
//! It holds the session with the broker, accepts events from calls of vme on a Unix socket, and
//! sends the spool. Guarantees that it ends only on a signal, or when another agent owns the
//! folder. Does not know the broker's rules.

pub(crate) mod client;
mod protocol;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use grid_broker::contract::proto::Event;
use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{LockGuard, Spool, SpoolError};
use grid_broker::system_error::Explained;
use grid_broker::tasks;
use prost::Message;
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::agent::protocol::{AgentRequest, AgentResponse, AgentUpdate};
use crate::appliance_access::is_same_broker;
use crate::config::ClientConfig;
use crate::crash_dump::CrashDumpConfig;
use crate::crash_dump::session_duty::CrashDumpDuty;
use crate::crash_dump::watch;
use crate::identity::renewal;
use crate::print_line;
use crate::sender::{Backoff, SendQueue, SendRequest, SendUpdate, SpoolSender, StopWhen};

/// Concurrent calls of the agent's own user; further calls find no agent.
const CALLS_OF_OWNER_MAX: usize = 256;

/// Concurrent calls of all other users.
const CALLS_OF_OTHERS_MAX: usize = 64;

/// Events that wait to be appended to the spool.
const REQUESTS_QUEUED_MAX: usize = 256;

/// A call must send its request within this.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// The first and the longest delay between attempts to reach the broker (Sensu).
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(120);

/// The delay before an unreadable spool is read again.
const SPOOL_RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How long the current sender may take to hand over to the agent.
const HANDOVER_WITHIN: Duration = Duration::from_secs(30);

/// How often the locks are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The backoff of long-running processes.
pub(crate) fn long_backoff() -> Backoff {
    Backoff::new(BACKOFF_MIN, BACKOFF_MAX)
}

/// Runs the agent until a signal stops it.
pub(crate) async fn run(config: ClientConfig, crash_dumps: CrashDumpConfig) -> ExitCode {
    if config.boot.any_id().is_none() {
        print_line("this boot has no id; set VME_BOOT_ID to name it");
        return ExitCode::Failed;
    }
    let spool = match config.spool() {
        Ok(spool) => spool,
        Err(error) => {
            print_line(&error.to_string());
            return ExitCode::Failed;
        }
    };
    match acquire_ownership(&spool).await {
        Ok(Ok((_drainer, sender))) => serve(config, crash_dumps, spool, sender).await,
        Ok(Err(other)) => {
            print_line(&format!("{other} already serves {}", spool.folder().display()));
            ExitCode::Refused
        }
        Err(error) => {
            print_line(&error.to_string());
            ExitCode::Failed
        }
    }
}

/// Acquires the drainer lock and the sender lock; a drainer releases them for the agent. The inner
/// error names the process that does not.
async fn acquire_ownership(
    spool: &Spool,
) -> Result<Result<(LockGuard, LockGuard), String>, SpoolError> {
    let (mut has_asked, mut seen) = (false, None);
    let until = tokio::time::Instant::now() + HANDOVER_WITHIN;
    let mut drainer = loop {
        if let Some(lock) = spool.try_lock_drainer()? {
            break lock;
        }
        let note = spool.drainer_note().unwrap_or_default();
        // A process that just acquired the lock has set no note yet: the note is of an earlier
        // owner. So it counts only if it is read twice.
        let is_sure = seen.replace(note.clone()).is_some_and(|before| before == note);
        if is_sure && note.starts_with("agent") || tokio::time::Instant::now() > until {
            return Ok(Err(note));
        }
        if is_sure
            && let Some(pid) = note.strip_prefix("drainer ")
            && let Some(pid) = pid.parse().ok().and_then(Pid::from_raw)
            && !has_asked
        {
            has_asked = kill_process(pid, Signal::TERM).is_ok();
        }
        sleep(POLL_INTERVAL).await;
    };
    // Others read the note when they find the lock held; without it they cannot name the owner.
    let _ = drainer.set_note(&format!("agent {}", getpid()));
    let sender = loop {
        if let Some(lock) = spool.try_lock_sender()? {
            break lock;
        }
        if tokio::time::Instant::now() > until {
            return Ok(Err("a call of vme".to_owned()));
        }
        sleep(POLL_INTERVAL).await;
    };
    Ok(Ok((drainer, sender)))
}

async fn serve(
    config: ClientConfig,
    crash_dumps: CrashDumpConfig,
    spool: Spool,
    lock: LockGuard,
) -> ExitCode {
    let config = Arc::new(config);
    let (requests, taken) = mpsc::channel(REQUESTS_QUEUED_MAX);
    // Before the line that says that it serves: whoever reads that may stop it at once.
    let stopped = stop_signal();
    let path = client::socket_path(&config.state_folder);
    let listener = match bind_socket(&path) {
        Ok(listener) => listener,
        Err(error) => {
            print_line(&format!("cannot listen at {}: {}", path.display(), Explained(&error)));
            return ExitCode::Failed;
        }
    };
    let (appliance, broker) = (&config.target.appliance, &config.target.broker);
    print_line(&format!("agent of {appliance} for the broker at {broker}, at {}", path.display()));
    let duty = CrashDumpDuty::new(&crash_dumps);
    let finds = requests.clone();
    drop(tasks::spawn("accept calls", accept_calls(listener, requests, Arc::clone(&config))));
    let is_lost = tokio::select! {
        () = send_from_spool(&config, &duty, spool.clone(), taken) => false,
        () = stopped => false,
        () = keep_identity_renewed(&config) => false,
        () = watch::keep_looking(&config, &crash_dumps, finds) => false,
        () = ownership_lost(&spool, &lock) => true,
    };
    if is_lost {
        print_line(&format!(
            "{} was replaced by another folder; restart the agent",
            spool.folder().display()
        ));
        return ExitCode::Failed;
    }
    // Later calls find no agent, and send by themselves.
    let _ = std::fs::remove_file(&path);
    print_line("agent stopped; waiting events stay in the spool");
    ExitCode::Done
}

async fn send_from_spool(
    config: &ClientConfig,
    duty: &CrashDumpDuty,
    spool: Spool,
    requests: mpsc::Receiver<SendRequest>,
) {
    let queue = SendQueue::new(spool, Some(requests));
    let mut sender =
        SpoolSender::new(config, queue, StopWhen::Never, long_backoff()).with_crash_dump_duty(duty);
    loop {
        if let Err(error) = sender.run().await {
            print_line(&format!("{error}; next attempt in {} s", SPOOL_RETRY_INTERVAL.as_secs()));
        }
        sleep(SPOOL_RETRY_INTERVAL).await;
    }
}

/// Renews the certificate of this host when it is due. Never returns.
async fn keep_identity_renewed(config: &ClientConfig) {
    match config.target.access.identity_folder() {
        Some(folder) => renewal::keep_renewed(folder).await,
        None => std::future::pending().await,
    }
}

/// Returns when this agent no longer holds the sender lock of the folder at this path.
async fn ownership_lost(spool: &Spool, lock: &LockGuard) {
    while spool.still_owns(lock) {
        sleep(SPOOL_RETRY_INTERVAL).await;
    }
}

/// Binds the socket. The locks guarantee that no other agent runs, so a leftover socket is of a
/// killed agent and is removed.
fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(path)
}

/// Returns at a signal to stop; the handlers are installed at once.
fn stop_signal() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async {
        let (Ok(mut term), Ok(mut int)) = signals else {
            // Without handlers the signals end the process anyway.
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
}

async fn accept_calls(
    listener: UnixListener,
    requests: mpsc::Sender<SendRequest>,
    config: Arc<ClientConfig>,
) {
    // Other users cannot exhaust the permits of the agent's own user, nor keep all of theirs for
    // long.
    let (own, others) = (Semaphore::new(CALLS_OF_OWNER_MAX), Semaphore::new(CALLS_OF_OTHERS_MAX));
    let (own, others) = (Arc::new(own), Arc::new(others));
    let uid = rustix::process::geteuid().as_raw();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let is_own = stream.peer_cred().is_ok_and(|peer| peer.uid() == uid);
                let permits = if is_own { &own } else { &others };
                // Without a permit the connection is closed, and the call sends another way.
                let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { continue };
                let (requests, config) = (requests.clone(), Arc::clone(&config));
                drop(tasks::spawn("call", async move {
                    // A caller that disconnects loses nothing but the reply.
                    let _ = serve_call(stream, requests, &config).await;
                    drop(permit);
                }));
            }
            // No descriptors, for instance: it may succeed in a moment.
            Err(_) => sleep(POLL_INTERVAL).await,
        }
    }
}

/// Serves one call.
async fn serve_call(
    mut stream: UnixStream,
    requests: mpsc::Sender<SendRequest>,
    config: &ClientConfig,
) -> io::Result<()> {
    let request =
        timeout(REQUEST_WITHIN, protocol::read_message::<AgentRequest>(&mut stream)).await;
    let AgentRequest { event, broker, appliance, call } = match request {
        Ok(Ok(Some(request))) => request,
        Ok(Ok(None)) | Err(_) => return Ok(()),
        Ok(Err(error)) => {
            return write_update(&mut stream, AgentUpdate::NotSpooled(error.to_string())).await;
        }
    };
    let target = &config.target;
    let is_other = |requested: &str, own: &str| !requested.is_empty() && requested != own;
    let is_other_broker = !broker.is_empty() && !is_same_broker(&broker, &target.broker);
    if is_other_broker || is_other(&appliance, &target.appliance) {
        let serves = format!("the agent serves {} at broker {}", target.appliance, target.broker);
        return write_update(&mut stream, AgentUpdate::WrongTarget(serves)).await;
    }
    let event = match Event::decode(event) {
        Ok(event) if event.kind.is_some() => event,
        Ok(_) => {
            return write_update(
                &mut stream,
                AgentUpdate::NotSpooled("it is not an event".to_owned()),
            )
            .await;
        }
        Err(error) => {
            return write_update(&mut stream, AgentUpdate::NotSpooled(error.to_string())).await;
        }
    };
    let (sender, mut updates) = mpsc::channel(2);
    if requests.send(SendRequest { event, call, updates: sender }).await.is_err() {
        return Ok(());
    }
    let (mut from, mut to) = stream.split();
    loop {
        let update = tokio::select! {
            update = updates.recv() => update,
            // A call sends nothing more: any input means that it ended.
            _ = tokio::io::AsyncReadExt::read_u8(&mut from) => None,
        };
        let update = match update {
            None => return Ok(()),
            Some(SendUpdate::Spooled(why)) => AgentUpdate::Spooled(why.unwrap_or_default()),
            Some(SendUpdate::NotSpooled(why)) => AgentUpdate::NotSpooled(why),
            Some(SendUpdate::Quarantined(why)) => AgentUpdate::Quarantined(why),
            Some(SendUpdate::Acknowledged(exception)) => AgentUpdate::Acknowledged(
                exception.map(|it| it.encode_to_vec().into()).unwrap_or_default(),
            ),
        };
        protocol::write_message(&mut to, &AgentResponse { update: Some(update) }).await?;
    }
}

async fn write_update(stream: &mut UnixStream, update: AgentUpdate) -> io::Result<()> {
    protocol::write_message(stream, &AgentResponse { update: Some(update) }).await
}
