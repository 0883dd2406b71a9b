//! What does the loop do for the journal besides appending? It watches the disk and trims.
//!
//! Guarantees that a full disk loses nothing: what was decided is held and appended again until
//! there is room, nobody is answered before, and meanwhile nothing new is taken. What is found
//! leaves a record. A disk that fails otherwise is not argued with.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::queue::{Item, Work};
use super::signs::Signs;
use super::{BYTES_PER_COMMIT, Loop};
use crate::clock::monotonic_now;
use crate::grid::effect::Matter;
use crate::grid::name::RecordNumber;
use crate::grid::record::{Input, Stall};
use crate::grid::storage::{Storage, TrimReason, Trimmed};
use crate::grid::time::Timestamp;
use crate::journal::{EncodedRecord, JournalError, Retention, TrimDue};
use crate::resources;

/// Room for what is in the queue already when the disk is found nearly full.
const COMMITS_IN_RESERVE: u64 = 8;

/// The disk is measured at most so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A commit that found no room tries again after so long.
const ROOM_PAUSE: Duration = Duration::from_millis(250);

/// Room for the records of a start; longer ones are rare, and wait as any commit does.
const START_BYTES: u64 = 16 << 10;

/// What a start says of itself, as the first of its records.
#[derive(Debug)]
pub(super) struct StartRecords(pub(super) [Input; 2]);

/// What the loop knows of the journal's disk.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// With less free than this, in bytes, nothing new is taken.
    mark: u64,
    /// When that was last done, in lived time.
    looked_at: Option<Duration>,
    /// Since when nothing new is taken, in lived time.
    low_since: Option<Duration>,
    /// This run has said that the disk is nearly full.
    is_told: bool,
    /// Records up to this one go when the commit is durable that says so.
    trims: Option<RecordNumber>,
    signs: Arc<Signs>,
}

impl Upkeep {
    pub(super) fn new(low_water: u64, signs: Arc<Signs>) -> Self {
        let mark = mark(low_water);
        Self { mark, looked_at: None, low_since: None, is_told: false, trims: None, signs }
    }

    /// Another mark, which is looked at in the next turn.
    pub(super) fn set_low_water(&mut self, low_water: u64) {
        (self.mark, self.looked_at) = (mark(low_water), None);
    }
}

fn mark(low_water: u64) -> u64 {
    low_water.saturating_add(COMMITS_IN_RESERVE * BYTES_PER_COMMIT as u64)
}

