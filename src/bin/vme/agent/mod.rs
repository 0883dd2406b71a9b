//! `vme agent`: one small process that speaks for the appliance.
//!
//! It holds the session with the broker, takes events from calls of vme by a Unix socket, and sends
//! what is in the spool. Guarantees that it ends only when it is told to, or when another agent has
//! the folder. Does not know the broker's rules.

pub(crate) mod client;
mod wire;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{Held, Spool, SpoolError};
use grid_broker::system_error::Explained;
use grid_broker::tasks;
use grid_broker::wire::proto::Event;
use prost::Message;
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::sender::{Desk, Order, Pauses, Sender, Told, Until};
use crate::speaker::Speaker;
use crate::tell;
use wire::{AgentTold, Ask, Word};

/// Calls of the agent's own user that are served at once; more find no agent.
const CALLS_MAX: usize = 256;

/// The same of all other users.
const CALLS_OF_OTHERS_MAX: usize = 64;

/// Events that wait to be put into the spool.
const ORDERS_WAITING: usize = 256;

/// A call says what it wants within that.
const ASK_WITHIN: Duration = Duration::from_secs(5);

/// The first and the longest pause between tries to reach the broker (Sensu).
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// A spool that can't be read is looked at again after that.
const SPOOL_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How long whoever sends at the moment may take to let the agent do it.
const OTHERS_END_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked whether they did.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The pauses of processes that stay.
pub(crate) fn patient_pauses() -> Pauses {
    Pauses::new(FIRST_PAUSE, LONGEST_PAUSE)
}

/// Runs the agent until it is told to stop.
pub(crate) async fn run(speaker: Speaker) -> ExitCode {
    if speaker.boot.any_id().is_none() {
        tell("this boot has no id; name it by VME_BOOT_ID");
        return ExitCode::Failed;
    }
    let spool = match speaker.spool() {
        Ok(spool) => spool,
        Err(error) => {
            tell(&error.to_string());
            return ExitCode::Failed;
        }
    };
    match take_over(&spool).await {
        Ok(Ok((_drainer, sender))) => serve(speaker, spool, sender).await,
        Ok(Err(other)) => {
            tell(&format!("{other} speaks for {} already", spool.folder().display()));
            ExitCode::Refused
        }
        Err(error) => {
            tell(&error.to_string());
            ExitCode::Failed
        }
    }
}

/// The duty and the right to send; a drainer gives them up for the agent. The error is who does not.
async fn take_over(spool: &Spool) -> Result<Result<(Held, Held), String>, SpoolError> {
    let (mut has_asked, mut seen) = (false, None);
    let until = tokio::time::Instant::now() + OTHERS_END_WITHIN;
    let mut drainer = loop {
        if let Some(held) = spool.try_drainer()? {
            break held;
        }
        let word = spool.drainer().unwrap_or_default();
        // Who holds it for a moment has left no word yet, and then it is of one that has gone.
        let is_sure = seen.replace(word.clone()).is_some_and(|before| before == word);
        if is_sure && word.starts_with("agent") || tokio::time::Instant::now() > until {
            return Ok(Err(word));
        }
        if is_sure
            && let Some(pid) = word.strip_prefix("drainer ")
            && let Some(pid) = pid.parse().ok().and_then(Pid::from_raw)
            && !has_asked
        {
            has_asked = kill_process(pid, Signal::TERM).is_ok();
        }
        sleep(LOOK_EVERY).await;
    };
    // Others look here when they find it held; without the word they only can't say who it is.
    let _ = drainer.leave_word(&format!("agent {}", getpid()));
    let sender = loop {
        if let Some(held) = spool.try_sender()? {
            break held;
        }
        if tokio::time::Instant::now() > until {
            return Ok(Err("a call of vme".to_owned()));
        }
        sleep(LOOK_EVERY).await;
    };
    Ok(Ok((drainer, sender)))
}

async fn serve(speaker: Speaker, spool: Spool, role: Held) -> ExitCode {
    let speaker = Arc::new(speaker);
    let (orders, taken) = mpsc::channel(ORDERS_WAITING);
    let path = client::socket(&speaker.state);
    let listener = match listen(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tell(&format!("can't listen at {}: {}", path.display(), Explained(&error)));
            return ExitCode::Failed;
        }
    };
    let (appliance, broker) = (&speaker.way.appliance, &speaker.way.broker);
    tell(&format!("agent of {appliance} for the broker at {broker}, at {}", path.display()));
    drop(tasks::spawn("accept calls", accept(listener, orders, Arc::clone(&speaker))));
    let is_lost = tokio::select! {
        () = send(&speaker, spool.clone(), taken) => false,
        () = told_to_stop() => false,
        () = lost(&spool, &role) => true,
    };
    if is_lost {
        tell(&format!(
            "{} was made anew by others; an agent has to begin anew",
            spool.folder().display()
        ));
        return ExitCode::Failed;
    }
    // Who comes now finds no agent, and helps itself.
    let _ = std::fs::remove_file(&path);
    tell("agent stopped; what waits stays in the spool");
    ExitCode::Done
}

