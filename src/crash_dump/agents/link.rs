//! Connects a session with those who send commands to its agent.
//!
//! Guarantees that a command is sent at most once and only while somebody waits for its result, that one
//! result answers it, and that late, foreign and further results are ignored. Does not know streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::{AgentHello, Agents, Readiness};
use crate::contract::proto::{CommandResult, CrashDumpReadiness};
use crate::grid::values::id::{ApplianceIndex, BootId, SessionId};
use crate::grid::values::time::Timestamp;

/// Longest text of an agent's result that is kept, in bytes.
pub const RESULT_TEXT_BYTES_MAX: usize = 1_024;

/// How far a command has come: whoever changes it first decides whether it is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct CommandDelivery(Arc<AtomicU8>);

impl CommandDelivery {
    const QUEUED: u8 = 0;
    const SENT: u8 = 1;
    const WITHDRAWN: u8 = 2;

    /// Takes the command back. False: it was sent.
    pub(super) fn withdraw(&self) -> bool {
        self.leave_queue(Self::WITHDRAWN)
    }

    /// The command is about to be sent. False: it was taken back.
    fn begin(&self) -> bool {
        self.leave_queue(Self::SENT)
    }

    fn leave_queue(&self, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.0.compare_exchange(Self::QUEUED, to, success, failure).is_ok()
    }
}

/// A command that waits for a session to send it.
#[derive(Debug)]
pub struct AgentCommand {
    id: Uuid,
    until: Instant,
    delivery: CommandDelivery,
    reply: oneshot::Sender<AgentResult>,
}

impl AgentCommand {
    pub(super) fn new(
        within: Duration,
        delivery: CommandDelivery,
        reply: oneshot::Sender<AgentResult>,
    ) -> Self {
        Self { id: Uuid::new_v4(), until: Instant::now() + within, delivery, reply }
    }
}

/// What an agent answered.
#[derive(Debug)]
pub(super) struct AgentResult {
    pub(super) is_done: bool,
    /// At most [`RESULT_TEXT_BYTES_MAX`] bytes. Hostile until escaped.
    pub(super) text: String,
}

/// A command for the session to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandToSend {
    /// Its id.
    pub id: Uuid,
    /// How long somebody waits for its result. By broker time as the session knows it, which continues
    /// from its Welcome: the broker may have followed the wall clock since.
    pub deadline: Timestamp,
}

/// A session's side.
#[derive(Debug)]
pub struct AgentLink {
    agents: Agents,
    key: (ApplianceIndex, SessionId),
    boot: BootId,
    /// Broker time at the welcome, and when that was.
    welcomed_at: (Timestamp, Instant),
    /// `None`: there will be none.
    commands: Option<mpsc::Receiver<AgentCommand>>,
    /// The command that was sent and has no result.
    pending: Option<(Uuid, oneshot::Sender<AgentResult>)>,
    /// A result arrived, and the agent has no confirmation of it.
    unconfirmed: Option<Uuid>,
}

impl AgentLink {
    pub(super) fn new(
        agents: Agents,
        hello: &AgentHello,
        commands: Option<mpsc::Receiver<AgentCommand>>,
    ) -> Self {
        Self {
            agents,
            key: (hello.appliance, hello.session),
            boot: hello.boot,
            welcomed_at: (hello.broker_time, Instant::now()),
            commands,
            pending: None,
            unconfirmed: None,
        }
    }

    /// The next command. Never returns if there will be none. Cancel-safe.
    pub async fn next_command(&mut self) -> AgentCommand {
        if let Some(commands) = &mut self.commands
            && let Some(command) = commands.recv().await
        {
            return command;
        }
        std::future::pending().await
    }

    /// Call it when there is room to send the command. `None`: nobody waits for it any more.
    pub fn begin(&mut self, command: AgentCommand) -> Option<CommandToSend> {
        let AgentCommand { id, until, delivery, reply } = command;
        if reply.is_closed() || !delivery.begin() {
            return None;
        }
        // Whoever sent an earlier one learns that it has no result.
        self.pending = Some((id, reply));
        let (broker_time, then) = self.welcomed_at;
        let deadline = broker_time.after(until.saturating_duration_since(then));
        Some(CommandToSend { id, deadline })
    }

    /// The agent answered. Only the first result of the last command counts.
    pub fn resolve(&mut self, result: &CommandResult) {
        let Ok(id) = Uuid::try_parse(&result.command_id) else { return };
        let Some((_, reply)) = self.pending.take_if(|(pending, _)| *pending == id) else { return };
        let text = &result.text[..result.text.floor_char_boundary(RESULT_TEXT_BYTES_MAX)];
        let answer = AgentResult { is_done: result.done, text: text.to_owned() };
        // A result that nobody waits for any more is late.
        if reply.send(answer).is_ok() {
            self.unconfirmed = Some(id);
        }
    }

    /// The command whose result arrived since the last call.
    pub fn take_unconfirmed(&mut self) -> Option<Uuid> {
        self.unconfirmed.take()
    }

    /// The agent reported of its kernel.
    pub fn set_readiness(&self, reported: CrashDumpReadiness) {
        self.agents.set_readiness(self.key, self.boot, Readiness::from(reported));
    }
}

impl Drop for AgentLink {
    fn drop(&mut self) {
        self.agents.leave(self.key);
    }
}
