//! Decides on an input: the entry point of all decisions.
//!
//! Guarantees that a decision depends only on state, settings, context and broker time, that each
//! change of state has a record, and that a rejected input changes nothing. Applies nothing.

pub(in crate::grid) mod admission;
pub mod alerts;
pub(in crate::grid) mod command;
pub mod counters;
pub(in crate::grid) mod crash_dump;
pub(in crate::grid) mod event;
pub mod identity;
pub(in crate::grid) mod journal;
pub mod mail;
pub(in crate::grid) mod notify;
pub(in crate::grid) mod pending_counts;
pub(in crate::grid) mod security;
pub(in crate::grid) mod timeout;
pub(in crate::grid) mod transition;
pub(in crate::grid) mod wall_clock;

use std::time::Duration;

use uuid::Uuid;

use super::state::State;
use crate::grid::decide::admission::Admission;
use crate::grid::decide::alerts::command::AlertRejection;
use crate::grid::decide::alerts::silence::SilenceRejection;
use crate::grid::decide::identity::{IdentityRejection, IdentityReply};
use crate::grid::decide::mail::MailRejection;
use crate::grid::decide::transition::{BootRelation, Transition};
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::{BrokerPause, BrokerStarted, Input, ReceivedEvent, SessionHello};
use crate::grid::log::record::Record;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::sessions::SessionConflict;
use crate::grid::model::settings::{DEFAULT_CLASS, GRACE_AFTER_DOWNTIME, GridSettings, Overrides};
use crate::grid::model::usage::{RateLimitKind, Suppression, SuppressionPhase};
use crate::grid::state::appliance::Appliance;
use crate::grid::values::id::{AlertId, ApplianceIndex, ApplianceName, SilenceId};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::{Offset, Timestamp};

pub use command::CommandRejection;

/// What is known at this moment beside the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The appliance's sessions ended too long ago.
    pub is_contact_lost: bool,
    /// Whether two machines use the appliance's name.
    pub conflict: SessionConflict,
    /// The event came by a session, and belongs to another boot than every open session.
    pub is_outside_sessions: bool,
    /// The offset of a second clock that may be right as well, from broker time.
    pub other_clock_offset: Option<Offset>,
    /// A session of the current boot is open.
    pub has_session: bool,
}

/// The decision on an input, with its record.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The reply to the sender.
    pub reply: Reply,
    /// The record; `None`: nothing changes and nothing needs a record.
    pub record: Option<Record>,
    /// A change without a record of its own: the next tally contains it.
    pub counted: Option<CountedEvent>,
    /// Records that precede it: a tally, the end of a run of repeats.
    pub preceding: Vec<Record>,
    /// When the answer may leave.
    pub release: Release,
}

impl Decision {
    /// Nothing changes.
    pub(in crate::grid) fn nothing() -> Self {
        let (record, counted, first) = (None, None, Vec::new());
        Self {
            reply: Reply::Nothing,
            record,
            counted,
            preceding: first,
            release: Release::default(),
        }
    }

    /// Its records, in order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.preceding.iter().chain(&self.record)
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

/// An event that is only counted, and its other changes.
#[derive(Clone, Debug, PartialEq)]
pub struct CountedEvent {
    /// The event.
    pub received: Box<ReceivedEvent>,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its effects.
    pub effects: Vec<Effect>,
}

/// The reply to an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To an event.
    Event(Outcome, RecordFlags),
    /// To a command: the appliance it was about.
    Command(Result<ApplianceIndex, CommandRejection>),
    /// To a command about a mail.
    Mail(Result<(), MailRejection>),
    /// The result of a command about an alert.
    Alert(Result<AlertId, AlertRejection>),
    /// The result of a command about a silence.
    Silence(Result<SilenceId, SilenceRejection>),
    /// To a command on credentials.
    Identity(Box<Result<IdentityReply, IdentityRejection>>),
    /// Nobody waits for a reply.
    Nothing,
}

/// A decision in progress: recorded, or only counted.
pub(in crate::grid) struct DecisionDraft {
    pub(in crate::grid) outcome: Outcome,
    pub(in crate::grid) flags: RecordFlags,
    pub(in crate::grid) effects: Vec<Effect>,
    /// It needs no record of its own.
    is_counted: bool,
}

impl DecisionDraft {
    pub(in crate::grid) fn new(outcome: Outcome, flags: RecordFlags, effects: Vec<Effect>) -> Self {
        Self { outcome, flags, effects, is_counted: false }
    }

    pub(in crate::grid) fn recorded(effects: Vec<Effect>) -> Self {
        Self::new(Outcome::Stored, RecordFlags::NONE, effects)
    }

    pub(in crate::grid) fn counted(
        outcome: Outcome,
        flags: RecordFlags,
        effects: Vec<Effect>,
    ) -> Self {
        Self { outcome, flags, effects, is_counted: true }
    }
}

