//! What does the grid know? Appliances, their starts, and what is open about them.
//!
//! Guarantees that [`State::apply`] is the only thing that changes it, that applying the same
//! records gives the same state, and that [`State::to_effects`] gives it back by value. Reads no
//! settings and no clock.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::appliance::Appliance;
use super::decide::Absorbed;
use super::effect::{Alert, Effect, Matter};
use super::lifecycle::Lifecycle;
use super::mail::Outbox;
use super::name::{ApplianceName, ApplianceNumber, RecordNumber};
use super::record::{Input, Record, Stall};
use super::shift::Shift;
use super::time::Timestamp;

/// Most rows that missing records can have held in one go: a number beyond is damage, not a row.
const LOST_ROWS_MAX: usize = 1 << 20;

/// The fold of all records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    rows: Vec<Row>,
    numbers: HashMap<ApplianceName, ApplianceNumber>,
    alerts: BTreeMap<(Option<ApplianceNumber>, Matter), Alert>,
    outbox: Outbox,
    last: RecordNumber,
    last_at: Timestamp,
    lived: Duration,
}

/// A row of the slab: rows are never given to another appliance.
#[derive(Clone, Debug, PartialEq)]
enum Row {
    Present(Box<Appliance>),
    Gone(ApplianceName),
    /// Its appliance lay in records that are missing; should it speak, it appears anew.
    Lost,
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
    pub fn lived(&self) -> Duration {
        self.lived
    }

    /// The row of that name.
    pub fn find(&self, name: &ApplianceName) -> Option<ApplianceNumber> {
        self.numbers.get(name).copied()
    }

    /// The appliance in that row, if it is still there.
    pub fn appliance(&self, number: ApplianceNumber) -> Option<&Appliance> {
        match self.rows.get(index(number)?)? {
            Row::Present(appliance) => Some(appliance),
            Row::Gone(_) | Row::Lost => None,
        }
    }

    /// The name of a row, its appliance present or gone.
    pub fn name(&self, number: ApplianceNumber) -> Option<&ApplianceName> {
        Some(match self.rows.get(index(number)?)? {
            Row::Present(appliance) => &appliance.name,
            Row::Gone(name) => name,
            Row::Lost => return None,
        })
    }

    /// All appliances, in the order in which they were first seen, from `first` on.
    pub fn appliances_from(&self, first: ApplianceNumber) -> impl Iterator<Item = &Appliance> {
        let skipped = index(first).unwrap_or(0).min(self.rows.len());
        self.rows[skipped..].iter().filter_map(|row| match row {
            Row::Present(appliance) => Some(&**appliance),
            Row::Gone(_) | Row::Lost => None,
        })
    }

    /// All appliances, in the order in which they were first seen.
    pub fn appliances(&self) -> impl Iterator<Item = &Appliance> {
        self.appliances_from(ApplianceNumber(1))
    }

    /// The row that the next new appliance gets.
    pub fn next_row(&self) -> ApplianceNumber {
        ApplianceNumber(u32::try_from(self.rows.len() + 1).unwrap_or(u32::MAX))
    }

    /// An open matter.
    pub fn alert(&self, number: Option<ApplianceNumber>, matter: Matter) -> Option<&Alert> {
        self.alerts.get(&(number, matter))
    }

    /// All open matters, those of the broker first, then by row.
    pub fn alerts(&self) -> impl Iterator<Item = (Option<ApplianceNumber>, Matter, &Alert)> {
        self.alerts.iter().map(|((number, matter), alert)| (*number, *matter, alert))
    }

    /// The same from one of them on, be it open or not.
    pub fn alerts_from(
        &self,
        number: Option<ApplianceNumber>,
        matter: Matter,
    ) -> impl Iterator<Item = (Option<ApplianceNumber>, Matter, &Alert)> {
        let alerts = self.alerts.range((number, matter)..);
        alerts.map(|((number, matter), alert)| (*number, *matter, alert))
    }

