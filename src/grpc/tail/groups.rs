//! Groups live tails by their filter, and hands each group's messages to its tails.
//!
//! Guarantees that a record is matched once for each distinct filter, and by its header before it is
//! decoded; and that a tail whose queue is full is never waited for: it leaves, and is told after which
//! record. Reads no journal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use super::messages::BatchBuilder;
use super::pace::RoundWork;
use crate::broker::NameIndex;
use crate::grpc::filter::RecordMatcher;
use crate::journal::{HeaderFilter, RecordHeader};

/// Combinations of appliance, kind and severity for which the matching groups are remembered.
const COMBINATIONS_MAX: usize = 262_144;

/// Entries of the different lists of groups that are remembered for them.
const LISTED_GROUPS_MAX: usize = 1 << 20;

/// What a tail wants, as far as it knows the names of appliances.
#[derive(Clone, Debug)]
pub(super) struct TailFilter {
    pub(super) matcher: RecordMatcher,
    pub(super) wanted: Arc<HeaderFilter>,
    pub(super) names_seen: usize,
}

impl TailFilter {
    pub(super) fn new(matcher: RecordMatcher, names: &NameIndex) -> Self {
        let (wanted, names_seen) = matcher.journal_filter(names);
        Self { matcher, wanted: Arc::new(wanted), names_seen }
    }

    /// Checks the names of appliances that were added; returns whether one matches.
    pub(super) fn add_new_names(&mut self, names: &NameIndex) -> bool {
        self.matcher.add_new_names(&mut self.wanted, &mut self.names_seen, names)
    }
}

/// Why a tail is not live any more.
#[derive(Debug)]
pub(super) enum Departure {
    /// Its client reads more slowly than records come. All through this record is in its queue.
    Behind(u64),
    /// It came too late, and has to read on from this record by itself first.
    TooLate(u64),
    /// The journal cannot be read.
    Failed(Status),
}

/// A live tail.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) queue: mpsc::Sender<Result<Bytes, Status>>,
    pub(super) departure: Option<oneshot::Sender<Departure>>,
    /// Messages about records up to this one are in its queue.
    pub(super) queued_through: u64,
}

impl Member {
    pub(super) fn depart(&mut self, departure: Departure) {
        if let Some(sender) = self.departure.take() {
            // Its task is gone, which is fine.
            let _ = sender.send(departure);
        }
    }

    pub(super) fn has_left(&self) -> bool {
        self.queue.is_closed() || self.departure.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// The live tails with one filter.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) filter: TailFilter,
    batch: BatchBuilder,
    members: Vec<Member>,
    /// Nothing up to this record is left in `batch`.
    handed_over_through: u64,
}

impl Group {
    /// Adds a tail.
    pub(super) fn add(&mut self, member: Member) {
        self.members.push(member);
    }

    /// Adds a message about records up to `last`; hands all over if they are a batch.
    pub(super) fn push(
        &mut self,
        last: u64,
        framed: &[u8],
        batch_bytes: usize,
        work: &mut RoundWork,
    ) {
        self.batch.push(last, framed);
        if self.batch.is_full(batch_bytes) {
            self.hand_over(work);
        }
    }

    fn hand_over(&mut self, work: &mut RoundWork) {
        let Some(batch) = self.batch.take() else { return };
        let handed_over = self.handed_over_through;
        self.members.retain_mut(|member| {
            let Some(bytes) = batch.after(member.queued_through) else { return true };
            work.count_sending(bytes.len());
            match member.queue.try_send(Ok(bytes)) {
                Ok(()) => {
                    member.queued_through = batch.last();
                    true
                }
                Err(TrySendError::Full(_)) => {
                    member.depart(Departure::Behind(member.queued_through.max(handed_over)));
                    false
                }
                Err(TrySendError::Closed(_)) => false,
            }
        });
    }

    fn fail(&mut self, status: &Status) {
        for member in &mut self.members {
            member.depart(Departure::Failed(status.clone()));
        }
        self.members.clear();
    }
}

/// Appliance, kind and severity.
fn combination(header: &RecordHeader) -> (u32, u8) {
    (header.appliance, header.kind | header.severity << 5)
}

/// The groups whose filter includes an appliance, a kind and a severity.
#[derive(Debug, Default)]
struct Candidates {
    by_combination: HashMap<(u32, u8), Arc<[usize]>>,
    /// Each list once: most combinations have the same.
    lists: HashSet<Arc<[usize]>>,
    /// The entries of `lists`.
    listed: usize,
}

impl Candidates {
    fn get(&self, key: (u32, u8)) -> Option<&Arc<[usize]>> {
        self.by_combination.get(&key)
    }

