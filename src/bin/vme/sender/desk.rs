//! What is there to send, and who waits for the answer?
//!
//! Between the spool and whoever asks this process to say something. Guarantees that an event is in the
//! spool before anybody is told so, and that each who asked hears the answer if it comes in time. Does
//! not know the broker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use grid_broker::spool::{Exception, Key, Placed, Print, Spool, SpoolError, State, Waiting};
use grid_broker::wire::proto::{AckException, Event, Outcome};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::flow::{Answered, Flow};
use super::telling::Telling;

/// Events that are put into the spool by one write.
const EVENTS_AT_ONCE: usize = 256;

/// What is kept of the broker's words for another call, in bytes.
const WORDS_BYTES_MAX: usize = 1 << 10;

/// How often it is looked whether others put something into the spool.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An event that this process is asked to say.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) event: Event,
    /// The call that says it.
    pub(crate) call: u64,
    pub(crate) told: mpsc::Sender<Told>,
}

/// What whoever asked is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// It is in the spool, durably. Why it is not sent at once, if there is no session.
    Spooled(Option<String>),
    /// The broker answered; `None`: it was simply kept.
    Answered(Option<AckException>),
    /// It could not be put into the spool, so nothing came of it.
    Refused(String),
    /// It can't be said.
    SetAside(String),
}

/// The desk.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) spool: Spool,
    orders: Option<mpsc::Receiver<Order>>,
    asking: BTreeMap<Key, mpsc::Sender<Told>>,
    /// Events put there as about to be sent, and not sent yet.
    unsent: BTreeSet<Key>,
    /// By which event losses are told.
    telling: Telling,
    /// Events that were sent though that could not be noted.
    unnoted: BTreeSet<Key>,
    /// What waits and is not under way, in order.
    pub(crate) queue: VecDeque<Waiting>,
    seen: Option<Print>,
    looks: Interval,
    /// Whether what comes is sent at once.
    pub(crate) is_online: bool,
    /// Why there is no session, if the last try failed.
    pub(crate) failure: Option<String>,
}

impl Desk {
    /// A desk for that spool; without `orders` nobody asks.
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

    /// Waits for something to happen here, and does what is to be done about it.
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
        // Whoever has gone was told nothing, and may have found another way.
        batch.retain(|order| !order.told.is_closed());
        let state = if self.is_online { State::Attempted } else { State::Waiting };
        let events = batch.iter().map(|order| (order.event.clone(), order.call)).collect();
        match self.spool.append_calls(events, state) {
            Ok(placed) => {
                for (order, Placed { key, is_new }) in batch.into_iter().zip(placed) {
                    // One that the call put there itself was perhaps sent already.
                    if is_new && state == State::Attempted {
                        self.unsent.insert(key);
                    }
                    // Whoever has gone does not mind.
                    let _ = order.told.try_send(Told::Spooled(self.failure.clone()));
                    self.asking.insert(key, order.told);
                }
            }
            // One that has no place must not take the others with it.
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

    /// Brings the queue up to date, if the spool changed; `flow` knows what is under way.
    pub(crate) fn look(&mut self, flow: Option<&Flow>) -> Result<(), SpoolError> {
        let print = self.spool.print();
        if print.is_some() && print == self.seen {
            return Ok(());
        }
        let waiting = self.spool.waiting()?;
        let is_under_way = |key| flow.is_some_and(|flow| flow.has(key));
        self.queue = waiting.into_iter().filter(|it| !is_under_way(it.key)).collect();
        // As it was before it was read: what came meanwhile is seen the next time.
        self.seen = print;
        Ok(())
    }

    /// Forgets what it saw: all that is not answered is to be sent again.
    pub(crate) fn begin_anew(&mut self) {
        self.seen = None;
    }

    /// An event out of the queue as it is sent: with the losses that it is to tell of.
    pub(crate) fn telling(&mut self, key: Key, event: Event) -> Event {
        self.telling.of(key, event, &self.queue)
    }

    /// Whether that event was never sent.
    pub(crate) fn is_first(&mut self, waiting: &Waiting) -> bool {
        let was_waiting = waiting.state == State::Waiting && !self.unnoted.contains(&waiting.key);
        self.unsent.remove(&waiting.key) || was_waiting
    }

    /// Notes that these are about to be sent. Where the disk does not take the note, it is kept here:
    /// that is no reason to keep silent.
    pub(crate) fn attempt(&mut self, keys: BTreeSet<Key>) {
        if let Err(error) = self.spool.attempt(&keys) {
            crate::tell(&error.to_string());
            self.unnoted.extend(keys);
        }
    }

    /// The broker answered. Gives which events came to bear other numbers.
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
        // Nobody waits to hear it, and the broker has no record: somebody has to be told.
        for (key, exception) in unfit {
            let what = format!("the broker does not take it: {}", words(exception));
            crate::tell(&format!("event {} is set aside: {what}", key.sequence));
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

    /// Takes an event out for good.
    pub(crate) fn set_aside(&mut self, key: Key) -> Result<(), SpoolError> {
        let why = "sessions ended when it was sent";
        if let Some(told) = self.asking.remove(&key) {
            let _ = told.try_send(Told::SetAside(format!("{why}, so it was set aside")));
        }
        self.begin_anew();
        self.spool.set_aside(key, why)
    }
}

/// The next order; without anybody who could give one it never comes.
async fn next(orders: &mut Option<mpsc::Receiver<Order>>) -> Order {
    if let Some(from) = orders
        && let Some(order) = from.recv().await
    {
        return order;
    }
    *orders = None;
    std::future::pending().await
}

/// Whether the broker says that this is no event at all.
fn is_unfit(exception: &AckException) -> bool {
    matches!(exception.outcome(), Outcome::Invalid | Outcome::Unsupported)
}

/// What is wrong, in words.
fn words(exception: &AckException) -> String {
    let wrong = exception.violations.iter().map(|it| format!("{} {}", it.field, it.description));
    let wrong: Vec<_> = wrong.collect();
    let words = if wrong.is_empty() { exception.explanation.clone() } else { wrong.join("; ") };
    grid_broker::show::escape::excerpt(&words).to_string()
}

fn exception(answered: &Answered) -> Option<Exception> {
    let mut answer = answered.exception.clone()?;
    answer.explanation.truncate(answer.explanation.floor_char_boundary(WORDS_BYTES_MAX));
    answer.reason.truncate(answer.reason.floor_char_boundary(WORDS_BYTES_MAX));
    answer.violations.clear();
    let answer = answer.encode_to_vec().into();
    Some(Exception::answered(answered.key, answer))
}
