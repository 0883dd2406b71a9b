//! Runs the broker's event loop: wait, decide, append, acknowledge, publish. Start reading here.
//!
//! ```text
//! handlers --queue--> [ wait | decide | append (fdatasync) | reply, publish ] --> handlers
//! ```
//!
//! One thread owns the grid and the journal. It takes the queued requests, passes each with its time
//! to the pure core, appends the records as one commit, and only then replies. While one commit is
//! being synced, the next requests collect in the queue: group commit without a timer.
//!
//! Guarantees that nothing is published before it is durable, that a deadline fires only after
//! everything received before it was decided, and that a failed append ends the loop with its error.
//! Does not know gRPC or how records are encoded.

mod backlog;
mod beginning;
mod checkpoint;
mod counting;
mod look;
mod lost_time;
mod mailing;
mod queue;
mod rows;
mod settings;
mod signs;
mod start;
mod tallies;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::time::Instant;

use crate::clock::{Clock, monotonic_now};
use crate::grid::decide::{Answer, Decision, Release};
use crate::grid::driver::Driver;
use crate::grid::effect::Effect;
use crate::grid::mail::MessageNumber;
use crate::grid::marks::Marks;
use crate::grid::name::ApplianceNumber;
use crate::grid::occurrence::Occurrence;
use crate::grid::record::{Heard, Input, Outcome, Record};
use crate::grid::time::Timestamp;
use crate::journal::{EncodedRecord, Journal, JournalError, Mark, encoding};
use crate::metrics::Metrics;

pub use backlog::Backlog;
use backlog::Deadlines;
pub use look::{Commits, NoAnswer};
use lost_time::Wall;
pub use mailing::Deliver;
pub use queue::{
    Broker, Brought, Changed, EventAnswer, HeardEvent, Names, Ordered, SessionKey, Unavailable,
    Welcomed,
};
use queue::{Item, Reply, Work};
pub use rows::Greeting;
pub use settings::Reconfiguration;
pub use start::{StartError, Started, start};
use upkeep::Upkeep;

/// Most items decided in one commit.
const ITEMS_PER_COMMIT: usize = 4_096;

/// Most events decided in one commit; the item that exceeds it is the last. Those without records
/// take no bytes, but time.
const EVENTS_PER_COMMIT: usize = 16_384;

/// Most bytes of records in one commit; the item that exceeds it is the last.
const BYTES_PER_COMMIT: usize = 4 << 20;

/// Most deadlines judged in one commit.
const DEADLINES_PER_COMMIT: usize = 4_096;

/// How much later than one received after it an item may reach the queue.
const ARRIVAL_SPREAD: Duration = Duration::from_secs(1);

/// How long an item may have waited for room in a queue that is full.
const OVERLOAD_SPREAD: Duration = Duration::from_secs(10);

/// The loop looks around at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The loop with all it owns.
struct Loop {
    /// The grid, and the replies that wait for its records.
    driver: Driver<Reply>,
    journal: Journal,
    clock: Clock,
    wall: Wall,
    names: Names,
    changes: broadcast::Sender<Changed>,
    commit: Commit,
    /// A checkpoint is written after so many records.
    checkpoint_records: u64,
    checkpointed: u64,
    checkpointed_at: Instant,
    last_turn: Timestamp,
    upkeep: Upkeep,
    /// The way to whoever delivers mails.
    courier: mpsc::Sender<Deliver>,
    /// Deadlines that came and are not judged yet.
    deadlines: Deadlines,
    /// What the queue has left, in KiB.
    room: Arc<Semaphore>,
    metrics: Metrics,
}

/// What one turn decided and nobody has heard of yet.
#[derive(Default)]
struct Commit {
    items: usize,
    events: usize,
    records: Vec<EncodedRecord>,
    bytes: usize,
    changed: Vec<ApplianceNumber>,
    /// Mails that the courier is to have.
    mails: Vec<MessageNumber>,
    all_changed: bool,
}

impl Commit {
    fn is_full(&self) -> bool {
        self.items >= ITEMS_PER_COMMIT
            || self.events >= EVENTS_PER_COMMIT
            || self.bytes >= BYTES_PER_COMMIT
    }
}

/// The next request, or `None` if none arrives until then.
async fn wait(queue: &mut mpsc::Receiver<Item>, until: Instant) -> Option<Item> {
    tokio::time::timeout_at(until, queue.recv()).await.ok().flatten()
}

