//! Decides on everything that happens to a grid: the pure core, a sans-IO state machine.
//!
//! ```text
//! handle(occurrence, now) -> decide(state, settings, context, input, now) -> Record -> apply(state, record)
//! ```
//!
//! Guarantees that [`Grid`] is a plain synchronous value without clock, task, disk or network; that
//! time is an argument; and that its state is the fold of its records, and of what the next tally
//! records. Knows neither the contract nor the journal.

mod contact;
pub mod decide;
pub mod driver;
mod due_alerts;
mod due_mails;
pub mod explain;
pub mod log;
pub mod model;
pub mod occurrence;
pub mod state;
mod timers;
pub mod values;

use std::time::Duration;

use decide::{Context, Decision, Release, Reply, decide};
use occurrence::Occurrence;
use state::State;

use crate::grid::decide::pending_counts::PendingCounts;
use crate::grid::due_alerts::AlertQueue;
use crate::grid::due_mails::MailQueue;
use crate::grid::log::alert_effect::AlertEffect;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::log::timer::Timer;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::sessions::{SessionConflict, Sessions};
use crate::grid::model::settings::{GRACE_AFTER_DOWNTIME, GridSettings};
use crate::grid::model::timers::Timers;
use crate::grid::values::id::{ApplianceIndex, BootId};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::time::{Offset, Timestamp};

/// How long sessions of two boots of one name may overlap. Pings find a dead session within twice
/// 20 s.
const CONFLICT_AFTER: Duration = Duration::from_secs(60);

/// The grid: its state, its open sessions and its timers.
#[derive(Clone, Debug)]
pub struct Grid {
    state: State,
    settings: GridSettings,
    sessions: Sessions,
    timers: Timers,
    /// Appliances whose timers are to be set again before they are read: events of one appliance
    /// often come in a row. At most [`UNARMED_MAX`].
    unarmed: Vec<ApplianceIndex>,
    /// Counted changes that no tally contains yet.
    pending_counts: PendingCounts,
    /// When the next mail is due.
    mail_due_at: Option<Timestamp>,
    mail_queue: MailQueue,
    alert_queue: AlertQueue,
    /// The offset of a second clock that may be right as well, from broker time.
    other_clock_offset: Option<Offset>,
}

/// The most appliances whose timers are set later.
const UNARMED_MAX: usize = 16;

/// The most mails that the mail sender has at once.
pub const MAILS_IN_FLIGHT_MAX: usize = 64;

impl Grid {
    /// Creates a grid in `state` at `now`, without sessions.
    pub fn new(state: State, settings: GridSettings, now: Timestamp) -> Self {
        let mut grid = Self {
            state,
            settings,
            sessions: Sessions::default(),
            timers: Timers::new(now),
            unarmed: Vec::new(),
            pending_counts: PendingCounts::default(),
            mail_due_at: None,
            mail_queue: MailQueue::default(),
            alert_queue: AlertQueue::default(),
            other_clock_offset: None,
        };
        grid.set_all_timers();
        grid.list_all_mails();
        grid.list_all_alerts();
        grid
    }

    /// The current state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The rules that apply now.
    pub fn settings(&self) -> &GridSettings {
        &self.settings
    }

    /// Who is in a session.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Takes what happened, decides, and applies the decision. A `now` before the last record counts
    /// as the time of that record, unless the input says that broker time moves. The records of the
    /// decision are to be made durable, in order, before anybody learns of it.
    pub fn handle(&mut self, occurrence: impl Into<Occurrence>, now: Timestamp) -> Decision {
        match occurrence.into() {
            Occurrence::Input(input) => self.decide_and_apply(input, now),
            Occurrence::SessionOpened(hello) => {
                let twins_at = now.after(CONFLICT_AFTER);
                self.sessions.opened(hello.appliance, hello.session, hello.boot, twins_at);
                self.arm(hello.appliance);
                self.decide_and_apply(Input::Hello(hello), now)
            }
            Occurrence::SessionClosed { appliance, boot, session } => {
                let contact_until = self.contact_deadline(appliance, now);
                self.sessions.closed(appliance, session, contact_until);
                self.arm(appliance);
                self.decide_and_apply(Input::SessionEnded { appliance, boot }, now)
            }
            Occurrence::Settings { rules, applied } => {
                self.set_settings(*rules, now);
                self.decide_and_apply(Input::Settings(applied), now)
            }
            Occurrence::OtherClock(other) => {
                self.other_clock_offset = other;
                Decision::nothing()
            }
        }
    }

