//! The pure core: decides what becomes of whatever is heard, told the time.
//!
//! ```text
//! hear -> decide(state, settings, circumstances, input, now) -> Record -> apply(state, record)
//! ```
//!
//! Guarantees that [`Grid`] is a plain synchronous value without clock, task, disk or network, and
//! that its state is the fold of its records. Knows neither wire nor journal.

pub mod admission;
pub mod alert_key;
pub mod appliance;
pub mod budget;
mod change;
mod contact;
pub mod decide;
mod door;
pub mod driver;
pub mod effect;
pub mod event;
pub mod explain;
mod hear;
pub mod in_force;
pub mod lifecycle;
pub mod mail;
mod mailing;
pub mod marks;
pub mod name;
pub mod occurrence;
mod order;
pub mod outbox;
pub mod presence;
pub mod record;
pub mod record_kind;
pub mod repeating;
pub mod sentence;
pub mod settings;
pub mod shift;
pub mod state;
pub mod storage;
mod tally;
pub mod time;
mod timeouts;
pub mod timer;
mod timers;
mod told;
pub mod unmailed;
pub mod wall_clock;
pub mod wheel;
pub mod window;
pub mod word;
pub mod words_of;

use std::time::Duration;

use decide::{Answer, Circumstances, Decision, Release, Voices, decide};
use effect::Effect;
use name::{ApplianceNumber, BootId};
use occurrence::Occurrence;
use presence::Presence;
use record::{Input, Outcome, Record};
use settings::{GRACE_AFTER_ABSENCE, Settings};
use state::State;
use tally::Pending;
use time::{Offset, Timestamp};
use timer::Timer;
use wheel::Wheel;

/// How long sessions of two boots of one name may overlap: a dead one is found by pings within
/// twice 20 s.
const TWINS_AFTER: Duration = Duration::from_secs(60);

/// The grid: its state, who is present, and whose time comes next.
#[derive(Clone, Debug)]
pub struct Grid {
    state: State,
    settings: Settings,
    presence: Presence,
    wheel: Wheel,
    /// What was absorbed and is in no tally yet.
    pending: Pending,
    /// When the next mail is due.
    mail_due: Option<Timestamp>,
    /// How far from told time another clock lies that may as well be right.
    other_clock: Option<Offset>,
}

/// Most mails that the courier has at once.
pub const MAILS_UNDER_WAY: usize = 64;

impl Grid {
    /// A grid in `state` at `now`, with nobody in a session.
    pub fn new(state: State, settings: Settings, now: Timestamp) -> Self {
        let (presence, wheel, pending) = (Presence::default(), Wheel::new(now), Pending::default());
        let mail_due = None;
        let other_clock = None;
        let mut grid = Self { state, settings, presence, wheel, pending, mail_due, other_clock };
        grid.arm_all();
        grid.arm_mail();
        grid
    }

    /// What is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The rules in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who is in a session.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Takes what happened, decides, and applies the decision. A `now` before the last record counts
    /// as the time of that record, unless the input says that broker time moves. The records of the
    /// decision are to be made durable, in order, before anybody learns of it.
    pub fn handle(&mut self, occurrence: impl Into<Occurrence>, now: Timestamp) -> Decision {
        match occurrence.into() {
            Occurrence::Input(input) => self.take(input, now),
            Occurrence::SessionOpened(hello) => {
                let twins_at = now.after(TWINS_AFTER);
                self.presence.opened(hello.appliance, hello.session, hello.boot, twins_at);
                self.arm(hello.appliance);
                self.take(Input::Hello(hello), now)
            }
            Occurrence::SessionClosed { appliance, boot, session } => {
                let contact_until = self.contact_until(appliance, now);
                self.presence.closed(appliance, session, contact_until);
                self.arm(appliance);
                self.take(Input::SessionEnded { appliance, boot }, now)
            }
            Occurrence::Settings { rules, applied } => {
                self.set_settings(*rules, now);
                self.take(Input::Settings(applied), now)
            }
            Occurrence::OtherClock(other) => {
                self.other_clock = other;
                Decision::nothing()
            }
        }
    }