impl Loop {
    /// Runs until it is stopped, or the journal fails.
    fn run(
        mut self,
        mut queue: mpsc::Receiver<Item>,
        runtime: &Handle,
    ) -> Result<(), JournalError> {
        loop {
            self.turned();
            let ready = self.clock.now();
            let busy = ready.since(self.last_turn);
            let (pause, waiting) = (self.wait_until(ready).since(ready), self.clock.lived());
            let first = runtime.block_on(wait(&mut queue, monotonic_now() + pause));
            let waited = self.clock.lived().saturating_sub(waiting);
            let overslept = waited.saturating_sub(pause);
            self.follow_wall();
            let now = self.clock.now();
            // After oversleeping, the whole wait may have been a pause.
            let away = if overslept > lost_time::LATE_TURN { waited } else { Duration::ZERO };
            self.credit_late_turn(now, busy.max(away));
            self.look_after_journal(now);
            let stops = self.decide_waiting(first, &mut queue, now.before(busy));
            if stops {
                return self.stop(queue);
            }
            self.tally_if_due();
            self.append_and_tell()?;
            self.checkpoint_if_due()?;
        }
    }

    /// When to run even if no request arrives.
    fn wait_until(&self, ready: Timestamp) -> Timestamp {
        let longest = ready.after(LONGEST_WAIT);
        let deadlines = self.deadlines.look_at(ready);
        let wakes =
            [deadlines, self.driver.grid().poll_timeout(), self.driver.flush_due(), Some(longest)];
        wakes.into_iter().flatten().min().unwrap_or(longest)
    }

    /// Decides the queued requests, as many as fit into a commit, then the deadlines before which
    /// everything received was decided: at the latest those of `decided_until`, when sessions last had
    /// their replies and could submit their next events. Returns whether the loop is to stop.
    fn decide_waiting(
        &mut self,
        first: Option<Item>,
        queue: &mut mpsc::Receiver<Item>,
        mut decided_until: Timestamp,
    ) -> bool {
        let mut next = first;
        if self.room.available_permits() == 0 {
            decided_until = decided_until.before(OVERLOAD_SPREAD);
        }
        while let Some(item) = next {
            if let Work::Stop = item.work {
                return true;
            }
            let at = self.clock.at(item.at);
            self.decide(item);
            if self.commit.is_full() {
                decided_until = decided_until.min(at.before(ARRIVAL_SPREAD));
                break;
            }
            next = queue.try_recv().ok();
        }
        self.judge_deadlines(decided_until);
        false
    }

    fn judge_deadlines(&mut self, until: Timestamp) {
        if self.turns_away() {
            return;
        }
        for appliance in self.deadlines.judged(self.moment(until), DEADLINES_PER_COMMIT) {
            let decisions = self.driver.handle_timeout(appliance, until);
            if decisions.is_empty() {
                counting::deadline(&self.metrics, None);
            }
            for decision in decisions {
                self.keep(&decision);
                counting::deadline(&self.metrics, decision.record.as_ref());
            }
        }
        // Judged in a later turn: what their sessions have received comes before them.
        let due = self.driver.due(until);
        self.deadlines.came(due, self.moment(until));
        self.take_due_mails(until);
    }

    fn decide(&mut self, item: Item) {
        let Item { at, work, room: _room } = item;
        let at = self.clock.at(at);
        self.commit.items += 1;
        match work {
            Work::Report { name, spool, event, reply } => {
                let appliance = self.appliance(&name, at);
                let (release, answer) = self.hear(appliance, spool, None, event, at);
                self.driver.reply(release, Reply::Report(reply, answer));
            }
            Work::Hello { name, greeting, backlog, reply } => {
                let appliance = self.appliance(&name, at);
                let hello = greeting.by(appliance);
                let knew_spool = self.knows_spool(&hello);
                self.deadlines.opened(appliance, hello.session, backlog);
                self.take(Occurrence::SessionOpened(hello), at);
                self.commit.changed.push(appliance);
                if let Some(welcomed) = self.welcomed(appliance, knew_spool) {
                    self.driver.reply(Release::WithCommit, Reply::Hello(reply, welcomed));
                }
            }
            Work::Chunk { session, events, reply } => {
                let mut answers = Vec::with_capacity(events.len());
                let (mut overtakes, mut release) = (false, Release::WithCommit);
                for mut event in events {
                    event.boot = event.boot.or(Some(session.boot));
                    let is_of_start = event.event.kind.is_lifecycle();
                    let id = Some(session.id);
                    let (its, answer) = self.hear(session.appliance, session.spool, id, event, at);
                    if its == Release::WithTally {
                        release = its;
                    }
                    overtakes |= is_of_start && answer.outcome == Outcome::Kept;
                    answers.push(answer);
                }
                self.answer_chunk(session.id, reply, answers, overtakes, release);
            }
            Work::SessionEnded { session } => {
                let SessionKey { appliance, boot, id, .. } = session;
                self.deadlines.closed(appliance, id);
                self.take(Occurrence::SessionClosed { appliance, boot, session: id }, at);
                self.commit.changed.push(appliance);
            }
            Work::Order { by, order, reply } => {
                let decision = self.take(Input::Order { by, order }, at);
                let record = decision.record.as_ref().map_or(0, |record| record.number);
                if let Answer::Order(answer) = decision.answer {
                    let answer = answer.map(|appliance| Ordered { appliance, record });
                    self.driver.reply(decision.release, Reply::Order(reply, answer));
                }
            }
            Work::Settings { new, reply } => self.reconfigure(*new, reply, at),
            Work::Mail(work) => self.work_on_mail(work, at),
            // It sees nothing that is not durable.
            Work::Ask(question) => self.driver.query(Reply::Ask(question)),
            Work::Stop => {}
        }
    }

