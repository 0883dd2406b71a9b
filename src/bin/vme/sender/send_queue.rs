//! The queue of a sender: events of the spool, and the callers that wait for their replies.
//!
//! Guarantees that an event is in the spool before its caller is told so, and that each caller gets
//! the reply if it comes in time. Does not know the broker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use grid_broker::contract::proto::{AckException, Event, Outcome};
use grid_broker::spool::{
    AppendedEvent, EntryState, EventKey, FileFingerprint, Spool, SpoolError, StoredReply,
    WaitingEvent,
};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::sender::in_flight::{AckedEvent, InFlightWindow};
use crate::sender::loss_report::LossReport;

/// Events that one write appends to the spool.
const BATCH_EVENTS: usize = 256;

/// Bytes of the broker's texts that are stored for another call.
const REPLY_TEXT_BYTES_MAX: usize = 1 << 10;

/// How often the spool is checked for events of other processes.
const REFRESH_INTERVAL: Duration = Duration::from_millis(500);

/// A request of a caller to send an event.
#[derive(Debug)]
pub(crate) struct SendRequest {
    pub(crate) event: Event,
    /// The id of the call.
    pub(crate) call: u64,
    pub(crate) updates: mpsc::Sender<SendUpdate>,
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SendUpdate {
    /// It is in the spool, durably. The reason why it is not sent at once, if there is no session.
    Spooled(Option<String>),
    /// The broker replied; `None`: stored.
    Acknowledged(Option<AckException>),
    /// It could not be spooled, and is dropped.
    NotSpooled(String),
    /// It cannot be sent.
    Quarantined(String),
}

/// The queue of one sender.
#[derive(Debug)]
pub(crate) struct SendQueue {
    pub(crate) spool: Spool,
    requests: Option<mpsc::Receiver<SendRequest>>,
    waiters: BTreeMap<EventKey, mpsc::Sender<SendUpdate>>,
    /// Events that were appended as attempted, and are not sent yet.
    unsent: BTreeSet<EventKey>,
    /// Which event carries the losses.
    loss_report: LossReport,
    /// Events that were sent although the attempt could not be recorded.
    unrecorded: BTreeSet<EventKey>,
    /// Events that wait and are not in flight, in order.
    pub(crate) pending: VecDeque<WaitingEvent>,
    fingerprint: Option<FileFingerprint>,
    poll_timer: Interval,
    /// Whether new events are sent at once.
    pub(crate) is_online: bool,
    /// Why there is no session, if the last attempt failed.
    pub(crate) last_error: Option<String>,
}

impl SendQueue {
    /// A queue for the spool; without `orders` there are no callers.
    pub(crate) fn new(spool: Spool, requests: Option<mpsc::Receiver<SendRequest>>) -> Self {
        let mut poll_timer = interval(REFRESH_INTERVAL);
        poll_timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            spool,
            requests,
            waiters: BTreeMap::new(),
            unsent: BTreeSet::new(),
            loss_report: LossReport::default(),
            unrecorded: BTreeSet::new(),
            pending: VecDeque::new(),
            fingerprint: None,
            poll_timer,
            is_online: false,
            last_error: None,
        }
    }

    /// Waits for the next request or timer, and handles it.
    pub(crate) async fn poll(&mut self) {
        let request = tokio::select! {
            request = next_request(&mut self.requests) => request,
            _ = self.poll_timer.tick() => {
                self.waiters.retain(|_, updates| !updates.is_closed());
                return;
            }
        };
        let mut batch = vec![request];
        while let Some(requests) = &mut self.requests
            && batch.len() < BATCH_EVENTS
            && let Ok(request) = requests.try_recv()
        {
            batch.push(request);
        }
        self.enqueue(batch);
    }

    fn enqueue(&mut self, mut batch: Vec<SendRequest>) {
        // A caller that disconnected was told nothing, and may have sent another way.
        batch.retain(|request| !request.updates.is_closed());
        let state = if self.is_online { EntryState::Attempted } else { EntryState::Waiting };
        let events = batch.iter().map(|request| (request.event.clone(), request.call)).collect();
        match self.spool.append_once(events, state) {
            Ok(appended) => {
                for (request, AppendedEvent { key, is_new }) in batch.into_iter().zip(appended) {
                    // An event that the call itself appended may have been sent already.
                    if is_new && state == EntryState::Attempted {
                        self.unsent.insert(key);
                    }
                    // A caller that disconnected needs no update.
                    let _ = request.updates.try_send(SendUpdate::Spooled(self.last_error.clone()));
                    self.waiters.insert(key, request.updates);
                }
            }
            // An event that does not fit must not fail the others.
            Err(_) if batch.len() > 1 => {
                for request in batch {
                    self.enqueue(vec![request]);
                }
            }
            Err(error) => {
                for request in batch {
                    let _ = request.updates.try_send(SendUpdate::NotSpooled(error.to_string()));
                }
            }
        }
    }

