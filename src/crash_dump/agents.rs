//! Knows the agents in a session, what each reported of its kernel, and how one is ordered to crash it.
//!
//! ```text
//! driver: crash(target) -> queue of one command -> session: Command -> agent
//! driver: reply         <- link                 <- session: CommandResult
//! ```
//!
//! Guarantees that only a session of the appliance's current boot counts, that what an agent reported is
//! kept with its boot after its session ended, and that nothing here waits for a client that does not
//! read. Does not know records, nor who may trigger what.

mod link;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::contract::proto::CrashDumpReadiness;
use crate::crash_dump::DumpTarget;
use crate::crash_dump::agents::link::CommandDelivery;
use crate::grid::values::id::{ApplianceIndex, BootId, SessionId};
use crate::grid::values::time::Timestamp;

pub use link::{AgentCommand, AgentLink, CommandToSend, RESULT_TEXT_BYTES_MAX};

/// The capability of an agent that may be ordered to crash its appliance.
pub const CRASH_DUMP_CAPABILITY: &str = "crash-dump";

/// Commands that wait for a session to send them.
const COMMANDS_QUEUED_MAX: usize = 1;

/// From this many appliances on it is checked which of them were removed.
const FORGET_FROM: usize = 1_024;

/// What an agent reported of its kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// kernel.unknown_nmi_panic.
    pub unknown_nmi_panic: bool,
    /// kernel.panic_on_unrecovered_nmi.
    pub panic_on_unrecovered_nmi: bool,
    /// kernel.panic_on_io_nmi.
    pub panic_on_io_nmi: bool,
    /// A crash kernel is loaded.
    pub crash_kernel_loaded: bool,
}

impl From<Readiness> for CrashDumpReadiness {
    fn from(readiness: Readiness) -> Self {
        Self {
            unknown_nmi_panic: readiness.unknown_nmi_panic,
            panic_on_unrecovered_nmi: readiness.panic_on_unrecovered_nmi,
            panic_on_io_nmi: readiness.panic_on_io_nmi,
            crash_kernel_loaded: readiness.crash_kernel_loaded,
        }
    }
}

impl From<CrashDumpReadiness> for Readiness {
    fn from(reported: CrashDumpReadiness) -> Self {
        Self {
            unknown_nmi_panic: reported.unknown_nmi_panic,
            panic_on_unrecovered_nmi: reported.panic_on_unrecovered_nmi,
            panic_on_io_nmi: reported.panic_on_io_nmi,
            crash_kernel_loaded: reported.crash_kernel_loaded,
        }
    }
}

/// What a session says of itself when it opens.
#[derive(Clone, Copy, Debug)]
pub struct AgentHello {
    /// Its appliance.
    pub appliance: ApplianceIndex,
    /// Its boot.
    pub boot: BootId,
    /// The session.
    pub session: SessionId,
    /// It is transient: no agent, so it gets no command.
    pub is_transient: bool,
    /// It has the capability [`CRASH_DUMP_CAPABILITY`].
    pub is_permitted: bool,
    /// What it reported of its kernel.
    pub readiness: Option<Readiness>,
    /// Broker time, as its Welcome tells it.
    pub broker_time: Timestamp,
}

/// Why an appliance cannot be crashed by its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentMissing {
    /// No agent of its current boot is in a session.
    #[error(
        "no agent of its current boot has a session; start `vme agent --allow-crash-dump` on the \
         appliance"
    )]
    NoSession,
    /// The agents that are in a session may not.
    #[error(
        "its agent may not crash it; start it with `vme agent --allow-crash-dump` as root, and outside \
         a container"
    )]
    NotPermitted,
}

/// Why an agent did not crash its appliance, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct AgentFailure {
    /// Why, as a sentence without a period. May quote the agent: hostile until escaped.
    pub why: String,
    /// The order was sent, and it is unknown what the agent did.
    pub is_unknown: bool,
}

/// The agents. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Agents {
    known: Arc<Mutex<KnownAgents>>,
}

#[derive(Debug, Default)]
struct KnownAgents {
    /// Of each appliance its sessions, the newest last.
    sessions: BTreeMap<(ApplianceIndex, SessionId), AgentSession>,
    /// What was reported last, also by sessions that have ended.
    reported: BTreeMap<ApplianceIndex, ReadinessReport>,
    /// How many there were after removed appliances were forgotten.
    reported_count: usize,
}

#[derive(Debug)]
struct AgentSession {
    boot: BootId,
    readiness: Option<Readiness>,
    /// `None`: it may not crash its appliance.
    commands: Option<mpsc::Sender<AgentCommand>>,
}

#[derive(Clone, Copy, Debug)]
struct ReadinessReport {
    boot: BootId,
    session: SessionId,
    readiness: Readiness,
}

impl Agents {
    /// A session opens. It belongs to the agents until the link is dropped.
    pub fn join(&self, hello: AgentHello) -> AgentLink {
        let AgentHello { appliance, boot, session, is_transient, is_permitted, readiness, .. } =
            hello;
        // Most agents may not crash their appliance, and a channel has memory from its start.
        let gets_commands = is_permitted && !is_transient;
        let (sender, receiver) = gets_commands.then(|| mpsc::channel(COMMANDS_QUEUED_MAX)).unzip();
        let mut known = self.lock();
        if !is_transient {
            let live = AgentSession { boot, readiness, commands: sender };
            known.sessions.insert((appliance, session), live);
        }
        if let Some(readiness) = readiness {
            known.note(appliance, ReadinessReport { boot, session, readiness });
        }
        drop(known);
        AgentLink::new(self.clone(), &hello, receiver)
    }

