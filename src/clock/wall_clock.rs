//! Decides when broker time follows the wall clock.
//!
//! At once if they differ by little, or if the wall clock returns to the trusted time; otherwise only
//! if it is stable for [`FOLLOW_AFTER`]. Guarantees that a clock that is wrong for less shifts nothing. Gets
//! both times; reads no clock.

use std::time::Duration;

use crate::grid::values::time::{Offset, Timestamp};

/// The smallest difference that counts: the kernel corrects a slower drift.
const OFFSET_MIN: Duration = Duration::from_secs(1);

/// A larger difference is not followed at once, and opens an alert meanwhile.
pub const LARGE_OFFSET: Duration = Duration::from_secs(60);

/// A wall clock that is stable for this long is followed.
pub const FOLLOW_AFTER: Duration = Duration::from_secs(10);

/// If broker time and wall clock agree for this long, they are trusted, whatever came before.
const TRUSTED_AFTER: Duration = Duration::from_secs(3_600);

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallClockFinding {
    /// They differ by this much, and broker time does not follow.
    Differs(Offset),
    /// They agree again, without a shift.
    Agrees,
    /// Broker time is to be shifted.
    Follow {
        /// By this much.
        by: Offset,
        /// Whether that leads to the trusted time; otherwise the wall clock was only stable.
        is_confirmed: bool,
    },
    /// A clock that was followed unconfirmed has been stable for long.
    Trusted,
}

/// Compares broker time with the wall clock.
#[derive(Clone, Debug)]
pub struct WallClockTracker {
    /// What broker time would be at its start by the trusted clock.
    trusted_start: Timestamp,
    agreed_since: Duration,
    unconfirmed: Option<UnconfirmedOffset>,
    /// The clock followed last was only stable.
    is_unconfirmed: bool,
}

#[derive(Clone, Copy, Debug)]
struct UnconfirmedOffset {
    by: Offset,
    since: Duration,
}

impl WallClockTracker {
    /// Starts with broker time; `trusted` is what it would be by the trusted clock.
    pub fn new(trusted: Timestamp) -> Self {
        Self {
            trusted_start: trusted,
            agreed_since: Duration::ZERO,
            unconfirmed: None,
            is_unconfirmed: false,
        }
    }

    /// The trusted time, `elapsed` after the start.
    pub fn trusted_time(&self, elapsed: Duration) -> Timestamp {
        self.trusted_start.after(elapsed)
    }

    /// Compares them, `elapsed` after the start.
    pub fn compare(
        &mut self,
        now: Timestamp,
        wall: Timestamp,
        elapsed: Duration,
    ) -> Option<WallClockFinding> {
        let by = Offset::between(now, wall);
        if by.magnitude() < OFFSET_MIN {
            if elapsed.saturating_sub(self.agreed_since) >= TRUSTED_AFTER {
                self.trusted_start = now.before(elapsed);
                if std::mem::take(&mut self.is_unconfirmed) {
                    return Some(WallClockFinding::Trusted);
                }
            }
            return self.unconfirmed.take().map(|_| WallClockFinding::Agrees);
        }
        self.agreed_since = elapsed;
        if by.magnitude() <= LARGE_OFFSET {
            // An hour's drift, or a clock that was set by hand.
            self.trusted_start = self.trusted_start.shifted_by(by);
        } else if !is_closer(self.trusted_time(elapsed), wall, now) {
            let doubt = *self.unconfirmed.get_or_insert(UnconfirmedOffset { by, since: elapsed });
            if doubt.since == elapsed {
                return Some(WallClockFinding::Differs(by));
            }
            let moved = Offset::from_micros(by.as_micros().saturating_sub(doubt.by.as_micros()));
            if moved.magnitude() >= OFFSET_MIN {
                // The clock changed again: now that time must be stable.
                self.unconfirmed = Some(UnconfirmedOffset { by, since: elapsed });
                return None;
            }
            if elapsed.saturating_sub(doubt.since) < FOLLOW_AFTER {
                return None;
            }
        }
        self.unconfirmed = None;
        let far = Offset::between(self.trusted_time(elapsed), wall).magnitude();
        self.is_unconfirmed =
            far > LARGE_OFFSET && !is_closer(self.trusted_time(elapsed), wall, now);
        Some(WallClockFinding::Follow { by, is_confirmed: !self.is_unconfirmed })
    }

    /// The offset from broker time of another clock that may be right.
    pub fn alternative_offset(&self, now: Timestamp, elapsed: Duration) -> Option<Offset> {
        let known = Offset::between(now, self.trusted_time(elapsed));
        let other = self.unconfirmed.map_or(known, |doubt| doubt.by);
        (other.magnitude() > LARGE_OFFSET).then_some(other)
    }
}

