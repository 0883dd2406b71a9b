//! Drives a grid with inputs and time, as a broker would.
//!
//! Guarantees that only timers advance the time, that every record is kept, and that after each
//! record the state equals the fold of all of them, and the same by way of a checkpoint.

use std::time::Duration;

use uuid::Uuid;

use super::super::Grid;
use super::super::decide::{CommandRejection, Decision, Reply};
use super::super::driver::Driver;
use super::super::occurrence::Occurrence;
use super::super::state::State;
use super::promises::Promise;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::input::{BrokerStarted, Input, LastRun, SessionHello};
use crate::grid::log::record::Record;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::settings::{ClassSettings, DEFAULT_CLASS, GridSettings, Overrides};
use crate::grid::values::id::{ApplianceIndex, ApplianceName, BootId, SessionId};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::{Offset, Timestamp};

pub(super) use crate::grid::tests::dump_driver::crash_dump;
pub(super) use crate::grid::tests::event_builder::*;

/// The appliance of most tests.
pub(super) const DB1: ApplianceIndex = ApplianceIndex(1);

/// When timelines begin, in seconds since the epoch.
const TIMELINE_START: u64 = 1_800_000_000;

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The time `offset` seconds after the beginning.
pub(super) fn at(offset: u64) -> Timestamp {
    Timestamp::EPOCH.after(seconds(TIMELINE_START + offset))
}

pub(super) fn boot(number: u128) -> BootId {
    BootId(Uuid::from_u128(number))
}

pub(super) fn name(row: ApplianceIndex) -> ApplianceName {
    ApplianceName::new(&format!("db{}", row.0)).expect("a name")
}

/// A grid with one class.
pub(super) fn one_class(rules: ClassSettings) -> GridSettings {
    GridSettings::new([(DEFAULT_CLASS.to_owned(), rules)])
}

/// What brings a timeline on.
pub(super) type Action = fn(&mut Timeline);

/// A grid, its records and its current time.
pub(super) struct Timeline {
    pub(super) driver: Driver<Promise>,
    pub(super) now: Timestamp,
    pub(super) records: Vec<Record>,
    /// The fold of `records` from nothing.
    folded: State,
    /// The same, by way of a checkpoint after every record.
    restored: State,
    sessions: u64,
    terms: u64,
    pub(super) crash_dumps: u128,
    /// Tallies are made by [`Timeline::tally`], not after each input.
    pub(super) are_tallies_deferred: bool,
}

impl Timeline {
    /// A grid without appliances.
    pub(super) fn empty(settings: GridSettings) -> Self {
        let driver = Driver::new(Grid::new(State::default(), settings, at(0)));
        let (folded, restored) = (State::default(), State::default());
        let (now, records) = (at(0), Vec::new());
        let (sessions, terms, tallies_late) = (0, 1, false);
        Self {
            driver,
            now,
            records,
            folded,
            restored,
            sessions,
            terms,
            crash_dumps: 0,
            are_tallies_deferred: tallies_late,
        }
    }

    /// A grid with one class, in which DB1 was added.
    pub(super) fn with(rules: ClassSettings) -> Self {
        let mut timeline = Self::empty(one_class(rules));
        timeline.add(DB1);
        timeline
    }

    /// A grid with the default settings, in which DB1 was added.
    pub(super) fn new() -> Self {
        Self::with(ClassSettings::default())
    }

    /// Gives an input, and checks what holds for every record.
    pub(super) fn handle(&mut self, occurrence: impl Into<Occurrence>) -> Decision {
        let occurrence = occurrence.into();
        let before = self.grid().state().clone();
        let promise = Promise::of(&occurrence, self.grid());
        let decision = self.driver.handle(occurrence, self.now);
        if let Some(promise) = promise {
            self.driver.reply(decision.release, promise);
        }
        self.decided(&before, decision)
    }

    /// Checks what holds for every decision, and keeps its records.
    fn decided(&mut self, before: &State, decision: Decision) -> Decision {
        assert!(decision.record.is_none() || decision.counted.is_none(), "one or the other");
        for record in &decision.preceding {
            self.folded.replay(record);
            self.restored.replay(record);
            self.records.push(record.clone());
        }
        match &decision.record {
            Some(record) => {
                assert_eq!(record.number, self.folded.last() + 1, "numbers are dense");
                self.record(record.clone());
            }
            None if decision.counted.is_some() => assert!(self.grid().has_pending()),
            None => {
                assert_eq!(self.grid().state(), before, "without a record nothing changes");
            }
        }
        if self.are_tallies_deferred {
            self.keep_promises();
        } else {
            self.tally();
        }
        decision
    }