/// Decides on `input` at `now`, which must not be before the last record.
pub fn decide(
    state: &State,
    settings: &GridSettings,
    context: Context,
    input: Input,
    now: Timestamp,
) -> Decision {
    let view = Decider { state, settings, context, now };
    let (answer, draft) = match &input {
        Input::Event(received) => {
            let (outcome, draft) = view.event(received);
            let flags = draft.as_ref().map_or(RecordFlags::NONE, |draft| draft.flags);
            (Reply::Event(outcome, flags), draft)
        }
        Input::Hello(hello) => (Reply::Nothing, view.hello(hello)),
        Input::SessionEnded { appliance, .. } => (Reply::Nothing, view.session_ended(*appliance)),
        Input::Registered { name, uuid } => (Reply::Nothing, view.registered(name, *uuid)),
        Input::Command { by, command } => {
            match command::decide(state, settings, by, command, now) {
                Ok((number, draft)) => (Reply::Command(Ok(number)), Some(draft)),
                Err(rejection) => (Reply::Command(Err(rejection)), None),
            }
        }
        Input::Deadline { appliance, timer } => (Reply::Nothing, view.deadline(*appliance, *timer)),
        Input::BrokerStarted(started) => (Reply::Nothing, Some(view.broker_started(started))),
        Input::BrokerStopped => (Reply::Nothing, Some(DecisionDraft::recorded(Vec::new()))),
        Input::Journal(storage) => (Reply::Nothing, Some(storage.decide(state, now))),
        Input::WallClock(found) => (Reply::Nothing, Some(found.decide(state, now))),
        Input::ClockSetBack { .. } | Input::Settings(_) => {
            (Reply::Nothing, Some(DecisionDraft::recorded(Vec::new())))
        }
        Input::RepeatsEnded { appliance, group } => {
            (Reply::Nothing, view.repeats_ended(*appliance, *group))
        }
        Input::MailDue { message } => (Reply::Nothing, mail::start_attempt(state, *message, now)),
        Input::MailDelivery { message, attempt, delivery } => {
            (Reply::Nothing, mail::delivery_result(state, *message, *attempt, delivery, now))
        }
        Input::MailCommand { message, command, .. } => {
            match mail::command(state, *message, *command, now) {
                Ok(draft) => (Reply::Mail(Ok(())), Some(draft)),
                Err(none) => (Reply::Mail(Err(none)), None),
            }
        }
        Input::Identity { by, command } => {
            match identity::decide(state, settings, by, command, now) {
                Ok((reply, draft)) => (Reply::Identity(Ok(reply).into()), draft),
                Err(rejection) => (Reply::Identity(Err(rejection).into()), None),
            }
        }
        Input::Alert(input) => alerts::inputs::decide_alert(state, input, now),
        Input::Silence(input) => alerts::inputs::decide_silence(state, input, now),
        Input::Security(incident) => (Reply::Nothing, view.security(incident)),
        Input::CrashDump(report) => (Reply::Nothing, view.crash_dump(report)),
        // Tallies are made by `Grid::next_tally`, from the pending counts.
        Input::Tally => (Reply::Nothing, None),
        Input::BrokerPaused { lasted, cause } => (Reply::Nothing, {
            let not_before = match cause {
                BrokerPause::ProcessPaused | BrokerPause::ClockJumpedAhead => Timestamp::MIN,
                // Rejected clients return one by one, as after a downtime.
                BrokerPause::DiskLow => now.after(GRACE_AFTER_DOWNTIME),
            };
            let moved = Effect::DeadlinesMoved { by: *lasted, not_before };
            Some(DecisionDraft::recorded(vec![moved]))
        }),
    };
    let (record, counted) = match draft {
        Some(draft) => view.complete(input, draft),
        None => (None, None),
    };
    let (first, release) = (Vec::new(), Release::default());
    Decision { reply: answer, record, counted, preceding: first, release }
}

/// The inputs of a decision.
pub(in crate::grid) struct Decider<'a> {
    pub(in crate::grid) state: &'a State,
    pub(in crate::grid) settings: &'a GridSettings,
    pub(in crate::grid) context: Context,
    pub(in crate::grid) now: Timestamp,
}

