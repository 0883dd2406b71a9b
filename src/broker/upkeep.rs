//! Guards the journal's disk: checks free space, waits for room, and starts trims.
//!
//! Guarantees that a full disk loses nothing: an append is retried until there is room, nothing is
//! acknowledged before, and meanwhile nothing new is accepted. Findings are recorded. Other disk
//! failures are not handled: they end the loop.

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

/// Room for what is already in the queue when the disk is found nearly full.
const COMMITS_IN_RESERVE: u64 = 8;

/// How often the disk is measured.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a commit without room waits before its next try.
const ROOM_PAUSE: Duration = Duration::from_millis(250);

/// Room for the records of a start; longer ones are rare, and wait like any commit.
const START_BYTES: u64 = 16 << 10;

/// The first records of a start.
#[derive(Debug)]
pub(super) struct StartRecords(pub(super) [Input; 2]);

/// What the loop knows about the journal's disk.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// With fewer bytes free than this, nothing new is accepted.
    mark: u64,
    /// When the disk was last checked, in lived time.
    looked_at: Option<Duration>,
    /// Since when nothing new is accepted, in lived time.
    low_since: Option<Duration>,
    /// This run has reported that the disk is nearly full.
    is_told: bool,
    /// Records up to this one are deleted once the record of the trim is durable.
    trims: Option<RecordNumber>,
    signs: Arc<Signs>,
}

impl Upkeep {
    pub(super) fn new(low_water: u64, signs: Arc<Signs>) -> Self {
        let mark = mark(low_water);
        Self { mark, looked_at: None, low_since: None, is_told: false, trims: None, signs }
    }

    /// Sets another low-water mark, which is checked in the next iteration.
    pub(super) fn set_low_water(&mut self, low_water: u64) {
        (self.mark, self.looked_at) = (mark(low_water), None);
    }
}

fn mark(low_water: u64) -> u64 {
    low_water.saturating_add(COMMITS_IN_RESERVE * BYTES_PER_COMMIT as u64)
}

impl Loop {
    /// Makes a start durable. If a full disk has no room, the records are returned and the state does
    /// not change.
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
                    "the disk is full: nothing is accepted, and the start is not recorded, until \
                     there is room; reading continues"
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
                tracing::error!("the disk is full: the ballast is released");
                self.journal.reserve(START_BYTES)
            }
            reserved => reserved,
        }
    }

    /// Runs the loop as soon as there is room for the records of its start.
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

    /// Once a second: checks disk, resources, missing records and retention.
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

    /// Records the next trim. Retention deletes whole segments, oldest first, and only after the record
    /// of it is durable.
    fn decide_trim(&mut self, now: Timestamp) {
        let Some(due) = self.journal.trim_due(self.clock.lived()) else { return };
        let TrimDue { first, last, bytes, is_for_age } = due;
        let Retention { age, bytes: limit } = self.journal.retention();
        let reason = if is_for_age { TrimReason::Age(age) } else { TrimReason::Bytes(limit) };
        tracing::info!(first_record = first, last_record = last, bytes, "records are trimmed");
        self.take(Input::Storage(Storage::Trimmed(Trimmed { first, last, bytes, reason })), now);
        self.upkeep.trims = Some(last);
    }

    /// Counts a heartbeat.
    pub(super) fn turned(&self) {
        self.upkeep.signs.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether appliances are rejected, so that their silence means nothing.
    pub(super) fn turns_away(&self) -> bool {
        self.upkeep.low_since.is_some()
    }

    /// Deletes what a trim covers, after its record is durable.
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
                "the disk is nearly full: nothing new is accepted; see disk_low_water"
            );
            // An alert open since an earlier run shows what was free then.
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

    /// Makes records durable, and measures how long that takes.
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
                tracing::error!("the disk is full: the ballast is released");
                continue;
            }
            if self.upkeep.signs.stops.load(Ordering::Acquire) {
                return Err(error);
            }
            if !is_told {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the disk is full: accepted requests wait for room");
                is_told = true;
            }
            std::thread::sleep(ROOM_PAUSE);
            self.turned();
        }
    }

    /// Waits until the system grants a descriptor or memory, or the broker is stopping.
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
            tracing::error!(error, "the journal lacks resources: accepted requests wait");
        }
        std::thread::sleep(ROOM_PAUSE);
        self.turned();
        Ok(())
    }
}
