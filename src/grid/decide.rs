//! What becomes of an input?
//!
//! Guarantees that a decision depends on state, settings, circumstances and told time alone, that
//! whatever changes state comes with a record, and that what is refused changes nothing. Applies
//! nothing itself.

use std::time::Duration;

use uuid::Uuid;

use super::admission::{BudgetName, Suppression};
use super::change::{Change, Relation};
use super::door::{self, Door, Verdict};
use super::effect::{Effect, Matter, Phase};
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
    /// What changes without a record of its own: the next tally says so.
    pub absorbed: Option<Absorbed>,
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
pub(super) struct Draft {
    pub(super) outcome: Outcome,
    pub(super) marks: Marks,
    pub(super) effects: Vec<Effect>,
    /// It needs no record of its own.
    is_absorbed: bool,
}

impl Draft {
    pub(super) fn new(outcome: Outcome, marks: Marks, effects: Vec<Effect>) -> Self {
        Self { outcome, marks, effects, is_absorbed: false }
    }

    pub(super) fn kept(effects: Vec<Effect>) -> Self {
        Self::new(Outcome::Kept, Marks::NONE, effects)
    }

    fn absorbed(outcome: Outcome, marks: Marks, effects: Vec<Effect>) -> Self {
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
        Input::Deadline { appliance } => (Answer::Nothing, view.deadline(*appliance)),
        Input::BrokerStarted(started) => (Answer::Nothing, Some(view.broker_started(started))),
        Input::BrokerStopped => (Answer::Nothing, Some(Draft::kept(Vec::new()))),
        Input::Storage(storage) => (Answer::Nothing, Some(storage.decide(state, now))),
        Input::ClockSetBack { .. } => (Answer::Nothing, Some(Draft::kept(Vec::new()))),
        Input::RunOver { appliance, key } => (Answer::Nothing, view.run_over(*appliance, *key)),
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
        match input {
            Input::Event(heard) if is_absorbed => {
                absorbed = Some(Absorbed { heard, outcome, effects });
            }
            input => {
                let number = state.last() + 1;
                record = Some(Record { number, at: now, input, outcome, marks, effects });
            }
        }
    }
    Decision { answer, record, absorbed }
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

    fn event(&self, heard: &Heard) -> (Outcome, Option<Draft>) {
        // Whose row is gone leaves nothing: it could say so for ever.
        let Some(appliance) = self.state.appliance(heard.appliance) else {
            return (Outcome::Refused(Refusal::Removed), None);
        };
        if is_known(appliance, heard) {
            return (Outcome::Duplicate, None);
        }
        let draft = self.event_of(appliance, heard);
        (draft.outcome, Some(draft))
    }

    fn event_of(&self, appliance: &Appliance, heard: &Heard) -> Draft {
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Change::new(self.state, appliance, &rules, self.now);
        let marks = self.marks(heard);
        change.marks = marks;
        let is_live = heard.event.spooled_at.is_none();
        let relation = change.relation(heard.boot, is_live, heard.event.uptime);
        let record = self.state.last() + 1;
        let door = Door { appliance, rules: &rules, now: self.now, record };
        let number = appliance.number;
        match door.judge(heard, matches!(relation, Relation::Begins(_))) {
            Verdict::Enters(effects) => change.costs(effects),
            Verdict::BelowSeverity => return Draft::absorbed(Outcome::NotKept, marks, Vec::new()),
            Verdict::Repeats(key) => {
                let effects = vec![Effect::AlertKey { number, key }];
                return Draft::absorbed(Outcome::Repeated, marks, effects);
            }
            Verdict::Over(budget) => {
                let (phase, suppression) = door.hold_back(heard, budget);
                let effects = vec![Effect::Suppression { number, phase, suppression }];
                // The event with which it begins shows what it is about.
                return match phase {
                    Phase::Begins => Draft::new(Outcome::Suppressed, marks, effects),
                    Phase::Counts | Phase::SummedUp | Phase::Ends => {
                        Draft::absorbed(Outcome::Suppressed, marks, effects)
                    }
                };
            }
        }
        match relation {
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
        // Only a report that brings nothing but itself folds.
        let is_mere_report = matches!(effects.as_slice(), [Effect::Lifecycle { .. }]);
        if relation == Relation::Current && is_mere_report && door.folds(heard) {
            return Draft::absorbed(Outcome::Folded, marks, effects);
        }
        Draft::new(outcome, marks, effects)
    }

    /// An event of another boot than the present one: kept, but the state is not its business.
    fn history(&self, mut change: Change<'_>, heard: &Heard, appliance: &Appliance) -> Draft {
        // Out of its spool a machine speaks of its own boots before, perhaps while the session of
        // one of them is not yet found dead.
        let is_live = heard.session.is_some() && heard.event.spooled_at.is_none();
        if is_live && self.circumstances.voices != Voices::One {
            let text = explain::two_machines(appliance.name.as_str());
            change.raise(Matter::TwoMachines, Severity::Error, text);
        }
        let (effects, marks) = change.into_effects();
        Draft::new(Outcome::History, marks, effects)
    }

    fn run_over(&self, number: ApplianceNumber, key: Uuid) -> Option<Draft> {
        let key = self.state.appliance(number)?.admission.key(key)?.clone();
        Some(Draft::kept(vec![Effect::RunTold { number, key }]))
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
            Relation::Begins(id) => {
                let record = self.state.last() + 1;
                let door = Door { appliance, rules: &rules, now: self.now, record };
                match door.spend([BudgetName::Boots].into_iter()) {
                    Verdict::Enters(effects) => change.costs(effects),
                    // The boot begins with an event for which there is room again.
                    Verdict::Over(budget) => return self.boot_held_back(appliance, budget),
                    Verdict::BelowSeverity | Verdict::Repeats(_) => {}
                }
                change.begin(Some(id), hello.uptime);
            }
        }
        change.see_agent();
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
        change.costs(self.told_of(appliance));
        worth_keeping(change)
    }

    /// What is to be told of repeats and of what is held back.
    fn told_of(&self, appliance: &Appliance) -> Vec<Effect> {
        let number = appliance.number;
        let runs = appliance.admission.keys.iter();
        let due = runs.filter(|key| key.due().is_some_and(|due| due <= self.now)).cloned();
        let mut effects: Vec<_> = due.map(|key| Effect::RunTold { number, key }).collect();
        let Some(suppression) = &appliance.admission.suppression else { return effects };
        let mut suppression = (**suppression).clone();
        let phase = if suppression.until() <= self.now {
            Phase::Ends
        } else if suppression.next_summary() <= self.now {
            while suppression.next_summary() <= self.now {
                suppression.summed_up += 1;
            }
            Phase::SummedUp
        } else {
            return effects;
        };
        effects.push(Effect::Suppression { number, phase, suppression });
        effects
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

/// The run of repeats that an event ends; a duplicate ends none.
pub(super) fn run_over(appliance: &Appliance, heard: &Heard, now: Timestamp) -> Option<Uuid> {
    if is_known(appliance, heard) { None } else { door::run_over(appliance, heard, now) }
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
    (!effects.is_empty()).then_some(Draft::new(Outcome::Kept, marks, effects))
}
