//! Guards the journal's disk: checks free space and resources, and rejects requests while they are short.
//!
//! Guarantees that findings are recorded, and that nothing new is accepted below the low-water mark.
//! Does not append: see `append.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::append::RETRY_PAUSE;
use super::queue::{BrokerRequest, QueuedRequest};
use super::{BYTES_PER_COMMIT, EventLoop};
use crate::broker::shared_status::SharedStatus;
use crate::clock::monotonic_now;
use crate::grid::log::input::{BrokerPause, Input};
use crate::grid::log::journal_incident::JournalIncident;
use crate::grid::model::finding::FindingKind;
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;
use crate::journal::JournalError;
use crate::resources;

/// Room for what is already in the queue when the disk is found nearly full.
const COMMITS_IN_RESERVE: u64 = 8;

/// How often the disk is measured.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Room for the records of a start; longer ones are rare, and wait like any commit.
const START_ROOM_BYTES: u64 = 16 << 10;

/// The first records of a start.
#[derive(Debug)]
pub(super) struct StartRecords(pub(super) [Input; 2]);

/// What the loop knows about the journal's disk.
#[derive(Debug)]
pub(super) struct DiskGuard {
    /// With fewer bytes free than this, nothing new is accepted.
    reject_below: u64,
    /// When the disk was last checked, in lived time.
    pub(super) checked_at: Option<Duration>,
    /// Since when nothing new is accepted, in lived time.
    low_since: Option<Duration>,
    /// This run has reported that the disk is nearly full.
    is_reported: bool,
    /// Records up to this one are deleted once the record of the trim is durable.
    pub(super) trim_through: Option<RecordNumber>,
    pub(super) status: Arc<SharedStatus>,
}

impl DiskGuard {
    pub(super) fn new(low_water: u64, status: Arc<SharedStatus>) -> Self {
        let mark = reject_threshold(low_water);
        Self {
            reject_below: mark,
            checked_at: None,
            low_since: None,
            is_reported: false,
            trim_through: None,
            status,
        }
    }

    /// Sets another low-water mark, which is checked in the next iteration.
    pub(super) fn set_low_water(&mut self, low_water: u64) {
        (self.reject_below, self.checked_at) = (reject_threshold(low_water), None);
    }
}

fn reject_threshold(low_water: u64) -> u64 {
    low_water.saturating_add(COMMITS_IN_RESERVE * BYTES_PER_COMMIT as u64)
}

