//! Is this alert the same again? The key of an alert, the run of repeats under it, and when that is mailed.
//!
//! Guarantees that texts which differ only in particulars have one key a severity, that a key which
//! the appliance gives itself is taken as it is, and that a key's size is bounded whatever the text.
//! Compares fingerprints of 128 bits, not texts. Knows no settings.

mod normal_form;

use std::time::Duration;

use uuid::Uuid;

use crate::grid::model::notification_schedule::NotificationSchedule;
use crate::grid::values::event::{Counter, Severity};
use crate::grid::values::id::RecordNumber;
use crate::grid::values::time::Timestamp;

/// Most keys remembered of one appliance.
pub const ALERT_GROUPS_MAX: usize = 64;

/// After so long without it, the same text is a record again.
pub const REPEAT_WINDOW: Duration = Duration::from_secs(5 * 60);

/// A run that goes on is told of this often.
pub const RUN_SUMMARY_INTERVAL: Duration = Duration::from_secs(24 * 3_600);

/// Most bytes of a key that are shown, and of one that an appliance gives.
pub const LABEL_BYTES_MAX: usize = 120;

/// Names the space of our fingerprints: drawn once, meaning nothing.
const HASH_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_3a52_7c0e_4b7e_9d57_20c8_15a3_e0b4);

/// One key of an appliance's alerts, and what was last said under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertGroup {
    /// The key's fingerprint.
    pub id: Uuid,
    /// The key as shown, cut to 120 bytes.
    pub label: Box<str>,
    /// When the key's budget is full again.
    pub refilled_at: Timestamp,
    /// The fingerprint of the text and severity last said.
    pub content_hash: Uuid,
    /// The record of that text.
    pub record: RecordNumber,
    /// When its run began, or was last told of.
    pub run_began_at: Timestamp,
    /// When it was last said.
    pub last_seen_at: Timestamp,
    /// How often it was said again and not told of.
    pub repeats: u64,
    /// When the first of these was said.
    pub first_repeat_at: Timestamp,
    /// What was mailed of it; `None`: nothing yet.
    pub notified: Option<NotificationSchedule>,
}

impl AlertGroup {
    /// One that is said for the first time, and spent nothing.
    pub fn new(
        id: Uuid,
        label: Box<str>,
        said: Uuid,
        record: RecordNumber,
        now: Timestamp,
    ) -> Self {
        let (full_at, began_at, said_at, first_repeat_at) = (Timestamp::EPOCH, now, now, now);
        let (repeats, mailed) = (0, None);
        Self {
            id,
            label,
            refilled_at: full_at,
            content_hash: said,
            record,
            run_began_at: began_at,
            last_seen_at: said_at,
            repeats,
            first_repeat_at,
            notified: mailed,
        }
    }

    /// Whether saying `said` at `now` is a repeat.
    pub fn is_repeat(&self, said: Uuid, now: Timestamp) -> bool {
        self.content_hash == said && now < self.last_seen_at.after(REPEAT_WINDOW)
    }

    /// The same once more.
    #[must_use]
    pub fn with_repeat(mut self, now: Timestamp) -> Self {
        if self.repeats == 0 {
            self.first_repeat_at = now;
        }
        self.repeats += 1;
        let again = |mailed: NotificationSchedule| {
            let text = mailed.last_text.clone();
            mailed.with_occurrence(self.content_hash, &text, now)
        };
        self.notified = self.notified.map(again);
        self.last_seen_at = now;
        self
    }

    /// When something is to be told: the run to the log, or that it goes on by mail. `None`: there is
    /// nothing to tell.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let mailed = self.notified.as_ref().and_then(NotificationSchedule::due_at);
        self.run_deadline().into_iter().chain(mailed).min()
    }

    /// When the run is to be told of.
    pub fn run_deadline(&self) -> Option<Timestamp> {
        let quiet = self.last_seen_at.after(REPEAT_WINDOW);
        (self.repeats > 0).then(|| quiet.min(self.run_began_at.after(RUN_SUMMARY_INTERVAL)))
    }

    /// The run was told of.
    #[must_use]
    pub fn mark_summarised(mut self) -> Self {
        self.repeats = 0;
        self.run_began_at = self.last_seen_at;
        self
    }

    /// Whether nothing is lost by forgetting it at `now`.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        let is_over = self.notified.as_ref().is_none_or(|mailed| mailed.is_idle(now));
        self.repeats == 0
            && self.refilled_at <= now
            && self.last_seen_at.after(REPEAT_WINDOW) <= now
            && is_over
    }
}

/// Whether an appliance may give its alerts that key.
pub fn is_valid_group_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    (1..=LABEL_BYTES_MAX).contains(&key.len()) && key.bytes().all(allowed)
}

/// The key of an alert of that severity: its fingerprint, and the key as shown. By the key that the
/// appliance gives, else by its counter, else by its text.
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

/// The key under which failed starts are mailed.
pub fn failed_starts_key() -> (Uuid, Box<str>) {
    (hash("failed starts"), "start_failed".into())
}

/// The fingerprint of what is said under a key.
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
            ("disk 3 is 97.5 % full", "disk # is # full"),
            ("cannot open \"/var/lib/a b\": error 13", "cannot open \"/var/lib/a b\": error #"),
            ("can't reach 'db 1' or `db 2`", "can't reach 'db #' or `db #`"),
            ("took 1h 3min, then -5 s,  at 2026-11-28 15:59:12.5+01:00", "took #, then #, at #"),
            ("3, 4, 17 of ac:de:48:00:11:22 at fe80::1", "# of # at #"),
            ("17", "17"),
            ("page 0x7ffee1 of db1 has checksum 9f86d081", "page # of db# has checksum #"),
            ("deadbeef is a word, decade too", "deadbeef is a word, decade too"),
            ("an open \" quote 5", "an open \" quote #"),
            ("größe ٣ für müller", "größe # für müller"),
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
            let text = |n: u64| format!("slot {n} failed");
            prop_assert_eq!(key_of_text(&text(a)), key_of_text(&text(b)));
        }
    }
}
