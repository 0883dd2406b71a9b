//! Groups alerts that report the same problem, and counts repeats within a group.
//!
//! Guarantees that texts which differ only in variable parts have one key per severity, that a key
//! from the appliance is used as it is, and that the size of a key is bounded for any text.
//! Compares hashes of 128 bits, not texts. Does not know settings.

mod normal_form;

use std::time::Duration;

use uuid::Uuid;

use crate::grid::values::event::{Counter, Severity};
use crate::grid::values::id::{AlertId, RecordNumber};
use crate::grid::values::time::Timestamp;

/// The most groups remembered per appliance.
pub const ALERT_GROUPS_MAX: usize = 64;

/// After this time without it, the same text is a record again.
pub const REPEAT_WINDOW: Duration = Duration::from_secs(5 * 60);

/// How often a continuing run of repeats is recorded.
pub const RUN_SUMMARY_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

/// The most bytes of a key that is shown, and of one that an appliance gives.
pub const LABEL_BYTES_MAX: usize = 120;

/// The UUID namespace of our hashes: random, without meaning.
const HASH_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_3a52_7c0e_4b7e_9d57_20c8_15a3_e0b4);

/// A group of an appliance's alerts, with its last alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertGroup {
    /// The hash of the group key.
    pub id: Uuid,
    /// The group key as shown, truncated to 120 bytes.
    pub label: Box<str>,
    /// When the rate limit of the group is refilled.
    pub refilled_at: Timestamp,
    /// The hash of the last text and severity.
    pub content_hash: Uuid,
    /// The record of that text.
    pub record: RecordNumber,
    /// When its run began, or was last recorded.
    pub run_began_at: Timestamp,
    /// When it was last received.
    pub last_seen_at: Timestamp,
    /// How many repeats are not recorded yet.
    pub repeats: u64,
    /// When the first of these was received.
    pub first_repeat_at: Timestamp,
    /// The alert that its events opened; `None`: none did.
    pub alert: Option<AlertId>,
}

impl AlertGroup {
    /// Creates the group of a new alert, with a full rate limit.
    pub fn new(
        id: Uuid,
        label: Box<str>,
        content_hash: Uuid,
        record: RecordNumber,
        now: Timestamp,
    ) -> Self {
        let (full_at, began_at, said_at, first_repeat_at) = (Timestamp::EPOCH, now, now, now);
        Self {
            id,
            label,
            refilled_at: full_at,
            content_hash,
            record,
            run_began_at: began_at,
            last_seen_at: said_at,
            repeats: 0,
            first_repeat_at,
            alert: None,
        }
    }

    /// Whether an alert with that hash at `now` is a repeat.
    pub fn is_repeat(&self, content_hash: Uuid, now: Timestamp) -> bool {
        self.content_hash == content_hash && now < self.last_seen_at.after(REPEAT_WINDOW)
    }

    /// Counts one repeat.
    #[must_use]
    pub fn with_repeat(mut self, now: Timestamp) -> Self {
        if self.repeats == 0 {
            self.first_repeat_at = now;
        }
        self.repeats += 1;
        self.last_seen_at = now;
        self
    }

    /// When the run must be recorded.
    pub fn run_deadline(&self) -> Option<Timestamp> {
        let quiet = self.last_seen_at.after(REPEAT_WINDOW);
        (self.repeats > 0).then(|| quiet.min(self.run_began_at.after(RUN_SUMMARY_INTERVAL)))
    }

    /// Resets the run after it was recorded.
    #[must_use]
    pub fn mark_summarised(mut self) -> Self {
        self.repeats = 0;
        self.run_began_at = self.last_seen_at;
        self
    }

    /// Whether it can be removed at `now` without loss.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.repeats == 0
            && self.refilled_at <= now
            && self.last_seen_at.after(REPEAT_WINDOW) <= now
    }
}

/// Whether an appliance may give its alerts that key.
pub fn is_valid_group_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    (1..=LABEL_BYTES_MAX).contains(&key.len()) && key.bytes().all(allowed)
}