    fn hear(
        &mut self,
        appliance: ApplianceNumber,
        spool: Option<crate::grid::name::SpoolId>,
        session: Option<crate::grid::record::SessionId>,
        said: HeardEvent,
        at: Timestamp,
    ) -> (Release, EventAnswer) {
        let HeardEvent { boot, sequence, event } = said;
        let kind = counting::kind(&event.kind);
        let heard = Heard { appliance, boot, spool, sequence, session, event };
        let decision = self.take(Input::Event(heard), at);
        let record = decision.record.as_ref().map(|record| record.number);
        let (outcome, marks) = match decision.answer {
            Answer::Event(outcome, marks) => (outcome, marks),
            Answer::Order(_) | Answer::Mail(_) | Answer::Nothing => (Outcome::Kept, Marks::NONE),
        };
        counting::event(&self.metrics, kind, outcome);
        let suppressed_until = match outcome {
            Outcome::Suppressed => self.suppressed_until(appliance),
            Outcome::Kept
            | Outcome::Repeated
            | Outcome::Folded
            | Outcome::NotKept
            | Outcome::Duplicate
            | Outcome::History
            | Outcome::Stale
            | Outcome::Refused(_) => None,
        };
        self.commit.events += 1;
        (decision.release, EventAnswer { outcome, marks, record, suppressed_until })
    }

    fn take(&mut self, occurrence: impl Into<Occurrence>, at: Timestamp) -> Decision {
        let decision = self.driver.handle(occurrence, at);
        self.keep(&decision);
        decision
    }

    fn keep(&mut self, decision: &Decision) {
        decision.records().for_each(|record| self.keep_record(record));
    }

    fn keep_record(&mut self, record: &Record) {
        self.keep_encoded(record, encoding::encode_record(record));
    }

    fn keep_encoded(&mut self, record: &Record, bytes: Vec<u8>) {
        self.commit.bytes += bytes.len();
        let mark = Mark {
            at_us: record.at.as_micros(),
            severity: record.severity().number(),
            kind: record.kind() as u8,
            appliance: record.subject().map_or(0, |number| number.0),
        };
        let bytes = bytes.into();
        self.commit.records.push(EncodedRecord { number: record.number, mark, bytes });
        self.commit.changed.extend(record.subject());
        self.note_mails(record);
        for effect in &record.effects {
            match effect {
                Effect::Appliance { number, name, .. } => self.names.set(*number, name),
                Effect::DeadlinesMoved { .. } => self.commit.all_changed = true,
                Effect::Heard { number, .. } => self.commit.changed.push(*number),
                Effect::TimeShifted(_) => self.commit.all_changed = true,
                Effect::Removed { .. }
                | Effect::Lived { .. }
                | Effect::Boot { .. }
                | Effect::Lifecycle { .. }
                | Effect::FailedStarts { .. }
                | Effect::AlertRaised { .. }
                | Effect::AlertCleared { .. }
                | Effect::Spent { .. }
                | Effect::BudgetsFilled { .. }
                | Effect::AlertKey { .. }
                | Effect::AlertKeyForgotten { .. }
                | Effect::RunTold { .. }
                | Effect::Suppression { .. }
                | Effect::Unmailed { .. }
                | Effect::Mail(_)
                | Effect::Memory { .. }
                | Effect::Tombstone { .. } => {}
            }
        }
    }

    /// Makes the commit durable, and only then replies.
    fn append_and_tell(&mut self) -> Result<(), JournalError> {
        let mut commit = std::mem::take(&mut self.commit);
        if !commit.records.is_empty() {
            self.append(&commit.records)?;
            self.trim_what_is_recorded();
        }
        self.hand_over(std::mem::take(&mut commit.mails));
        let now = self.clock.now();
        for reply in self.driver.released() {
            reply.send(self.driver.grid(), now);
        }
        if commit.all_changed {
            // Nobody watching is no failure.
            let _ = self.changes.send(Changed::All);
        } else if !commit.changed.is_empty() {
            let _ = self.changes.send(Changed::These(commit.changed.into()));
        }
        Ok(())
    }

    /// Appends what was decided, and rejects the rest.
    fn stop(mut self, mut queue: mpsc::Receiver<Item>) -> Result<(), JournalError> {
        queue.close();
        let now = self.clock.now();
        self.tally_all();
        self.take(Input::BrokerStopped, now);
        self.append_and_tell()?;
        self.checkpoint();
        drop(queue);
        self.journal.close()
    }
}
