//! The loop of one session from its welcome to its end: sends events, applies acks.
//!
//! Guarantees that an event is recorded as attempted before it is sent, and that the loop ends at
//! the stop condition or when the broker closes the session. Does not know how sessions are opened.

use std::collections::BTreeSet;
use std::time::Duration;

use grid_broker::client::ClientError;
use grid_broker::clock::wall_now;
use grid_broker::contract::proto::session_request::Message as Outbound;
use grid_broker::contract::proto::session_response::Message as Inbound;
use grid_broker::contract::proto::{Ack, Goodbye};
use grid_broker::spool::{EntryState, SpoolError};
use tonic::Status;

use super::session::Session;
use super::{BatchKey, SessionResult, SpoolSender, StopWhen};
use crate::appliance_access::redirected;
use crate::crash_dump::session_duty::SessionDuty;
use crate::sender::in_flight::{AckedEvent, InFlightWindow};
use crate::sender::stamp;
use crate::sender::stamp::SendContext;

/// Events that one write records as attempted.
const BATCH_EVENTS: usize = 256;

impl SpoolSender<'_> {
    pub(super) async fn session_loop(
        &mut self,
        group: &BatchKey,
        mut session: Session,
        flow: &mut InFlightWindow,
        duty: &mut SessionDuty<'_>,
    ) -> Result<SessionResult, SpoolError> {
        let ended = |error| Ok(SessionResult { error, retry_after: Duration::ZERO });
        loop {
            self.queue.is_online = true;
            self.queue.refresh(Some(flow))?;
            if !self.send_pending(group, &session, flow) {
                return ended(Some(
                    Status::unavailable("the session accepts no more events").into(),
                ));
            }
            let is_others_turn =
                self.queue.pending.front().is_some_and(|next| !group.matches(next));
            if flow.is_empty() && (is_others_turn || self.is_done()?) {
                session.send_message(Outbound::Goodbye(Goodbye { reason: "done".to_owned() }));
                return ended(None);
            }
            tokio::select! {
                message = session.next_message() => match message {
                    Ok(Some(Inbound::Ack(ack))) => {
                        if let Err(error) = self.on_ack(flow, &ack)? {
                            return ended(Some(error));
                        }
                    }
                    Ok(Some(Inbound::GoAway(away))) => {
                        let address = Some(away.address).filter(|it| !it.is_empty());
                        let from = &self.config.target.broker;
                        self.redirect = address.map(|to| redirected(from, &to));
                        let retry_after = Duration::from_millis(u64::from(away.retry_after_ms));
                        let error = Some(Status::unavailable(away.explanation).into());
                        return Ok(SessionResult { error, retry_after });
                    }
                    Ok(Some(Inbound::Command(command))) => {
                        session.send_message(Outbound::CommandResult(duty.on_command(&command)));
                    }
                    Ok(Some(Inbound::Notice(notice))) => duty.on_notice(&notice),
                    Ok(Some(Inbound::Welcome(_))) => {}
                    Ok(None) => return ended(Some(Status::unavailable("it closed the session").into())),
                    Err(status) => {
                        let error = ClientError::from_status(&self.config.target.broker, status);
                        return ended(Some(error));
                    }
                },
                () = duty.due() => {
                    if let Some(readiness) = duty.act() {
                        session.send_message(Outbound::CrashDump(readiness));
                    }
                }
                () = self.queue.poll() => {}
            }
        }
    }

    /// Sends what the window allows; while an event is suspected, one at a time. `false`: the
    /// session accepts no more.
    fn send_pending(
        &mut self,
        group: &BatchKey,
        session: &Session,
        flow: &mut InFlightWindow,
    ) -> bool {
        let moment = self.send_context();
        let is_careful = self.poison.is_probing();
        // A call that has its reply leaves the other events to others.
        while self.awaited_reply.is_none() {
            let (mut events, mut waiting) = (Vec::new(), BTreeSet::new());
            while events.len() < BATCH_EVENTS
                && let Some(next) = self.queue.pending.front()
                && group.matches(next)
                && flow.has_room(next.event.len())
                && (flow.is_empty() || !is_careful)
                && let Some(next) = self.queue.pending.pop_front()
            {
                // Every entry was an event when it was appended, and its checksum is valid.
                let Some(event) = stamp::stamp(&next, &moment) else { continue };
                let is_of_this_boot = event.boot_id.is_empty() || event.boot_id == moment.boot;
                let is_first = self.queue.is_first_attempt(&next);
                flow.push(next.key, next.event.len(), is_first, is_of_this_boot);
                if next.state == EntryState::Waiting {
                    waiting.insert(next.key);
                }
                events.push(self.queue.with_losses(next.key, event));
            }
            if events.is_empty() {
                return true;
            }
            self.queue.record_attempts(waiting);
            if !events.into_iter().all(|event| session.send_event(event)) {
                return false;
            }
        }
        true
    }

    fn send_context(&self) -> SendContext {
        let boot = &self.config.boot;
        SendContext {
            boot: boot.any_id().map_or_else(String::new, |id| id.to_string()),
            uptime_ms: boot.uptime_ms(),
            wall_time: wall_now(),
        }
    }

    fn on_ack(
        &mut self,
        flow: &mut InFlightWindow,
        ack: &Ack,
    ) -> Result<Result<(), ClientError>, SpoolError> {
        let answered: Vec<AckedEvent> = match flow.apply_ack(ack) {
            Ok(answered) => answered,
            // An error of the broker, not of an event.
            Err(breach) => return Ok(Err(Status::unavailable(breach.to_string()).into())),
        };
        for answer in &answered {
            self.poison.event_acked(answer.key);
            if matches!(self.stop_when, StopWhen::Acked(key) if key == answer.key)
                && !answer.is_number_taken
            {
                self.awaited_reply = Some(answer.exception.clone());
            }
        }
        for (before, after) in self.queue.on_acked(&answered)? {
            if let StopWhen::Acked(key) = &mut self.stop_when
                && *key == before
            {
                *key = after;
            }
        }
        Ok(Ok(()))
    }
}
