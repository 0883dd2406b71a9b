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

mod desk;
mod flow;
mod live;
mod pause;
mod session;
mod talk;
mod telling;

use std::time::Duration;

use grid_broker::client::ClientError;
use grid_broker::spool::{Held, Key, SpoolError, Waiting};
use grid_broker::wire::proto::{AckException, Hello};
use tonic::{Code, Status};

pub(crate) use desk::{Desk, Order, Told};
pub(crate) use pause::Pauses;

use crate::speaker::Speaker;
use crate::tell;
use flow::{Flow, Strikes};

/// The revision of the contract that vme implements.
const PROTOCOL_REVISION: u32 = 1;

/// When the sender stops.
#[derive(Debug)]
pub(crate) enum Until {
    /// Never.
    Stopped,
    /// When nothing waits; then the drainer lock is released.
    Empty(Option<Held>),
    /// When this event has its reply.
    Answered(Key),
}

/// Sends the spool until a stop condition.
pub(crate) struct Sender<'a> {
    speaker: &'a Speaker,
    desk: Desk,
    until: Until,
    pauses: Pauses,
    strikes: Strikes,
    /// The address to which the broker redirected the next session.
    elsewhere: Option<String>,
    /// The awaited reply, once it came; `None` in it: stored.
    answer: Option<Option<AckException>>,
    /// The last reported error, so that it is reported once.
    told: Option<String>,
}

/// The events of one session: of one appliance and one spool id.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    appliance: String,
    spool_id: u64,
}

impl Group {
    fn has(&self, waiting: &Waiting) -> bool {
        waiting.key.spool_id == self.spool_id && waiting.appliance == self.appliance
    }
}

/// How a session ended.
struct Over {
    /// The error, unless the session ended as planned.
    error: Option<ClientError>,
    /// How long the broker asks to wait.
    asked: Duration,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(speaker: &'a Speaker, desk: Desk, until: Until, pauses: Pauses) -> Self {
        Self {
            speaker,
            desk,
            until,
            pauses,
            strikes: Strikes::default(),
            elsewhere: None,
            answer: None,
            told: None,
        }
    }