    /// The open matters about one appliance.
    pub fn alerts_of(&self, number: ApplianceNumber) -> impl Iterator<Item = (Matter, &Alert)> {
        self.alerts_from(Some(number), Matter::FIRST)
            .take_while(move |(of, _, _)| *of == Some(number))
            .map(|(_, matter, alert)| (matter, alert))
    }

    /// The mails that are owed.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Takes a record in. Gives the rows it touched; `None`: perhaps all.
    pub fn apply(&mut self, record: &Record) -> Option<Vec<ApplianceNumber>> {
        let mut rows: Vec<_> = record.input.appliance().into_iter().collect();
        let mut touches_all = false;
        for effect in &record.effects {
            match self.take(effect) {
                Touched::All => touches_all = true,
                Touched::One(number) if !rows.contains(&number) => rows.push(number),
                Touched::One(_) | Touched::Nothing => {}
            }
        }
        for number in &rows {
            if let Some(appliance) = self.appliance_mut(*number) {
                if record.input != Input::Tally {
                    appliance.last_record = record.number;
                }
                if let Input::Event(heard) = &record.input {
                    appliance.remember(heard, record.outcome, record.at);
                }
            }
        }
        self.lived = self.lived.saturating_add(lived(record, self.last_at));
        self.last = record.number;
        self.last_at = record.at;
        (!touches_all).then_some(rows)
    }

    /// Takes in what has no record of its own. The next tally says the same, and until that is
    /// durable nobody may hear of it.
    pub fn absorb(&mut self, absorbed: &Absorbed, at: Timestamp) {
        for effect in &absorbed.effects {
            let _touched = self.take(effect);
        }
        if let Some(appliance) = self.appliance_mut(absorbed.heard.appliance) {
            appliance.remember(&absorbed.heard, absorbed.outcome, at);
        }
    }

    /// The whole state as effects: applied to an empty state they give an equal one.
    pub fn to_effects(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (row, number) in self.rows.iter().zip(1..) {
            match row {
                Row::Gone(name) => {
                    let number = ApplianceNumber(number);
                    effects.push(Effect::Tombstone { number, name: name.clone() });
                }
                Row::Lost => {}
                Row::Present(appliance) => appliance.to_effects(&mut effects),
            }
        }
        effects.extend(self.alerts.iter().map(|((number, matter), alert)| Effect::AlertRaised {
            number: *number,
            matter: *matter,
            alert: alert.clone(),
        }));
        self.outbox.to_effects(&mut effects);
        if !self.lived.is_zero() {
            effects.push(Effect::Lived { lived: self.lived });
        }
        effects
    }

    /// The state that [`State::to_effects`] gave, as of record `last` at `last_at`.
    pub fn from_effects(effects: &[Effect], last: RecordNumber, last_at: Timestamp) -> Self {
        let mut state = Self::default();
        for effect in effects {
            let _touched = state.take(effect);
        }
        state.last = last;
        state.last_at = last_at;
        state
    }

    /// The same where told time is moved so.
    #[must_use]
    pub fn shifted(&self, shift: Shift) -> Self {
        let effects: Vec<_> =
            self.to_effects().into_iter().map(|effect| shift.effect(effect)).collect();
        Self::from_effects(&effects, self.last, self.last_at)
    }

    /// Goes on behind record `last`, though records up to it are missing.
    pub fn resume_behind(&mut self, last: RecordNumber) {
        self.last = self.last.max(last);
    }

    fn appliance_mut(&mut self, number: ApplianceNumber) -> Option<&mut Appliance> {
        match self.rows.get_mut(index(number)?)? {
            Row::Present(appliance) => Some(appliance),
            Row::Gone(_) | Row::Lost => None,
        }
    }