    fn take(&mut self, input: Input, now: Timestamp) -> Decision {
        let now = if input.moves_time() { now } else { now.max(self.state.last_at()) };
        let about = input.appliance();
        let circumstances = self.circumstances(&input, now);
        let starts = matches!(input, Input::BrokerStarted(_));
        let stalled =
            if let Input::BrokerStalled { lasted, .. } = &input { Some(*lasted) } else { None };
        let reported = input.live_report();
        let is_event = matches!(input, Input::Event(_));
        let mut decision = self.decide(circumstances, input, now);
        if let Some(record) = &decision.record {
            self.apply(record);
        }
        if let Some(absorbed) = &decision.absorbed {
            let boot = self.boot_of(absorbed.heard.appliance);
            self.state.absorb(absorbed, now);
            self.pending.note(absorbed, boot);
        }
        if let Some(number) = about.filter(|_| is_event) {
            decision.release = self.release_of(number, &decision);
        }
        if let Some(number) = reported {
            self.presence.expect_until(number, self.contact_until(number, now));
        }
        if starts {
            self.expect_everyone(now);
        }
        if let Some(lasted) = stalled {
            self.credit_everyone(lasted);
        }
        if let Some(number) = about {
            self.arm(number);
        }
        decision
    }

    /// An event that is only counted is acknowledged with its tally; and what is known already may
    /// be known by what waits for its tally.
    fn release_of(&self, appliance: ApplianceNumber, decision: &Decision) -> Release {
        let stands_on_counts = decision.absorbed.is_some()
            || matches!(decision.answer, Answer::Event(Outcome::Duplicate, _));
        if stands_on_counts && self.pending.has(appliance) {
            Release::WithTally
        } else {
            Release::WithCommit
        }
    }

    /// Decides. What is pending about the same appliance is tallied first where that matters, and
    /// an event that is let in first ends the run of repeats before it.
    fn decide(&mut self, circumstances: Circumstances, input: Input, now: Timestamp) -> Decision {
        let mut first = Vec::new();
        let mut input = input;
        loop {
            let decision = decide(&self.state, &self.settings, circumstances, input, now);
            let Some(record) = &decision.record else { return Decision { first, ..decision } };
            let Some(before) = self.goes_before(record, now) else {
                return Decision { first, ..decision };
            };
            self.apply(&before);
            first.push(before);
            // Decided anew, on the state as it is by now.
            match decision.record {
                Some(record) => input = record.input,
                None => return Decision { first, ..decision },
            }
        }
    }

    /// The record that has to go before that one.
    fn goes_before(&mut self, record: &Record, now: Timestamp) -> Option<Record> {
        if let Some(number) = self.tally_needed_by(record) {
            return self.pending.tally_of(number, &self.state, now);
        }
        let Input::Event(heard) = &record.input else { return None };
        let appliance = self.state.appliance(heard.appliance)?;
        let is_in = !matches!(record.outcome, Outcome::Suppressed);
        let key = door::run_over(appliance, heard, now).filter(|_| is_in)?;
        let over = Input::RunOver { appliance: heard.appliance, key };
        let circumstances = Circumstances::default();
        decide(&self.state, &self.settings, circumstances, over, now).record
    }

    /// Whose tally a record needs before it: it tells of counts, or moves a window on.
    fn tally_needed_by(&self, record: &Record) -> Option<ApplianceNumber> {
        if let Input::Event(heard) = &record.input
            && self.pending.comes_before(heard, self.boot_of(heard.appliance))
        {
            return Some(heard.appliance);
        }
        let is_of_time = matches!(record.input, Input::Deadline { .. });
        let of = |effect: &Effect| {
            if let Effect::RunTold { number, .. }
            | Effect::Suppression { number, .. }
            | Effect::Unmailed { number, .. } = effect
            {
                return Some(*number);
            }
            let Effect::AlertKey { number, .. } = effect else { return None };
            Some(*number).filter(|_| is_of_time)
        };
        record.effects.iter().find_map(|it| of(it).filter(|number| self.pending.has(*number)))
    }

    fn boot_of(&self, number: ApplianceNumber) -> Option<BootId> {
        self.state.appliance(number)?.boot_id()
    }