impl EventLoop {
    /// Makes a start durable. If a full disk has no room, the records are returned and the state does
    /// not change.
    pub(super) fn try_record_start(
        &mut self,
        records: StartRecords,
    ) -> Result<Option<StartRecords>, JournalError> {
        if let Err(error) = self.reserve_start_room() {
            if !error.is_out_of_space() {
                return Err(error);
            }
            if !self.disk_guard.status.disk_is_low.swap(true, Ordering::AcqRel) {
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
            self.decide(input, now);
        }
        self.commit_and_reply()?;
        Ok(None)
    }

    fn reserve_start_room(&mut self) -> Result<(), JournalError> {
        match self.journal.reserve(START_ROOM_BYTES) {
            Err(error) if error.is_out_of_space() && self.journal.release_ballast() => {
                tracing::error!("the disk is full: the ballast is released");
                self.journal.reserve(START_ROOM_BYTES)
            }
            reserved => reserved,
        }
    }

    /// Runs the loop as soon as there is room for the records of its start.
    pub(super) fn run_after_start(
        mut self,
        mut waiting: Option<StartRecords>,
        mut queue: mpsc::Receiver<QueuedRequest>,
        runtime: &Handle,
    ) -> Result<(), JournalError> {
        while let Some(records) = waiting {
            self.beat();
            let until = monotonic_now() + RETRY_PAUSE;
            while let Some(item) = runtime.block_on(super::recv_until(&mut queue, until)) {
                match item.request {
                    BrokerRequest::Query(question) => {
                        question(self.driver.grid(), self.clock.now())
                    }
                    // What was durable is.
                    BrokerRequest::Stop => return self.journal.close(),
                    // Without a reply: the caller then sees that the disk is low.
                    BrokerRequest::Report { .. }
                    | BrokerRequest::Hello { .. }
                    | BrokerRequest::Batch { .. }
                    | BrokerRequest::SessionEnded { .. }
                    | BrokerRequest::Command { .. }
                    | BrokerRequest::Identity { .. }
                    | BrokerRequest::Security { .. }
                    | BrokerRequest::CrashDump(_)
                    | BrokerRequest::Reconfigure { .. }
                    | BrokerRequest::Alert(_)
                    | BrokerRequest::Mail(_) => {}
                }
                self.beat();
            }
            if queue.is_closed() {
                return self.journal.close();
            }
            waiting = self.try_record_start(records)?;
        }
        self.run(queue, runtime)
    }

    /// Once a second: checks disk, resources, missing records and retention.
    pub(super) fn run_maintenance(&mut self, now: Timestamp) {
        let lived = self.clock.lived();
        if self
            .disk_guard
            .checked_at
            .is_some_and(|before| lived.saturating_sub(before) < CHECK_INTERVAL)
        {
            return;
        }
        self.disk_guard.checked_at = Some(lived);
        self.journal.set_lived(lived);
        self.check_disk(now);
        self.check_resources(now);
        let ranges = self.journal.take_newly_lost();
        if !ranges.is_empty() {
            self.decide(Input::Journal(JournalIncident::Missing { ranges }), now);
        }
        self.record_trim(now);
    }

    /// Counts a heartbeat.
    pub(super) fn beat(&self) {
        self.disk_guard.status.heartbeat.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether appliances are rejected, so that their silence means nothing.
    pub(super) fn is_rejecting(&self) -> bool {
        self.disk_guard.low_since.is_some()
    }

    fn check_disk(&mut self, now: Timestamp) {
        let free = match self.journal.free_bytes() {
            Ok(free) => free,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot measure the free disk space");
                return;
            }
        };
        let mark = self.disk_guard.reject_below;
        let is_open = self.driver.grid().state().finding(None, FindingKind::DiskLow).is_some();
        // A little more is wanted for the way back, so that the alert does not flutter.
        let is_low = free < if is_open { mark + mark / 8 } else { mark };
        self.disk_guard.status.disk_is_low.store(is_low, Ordering::Release);
        if is_low {
            self.disk_guard.low_since.get_or_insert(self.clock.lived());
        } else if let Some(since) = self.disk_guard.low_since.take() {
            // Appliances that were rejected could not report.
            let lasted = self.clock.lived().saturating_sub(since);
            self.decide(Input::BrokerPaused { lasted, cause: BrokerPause::DiskLow }, now);
        }
        if is_low && !self.disk_guard.is_reported {
            self.disk_guard.is_reported = true;
            tracing::error!(
                free_bytes = free,
                needed_bytes = mark,
                "the disk is nearly full: nothing new is accepted; see disk_low_water"
            );
            // An alert open since an earlier run shows what was free then.
            self.decide(Input::Journal(JournalIncident::DiskLow { free, threshold: mark }), now);
        } else if is_open && !is_low {
            tracing::info!(free_bytes = free, "the disk has room again");
            self.disk_guard.is_reported = false;
            self.decide(Input::Journal(JournalIncident::DiskRecovered { free }), now);
        }
    }

    /// Opens an alert while the system grants too few resources, until nothing failed for a while.
    fn check_resources(&mut self, now: Timestamp) {
        let open = self.driver.grid().state().finding(None, FindingKind::ResourcesShort).is_some();
        match (resources::shortage(), open) {
            (Some(what), false) => {
                tracing::error!("resources are short: {what}");
                self.decide(Input::Journal(JournalIncident::ResourcesShort { message: what }), now);
            }
            (None, true) => {
                tracing::info!("the system has enough resources again");
                self.decide(Input::Journal(JournalIncident::ResourcesRecovered), now);
            }
            (Some(_), true) | (None, false) => {}
        }
    }
}
