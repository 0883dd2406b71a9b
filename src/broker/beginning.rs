//! Finds what time it is at a start, and for how long nobody was there.
//!
//! The journal says when the run before ended; beside it lies a note, touched every few seconds. On
//! the same boot of the machine the kernel knows how much time went by since, whatever became of
//! the wall clock; else the wall clock alone can say. Guarantees that a time never taken for right
//! moves what is pending along, so that nothing comes of it. Reads no clock.

use std::time::Duration;

use crate::clock::watch::{FAR, is_nearer};
use crate::grid::shift::Shift;
use crate::grid::time::{Offset, Timestamp};

/// A wall clock that lies less far back is not worth a word: clocks that keep time over a reboot
/// count in seconds.
const BACK_WORTH_TELLING: Duration = Duration::from_secs(2);

/// The note that a broker was at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alive {
    /// When: told time.
    pub(super) at: Timestamp,
    /// What notes of releases before lack.
    pub(super) known: Option<Known>,
}

/// What the note says besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// For how long brokers were at work by then.
    pub(super) lived: Duration,
    /// What told time would be by what was known of before.
    pub(super) trusted: Timestamp,
    /// How long the machine was up.
    pub(super) up: Duration,
    /// Which boot of the machine that was.
    pub(super) machine_boot: String,
}

impl Alive {
    /// The note as text: told time first, by which releases before go.
    pub(super) fn written(&self) -> String {
        let Self { at, known } = self;
        let known = known.as_ref().map_or_else(String::new, |known| {
            let Known { lived, trusted, up, machine_boot } = known;
            let (lived, up) = (lived.as_micros(), up.as_micros());
            format!(" {lived} {} {up} {machine_boot}", trusted.as_micros())
        });
        format!("{}{known}\n", at.as_micros())
    }

    /// The note of such text.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let moment = |word: &str| word.parse().ok().map(Timestamp::from_micros);
        let duration = |word: &str| word.parse().ok().map(Duration::from_micros);
        let at = words.next().and_then(moment)?;
        let mut known = || {
            let lived = words.next().and_then(duration)?;
            let trusted = words.next().and_then(moment)?;
            let up = words.next().and_then(duration)?;
            Some(Known { lived, trusted, up, machine_boot: words.next()?.to_owned() })
        };
        Some(Self { at, known: known() })
    }
}

/// What a start finds.
pub(super) struct Found<'a> {
    /// The last record's time, and for how long brokers were at work by then; `None`: no record.
    pub(super) last: Option<(Timestamp, Duration)>,
    /// The note.
    pub(super) alive: Option<&'a Alive>,
    /// The wall clock.
    pub(super) wall: Timestamp,
    /// How long the machine is up.
    pub(super) up: Duration,
    /// Which boot of the machine this is.
    pub(super) machine_boot: &'a str,
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// Told time.
    pub(super) now: Timestamp,
    /// For how long brokers were at work until the last of them ended.
    pub(super) lived: Duration,
    /// For how long nobody was there; `None`: nobody ever was.
    pub(super) away: Option<Duration>,
    /// How told time moves from where it ended.
    pub(super) shift: Option<Shift>,
    /// How far it moves back, if that is worth a word.
    pub(super) clock_back: Option<Duration>,
    /// What told time would be by what is known.
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
        // By lived time, since told time may have been moved in between.
        let since_last = known.map_or(Duration::ZERO, |known| known.lived.saturating_sub(lived));
        let of_before = self.alive.filter(|_| known.is_none()).map(|alive| alive.at);
        let ended = last_at.after(since_last).max(of_before.unwrap_or(last_at));
        let lived = lived.saturating_add(ended.since(last_at));
        let same_boot = known.filter(|known| known.machine_boot == self.machine_boot);
        let gone_by = same_boot.and_then(|known| {
            let since_note = self.up.checked_sub(known.up)?;
            Some((since_note.saturating_sub(lived.saturating_sub(known.lived)), since_note, known))
        });
        match gone_by {
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
        // What lies in the future by now was told by a clock that was wrong.
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

    /// A run that lived for 1,000 s, and had its last record 3 s before its note.
    fn note(told: i64) -> Alive {
        let known = Known {
            lived: seconds(1_000),
            trusted: second(0),
            up: seconds(5_000),
            machine_boot: "this".to_owned(),
        };
        Alive { at: second(told), known: Some(known) }
    }

    /// A start `up` after the machine's boot, with the wall clock at `wall`.
    fn start(alive: &Alive, told: i64, wall: i64, up: u64, machine_boot: &str) -> Beginning {
        let last = Some((second(told - 3), seconds(997)));
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
