//! Holds what the grid knows: appliances, their starts, open alerts and queued mails.
//!
//! Guarantees that state changes in two ways only: [`State::replay`] applies a record, and
//! [`State::apply_uncommitted`] counts what the next tally records before anybody is told of it; that
//! applying the same records gives the same state, and that [`State::to_effects`] gives it back by value.
//! Reads no settings and no clock.

pub mod appliance;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::decide::CountedEvent;
use crate::grid::log::effect::{Alert, AlertKind, Effect};
use crate::grid::log::record::{BrokerPause, Input, Record};
use crate::grid::log::time_shift::TimeShift;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::mail_message::Outbox;
use crate::grid::state::appliance::Appliance;
use crate::grid::values::id::{ApplianceIndex, ApplianceName, RecordNumber};
use crate::grid::values::time::Timestamp;

/// Most rows that missing records can have held in one go: a number beyond is damage, not a row.
const MISSING_ROWS_MAX: usize = 1 << 20;

/// The fold of all records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    rows: Vec<Row>,
    numbers: HashMap<ApplianceName, ApplianceIndex>,
    alerts: BTreeMap<(Option<ApplianceIndex>, AlertKind), Alert>,
    outbox: Outbox,
    last: RecordNumber,
    last_at: Timestamp,
    lived_time: Duration,
}

/// A row of the slab: rows are never given to another appliance.
#[derive(Clone, Debug, PartialEq)]
enum Row {
    Present(Box<Appliance>),
    Removed(ApplianceName),
    /// Its appliance lay in records that are missing; should it speak, it appears anew.
    Missing,
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

    /// For how long brokers were at work on this journal, up to the last record: told time less all
    /// that it was moved by. By this what is old is old.
    pub fn lived_time(&self) -> Duration {
        self.lived_time
    }

    /// The row of that name.
    pub fn find(&self, name: &ApplianceName) -> Option<ApplianceIndex> {
        self.numbers.get(name).copied()
    }

    /// The appliance in that row, if it is still there.
    pub fn appliance(&self, number: ApplianceIndex) -> Option<&Appliance> {
        match self.rows.get(row_index(number)?)? {
            Row::Present(appliance) => Some(appliance),
            Row::Removed(_) | Row::Missing => None,
        }
    }

    /// The name of a row, its appliance present or gone.
    pub fn name(&self, number: ApplianceIndex) -> Option<&ApplianceName> {
        Some(match self.rows.get(row_index(number)?)? {
            Row::Present(appliance) => &appliance.name,
            Row::Removed(name) => name,
            Row::Missing => return None,
        })
    }

    /// All appliances, in the order in which they were first seen, from `first` on.
    pub fn appliances_from(&self, first: ApplianceIndex) -> impl Iterator<Item = &Appliance> {
        let skipped = row_index(first).unwrap_or(0).min(self.rows.len());
        self.rows[skipped..].iter().filter_map(|row| match row {
            Row::Present(appliance) => Some(&**appliance),
            Row::Removed(_) | Row::Missing => None,
        })
    }

    /// All appliances, in the order in which they were first seen.
    pub fn appliances(&self) -> impl Iterator<Item = &Appliance> {
        self.appliances_from(ApplianceIndex(1))
    }

    /// The row that the next new appliance gets.
    pub fn next_number(&self) -> ApplianceIndex {
        ApplianceIndex(u32::try_from(self.rows.len() + 1).unwrap_or(u32::MAX))
    }

    /// An open matter.
    pub fn alert(&self, number: Option<ApplianceIndex>, matter: AlertKind) -> Option<&Alert> {
        self.alerts.get(&(number, matter))
    }

    /// All open matters, those of the broker first, then by row.
    pub fn alerts(&self) -> impl Iterator<Item = (Option<ApplianceIndex>, AlertKind, &Alert)> {
        self.alerts.iter().map(|((number, matter), alert)| (*number, *matter, alert))
    }

    /// The same from one of them on, be it open or not.
    pub fn alerts_from(
        &self,
        number: Option<ApplianceIndex>,
        matter: AlertKind,
    ) -> impl Iterator<Item = (Option<ApplianceIndex>, AlertKind, &Alert)> {
        let alerts = self.alerts.range((number, matter)..);
        alerts.map(|((number, matter), alert)| (*number, *matter, alert))
    }

