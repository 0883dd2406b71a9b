//! Sends one event by the best way, for every command of vme, and reports its outcome.
//!
//! The agent sends it, if there is one. Otherwise this call sends it itself: at once if nothing
//! waits, else after the events that wait in the spool. Guarantees one line of text and one exit
//! code per event, whatever way it went, and that "spooled" is reported only if the event is on the
//! disk. Does not know why an event is sent.

use std::time::Duration;

use grid_broker::clock::{monotonic_now, wall_now};
use grid_broker::event_words::Spoken;
use grid_broker::exit_code::ExitCode;
use grid_broker::spool::{Key, Spool, SpoolError, State};
use grid_broker::wire::proto::{Event, Outcome, ReportRequest};
use grid_broker::wire::timestamp;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::agent::client::{self, Asked, NotTaken};
use crate::answer::Answer;
use crate::boot::{BootDoubt, BootError};
use crate::drain;
use crate::fate::{Fate, answer, became};
use crate::patience::Patience;
use crate::report;
use crate::sender::{Desk, Pauses, Sender, Until};
use crate::speaker::Speaker;

/// The first and the longest delay between attempts of a call that waits.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The result of sending one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// For people, without `vme: `; one line.
    pub(crate) line: String,
    /// For scripts.
    pub(crate) exit_code: ExitCode,
}

/// Sends events with one configuration.
#[derive(Debug)]
pub(crate) struct Voice {
    speaker: Speaker,
    patience: Patience,
}

impl Voice {
    pub(crate) fn new(speaker: Speaker) -> Self {
        Self { speaker, patience: Patience::default() }
    }

    /// The configuration.
    pub(crate) fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// The configuration, by value.
    pub(crate) fn into_speaker(self) -> Speaker {
        self.speaker
    }

    /// vme was asked to stop: every send ends soon, in the spool if the broker does not reply.
    pub(crate) fn hurry(&self) {
        self.patience.hurry();
    }

    /// Sends one event, and waits for its outcome until the deadline.
    pub(crate) async fn say(&self, spoken: &Spoken) -> Said {
        let subject = format!("{} of {}", spoken.name, self.speaker.way.appliance);
        let (event, doubt) = match self.event(spoken) {
            Ok(event) => event,
            Err(error) => return Said { line: error.to_string(), exit_code: ExitCode::Failed },
        };
        if let Some(doubt) = doubt {
            crate::tell(&doubt.to_string());
        }
        match self.fate(event).await {
            Fate::Answered(Answer { words, exit_code }) => {
                Said { line: format!("{subject} {words}"), exit_code }
            }
            Fate::Spooled(why) => {
                let line = format!(
                    "{subject} spooled, and sent when the broker can be reached: {}",
                    one_line(&why)
                );
                Said { line, exit_code: ExitCode::Spooled }
            }
            Fate::Lost { why, exit_code } => {
                let line = format!("{subject} not acknowledged: {}", one_line(&why));
                Said { line, exit_code }
            }
        }
    }

    async fn fate(&self, event: Event) -> Fate {
        let deadline = monotonic_now() + self.speaker.way.timeout;
        // If an agent spools it without a reply, the call's id prevents a second copy.
        let call = Uuid::new_v4().as_u64_pair().1;
        let asking = client::ask(&self.speaker, &event, call, deadline);
        let asked = self.patience.in_time(deadline, asking).await.unwrap_or_else(|| {
            let why = "no reply in time".to_owned();
            Asked::NotTaken(Some(NotTaken::Broken(why)))
        });
        match asked {
            Asked::Answered(exception) => Fate::Answered(answer(exception)),
            Asked::SetAside(why) => Fate::Lost { why, exit_code: ExitCode::Failed },
            // If the agent has ended since, another process has to send it.
            Asked::Spooled(why) => match self.speaker.spool() {
                Ok(spool) => self.left_behind(&spool, Fate::Spooled(why)),
                Err(_) => Fate::Spooled(why),
            },
            Asked::NotTaken(Some(NotTaken::NotSpooled(why) | NotTaken::NotMine(why))) => {
                self.unspooled(event, &why, deadline).await
            }
            // Without a boot id no session could send the spool.
            Asked::NotTaken(None) if self.speaker.boot.any_id().is_none() => {
                self.unspooled(event, "this boot has no id", deadline).await
            }
            Asked::NotTaken(None) => match self.speaker.spool() {
                Ok(spool) => self.alone(&spool, event, call, deadline).await,
                Err(error) => self.unspooled(event, &error.to_string(), deadline).await,
            },
            // It may have spooled the event: only the spool shows it.
            Asked::NotTaken(Some(NotTaken::Broken(why))) => {
                let behind = match self.speaker.spool() {
                    Ok(spool) => {
                        let fate = self.behind_others(&spool, &event, call, deadline).await;
                        fate.map(|fate| self.left_behind(&spool, fate))
                    }
                    Err(error) => Err(error),
                };
                behind.unwrap_or_else(|error| {
                    let why = format!("the agent does not reply ({why}); not spooled: {error}");
                    Fate::Lost { why, exit_code: ExitCode::Unavailable }
                })
            }
        }
    }