    fn take(&mut self, effect: &Effect) -> Touched {
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
                        self.put(*number, Row::Present(Box::new(new)));
                    }
                }
                if self.appliance(*number).is_some() {
                    self.numbers.insert(name.clone(), *number);
                }
                Touched::One(*number)
            }
            Effect::Removed { number } => self.remove(*number),
            Effect::Tombstone { number, name } => {
                self.put(*number, Row::Gone(name.clone()));
                Touched::Nothing
            }
            Effect::AlertRaised { number, matter, alert } => {
                self.alerts.insert((*number, *matter), alert.clone());
                number.map_or(Touched::Nothing, Touched::One)
            }
            Effect::AlertCleared { number, matter } => {
                self.alerts.remove(&(*number, *matter));
                number.map_or(Touched::Nothing, Touched::One)
            }
            Effect::Mail(change) => {
                self.outbox.take(change);
                Touched::Nothing
            }
            Effect::TimeShifted(shift) => {
                *self = self.shifted(*shift);
                Touched::All
            }
            Effect::Lived { lived } => {
                self.lived = *lived;
                Touched::Nothing
            }
            Effect::DeadlinesMoved { by, not_before } => {
                self.move_deadlines(*by, *not_before);
                Touched::All
            }
            Effect::Boot { number, .. }
            | Effect::Lifecycle { number, .. }
            | Effect::FailedStarts { number, .. }
            | Effect::Spent { number, .. }
            | Effect::BudgetsFilled { number }
            | Effect::AlertKey { number, .. }
            | Effect::AlertKeyForgotten { number, .. }
            | Effect::RunTold { number, .. }
            | Effect::Suppression { number, .. }
            | Effect::Unmailed { number, .. }
            | Effect::Heard { number, .. }
            | Effect::Memory { number, .. } => {
                if let Some(appliance) = self.appliance_mut(*number) {
                    appliance.take(effect);
                }
                Touched::One(*number)
            }
        }
    }

    fn move_deadlines(&mut self, by: Duration, not_before: Timestamp) {
        let moved = |deadline: Timestamp| deadline.after(by).max(not_before);
        for row in &mut self.rows {
            if let Row::Present(appliance) = row {
                let lifecycle = std::mem::replace(&mut appliance.lifecycle, Lifecycle::Idle);
                appliance.lifecycle = lifecycle.with_deadlines(moved);
            }
        }
    }

    /// Puts a row in its place. Rows before it that nobody told of lay in records that are missing.
    fn put(&mut self, number: ApplianceNumber, row: Row) {
        let Some(at) = index(number).filter(|at| *at <= self.rows.len() + LOST_ROWS_MAX) else {
            return;
        };
        if at >= self.rows.len() {
            self.rows.resize(at + 1, Row::Lost);
        }
        self.rows[at] = row;
    }

    fn remove(&mut self, number: ApplianceNumber) -> Touched {
        if let Some(name) = self.appliance(number).map(|appliance| appliance.name.clone()) {
            self.numbers.remove(&name);
            self.put(number, Row::Gone(name));
            self.alerts.retain(|(of, _), _| *of != Some(number));
        }
        Touched::One(number)
    }
}

enum Touched {
    Nothing,
    One(ApplianceNumber),
    All,
}

/// How long a broker was at work between a record and the one before it, of `before`.
fn lived(record: &Record, before: Timestamp) -> Duration {
    let mut shifts = record.effects.iter().filter_map(|effect| {
        if let Effect::TimeShifted(shift) = effect { Some(shift.by) } else { None }
    });
    let shift = shifts.next();
    match (&record.input, shift) {
        (_, Some(by)) => record.at.since(before.moved(by)),
        // Of releases before: nobody was there, or slept.
        (Input::BrokerStarted(_), None) => Duration::ZERO,
        (Input::BrokerStalled { lasted, cause: Stall::ClockWentAhead }, None) => {
            record.at.since(before).saturating_sub(*lasted)
        }
        // The first record of all.
        (_, None) if record.number <= 1 => Duration::ZERO,
        (_, None) => record.at.since(before),
    }
}

fn index(number: ApplianceNumber) -> Option<usize> {
    usize::try_from(number.0).ok()?.checked_sub(1)
}
