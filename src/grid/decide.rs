//! What becomes of an input?
//!
//! Guarantees that a decision depends on state, settings, circumstances and told time alone, that
//! whatever changes state comes with a record, and that what is refused changes nothing. Applies
//! nothing itself.

use std::time::Duration;

use uuid::Uuid;

use super::admission::{BudgetName, Suppression};
use super::appliance::Appliance;
use super::change::{Change, Relation};
use super::door::Door;
use super::effect::{Effect, Matter, Phase};
use super::marks::Marks;
use super::name::{ApplianceName, ApplianceNumber};
use super::order;
use super::outbox::{self, MailRefusal};
use super::record::{BrokerStarted, Heard, Hello, Input, Outcome, Record, Stall};
use super::settings::{DEFAULT_CLASS, GRACE_AFTER_ABSENCE, Overrides, Settings};
use super::state::State;
use super::storage;
use super::time::{Offset, Timestamp};
use super::wall_clock;

/// What is so at this moment without being state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The appliance's sessions ended too long ago.
    pub contact_is_lost: bool,
    /// Whether one machine speaks under its name, or two.
    pub voices: Voices,
    /// The event came by a session, and is of another boot than any session that is open.
    pub is_of_no_session: bool,
    /// How far from told time another clock lies that may as well be right.
    pub other_clock: Option<Offset>,
}

/// How many machines speak under one name, by the boots of its open sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Voices {
    /// One at most.
    #[default]
    One,
    /// Sessions of two boots, one of which may be dead and not yet found so.
    PerhapsTwo,
    /// Sessions of two boots, for too long.
    Two,
}

/// What becomes of an input, and the record that says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The answer to whoever asked.
    pub answer: Answer,
    /// The record; `None`: nothing changes, and nothing is worth keeping.
    pub record: Option<Record>,
    /// What changes without a record of its own: the next tally says so.
    pub absorbed: Option<Absorbed>,
    /// Records that go before it: a tally, the end of a run of repeats.
    pub first: Vec<Record>,
    /// When the answer may leave.
    pub release: Release,
}

impl Decision {
    /// Nothing changes.
    pub(super) fn nothing() -> Self {
        let (record, absorbed, first) = (None, None, Vec::new());
        Self { answer: Answer::Nothing, record, absorbed, first, release: Release::default() }
    }

    /// Its records, in order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.first.iter().chain(&self.record)
    }
}

/// When the answer to an input may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// When the commit with the decision's records is durable.
    #[default]
    WithCommit,
    /// Only with the next tally, which records what the decision counted.
    WithTally,
}

/// An event that is counted, and what it changes besides.
#[derive(Clone, Debug, PartialEq)]
pub struct Absorbed {
    /// The event.
    pub heard: Heard,
    /// What became of it.
    pub outcome: Outcome,
    /// What it changes.
    pub effects: Vec<Effect>,
}

/// The answer to an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To an event.
    Event(Outcome, Marks),
    /// To an order: the appliance it was about.
    Order(Result<ApplianceNumber, OrderRefusal>),
    /// To an order about a mail.
    Mail(Result<(), MailRefusal>),
    /// Nobody asked.
    Nothing,
}

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    /// No such appliance.
    #[error("there is no appliance {name}; `gridctl appliance list` shows those there are")]
    NotFound {
        /// The name asked for.
        name: ApplianceName,
    },
    /// There is one of that name.
    #[error("there is an appliance {name} already; `gridctl appliance set` changes it")]
    AlreadyExists {
        /// The name asked for.
        name: ApplianceName,
    },
    /// No such class.
    #[error("there is no class `{class}`; there are: {known}")]
    UnknownClass {
        /// The class asked for.
        class: Box<str>,
        /// Those there are.
        known: Box<str>,
    },
    /// No dump in this state.
    #[error("{name} is {state}; a crash dump is taken of a running or failed appliance")]
    NothingToDump {
        /// The appliance.
        name: ApplianceName,
        /// Its state.
        state: &'static str,
    },
    /// Nothing to lift.
    #[error(
        "nothing that {name} says is held back; `gridctl appliance list --suppressed` shows of whom something is"
    )]
    NotSuppressed {
        /// The appliance.
        name: ApplianceName,
    },
}

/// What is to be recorded, or absorbed.
pub(in crate::grid) struct Draft {
    pub(in crate::grid) outcome: Outcome,
    pub(in crate::grid) marks: Marks,
    pub(in crate::grid) effects: Vec<Effect>,
    /// It needs no record of its own.
    is_absorbed: bool,
}

