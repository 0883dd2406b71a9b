//! Defines silences: who muted which alerts, from when until when, and why.
//!
//! Guarantees that texts and times are within their bounds. Does not decide what is notified.

use std::time::Duration;

use crate::grid::model::matcher::{AlertFacts, Matchers};
use crate::grid::values::id::SilenceId;
use crate::grid::values::time::Timestamp;

/// The most silences that have not ended.
pub const SILENCES_MAX: usize = 256;

/// The longest reason of a silence, in bytes.
pub const SILENCE_REASON_BYTES_MAX: usize = 500;

/// The longest name of a silence's owner, in bytes.
pub const SILENCE_OWNER_BYTES_MAX: usize = 128;

/// The longest time from begin to end: what is to be muted for longer is a route.
pub const SILENCE_LENGTH_MAX: Duration = Duration::from_secs(366 * 86_400);

/// How long before its end a silence reminds of it, if it is at least twice as long.
pub const SILENCE_REMINDED_BEFORE: Duration = Duration::from_secs(3_600);

/// For how long a silence is kept after its end.
pub const SILENCE_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// A silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its number.
    pub id: SilenceId,
    /// Which alerts it mutes.
    pub matchers: Matchers,
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
    /// It also ends once every alert that it mutes is resolved.
    pub ends_with_alert: bool,
    /// Why; may contain hostile text.
    pub reason: Box<str>,
    /// Who created it.
    pub owner: Box<str>,
    /// When.
    pub created_at: Timestamp,
    /// How many notifications it held back.
    pub muted: u64,
    /// When the owner was reminded that it ends; `None`: not yet.
    pub reminded_at: Option<Timestamp>,
}

/// Where a silence is in its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SilencePhase {
    /// It has not begun.
    Pending,
    /// It mutes.
    Active,
    /// It has ended.
    Ended,
}

/// Why something is not a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceProblem {
    /// It would mute everything.
    #[error("it has no matchers, so it would mute everything; give one, such as severity<=error")]
    NoMatchers,
    /// No alert can match.
    #[error("no alert can match: its conditions on {0} contradict each other")]
    Contradiction(&'static str),
    /// It ends before it begins.
    #[error("it ends before it begins")]
    NoLength,
    /// It ends in the past.
    #[error("its end is in the past")]
    Over,
    /// It is too long.
    #[error("it is longer than 366 days; what is muted for good is a route with `mute = true`")]
    TooLong,
    /// There is no reason.
    #[error("it has no reason; others who see it want to know why")]
    NoReason,
    /// The reason is too long.
    #[error("its reason has more than {SILENCE_REASON_BYTES_MAX} bytes")]
    ReasonTooLong,
    /// The owner's name is too long.
    #[error("the name of its owner has more than {SILENCE_OWNER_BYTES_MAX} bytes")]
    OwnerTooLong,
}

impl Silence {
    /// Checks a new silence at `now`.
    ///
    /// # Errors
    ///
    /// The first [`SilenceProblem`].
    pub fn check(&self, now: Timestamp) -> Result<(), SilenceProblem> {
        if self.matchers.is_empty() {
            return Err(SilenceProblem::NoMatchers);
        }
        if let Some(field) = self.matchers.contradiction() {
            return Err(SilenceProblem::Contradiction(field.as_str()));
        }
        let problem = [
            (self.ends_at <= self.starts_at, SilenceProblem::NoLength),
            (self.ends_at <= now, SilenceProblem::Over),
            (self.ends_at.since(self.starts_at) > SILENCE_LENGTH_MAX, SilenceProblem::TooLong),
            (self.reason.trim().is_empty(), SilenceProblem::NoReason),
            (self.reason.len() > SILENCE_REASON_BYTES_MAX, SilenceProblem::ReasonTooLong),
            (self.owner.len() > SILENCE_OWNER_BYTES_MAX, SilenceProblem::OwnerTooLong),
        ];
        let problem = problem.into_iter().find(|(is_so, _)| *is_so);
        problem.map_or(Ok(()), |(_, problem)| Err(problem))
    }

    /// Where it is in its time at `now`.
    pub fn phase(&self, now: Timestamp) -> SilencePhase {
        if now >= self.ends_at {
            SilencePhase::Ended
        } else if now >= self.starts_at {
            SilencePhase::Active
        } else {
            SilencePhase::Pending
        }
    }