async fn send(speaker: &Speaker, spool: Spool, orders: mpsc::Receiver<Order>) {
    let desk = Desk::new(spool, Some(orders));
    let mut sender = Sender::new(speaker, desk, Until::Stopped, patient_pauses());
    loop {
        if let Err(error) = sender.run().await {
            tell(&format!("{error}; tried again in {} s", SPOOL_AGAIN_AFTER.as_secs()));
        }
        sleep(SPOOL_AGAIN_AFTER).await;
    }
}

/// Returns when the folder is not the one any more in which this agent has the right to send.
async fn lost(spool: &Spool, role: &Held) {
    while spool.still_has(role) {
        sleep(SPOOL_AGAIN_AFTER).await;
    }
}

/// A socket that a killed agent left is in the way; that there is no other agent is known.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    UnixListener::bind(path)
}

async fn told_to_stop() {
    let (term, int) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut term), Ok(mut int)) = (term, int) else {
        // Without handlers the signals end it all the same.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

async fn accept(listener: UnixListener, orders: mpsc::Sender<Order>, speaker: Arc<Speaker>) {
    // Other users can't take the places of the agent's own, nor all of them for long.
    let (own, others) = (Semaphore::new(CALLS_MAX), Semaphore::new(CALLS_OF_OTHERS_MAX));
    let (own, others) = (Arc::new(own), Arc::new(others));
    let uid = rustix::process::geteuid().as_raw();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let is_own = stream.peer_cred().is_ok_and(|peer| peer.uid() == uid);
                let places = if is_own { &own } else { &others };
                // Who finds no place finds another way: the connection ends.
                let Ok(place) = Arc::clone(places).try_acquire_owned() else { continue };
                let (orders, speaker) = (orders.clone(), Arc::clone(&speaker));
                drop(tasks::spawn("call", async move {
                    // Whoever breaks off has lost nothing but the answer.
                    let _ = answer(stream, orders, &speaker).await;
                    drop(place);
                }));
            }
            // No descriptors, for instance: it may be better in a moment.
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

/// Serves one call.
async fn answer(
    mut stream: UnixStream,
    orders: mpsc::Sender<Order>,
    speaker: &Speaker,
) -> io::Result<()> {
    let asked = timeout(ASK_WITHIN, wire::read::<Ask>(&mut stream)).await;
    let Ask { event, broker, appliance, call } = match asked {
        Ok(Ok(Some(ask))) => ask,
        Ok(Ok(None)) | Err(_) => return Ok(()),
        Ok(Err(error)) => return say(&mut stream, Word::NotSpooled(error.to_string())).await,
    };
    let way = &speaker.way;
    let is_other = |asked: &str, own: &str| !asked.is_empty() && asked != own;
    if is_other(&broker, &way.broker) || is_other(&appliance, &way.appliance) {
        let whose = format!("the agent speaks as {} to {}", way.appliance, way.broker);
        return say(&mut stream, Word::NotMine(whose)).await;
    }
    let event = match Event::decode(event) {
        Ok(event) if event.kind.is_some() => event,
        Ok(_) => return say(&mut stream, Word::NotSpooled("it is no event".to_owned())).await,
        Err(error) => return say(&mut stream, Word::NotSpooled(error.to_string())).await,
    };
    let (told, mut hears) = mpsc::channel(2);
    if orders.send(Order { event, call, told }).await.is_err() {
        return Ok(());
    }
    let (mut from, mut to) = stream.split();
    loop {
        let told = tokio::select! {
            told = hears.recv() => told,
            // A call says nothing more: whatever comes is its end.
            _ = tokio::io::AsyncReadExt::read_u8(&mut from) => None,
        };
        let word = match told {
            None => return Ok(()),
            Some(Told::Spooled(why)) => Word::Spooled(why.unwrap_or_default()),
            Some(Told::Refused(why)) => Word::NotSpooled(why),
            Some(Told::SetAside(why)) => Word::SetAside(why),
            Some(Told::Answered(exception)) => {
                Word::Answered(exception.map(|it| it.encode_to_vec().into()).unwrap_or_default())
            }
        };
        wire::write(&mut to, &AgentTold { word: Some(word) }).await?;
    }
}

async fn say(stream: &mut UnixStream, word: Word) -> io::Result<()> {
    wire::write(stream, &AgentTold { word: Some(word) }).await
}