    /// Sends the event without an agent.
    async fn alone(&self, spool: &Spool, event: Event, call: u64, deadline: Instant) -> Fate {
        let tried = self.by_spool(spool, &event, call, deadline).await;
        match tried {
            Ok(fate) => self.left_behind(spool, fate),
            Err(error @ SpoolError::Full { .. }) => {
                Fate::Lost { why: error.to_string(), exit_code: ExitCode::Unavailable }
            }
            Err(error) => self.unspooled(event, &error.to_string(), deadline).await,
        }
    }

    /// Makes sure that a process sends a spooled event.
    fn left_behind(&self, spool: &Spool, fate: Fate) -> Fate {
        if matches!(fate, Fate::Spooled(_))
            && let Err(error) = drain::leave_one(&self.speaker, spool)
        {
            crate::tell(&format!("no process sends it later: {error}"));
        }
        fate
    }

    /// Sends the event at once if nothing waits, else after the spool. An error means that it is
    /// neither stored nor spooled.
    async fn by_spool(
        &self,
        spool: &Spool,
        event: &Event,
        call: u64,
        deadline: Instant,
    ) -> Result<Fate, SpoolError> {
        // No process sends, and nothing waits: the spool is not needed.
        if let Some(role) = spool.try_sender()?
            && let Some(key) = spool.number_if_empty()?
        {
            let fate = self.at_once(spool, event, key, deadline).await?;
            drop(role);
            if let Some(fate) = fate {
                return Ok(fate);
            }
        }
        self.behind_others(spool, event, call, deadline).await
    }

