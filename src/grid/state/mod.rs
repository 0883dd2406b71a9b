//! Holds what the grid knows: appliances, their starts, findings and queued mails.
//!
//! Guarantees that state changes in two ways only: [`State::replay`] applies a record, and
//! [`State::apply_uncommitted`] counts what the next tally records before it is published; that
//! applying the same records gives the same state, and that [`State::to_effects`] gives it back by value.
//! Reads no settings and no clock.

mod affected;
pub mod alerts;
pub mod appliance;
mod class_names;
pub mod identities;
mod lived_time;
mod name_table;
pub mod outbox;
mod rows;
mod sharded_map;
pub mod shared_map;
pub mod snapshot;

use std::time::Duration;

use uuid::Uuid;

use super::decide::CountedEvent;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::identity::IdentityEffect;
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::model::finding::{Finding, FindingKind};
use crate::grid::model::identity::{EnrolledKey, appliance_of};
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::state::affected::AffectedRows;
use crate::grid::state::alerts::Alerts;
use crate::grid::state::appliance::Appliance;
use crate::grid::state::class_names::ClassNames;
use crate::grid::state::identities::Identities;
use crate::grid::state::lived_time::lived_since;
use crate::grid::state::name_table::NameTable;
use crate::grid::state::outbox::Outbox;
use crate::grid::state::rows::{Row, Rows};
use crate::grid::state::shared_map::SharedMap;
use crate::grid::state::snapshot::StateSnapshot;
use crate::grid::values::event::Severity;
use crate::grid::values::id::{ApplianceIndex, ApplianceName, RecordNumber};
use crate::grid::values::identity::Subject;
use crate::grid::values::time::Timestamp;

/// The most rows that missing records can have contained in one go: a number beyond is damage, not
/// a row.
const MISSING_ROWS_MAX: usize = 1 << 20;

/// The fold of all records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    rows: Rows,
    numbers: NameTable,
    class_names: ClassNames,
    findings: SharedMap<(Option<ApplianceIndex>, FindingKind), Finding>,
    alerts: Alerts,
    outbox: Outbox,
    identities: Identities,
    last: RecordNumber,
    last_at: Timestamp,
    lived_time: Duration,
}

impl State {
    /// The number of the last record applied; 0: none.
    pub fn last(&self) -> RecordNumber {
        self.last
    }

    /// The time of the last record applied.
    pub fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// For how long brokers ran on this journal, up to the last record: broker time without its
    /// shifts. Ages that delete data use it.
    pub fn lived_time(&self) -> Duration {
        self.lived_time
    }

    /// The number of the appliance of that name.
    pub fn find(&self, name: &ApplianceName) -> Option<ApplianceIndex> {
        self.numbers.find(name, |number| self.name(number))
    }

    /// The appliance of that number, if it exists.
    pub fn appliance(&self, number: ApplianceIndex) -> Option<&Appliance> {
        match self.rows.get(number)? {
            Row::Present(appliance) => Some(appliance),
            Row::Removed(_) | Row::Missing => None,
        }
    }

    /// The name of an appliance, even if it was removed.
    pub fn name(&self, number: ApplianceIndex) -> Option<&ApplianceName> {
        self.rows.name(number)
    }

    /// All appliances, in the order of their registration, from `first` on.
    pub fn appliances_from(&self, first: ApplianceIndex) -> impl Iterator<Item = &Appliance> {
        self.rows.appliances_from(first)
    }

    /// All appliances, in the order of their registration.
    pub fn appliances(&self) -> impl Iterator<Item = &Appliance> {
        self.appliances_from(ApplianceIndex(1))
    }

    /// The number that the next new appliance gets.
    pub fn next_number(&self) -> ApplianceIndex {
        ApplianceIndex(u32::try_from(self.rows.len() + 1).unwrap_or(u32::MAX))
    }

    /// An finding.
    pub fn finding(&self, number: Option<ApplianceIndex>, kind: FindingKind) -> Option<&Finding> {
        self.findings.get(&(number, kind))
    }

    /// All findings, those of the broker first, then by number.
    pub fn findings(
        &self,
    ) -> impl Iterator<Item = (Option<ApplianceIndex>, FindingKind, &Finding)> {
        self.findings.iter().map(|((number, kind), finding)| (*number, *kind, finding))
    }

    /// All findings from that key on, whether it is open or not.
    pub fn findings_from(
        &self,
        number: Option<ApplianceIndex>,
        kind: FindingKind,
    ) -> impl Iterator<Item = (Option<ApplianceIndex>, FindingKind, &Finding)> {
        let findings = self.findings.range_from((number, kind));
        findings.map(|((number, kind), finding)| (*number, *kind, finding))
    }