impl Draft {
    pub(in crate::grid) fn new(outcome: Outcome, marks: Marks, effects: Vec<Effect>) -> Self {
        Self { outcome, marks, effects, is_absorbed: false }
    }

    pub(in crate::grid) fn kept(effects: Vec<Effect>) -> Self {
        Self::new(Outcome::Kept, Marks::NONE, effects)
    }

    pub(in crate::grid) fn absorbed(outcome: Outcome, marks: Marks, effects: Vec<Effect>) -> Self {
        Self { outcome, marks, effects, is_absorbed: true }
    }
}

/// Decides on `input` at `now`, which must not lie before the last record.
pub fn decide(
    state: &State,
    settings: &Settings,
    circumstances: Circumstances,
    input: Input,
    now: Timestamp,
) -> Decision {
    let view = View { state, settings, circumstances, now };
    let (answer, draft) = match &input {
        Input::Event(heard) => {
            let (outcome, draft) = view.event(heard);
            let marks = draft.as_ref().map_or(Marks::NONE, |draft| draft.marks);
            (Answer::Event(outcome, marks), draft)
        }
        Input::Hello(hello) => (Answer::Nothing, view.hello(hello)),
        Input::SessionEnded { appliance, .. } => (Answer::Nothing, view.session_ended(*appliance)),
        Input::Appeared { name, uuid } => (Answer::Nothing, view.appeared(name, *uuid)),
        Input::Order { order, .. } => match order::decide(state, settings, order, now) {
            Ok((number, draft)) => (Answer::Order(Ok(number)), Some(draft)),
            Err(refusal) => (Answer::Order(Err(refusal)), None),
        },
        Input::Deadline { appliance, timer } => {
            (Answer::Nothing, view.deadline(*appliance, *timer))
        }
        Input::BrokerStarted(started) => (Answer::Nothing, Some(view.broker_started(started))),
        Input::BrokerStopped => (Answer::Nothing, Some(Draft::kept(Vec::new()))),
        Input::Storage(storage) => (Answer::Nothing, Some(storage.decide(state, now))),
        Input::WallClock(found) => (Answer::Nothing, Some(found.decide(state, now))),
        Input::ClockSetBack { .. } | Input::Settings(_) => {
            (Answer::Nothing, Some(Draft::kept(Vec::new())))
        }
        Input::RunOver { appliance, key } => (Answer::Nothing, view.run_over(*appliance, *key)),
        Input::MailDue { message } => (Answer::Nothing, outbox::due(state, *message, now)),
        Input::MailAnswered { message, attempt, delivery } => {
            (Answer::Nothing, outbox::answered(state, *message, *attempt, delivery, now))
        }
        Input::MailOrdered { message, order, .. } => {
            match outbox::ordered(state, *message, *order, now) {
                Ok(draft) => (Answer::Mail(Ok(())), Some(draft)),
                Err(none) => (Answer::Mail(Err(none)), None),
            }
        }
        // Made by `tally`, of what is pending.
        Input::Tally => (Answer::Nothing, None),
        Input::BrokerStalled { lasted, cause } => (Answer::Nothing, {
            let not_before = match cause {
                Stall::LateTurn | Stall::ClockWentAhead => Timestamp::MIN,
                // Whoever was turned away comes back by and by, as after an absence.
                Stall::DiskWasLow => now.after(GRACE_AFTER_ABSENCE),
            };
            let moved = Effect::DeadlinesMoved { by: *lasted, not_before };
            Some(Draft::kept(vec![moved]))
        }),
    };
    let (mut record, mut absorbed) = (None, None);
    if let Some(Draft { outcome, marks, effects, is_absorbed }) = draft {
        match (input, is_absorbed) {
            (Input::Event(heard), true) => {
                absorbed = Some(Absorbed { heard, outcome, effects });
            }
            (input, _) => {
                let number = state.last() + 1;
                let mut made = Record { number, at: now, input, outcome, marks, effects };
                // Mails join others as they stand by the time that holds from here on.
                let shift = made.effects.iter().find_map(|effect| {
                    if let Effect::TimeShifted(shift) = effect { Some(*shift) } else { None }
                });
                match shift {
                    Some(shift) => outbox::owe(&state.shifted(shift), settings, &mut made),
                    None => outbox::owe(state, settings, &mut made),
                }
                record = Some(made);
            }
        }
    }
    let (first, release) = (Vec::new(), Release::default());
    Decision { answer, record, absorbed, first, release }
}

