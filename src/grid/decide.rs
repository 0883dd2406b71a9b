//! What becomes of an input?
//!
//! Guarantees that a decision depends on state, settings, circumstances and told time alone, that
//! whatever changes state comes with a record, and that what is refused changes nothing. Applies
//! nothing itself.

use std::time::Duration;

use uuid::Uuid;

use super::change::{Change, Relation};
use super::effect::{Effect, Matter};
use super::event::{EventKind, Severity};
use super::explain;
use super::lifecycle::{Lifecycle, Refusal, Report, Stimulus};
use super::marks::Marks;
use super::name::{ApplianceName, ApplianceNumber};
use super::order;
use super::record::{BrokerStarted, Heard, Hello, Input, Outcome, Record, Stall};
use super::settings::{DEFAULT_CLASS, GRACE_AFTER_ABSENCE, Overrides, Settings};
use super::state::{Appliance, State};
use super::storage;
use super::time::Timestamp;

/// How far ahead of the broker an event's own time is believed.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// How far behind the broker an event's own time is believed.
const BEHIND_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What is so at this moment without being state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The appliance's sessions ended too long ago.
    pub contact_is_lost: bool,
    /// Whether one machine speaks under its name, or two.
    pub voices: Voices,
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
}

/// The answer to an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To an event.
    Event(Outcome, Marks),
    /// To an order: the appliance it was about.
    Order(Result<ApplianceNumber, OrderRefusal>),
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
}

/// What is to be recorded.
pub(super) struct Draft {
    pub(super) outcome: Outcome,
    pub(super) marks: Marks,
    pub(super) effects: Vec<Effect>,
}

impl Draft {
    pub(super) fn kept(effects: Vec<Effect>) -> Self {
        Self { outcome: Outcome::Kept, marks: Marks::NONE, effects }
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
        Input::Event(heard) => view.event(heard),
        Input::Hello(hello) => (Answer::Nothing, view.hello(hello)),
        Input::SessionEnded { appliance, .. } => (Answer::Nothing, view.session_ended(*appliance)),
        Input::Appeared { name, uuid } => (Answer::Nothing, view.appeared(name, *uuid)),
        Input::Order { order, .. } => match order::decide(state, settings, order, now) {
            Ok((number, draft)) => (Answer::Order(Ok(number)), Some(draft)),
            Err(refusal) => (Answer::Order(Err(refusal)), None),
        },
        Input::Deadline { appliance } => (Answer::Nothing, view.deadline(*appliance)),
        Input::BrokerStarted(started) => (Answer::Nothing, Some(view.broker_started(started))),
        Input::BrokerStopped => (Answer::Nothing, Some(Draft::kept(Vec::new()))),
        Input::Storage(storage) => (Answer::Nothing, Some(storage.decide(state, now))),
        Input::ClockSetBack { .. } | Input::Settings(_) => {
            (Answer::Nothing, Some(Draft::kept(Vec::new())))
        }
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
    let record = draft.map(|draft| Record {
        number: state.last() + 1,
        at: now,
        input,
        outcome: draft.outcome,
        marks: draft.marks,
        effects: draft.effects,
    });
    Decision { answer, record }
}

struct View<'a> {
    state: &'a State,
    settings: &'a Settings,
    circumstances: Circumstances,
    now: Timestamp,
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

    fn event(&self, heard: &Heard) -> (Answer, Option<Draft>) {
        let Some(appliance) = self.state.appliance(heard.appliance) else {
            let outcome = Outcome::Refused(Refusal::Removed);
            let draft = Draft { outcome, marks: Marks::NONE, effects: Vec::new() };
            return (Answer::Event(outcome, Marks::NONE), Some(draft));
        };
        if is_known(appliance, heard) {
            return (Answer::Event(Outcome::Duplicate, Marks::NONE), None);
        }
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Change::new(self.state, appliance, &rules, self.now);
        change.marks = self.marks(heard);
        let is_live = heard.event.spooled_at.is_none();
        match change.relation(heard.boot, is_live, heard.event.uptime) {
            Relation::Current => {}
            Relation::TakesOver(id) => change.take_over(id),
            Relation::Begins(id) => change.begin(Some(id), heard.event.uptime),
            Relation::Older => return self.history(change, heard, appliance),
        }
        if is_live {
            change.see_contact();
        }
        let outcome = match tell_lifecycle(&mut change, heard, rules.managed) {
            Ok(()) => Outcome::Kept,
            Err(refusal) => Outcome::Refused(refusal),
        };
        let (effects, marks) = change.into_effects();
        (Answer::Event(outcome, marks), Some(Draft { outcome, marks, effects }))
    }

