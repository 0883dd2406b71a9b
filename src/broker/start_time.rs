//! Determines the broker time at a start, and how long the broker was down.
//!
//! The journal tells when the previous run ended; a note beside it is rewritten every few seconds.
//! Within one boot of the machine the kernel knows how much time passed since, whatever happened to
//! the wall clock; otherwise only the wall clock can tell. Guarantees that a time that was never
//! trusted shifts all that is pending, so that it causes no decision. Reads no clock.

use std::time::Duration;

use crate::clock::wall_clock::{LARGE_OFFSET, is_closer};
use crate::grid::log::time_shift::TimeShift;
use crate::grid::values::time::{Offset, Timestamp};

/// A smaller step back of the wall clock is not reported: hardware clocks count in seconds.
const REPORTED_STEP_BACK: Duration = Duration::from_secs(2);

/// The note that a broker was running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AliveNote {
    /// When, in broker time.
    pub(super) at: Timestamp,
    /// The clocks at that time; older releases did not write them.
    pub(super) clocks: Option<NotedClocks>,
}

/// The clocks as noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotedClocks {
    /// How long brokers had run on this journal by then.
    pub(super) lived: Duration,
    /// What broker time would be by the trusted clock.
    pub(super) trusted_now: Timestamp,
    /// How long the machine had been up.
    pub(super) uptime: Duration,
    /// The boot id of the machine.
    pub(super) machine_boot: String,
}

impl AliveNote {
    /// The note as text: broker time first, which is all that older releases read.
    pub(super) fn to_text(&self) -> String {
        let Self { at, clocks } = self;
        let known = clocks.as_ref().map_or_else(String::new, |known| {
            let NotedClocks { lived, trusted_now, uptime, machine_boot } = known;
            let (lived, up) = (lived.as_micros(), uptime.as_micros());
            format!(" {lived} {} {up} {machine_boot}", trusted_now.as_micros())
        });
        format!("{}{known}\n", at.as_micros())
    }

    /// Parses such text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let moment = |field: &str| field.parse().ok().map(Timestamp::from_micros);
        let duration = |field: &str| field.parse().ok().map(Duration::from_micros);
        let at = fields.next().and_then(moment)?;
        let mut known = || {
            let lived = fields.next().and_then(duration)?;
            let trusted = fields.next().and_then(moment)?;
            let up = fields.next().and_then(duration)?;
            Some(NotedClocks {
                lived,
                trusted_now: trusted,
                uptime: up,
                machine_boot: fields.next()?.to_owned(),
            })
        };
        Some(Self { at, clocks: known() })
    }
}

/// What a start reads from journal, note and clocks.
pub(super) struct ClockReadings<'a> {
    /// The last record's time, and how long brokers had run by then; `None`: no record.
    pub(super) last_record: Option<(Timestamp, Duration)>,
    /// The note.
    pub(super) note: Option<&'a AliveNote>,
    /// The wall clock.
    pub(super) wall_now: Timestamp,
    /// How long the machine has been up.
    pub(super) uptime: Duration,
    /// The current boot id of the machine.
    pub(super) machine_boot: &'a str,
}

/// The times with which a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartTime {
    /// Broker time.
    pub(super) now: Timestamp,
    /// How long brokers had run when the last one ended.
    pub(super) lived: Duration,
    /// How long no broker ran; `None`: this is the first run.
    pub(super) downtime: Option<Duration>,
    /// The shift of broker time from where it ended.
    pub(super) shift: Option<TimeShift>,
    /// How far the clock was set back, if that is reported.
    pub(super) clock_set_back_by: Option<Duration>,
    /// What broker time would be by the trusted clock.
    pub(super) trusted_now: Timestamp,
}

