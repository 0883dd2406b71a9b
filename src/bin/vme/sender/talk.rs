//! The loop of one session from its welcome to its end: sends events, applies acks.
//!
//! Guarantees that an event is recorded as attempted before it is sent, and that the loop ends at
//! the stop condition or when the broker closes the session. Does not know how sessions are opened.

use std::collections::BTreeSet;
use std::time::Duration;

use grid_broker::client::ClientError;
use grid_broker::clock::wall_now;
use grid_broker::spool::{SpoolError, State};
use grid_broker::wire::proto::session_request::Message as Outbound;
use grid_broker::wire::proto::session_response::Message as Inbound;
use grid_broker::wire::proto::{Ack, CommandResult, Goodbye};
use tonic::Status;

use super::flow::{Answered, Flow};
use super::live::{self, Moment};
use super::session::Session;
use super::{Group, Over, Sender, Until};

/// Events that one write records as attempted.
const EVENTS_AT_ONCE: usize = 256;

impl Sender<'_> {
    pub(super) async fn listen(
        &mut self,
        group: &Group,
        mut session: Session,
        flow: &mut Flow,
    ) -> Result<Over, SpoolError> {
        let over = |error| Ok(Over { error, asked: Duration::ZERO });
        loop {
            self.desk.is_online = true;
            self.desk.look(Some(flow))?;
            if !self.say_what_fits(group, &session, flow) {
                return over(Some(
                    Status::unavailable("the session accepts no more events").into(),
                ));
            }
            let is_others_turn = self.desk.queue.front().is_some_and(|next| !group.has(next));
            if flow.is_quiet() && (is_others_turn || self.is_done()?) {
                session.send(Outbound::Goodbye(Goodbye { reason: "done".to_owned() }));
                return over(None);
            }
            tokio::select! {
                heard = session.hear() => match heard {
                    Ok(Some(Inbound::Ack(ack))) => {
                        if let Err(error) = self.acked(flow, &ack)? {
                            return over(Some(error));
                        }
                    }
                    Ok(Some(Inbound::GoAway(away))) => {
                        let address = Some(away.address).filter(|it| !it.is_empty());
                        self.elsewhere = address;
                        let asked = Duration::from_millis(u64::from(away.retry_after_ms));
                        let error = Some(Status::unavailable(away.explanation).into());
                        return Ok(Over { error, asked });
                    }
                    Ok(Some(Inbound::Command(command))) => {
                        let text = "this vme supports no commands".to_owned();
                        let command_id = command.command_id;
                        let result = CommandResult { command_id, done: false, text };
                        session.send(Outbound::CommandResult(result));
                    }
                    Ok(Some(Inbound::Notice(_) | Inbound::Welcome(_))) => {}
                    Ok(None) => return over(Some(Status::unavailable("it closed the session").into())),
                    Err(status) => {
                        let error = ClientError::of_call(&self.speaker.way.broker, status);
                        return over(Some(error));
                    }
                },
                () = self.desk.attend() => {}
            }
        }
    }

    /// Sends what the window allows; while an event is suspected, one at a time. `false`: the
    /// session accepts no more.
    fn say_what_fits(&mut self, group: &Group, session: &Session, flow: &mut Flow) -> bool {
        let moment = self.moment();
        let is_careful = self.strikes.is_careful();
        // A call that has its reply leaves the other events to others.
        while self.answer.is_none() {
            let (mut events, mut waiting) = (Vec::new(), BTreeSet::new());
            while events.len() < EVENTS_AT_ONCE
                && let Some(next) = self.desk.queue.front()
                && group.has(next)
                && flow.has_room(next.event.len())
                && (flow.is_quiet() || !is_careful)
                && let Some(next) = self.desk.queue.pop_front()
            {
                // Every entry was an event when it was appended, and its checksum is valid.
                let Some(event) = live::as_sent(&next, &moment) else { continue };
                let is_of_this_boot = event.boot_id.is_empty() || event.boot_id == moment.boot;
                let is_first = self.desk.is_first(&next);
                flow.sent(next.key, next.event.len(), is_first, is_of_this_boot);
                if next.state == State::Waiting {
                    waiting.insert(next.key);
                }
                events.push(self.desk.telling(next.key, event));
            }
            if events.is_empty() {
                return true;
            }
            self.desk.attempt(waiting);
            if !events.into_iter().all(|event| session.say(event)) {
                return false;
            }
        }
        true
    }

    fn moment(&self) -> Moment {
        let boot = &self.speaker.boot;
        Moment {
            boot: boot.any_id().map_or_else(String::new, |id| id.to_string()),
            uptime_ms: boot.uptime_ms(),
            wall: wall_now(),
        }
    }

    fn acked(&mut self, flow: &mut Flow, ack: &Ack) -> Result<Result<(), ClientError>, SpoolError> {
        let answered: Vec<Answered> = match flow.acked(ack) {
            Ok(answered) => answered,
            // An error of the broker, not of an event.
            Err(breach) => return Ok(Err(Status::unavailable(breach.to_string()).into())),
        };
        for answer in &answered {
            self.strikes.answered(answer.key);
            if matches!(self.until, Until::Answered(key) if key == answer.key) && !answer.is_taken {
                self.answer = Some(answer.exception.clone());
            }
        }
        for (before, after) in self.desk.answered(&answered)? {
            if let Until::Answered(key) = &mut self.until
                && *key == before
            {
                *key = after;
            }
        }
        Ok(Ok(()))
    }
}
