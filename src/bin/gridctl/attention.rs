//! Evaluates which credentials need attention: those that end soon, have ended, or were revoked.
//!
//! Guarantees the rule of the broker's alerts: one sixth of the validity left, or less. Reads no
//! clock.

use jiff::{SignedDuration, Timestamp};

use crate::table::CellStyle;

/// A credential needs attention when this part of its validity, or less, is left.
const PART_LEFT: i32 = 6;

/// Why a credential needs attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attention {
    /// It ends soon: the time left.
    EndsIn(SignedDuration),
    /// It has ended: the time since.
    Ended(SignedDuration),
    /// It was revoked.
    Revoked,
}

impl Attention {
    /// Evaluates the validity of a credential at `now`; a credential without an end needs none.
    pub(crate) fn of(
        begins: Option<Timestamp>,
        ends: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Self> {
        let ends = ends?;
        let left = ends.duration_since(now);
        if left <= SignedDuration::ZERO {
            return Some(Self::Ended(-left));
        }
        let validity = ends.duration_since(begins?);
        (left <= validity / PART_LEFT).then_some(Self::EndsIn(left))
    }

    /// The style of its cell.
    pub(crate) fn style(self) -> CellStyle {
        match self {
            Self::EndsIn(_) => CellStyle::Yellow,
            Self::Ended(_) | Self::Revoked => CellStyle::Red,
        }
    }

    /// Its text: `ends in 3 d`.
    pub(crate) fn text(self) -> String {
        match self {
            Self::EndsIn(left) => format!("ends in {}", rough(left)),
            Self::Ended(since) => format!("ended {} ago", rough(since)),
            Self::Revoked => "revoked".to_owned(),
        }
    }
}

/// A duration in its largest unit, rounded down: `3 d`, `7 h`, `12 min`, `5 s`.
fn rough(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        86_400.. => format!("{} d", seconds / 86_400),
        3_600.. => format!("{} h", seconds / 3_600),
        60.. => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sixth_of_the_validity_or_less_needs_attention() {
        let at = |days: i64| Some(Timestamp::from_second(days * 86_400).unwrap());
        let text = |now: i64| Attention::of(at(0), at(30), at(now).unwrap()).map(Attention::text);
        assert_eq!(text(24), None);
        assert_eq!(text(25).as_deref(), Some("ends in 5 d"));
        assert_eq!(text(27).as_deref(), Some("ends in 3 d"));
        assert_eq!(text(30).as_deref(), Some("ended 0 s ago"));
        assert_eq!(text(37).as_deref(), Some("ended 7 d ago"));
        assert_eq!(Attention::of(at(0), None, at(99).unwrap()), None, "it has no end");
        assert_eq!(Attention::of(None, at(1), at(0).unwrap()), None, "its beginning is unknown");
    }

    #[test]
    fn durations_are_shown_in_their_largest_unit() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (7_199, "1 h"),
            (86_399, "23 h"),
            (172_800, "2 d"),
        ] {
            assert_eq!(rough(SignedDuration::from_secs(seconds)), text);
        }
    }
}
