//! Sends one event by the best way, for every command of vme, and reports its outcome.
//!
//! The agent sends it, if there is one. Otherwise this call sends it itself: at once if nothing
//! waits, else after the events that wait in the spool. Guarantees one line of text and one exit
//! code per event, whatever way it went, and that "spooled" is reported only if the event is on the
//! disk. Does not know why an event is sent.

use std::time::Duration;

use grid_broker::clock::{monotonic_now, wall_now};
use grid_broker::contract::encode_timestamp;
use grid_broker::contract::proto::{Event, Outcome, ReportRequest};
use grid_broker::event_args::EventCommand;
use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{EntryState, EventKey, Spool, SpoolError};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::agent::client::{self, AgentRejection, AgentReply};
use crate::boot::{NoBootId, WeakBootId};
use crate::config::ClientConfig;
use crate::drain;
use crate::outcome::{SendOutcome, outcome_of, text_of_ack};
use crate::outcome_text::OutcomeText;
use crate::sender::{Backoff, SendQueue, SpoolSender, StopWhen};
use crate::stop_deadline::StopDeadline;
use crate::unary;

/// The first and the longest delay between attempts of a call that waits.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The result of sending one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SendResult {
    /// For people, without `vme: `; one line.
    pub(crate) line: String,
    /// For scripts.
    pub(crate) exit_code: ExitCode,
}

/// Sends events with one configuration.
#[derive(Debug)]
pub(crate) struct EventSender {
    config: ClientConfig,
    stop_deadline: StopDeadline,
}

impl EventSender {
    pub(crate) fn new(config: ClientConfig) -> Self {
        Self { config, stop_deadline: StopDeadline::default() }
    }

    /// The configuration.
    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The configuration, by value.
    pub(crate) fn into_config(self) -> ClientConfig {
        self.config
    }

    /// vme was asked to stop: every send ends soon, in the spool if the broker does not reply.
    pub(crate) fn shorten_deadline(&self) {
        self.stop_deadline.start();
    }

    /// Sends one event, and waits for its outcome until the deadline.
    pub(crate) async fn send(&self, command: &EventCommand) -> SendResult {
        let subject = format!("{} of {}", command.name, self.config.target.appliance);
        let (event, doubt) = match self.build_event(command) {
            Ok(event) => event,
            Err(error) => {
                return SendResult { line: error.to_string(), exit_code: ExitCode::Failed };
            }
        };
        if let Some(doubt) = doubt {
            crate::print_line(&doubt.to_string());
        }
        match self.send_event(event).await {
            SendOutcome::Replied(OutcomeText { text, exit_code }) => {
                SendResult { line: format!("{subject} {text}"), exit_code }
            }
            SendOutcome::Spooled(why) => {
                let line = format!(
                    "{subject} spooled, and sent when the broker can be reached: {}",
                    join_lines(&why)
                );
                SendResult { line, exit_code: ExitCode::Spooled }
            }
            SendOutcome::Failed { why, exit_code } => {
                let line = format!("{subject} not acknowledged: {}", join_lines(&why));
                SendResult { line, exit_code }
            }
        }
    }

    async fn send_event(&self, event: Event) -> SendOutcome {
        let deadline = monotonic_now() + self.config.target.timeout;
        // If an agent spools it without a reply, the call's id prevents a second copy.
        let call = Uuid::new_v4().as_u64_pair().1;
        let asking = client::send_via_agent(&self.config, &event, call, deadline);
        let reply = self.stop_deadline.run_until(deadline, asking).await.unwrap_or_else(|| {
            let why = "no reply in time".to_owned();
            AgentReply::NotAccepted(Some(AgentRejection::ConnectionFailed(why)))
        });
        match reply {
            AgentReply::Acknowledged(exception) => SendOutcome::Replied(text_of_ack(exception)),
            AgentReply::Quarantined(why) => {
                SendOutcome::Failed { why, exit_code: ExitCode::Failed }
            }
            // If the agent has ended since, another process has to send it.
            AgentReply::Spooled(why) => match self.config.spool() {
                Ok(spool) => self.ensure_drainer(&spool, SendOutcome::Spooled(why)),
                Err(_) => SendOutcome::Spooled(why),
            },
            AgentReply::NotAccepted(Some(
                AgentRejection::NotSpooled(why) | AgentRejection::WrongTarget(why),
            )) => self.send_unspooled(event, &why, deadline).await,
            // Without a boot id no session could send the spool.
            AgentReply::NotAccepted(None) if self.config.boot.any_id().is_none() => {
                self.send_unspooled(event, "this boot has no id", deadline).await
            }
            AgentReply::NotAccepted(None) => match self.config.spool() {
                Ok(spool) => self.send_without_agent(&spool, event, call, deadline).await,
                Err(error) => self.send_unspooled(event, &error.to_string(), deadline).await,
            },
            // It may have spooled the event: only the spool shows it.
            AgentReply::NotAccepted(Some(AgentRejection::ConnectionFailed(why))) => {
                let appended = match self.config.spool() {
                    Ok(spool) => {
                        let outcome = self.append_and_wait(&spool, &event, call, deadline).await;
                        outcome.map(|outcome| self.ensure_drainer(&spool, outcome))
                    }
                    Err(error) => Err(error),
                };
                appended.unwrap_or_else(|error| {
                    let why = format!("the agent does not reply ({why}); not spooled: {error}");
                    SendOutcome::Failed { why, exit_code: ExitCode::Unavailable }
                })
            }
        }
    }

