//! Gathers the records of one commit, makes them durable, and only then replies.
//!
//! Guarantees that records are staged in the order of their numbers, and that no reply leaves before the
//! append has succeeded. Decides nothing.

use crate::broker::metrics::EventCounts;
use crate::broker::queue::ChangedAppliances;
use crate::broker::{BYTES_PER_COMMIT, EVENTS_PER_COMMIT, EventLoop, REQUESTS_PER_COMMIT};
use crate::codec::RecordBytes;
use crate::grid::decide::Decision;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::identity::IdentityEffect;
use crate::grid::log::record::Record;
use crate::grid::model::crash_dump::DumpTrigger;
use crate::grid::model::mail_message::MessageNumber;
use crate::grid::values::id::ApplianceIndex;
use crate::journal::{CommitBatch, JournalError, RecordHeader};

/// What one iteration decided and has not published yet.
#[derive(Default)]
pub(super) struct PendingCommit {
    pub(super) request_count: usize,
    pub(super) event_count: usize,
    pub(super) batch: CommitBatch,
    pub(super) changed: Vec<ApplianceIndex>,
    /// Events by kind and outcome.
    pub(super) counts: EventCounts,
    /// Mails to be passed to the mail sender.
    pub(super) due_mails: Vec<MessageNumber>,
    pub(super) has_all_changed: bool,
    pub(super) has_time_shifted: bool,
    /// The broker decided that a crash dump is due.
    pub(super) has_due_dump: bool,
    /// Changes of credentials, for the listeners.
    pub(super) identity_changes: Vec<IdentityEffect>,
}

impl PendingCommit {
    pub(super) fn is_full(&self) -> bool {
        self.request_count >= REQUESTS_PER_COMMIT
            || self.event_count >= EVENTS_PER_COMMIT
            || self.batch.byte_count() >= BYTES_PER_COMMIT
    }

    /// Notes that an appliance changed. Events of one appliance often come in a row.
    pub(super) fn note_changed(&mut self, appliance: ApplianceIndex) {
        if self.changed.last() != Some(&appliance) {
            self.changed.push(appliance);
        }
    }
}

impl EventLoop {
    pub(super) fn stage(&mut self, decision: &Decision) {
        decision.records().for_each(|record| self.stage_record(record));
    }

    /// The appliance that the record is about, for the journal's index.
    fn appliance_of(&self, record: &Record) -> Option<ApplianceIndex> {
        let state = self.driver.grid().state();
        record.subject().or_else(|| state.find(record.named_appliance()?))
    }

    pub(super) fn stage_record(&mut self, record: &Record) {
        let header = RecordHeader {
            at_us: record.at.as_micros(),
            severity: record.severity().number(),
            kind: record.kind().number(),
            appliance: self.appliance_of(record).map_or(0, |number| number.0),
        };
        let bytes = RecordBytes::new(record);
        self.commit.batch.push(record.number, header, bytes.len(), |out| bytes.write_into(out));
        if let Some(subject) = record.subject() {
            self.commit.note_changed(subject);
        }
        self.collect_mails(record);
        for effect in &record.effects {
            match effect {
                Effect::Appliance { number, change: ApplianceEffect::Registered { name, .. } } => {
                    self.name_index.set(*number, name);
                }
                Effect::Appliance { number, change: ApplianceEffect::Counters { .. } } => {
                    self.commit.note_changed(*number);
                }
                Effect::Appliance { change: ApplianceEffect::CrashDump { dump }, .. } => {
                    self.commit.has_due_dump |= dump.trigger == DumpTrigger::Due;
                }
                Effect::DeadlinesMoved { .. } | Effect::TimeShifted(_) => {
                    self.commit.has_all_changed = true;
                    self.commit.has_time_shifted |= matches!(effect, Effect::TimeShifted(_));
                }
                Effect::Appliance { .. }
                | Effect::FindingRaised { .. }
                | Effect::FindingCleared { .. }
                | Effect::Alert(_)
                | Effect::LivedTime { .. }
                | Effect::Mail(_) => {}
                Effect::Identity(change) => self.commit.identity_changes.push(change.clone()),
            }
        }
    }

    /// Makes the commit durable, and only then replies.
    pub(super) fn commit_and_reply(&mut self) -> Result<(), JournalError> {
        let mut commit = std::mem::take(&mut self.commit);
        if !commit.batch.is_empty() {
            self.append(&mut commit.batch)?;
            self.trim_recorded();
        }
        commit.counts.add_to(&self.metrics);
        self.dispatch(std::mem::take(&mut commit.due_mails));
        if commit.has_time_shifted {
            // Everything decided so far is durable.
            self.credentials.replace(self.driver.grid().state().identities().clone());
        } else {
            self.credentials.apply(&commit.identity_changes);
        }
        if commit.has_due_dump {
            self.due_dumps.send_modify(|count| *count += 1);
        }
        let now = self.clock.now();
        for reply in self.driver.released() {
            reply(self.driver.grid(), now);
        }
        self.publish_changes(&mut commit);
        commit.batch.clear();
        self.commit.batch = commit.batch;
        Ok(())
    }

    /// Sends which appliances changed, if anybody wants to know.
    fn publish_changes(&self, commit: &mut PendingCommit) {
        if self.changes.receiver_count() == 0 {
            return;
        }
        // If the watchers have gone meanwhile, sending fails, which is fine.
        if commit.has_all_changed {
            let _ = self.changes.send(ChangedAppliances::All);
        } else if !commit.changed.is_empty() {
            commit.changed.sort_unstable();
            commit.changed.dedup();
            let _ = self.changes.send(ChangedAppliances::Listed(commit.changed.as_slice().into()));
        }
    }
}
