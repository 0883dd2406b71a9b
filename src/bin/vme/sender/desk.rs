//! The queue of a sender: events of the spool, and the callers that wait for their replies.
//!
//! Guarantees that an event is in the spool before its caller is told so, and that each caller gets
//! the reply if it comes in time. Does not know the broker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use grid_broker::spool::{Exception, Key, Placed, Print, Spool, SpoolError, State, Waiting};
use grid_broker::wire::proto::{AckException, Event, Outcome};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::flow::{Answered, Flow};
use super::telling::Telling;

/// Events that one write appends to the spool.
const EVENTS_AT_ONCE: usize = 256;

/// Bytes of the broker's texts that are stored for another call.
const WORDS_BYTES_MAX: usize = 1 << 10;

/// How often the spool is checked for events of other processes.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A request of a caller to send an event.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) event: Event,
    /// The id of the call.
    pub(crate) call: u64,
    pub(crate) told: mpsc::Sender<Told>,
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// It is in the spool, durably. The reason why it is not sent at once, if there is no session.
    Spooled(Option<String>),
    /// The broker replied; `None`: stored.
    Answered(Option<AckException>),
    /// It could not be spooled, and is dropped.
    Refused(String),
    /// It cannot be sent.
    SetAside(String),
}

/// The queue of one sender.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) spool: Spool,
    orders: Option<mpsc::Receiver<Order>>,
    asking: BTreeMap<Key, mpsc::Sender<Told>>,
    /// Events that were appended as attempted, and are not sent yet.
    unsent: BTreeSet<Key>,
    /// Which event carries the losses.
    telling: Telling,
    /// Events that were sent although the attempt could not be recorded.
    unnoted: BTreeSet<Key>,
    /// Events that wait and are not in flight, in order.
    pub(crate) queue: VecDeque<Waiting>,
    seen: Option<Print>,
    looks: Interval,
    /// Whether new events are sent at once.
    pub(crate) is_online: bool,
    /// Why there is no session, if the last attempt failed.
    pub(crate) failure: Option<String>,
}

