//! What are things called? Names and numbers that cannot hold nonsense.
//!
//! Guarantees that a value of these types is within its alphabet and length. Knows nothing of who
//! bears the name.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use uuid::Uuid;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Why a word is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "1 to {NAME_BYTES_MAX} bytes of letters, digits, `.`, `_`, `-`, `:` are allowed, \
     the first a letter or digit"
)]
pub struct InvalidName;

/// An appliance's name, such as `shop:main.db1`. Cheap to clone.
///
/// 1 to 128 bytes of ASCII letters, digits and `.`, `_`, `-`, `:`, the first a letter or digit: `-`
/// stands for the broker in every list, and what begins with a dash looks like an option.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplianceName(Arc<str>);

impl ApplianceName {
    /// Checks alphabet and length.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] says what is allowed.
    pub fn new(word: &str) -> Result<Self, InvalidName> {
        is_valid_name(word).then(|| Self(word.into())).ok_or(InvalidName)
    }

    /// The name of an appliance that may be there already: an older broker took `-` and `.x`, too. Such
    /// an appliance is read from the journal, shown and removed, and speaks no more.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] for what was never a name.
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

/// Whether `word` is a name of appliances or classes.
pub fn is_valid_name(word: &str) -> bool {
    has_name_characters(word) && word.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Whether `word` has the alphabet and length of names: that is all that a counter's needs.
pub fn has_name_characters(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&word.len()) && word.bytes().all(allowed)
}

/// An appliance's row: given at first sight, from 1 upwards, never to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplianceIndex(pub u32);

/// One start of an appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub Uuid);

impl fmt::Display for BootId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Whose numbers an appliance's events bear: drawn at random with the file that holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId(pub NonZeroU64);

/// An event's number within boot and spool, from 1 upwards.
pub type Sequence = NonZeroU64;

/// A record's number in the grid log: dense, from 1 upwards.
pub type RecordNumber = u64;

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