    /// Sends the event without an agent.
    async fn send_without_agent(
        &self,
        spool: &Spool,
        event: Event,
        call: u64,
        deadline: Instant,
    ) -> SendOutcome {
        let tried = self.send_in_order(spool, &event, call, deadline).await;
        match tried {
            Ok(outcome) => self.ensure_drainer(spool, outcome),
            Err(error @ SpoolError::Full { .. }) => {
                SendOutcome::Failed { why: error.to_string(), exit_code: ExitCode::Unavailable }
            }
            Err(error) => self.send_unspooled(event, &error.to_string(), deadline).await,
        }
    }

    /// Makes sure that a process sends a spooled event.
    fn ensure_drainer(&self, spool: &Spool, outcome: SendOutcome) -> SendOutcome {
        if matches!(outcome, SendOutcome::Spooled(_))
            && let Err(error) = drain::spawn_drainer(&self.config, spool)
        {
            crate::print_line(&format!("no process sends it later: {error}"));
        }
        outcome
    }

    /// Sends the event at once if nothing waits, else after the spool. An error means that it is
    /// neither stored nor spooled.
    async fn send_in_order(
        &self,
        spool: &Spool,
        event: &Event,
        call: u64,
        deadline: Instant,
    ) -> Result<SendOutcome, SpoolError> {
        // No process sends, and nothing waits: the spool is not needed.
        if let Some(lock) = spool.try_lock_sender()?
            && let Some(key) = spool.reserve_if_empty()?
        {
            let outcome = self.send_directly(spool, event, key, deadline).await?;
            drop(lock);
            if let Some(outcome) = outcome {
                return Ok(outcome);
            }
        }
        self.append_and_wait(spool, event, call, deadline).await
    }

