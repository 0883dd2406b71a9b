//! Gathers the records of one commit, makes them durable, and only then replies.
//!
//! Guarantees that records are staged in the order of their numbers, and that no reply leaves before the
//! append has succeeded. Decides nothing.

use crate::broker::queue::ChangedAppliances;
use crate::broker::{BYTES_PER_COMMIT, EVENTS_PER_COMMIT, EventLoop, REQUESTS_PER_COMMIT};
use crate::codec;
use crate::grid::decide::Decision;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::identity::IdentityEffect;
use crate::grid::log::record::Record;
use crate::grid::model::crash_dump::DumpTrigger;
use crate::grid::model::mail_message::MessageNumber;
use crate::grid::values::id::ApplianceIndex;
use crate::journal::{EncodedRecord, JournalError, RecordHeader};

/// What one iteration decided and has not published yet.
#[derive(Default)]
pub(super) struct PendingCommit {
    pub(super) request_count: usize,
    pub(super) event_count: usize,
    pub(super) records: Vec<EncodedRecord>,
    pub(super) byte_count: usize,
    pub(super) changed: Vec<ApplianceIndex>,
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
            || self.byte_count >= BYTES_PER_COMMIT
    }
}

impl EventLoop {
    pub(super) fn stage(&mut self, decision: &Decision) {
        decision.records().for_each(|record| self.stage_record(record));
    }

    pub(super) fn stage_record(&mut self, record: &Record) {
        self.stage_encoded(record, codec::encode_record(record));
    }

    /// The appliance that the record is about, for the journal's index.
    fn appliance_of(&self, record: &Record) -> Option<ApplianceIndex> {
        let state = self.driver.grid().state();
        record.subject().or_else(|| state.find(record.named_appliance()?))
    }

    pub(super) fn stage_encoded(&mut self, record: &Record, bytes: Vec<u8>) {
        self.commit.byte_count += bytes.len();
        let header = RecordHeader {
            at_us: record.at.as_micros(),
            severity: record.severity().number(),
            kind: record.kind().number(),
            appliance: self.appliance_of(record).map_or(0, |number| number.0),
        };
        let bytes = bytes.into();
        self.commit.records.push(EncodedRecord { number: record.number, header, bytes });
        self.commit.changed.extend(record.subject());
        self.collect_mails(record);
        for effect in &record.effects {
            match effect {
                Effect::Appliance { number, change: ApplianceEffect::Registered { name, .. } } => {
                    self.name_index.set(*number, name);
                }
                Effect::Appliance { number, change: ApplianceEffect::Counters { .. } } => {
                    self.commit.changed.push(*number);
                }
                Effect::Appliance { change: ApplianceEffect::CrashDump { dump }, .. } => {
                    self.commit.has_due_dump |= dump.trigger == DumpTrigger::Due;
                }
                Effect::DeadlinesMoved { .. } | Effect::TimeShifted(_) => {
                    self.commit.has_all_changed = true;
                    self.commit.has_time_shifted |= matches!(effect, Effect::TimeShifted(_));
                }
                Effect::Appliance { .. }
                | Effect::AlertRaised { .. }
                | Effect::AlertCleared { .. }
                | Effect::LivedTime { .. }
                | Effect::Mail(_) => {}
                Effect::Identity(change) => self.commit.identity_changes.push(change.clone()),
            }
        }
    }

    /// Makes the commit durable, and only then replies.
    pub(super) fn commit_and_reply(&mut self) -> Result<(), JournalError> {
        let mut commit = std::mem::take(&mut self.commit);
        if !commit.records.is_empty() {
            self.append(&commit.records)?;
            self.trim_recorded();
        }
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
        if commit.has_all_changed {
            // Without watchers sending fails, which is fine.
            let _ = self.changes.send(ChangedAppliances::All);
        } else if !commit.changed.is_empty() {
            let _ = self.changes.send(ChangedAppliances::Listed(commit.changed.into()));
        }
        Ok(())
    }
}