/// The group key of an alert of that severity: its hash, and the key as shown. The key that the
/// appliance gives comes first, then its counter, then its text.
pub fn group_key(
    given: Option<&str>,
    counter: Option<&Counter>,
    severity: Severity,
    text: &str,
) -> (Uuid, Box<str>) {
    let (space, key) = match (given, counter) {
        (Some(given), _) => ("key", given.to_owned()),
        (None, Some(counter)) => ("counter", format!("counter {}", counter.name())),
        (None, None) => ("text", normal_form::normal_form(text)),
    };
    let end = key.floor_char_boundary(LABEL_BYTES_MAX);
    (hash(&format!("{space} {severity:?} {key}")), key[..end].into())
}

/// The hash of an alert's severity and text.
pub fn hash_content(severity: Severity, text: &str) -> Uuid {
    hash(&format!("{severity:?} {text}"))
}

fn hash(text: &str) -> Uuid {
    Uuid::new_v5(&HASH_NAMESPACE, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::normal_form::normal_form;
    use super::*;

    fn key_of_text(text: &str) -> Uuid {
        group_key(None, None, Severity::Error, text).0
    }

    #[test]
    fn variable_parts_do_not_make_another_key() {
        for (text, shown) in [
            ("disk is 97.5 % full", "disk is # full"),
            ("disk 3 is 97.5 % full", "disk 3 is # full"),
            ("cannot open \"/var/lib/a b\": error 13", "cannot open \"/var/lib/a b\": error 13"),
            ("took 1h 3min, then -5 s,  at 2026-11-28 15:59:12.5+01:00", "took #, then #, at #"),
            ("3, 4, 17 of ac:de:48:00:11:22 at fe80::1", "# of # at #"),
            ("17", "17"),
            ("page 0x7ffee1 of db1 has checksum 9f86d081", "page # of db1 has checksum #"),
            ("deadbeef is a word, decade too", "deadbeef is a word, decade too"),
            ("an open \" quote 517", "an open \" quote #"),
            ("printer 12 has 12 errors", "printer 12 has # error"),
            ("late by 5\u{a0}s or 5\u{202f}ms", "late by # or #"),
            ("größe ٣ für müller", "größe # für müller"),
            ("10.0.0.5:5432 is not 10.0.0.5:50221", "#:5432 is not #:#"),
            ("job 17 on eth0.100: 1 error, 1 234 errors", "job # on eth0.100: # error, # error"),
            ("0000:03:00.0 and [2:0:0:0]", "0000:03:00.0 and [2:0:0:0]"),
            ("", ""),
        ] {
            assert_eq!(normal_form(text), shown);
        }
    }

    #[test]
    fn a_counters_name_is_its_key() {
        let counter = Counter::new("n_restarts", 3.0);
        let of = |text| group_key(None, counter.as_ref(), Severity::Error, text);
        assert_eq!((of("restarted 3 times").0, &*of("x").1), (of("again").0, "counter n_restarts"));
        assert_ne!(of("x").0, key_of_text("counter n_restarts 3"));
    }

    #[test]
    fn a_given_key_is_used_and_no_text_equals_it() {
        let of = |given, text| group_key(Some(given), None, Severity::Error, text);
        assert_eq!((of("md1", "a").0, &*of("md1", "a").1), (of("md1", "b").0, "md1"));
        assert_ne!(of("md1", "a").0, of("md2", "a").0);
        assert_ne!(of("degraded", "x").0, key_of_text("degraded"));
    }

    #[test]
    fn a_more_severe_alert_is_new() {
        assert_ne!(hash_content(Severity::Error, "disk"), hash_content(Severity::Fatal, "disk"));
        assert_ne!(key_of_text("disk"), group_key(None, None, Severity::Fatal, "disk").0);
    }

    proptest! {
        #[test]
        fn any_text_has_a_key_of_bounded_size(text in "\\PC{0,300}") {
            let (id, label) = group_key(None, None, Severity::Error, &text);
            prop_assert!(label.len() <= LABEL_BYTES_MAX);
            prop_assert_eq!(id, key_of_text(&text));
        }

        #[test]
        fn numbers_alone_never_matter(a in 0u64..=u64::MAX, b in 0u64..=u64::MAX) {
            let text = |n: u64| format!("job {n} failed");
            prop_assert_eq!(key_of_text(&text(a)), key_of_text(&text(b)));
        }
    }
}