    /// Sends the event first, and spools it only if that fails. `None`: the broker knows its number
    /// from another event, and others wait by now.
    async fn send_directly(
        &self,
        spool: &Spool,
        event: &Event,
        mut key: EventKey,
        deadline: Instant,
    ) -> Result<Option<SendOutcome>, SpoolError> {
        let mut may_renew = true;
        loop {
            let event = Event { sequence: key.sequence, ..event.clone() };
            let request = ReportRequest { event: Some(event.clone()), spool_id: key.spool_id };
            let answer =
                unary::send_unary(&self.config.target, request, deadline, &self.stop_deadline);
            let failure = match answer.await {
                Ok(answered) => {
                    // The broker knows the number of an event that was never sent: the number file
                    // comes from a backup, or from a copy of this machine.
                    let is_taken = answered.is_first_attempt
                        && answered.response.outcome() == Outcome::Duplicate;
                    if !is_taken {
                        return Ok(Some(SendOutcome::Replied(OutcomeText::from_response(
                            &answered.response,
                        ))));
                    }
                    spool.rotate_spool_id()?;
                    match spool.reserve_if_empty()?.filter(|_| may_renew) {
                        Some(other) => (key, may_renew) = (other, false),
                        None => return Ok(None),
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            let why = failure.to_string();
            if !failure.keeps_event() {
                return Ok(Some(SendOutcome::Failed { why, exit_code: failure.exit_code() }));
            }
            let state = if failure.was_sent { EntryState::Attempted } else { EntryState::Waiting };
            return Ok(Some(match spool.append_numbered(event, key, state) {
                Ok(()) => SendOutcome::Spooled(why),
                Err(error) => {
                    let why = format!("{why}; not spooled: {error}");
                    SendOutcome::Failed { why, exit_code: failure.exit_code() }
                }
            }));
        }
    }

    /// Appends the event to the spool, and waits for its reply.
    async fn append_and_wait(
        &self,
        spool: &Spool,
        event: &Event,
        call: u64,
        deadline: Instant,
    ) -> Result<SendOutcome, SpoolError> {
        let keys = spool.append_once(vec![(event.clone(), call)], EntryState::Waiting)?;
        let Some(key) = keys.first().map(|it| it.key) else {
            return Ok(SendOutcome::Spooled("it was not numbered".to_owned()));
        };
        match self.wait_for_reply(spool, key, deadline).await {
            Ok(outcome) => Ok(outcome),
            // It is already in the spool, whatever prevents the reply.
            Err(error) if spool.exists() => Ok(SendOutcome::Spooled(error.to_string())),
            Err(error) => {
                Ok(SendOutcome::Failed { why: error.to_string(), exit_code: ExitCode::Unavailable })
            }
        }
    }

    /// Waits for the reply to a spooled event, and sends the spool unless another process does.
    async fn wait_for_reply(
        &self,
        spool: &Spool,
        mut key: EventKey,
        deadline: Instant,
    ) -> Result<SendOutcome, SpoolError> {
        let lock = loop {
            if let Some(outcome) = outcome_of(spool, &mut key)? {
                return Ok(outcome);
            }
            if let Some(lock) = spool.try_lock_sender()? {
                break lock;
            }
            if self.stop_deadline.is_past(deadline) {
                return Ok(SendOutcome::Spooled("other events wait before it".to_owned()));
            }
            sleep(drain::OWNER_POLL_INTERVAL).await;
        };
        let queue = SendQueue::new(spool.clone(), None);
        let pauses = Backoff::new(BACKOFF_MIN, BACKOFF_MAX);
        let mut sender = SpoolSender::new(&self.config, queue, StopWhen::Acked(key), pauses);
        let ended = self.stop_deadline.run_until(deadline, sender.run()).await;
        drop(lock);
        if let Some(exception) = sender.take_reply() {
            return Ok(SendOutcome::Replied(text_of_ack(exception)));
        }
        if let Some(outcome) = outcome_of(spool, &mut key)? {
            return Ok(outcome);
        }
        Ok(SendOutcome::Spooled(match ended {
            Some(Err(error)) => error.to_string(),
            Some(Ok(())) | None => {
                sender.last_error().unwrap_or("no reply from the broker yet").to_owned()
            }
        }))
    }

    /// Sends the event without the spool, under a spool id of its own.
    async fn send_unspooled(&self, event: Event, why: &str, deadline: Instant) -> SendOutcome {
        let event = Event { sequence: 1, ..event };
        let spool_id = Uuid::new_v4().as_u64_pair().1;
        let request = ReportRequest { event: Some(event), spool_id };
        match unary::send_unary(&self.config.target, request, deadline, &self.stop_deadline).await {
            Ok(answered) => SendOutcome::Replied(OutcomeText::from_response(&answered.response)),
            Err(failure) => {
                let not_spooled = if failure.keeps_event() {
                    format!("; not spooled: {why}")
                } else {
                    String::new()
                };
                let exit_code = failure.exit_code();
                SendOutcome::Failed { why: format!("{failure}{not_spooled}"), exit_code }
            }
        }
    }

    /// The event with its boot and times.
    fn build_event(&self, command: &EventCommand) -> Result<(Event, Option<WeakBootId>), NoBootId> {
        let boot = &self.config.boot;
        let (boot_id, doubt) = boot.id(command.is_lifecycle())?;
        let event = Event {
            boot_id: boot_id.map_or_else(String::new, |id| id.to_string()),
            uptime_ms: boot.uptime_ms(),
            event_time: Some(encode_timestamp(wall_now())),
            ..command.event.clone()
        };
        Ok((event, doubt))
    }
}

/// Joins the lines of an error that names several fields.
fn join_lines(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use grid_broker::event_args;
    use grid_broker::spool::SpoolLimits;

    use super::*;
    use crate::appliance_access::ApplianceAccess;
    use crate::boot::BootIdentity;
    use crate::config::BrokerTarget;

    #[test]
    fn the_event_has_times_and_the_named_boot() {
        let boot = Uuid::from_u128(7);
        let target = BrokerTarget {
            broker: "127.0.0.1:1".to_owned(),
            appliance: "db1".to_owned(),
            timeout: Duration::from_secs(1),
            access: ApplianceAccess::default(),
        };
        let event_sender = EventSender::new(ClientConfig {
            target,
            boot: BootIdentity::Named(boot),
            state_folder: "state".into(),
            spool_limits: SpoolLimits::default(),
            is_broker_given: true,
            is_appliance_given: true,
            access_options: Vec::new(),
        });
        let command = event_args::parse(["id=log", "msg=x"]).unwrap();
        let (event, doubt) = event_sender.build_event(&command).unwrap();
        assert_eq!(doubt, None);
        assert_eq!((event.boot_id, event.sequence, event.uptime_ms), (boot.to_string(), 0, 0));
        assert!(event.event_time.is_some());
    }
}