    /// The open matters about one appliance.
    pub fn alerts_of(&self, number: ApplianceIndex) -> impl Iterator<Item = (AlertKind, &Alert)> {
        self.alerts_from(Some(number), AlertKind::FIRST)
            .take_while(move |(of, _, _)| *of == Some(number))
            .map(|(_, matter, alert)| (matter, alert))
    }

    /// The mails that are owed.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Takes a record in. Gives the rows it touched; `None`: perhaps all.
    pub fn replay(&mut self, record: &Record) -> Option<Vec<ApplianceIndex>> {
        let mut rows: Vec<_> = record.input.appliance().into_iter().collect();
        let mut touches_all = false;
        for effect in &record.effects {
            match self.apply_effect(effect) {
                AffectedAppliances::All => touches_all = true,
                AffectedAppliances::One(number) if !rows.contains(&number) => rows.push(number),
                AffectedAppliances::One(_) | AffectedAppliances::Nothing => {}
            }
        }
        for number in &rows {
            if let Some(appliance) = self.appliance_mut(*number) {
                if record.input != Input::Tally {
                    appliance.last_record = record.number;
                }
                if let Input::Event(heard) = &record.input {
                    appliance.record_event(heard, record.outcome, record.at);
                }
            }
        }
        self.lived_time = self.lived_time.saturating_add(lived_since(record, self.last_at));
        self.last = record.number;
        self.last_at = record.at;
        (!touches_all).then_some(rows)
    }

    /// Takes in what has no record of its own. The next tally says the same, and until that is
    /// durable nobody may hear of it.
    pub fn apply_uncommitted(&mut self, absorbed: &CountedEvent, at: Timestamp) {
        for effect in &absorbed.effects {
            let _touched = self.apply_effect(effect);
        }
        if let Some(appliance) = self.appliance_mut(absorbed.received.appliance) {
            appliance.record_event(&absorbed.received, absorbed.outcome, at);
        }
    }

    /// The whole state as effects: applied to an empty state they give an equal one.
    pub fn to_effects(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (row, number) in self.rows.iter().zip(1..) {
            match row {
                Row::Removed(name) => {
                    let number = ApplianceIndex(number);
                    effects.push(Effect::Tombstone { number, name: name.clone() });
                }
                Row::Missing => {}
                Row::Present(appliance) => appliance.to_effects(&mut effects),
            }
        }
        effects.extend(self.alerts.iter().map(|((number, matter), alert)| Effect::AlertRaised {
            number: *number,
            kind: *matter,
            alert: alert.clone(),
        }));
        self.outbox.to_effects(&mut effects);
        if !self.lived_time.is_zero() {
            effects.push(Effect::LivedTime { lived: self.lived_time });
        }
        effects
    }

    /// The state that [`State::to_effects`] gave, as of record `last` at `last_at`.
    pub fn from_effects(effects: &[Effect], last: RecordNumber, last_at: Timestamp) -> Self {
        let mut state = Self::default();
        for effect in effects {
            let _touched = state.apply_effect(effect);
        }
        state.last = last;
        state.last_at = last_at;
        state
    }

    /// The same where told time is moved so.
    #[must_use]
    pub fn shifted(&self, shift: TimeShift) -> Self {
        let effects: Vec<_> =
            self.to_effects().into_iter().map(|effect| shift.shift_effect(effect)).collect();
        Self::from_effects(&effects, self.last, self.last_at)
    }

    /// Goes on behind record `last`, though records up to it are missing.
    pub fn skip_to(&mut self, last: RecordNumber) {
        self.last = self.last.max(last);
    }

    fn appliance_mut(&mut self, number: ApplianceIndex) -> Option<&mut Appliance> {
        match self.rows.get_mut(row_index(number)?)? {
            Row::Present(appliance) => Some(appliance),
            Row::Removed(_) | Row::Missing => None,
        }
    }