    /// When it is to be looked at: an hour before its end, and long after it.
    pub fn due_at(&self) -> Timestamp {
        let reminds = self.reminded_at.is_none()
            && self.ends_at.since(self.starts_at) >= SILENCE_REMINDED_BEFORE * 2;
        let reminder = self.ends_at.before(SILENCE_REMINDED_BEFORE);
        if reminds { reminder } else { self.forgotten_at() }
    }

    /// When it is forgotten.
    pub fn forgotten_at(&self) -> Timestamp {
        self.ends_at.after(SILENCE_KEPT)
    }

    /// Whether it has begun and has not ended at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.phase(now) == SilencePhase::Active
    }

    /// Whether it mutes an alert with these facts at `now`.
    pub fn mutes(&self, facts: &AlertFacts<'_>, now: Timestamp) -> bool {
        self.is_active(now) && self.matchers.matches(facts)
    }

    /// Its state after it held back one more notification.
    #[must_use]
    pub fn with_muted(mut self) -> Self {
        self.muted = self.muted.saturating_add(1);
        self
    }

    /// Its state when it is ended at `now`; one that has ended stays as it is.
    #[must_use]
    pub fn ended(mut self, now: Timestamp) -> Self {
        self.ends_at = self.ends_at.min(now);
        self.starts_at = self.starts_at.min(self.ends_at);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::values::event::Severity;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn silence() -> Silence {
        Silence {
            id: SilenceId(1),
            matchers: Matchers::parse("appliance=db*").expect("valid"),
            starts_at: at(100),
            ends_at: at(200),
            ends_with_alert: false,
            reason: "new disks".into(),
            owner: "anna".into(),
            created_at: at(50),
            muted: 0,
            reminded_at: None,
        }
    }

    #[test]
    fn it_mutes_from_its_begin_until_before_its_end() {
        let facts = AlertFacts {
            appliance: Some("db1"),
            class: "default",
            kind: "event",
            key: "",
            severity: Severity::Fatal,
        };
        for (seconds, phase) in [
            (99, SilencePhase::Pending),
            (100, SilencePhase::Active),
            (199, SilencePhase::Active),
            (200, SilencePhase::Ended),
        ] {
            let own = silence();
            assert_eq!(own.phase(at(seconds)), phase);
            assert_eq!(own.mutes(&facts, at(seconds)), phase == SilencePhase::Active);
        }
        let other = AlertFacts { appliance: Some("web1"), ..facts };
        assert!(!silence().mutes(&other, at(150)));
    }

    #[test]
    fn it_can_be_ended_before_its_time_and_counts() {
        let ended = silence().with_muted().with_muted().ended(at(150));
        assert_eq!((ended.muted, ended.ends_at, ended.is_active(at(150))), (2, at(150), false));
        assert_eq!(ended.clone().ended(at(170)), ended);
        assert_eq!(silence().ended(at(50)).phase(at(50)), SilencePhase::Ended, "before it began");
    }

    #[test]
    fn what_is_no_silence_is_refused() {
        assert_eq!(silence().check(at(60)), Ok(()));
        type Change = fn(&mut Silence);
        let cases: [(Change, SilenceProblem); 8] = [
            (|it| it.matchers = Matchers::default(), SilenceProblem::NoMatchers),
            (
                |it| it.matchers = Matchers::parse("class=a class=b").expect("valid"),
                SilenceProblem::Contradiction("class"),
            ),
            (|it| it.ends_at = it.starts_at, SilenceProblem::NoLength),
            (|it| (it.starts_at, it.ends_at) = (at(1), at(60)), SilenceProblem::Over),
            (|it| it.ends_at = at(101 + 366 * 86_400), SilenceProblem::TooLong),
            (|it| it.reason = " ".into(), SilenceProblem::NoReason),
            (|it| it.reason = "a".repeat(501).into(), SilenceProblem::ReasonTooLong),
            (|it| it.owner = "a".repeat(129).into(), SilenceProblem::OwnerTooLong),
        ];
        for (change, problem) in cases {
            let mut changed = silence();
            change(&mut changed);
            assert_eq!(changed.check(at(60)), Err(problem));
        }
    }
}
