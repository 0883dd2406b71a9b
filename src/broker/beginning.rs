//! Determines the broker time at a start, and how long the broker was down.
//!
//! The journal tells when the previous run ended; a note beside it is rewritten every few seconds.
//! Within one boot of the machine the kernel knows how much time passed since, whatever happened to
//! the wall clock; otherwise only the wall clock can tell. Guarantees that a time that was never
//! trusted shifts all that is pending, so that it causes no decision. Reads no clock.

use std::time::Duration;

use crate::clock::watch::{FAR, is_nearer};
use crate::grid::shift::Shift;
use crate::grid::time::{Offset, Timestamp};

/// A smaller step back of the wall clock is not reported: hardware clocks count in seconds.
const BACK_WORTH_TELLING: Duration = Duration::from_secs(2);

/// The note that a broker was running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alive {
    /// When, in broker time.
    pub(super) at: Timestamp,
    /// The clocks at that time; older releases did not write them.
    pub(super) known: Option<Known>,
}

/// The clocks as noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// How long brokers had run on this journal by then.
    pub(super) lived: Duration,
    /// What broker time would be by the trusted clock.
    pub(super) trusted: Timestamp,
    /// How long the machine had been up.
    pub(super) up: Duration,
    /// The boot id of the machine.
    pub(super) machine_boot: String,
}

impl Alive {
    /// The note as text: broker time first, which is all that older releases read.
    pub(super) fn written(&self) -> String {
        let Self { at, known } = self;
        let known = known.as_ref().map_or_else(String::new, |known| {
            let Known { lived, trusted, up, machine_boot } = known;
            let (lived, up) = (lived.as_micros(), up.as_micros());
            format!(" {lived} {} {up} {machine_boot}", trusted.as_micros())
        });
        format!("{}{known}\n", at.as_micros())
    }

    /// Parses such text.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace();
        let moment = |field: &str| field.parse().ok().map(Timestamp::from_micros);
        let duration = |field: &str| field.parse().ok().map(Duration::from_micros);
        let at = fields.next().and_then(moment)?;
        let mut known = || {
            let lived = fields.next().and_then(duration)?;
            let trusted = fields.next().and_then(moment)?;
            let up = fields.next().and_then(duration)?;
            Some(Known { lived, trusted, up, machine_boot: fields.next()?.to_owned() })
        };
        Some(Self { at, known: known() })
    }
}

/// What a start reads from journal, note and clocks.
pub(super) struct Found<'a> {
    /// The last record's time, and how long brokers had run by then; `None`: no record.
    pub(super) last: Option<(Timestamp, Duration)>,
    /// The note.
    pub(super) alive: Option<&'a Alive>,
    /// The wall clock.
    pub(super) wall: Timestamp,
    /// How long the machine has been up.
    pub(super) up: Duration,
    /// The current boot id of the machine.
    pub(super) machine_boot: &'a str,
}

/// The times with which a run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// Broker time.
    pub(super) now: Timestamp,
    /// How long brokers had run when the last one ended.
    pub(super) lived: Duration,
    /// How long no broker ran; `None`: this is the first run.
    pub(super) away: Option<Duration>,
    /// The shift of broker time from where it ended.
    pub(super) shift: Option<Shift>,
    /// How far the clock was set back, if that is reported.
    pub(super) clock_back: Option<Duration>,
    /// What broker time would be by the trusted clock.
    pub(super) trusted: Timestamp,
}

