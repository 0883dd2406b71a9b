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
mod order;
pub mod outbox;
pub mod presence;
pub mod record;
pub mod repeating;
pub mod sentence;
pub mod settings;
pub mod shift;
pub mod state;
pub mod storage;
mod tally;
pub mod time;
mod told;
pub mod unmailed;
pub mod wall_clock;
pub mod wheel;
pub mod window;
pub mod word;
pub mod words_of;

use std::time::Duration;

use decide::{Circumstances, Decision, Voices, decide};
use effect::{Effect, Matter};
use lifecycle::Lifecycle;
use name::{ApplianceNumber, BootId};
use presence::Presence;
use record::{Hello, Input, Outcome, Record, SessionId};
use settings::{FLAPPING_WINDOW, GRACE_AFTER_ABSENCE, Settings};
use state::State;
use tally::Pending;
use time::{Offset, Timestamp};
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

    /// Another clock that may as well be right lies so far from told time: by it an appliance's own
    /// clock is not wrong either.
    pub fn set_other_clock(&mut self, other: Option<Offset>) {
        self.other_clock = other;
    }

    /// Who is in a session.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Decides on `input` and takes the decision in. A `now` before the last record counts as the
    /// time of that record, unless the input says that told time is moved.
    pub fn take(&mut self, input: Input, now: Timestamp) -> Decision {
        let now = if input.moves_time() { now } else { now.max(self.state.last_at()) };
        let about = input.appliance();
        let circumstances = self.circumstances(&input, now);
        let starts = matches!(input, Input::BrokerStarted(_));
        let stalled =
            if let Input::BrokerStalled { lasted, .. } = &input { Some(*lasted) } else { None };
        let reported = input.live_report();
        let decision = self.decide(circumstances, input, now);
        if let Some(record) = &decision.record {
            self.apply(record);
        }
        if let Some(absorbed) = &decision.absorbed {
            let boot = self.boot_of(absorbed.heard.appliance);
            self.state.absorb(absorbed, now);
            self.pending.note(absorbed, boot);
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

    /// Takes in a record that was decided before, at a start.
    pub fn apply(&mut self, record: &Record) {
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
    pub fn set_settings(&mut self, settings: Settings, now: Timestamp) {
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

    /// Whether something was absorbed that no tally tells of yet.
    pub fn owes_tally(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether something of that appliance was.
    pub fn owes_tally_of(&self, number: ApplianceNumber) -> bool {
        self.pending.has(number)
    }

    /// The next tally of what was absorbed, taken in; ask again until there is none.
    pub fn tally(&mut self, now: Timestamp) -> Option<Record> {
        let now = now.max(self.state.last_at());
        while self.owes_tally() {
            if let Some(record) = self.pending.tally(&self.state, now) {
                self.apply(&record);
                return Some(record);
            }
        }
        None
    }

    /// A session is open; its hello is an input of its own.
    pub fn session_opened(&mut self, hello: &Hello, now: Timestamp) {
        let twins_at = now.after(TWINS_AFTER);
        self.presence.opened(hello.appliance, hello.session, hello.boot, twins_at);
        self.arm(hello.appliance);
    }

    /// A session is closed; gives the input that says so.
    pub fn session_closed(
        &mut self,
        appliance: ApplianceNumber,
        boot: BootId,
        session: SessionId,
        now: Timestamp,
    ) -> Input {
        let contact_until = self.contact_until(appliance, now);
        self.presence.closed(appliance, session, contact_until);
        self.arm(appliance);
        Input::SessionEnded { appliance, boot }
    }

    /// When [`Grid::due`] is to be asked next.
    pub fn wake_at(&self) -> Option<Timestamp> {
        [self.wheel.wake_at(), self.mail_due].into_iter().flatten().min()
    }

    /// Whose deadline may have passed at `now`: each is to be taken as [`Input::Deadline`].
    pub fn due(&mut self, now: Timestamp) -> Vec<ApplianceNumber> {
        self.wheel.due(now)
    }

    fn circumstances(&mut self, input: &Input, now: Timestamp) -> Circumstances {
        match input {
            Input::Deadline { appliance } => Circumstances {
                contact_is_lost: self.presence.takes_contact_lost(*appliance, now),
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

    fn arm(&mut self, number: ApplianceNumber) {
        let of_start = self.state.appliance(number).and_then(|it| it.lifecycle.deadline());
        let of_presence = self.presence.deadline(number);
        let of_admission =
            self.state.appliance(number).and_then(|appliance| appliance.admission.deadline());
        let deadlines = [of_start, of_presence, of_admission, self.flapping_until(number)];
        // What lies at the end of time never comes.
        let next = deadlines.into_iter().flatten().min().filter(|next| *next < Timestamp::MAX);
        self.wheel.arm(number, next);
    }

    /// When an appliance that runs no longer counts as flapping.
    fn flapping_until(&self, number: ApplianceNumber) -> Option<Timestamp> {
        self.state.alert(Some(number), Matter::Flapping)?;
        let appliance = self.state.appliance(number)?;
        let first = appliance.failed_starts.first()?;
        (appliance.lifecycle == Lifecycle::Running).then(|| first.after(FLAPPING_WINDOW))
    }

    fn arm_all(&mut self) {
        for row in 1..self.state.next_row().0 {
            self.arm(ApplianceNumber(row));
        }
    }
}

#[cfg(test)]
mod tests;