/// What a decision looks at.
pub(in crate::grid) struct View<'a> {
    pub(in crate::grid) state: &'a State,
    pub(in crate::grid) settings: &'a Settings,
    pub(in crate::grid) circumstances: Circumstances,
    pub(in crate::grid) now: Timestamp,
}

impl View<'_> {
    /// `None` for a name that is known by then: of two sessions that bring one name, one is first.
    fn appeared(&self, name: &ApplianceName, uuid: Uuid) -> Option<Draft> {
        if self.state.find(name).is_some() {
            return None;
        }
        let (number, name) = (self.state.next_row(), name.clone());
        let (class, overrides) = (DEFAULT_CLASS.into(), Overrides::default());
        Some(Draft::kept(vec![Effect::Appliance { number, name, uuid, class, overrides }]))
    }

    fn hello(&self, hello: &Hello) -> Option<Draft> {
        let appliance = self.state.appliance(hello.appliance)?;
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Change::new(self.state, appliance, &rules, self.now);
        match change.relation(Some(hello.boot), true, hello.uptime) {
            Relation::Older => return None,
            Relation::Current => {}
            Relation::TakesOver(id) => change.take_over(id),
            Relation::Begins(id) => {
                let record = self.state.last() + 1;
                let door = Door { appliance, rules: &rules, now: self.now, record };
                match door.spend([BudgetName::Boots]) {
                    Ok(effects) => change.costs(effects),
                    // The boot begins with an event for which there is room again.
                    Err(budget) => return self.boot_held_back(appliance, budget),
                }
                change.begin(Some(id), hello.uptime);
            }
        }
        if !hello.is_transient {
            change.see_agent();
        }
        change.see_contact();
        let (mut effects, marks) = change.into_effects();
        effects.extend(self.lost_of(appliance, hello));
        (!effects.is_empty()).then_some(Draft::new(Outcome::Kept, marks, effects))
    }

    /// Too many boots began lately.
    fn boot_held_back(&self, appliance: &Appliance, budget: BudgetName) -> Option<Draft> {
        if appliance.admission.suppression.is_some() {
            return None;
        }
        let suppression = Suppression::new(budget, self.now);
        let (number, phase) = (appliance.number, Phase::Begins);
        Some(Draft::kept(vec![Effect::Suppression { number, phase, suppression }]))
    }

    /// That the appliance has acknowledgements for events which are not known here.
    fn lost_of(&self, appliance: &Appliance, hello: &Hello) -> Option<Effect> {
        let known = appliance.windows.highest(hello.boot, hello.spool?)?;
        (known < hello.acked_through).then_some(())?;
        let lost = known + 1..=hello.acked_through;
        storage::acknowledged_and_lost(self.state, appliance.name.as_str(), &lost, self.now)
    }

    fn session_ended(&self, number: ApplianceNumber) -> Option<Draft> {
        let appliance = self.state.appliance(number)?;
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Change::new(self.state, appliance, &rules, self.now);
        if self.circumstances.voices == Voices::One {
            change.clear(Matter::TwoMachines);
        }
        worth_keeping(change)
    }

    /// Nothing came to be due while nobody was there; and after that everybody has a minute.
    fn broker_started(&self, started: &BrokerStarted) -> Draft {
        let shift = started.shift.filter(|_| started.away.is_some());
        let shifted = shift.map(|shift| self.state.shifted(shift));
        let state = shifted.as_ref().unwrap_or(self.state);
        let moved = started.away.map(|away| Effect::DeadlinesMoved {
            by: if shift.is_some() { Duration::ZERO } else { away },
            not_before: self.now.after(GRACE_AFTER_ABSENCE),
        });
        let missing = storage::found_at_start(state, &started.missing, self.now);
        let mails = outbox::taken_up(state, self.now);
        let shift = shift.map(Effect::TimeShifted).into_iter();
        let clock = wall_clock::cleared(state);
        Draft::kept(shift.chain(moved).chain(missing).chain(clock).chain(mails).collect())
    }
}

pub(super) fn worth_keeping(change: Change<'_>) -> Option<Draft> {
    let (effects, marks) = change.into_effects();
    (!effects.is_empty()).then_some(Draft::new(Outcome::Kept, marks, effects))
}