    /// The findings of one appliance.
    pub fn findings_of(
        &self,
        number: ApplianceIndex,
    ) -> impl Iterator<Item = (FindingKind, &Finding)> {
        self.findings_from(Some(number), FindingKind::FIRST)
            .take_while(move |(of, _, _)| *of == Some(number))
            .map(|(_, kind, finding)| (kind, finding))
    }

    /// The alerts.
    pub fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// The queued mails.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The credentials.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// The enrolled key of an appliance.
    pub fn key_of(&self, appliance: &Appliance) -> Option<&EnrolledKey> {
        if !self.identities.has_keys() {
            return None;
        }
        self.identities.key(&Subject::Appliance(appliance.name.clone()))
    }

    /// When it is to be said next that the certificate of an appliance is not renewed: with a sixth of
    /// its life left, and at its end.
    pub(in crate::grid) fn certificate_due(&self, appliance: &Appliance) -> Option<Timestamp> {
        let key = self.key_of(appliance)?;
        let left = key.expires_at.since(key.issued_at) / 6;
        match self.finding(Some(appliance.number), FindingKind::CertificateEnding) {
            None => Some(key.expires_at.before(left)),
            Some(open) => (open.severity < Severity::Error).then_some(key.expires_at),
        }
    }

    /// Applies a record. Returns the appliances that it affects; `None`: perhaps all.
    pub fn replay(&mut self, record: &Record) -> Option<AffectedRows> {
        let mut rows = AffectedRows { first: record.input.appliance(), others: Vec::new() };
        let mut touches_all = false;
        for effect in &record.effects {
            match self.apply_effect(effect) {
                AffectedAppliances::All => touches_all = true,
                AffectedAppliances::One(number) => rows.add(number),
                AffectedAppliances::Nothing => {}
            }
        }
        for number in rows.iter() {
            if let Some(appliance) = self.appliance_mut(number) {
                if record.input != Input::Tally {
                    appliance.last_record = record.number;
                }
                if let Input::Event(received) = &record.input {
                    appliance.record_event(received, record.outcome, record.at);
                }
            }
        }
        self.lived_time = self.lived_time.saturating_add(lived_since(record, self.last_at));
        self.last = record.number;
        self.last_at = record.at;
        (!touches_all).then_some(rows)
    }

    /// Applies a counted event without a record. The next tally contains it, and until that is
    /// durable nothing may be published of it.
    pub fn apply_uncommitted(&mut self, counted: &CountedEvent, at: Timestamp) {
        for effect in &counted.effects {
            let _touched = self.apply_effect(effect);
        }
        if let Some(appliance) = self.appliance_mut(counted.received.appliance) {
            appliance.record_event(&counted.received, counted.outcome, at);
        }
    }

    /// The state as it is now, for as long as it is needed. Cheap; what changes meanwhile is copied.
    pub fn snapshot(&self) -> StateSnapshot {
        StateSnapshot {
            rows: self.rows.clone(),
            findings: self.findings.clone(),
            alerts: self.alerts.snapshot(),
            outbox: self.outbox.snapshot(),
            identities: self.identities.snapshot(),
            last: self.last,
            last_at: self.last_at,
            lived_time: self.lived_time,
        }
    }

    /// The whole state as effects: applied to an empty state they give an equal one.
    pub fn to_effects(&self) -> Vec<Effect> {
        self.snapshot().into_effects().flatten().collect()
    }

    /// The state from the effects of [`State::to_effects`], as of record `last` at `last_at`.
    pub fn from_effects(effects: &[Effect], last: RecordNumber, last_at: Timestamp) -> Self {
        let mut state = Self::default();
        effects.iter().for_each(|effect| state.restore(effect));
        state.set_last(last, last_at);
        state
    }

    /// Applies one effect of [`State::to_effects`]. [`State::set_last`] is to follow the last one.
    pub fn restore(&mut self, effect: &Effect) {
        let _touched = self.apply_effect(effect);
    }

    /// Sets the record as of which the state was restored.
    pub fn set_last(&mut self, last: RecordNumber, last_at: Timestamp) {
        (self.last, self.last_at) = (last, last_at);
    }

    /// The state after a shift of broker time.
    #[must_use]
    pub fn shifted(&self, shift: TimeShift) -> Self {
        let mut state = Self::default();
        for effect in self.snapshot().into_effects().flatten() {
            state.restore(&effect.shifted(shift));
        }
        state.set_last(self.last, self.last_at);
        state
    }

    /// Continues after record `last`, though records up to it are missing.
    pub fn skip_to(&mut self, last: RecordNumber) {
        self.last = self.last.max(last);
    }