/// Whether `one` is closer to the trusted time than `other`.
pub fn is_closer(known: Timestamp, one: Timestamp, other: Timestamp) -> bool {
    let far = |at| Offset::between(known, at).magnitude();
    far(one).saturating_add(LARGE_OFFSET) < far(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * 86_400;

    fn second(n: i64) -> Timestamp {
        Timestamp::from_micros((1_800_000_000 + n) * 1_000_000)
    }

    fn offset(seconds: i64) -> Offset {
        Offset::from_micros(seconds * 1_000_000)
    }

    fn confirmed(seconds: i64) -> WallClockFinding {
        WallClockFinding::Follow { by: offset(seconds), is_confirmed: true }
    }

    /// Runs with the wall clock `off` seconds ahead from `from` to `to`; returns the findings.
    fn runs(
        watch: &mut WallClockTracker,
        shift: &mut i64,
        off: i64,
        from: u64,
        to: u64,
    ) -> Vec<(u64, WallClockFinding)> {
        let mut found = Vec::new();
        for elapsed in from..to {
            let wall = second(elapsed.cast_signed() + off);
            let now = second(elapsed.cast_signed() + *shift);
            if let Some(it) = watch.compare(now, wall, Duration::from_secs(elapsed)) {
                if let WallClockFinding::Follow { by, .. } = it {
                    *shift += by.as_micros() / 1_000_000;
                }
                found.push((elapsed, it));
            }
        }
        found
    }

    #[test]
    fn a_clock_wrong_for_seconds_moves_nothing() {
        for off in [YEAR, -YEAR, 20 * YEAR, 3_600, -90] {
            let (mut watch, mut shift) = (WallClockTracker::new(second(0)), 0);
            assert_eq!(runs(&mut watch, &mut shift, 0, 0, 100), []);
            let found = runs(&mut watch, &mut shift, off, 100, 103);
            assert_eq!(found, [(100, WallClockFinding::Differs(offset(off)))]);
            assert_eq!(
                watch.alternative_offset(second(103), Duration::from_secs(103)),
                Some(offset(off))
            );
            let found = runs(&mut watch, &mut shift, 0, 103, 200);
            assert_eq!(found, [(103, WallClockFinding::Agrees)]);
            assert_eq!(shift, 0);
        }
    }

    #[test]
    fn a_stable_clock_is_followed_and_its_correction_at_once() {
        let (mut watch, mut shift) = (WallClockTracker::new(second(0)), 0);
        let found = runs(&mut watch, &mut shift, YEAR, 5, 100);
        let followed = WallClockFinding::Follow { by: offset(YEAR), is_confirmed: false };
        assert_eq!(found, [(5, WallClockFinding::Differs(offset(YEAR))), (15, followed)]);
        let other = watch.alternative_offset(second(100 + shift), Duration::from_secs(100));
        assert_eq!(other, Some(offset(-YEAR)));
        let found = runs(&mut watch, &mut shift, 0, 100, 200);
        assert_eq!(found, [(100, confirmed(-YEAR))]);
    }

    #[test]
    fn a_followed_clock_is_trusted_after_an_hour() {
        let (mut watch, mut shift) = (WallClockTracker::new(second(0)), 0);
        assert_eq!(runs(&mut watch, &mut shift, YEAR, 5, 100).len(), 2);
        assert_eq!(
            runs(&mut watch, &mut shift, YEAR, 100, 5_000),
            [(3_615, WallClockFinding::Trusted)]
        );
        assert_eq!(
            watch.alternative_offset(second(5_000 + shift), Duration::from_secs(5_000)),
            None
        );
        let found = runs(&mut watch, &mut shift, 0, 5_000, 5_005);
        assert_eq!(found, [(5_000, WallClockFinding::Differs(offset(-YEAR)))]);
    }

    #[test]
    fn a_start_by_a_wrong_clock_is_corrected_with_the_clock() {
        for gap in [YEAR, -50 * YEAR] {
            // By the journal it is second 0, by the wall clock a year later.
            let (mut watch, mut shift) = (WallClockTracker::new(second(0)), gap);
            assert_eq!(runs(&mut watch, &mut shift, gap, 0, 30), []);
            // In truth the broker was down for an hour.
            let found = runs(&mut watch, &mut shift, 3_600, 30, 60);
            assert_eq!(found, [(30, confirmed(3_600 - gap))]);
        }
    }

    #[test]
    fn a_jumping_clock_is_not_followed_before_it_is_stable() {
        let (mut watch, mut shift) = (WallClockTracker::new(second(0)), 0);
        for turn in 0..10 {
            let off = 1_000 * (i64::try_from(turn).unwrap_or(0) + 1);
            let found = runs(&mut watch, &mut shift, off, turn * 5, turn * 5 + 5);
            assert_eq!(found.len(), usize::from(turn == 0), "reported once");
        }
        assert_eq!(shift, 0);
        let followed = WallClockFinding::Follow { by: offset(777), is_confirmed: false };
        assert_eq!(runs(&mut watch, &mut shift, 777, 50, 70), [(60, followed)]);
    }

    #[test]
    fn small_steps_are_followed_at_once_and_smaller_ones_ignored() {
        let (mut watch, mut shift) = (WallClockTracker::new(second(0)), 0);
        let little = Timestamp::from_micros(second(0).as_micros() - 295_000);
        assert_eq!(watch.compare(second(0), little, Duration::ZERO), None);
        for off in [2, -30, 25] {
            let by = off - shift;
            assert_eq!(runs(&mut watch, &mut shift, off, 1, 20), [(1, confirmed(by))]);
        }
    }

    #[test]
    fn an_hour_of_agreement_is_trusted_whatever_came_before() {
        // Down for a week; a step back of a day then does not lead to the trusted time.
        let week = 7 * 86_400;
        let (mut watch, mut shift) = (WallClockTracker::new(second(0)), week);
        assert_eq!(runs(&mut watch, &mut shift, week, 0, 3_700), []);
        assert_eq!(
            watch.alternative_offset(second(3_700 + week), Duration::from_secs(3_700)),
            None
        );
        let found = runs(&mut watch, &mut shift, week - 86_400, 3_700, 3_705);
        assert_eq!(found, [(3_700, WallClockFinding::Differs(offset(-86_400)))]);
    }
}