    fn decide_and_apply(&mut self, input: Input, now: Timestamp) -> Decision {
        let now = if input.moves_time() { now } else { now.max(self.state.last_at()) };
        let about = input.appliance();
        let context = self.context_of(&input, now);
        let starts = matches!(input, Input::BrokerStarted(_));
        let paused_for =
            if let Input::BrokerPaused { lasted, .. } = &input { Some(*lasted) } else { None };
        let reported = input.live_reporter();
        let is_event = matches!(input, Input::Event(_));
        let was_dumping = about.filter(|number| self.is_dumping(*number));
        let mut decision = self.decide(context, input, now);
        if let Some(record) = &decision.record {
            self.apply(record);
        }
        if let Some(counted) = &decision.counted {
            let boot = self.boot_of(counted.received.appliance);
            self.state.apply_uncommitted(counted, now);
            self.pending_counts.add(counted, boot);
        }
        if let Some(number) = about.filter(|_| is_event) {
            decision.release = self.release_of(number, &decision);
        }
        // Its silence was expected until now.
        let is_over = was_dumping.filter(|number| !self.is_dumping(*number));
        if let Some(number) = reported.or(is_over) {
            self.sessions.set_contact_deadline(number, self.contact_deadline(number, now));
        }
        if starts {
            self.expect_all_contacts(now);
        }
        if let Some(lasted) = paused_for {
            self.extend_all_contacts(lasted);
        }
        if let Some(number) = about {
            self.arm(number);
        }
        decision
    }

    fn is_dumping(&self, number: ApplianceIndex) -> bool {
        let appliance = self.state.appliance(number);
        appliance.is_some_and(|it| matches!(it.lifecycle, Lifecycle::Dumping { .. }))
    }

    /// An event that is only counted is acknowledged with its tally; and what is known already may
    /// be known by what waits for its tally.
    fn release_of(&self, appliance: ApplianceIndex, decision: &Decision) -> Release {
        let stands_on_counts = decision.counted.is_some()
            || matches!(decision.reply, Reply::Event(Outcome::Duplicate, _));
        if stands_on_counts && self.pending_counts.contains(appliance) {
            Release::WithTally
        } else {
            Release::WithCommit
        }
    }

    /// Decides. If the result depends on pending counts of the same appliance, their tally precedes it,
    /// and an admitted event ends the run of repeats before it first.
    fn decide(&mut self, context: Context, input: Input, now: Timestamp) -> Decision {
        let mut first = Vec::new();
        let mut input = input;
        loop {
            let decision = decide(&self.state, &self.settings, context, input, now);
            let Some(record) = &decision.record else {
                return Decision { preceding: first, ..decision };
            };
            let Some(before) = self.preceding_record(record, now) else {
                return Decision { preceding: first, ..decision };
            };
            self.apply(&before);
            first.push(before);
            // The decision is made again, on the new state.
            match decision.record {
                Some(record) => input = record.input,
                None => return Decision { preceding: first, ..decision },
            }
        }
    }

    /// The record that must precede `record`.
    fn preceding_record(&mut self, record: &Record, now: Timestamp) -> Option<Record> {
        if let Some(number) = self.tally_required_by(record) {
            return self.pending_counts.tally_for(number, &self.state, now);
        }
        let Input::Event(received) = &record.input else { return None };
        let appliance = self.state.appliance(received.appliance)?;
        let is_in = !matches!(record.outcome, Outcome::Suppressed);
        let key = decide::admission::finished_run(appliance, received, now).filter(|_| is_in)?;
        let over = Input::RepeatsEnded { appliance: received.appliance, group: key };
        let context = Context::default();
        decide(&self.state, &self.settings, context, over, now).record
    }

    /// The appliance whose tally must precede `record`, because it reports counts or moves a
    /// sequence window.
    fn tally_required_by(&self, record: &Record) -> Option<ApplianceIndex> {
        if let Input::Event(received) = &record.input
            && self.pending_counts.must_precede(received, self.boot_of(received.appliance))
        {
            return Some(received.appliance);
        }
        let is_of_time = matches!(record.input, Input::Deadline { .. });
        let is_of_alert = matches!(record.input, Input::Alert(_) | Input::Silence(_));
        let of = |effect: &Effect| {
            if let Effect::Alert(AlertEffect::Changed { alert }) = effect {
                return alert.appliance.filter(|_| is_of_alert);
            }
            let Effect::Appliance { number, change } = effect else { return None };
            let is_summary = matches!(
                change,
                ApplianceEffect::RepeatsReported { .. }
                    | ApplianceEffect::Suppression { .. }
                    | ApplianceEffect::SuppressedAlerts { .. }
            );
            let is_group = matches!(change, ApplianceEffect::AlertGroup { .. });
            (is_summary || is_group && is_of_time).then_some(*number)
        };
        record
            .effects
            .iter()
            .find_map(|it| of(it).filter(|number| self.pending_counts.contains(*number)))
    }