    /// Makes the tallies, and checks what holds for every record.
    pub(super) fn tally(&mut self) {
        let mut tallies = Vec::new();
        self.driver.flush(self.now, |tally| {
            tallies.push(tally);
            true
        });
        tallies.into_iter().for_each(|tally| self.record(tally));
        self.keep_promises();
    }

    /// Asks for the whole state, as an administrator does.
    pub(super) fn asks(&mut self) {
        self.driver.query(Promise::Question);
        if !self.are_tallies_deferred {
            self.tally();
        }
    }

    /// Checks that nobody is told what the records do not contain.
    fn keep_promises(&mut self) {
        for promise in self.driver.released() {
            match promise {
                Promise::Question => assert_eq!(self.folded, *self.grid().state()),
                Promise::Known { appliance, boot, spool, sequence } => {
                    let known = self
                        .folded
                        .appliance(appliance)
                        .is_none_or(|appliance| appliance.windows.contains(boot, spool, sequence));
                    assert!(known, "{sequence} of {boot:?} is acknowledged before it is recorded");
                }
            }
        }
    }

    pub(super) fn grid(&self) -> &Grid {
        self.driver.grid()
    }

    fn record(&mut self, record: Record) {
        let is_in_order = record.at >= self.folded.last_at() || record.input.moves_time();
        assert!(is_in_order, "times fall only where told time is moved");
        self.folded.replay(&record);
        self.restored.replay(&record);
        if !self.grid().has_pending() {
            assert_eq!(self.folded, *self.grid().state(), "state is the fold of its records");
            assert_eq!(self.restored, *self.grid().state(), "a checkpoint is the state by value");
        }
        let (last, last_at) = (self.restored.last(), self.restored.last_at());
        self.restored = State::from_effects(&self.restored.to_effects(), last, last_at);
        self.records.push(record);
    }

    /// Advances the time to `until`, timer by timer.
    pub(super) fn advance_to(&mut self, until: Timestamp) {
        let began = self.now;
        while let Some(wake) = self.grid().poll_timeout().filter(|wake| *wake <= until) {
            // Whoever comes late is woken at once, but only once.
            self.now = self.now.max(wake);
            self.fire_timers();
            assert!(self.grid().poll_timeout().is_none_or(|next| next > self.now), "time goes on");
        }
        self.now = self.now.max(until);
        self.fire_timers();
        let overdue = self.grid().state().appliances().find(|appliance| {
            let deadline = appliance.lifecycle.deadline();
            // A command may set a deadline that has passed: it fires with the next tick.
            deadline.is_some_and(|deadline| deadline.max(began).after(seconds(1)) < self.now)
        });
        assert_eq!(overdue, None, "every deadline fires or is cleared");
    }

    /// Advances the time to `offset` seconds after the beginning.
    pub(super) fn at(&mut self, offset: u64) -> &mut Self {
        self.advance_to(at(offset));
        self
    }

    fn fire_timers(&mut self) {
        for appliance in self.driver.due(self.now) {
            self.times_out(appliance);
        }
        loop {
            let before = self.grid().state().clone();
            let Some(decision) = self.driver.handle_mail_timeout(self.now) else { break };
            self.decided(&before, decision);
        }
    }

    /// Timers of that appliance may have ended. Their decisions build on one another.
    pub(super) fn times_out(&mut self, appliance: ApplianceIndex) {
        let before = self.grid().state().clone();
        let decisions = self.driver.handle_timeout(appliance, self.now);
        if decisions.iter().all(|decision| decision.record.is_none()) {
            assert_eq!(*self.grid().state(), before, "without a record nothing changes");
        }
        let records: Vec<_> = decisions.iter().flat_map(Decision::records).cloned().collect();
        for record in &records {
            self.folded.replay(record);
            self.restored.replay(record);
        }
        if let Some(last) = records.last()
            && !self.grid().has_pending()
        {
            assert_eq!(self.folded, *self.grid().state(), "state is the fold of its records");
            assert_eq!(last.number, self.folded.last(), "numbers are dense");
        }
        self.records.extend(records);
        if self.are_tallies_deferred {
            self.keep_promises();
        } else {
            self.tally();
        }
    }

