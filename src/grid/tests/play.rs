//! Plays random stories on three appliances, and counts what their senders count.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use super::super::admission::PlainOutcome;
use super::super::event::PlainKind;
use super::super::name::ApplianceNumber;
use super::super::record::{Input, Order, Outcome, Reset, SessionId, Stall};
use super::super::settings::Overrides;
use super::driver::*;
use super::stories::{Deed, ROWS, settings};

/// A story with the sessions that are open in it.
pub(super) struct Play {
    pub(super) story: Timeline,
    pub(super) sessions: Vec<(ApplianceNumber, u128, SessionId)>,
    said: Option<Said>,
    flooded: u64,
    unacknowledged: Vec<(ApplianceNumber, PlainKind, PlainOutcome)>,
    acknowledged: BTreeMap<(ApplianceNumber, PlainKind, PlainOutcome), u64>,
}

impl Play {
    pub(super) fn new(tallies_late: bool) -> Self {
        let mut story = Timeline::empty(settings(0));
        story.tallies_late = tallies_late;
        (1..=ROWS).for_each(|row| story.add(ApplianceNumber(row)));
        let overrides = Overrides::default();
        let (class, reset) = (Some("other".into()), Reset::default());
        let other = Order::Set { name: name(ApplianceNumber(2)), class, overrides, reset };
        assert!(story.order(other).is_ok());
        let (sessions, said, flooded) = (Vec::new(), None, 0);
        let (unacknowledged, acknowledged) = (Vec::new(), BTreeMap::new());
        Self { story, sessions, said, flooded, unacknowledged, acknowledged }
    }

    pub(super) fn does(&mut self, deed: Deed) {
        self.plays(deed);
        self.story.asks();
        self.acknowledge();
    }

    fn plays(&mut self, deed: Deed) {
        match deed {
            Deed::Say(said) => {
                self.said = Some(said.clone());
                self.hear(said);
            }
            Deed::Flood(times) => {
                let Some(mut said) = self.said.clone() else { return };
                for ahead in 1..=times {
                    self.flooded += 1;
                    said.0.sequence = NonZeroU64::new(1_000 + self.flooded * 50 + ahead);
                    self.hear(said.clone());
                }
            }
            Deed::Tally => {
                self.story.tally();
            }
            Deed::SayAgain => {
                let Some(said) = self.said.clone() else { return };
                self.says_again(said);
            }
            Deed::Hello { row, boot, uptime } => {
                let session = self.story.hello_of(row, boot, uptime);
                self.sessions.push((row, boot, session));
            }
            Deed::Bye(which) if which < self.sessions.len() => {
                let (row, boot, session) = self.sessions.remove(which);
                self.story.bye_of(row, boot, session);
            }
            Deed::Bye(_) => {}
            Deed::Order(order) => drop(self.story.order(order)),
            Deed::Wait(pause) => self.story.go_to(self.story.now.after(pause)),
            Deed::Stall(lasted) => {
                self.story.now = self.story.now.after(lasted);
                self.story.take(Input::BrokerStalled { lasted, cause: Stall::LateTurn });
            }
            Deed::Away(away, number) => {
                self.sessions.clear();
                self.said = None;
                // Nobody was told of what is in no tally: a crash forgets it.
                self.unacknowledged.clear();
                self.story.away_for(away, settings(number));
            }
        }
    }

    /// An event with a number that comes twice in a row is a duplicate, unless nobody is there.
    fn says_again(&mut self, said: Said) {
        let appliance = self.story.grid().state().appliance(said.0.appliance);
        let boot = said.0.boot.or(appliance.and_then(|appliance| appliance.boot_id()));
        let is_known = appliance.is_some_and(|appliance| {
            boot.zip(said.0.spool).zip(said.0.sequence).is_some_and(|((boot, spool), sequence)| {
                appliance.windows.contains(boot, spool, sequence)
            })
        });
        let records = self.story.records.len();
        let outcome = self.hear(said);
        assert_eq!(outcome == Outcome::Duplicate, is_known);
        let is_silent = self.story.records.len() == records;
        assert!(is_silent || !is_known, "a duplicate makes no record");
    }

    /// Says it, and counts what became of it as its sender does: once it is acknowledged.
    pub(super) fn hear(&mut self, said: Said) -> Outcome {
        let (row, kind) = (said.0.appliance, said.0.event.kind.plain());
        let records = self.story.records.len();
        let (outcome, _) = self.story.hear(said);
        let is_there = self.story.grid().state().appliance(row).is_some();
        if let Some(counted) = PlainOutcome::new(outcome).filter(|_| is_there) {
            let since = &self.story.records[records..];
            if since.iter().any(|record| matches!(record.input, Input::Event(_))) {
                *self.acknowledged.entry((row, kind, counted)).or_default() += 1;
            } else {
                self.unacknowledged.push((row, kind, counted));
            }
        }
        self.acknowledge();
        outcome
    }

    /// Whatever is in a tally by now is durable.
    pub(super) fn acknowledge(&mut self) {
        let grid = self.story.grid();
        for counted in self.unacknowledged.extract_if(.., |it| !grid.has_pending_of(it.0)) {
            *self.acknowledged.entry(counted).or_default() += 1;
        }
    }

    /// What the senders counted is what the grid counted.
    pub(super) fn counts_add_up(&self) {
        for appliance in self.story.grid().state().appliances() {
            let own = self.acknowledged.iter().filter(|((row, ..), _)| *row == appliance.number);
            let own: Vec<_> = own.map(|((_, kind, outcome), n)| (*kind, *outcome, *n)).collect();
            assert_eq!(own, appliance.admission.counts.iter().collect::<Vec<_>>());
        }
    }
}
