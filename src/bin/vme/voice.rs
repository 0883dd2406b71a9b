//! Says events for every command of vme alike, and what became of each.
//!
//! The agent says it, if there is one. Otherwise this call does by itself: at once if nothing waits,
//! else behind what waits in the spool. Guarantees one line for people and one exit code an event,
//! whatever way it went, and that "spooled" is said only of what is on the disk. Does not know why an
//! event is said.

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

/// The first and the longest pause between tries of a call that waits.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// For people, without `vme: `; one line.
    pub(crate) line: String,
    /// For scripts.
    pub(crate) exit_code: ExitCode,
}

/// Says events as one speaker.
#[derive(Debug)]
pub(crate) struct Voice {
    speaker: Speaker,
    patience: Patience,
}

impl Voice {
    pub(crate) fn new(speaker: Speaker) -> Self {
        Self { speaker, patience: Patience::default() }
    }

    /// Who speaks.
    pub(crate) fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// Who spoke.
    pub(crate) fn into_speaker(self) -> Speaker {
        self.speaker
    }

    /// vme is told to end: what is said ends soon, in the spool if the broker does not answer.
    pub(crate) fn hurry(&self) {
        self.patience.hurry();
    }

    /// Says one event, and waits for what becomes of it as long as the speaker's patience lasts.
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
        // Should an agent take it without saying so, it is not spooled a second time.
        let call = Uuid::new_v4().as_u64_pair().1;
        let asking = client::ask(&self.speaker, &event, call, deadline);
        let asked = self.patience.in_time(deadline, asking).await.unwrap_or_else(|| {
            let why = "it takes its time".to_owned();
            Asked::NotTaken(Some(NotTaken::Broken(why)))
        });
        match asked {
            Asked::Answered(exception) => Fate::Answered(answer(exception)),
            Asked::SetAside(why) => Fate::Lost { why, exit_code: ExitCode::Failed },
            // Should the agent have gone since, somebody else has to send it.
            Asked::Spooled(why) => match self.speaker.spool() {
                Ok(spool) => self.left_behind(&spool, Fate::Spooled(why)),
                Err(_) => Fate::Spooled(why),
            },
            Asked::NotTaken(Some(NotTaken::NotSpooled(why) | NotTaken::NotMine(why))) => {
                self.unspooled(event, &why, deadline).await
            }
            // By no session could the spool be sent.
            Asked::NotTaken(None) if self.speaker.boot.any_id().is_none() => {
                self.unspooled(event, "this boot has no id", deadline).await
            }
            Asked::NotTaken(None) => match self.speaker.spool() {
                Ok(spool) => self.alone(&spool, event, call, deadline).await,
                Err(error) => self.unspooled(event, &error.to_string(), deadline).await,
            },
            // Perhaps it took the event: only by the spool it can be found out.
            Asked::NotTaken(Some(NotTaken::Broken(why))) => {
                let behind = match self.speaker.spool() {
                    Ok(spool) => {
                        let fate = self.behind_others(&spool, &event, call, deadline).await;
                        fate.map(|fate| self.left_behind(&spool, fate))
                    }
                    Err(error) => Err(error),
                };
                behind.unwrap_or_else(|error| {
                    let why = format!("the agent does not answer ({why}); not spooled: {error}");
                    Fate::Lost { why, exit_code: ExitCode::Unavailable }
                })
            }
        }
    }

    /// Says it without an agent.
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

    /// What is spooled has somebody to send it.
    fn left_behind(&self, spool: &Spool, fate: Fate) -> Fate {
        if matches!(fate, Fate::Spooled(_))
            && let Err(error) = drain::leave_one(&self.speaker, spool)
        {
            crate::tell(&format!("nobody is left to send it later: {error}"));
        }
        fate
    }

    /// The error means that the event is nowhere.
    async fn by_spool(
        &self,
        spool: &Spool,
        event: &Event,
        call: u64,
        deadline: Instant,
    ) -> Result<Fate, SpoolError> {
        // Nobody sends, and nothing waits: no need for the spool.
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

    /// Sends it before it is spooled; only if that fails it is. `None`: the broker knows its number as
    /// another event's, and others wait by now.
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
                    // The broker knows the number of an event that it never heard: the numbers come
                    // from a backup, or from a copy of this machine.
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

    /// Puts it behind what waits.
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
            // It is in the spool by now, whatever comes in the way of the answer.
            Err(error) if spool.is_there() => Ok(Fate::Spooled(error.to_string())),
            Err(error) => {
                Ok(Fate::Lost { why: error.to_string(), exit_code: ExitCode::Unavailable })
            }
        }
    }

    /// Waits until an event of the spool is answered, and sends what waits unless somebody else does.
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
                return Ok(Fate::Spooled("others wait before it".to_owned()));
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
                sender.failure().unwrap_or("the broker takes its time").to_owned()
            }
        }))
    }

    /// Sends it without the spool, under an id of its own.
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

    /// The event, with its boot and times.
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

/// Failures that name several fields have several lines.
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