    /// An event of another boot than the present one: kept, but the state is not its business.
    fn history(
        &self,
        mut change: Change<'_>,
        heard: &Heard,
        appliance: &Appliance,
    ) -> (Answer, Option<Draft>) {
        // Out of its spool a machine speaks of its own boots before, perhaps while the session of
        // one of them is not yet found dead.
        let is_live = heard.session.is_some() && heard.event.spooled_at.is_none();
        if is_live && self.circumstances.voices != Voices::One {
            let text = explain::two_machines(appliance.name.as_str());
            change.raise(Matter::TwoMachines, Severity::Error, text);
        }
        let outcome = Outcome::History;
        let (effects, marks) = change.into_effects();
        (Answer::Event(outcome, marks), Some(Draft { outcome, marks, effects }))
    }

    fn marks(&self, heard: &Heard) -> Marks {
        let event = &heard.event;
        let mut marks = Marks::NONE;
        let is_off = |time: Timestamp| {
            time > self.now.after(AHEAD_MAX) || time < self.now.before(BEHIND_MAX)
        };
        if event.event_time.is_some_and(is_off) {
            marks |= Marks::TIME_OFF;
        }
        if event.text.is_cut() {
            marks |= Marks::TEXT_CUT;
        }
        if event.spooled_at.is_some() {
            marks |= Marks::REPLAYED;
        }
        if event.repeated {
            marks |= Marks::REPEATED;
        }
        marks
    }

    fn hello(&self, hello: &Hello) -> Option<Draft> {
        let appliance = self.state.appliance(hello.appliance)?;
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Change::new(self.state, appliance, &rules, self.now);
        match change.relation(Some(hello.boot), true, hello.uptime) {
            Relation::Older => return None,
            Relation::Current => {}
            Relation::TakesOver(id) => change.take_over(id),
            Relation::Begins(id) => change.begin(Some(id), hello.uptime),
        }
        change.see_agent();
        change.see_contact();
        let (mut effects, marks) = change.into_effects();
        effects.extend(self.lost_of(appliance, hello));
        let outcome = Outcome::Kept;
        (!effects.is_empty()).then_some(Draft { outcome, marks, effects })
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

    fn deadline(&self, number: ApplianceNumber) -> Option<Draft> {
        let appliance = self.state.appliance(number)?;
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Change::new(self.state, appliance, &rules, self.now);
        // No state refuses that time passes.
        let _ = change.step(&Stimulus::Deadline);
        let had_agent = appliance.boot.is_some_and(|boot| boot.has_agent);
        let is_stopped = appliance.lifecycle == Lifecycle::Idle;
        if self.circumstances.contact_is_lost && had_agent && !is_stopped {
            let text = explain::no_contact(appliance.name.as_str(), rules.lost_contact);
            change.raise(Matter::NoContact, Severity::Warn, text);
        }
        match self.circumstances.voices {
            Voices::One => change.clear(Matter::TwoMachines),
            Voices::PerhapsTwo => {}
            Voices::Two => {
                let text = explain::two_machines(appliance.name.as_str());
                change.raise(Matter::TwoMachines, Severity::Error, text);
            }
        }
        worth_keeping(change)
    }

    fn broker_started(&self, started: &BrokerStarted) -> Draft {
        let moved = started.away.map(|away| Effect::DeadlinesMoved {
            by: away,
            not_before: self.now.after(GRACE_AFTER_ABSENCE),
        });
        let missing = storage::found_at_start(self.state, &started.missing, self.now);
        Draft::kept(moved.into_iter().chain(missing).collect())
    }
}

fn is_known(appliance: &Appliance, heard: &Heard) -> bool {
    match (heard.boot.or(appliance.boot_id()), heard.spool, heard.sequence) {
        (Some(boot), Some(spool), Some(sequence)) => {
            appliance.windows.contains(boot, spool, sequence)
        }
        (_, _, _) => false,
    }
}

fn tell_lifecycle(change: &mut Change<'_>, heard: &Heard, is_managed: bool) -> Result<(), Refusal> {
    let stimulus = match &heard.event.kind {
        EventKind::Log | EventKind::Alert { .. } => return Ok(()),
        EventKind::StartedOk | EventKind::StartFailed | EventKind::Maintenance { .. }
            if !is_managed =>
        {
            change.marks |= Marks::UNMANAGED;
            return Ok(());
        }
        EventKind::StartedOk => Stimulus::StartedOk,
        EventKind::StartFailed => Stimulus::StartFailed { reason: heard.event.text.as_str() },
        EventKind::Maintenance { progress, next_report_within } => Stimulus::Maintenance(Report {
            progress: *progress,
            text: heard.event.text.as_str(),
            next_report_within: *next_report_within,
            repeated: heard.event.repeated,
        }),
    };
    change.step(&stimulus)
}

fn worth_keeping(change: Change<'_>) -> Option<Draft> {
    let (effects, marks) = change.into_effects();
    (!effects.is_empty()).then_some(Draft { outcome: Outcome::Kept, marks, effects })
}
