//! Sends the spool in order through sessions, for the agent, the drainer and calls.
//!
//! ```text
//! read the spool -> open a session -> send what the window allows -> acks: remove from the spool
//!        ^                                                     |
//!        +-- backoff, doubling -- the session ended, whatever the cause
//! ```
//!
//! Guarantees that an event leaves the spool only after the broker's reply, that an event that
//! ended two sessions is quarantined, and that it runs until its stop condition. A caller other
//! than the drainer must hold the sender lock. Does not know which caller requested what.

mod backoff;
mod in_flight;
mod loss_report;
mod send_queue;
mod session;
mod session_loop;
mod stamp;

use std::time::Duration;

use grid_broker::client::ClientError;
use grid_broker::contract::proto::{AckException, Hello};
use grid_broker::spool::{EventKey, LockGuard, SpoolError, WaitingEvent};
use tonic::{Code, Status};

pub(crate) use crate::sender::backoff::{Backoff, jitter};
pub(crate) use crate::sender::send_queue::{SendQueue, SendRequest, SendUpdate};

use crate::config::ClientConfig;
use crate::crash_dump::session_duty::{CrashDumpDuty, SessionDuty};
use crate::print_line;
use crate::sender::in_flight::{InFlightWindow, PoisonDetector};

/// The revision of the contract that vme implements.
const PROTOCOL_REVISION: u32 = 1;

/// When the sender stops.
#[derive(Debug)]
pub(crate) enum StopWhen {
    /// Never.
    Never,
    /// When nothing waits; then the drainer lock is released.
    Empty(Option<LockGuard>),
    /// When this event has its reply.
    Acked(EventKey),
}

/// Sends the spool until a stop condition.
pub(crate) struct SpoolSender<'a> {
    config: &'a ClientConfig,
    /// Of the agent.
    crash_dump_duty: Option<&'a CrashDumpDuty>,
    queue: SendQueue,
    stop_when: StopWhen,
    backoff: Backoff,
    poison: PoisonDetector,
    /// The address to which the broker redirected the next session.
    redirect: Option<String>,
    /// The awaited reply, once it came; `None` in it: stored.
    awaited_reply: Option<Option<AckException>>,
    /// The last reported error, so that it is reported once.
    reported_error: Option<String>,
}

/// The events of one session: of one appliance and one spool id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BatchKey {
    appliance: String,
    spool_id: u64,
}

impl BatchKey {
    fn matches(&self, waiting: &WaitingEvent) -> bool {
        waiting.key.spool_id == self.spool_id && waiting.appliance == self.appliance
    }
}

/// How a session ended.
struct SessionResult {
    /// The error, unless the session ended as planned.
    error: Option<ClientError>,
    /// How long the broker asks to wait.
    retry_after: Duration,
}

impl<'a> SpoolSender<'a> {
    pub(crate) fn new(
        config: &'a ClientConfig,
        queue: SendQueue,
        stop_when: StopWhen,
        backoff: Backoff,
    ) -> Self {
        Self {
            config,
            crash_dump_duty: None,
            queue,
            stop_when,
            backoff,
            poison: PoisonDetector::default(),
            redirect: None,
            awaited_reply: None,
            reported_error: None,
        }
    }

    /// The same for the agent, whose sessions also serve crash dumps.
    pub(crate) fn with_crash_dump_duty(self, duty: &'a CrashDumpDuty) -> Self {
        Self { crash_dump_duty: Some(duty), ..self }
    }