impl ClockReadings<'_> {
    pub(super) fn start_time(&self) -> StartTime {
        let Some((last_at, lived)) = self.last_record else {
            let (now, trusted) = (self.wall_now, self.wall_now);
            let (away, shift, clock_back) = (None, None, None);
            return StartTime {
                now,
                lived: Duration::ZERO,
                downtime: away,
                shift,
                clock_set_back_by: clock_back,
                trusted_now: trusted,
            };
        };
        let known = self.note.and_then(|alive| alive.clocks.as_ref());
        // By lived time, since broker time may have been shifted in between.
        let since_last = known.map_or(Duration::ZERO, |known| known.lived.saturating_sub(lived));
        let of_old_note = self.note.filter(|_| known.is_none()).map(|alive| alive.at);
        let ended = last_at.after(since_last).max(of_old_note.unwrap_or(last_at));
        let lived = lived.saturating_add(ended.since(last_at));
        let same_boot = known.filter(|known| known.machine_boot == self.machine_boot);
        let elapsed = same_boot.and_then(|known| {
            let since_note = self.uptime.checked_sub(known.uptime)?;
            Some((since_note.saturating_sub(lived.saturating_sub(known.lived)), since_note, known))
        });
        match elapsed {
            Some((away, since_note, known)) => {
                let expected = ended.after(away);
                let trusted = known.trusted_now.after(since_note);
                let is_right = Offset::between(expected, self.wall_now).magnitude() <= LARGE_OFFSET
                    || is_closer(trusted, self.wall_now, expected);
                let now = if is_right { self.wall_now } else { expected };
                self.build(now, ended, lived, away, trusted)
            }
            None => {
                let away = self.wall_now.since(ended);
                let trusted = known.map_or(ended, |known| known.trusted_now.after(since_last));
                self.build(self.wall_now, ended, lived, away, trusted)
            }
        }
    }

    fn build(
        &self,
        now: Timestamp,
        ended: Timestamp,
        lived: Duration,
        away: Duration,
        trusted: Timestamp,
    ) -> StartTime {
        let by = Offset::between(ended, now);
        let back = if by.is_ahead() { Duration::ZERO } else { by.magnitude() };
        // Times that are now in the future came from a wrong clock.
        let from = if back.is_zero() { Timestamp::MAX } else { Timestamp::MIN };
        StartTime {
            now,
            lived,
            downtime: Some(away),
            shift: Some(TimeShift { by, from }),
            clock_set_back_by: (back >= REPORTED_STEP_BACK).then_some(back),
            trusted_now: trusted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * 86_400;

    fn second(n: i64) -> Timestamp {
        Timestamp::from_micros((1_800_000_000 + n) * 1_000_000)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A run of 1,000 s, with its last record 3 s before its note.
    fn note(noted_at: i64) -> AliveNote {
        let known = NotedClocks {
            lived: seconds(1_000),
            trusted_now: second(0),
            uptime: seconds(5_000),
            machine_boot: "this".to_owned(),
        };
        AliveNote { at: second(noted_at), clocks: Some(known) }
    }

    /// A start `up` after the machine's boot, with the wall clock at `wall`.
    fn start(
        alive: &AliveNote,
        noted_at: i64,
        wall: i64,
        up: u64,
        machine_boot: &str,
    ) -> StartTime {
        let last = Some((second(noted_at - 3), seconds(997)));
        let (alive, wall, up) = (Some(alive), second(wall), seconds(up));
        ClockReadings { last_record: last, note: alive, wall_now: wall, uptime: up, machine_boot }
            .start_time()
    }

    #[test]
    fn within_one_machine_boot_the_wall_clock_alone_moves_nothing() {
        for off in [YEAR, -YEAR, 20 * YEAR] {
            let found = start(&note(0), 0, 10 + off, 5_010, "this");
            assert_eq!((found.now, found.downtime), (second(10), Some(seconds(10))));
            assert_eq!((found.clock_set_back_by, found.trusted_now), (None, second(10)));
            assert_eq!(found.lived, seconds(1_000));
        }
        let right = start(&note(0), 0, 12, 5_010, "this");
        assert_eq!((right.now, right.downtime), (second(12), Some(seconds(10))));
    }

    #[test]
    fn a_corrected_clock_is_followed_at_once() {
        let found = start(&note(YEAR), YEAR, 10, 5_010, "this");
        assert_eq!((found.now, found.downtime), (second(10), Some(seconds(10))));
        let by = Offset::from_micros((10 - YEAR) * 1_000_000);
        assert_eq!(found.shift, Some(TimeShift { by, from: Timestamp::MIN }));
        assert_eq!(found.clock_set_back_by, Some(by.magnitude()));
        let rebooted = start(&note(YEAR), YEAR, 10, 30, "another");
        assert_eq!((rebooted.now, rebooted.shift), (second(10), found.shift));
    }

    #[test]
    fn after_a_machine_boot_only_the_wall_clock_counts() {
        let found = start(&note(0), 0, YEAR, 30, "another");
        assert_eq!(found.downtime, Some(Duration::from_secs(YEAR.unsigned_abs())));
        assert_eq!((found.now, found.trusted_now), (second(YEAR), second(3)));
        let by = Offset::from_micros(YEAR * 1_000_000);
        assert_eq!(found.shift, Some(TimeShift::pause(by)));
    }

    #[test]
    fn a_clock_of_whole_seconds_is_not_reported_as_set_back() {
        let mut found = ClockReadings {
            last_record: Some((second(0), seconds(9))),
            note: None,
            wall_now: Timestamp::from_micros(second(0).as_micros() - 295_000),
            uptime: seconds(20),
            machine_boot: "this",
        };
        assert_eq!(found.start_time().clock_set_back_by, None);
        found.wall_now = second(-3);
        assert_eq!(found.start_time().clock_set_back_by, Some(seconds(3)));
    }

    #[test]
    fn notes_parse_back_and_old_notes_give_the_time() {
        assert_eq!(AliveNote::parse(&note(7).to_text()), Some(note(7)));
        let old = AliveNote::parse("1800000005000000\n");
        assert_eq!(old, Some(AliveNote { at: second(5), clocks: None }));
        assert_eq!(AliveNote::parse("nonsense"), None);
        let last = Some((second(0), seconds(9)));
        let (alive, wall, up) = (old.as_ref(), second(65), seconds(20));
        let found = ClockReadings {
            last_record: last,
            note: alive,
            wall_now: wall,
            uptime: up,
            machine_boot: "this",
        }
        .start_time();
        assert_eq!((found.downtime, found.lived), (Some(seconds(60)), seconds(14)));
    }
}