    fn apply_effect(&mut self, effect: &Effect) -> AffectedAppliances {
        match effect {
            Effect::Appliance { number, name, uuid, class, overrides } => {
                match self.appliance_mut(*number) {
                    Some(appliance) => {
                        appliance.class.clone_from(class);
                        appliance.overrides = overrides.clone();
                    }
                    None => {
                        let new = Appliance {
                            class: class.clone(),
                            overrides: overrides.clone(),
                            ..Appliance::new(*number, name.clone(), *uuid)
                        };
                        self.put_row(*number, Row::Present(Box::new(new)));
                    }
                }
                if self.appliance(*number).is_some() {
                    self.numbers.insert(name.clone(), *number);
                }
                AffectedAppliances::One(*number)
            }
            Effect::Removed { number } => self.remove(*number),
            Effect::Tombstone { number, name } => {
                self.put_row(*number, Row::Removed(name.clone()));
                AffectedAppliances::Nothing
            }
            Effect::AlertRaised { number, kind: matter, alert } => {
                self.alerts.insert((*number, *matter), alert.clone());
                number.map_or(AffectedAppliances::Nothing, AffectedAppliances::One)
            }
            Effect::AlertCleared { number, kind: matter } => {
                self.alerts.remove(&(*number, *matter));
                number.map_or(AffectedAppliances::Nothing, AffectedAppliances::One)
            }
            Effect::Mail(change) => {
                self.outbox.apply_effect(change);
                AffectedAppliances::Nothing
            }
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
            Effect::Boot { number, .. }
            | Effect::Lifecycle { number, .. }
            | Effect::FailedStarts { number, .. }
            | Effect::RateLimitState { number, .. }
            | Effect::RateLimitsReset { number }
            | Effect::AlertGroup { number, .. }
            | Effect::AlertGroupForgotten { number, .. }
            | Effect::RepeatsReported { number, .. }
            | Effect::Suppression { number, .. }
            | Effect::SuppressedAlerts { number, .. }
            | Effect::Counters { number, .. }
            | Effect::History { number, .. } => {
                if let Some(appliance) = self.appliance_mut(*number) {
                    appliance.apply_effect(effect);
                }
                AffectedAppliances::One(*number)
            }
        }
    }

    fn move_deadlines(&mut self, by: Duration, not_before: Timestamp) {
        let moved = |deadline: Timestamp| deadline.after(by).max(not_before);
        for row in &mut self.rows {
            if let Row::Present(appliance) = row {
                let lifecycle = std::mem::replace(&mut appliance.lifecycle, Lifecycle::Idle);
                appliance.lifecycle = lifecycle.map_deadlines(moved);
            }
        }
    }

    /// Puts a row in its place. Rows before it that nobody told of lay in records that are missing.
    fn put_row(&mut self, number: ApplianceIndex, row: Row) {
        let Some(at) = row_index(number).filter(|at| *at <= self.rows.len() + MISSING_ROWS_MAX)
        else {
            return;
        };
        if at >= self.rows.len() {
            self.rows.resize(at + 1, Row::Missing);
        }
        self.rows[at] = row;
    }

    fn remove(&mut self, number: ApplianceIndex) -> AffectedAppliances {
        if let Some(name) = self.appliance(number).map(|appliance| appliance.name.clone()) {
            self.numbers.remove(&name);
            self.put_row(number, Row::Removed(name));
            self.alerts.retain(|(of, _), _| *of != Some(number));
        }
        AffectedAppliances::One(number)
    }
}

enum AffectedAppliances {
    Nothing,
    One(ApplianceIndex),
    All,
}

/// How long a broker was at work between a record and the one before it, of `before`.
fn lived_since(record: &Record, before: Timestamp) -> Duration {
    let mut shifts = record.effects.iter().filter_map(|effect| {
        if let Effect::TimeShifted(shift) = effect { Some(shift.by) } else { None }
    });
    let shift = shifts.next();
    match (&record.input, shift) {
        (_, Some(by)) => record.at.since(before.shifted_by(by)),
        // Of releases before: nobody was there, or slept.
        (Input::BrokerStarted(_), None) => Duration::ZERO,
        (Input::BrokerPaused { lasted, cause: BrokerPause::ClockJumpedAhead }, None) => {
            record.at.since(before).saturating_sub(*lasted)
        }
        // The first record of all.
        (_, None) if record.number <= 1 => Duration::ZERO,
        (_, None) => record.at.since(before),
    }
}

fn row_index(number: ApplianceIndex) -> Option<usize> {
    usize::try_from(number.0).ok()?.checked_sub(1)
}