impl Decider<'_> {
    /// The record of a draft with its mails, or the counted event.
    fn complete(
        &self,
        input: Input,
        draft: DecisionDraft,
    ) -> (Option<Record>, Option<CountedEvent>) {
        let DecisionDraft { outcome, flags, effects, is_counted } = draft;
        let input = match (input, is_counted) {
            (Input::Event(received), true) => {
                return (None, Some(CountedEvent { received, outcome, effects }));
            }
            (input, _) => input,
        };
        let (number, at) = (self.state.last() + 1, self.now);
        let mut made = Record { number, at, input, outcome, flags, effects };
        // Mails are batched by the times that apply from here on.
        let shift = made.effects.iter().find_map(|effect| {
            if let Effect::TimeShifted(shift) = effect { Some(*shift) } else { None }
        });
        let shifted = shift.map(|shift| self.state.shifted(shift));
        let state = shifted.as_ref().unwrap_or(self.state);
        let notices = alerts::follow(state, self.settings, &mut made);
        mail::enqueue(state, self.settings, &mut made, notices);
        (Some(made), None)
    }

    /// `None` if the name is known by now: of two sessions with one new name, one registers it.
    fn registered(&self, name: &ApplianceName, uuid: Uuid) -> Option<DecisionDraft> {
        if self.state.find(name).is_some() {
            return None;
        }
        let (number, name) = (self.state.next_number(), name.clone());
        let (class, overrides) = (DEFAULT_CLASS.into(), Overrides::default());
        Some(DecisionDraft::recorded(vec![
            ApplianceEffect::Registered { name, uuid, class, overrides }.of(number),
        ]))
    }

    fn hello(&self, hello: &SessionHello) -> Option<DecisionDraft> {
        let appliance = self.state.appliance(hello.appliance)?;
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Transition::new(self.state, appliance, &rules, self.now);
        match change.boot_relation(Some(hello.boot), true, hello.uptime) {
            BootRelation::Stale => return None,
            BootRelation::Current => {}
            BootRelation::Adopts(id) => change.adopt_boot(id),
            BootRelation::Begins(id) => {
                let record = self.state.last() + 1;
                let admission = Admission {
                    appliance,
                    alerts: self.state.alerts(),
                    rules: &rules,
                    now: self.now,
                    record,
                };
                let limit = (!appliance.awaits_ordered_boot()).then_some(RateLimitKind::Boots);
                match admission.acquire(limit) {
                    Ok(effects) => change.push_effects(effects),
                    // The boot begins with the first event that the limit allows.
                    Err(budget) => return self.suppress_boot(appliance, budget),
                }
                change.begin_boot(Some(id), hello.uptime);
            }
        }
        if !hello.is_transient {
            change.session_seen();
        }
        change.contact_restored();
        let (mut effects, flags) = change.into_effects();
        effects.extend(self.lost_events(appliance, hello));
        (!effects.is_empty()).then_some(DecisionDraft::new(Outcome::Stored, flags, effects))
    }

    /// Suppresses an appliance with too many new boots.
    fn suppress_boot(&self, appliance: &Appliance, budget: RateLimitKind) -> Option<DecisionDraft> {
        if appliance.usage.suppression.is_some() {
            return None;
        }
        let suppression = Suppression::new(budget, self.now);
        let (number, phase) = (appliance.number, SuppressionPhase::Begins);
        Some(DecisionDraft::recorded(vec![
            ApplianceEffect::Suppression { phase, suppression }.of(number),
        ]))
    }

    /// Reports acknowledged events that are not known here.
    fn lost_events(&self, appliance: &Appliance, hello: &SessionHello) -> Option<Effect> {
        let known = appliance.windows.highest(hello.boot, hello.spool?)?;
        (known < hello.acked_through).then_some(())?;
        let lost = known + 1..=hello.acked_through;
        journal::client_ahead_of_journal(self.state, appliance.name.as_str(), &lost, self.now)
    }

    fn session_ended(&self, number: ApplianceIndex) -> Option<DecisionDraft> {
        let appliance = self.state.appliance(number)?;
        let rules = self.settings.rules(&appliance.class, &appliance.overrides);
        let mut change = Transition::new(self.state, appliance, &rules, self.now);
        if self.context.conflict == SessionConflict::Absent {
            change.clear(FindingKind::NameConflict);
        }
        record_if_changed(change)
    }

    /// No deadline passes during a downtime, and none fires within a minute after it.
    fn broker_started(&self, started: &BrokerStarted) -> DecisionDraft {
        let shift = started.shift.filter(|_| started.downtime.is_some());
        let shifted = shift.map(|shift| self.state.shifted(shift));
        let state = shifted.as_ref().unwrap_or(self.state);
        let moved = started.downtime.map(|downtime| Effect::DeadlinesMoved {
            by: if shift.is_some() { Duration::ZERO } else { downtime },
            not_before: self.now.after(GRACE_AFTER_DOWNTIME),
        });
        let missing = journal::gaps_at_start(state, &started.missing_records, self.now);
        let mails = mail::requeue_in_flight(state, self.now);
        let shift = shift.map(Effect::TimeShifted).into_iter();
        let clock = wall_clock::cleared(state);
        let dumps = crash_dump::interrupted(state, self.now);
        DecisionDraft::recorded(
            shift.chain(moved).chain(missing).chain(clock).chain(mails).chain(dumps).collect(),
        )
    }
}

pub(in crate::grid) fn record_if_changed(change: Transition<'_>) -> Option<DecisionDraft> {
    let (effects, flags) = change.into_effects();
    (!effects.is_empty()).then_some(DecisionDraft::new(Outcome::Stored, flags, effects))
}
