//! Follows the end of the grid log once for all live tails.
//!
//! A thread that starts with the first live tail and ends with the last. It reads each new stretch of the
//! commit log once, decodes a record only if the header matches the filter of a tail, and encodes its
//! message once. Guarantees that a tail gets each record after the one it joined behind, in order and
//! once, until it is told that it is not live any more. Waits for no tail.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::Status;

use super::SharedTails;
use super::groups::{Departure, Groups, Member, TailFilter};
use super::membership::Join;
use super::messages::append_message;
use super::pace::RoundWork;
use crate::codec;
use crate::contract::encode;
use crate::contract::proto::tail_records_response::Message;
use crate::contract::proto::{Record, TailRecordsResponse};
use crate::grid::values::id::ApplianceIndex;
use crate::grpc::grid_log::RecordCursor;
use crate::grpc::page::{self, PageItem};
use crate::grpc::{Services, status};
use crate::journal::frame::Block;
use crate::journal::record::locate_records;
use crate::journal::{HeaderFilter, JournalError, PageLimit, RecordHeader};
use crate::listener;

/// Records read at once where the commit log does not have them any more.
const PAGE_RECORDS: usize = 256;

/// Most bytes of the journal read for that.
const PAGE_BYTES: u64 = 1 << 20;

/// The thread's state.
pub(super) struct Follower {
    services: Services,
    shared: Arc<SharedTails>,
    durable: watch::Receiver<u64>,
    groups: Groups,
    /// All through this record was offered to all groups.
    position: u64,
    framed: Vec<u8>,
    /// The groups that the last record was for.
    matching: Vec<usize>,
}

impl Follower {
    pub(super) fn new(services: Services, shared: Arc<SharedTails>, position: u64) -> Self {
        let durable = services.reader.watch_durable();
        let groups = Groups::default();
        Self {
            services,
            shared,
            durable,
            groups,
            position,
            framed: Vec::new(),
            matching: Vec::new(),
        }
    }

    /// Runs until there is no tail.
    pub(super) fn run(mut self, runtime: &Handle) {
        let mut stopping = self.services.stopping.clone();
        loop {
            let began = RoundWork::begin(self.shared.pace.round_max());
            if !self.admit() {
                return;
            }
            let work = self.round(began);
            self.shared.set_position(self.position);
            let is_behind = self.position < *self.durable.borrow();
            std::thread::sleep(self.shared.pace.rest_after(work.total(), is_behind));
            if self.position < *self.durable.borrow() {
                continue;
            }
            let (shared, durable) = (&self.shared, &mut self.durable);
            let waiting = async {
                tokio::select! {
                    changed = durable.changed() => changed.is_ok(),
                    () = shared.changed() => true,
                    () = listener::shutdown_requested(&mut stopping) => false,
                }
            };
            if !runtime.block_on(waiting) {
                return;
            }
        }
    }

    /// Admits the tails that want to join, and removes those that ended; `false` if there is none.
    fn admit(&mut self) -> bool {
        let (joins, has_left) = self.shared.take_changes();
        if has_left {
            self.groups.sweep();
        }
        if self.groups.is_empty() {
            // Nobody has seen less: the first one begins where it wants to.
            let first = joins.iter().map(|join| join.behind).min();
            self.position = first.unwrap_or(self.position);
        }
        for join in joins {
            self.join(join);
        }
        !self.groups.is_empty() || self.shared.continue_if_joined()
    }

    fn join(&mut self, join: Join) {
        let Join { mut filter, behind, queue, departure } = join;
        filter.add_new_names(self.services.broker.name_index());
        let mut member = Member { queue, departure: Some(departure), queued_through: behind };
        if member.has_left() {
            // No later change would tell of it.
            return;
        }
        if behind < self.position {
            match self.bridge(&filter, &mut member) {
                Ok(true) => {}
                Ok(false) => return member.depart(Departure::TooLate(member.queued_through)),
                Err(status) => return member.depart(Departure::Failed(status)),
            }
        }
        self.groups.of(filter, self.position).add(member);
    }

    /// Sends a tail what came since it last looked, one page; returns whether that is all.
    fn bridge(&self, filter: &TailFilter, member: &mut Member) -> Result<bool, Status> {
        let batch_bytes = self.shared.limits.batch_bytes;
        let batches = self.services.read_batches(filter, member.queued_through, batch_bytes)?;
        for batch in batches.batches {
            let Some(bytes) = batch.after(member.queued_through) else { continue };
            if member.queue.try_send(Ok(bytes)).is_err() {
                return Ok(false);
            }
            member.queued_through = batch.last();
        }
        member.queued_through = batches.reached;
        Ok(member.queued_through >= self.position)
    }