    /// Sends until the stop condition, or until the folder is gone. The future may be dropped at
    /// any point: events without a reply stay in the spool.
    ///
    /// # Errors
    ///
    /// When the spool cannot be read or written.
    pub(crate) async fn run(&mut self) -> Result<(), SpoolError> {
        loop {
            self.desk.begin_anew();
            self.desk.look(None)?;
            if self.is_done()? {
                return Ok(());
            }
            let group = self.group()?;
            let role = self.role().await?;
            let Over { error, asked } = self.converse(&group).await?;
            self.desk.is_online = false;
            drop(role);
            let Some(error) = error else { continue };
            let pause = self.pauses.next(asked, pause::chance());
            self.tell_failure(&error, pause);
            let pause = tokio::time::sleep(pause);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    () = self.desk.attend() => {}
                }
                // The folder of a test, or of an appliance that was removed.
                if !self.desk.spool.is_there() {
                    return Ok(());
                }
            }
        }
    }

    /// The awaited reply, if it came.
    pub(crate) fn answer(&mut self) -> Option<Option<AckException>> {
        self.answer.take()
    }

    /// The sender lock for one attempt: a drainer gives way to calls between attempts. Others hold
    /// it.
    async fn role(&self) -> Result<Option<Held>, SpoolError> {
        if !matches!(self.until, Until::Empty(_)) {
            return Ok(None);
        }
        loop {
            match self.desk.spool.try_sender() {
                Ok(None) => tokio::time::sleep(crate::drain::LOOK_EVERY).await,
                free => return free,
            }
        }
    }

    /// Why there is no session, if the last attempt failed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.desk.failure.as_deref()
    }

    fn is_done(&mut self) -> Result<bool, SpoolError> {
        if !self.desk.spool.is_there() {
            return Ok(!matches!(self.until, Until::Stopped));
        }
        match &mut self.until {
            Until::Stopped => Ok(false),
            Until::Empty(held) => {
                let Some(drainer) = held.take() else { return Ok(true) };
                *held = self.desk.spool.release_if_empty(drainer)?;
                Ok(held.is_none())
            }
            Until::Answered(key) => {
                let key = *key;
                let waits = self.desk.spool.waiting()?;
                Ok(waits.iter().all(|it| it.key != key))
            }
        }
    }

    /// The next batch: that of the oldest waiting event.
    fn group(&self) -> Result<Group, SpoolError> {
        if let Some(first) = self.desk.queue.front() {
            let (appliance, spool_id) = (first.appliance.clone(), first.key.spool_id);
            return Ok(Group { appliance, spool_id });
        }
        let appliance = self.speaker.way.appliance.clone();
        let spool_id = self.desk.spool.numbering(&appliance)?.spool_id;
        Ok(Group { appliance, spool_id })
    }

    async fn converse(&mut self, group: &Group) -> Result<Over, SpoolError> {
        let hello = self.hello(group)?;
        let (next, acked) = (hello.next_sequence, hello.acked_through);
        let broker = self.elsewhere.take().unwrap_or_else(|| self.speaker.way.broker.clone());
        let opening = session::open(&broker, &group.appliance, hello);
        tokio::pin!(opening);
        let opened = loop {
            tokio::select! {
                opened = &mut opening => break opened,
                () = self.desk.attend() => {}
            }
        };
        let session = match opened {
            Ok(session) => session,
            Err(error) => {
                let asked = crate::report::pause_asked(&error);
                return Ok(Over { error: Some(error), asked });
            }
        };
        self.welcomed(&broker);
        match (session.welcome.sequence_reset, next, acked) {
            // A new random id that the broker already knows: another appliance draws the same.
            (false, 1, _) if self.desk.queue.is_empty() => {
                self.desk.spool.renew()?;
                // As an error, so with backoff: a broker may reply so for every id.
                let error = Status::unavailable("the broker already knows a new spool id");
                return Ok(Over { error: Some(error.into()), asked: Duration::ZERO });
            }
            (true, _, 1..) => tell(&format!(
                "the broker at {broker} does not know the events that it acknowledged, up to event {acked}"
            )),
            (_, _, _) => {}
        }
        let mut flow = Flow::new(session.window());
        let over = self.listen(group, session, &mut flow).await?;
        if let Some(ClientError::Status(status)) = &over.error
            && is_blame(status)
            && let Some(key) = self.strikes.session_ended(&flow)
        {
            tell(&format!("event {} ended two sessions and is quarantined", key.sequence));
            self.desk.set_aside(key)?;
        }
        Ok(over)
    }

    fn hello(&self, group: &Group) -> Result<Hello, SpoolError> {
        let numbering = self.desk.spool.numbering(&group.appliance)?;
        let mine = |waiting: &&Waiting| group.has(waiting);
        let oldest = self.desk.queue.iter().find(mine).map_or(0, |it| it.key.sequence);
        let newest = self.desk.queue.iter().rfind(mine).map_or(0, |it| it.key.sequence);
        let is_present = group.spool_id == numbering.spool_id;
        let boot = &self.speaker.boot;
        Ok(Hello {
            protocol_revision: PROTOCOL_REVISION,
            // Such a session announces the boot; its end is no lost contact.
            capabilities: match self.until {
                Until::Stopped => Vec::new(),
                Until::Empty(_) | Until::Answered(_) => vec!["transient".to_owned()],
            },
            tool_version: concat!("vme ", env!("CARGO_PKG_VERSION")).to_owned(),
            boot_id: boot.any_id().map_or_else(String::new, |id| id.to_string()),
            uptime_ms: boot.uptime_ms(),
            spool_id: group.spool_id,
            oldest_unacked: oldest,
            next_sequence: if is_present { numbering.next } else { newest + 1 },
            acked_through: if is_present { numbering.acked } else { 0 },
        })
    }

    fn welcomed(&mut self, broker: &str) {
        self.pauses.reset();
        self.desk.failure = None;
        if self.told.take().is_some() || matches!(self.until, Until::Stopped) {
            tell(&format!("session with the broker at {broker} is open"));
        }
    }

    fn tell_failure(&mut self, error: &ClientError, pause: Duration) {
        let text: Vec<String> = error.to_string().lines().map(|it| it.trim().to_owned()).collect();
        let text = text.join("; ");
        if matches!(self.until, Until::Stopped) && self.told.as_ref() != Some(&text) {
            let waiting = self.desk.spool.waiting().map_or(0, |waiting| waiting.len());
            let pause = pause.as_secs_f32();
            tell(&format!(
                "no session: {text}; {waiting} events wait; next attempt in {pause:.1} s"
            ));
            self.told = Some(text.clone());
        }
        self.desk.failure = Some(text);
    }
}

/// Whether the broker closed the session because of an event.
fn is_blame(status: &Status) -> bool {
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