    /// What an agent of that appliance reported in that boot.
    pub fn readiness(&self, number: ApplianceIndex, boot: Option<BootId>) -> Option<Readiness> {
        let known = self.lock();
        let live = known.sessions_of(number).filter(|it| Some(it.boot) == boot);
        let live = live.filter_map(|it| it.readiness).last();
        let reported = || known.reported.get(&number).filter(|it| Some(it.boot) == boot);
        live.or_else(|| reported().map(|it| it.readiness))
    }

    /// Whether an agent of the appliance's current boot may be ordered to crash it.
    ///
    /// # Errors
    ///
    /// [`AgentMissing`] says what to do.
    pub fn check(&self, target: &DumpTarget) -> Result<(), AgentMissing> {
        self.commands(target).map(drop)
    }

    /// Tells the agent of the appliance's current boot to crash it, and waits for its answer, which comes
    /// before the crash. Ends before the driver's time limit. Returns what the agent said: hostile
    /// until escaped, at most [`RESULT_TEXT_BYTES_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// Why it did not, or that it is unknown.
    pub async fn crash(&self, target: &DumpTarget) -> Result<String, AgentFailure> {
        let failed = |why: String| AgentFailure { why, is_unknown: false };
        let commands = self.commands(target).map_err(|missing| failed(missing.to_string()))?;
        // Earlier than the service gives up, which knows less.
        let limit = target.settings.timeout.mul_f32(0.9);
        let delivery = CommandDelivery::default();
        let (reply, answer) = oneshot::channel();
        let command = AgentCommand::new(limit, delivery.clone(), reply);
        if commands.try_send(command).is_err() {
            return Err(failed("its agent has another command, or its session ended".to_owned()));
        }
        match tokio::time::timeout(limit, answer).await {
            Ok(Ok(result)) if result.is_done => Ok(result.text),
            Ok(Ok(result)) => Err(failed(format!("its agent refused: {}", result.text))),
            Ok(Err(_)) if delivery.withdraw() => {
                Err(failed("the session of its agent ended before the order was sent".to_owned()))
            }
            Ok(Err(_)) => Err(AgentFailure {
                why: "the order was sent to its agent, and its session ended before it answered"
                    .to_owned(),
                is_unknown: true,
            }),
            Err(_) if delivery.withdraw() => {
                let seconds = limit.as_secs_f32();
                Err(failed(format!("its agent did not read its command within {seconds:.1} s")))
            }
            Err(_) => {
                let seconds = limit.as_secs_f32();
                let why = format!(
                    "the order was sent to its agent, which did not answer within {seconds:.1} s"
                );
                Err(AgentFailure { why, is_unknown: true })
            }
        }
    }

    /// Whether [`Self::forget`] is due: twice as many appliances reported something as were known then.
    pub fn is_forgetting_due(&self) -> bool {
        let known = self.lock();
        known.reported.len() >= FORGET_FROM.max(known.reported_count * 2)
    }

    /// Forgets what appliances reported that do not exist any more.
    pub fn forget(&self, exists: impl Fn(ApplianceIndex) -> bool) {
        let mut known = self.lock();
        known.reported.retain(|number, _| exists(*number));
        known.reported_count = known.reported.len();
    }

    /// The way to the newest session of the current boot that may crash the appliance.
    fn commands(&self, target: &DumpTarget) -> Result<mpsc::Sender<AgentCommand>, AgentMissing> {
        let known = self.lock();
        let of_boot = || known.sessions_of(target.index).filter(|it| Some(it.boot) == target.boot);
        match of_boot().filter_map(|it| it.commands.clone()).last() {
            Some(commands) => Ok(commands),
            None if of_boot().next().is_some() => Err(AgentMissing::NotPermitted),
            None => Err(AgentMissing::NoSession),
        }
    }

    fn set_readiness(
        &self,
        (appliance, session): (ApplianceIndex, SessionId),
        boot: BootId,
        readiness: Readiness,
    ) {
        let mut known = self.lock();
        if let Some(live) = known.sessions.get_mut(&(appliance, session)) {
            live.readiness = Some(readiness);
        }
        known.note(appliance, ReadinessReport { boot, session, readiness });
    }

    fn leave(&self, key: (ApplianceIndex, SessionId)) {
        self.lock().sessions.remove(&key);
    }

    fn lock(&self) -> MutexGuard<'_, KnownAgents> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownAgents {
    fn sessions_of(&self, number: ApplianceIndex) -> impl Iterator<Item = &AgentSession> {
        let all = (number, SessionId(0))..=(number, SessionId(u64::MAX));
        self.sessions.range(all).map(|(_, session)| session)
    }

    /// A session of an older boot does not replace what a newer one reported.
    fn note(&mut self, appliance: ApplianceIndex, reported: ReadinessReport) {
        let is_older = |before: &&mut ReadinessReport| reported.session < before.session;
        match self.reported.get_mut(&appliance).filter(is_older) {
            Some(newer) if newer.boot != reported.boot => {}
            Some(_) | None => {
                self.reported.insert(appliance, reported);
            }
        }
    }
}