    /// Offers what is durable to all groups, as much as the pace allows.
    fn round(&mut self, mut work: RoundWork) -> RoundWork {
        let end = *self.durable.borrow_and_update();
        self.groups.add_new_names(self.services.broker.name_index());
        while self.position < end && !work.is_over() && !self.groups.is_empty() {
            let before = self.position;
            let read = match self.services.reader.newest_blocks(before + 1) {
                Ok(Some(blocks)) => self.offer_blocks(&blocks, end, &mut work),
                Ok(None) => self.offer_page(&mut work),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                self.groups.fail_all(&status::journal_unreadable(&error));
            }
            if self.position == before {
                break;
            }
        }
        self.groups.hand_over(self.position, &mut work);
        work
    }

    fn offer_blocks(
        &mut self,
        blocks: &[Block],
        end: u64,
        work: &mut RoundWork,
    ) -> Result<(), JournalError> {
        let mut located = Vec::new();
        for block in blocks {
            let (info, position) = (&block.header.info, self.position);
            let last = info.last().min(end);
            if last <= position {
                continue;
            }
            let unreadable = |source| JournalError::Unreadable { number: info.first, source };
            let payload = block.payload().map_err(unreadable)?;
            let groups = &mut self.groups;
            let is_wanted = |number, header: &RecordHeader| {
                (position + 1..=end).contains(&number) && groups.has_candidates(header)
            };
            locate_records(info, &payload, is_wanted, &mut located).map_err(unreadable)?;
            for record in &located {
                let bytes = &payload[record.range.clone()];
                self.offer(record.number, &record.header, bytes, work);
                self.position = record.number;
                if work.count_record() {
                    return Ok(());
                }
            }
            self.position = last;
            if work.look() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The same where there are gaps, or the archive has to be read.
    fn offer_page(&mut self, work: &mut RoundWork) -> Result<(), JournalError> {
        let from = self.position + 1;
        let limit = PageLimit { records: PAGE_RECORDS, bytes: PAGE_BYTES };
        let page = self.services.reader.forward(from, &HeaderFilter::default(), limit)?;
        // It may have read further than what was durable before.
        self.groups.add_new_names(self.services.broker.name_index());
        let mut gaps = page::skipped_gaps(&page);
        gaps.extend(page::trimmed_before_ascending(&page, from, self.services.reader.first()));
        gaps.sort_by_key(|gap| gap.first);
        let mut gaps = gaps.into_iter().peekable();
        for record in &page.records {
            while let Some(gap) = gaps.next_if(|gap| gap.first < record.number) {
                self.offer_gap(PageItem::Missing(gap), work);
            }
            self.offer(record.number, &record.header, &record.bytes, work);
            self.position = record.number;
        }
        for gap in gaps {
            self.offer_gap(PageItem::Missing(gap), work);
        }
        self.position = self.position.max(page.reached);
        Ok(())
    }

    fn offer_gap(&mut self, gap: PageItem, work: &mut RoundWork) {
        let last = gap.last();
        self.framed.clear();
        append_message(&mut self.framed, &response(Some(gap.into_message()), last, &self.services));
        for group in self.groups.all_mut() {
            group.push(last, &self.framed, self.shared.limits.batch_bytes, work);
        }
    }

    /// Adds a record to the groups whose filter it matches.
    fn offer(&mut self, number: u64, header: &RecordHeader, bytes: &[u8], work: &mut RoundWork) {
        let Some(candidates) = self.groups.candidates(header) else { return };
        let mut wanting = candidates.iter();
        if !wanting.any(|at| self.groups.get(*at).filter.wanted.includes_time(header.at_us)) {
            return;
        }
        let record = match self.services.shown(number, bytes) {
            Ok(record) => record,
            Err(status) => {
                candidates.iter().for_each(|at| self.groups.fail(*at, &status));
                return;
            }
        };
        let (time, groups) = (header.at_us, &self.groups);
        let matches = |at: &usize| {
            let TailFilter { matcher, wanted, .. } = &groups.get(*at).filter;
            wanted.includes_time(time) && matcher.matches(&record)
        };
        self.matching.clear();
        self.matching.extend(candidates.iter().copied().filter(matches));
        if self.matching.is_empty() {
            return;
        }
        self.framed.clear();
        let message = Some(Message::Record(record));
        append_message(&mut self.framed, &response(message, number, &self.services));
        for &at in &self.matching {
            let group = self.groups.get_mut(at);
            group.push(number, &self.framed, self.shared.limits.batch_bytes, work);
        }
    }
}

/// A message of a tail with the cursor after it.
pub(super) fn response(
    message: Option<Message>,
    through: u64,
    services: &Services,
) -> TailRecordsResponse {
    let cursor = RecordCursor::encode(through, services);
    TailRecordsResponse { message, cursor, behind: 0 }
}

impl Services {
    /// A stored record as the contract shows it.
    fn shown(&self, number: u64, bytes: &[u8]) -> Result<Record, Status> {
        let names = self.broker.name_index();
        let record = codec::decode_record(bytes)
            .map_err(|error| Status::internal(format!("record {number}: {error}")))?;
        Ok(encode::record(&record, |number: ApplianceIndex| names.name(number)))
    }
}