    /// Sends until the stop condition, or until the folder is gone. The future may be dropped at
    /// any point: events without a reply stay in the spool.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read or written.
    pub(crate) async fn run(&mut self) -> Result<(), SpoolError> {
        loop {
            self.queue.invalidate();
            self.queue.refresh(None)?;
            if self.is_done()? {
                return Ok(());
            }
            let group = self.next_batch()?;
            let lock = self.acquire_sender().await?;
            let SessionResult { error, retry_after } = self.run_session(&group).await?;
            self.queue.is_online = false;
            drop(lock);
            let Some(error) = error else { continue };
            // A call does not wait for another credential; the event waits in the spool.
            if matches!(self.stop_when, StopWhen::Acked(_)) && error.is_about_credential() {
                self.report_error(&error, Duration::ZERO);
                return Ok(());
            }
            let pause = self.backoff.next_delay(retry_after, jitter());
            self.report_error(&error, pause);
            let pause = tokio::time::sleep(pause);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    () = self.queue.poll() => {}
                }
                // The folder of a test, or of an appliance that was removed.
                if !self.queue.spool.exists() {
                    return Ok(());
                }
            }
        }
    }

    /// The awaited reply, if it came.
    pub(crate) fn take_reply(&mut self) -> Option<Option<AckException>> {
        self.awaited_reply.take()
    }

    /// The sender lock for one attempt: a drainer gives way to calls between attempts. Others hold
    /// it.
    async fn acquire_sender(&self) -> Result<Option<LockGuard>, SpoolError> {
        if !matches!(self.stop_when, StopWhen::Empty(_)) {
            return Ok(None);
        }
        loop {
            match self.queue.spool.try_lock_sender() {
                Ok(None) => tokio::time::sleep(crate::drain::OWNER_POLL_INTERVAL).await,
                free => return free,
            }
        }
    }

    /// Why there is no session, if the last attempt failed.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.queue.last_error.as_deref()
    }

    fn is_done(&mut self) -> Result<bool, SpoolError> {
        if !self.queue.spool.exists() {
            return Ok(!matches!(self.stop_when, StopWhen::Never));
        }
        match &mut self.stop_when {
            StopWhen::Never => Ok(false),
            StopWhen::Empty(lock) => {
                let Some(drainer) = lock.take() else { return Ok(true) };
                *lock = self.queue.spool.release_if_empty(drainer)?;
                Ok(lock.is_none())
            }
            StopWhen::Acked(key) => {
                let key = *key;
                let waiting = self.queue.spool.waiting()?;
                Ok(waiting.iter().all(|it| it.key != key))
            }
        }
    }

    /// The next batch: that of the oldest waiting event.
    fn next_batch(&self) -> Result<BatchKey, SpoolError> {
        if let Some(first) = self.queue.pending.front() {
            let (appliance, spool_id) = (first.appliance.clone(), first.key.spool_id);
            return Ok(BatchKey { appliance, spool_id });
        }
        let appliance = self.config.target.appliance.clone();
        let spool_id = self.queue.spool.sequence_status(&appliance)?.spool_id;
        Ok(BatchKey { appliance, spool_id })
    }

    async fn run_session(&mut self, group: &BatchKey) -> Result<SessionResult, SpoolError> {
        let hello = self.hello(group)?;
        let (next, acked, told) = (hello.next_sequence, hello.acked_through, hello.crash_dump);
        let broker = self.redirect.take().unwrap_or_else(|| self.config.target.broker.clone());
        let target = &self.config.target;
        let opening =
            session::open(&target.access, &broker, target.name_for(&group.appliance), hello);
        tokio::pin!(opening);
        let opened = loop {
            tokio::select! {
                opened = &mut opening => break opened,
                () = self.queue.poll() => {}
            }
        };
        let session = match opened {
            Ok(session) => session,
            Err(error) => {
                let retry_after = crate::unary::requested_delay(&error);
                return Ok(SessionResult { error: Some(error), retry_after });
            }
        };
        self.on_welcome(&broker);
        match (session.welcome.sequence_reset, next, acked) {
            // A new random id that the broker already knows: another appliance draws the same.
            (false, 1, _) if self.queue.pending.is_empty() => {
                self.queue.spool.rotate_spool_id()?;
                // As an error, so with backoff: a broker may reply so for every id.
                let error = Status::unavailable("the broker already knows a new spool id");
                return Ok(SessionResult {
                    error: Some(error.into()),
                    retry_after: Duration::ZERO,
                });
            }
            (true, _, 1..) => print_line(&format!(
                "the broker at {broker} does not know the events that it acknowledged, up to event {acked}"
            )),
            (_, _, _) => {}
        }
        let mut flow = InFlightWindow::new(session.window());
        let mut duty = SessionDuty::new(self.duty_in(group), told, &session.welcome);
        let result = self.session_loop(group, session, &mut flow, &mut duty).await;
        duty.session_ended();
        let result = result?;
        if let Some(ClientError::Status(status)) = &result.error
            && blames_event(status)
            && let Some(key) = self.poison.session_ended(&flow)
        {
            print_line(&format!("event {} ended two sessions and is quarantined", key.sequence));
            self.queue.quarantine(key)?;
        }
        Ok(result)
    }

    /// What this session does for crash dumps; nothing if it is for events under another name.
    fn duty_in(&self, group: &BatchKey) -> Option<&'a CrashDumpDuty> {
        let target = &self.config.target;
        self.crash_dump_duty.filter(|_| target.name_for(&group.appliance) == target.appliance)
    }

    fn hello(&self, group: &BatchKey) -> Result<Hello, SpoolError> {
        let numbering = self.queue.spool.sequence_status(&group.appliance)?;
        let mine = |waiting: &&WaitingEvent| group.matches(waiting);
        let oldest = self.queue.pending.iter().find(mine).map_or(0, |it| it.key.sequence);
        let newest = self.queue.pending.iter().rfind(mine).map_or(0, |it| it.key.sequence);
        let is_present = group.spool_id == numbering.spool_id;
        let boot = &self.config.boot;
        let duty = self.duty_in(group);
        Ok(Hello {
            protocol_revision: PROTOCOL_REVISION,
            // Such a session announces the boot; its end is no lost contact.
            capabilities: match self.stop_when {
                StopWhen::Never => duty.map_or_else(Vec::new, CrashDumpDuty::capabilities),
                StopWhen::Empty(_) | StopWhen::Acked(_) => vec!["transient".to_owned()],
            },
            tool_version: concat!("vme ", env!("CARGO_PKG_VERSION")).to_owned(),
            boot_id: boot.any_id().map_or_else(String::new, |id| id.to_string()),
            uptime_ms: boot.uptime_ms(),
            spool_id: group.spool_id,
            oldest_unacked: oldest,
            next_sequence: if is_present { numbering.next } else { newest + 1 },
            acked_through: if is_present { numbering.acked_through } else { 0 },
            crash_dump: duty.map(CrashDumpDuty::readiness),
        })
    }

    fn on_welcome(&mut self, broker: &str) {
        self.backoff.reset();
        self.queue.last_error = None;
        if self.reported_error.take().is_some() || matches!(self.stop_when, StopWhen::Never) {
            print_line(&format!("session with the broker at {broker} is open"));
        }
    }

    fn report_error(&mut self, error: &ClientError, pause: Duration) {
        let text: Vec<String> = error.to_string().lines().map(|it| it.trim().to_owned()).collect();
        let text = text.join("; ");
        if matches!(self.stop_when, StopWhen::Never) && self.reported_error.as_ref() != Some(&text)
        {
            let waiting = self.queue.spool.waiting().map_or(0, |waiting| waiting.len());
            let pause = pause.as_secs_f32();
            print_line(&format!(
                "no session: {text}; {waiting} events wait; next attempt in {pause:.1} s"
            ));
            self.reported_error = Some(text.clone());
        }
        self.queue.last_error = Some(text);
    }
}

/// Whether the broker closed the session because of an event.
fn blames_event(status: &Status) -> bool {
    match status.code() {
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::Internal
        | Code::Unknown
        | Code::DataLoss
        | Code::ResourceExhausted => true,
        Code::Ok
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unimplemented
        | Code::Unavailable
        | Code::Unauthenticated => false,
    }
}