    /// Sends the event first, and spools it only if that fails. `None`: the broker knows its number
    /// from another event, and others wait by now.
    async fn at_once(
        &self,
        spool: &Spool,
        event: &Event,
        mut key: Key,
        deadline: Instant,
    ) -> Result<Option<Fate>, SpoolError> {
        let mut may_renew = true;
        loop {
            let event = Event { sequence: key.sequence, ..event.clone() };
            let request = ReportRequest { event: Some(event.clone()), spool_id: key.spool_id };
            let answer = report::report(&self.speaker.way, request, deadline, &self.patience);
            let failure = match answer.await {
                Ok(answered) => {
                    // The broker knows the number of an event that was never sent: the number file
                    // comes from a backup, or from a copy of this machine.
                    let is_taken = answered.is_first_attempt
                        && answered.response.outcome() == Outcome::Duplicate;
                    if !is_taken {
                        return Ok(Some(Fate::Answered(Answer::new(&answered.response))));
                    }
                    spool.renew()?;
                    match spool.number_if_empty()?.filter(|_| may_renew) {
                        Some(other) => (key, may_renew) = (other, false),
                        None => return Ok(None),
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            let why = failure.to_string();
            if !failure.may_pass() {
                return Ok(Some(Fate::Lost { why, exit_code: failure.exit_code() }));
            }
            let state = if failure.was_sent { State::Attempted } else { State::Waiting };
            return Ok(Some(match spool.append_numbered(event, key, state) {
                Ok(()) => Fate::Spooled(why),
                Err(error) => {
                    let why = format!("{why}; not spooled: {error}");
                    Fate::Lost { why, exit_code: failure.exit_code() }
                }
            }));
        }
    }

    /// Appends the event to the spool, and waits for its reply.
    async fn behind_others(
        &self,
        spool: &Spool,
        event: &Event,
        call: u64,
        deadline: Instant,
    ) -> Result<Fate, SpoolError> {
        let keys = spool.append_calls(vec![(event.clone(), call)], State::Waiting)?;
        let Some(key) = keys.first().map(|it| it.key) else {
            return Ok(Fate::Spooled("it was not numbered".to_owned()));
        };
        match self.answered(spool, key, deadline).await {
            Ok(fate) => Ok(fate),
            // It is already in the spool, whatever prevents the reply.
            Err(error) if spool.is_there() => Ok(Fate::Spooled(error.to_string())),
            Err(error) => {
                Ok(Fate::Lost { why: error.to_string(), exit_code: ExitCode::Unavailable })
            }
        }
    }

    /// Waits for the reply to a spooled event, and sends the spool unless another process does.
    async fn answered(
        &self,
        spool: &Spool,
        mut key: Key,
        deadline: Instant,
    ) -> Result<Fate, SpoolError> {
        let role = loop {
            if let Some(fate) = became(spool, &mut key)? {
                return Ok(fate);
            }
            if let Some(role) = spool.try_sender()? {
                break role;
            }
            if self.patience.is_over(deadline) {
                return Ok(Fate::Spooled("other events wait before it".to_owned()));
            }
            sleep(drain::LOOK_EVERY).await;
        };
        let desk = Desk::new(spool.clone(), None);
        let pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut sender = Sender::new(&self.speaker, desk, Until::Answered(key), pauses);
        let ended = self.patience.in_time(deadline, sender.run()).await;
        drop(role);
        if let Some(exception) = sender.answer() {
            return Ok(Fate::Answered(answer(exception)));
        }
        if let Some(fate) = became(spool, &mut key)? {
            return Ok(fate);
        }
        Ok(Fate::Spooled(match ended {
            Some(Err(error)) => error.to_string(),
            Some(Ok(())) | None => {
                sender.failure().unwrap_or("no reply from the broker yet").to_owned()
            }
        }))
    }

    /// Sends the event without the spool, under a spool id of its own.
    async fn unspooled(&self, event: Event, why: &str, deadline: Instant) -> Fate {
        let event = Event { sequence: 1, ..event };
        let spool_id = Uuid::new_v4().as_u64_pair().1;
        let request = ReportRequest { event: Some(event), spool_id };
        match report::report(&self.speaker.way, request, deadline, &self.patience).await {
            Ok(answered) => Fate::Answered(Answer::new(&answered.response)),
            Err(failure) => {
                let not_spooled = if failure.may_pass() {
                    format!("; not spooled: {why}")
                } else {
                    String::new()
                };
                let exit_code = failure.exit_code();
                Fate::Lost { why: format!("{failure}{not_spooled}"), exit_code }
            }
        }
    }

    /// The event with its boot and times.
    fn event(&self, spoken: &Spoken) -> Result<(Event, Option<BootDoubt>), BootError> {
        let boot = &self.speaker.boot;
        let (boot_id, doubt) = boot.id(spoken.is_about_the_start())?;
        let event = Event {
            boot_id: boot_id.map_or_else(String::new, |id| id.to_string()),
            uptime_ms: boot.uptime_ms(),
            event_time: Some(timestamp(wall_now())),
            ..spoken.event.clone()
        };
        Ok((event, doubt))
    }
}

/// Joins the lines of an error that names several fields.
fn one_line(words: &str) -> String {
    words.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use grid_broker::event_words;
    use grid_broker::spool::Limits;

    use super::*;
    use crate::boot::Boot;
    use crate::speaker::Way;

    #[test]
    fn the_event_is_timed_and_of_the_named_boot() {
        let boot = Uuid::from_u128(7);
        let way = Way {
            broker: "127.0.0.1:1".to_owned(),
            appliance: "db1".to_owned(),
            timeout: Duration::from_secs(1),
        };
        let voice = Voice::new(Speaker {
            way,
            boot: Boot::Named(boot),
            state: "state".into(),
            limits: Limits::default(),
            is_broker_given: true,
            is_appliance_given: true,
        });
        let spoken = event_words::parse(["id=log", "msg=x"]).unwrap();
        let (event, doubt) = voice.event(&spoken).unwrap();
        assert_eq!(doubt, None);
        assert_eq!((event.boot_id, event.sequence, event.uptime_ms), (boot.to_string(), 0, 0));
        assert!(event.event_time.is_some());
    }
}
