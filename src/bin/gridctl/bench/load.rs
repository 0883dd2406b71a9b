//! Runs the senders of a load: opens them, starts them at one moment, and stops them at the end.
//!
//! Guarantees that a load ends: senders whose events are not acknowledged are waited for no longer than a
//! minute. Does not know what the figures are used for.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;

use grid_broker::client::BrokerChannel;
use grid_broker::clock::monotonic_now;
use grid_broker::tasks;

use super::plan::LoadPlan;
use super::session::{LoadCounts, LoadSession};
use super::unary;

/// Sessions that are opened at the same time.
const OPENING: usize = 128;

/// How often it is checked whether all events were sent.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// How long events may take to be acknowledged after the last was sent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long sessions may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The senders of a load, ready.
pub(crate) enum Senders {
    /// A session each.
    Sessions(Vec<LoadSession>),
    /// Calls: the connections, calls in progress, and the number of appliances.
    Calls(Vec<BrokerChannel>, u64, u64),
}

/// A load that has run.
pub(crate) struct FinishedLoad {
    /// What all senders counted.
    pub(crate) counts: LoadCounts,
    /// From the start to the last acknowledgement.
    pub(crate) elapsed: Duration,
    /// The sessions, still open.
    sessions: Vec<LoadSession>,
}

/// Opens `count` sessions over these connections.
///
/// # Errors
///
/// The first session that the broker refuses.
pub(crate) async fn open_sessions(
    channels: &[BrokerChannel],
    count: u64,
    plan: &Arc<LoadPlan>,
) -> Result<Vec<LoadSession>, Status> {
    let mut sessions = Vec::new();
    let numbers: Vec<u64> = (1..=count).collect();
    for some in numbers.chunks(OPENING) {
        let opening =
            some.iter().zip(channels.iter().cycle().skip(sessions.len() % channels.len()));
        let opening: Vec<_> = opening
            .map(|(number, channel)| {
                let opened = LoadSession::open(channel.clone(), *number, Arc::clone(plan));
                tasks::spawn("open session", opened)
            })
            .collect();
        for opened in opening {
            sessions.push(unary::joined(opened.await)??);
        }
    }
    Ok(sessions)
}

/// Runs the load for that time, or until all events are sent, or `interrupted` ends.
///
/// # Errors
///
/// If a sender panicked.
pub(crate) async fn run(
    senders: Senders,
    plan: &Arc<LoadPlan>,
    lasts: Duration,
    interrupted: impl Future<Output = ()>,
) -> Result<FinishedLoad, Status> {
    let (stop, stopped) = watch::channel(false);
    let began = monotonic_now();
    let mut running = Vec::new();
    match senders {
        Senders::Sessions(sessions) => {
            for mut session in sessions {
                let stopped = stopped.clone();
                running.push(tasks::spawn("load session", async move {
                    let is_late = tokio::time::timeout(lasts + DRAIN_TIMEOUT, session.run(stopped))
                        .await
                        .is_err();
                    let late = is_late.then(|| {
                        Status::deadline_exceeded("events were not acknowledged within a minute")
                    });
                    (
                        LoadCounts {
                            failures: u64::from(is_late),
                            failure: late,
                            ..Default::default()
                        },
                        Some(session),
                    )
                }));
            }
        }
        Senders::Calls(channels, calls, appliances) => {
            let appliances = Arc::new((AtomicU64::new(0), appliances));
            for (number, channel) in (1..=calls).zip(channels.iter().cycle()) {
                let call = unary::call_until_stopped(
                    channel.clone(),
                    Arc::clone(plan),
                    (number, Arc::clone(&appliances)),
                    stopped.clone(),
                );
                running.push(tasks::spawn("load calls", async move { (call.await, None) }));
            }
        }
    }
    tokio::select! {
        () = tokio::time::sleep(lasts) => {}
        () = used_up(plan) => {}
        () = interrupted => {}
    }
    let _ = stop.send(true);
    let mut finished = FinishedLoad {
        counts: LoadCounts::default(),
        elapsed: Duration::ZERO,
        sessions: Vec::new(),
    };
    for sender in running {
        let (counts, session) = unary::joined(sender.await)?;
        finished.counts.merge(counts);
        if let Some(mut session) = session {
            finished.counts.merge(session.take_counts());
            finished.sessions.push(session);
        }
    }
    let ended = finished.counts.last_ack.unwrap_or_else(monotonic_now);
    finished.elapsed = ended.duration_since(began);
    Ok(finished)
}

async fn used_up(plan: &LoadPlan) {
    while !plan.is_used_up() {
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

impl FinishedLoad {
    /// Ends the sessions.
    pub(crate) async fn close(&mut self) {
        let closing: Vec<_> = self
            .sessions
            .drain(..)
            .map(|session| tasks::spawn("close session", session.close()))
            .collect();
        let all = async {
            for closed in closing {
                // How a session ends does not change the figures.
                let _ = closed.await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, all).await;
    }
}