    fn boot_of(&self, number: ApplianceIndex) -> Option<BootId> {
        self.state.appliance(number)?.boot_id()
    }

    /// Applies a record that was decided before.
    pub fn replay(&mut self, record: &Record) {
        self.apply(record);
    }

    fn apply(&mut self, record: &Record) {
        let touched = self.state.replay(record);
        for effect in &record.effects {
            if let Effect::TimeShifted(shift) = effect {
                self.sessions.shift(shift.by);
                // The slots belong to the time before.
                self.timers = Timers::new(record.at);
            }
        }
        match touched {
            Some(touched) => touched.iter().for_each(|number| self.arm(number)),
            None => self.set_all_timers(),
        }
        if record.effects.iter().any(|it| matches!(it, Effect::TimeShifted(_))) {
            self.list_all_mails();
            self.list_all_alerts();
            return;
        }
        if record.effects.iter().any(|it| matches!(it, Effect::Mail(_))) {
            self.follow_mails(record);
        }
        self.follow_alerts(record);
    }

    /// Lets other rules hold from `now` on. What was decided by the old ones stays, deadlines of
    /// starts included; who is silent without a session is judged by the new ones, but no sooner
    /// than a minute from now, unless that was near anyway.
    fn set_settings(&mut self, settings: GridSettings, now: Timestamp) {
        let before = std::mem::replace(&mut self.settings, settings);
        let earliest = now.after(GRACE_AFTER_DOWNTIME);
        for number in (1..self.state.next_number().0).map(ApplianceIndex) {
            let Some(appliance) = self.state.appliance(number) else { continue };
            let limit = |settings: &GridSettings| {
                settings.rules(&appliance.class, &appliance.overrides).lost_contact
            };
            let (old, new) = (limit(&before), limit(&self.settings));
            if old != new {
                self.sessions.map_contact_deadline(number, |until| {
                    until.before(old).after(new).max(until.min(earliest))
                });
                self.arm(number);
            }
        }
        self.schedule_mail();
    }

    /// Whether something is counted that no record contains yet.
    pub fn has_pending(&self) -> bool {
        !self.pending_counts.is_empty()
    }

    /// Whether something of that appliance is.
    pub fn has_pending_of(&self, number: ApplianceIndex) -> bool {
        self.pending_counts.contains(number)
    }

    /// The next tally of what is only counted, applied; to be called until there is none.
    pub fn next_tally(&mut self, now: Timestamp) -> Option<Record> {
        let now = now.max(self.state.last_at());
        while self.has_pending() {
            if let Some(record) = self.pending_counts.next_tally(&self.state, now) {
                self.apply(&record);
                return Some(record);
            }
        }
        None
    }

    fn context_of(&mut self, input: &Input, now: Timestamp) -> Context {
        if let Input::Deadline { appliance, timer: Timer::Contact } = input {
            let is_contact_lost = self.sessions.poll_contact_lost(*appliance, now);
            return Context { is_contact_lost, ..Context::default() };
        }
        if let Input::Deadline { appliance, timer: Timer::NameConflict } = input {
            let conflict = self.sessions.poll_conflict(*appliance, now);
            return Context { conflict, ..Context::default() };
        }
        if let Input::Deadline { appliance, timer: Timer::Start } = input {
            let boot = self.boot_of(*appliance);
            let has_session = boot.is_some_and(|boot| self.sessions.has_boot(*appliance, boot));
            return Context { has_session, ..Context::default() };
        }
        let number = input.appliance();
        let conflict = number.map_or(SessionConflict::Absent, |it| self.sessions.conflict(it, now));
        let Input::Event(received) = input else {
            return Context { conflict, ..Context::default() };
        };
        let may_have = |boot| self.sessions.may_have_boot(received.appliance, boot);
        let has_session = received.boot.is_none_or(may_have);
        Context {
            is_contact_lost: false,
            conflict,
            is_outside_sessions: received.session.is_some() && !has_session,
            other_clock_offset: self.other_clock_offset,
            has_session: false,
        }
    }

    fn set_all_timers(&mut self) {
        self.unarmed.clear();
        for row in 1..self.state.next_number().0 {
            self.set_timer(ApplianceIndex(row));
        }
    }
}

#[cfg(test)]
mod tests;