impl Found<'_> {
    pub(super) fn beginning(&self) -> Beginning {
        let Some((last_at, lived)) = self.last else {
            let (now, trusted) = (self.wall, self.wall);
            let (away, shift, clock_back) = (None, None, None);
            return Beginning { now, lived: Duration::ZERO, away, shift, clock_back, trusted };
        };
        let known = self.alive.and_then(|alive| alive.known.as_ref());
        // By lived time, since broker time may have been shifted in between.
        let since_last = known.map_or(Duration::ZERO, |known| known.lived.saturating_sub(lived));
        let of_old_note = self.alive.filter(|_| known.is_none()).map(|alive| alive.at);
        let ended = last_at.after(since_last).max(of_old_note.unwrap_or(last_at));
        let lived = lived.saturating_add(ended.since(last_at));
        let same_boot = known.filter(|known| known.machine_boot == self.machine_boot);
        let elapsed = same_boot.and_then(|known| {
            let since_note = self.up.checked_sub(known.up)?;
            Some((since_note.saturating_sub(lived.saturating_sub(known.lived)), since_note, known))
        });
        match elapsed {
            Some((away, since_note, known)) => {
                let expected = ended.after(away);
                let trusted = known.trusted.after(since_note);
                let is_right = Offset::between(expected, self.wall).far() <= FAR
                    || is_nearer(trusted, self.wall, expected);
                let now = if is_right { self.wall } else { expected };
                self.at(now, ended, lived, away, trusted)
            }
            None => {
                let away = self.wall.since(ended);
                let trusted = known.map_or(ended, |known| known.trusted.after(since_last));
                self.at(self.wall, ended, lived, away, trusted)
            }
        }
    }

    fn at(
        &self,
        now: Timestamp,
        ended: Timestamp,
        lived: Duration,
        away: Duration,
        trusted: Timestamp,
    ) -> Beginning {
        let by = Offset::between(ended, now);
        let back = if by.is_ahead() { Duration::ZERO } else { by.far() };
        // Times that are now in the future came from a wrong clock.
        let from = if back.is_zero() { Timestamp::MAX } else { Timestamp::MIN };
        Beginning {
            now,
            lived,
            away: Some(away),
            shift: Some(Shift { by, from }),
            clock_back: (back >= BACK_WORTH_TELLING).then_some(back),
            trusted,
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
    fn note(noted_at: i64) -> Alive {
        let known = Known {
            lived: seconds(1_000),
            trusted: second(0),
            up: seconds(5_000),
            machine_boot: "this".to_owned(),
        };
        Alive { at: second(noted_at), known: Some(known) }
    }

    /// A start `up` after the machine's boot, with the wall clock at `wall`.
    fn start(alive: &Alive, noted_at: i64, wall: i64, up: u64, machine_boot: &str) -> Beginning {
        let last = Some((second(noted_at - 3), seconds(997)));
        let (alive, wall, up) = (Some(alive), second(wall), seconds(up));
        Found { last, alive, wall, up, machine_boot }.beginning()
    }

    #[test]
    fn on_one_boot_of_the_machine_the_wall_clock_alone_moves_nothing() {
        for off in [YEAR, -YEAR, 20 * YEAR] {
            let found = start(&note(0), 0, 10 + off, 5_010, "this");
            assert_eq!((found.now, found.away), (second(10), Some(seconds(10))));
            assert_eq!((found.clock_back, found.trusted), (None, second(10)));
            assert_eq!(found.lived, seconds(1_000));
        }
        let right = start(&note(0), 0, 12, 5_010, "this");
        assert_eq!((right.now, right.away), (second(12), Some(seconds(10))));
    }

    #[test]
    fn a_clock_that_is_right_again_is_believed_at_once() {
        let found = start(&note(YEAR), YEAR, 10, 5_010, "this");
        assert_eq!((found.now, found.away), (second(10), Some(seconds(10))));
        let by = Offset::from_micros((10 - YEAR) * 1_000_000);
        assert_eq!(found.shift, Some(Shift { by, from: Timestamp::MIN }));
        assert_eq!(found.clock_back, Some(by.far()));
        let rebooted = start(&note(YEAR), YEAR, 10, 30, "another");
        assert_eq!((rebooted.now, rebooted.shift), (second(10), found.shift));
    }

    #[test]
    fn after_a_boot_the_wall_clock_alone_can_say() {
        let found = start(&note(0), 0, YEAR, 30, "another");
        assert_eq!(found.away, Some(Duration::from_secs(YEAR.unsigned_abs())));
        assert_eq!((found.now, found.trusted), (second(YEAR), second(3)));
        let by = Offset::from_micros(YEAR * 1_000_000);
        assert_eq!(found.shift, Some(Shift::pause(by)));
    }

    #[test]
    fn a_clock_that_counts_in_seconds_is_not_said_to_be_set_back() {
        let mut found = Found {
            last: Some((second(0), seconds(9))),
            alive: None,
            wall: Timestamp::from_micros(second(0).as_micros() - 295_000),
            up: seconds(20),
            machine_boot: "this",
        };
        assert_eq!(found.beginning().clock_back, None);
        found.wall = second(-3);
        assert_eq!(found.beginning().clock_back, Some(seconds(3)));
    }

    #[test]
    fn notes_read_back_and_those_of_releases_before_say_when() {
        assert_eq!(Alive::read(&note(7).written()), Some(note(7)));
        let old = Alive::read("1800000005000000\n");
        assert_eq!(old, Some(Alive { at: second(5), known: None }));
        assert_eq!(Alive::read("nonsense"), None);
        let last = Some((second(0), seconds(9)));
        let (alive, wall, up) = (old.as_ref(), second(65), seconds(20));
        let found = Found { last, alive, wall, up, machine_boot: "this" }.beginning();
        assert_eq!((found.away, found.lived), (Some(seconds(60)), seconds(14)));
    }
}