    fn insert(&mut self, key: (u32, u8), found: Vec<usize>) -> Arc<[usize]> {
        if self.by_combination.len() >= COMBINATIONS_MAX || self.listed >= LISTED_GROUPS_MAX {
            self.clear();
        }
        let list = self.lists.get(found.as_slice()).map(Arc::clone).unwrap_or_else(|| {
            self.listed += found.len();
            let list = Arc::<[usize]>::from(found);
            self.lists.insert(Arc::clone(&list));
            list
        });
        self.by_combination.insert(key, Arc::clone(&list));
        list
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<Group>,
    candidates: Candidates,
}

impl Groups {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn get(&self, at: usize) -> &Group {
        &self.groups[at]
    }

    pub(super) fn get_mut(&mut self, at: usize) -> &mut Group {
        &mut self.groups[at]
    }

    pub(super) fn all_mut(&mut self) -> &mut [Group] {
        &mut self.groups
    }

    /// The group of a filter; a new one has seen all through `position`.
    pub(super) fn of(&mut self, filter: TailFilter, position: u64) -> &mut Group {
        let key = filter.matcher.key();
        let known = self.groups.iter().position(|group| group.filter.matcher.key() == key);
        let at = known.unwrap_or_else(|| {
            let (batch, members) = (BatchBuilder::default(), Vec::new());
            let handed_over_through = position;
            let group = Group { filter, batch, members, handed_over_through };
            self.candidates.clear();
            self.groups.push(group);
            self.groups.len() - 1
        });
        &mut self.groups[at]
    }

    /// Removes the tails that ended, and groups without any.
    pub(super) fn sweep(&mut self) {
        let before = self.groups.len();
        self.groups.retain_mut(|group| {
            group.members.retain(|member| !member.has_left());
            !group.members.is_empty()
        });
        if self.groups.len() < before {
            self.candidates.clear();
        }
    }

    /// Lets the filters know the appliances that were added.
    pub(super) fn add_new_names(&mut self, names: &NameIndex) {
        for group in &mut self.groups {
            group.filter.add_new_names(names);
        }
    }

    /// Whether a record with this header may be for a group.
    pub(super) fn has_candidates(&mut self, header: &RecordHeader) -> bool {
        let key = combination(header);
        match self.candidates.get(key) {
            Some(known) => !known.is_empty(),
            None => self.candidates(header).is_some(),
        }
    }

    /// The groups that a record with this header may be for.
    pub(super) fn candidates(&mut self, header: &RecordHeader) -> Option<Arc<[usize]>> {
        let key = combination(header);
        if let Some(known) = self.candidates.get(key) {
            return (!known.is_empty()).then(|| Arc::clone(known));
        }
        let at_any_time = |group: &Group| group.filter.wanted.matches_at_any_time(header);
        let groups = (0..).zip(&self.groups);
        let found = groups.filter(|(_, group)| at_any_time(group)).map(|(at, _)| at).collect();
        let found = self.candidates.insert(key, found);
        (!found.is_empty()).then_some(found)
    }

    /// Hands everything over that was gathered, up to record `through`.
    pub(super) fn hand_over(&mut self, through: u64, work: &mut RoundWork) {
        let mut is_empty = false;
        for group in &mut self.groups {
            group.hand_over(work);
            group.handed_over_through = through;
            is_empty |= group.members.is_empty();
        }
        if is_empty {
            self.sweep();
        }
    }

    /// Ends the tails of a group with an error.
    pub(super) fn fail(&mut self, at: usize, status: &Status) {
        self.groups[at].fail(status);
    }

    /// Ends all tails with an error.
    pub(super) fn fail_all(&mut self, status: &Status) {
        self.groups.iter_mut().for_each(|group| group.fail(status));
        self.sweep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_kept_once_and_the_cache_ends_with_its_bound() {
        let mut candidates = Candidates::default();
        for appliance in 0..1_000 {
            candidates.insert((appliance, 0), (0..200).collect());
        }
        assert_eq!((candidates.lists.len(), candidates.listed), (1, 200));
        assert_eq!(candidates.by_combination.len(), 1_000);
        for appliance in 1_000..1_020 {
            let first = appliance as usize;
            let list = candidates.insert((appliance, 0), (first..first + 100_000).collect());
            assert_eq!(candidates.get((appliance, 0)), Some(&list));
            assert!(candidates.listed < LISTED_GROUPS_MAX + 100_000);
        }
        assert!(candidates.by_combination.len() < 20, "it was cleared");
    }
}
