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
#[error("1 to {NAME_BYTES_MAX} bytes of letters, digits, `.`, `_`, `-`, `:` are allowed")]
pub struct NotAName;

/// An appliance's name, such as `shop:main.db1`: 1 to 128 bytes of ASCII letters, digits and
/// `.`, `_`, `-`, `:`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplianceName(Arc<str>);

impl ApplianceName {
    /// Checks alphabet and length.
    ///
    /// # Errors
    ///
    /// [`NotAName`] says what is allowed.
    pub fn new(word: &str) -> Result<Self, NotAName> {
        is_name(word).then(|| Self(word.into())).ok_or(NotAName)
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

/// Whether `word` is a name of appliances, classes or counters.
pub fn is_name(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&word.len()) && word.bytes().all(allowed)
}

/// An appliance's row: given at first sight, from 1 upwards, never to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplianceNumber(pub u32);

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
            assert_eq!(ApplianceName::new(wrong), Err(NotAName), "{wrong:?}");
        }
    }
}
