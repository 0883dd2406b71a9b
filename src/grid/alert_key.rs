//! Is this alert the same again? The key of an alert, and the run of repeats under it.
//!
//! Guarantees that texts which differ only in numbers, hex and quoted parts have one key, and that a
//! key's size is bounded whatever the text. Compares fingerprints of 128 bits, not texts. Knows no
//! settings.

use std::time::Duration;

use uuid::Uuid;

use super::event::{Counter, Severity};
use super::name::RecordNumber;
use super::time::Timestamp;

/// Most keys remembered of one appliance.
pub const KEYS_MAX: usize = 64;

/// After so long without it, the same text is news again.
pub const RUN_QUIET: Duration = Duration::from_secs(5 * 60);

/// A run that goes on is told of this often.
pub const RUN_TOLD_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Most bytes of a key that are shown.
const LABEL_BYTES_MAX: usize = 120;

/// Fewest characters of a word of hex digits without `0x`, such as a checksum.
const HEX_WORD_MIN: usize = 4;

/// Names the space of our fingerprints: drawn once, meaning nothing.
const FINGERPRINTS: Uuid = Uuid::from_u128(0x6f1d_3a52_7c0e_4b7e_9d57_20c8_15a3_e0b4);

/// One key of an appliance's alerts, and what was last said under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertKey {
    /// The key's fingerprint.
    pub id: Uuid,
    /// The key as shown, cut to 120 bytes.
    pub label: Box<str>,
    /// When the key's budget is full again.
    pub full_at: Timestamp,
    /// The fingerprint of the text and severity last said.
    pub said: Uuid,
    /// The record of that text.
    pub record: RecordNumber,
    /// When its run began, or was last told of.
    pub began_at: Timestamp,
    /// When it was last said.
    pub said_at: Timestamp,
    /// How often it was said again and not told of.
    pub repeats: u64,
    /// When the first of these was said.
    pub first_repeat_at: Timestamp,
}

impl AlertKey {
    /// Whether saying `said` at `now` is a repeat.
    pub fn is_repeated_by(&self, said: Uuid, now: Timestamp) -> bool {
        self.said == said && now < self.said_at.after(RUN_QUIET)
    }

    /// The same once more.
    #[must_use]
    pub fn repeated(mut self, now: Timestamp) -> Self {
        if self.repeats == 0 {
            self.first_repeat_at = now;
        }
        self.repeats += 1;
        self.said_at = now;
        self
    }

    /// When the run is to be told of; `None`: there is nothing to tell.
    pub fn due(&self) -> Option<Timestamp> {
        let quiet = self.said_at.after(RUN_QUIET);
        (self.repeats > 0).then(|| quiet.min(self.began_at.after(RUN_TOLD_EVERY)))
    }

    /// The run was told of.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.repeats = 0;
        self.began_at = self.said_at;
        self
    }

    /// Whether nothing is lost by forgetting it at `now`.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.repeats == 0 && self.full_at <= now && self.said_at.after(RUN_QUIET) <= now
    }
}

/// The key of an alert with that text and counter: its fingerprint, and the key as shown.
pub fn key(counter: Option<&Counter>, text: &str) -> (Uuid, Box<str>) {
    let key = match counter {
        Some(counter) => format!("counter {}", counter.name()),
        None => without_particulars(text),
    };
    let end = key.floor_char_boundary(LABEL_BYTES_MAX);
    (fingerprint(&key), key[..end].into())
}

/// The fingerprint of what is said under a key.
pub fn said(severity: Severity, text: &str) -> Uuid {
    fingerprint(&format!("{severity:?} {text}"))
}

fn fingerprint(text: &str) -> Uuid {
    Uuid::new_v5(&FINGERPRINTS, text.as_bytes())
}

/// The text with numbers, hex and quoted parts as `#`.
fn without_particulars(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    let mut rest = text;
    let mut is_in_word = false;
    while let Some(first) = rest.chars().next() {
        let (taken, shown) = if first.is_alphanumeric() {
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            (end, word(&rest[..end]))
        } else if let Some(end) = quoted(rest, first).filter(|_| !is_in_word) {
            (end, "#".to_owned())
        } else {
            (first.len_utf8(), first.to_string())
        };
        is_in_word = first.is_alphanumeric();
        key.push_str(&shown);
        rest = &rest[taken..];
    }
    key
}

/// The end of the quoted part with which `text` begins.
fn quoted(text: &str, first: char) -> Option<usize> {
    if !matches!(first, '"' | '\'' | '`') {
        return None;
    }
    text[1..].find(first).map(|end| end + 2)
}

fn word(word: &str) -> String {
    let prefixed = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X"));
    let digits = prefixed.unwrap_or(word);
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_number = digits.bytes().any(|byte| byte.is_ascii_digit()) && word.len() >= HEX_WORD_MIN;
    if is_hex && (prefixed.is_some() || is_number) {
        return "#".to_owned();
    }
    let mut shown = String::with_capacity(word.len());
    for character in word.chars() {
        match character.is_numeric() {
            true if shown.ends_with('#') => {}
            true => shown.push('#'),
            false => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn particulars_do_not_make_another_key() {
        for (text, shown) in [
            ("disk 3 is 97.5 % full", "disk # is #.# % full"),
            ("cannot open \"/var/lib/a b\": error 13", "cannot open #: error #"),
            ("can't reach 'db 1' or `db 2`", "can't reach # or #"),
            ("page 0x7ffee1 of db1 has checksum 9f86d081", "page # of db# has checksum #"),
            ("deadbeef is a word, decade too", "deadbeef is a word, decade too"),
            ("an open \" quote 5", "an open \" quote #"),
            ("größe ٣ für müller", "größe # für müller"),
            ("", ""),
        ] {
            assert_eq!(without_particulars(text), shown);
        }
    }

    #[test]
    fn a_counters_name_is_its_key() {
        let counter = Counter::new("n_restarts", 3.0);
        let (one, label) = key(counter.as_ref(), "restarted 3 times");
        assert_eq!((one, &*label), (key(counter.as_ref(), "again").0, "counter n_restarts"));
        assert_ne!(one, key(None, "counter n_restarts 3").0);
    }

    #[test]
    fn a_graver_alert_is_news() {
        assert_ne!(said(Severity::Error, "disk"), said(Severity::Fatal, "disk"));
    }

    proptest! {
        #[test]
        fn any_text_has_a_key_of_bounded_size(text in "\\PC{0,300}") {
            let (id, label) = key(None, &text);
            prop_assert!(label.len() <= LABEL_BYTES_MAX);
            prop_assert_eq!(id, key(None, &text).0);
        }

        #[test]
        fn numbers_alone_never_matter(a in 0u64..=u64::MAX, b in 0u64..=u64::MAX) {
            let text = |n: u64| format!("slot {n} failed");
            prop_assert_eq!(key(None, &text(a)).0, key(None, &text(b)).0);
        }
    }
}