    /// Applies a record that was decided before.
    pub fn replay(&mut self, record: &Record) {
        self.apply(record);
    }

    fn apply(&mut self, record: &Record) {
        let touched = self.state.apply(record);
        for effect in &record.effects {
            if let Effect::TimeShifted(shift) = effect {
                self.presence.shift(shift.by);
                // Its slots are of the time before.
                self.wheel = Wheel::new(record.at);
            }
        }
        match touched {
            Some(touched) => touched.into_iter().for_each(|number| self.arm(number)),
            None => self.arm_all(),
        }
        let is_of_mail = |it: &Effect| matches!(it, Effect::Mail(_) | Effect::TimeShifted(_));
        if record.effects.iter().any(is_of_mail) {
            self.arm_mail();
        }
    }

    /// Lets other rules hold from `now` on. What was decided by the old ones stays, deadlines of
    /// starts included; who is silent without a session is judged by the new ones, but no sooner
    /// than a minute from now, unless that was near anyway.
    fn set_settings(&mut self, settings: Settings, now: Timestamp) {
        let before = std::mem::replace(&mut self.settings, settings);
        let earliest = now.after(GRACE_AFTER_ABSENCE);
        for number in (1..self.state.next_row().0).map(ApplianceNumber) {
            let Some(appliance) = self.state.appliance(number) else { continue };
            let limit = |settings: &Settings| {
                settings.rules(&appliance.class, &appliance.overrides).lost_contact
            };
            let (old, new) = (limit(&before), limit(&self.settings));
            if old != new {
                self.presence
                    .relimit(number, |until| until.before(old).after(new).max(until.min(earliest)));
                self.arm(number);
            }
        }
        self.arm_mail();
    }

    /// Whether something is counted that no record contains yet.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether something of that appliance is.
    pub fn has_pending_of(&self, number: ApplianceNumber) -> bool {
        self.pending.has(number)
    }

    /// The next tally of what is only counted, applied; to be called until there is none.
    pub fn tally(&mut self, now: Timestamp) -> Option<Record> {
        let now = now.max(self.state.last_at());
        while self.has_pending() {
            if let Some(record) = self.pending.tally(&self.state, now) {
                self.apply(&record);
                return Some(record);
            }
        }
        None
    }

    fn circumstances(&mut self, input: &Input, now: Timestamp) -> Circumstances {
        match input {
            Input::Deadline { appliance, timer: Timer::Contact } => Circumstances {
                contact_is_lost: self.presence.takes_contact_lost(*appliance, now),
                ..Circumstances::default()
            },
            Input::Deadline { appliance, timer: Timer::NameConflict } => Circumstances {
                voices: self.presence.takes_voices(*appliance, now),
                ..Circumstances::default()
            },
            Input::Event(heard) => {
                let number = heard.appliance;
                let speaks = heard.boot.is_none_or(|boot| self.presence.speaks(number, boot));
                Circumstances {
                    contact_is_lost: false,
                    voices: self.presence.voices(number, now),
                    is_of_no_session: heard.session.is_some() && !speaks,
                    other_clock: self.other_clock,
                }
            }
            Input::Hello(_)
            | Input::SessionEnded { .. }
            | Input::Appeared { .. }
            | Input::Order { .. }
            | Input::Deadline { .. }
            | Input::BrokerStarted(_)
            | Input::BrokerStopped
            | Input::BrokerStalled { .. }
            | Input::ClockSetBack { .. }
            | Input::WallClock(_)
            | Input::RunOver { .. }
            | Input::Tally
            | Input::MailDue { .. }
            | Input::MailAnswered { .. }
            | Input::MailOrdered { .. }
            | Input::Storage(_)
            | Input::Settings(_) => {
                let number = input.appliance();
                let voices = number.map_or(Voices::One, |it| self.presence.voices(it, now));
                Circumstances { voices, ..Circumstances::default() }
            }
        }
    }

    fn arm_all(&mut self) {
        for row in 1..self.state.next_row().0 {
            self.arm(ApplianceNumber(row));
        }
    }
}

#[cfg(test)]
mod tests;