impl Desk {
    /// A queue for the spool; without `orders` there are no callers.
    pub(crate) fn new(spool: Spool, orders: Option<mpsc::Receiver<Order>>) -> Self {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            spool,
            orders,
            asking: BTreeMap::new(),
            unsent: BTreeSet::new(),
            telling: Telling::default(),
            unnoted: BTreeSet::new(),
            queue: VecDeque::new(),
            seen: None,
            looks,
            is_online: false,
            failure: None,
        }
    }

    /// Waits for the next request or timer, and handles it.
    pub(crate) async fn attend(&mut self) {
        let order = tokio::select! {
            order = next(&mut self.orders) => order,
            _ = self.looks.tick() => {
                self.asking.retain(|_, told| !told.is_closed());
                return;
            }
        };
        let mut batch = vec![order];
        while let Some(orders) = &mut self.orders
            && batch.len() < EVENTS_AT_ONCE
            && let Ok(order) = orders.try_recv()
        {
            batch.push(order);
        }
        self.take(batch);
    }

    fn take(&mut self, mut batch: Vec<Order>) {
        // A caller that disconnected was told nothing, and may have sent another way.
        batch.retain(|order| !order.told.is_closed());
        let state = if self.is_online { State::Attempted } else { State::Waiting };
        let events = batch.iter().map(|order| (order.event.clone(), order.call)).collect();
        match self.spool.append_calls(events, state) {
            Ok(placed) => {
                for (order, Placed { key, is_new }) in batch.into_iter().zip(placed) {
                    // An event that the call itself appended may have been sent already.
                    if is_new && state == State::Attempted {
                        self.unsent.insert(key);
                    }
                    // A caller that disconnected needs no update.
                    let _ = order.told.try_send(Told::Spooled(self.failure.clone()));
                    self.asking.insert(key, order.told);
                }
            }
            // An event that does not fit must not fail the others.
            Err(_) if batch.len() > 1 => {
                for order in batch {
                    self.take(vec![order]);
                }
            }
            Err(error) => {
                for order in batch {
                    let _ = order.told.try_send(Told::Refused(error.to_string()));
                }
            }
        }
    }

    /// Reads the spool again if it changed; `flow` knows which events are in flight.
    pub(crate) fn look(&mut self, flow: Option<&Flow>) -> Result<(), SpoolError> {
        let print = self.spool.print();
        if print.is_some() && print == self.seen {
            return Ok(());
        }
        let waiting = self.spool.waiting()?;
        let is_under_way = |key| flow.is_some_and(|flow| flow.has(key));
        self.queue = waiting.into_iter().filter(|it| !is_under_way(it.key)).collect();
        // The fingerprint from before the read: later changes are seen the next time.
        self.seen = print;
        Ok(())
    }

    /// Forgets the fingerprint, so that all events without a reply are sent again.
    pub(crate) fn begin_anew(&mut self) {
        self.seen = None;
    }

    /// The event as it is sent: with the losses that it carries.
    pub(crate) fn telling(&mut self, key: Key, event: Event) -> Event {
        self.telling.of(key, event, &self.queue)
    }

    /// Whether that event was never sent.
    pub(crate) fn is_first(&mut self, waiting: &Waiting) -> bool {
        let was_waiting = waiting.state == State::Waiting && !self.unnoted.contains(&waiting.key);
        self.unsent.remove(&waiting.key) || was_waiting
    }

    /// Records that these are about to be sent. If the disk fails, records it in memory: the events
    /// are sent anyway.
    pub(crate) fn attempt(&mut self, keys: BTreeSet<Key>) {
        if let Err(error) = self.spool.attempt(&keys) {
            crate::tell(&error.to_string());
            self.unnoted.extend(keys);
        }
    }

    /// Handles replies of the broker. Returns which events got other numbers.
    pub(crate) fn answered(
        &mut self,
        answered: &[Answered],
    ) -> Result<Vec<(Key, Key)>, SpoolError> {
        let (taken, done): (Vec<&Answered>, Vec<&Answered>) =
            answered.iter().partition(|answer| answer.is_taken);
        let mut unfit = Vec::new();
        for answer in &done {
            self.unnoted.remove(&answer.key);
            self.telling.answered(answer.key);
            match (self.asking.remove(&answer.key), &answer.exception) {
                (Some(told), exception) => drop(told.try_send(Told::Answered(exception.clone()))),
                (None, Some(exception)) if is_unfit(exception) => {
                    unfit.push((answer.key, exception))
                }
                (None, _) => {}
            }
        }
        // No caller waits, and the broker has no record: report it.
        for (key, exception) in unfit {
            let what = format!("the broker does not accept it: {}", words(exception));
            crate::tell(&format!("event {} is quarantined: {what}", key.sequence));
            self.spool.set_aside(key, &what)?;
        }
        if !done.is_empty() {
            let keys = done.iter().map(|answer| answer.key).collect();
            let acked = done.iter().filter(|answer| answer.is_known()).map(|it| it.key).max();
            let exceptions: Vec<Exception> = done.iter().filter_map(|it| exception(it)).collect();
            self.spool.answered(&keys, acked, &exceptions)?;
        }
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let renamed = self.spool.renumber(&taken.iter().map(|answer| answer.key).collect())?;
        for (before, after) in &renamed {
            if let Some(told) = self.asking.remove(before) {
                self.asking.insert(*after, told);
            }
        }
        self.begin_anew();
        Ok(renamed)
    }

    /// Quarantines an event that ended sessions.
    pub(crate) fn set_aside(&mut self, key: Key) -> Result<(), SpoolError> {
        let why = "the broker closed sessions when it was sent";
        if let Some(told) = self.asking.remove(&key) {
            let _ = told.try_send(Told::SetAside(format!("{why}, so it was quarantined")));
        }
        self.begin_anew();
        self.spool.set_aside(key, why)
    }
}

/// The next request; waits for ever if there are no callers.
async fn next(orders: &mut Option<mpsc::Receiver<Order>>) -> Order {
    if let Some(from) = orders
        && let Some(order) = from.recv().await
    {
        return order;
    }
    *orders = None;
    std::future::pending().await
}

/// Whether the broker replied that this is not a valid event.
fn is_unfit(exception: &AckException) -> bool {
    matches!(exception.outcome(), Outcome::Invalid | Outcome::Unsupported)
}

/// The errors as text.
fn words(exception: &AckException) -> String {
    let errors = exception.violations.iter().map(|it| format!("{} {}", it.field, it.description));
    let errors: Vec<_> = errors.collect();
    let text = if errors.is_empty() { exception.explanation.clone() } else { errors.join("; ") };
    grid_broker::show::escape::excerpt(&text).to_string()
}

fn exception(answered: &Answered) -> Option<Exception> {
    let mut answer = answered.exception.clone()?;
    answer.explanation.truncate(answer.explanation.floor_char_boundary(WORDS_BYTES_MAX));
    answer.reason.truncate(answer.reason.floor_char_boundary(WORDS_BYTES_MAX));
    answer.violations.clear();
    let answer = answer.encode_to_vec().into();
    Some(Exception::answered(answered.key, answer))
}