    /// Reads the spool again if it changed; `flow` knows which events are in flight.
    pub(crate) fn refresh(&mut self, flow: Option<&InFlightWindow>) -> Result<(), SpoolError> {
        let fingerprint = self.spool.fingerprint();
        if fingerprint.is_some() && fingerprint == self.fingerprint {
            return Ok(());
        }
        let waiting = self.spool.waiting()?;
        let is_under_way = |key| flow.is_some_and(|flow| flow.contains(key));
        self.pending = waiting.into_iter().filter(|it| !is_under_way(it.key)).collect();
        // The fingerprint from before the read: later changes are seen the next time.
        self.fingerprint = fingerprint;
        Ok(())
    }

    /// Forgets the fingerprint, so that all events without a reply are sent again.
    pub(crate) fn invalidate(&mut self) {
        self.fingerprint = None;
    }

    /// The event as it is sent: with the losses that it carries.
    pub(crate) fn with_losses(&mut self, key: EventKey, event: Event) -> Event {
        self.loss_report.attach(key, event, &self.pending)
    }

    /// Whether that event was never sent.
    pub(crate) fn is_first_attempt(&mut self, waiting: &WaitingEvent) -> bool {
        let was_waiting =
            waiting.state == EntryState::Waiting && !self.unrecorded.contains(&waiting.key);
        self.unsent.remove(&waiting.key) || was_waiting
    }

    /// Records that these are about to be sent. If the disk fails, records it in memory: the events
    /// are sent anyway.
    pub(crate) fn record_attempts(&mut self, keys: BTreeSet<EventKey>) {
        if let Err(error) = self.spool.record_attempts(&keys) {
            crate::print_line(&error.to_string());
            self.unrecorded.extend(keys);
        }
    }

    /// Handles replies of the broker. Returns which events got other numbers.
    pub(crate) fn on_acked(
        &mut self,
        answered: &[AckedEvent],
    ) -> Result<Vec<(EventKey, EventKey)>, SpoolError> {
        let (taken, done): (Vec<&AckedEvent>, Vec<&AckedEvent>) =
            answered.iter().partition(|answer| answer.is_number_taken);
        let mut invalid = Vec::new();
        for answer in &done {
            self.unrecorded.remove(&answer.key);
            self.loss_report.event_acked(answer.key);
            match (self.waiters.remove(&answer.key), &answer.exception) {
                (Some(updates), exception) => {
                    drop(updates.try_send(SendUpdate::Acknowledged(exception.clone())))
                }
                (None, Some(exception)) if is_invalid(exception) => {
                    invalid.push((answer.key, exception))
                }
                (None, _) => {}
            }
        }
        // No caller waits, and the broker has no record: report it.
        for (key, exception) in invalid {
            let what = format!("the broker does not accept it: {}", describe_exception(exception));
            crate::print_line(&format!("event {} is quarantined: {what}", key.sequence));
            self.spool.quarantine(key, &what)?;
        }
        if !done.is_empty() {
            let keys = done.iter().map(|answer| answer.key).collect();
            let acked = done.iter().filter(|answer| answer.advances_ack()).map(|it| it.key).max();
            let exceptions: Vec<StoredReply> =
                done.iter().filter_map(|it| stored_reply(it)).collect();
            self.spool.acknowledge(&keys, acked, &exceptions)?;
        }
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let renamed = self.spool.renumber(&taken.iter().map(|answer| answer.key).collect())?;
        for (before, after) in &renamed {
            if let Some(updates) = self.waiters.remove(before) {
                self.waiters.insert(*after, updates);
            }
        }
        self.invalidate();
        Ok(renamed)
    }

    /// Quarantines an event that ended sessions.
    pub(crate) fn quarantine(&mut self, key: EventKey) -> Result<(), SpoolError> {
        let why = "the broker closed sessions when it was sent";
        if let Some(updates) = self.waiters.remove(&key) {
            let _ =
                updates.try_send(SendUpdate::Quarantined(format!("{why}, so it was quarantined")));
        }
        self.invalidate();
        self.spool.quarantine(key, why)
    }
}

/// The next request; waits for ever if there are no callers.
async fn next_request(requests: &mut Option<mpsc::Receiver<SendRequest>>) -> SendRequest {
    if let Some(from) = requests
        && let Some(request) = from.recv().await
    {
        return request;
    }
    *requests = None;
    std::future::pending().await
}

/// Whether the broker replied that this is not a valid event.
fn is_invalid(exception: &AckException) -> bool {
    matches!(exception.outcome(), Outcome::Invalid | Outcome::Unsupported)
}

/// The errors as text.
fn describe_exception(exception: &AckException) -> String {
    let errors = exception.violations.iter().map(|it| format!("{} {}", it.field, it.description));
    let errors: Vec<_> = errors.collect();
    let text = if errors.is_empty() { exception.explanation.clone() } else { errors.join("; ") };
    grid_broker::show::escape::excerpt(&text).to_string()
}

fn stored_reply(answered: &AckedEvent) -> Option<StoredReply> {
    let mut answer = answered.exception.clone()?;
    answer.explanation.truncate(answer.explanation.floor_char_boundary(REPLY_TEXT_BYTES_MAX));
    answer.reason.truncate(answer.reason.floor_char_boundary(REPLY_TEXT_BYTES_MAX));
    answer.violations.clear();
    let answer = answer.encode_to_vec().into();
    Some(StoredReply::from_broker(answered.key, answer))
}
