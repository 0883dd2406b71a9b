//! Implements timers, one per appliance, as a lazy timer wheel.
//!
//! Guarantees that no timer fires before its deadline, that each due timer fires once, and that
//! setting one is cheap: a later deadline only overwrites a number, and is found when the old slot
//! is reached. Does not know what a deadline means, and reads no clock.

use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Timestamp;

/// The width of a slot, in microseconds: how late a timer may fire.
const TICK_US: i64 = 100_000;

/// The slots of the wheel: one round is 409.6 s. A later timer is checked once per round.
const SLOTS: usize = 4_096;

/// The same as a tick count.
const ROUND: i64 = 4_096;

const NEVER: i64 = i64::MAX;

const NO_SLOT: u16 = u16::MAX;

/// The timers of appliances.
#[derive(Clone, Debug)]
pub struct Timers {
    /// By appliance: its deadline, in microseconds.
    deadlines: Vec<i64>,
    /// By appliance: the slot of its entry, which tells the tick: it lies within a round.
    queued_slots: Vec<u16>,
    slots: Vec<Vec<u32>>,
    /// All ticks up to this one are processed.
    tick: i64,
    active: usize,
}

impl Timers {
    /// Creates an empty wheel at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            deadlines: Vec::new(),
            queued_slots: Vec::new(),
            slots: vec![Vec::new(); SLOTS],
            tick: tick_at(now) - 1,
            active: 0,
        }
    }

    /// Sets the deadline of an appliance; `None`: it has none.
    pub fn set(&mut self, row: ApplianceIndex, deadline: Option<Timestamp>) {
        let at = row.0 as usize;
        if at >= self.deadlines.len() {
            self.deadlines.resize(at + 1, NEVER);
            self.queued_slots.resize(at + 1, NO_SLOT);
        }
        let deadline = deadline.map_or(NEVER, Timestamp::as_micros);
        match (self.deadlines[at] != NEVER, deadline != NEVER) {
            (false, true) => self.active += 1,
            (true, false) => self.active -= 1,
            (false, false) | (true, true) => {}
        }
        self.deadlines[at] = deadline;
        if deadline != NEVER {
            self.insert(row.0, deadline);
        }
    }

    /// When [`Timers::pop_due`] should be called next; it may then find nothing.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.active == 0 {
            return None;
        }
        let first = self.tick + 1;
        let round = first..first + ROUND;
        let occupied = round.clone().find(|tick| !self.slots[slot(*tick)].is_empty());
        Some(Timestamp::from_micros((occupied.unwrap_or(round.end) + 1) * TICK_US))
    }

    /// Removes the timers that are due at `now`, in the order of deadline and appliance.
    pub fn pop_due(&mut self, now: Timestamp) -> Vec<ApplianceIndex> {
        let last = tick_at(now) - 1;
        let first = (self.tick + 1).max(last - ROUND + 1);
        let mut due = Vec::new();
        let mut later = Vec::new();
        self.tick = self.tick.max(last);
        for tick in first..=last {
            for row in std::mem::take(&mut self.slots[slot(tick)]) {
                let at = row as usize;
                let deadline = self.deadlines[at];
                // This entry was replaced by a nearer one.
                if usize::from(self.queued_slots[at]) != slot(tick) {
                    continue;
                }
                self.queued_slots[at] = NO_SLOT;
                if deadline == NEVER {
                    continue;
                }
                if deadline <= now.as_micros() {
                    self.deadlines[at] = NEVER;
                    self.active -= 1;
                    due.push((deadline, row));
                } else {
                    later.push((row, deadline));
                }
            }
        }
        for (row, deadline) in later {
            self.insert(row, deadline);
        }
        due.sort_unstable();
        due.into_iter().map(|(_, row)| ApplianceIndex(row)).collect()
    }

    fn insert(&mut self, row: u32, deadline: i64) {
        let at = row as usize;
        let wanted = deadline.div_euclid(TICK_US).max(self.tick + 1).min(self.tick + ROUND);
        let queued = self.queued_slots[at];
        // How far its entry and the wanted one are ahead.
        let first = self.tick + 1;
        let queued_ahead = (i64::from(queued) - first).rem_euclid(ROUND);
        if queued != NO_SLOT && queued_ahead <= wanted - first {
            return;
        }
        let wanted = slot(wanted);
        self.queued_slots[at] = u16::try_from(wanted).unwrap_or(NO_SLOT);
        self.slots[wanted].push(row);
    }
}

fn tick_at(now: Timestamp) -> i64 {
    now.as_micros().div_euclid(TICK_US)
}

fn slot(tick: i64) -> usize {
    usize::try_from(tick.rem_euclid(ROUND)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::EPOCH.after(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn a_deadline_moved_later_fires_once_and_at_its_time() {
        let mut wheel = Timers::new(at(0.0));
        wheel.set(ApplianceIndex(1), Some(at(10.0)));
        wheel.set(ApplianceIndex(1), Some(at(20.0)));
        assert_eq!(wheel.pop_due(at(15.0)), []);
        assert_eq!(wheel.pop_due(at(20.2)), [ApplianceIndex(1)]);
        assert_eq!(wheel.pop_due(at(1_000_000.0)), []);
        assert_eq!(wheel.next_wake(), None);
    }

    #[test]
    fn a_deadline_weeks_away_fires_at_its_time() {
        let mut wheel = Timers::new(at(0.0));
        wheel.set(ApplianceIndex(3), Some(at(2_000_000.0)));
        let mut now = at(0.0);
        while let Some(wake) = wheel.next_wake() {
            assert!(wake > now, "time goes on");
            now = wake;
            if !wheel.pop_due(now).is_empty() {
                break;
            }
        }
        assert!(now >= at(2_000_000.0) && now <= at(2_000_000.3), "{now:?}");
    }

    proptest! {
        #[test]
        fn every_deadline_fires_once_at_its_time_or_is_cleared(
            acts in prop::collection::vec((1u32..6, 0u64..2_000, prop::bool::ANY, 0u64..400), 1..80)
        ) {
            let mut wheel = Timers::new(at(0.0));
            let mut model: BTreeMap<u32, Timestamp> = BTreeMap::new();
            let mut now = at(0.0);
            for (row, within, clears, pause) in acts {
                let deadline = now.after(Duration::from_millis(within * 1_000));
                if clears {
                    wheel.set(ApplianceIndex(row), None);
                    model.remove(&row);
                } else {
                    wheel.set(ApplianceIndex(row), Some(deadline));
                    model.insert(row, deadline);
                }
                let until = now.after(Duration::from_millis(pause * 1_000));
                while let Some(wake) = wheel.next_wake().filter(|wake| *wake <= until) {
                    now = wake;
                    for fired in wheel.pop_due(now) {
                        let deadline = model.remove(&fired.0);
                        prop_assert!(deadline.is_some_and(|deadline| deadline <= now));
                        prop_assert!(deadline.is_some_and(|d| now.since(d) <= Duration::from_millis(200)));
                    }
                }
                now = now.max(until);
                for fired in wheel.pop_due(now) {
                    prop_assert!(model.remove(&fired.0).is_some_and(|deadline| deadline <= now));
                }
            }
            let overdue = model.values().filter(|d| d.after(Duration::from_millis(200)) < now).count();
            prop_assert_eq!(overdue, 0);
        }
    }
}