    fn appliance_mut(&mut self, number: ApplianceIndex) -> Option<&mut Appliance> {
        match self.rows.get_mut(number)? {
            Row::Present(appliance) => Some(appliance),
            Row::Removed(_) | Row::Missing => None,
        }
    }

    fn apply_effect(&mut self, effect: &Effect) -> AffectedAppliances {
        match effect {
            Effect::Appliance { number, change } => self.apply_to_appliance(*number, change),
            Effect::FindingRaised { number, kind, finding } => {
                self.findings.insert((*number, *kind), finding.clone());
                number.map_or(AffectedAppliances::Nothing, AffectedAppliances::One)
            }
            Effect::FindingCleared { number, kind } => {
                self.findings.remove(&(*number, *kind));
                number.map_or(AffectedAppliances::Nothing, AffectedAppliances::One)
            }
            Effect::Alert(change) => {
                self.alerts.apply_effect(change);
                AffectedAppliances::Nothing
            }
            Effect::Mail(change) => {
                self.outbox.apply_effect(change);
                AffectedAppliances::Nothing
            }
            Effect::Identity(change) => self.apply_to_identities(change),
            Effect::TimeShifted(shift) => {
                *self = self.shifted(*shift);
                AffectedAppliances::All
            }
            Effect::LivedTime { lived } => {
                self.lived_time = *lived;
                AffectedAppliances::Nothing
            }
            Effect::DeadlinesMoved { by, not_before } => {
                self.move_deadlines(*by, *not_before);
                AffectedAppliances::All
            }
        }
    }

    /// A key has a timer of its appliance.
    fn apply_to_identities(&mut self, change: &IdentityEffect) -> AffectedAppliances {
        self.identities.apply_effect(change);
        let (IdentityEffect::Key { subject, .. } | IdentityEffect::KeyRemoved { subject }) = change
        else {
            return AffectedAppliances::Nothing;
        };
        let number = appliance_of(subject).and_then(|name| self.find(name));
        number.map_or(AffectedAppliances::Nothing, AffectedAppliances::One)
    }

    fn apply_to_appliance(
        &mut self,
        number: ApplianceIndex,
        change: &ApplianceEffect,
    ) -> AffectedAppliances {
        if let ApplianceEffect::Tombstone { name } = change {
            self.put_row(number, Row::Removed(name.clone()));
            return AffectedAppliances::Nothing;
        }
        if *change == ApplianceEffect::Removed {
            return self.remove(number);
        }
        if let ApplianceEffect::Registered { name, uuid, class, .. } = change {
            self.register(number, name, *uuid, class);
        }
        if let Some(appliance) = self.appliance_mut(number) {
            appliance.apply_effect(change);
        }
        AffectedAppliances::One(number)
    }

    fn register(&mut self, number: ApplianceIndex, name: &ApplianceName, uuid: Uuid, class: &str) {
        let class = self.class_names.shared(class);
        if let Some(appliance) = self.appliance_mut(number) {
            appliance.class = class;
            return;
        }
        let new = Appliance::new(number, name.clone(), uuid, class);
        self.put_row(number, Row::Present(new));
        if self.appliance(number).is_some() {
            let Self { numbers, rows, .. } = self;
            numbers.insert(name, number, |number| rows.name(number));
        }
    }

    fn move_deadlines(&mut self, by: Duration, not_before: Timestamp) {
        let moved = |deadline: Timestamp| deadline.after(by).max(not_before);
        self.rows.update(
            |appliance| appliance.lifecycle.deadline().is_some(),
            |appliance| {
                let lifecycle = std::mem::replace(&mut appliance.lifecycle, Lifecycle::Idle);
                appliance.lifecycle = lifecycle.map_deadlines(moved);
            },
        );
    }

    /// Sets a row. Unknown rows before it were in records that are missing.
    fn put_row(&mut self, number: ApplianceIndex, row: Row) {
        if number.0 as usize <= self.rows.len() + MISSING_ROWS_MAX + 1 {
            self.rows.put(number, row);
        }
    }

    fn remove(&mut self, number: ApplianceIndex) -> AffectedAppliances {
        if let Some(name) = self.appliance(number).map(|appliance| appliance.name.clone()) {
            let Self { numbers, rows, .. } = self;
            numbers.remove(&name, |number| rows.name(number));
            self.put_row(number, Row::Removed(name));
            let open: Vec<_> = self.findings_of(number).map(|(kind, _)| kind).collect();
            for kind in open {
                self.findings.remove(&(Some(number), kind));
            }
        }
        AffectedAppliances::One(number)
    }
}

enum AffectedAppliances {
    Nothing,
    One(ApplianceIndex),
    All,
}