impl Loop {
    /// Makes a start durable. Where a full disk has no room for that it is given back, and nothing
    /// has changed: what is known is what was durable before.
    pub(super) fn begin_if_there_is_room(
        &mut self,
        records: StartRecords,
    ) -> Result<Option<StartRecords>, JournalError> {
        if let Err(error) = self.reserve_start() {
            if !error.is_out_of_space() {
                return Err(error);
            }
            if !self.upkeep.signs.disk_is_low.swap(true, Ordering::AcqRel) {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "the disk is full: nothing is taken, and the start is no record, until there is \
                     room; reading goes on"
                );
            }
            return Ok(Some(records));
        }
        let now = self.clock.now();
        for input in records.0 {
            self.take(input, now);
        }
        self.append_and_tell()?;
        Ok(None)
    }

    fn reserve_start(&mut self) -> Result<(), JournalError> {
        match self.journal.reserve(START_BYTES) {
            Err(error) if error.is_out_of_space() && self.journal.give_up_ballast() => {
                tracing::error!("the disk is full: the ballast is given up");
                self.journal.reserve(START_BYTES)
            }
            reserved => reserved,
        }
    }

    /// Runs the loop, which begins as soon as there is room for the records of its start.
    pub(super) fn run_from_start(
        mut self,
        mut waiting: Option<StartRecords>,
        mut queue: mpsc::Receiver<Item>,
        runtime: &Handle,
    ) -> Result<(), JournalError> {
        while let Some(records) = waiting {
            self.turned();
            let until = monotonic_now() + ROOM_PAUSE;
            while let Some(item) = runtime.block_on(super::wait(&mut queue, until)) {
                match item.work {
                    Work::Ask(question) => question(self.driver.grid(), self.clock.now()),
                    // What was durable is.
                    Work::Stop => return self.journal.close(),
                    // Without an answer: whoever asked finds that the disk is low.
                    Work::Report { .. }
                    | Work::Hello { .. }
                    | Work::Chunk { .. }
                    | Work::SessionEnded { .. }
                    | Work::Order { .. }
                    | Work::Settings { .. }
                    | Work::Mail(_) => {}
                }
                self.turned();
            }
            if queue.is_closed() {
                return self.journal.close();
            }
            waiting = self.begin_if_there_is_room(records)?;
        }
        self.run(queue, runtime)
    }

    /// Once a second: the disk, and what is too old or too much.
    pub(super) fn look_after_journal(&mut self, now: Timestamp) {
        let lived = self.clock.lived();
        if self.upkeep.looked_at.is_some_and(|before| lived.saturating_sub(before) < LOOK_EVERY) {
            return;
        }
        self.upkeep.looked_at = Some(lived);
        self.journal.tell(lived);
        self.watch_disk(now);
        self.watch_resources(now);
        let ranges = self.journal.take_lost();
        if !ranges.is_empty() {
            self.take(Input::Storage(Storage::Missing { ranges }), now);
        }
        self.decide_trim(now);
    }

    /// Retention takes whole spans, oldest first. What is to go must first be a durable record.
    fn decide_trim(&mut self, now: Timestamp) {
        let Some(due) = self.journal.trim_due(self.clock.lived()) else { return };
        let TrimDue { first, last, bytes, is_for_age } = due;
        let Retention { age, bytes: limit } = self.journal.retention();
        let reason = if is_for_age { TrimReason::Age(age) } else { TrimReason::Bytes(limit) };
        tracing::info!(first_record = first, last_record = last, bytes, "records are trimmed");
        self.take(Input::Storage(Storage::Trimmed(Trimmed { first, last, bytes, reason })), now);
        self.upkeep.trims = Some(last);
    }

    /// A sign of life.
    pub(super) fn turned(&self) {
        self.upkeep.signs.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether appliances are turned away, so that nobody may be judged by silence.
    pub(super) fn turns_away(&self) -> bool {
        self.upkeep.low_since.is_some()
    }

    /// After the commit: what was decided to go may go.
    pub(super) fn trim_what_is_recorded(&mut self) {
        if let Some(last) = self.upkeep.trims.take() {
            self.journal.trim(last);
        }
    }

    fn watch_disk(&mut self, now: Timestamp) {
        let free = match self.journal.free_bytes() {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the disk is not watched");
                return;
            }
        };
        let mark = self.upkeep.mark;
        let is_open = self.driver.grid().state().alert(None, Matter::DiskLow).is_some();
        // A little more is wanted for the way back, so that the alert does not flutter.
        let is_low = free < if is_open { mark + mark / 8 } else { mark };
        self.upkeep.signs.disk_is_low.store(is_low, Ordering::Release);
        if is_low {
            self.upkeep.low_since.get_or_insert(self.clock.lived());
        } else if let Some(since) = self.upkeep.low_since.take() {
            // Whoever was turned away could not report.
            let lasted = self.clock.lived().saturating_sub(since);
            self.take(Input::BrokerStalled { lasted, cause: Stall::DiskWasLow }, now);
        }
        if is_low && !self.upkeep.is_told {
            self.upkeep.is_told = true;
            tracing::error!(
                free_bytes = free,
                needed_bytes = mark,
                "the disk is nearly full: nothing new is taken; disk_low_water says what stays free"
            );
            // One that is open since an earlier run tells what was free then.
            self.take(Input::Storage(Storage::Low { free, mark }), now);
        } else if is_open && !is_low {
            tracing::info!(free_bytes = free, "the disk has room again");
            self.upkeep.is_told = false;
            self.take(Input::Storage(Storage::Enough { free }), now);
        }
    }

    /// What the system does not grant is an open alert until nothing failed for it for a while.
    fn watch_resources(&mut self, now: Timestamp) {
        let open = self.driver.grid().state().alert(None, Matter::ResourcesShort).is_some();
        match (resources::shortage(), open) {
            (Some(what), false) => {
                tracing::error!("resources are short: {what}");
                self.take(Input::Storage(Storage::Short { what }), now);
            }
            (None, true) => {
                tracing::info!("the system grants what is needed again");
                self.take(Input::Storage(Storage::NotShort), now);
            }
            (Some(_), true) | (None, false) => {}
        }
    }

    /// Makes records durable, and notes how long that takes.
    pub(super) fn append(&mut self, records: &[EncodedRecord]) -> Result<(), JournalError> {
        let began = monotonic_now();
        let signs = Arc::clone(&self.upkeep.signs);
        signs.commits.measure(self.clock.elapsed(), || self.append_when_there_is_room(records))?;
        self.metrics.commit(records.len(), began.elapsed());
        Ok(())
    }

    fn append_when_there_is_room(&mut self, records: &[EncodedRecord]) -> Result<(), JournalError> {
        let mut is_told = false;
        loop {
            let error = match self.journal.append(records) {
                Err(error) if error.is_noted_shortage() => {
                    self.wait_for_resources(error, &mut is_told)?;
                    continue;
                }
                Err(error) if error.is_out_of_space() => error,
                done => {
                    self.upkeep.signs.is_starved.store(false, Ordering::Release);
                    return done;
                }
            };
            self.upkeep.signs.disk_is_low.store(true, Ordering::Release);
            self.upkeep.looked_at = None;
            if self.journal.give_up_ballast() {
                tracing::error!("the disk is full: the ballast is given up");
                continue;
            }
            if self.upkeep.signs.stops.load(Ordering::Acquire) {
                return Err(error);
            }
            if !is_told {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the disk is full: what was taken waits for room");
                is_told = true;
            }
            std::thread::sleep(ROOM_PAUSE);
            self.turned();
        }
    }

    /// What was taken waits until the system grants a descriptor or memory, or the broker is to stop.
    fn wait_for_resources(
        &self,
        error: JournalError,
        is_told: &mut bool,
    ) -> Result<(), JournalError> {
        self.upkeep.signs.is_starved.store(true, Ordering::Release);
        if self.upkeep.signs.stops.load(Ordering::Acquire) {
            return Err(error);
        }
        if !std::mem::replace(is_told, true) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the journal lacks resources: what was taken waits for them");
        }
        std::thread::sleep(ROOM_PAUSE);
        self.turned();
        Ok(())
    }
}