    /// Receives an event.
    pub(super) fn receive(&mut self, said: EventBuilder) -> (Outcome, RecordFlags) {
        let Reply::Event(outcome, flags) = self.handle(Input::Event(said.0.into())).reply else {
            panic!("an event is answered");
        };
        (outcome, flags)
    }

    /// Receives an event that must be stored; returns its flags.
    pub(super) fn store(&mut self, said: EventBuilder) -> RecordFlags {
        let (outcome, flags) = self.receive(said);
        assert_eq!(outcome, Outcome::Stored);
        flags
    }

    /// Opens a session of DB1 in a boot that has just begun.
    pub(super) fn hello(&mut self, number: u128) -> SessionId {
        self.hello_of(DB1, number, Some(Duration::ZERO))
    }

    pub(super) fn hello_of(
        &mut self,
        appliance: ApplianceIndex,
        number: u128,
        uptime: Option<Duration>,
    ) -> SessionId {
        self.open_session(appliance, number, uptime, false)
    }

    /// Opens a transient session of DB1 in a boot that has just begun.
    pub(super) fn transient_hello(&mut self, number: u128) -> SessionId {
        self.open_session(DB1, number, Some(Duration::ZERO), true)
    }

    fn open_session(
        &mut self,
        appliance: ApplianceIndex,
        number: u128,
        uptime: Option<Duration>,
        is_transient: bool,
    ) -> SessionId {
        self.sessions += 1;
        let session = SessionId(self.sessions);
        let boot = boot(number);
        let (spool, acked_through) = (None, 0);
        let hello =
            SessionHello { appliance, boot, uptime, spool, acked_through, is_transient, session };
        self.handle(Occurrence::SessionOpened(hello));
        session
    }

    /// Closes a session of DB1.
    pub(super) fn close_session(&mut self, number: u128, session: SessionId) {
        self.close_session_of(DB1, number, session);
    }

    pub(super) fn close_session_of(
        &mut self,
        appliance: ApplianceIndex,
        number: u128,
        session: SessionId,
    ) {
        let boot = boot(number);
        self.handle(Occurrence::SessionClosed { appliance, boot, session });
    }

    pub(super) fn command(
        &mut self,
        command: AdminCommand,
    ) -> Result<ApplianceIndex, CommandRejection> {
        let input = Input::Command { by: "admin".into(), command };
        let Reply::Command(done) = self.handle(input).reply else {
            panic!("an order is answered");
        };
        done
    }

    pub(super) fn add(&mut self, row: ApplianceIndex) {
        let (name, uuid) = (name(row), Uuid::from_u128(u128::from(row.0)));
        let order = AdminCommand::Add { name, uuid, class: None, overrides: Overrides::default() };
        assert_eq!(self.command(order), Ok(row));
    }

    pub(super) fn start_boot(&mut self) {
        assert_eq!(self.command(AdminCommand::StartBoot { name: name(DB1) }), Ok(DB1));
    }

    pub(super) fn stop(&mut self) {
        assert_eq!(self.command(AdminCommand::Stop { name: name(DB1) }), Ok(DB1));
    }

    /// Restarts the broker after a downtime, with other settings.
    pub(super) fn restart_with(&mut self, downtime: Duration, settings: GridSettings) {
        self.now = self.now.after(downtime);
        // Whoever waits for a reply gets none.
        self.driver = Driver::new(Grid::new(self.restored.clone(), settings, self.now));
        self.terms += 1;
        self.handle(Input::BrokerStarted(BrokerStarted {
            term: self.terms,
            version: "0.1.0".into(),
            downtime: Some(downtime),
            shift: Some(TimeShift::pause(Offset::ahead_by(downtime))),
            clock_back: None,
            last_run: LastRun::Unknown,
            recovery: Vec::new(),
            missing_records: Vec::new(),
            rebuilt_from: None,
        }));
    }

    /// Sets the wall clock ahead by that many seconds, and broker time follows.
    pub(super) fn set_clock(&mut self, seconds: i64) {
        let by = Offset::from_micros(seconds * 1_000_000);
        self.now = self.now.shifted_by(by);
        let shift = TimeShift { by, from: Timestamp::MIN };
        self.handle(Input::WallClock(WallClockChange::Followed { shift, is_confirmed: true }));
    }

    /// Restarts the broker after a downtime.
    pub(super) fn restart_after(&mut self, downtime: Duration) {
        let settings = self.grid().settings().clone();
        self.restart_with(downtime, settings);
    }
}
