//! Defines identifiers and names that are always valid.
//!
//! Guarantees that a value of these types has its alphabet and length. Does not know what has the
//! name.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use uuid::Uuid;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a text is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "1 to {NAME_BYTES_MAX} bytes of letters, digits, `.`, `_`, `-`, `:` are allowed, \
     the first a letter or digit"
)]
pub struct InvalidName;

/// An appliance's name, such as `shop:main.db1`. Cheap to clone.
///
/// 1 to 128 bytes of ASCII letters, digits and `.`, `_`, `-`, `:`, the first a letter or digit: in
/// every list `-` stands for the broker, and a leading dash looks like an option.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplianceName(Arc<str>);

impl ApplianceName {
    /// Validates alphabet and length.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] describes what is allowed.
    pub fn new(word: &str) -> Result<Self, InvalidName> {
        is_valid_name(word).then(|| Self(word.into())).ok_or(InvalidName)
    }

    /// A name from the journal: an older broker accepted `-` and `.x`, too. Such an appliance can
    /// be read, shown and removed, but sends no events.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] for a name that was never valid.
    pub fn from_stored(word: &str) -> Result<Self, InvalidName> {
        has_name_characters(word).then(|| Self(word.into())).ok_or(InvalidName)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApplianceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for ApplianceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

/// Whether `word` is a valid name of an appliance or class.
pub fn is_valid_name(word: &str) -> bool {
    has_name_characters(word) && word.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Whether `word` has the characters and length of a name, which is enough for a counter.
pub fn has_name_characters(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&word.len()) && word.bytes().all(allowed)
}

/// An appliance's number: given at registration, from 1 upwards, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplianceIndex(pub u32);

/// One boot of an appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub Uuid);

impl fmt::Display for BootId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The spool whose counter numbers an appliance's events: random, created with the file that holds
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId(pub NonZeroU64);

/// The number of an event within its boot and spool, from 1 upwards.
pub type Sequence = NonZeroU64;

/// The number of a record in the grid log: without gaps, from 1 upwards.
pub type RecordNumber = u64;

/// Identifies a session within one run of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// The number of an alert, from 1 upwards; never reused in a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId(pub u64);

impl AlertId {
    /// The id of that number, as it is stored and sent; `None` for 0.
    pub fn from_number(number: u64) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The number of a silence, from 1 upwards; never reused in a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SilenceId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_128_bytes_of_its_alphabet() {
        assert!(ApplianceName::new("shop:main.db1").is_ok());
        assert!(ApplianceName::new(&"a".repeat(128)).is_ok());
        for wrong in ["", "a b", "ä", "a/b", "a\n", "a\u{0}", &"a".repeat(129)] {
            assert_eq!(ApplianceName::new(wrong), Err(InvalidName), "{wrong:?}");
            assert_eq!(ApplianceName::from_stored(wrong), Err(InvalidName), "{wrong:?}");
        }
    }

    #[test]
    fn a_name_begins_with_a_letter_or_digit_and_an_old_one_can_still_be_read() {
        for odd in ["-", ".", "..", "_", "::::", "--help", "-x", ".hidden", "_x", ":main.db1"] {
            assert_eq!(ApplianceName::new(odd), Err(InvalidName), "{odd:?}");
            assert_eq!(ApplianceName::from_stored(odd).unwrap().as_str(), odd);
        }
        for name in ["0", "a", "A-", "db1.", "7::"] {
            assert_eq!(ApplianceName::new(name), ApplianceName::from_stored(name));
        }
    }
}
