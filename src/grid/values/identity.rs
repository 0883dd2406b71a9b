//! Defines identities: roles, names of administrators, ids of tokens, hashes of keys and secrets.
//!
//! Guarantees that a value of these types has its alphabet and length. Does not know secrets: it
//! knows their hashes only.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::grid::values::id::ApplianceName;

/// Longest name of an administrator, in bytes.
pub const ADMINISTRATOR_BYTES_MAX: usize = 64;

/// Length of the id of a token, in bytes.
pub const TOKEN_ID_BYTES: usize = 8;

/// What an administrator may do; each role includes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Controls appliances, alerts and mails.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All roles, from the least powerful on.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The name in command lines and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Why a text is not a name of an administrator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "1 to {ADMINISTRATOR_BYTES_MAX} bytes of letters, digits, `.`, `_`, `-`, `@` are allowed, the \
     first a letter or digit"
)]
pub struct InvalidAdministratorName;

/// An administrator's name, such as `ann@example.org`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdministratorName(Arc<str>);

impl AdministratorName {
    /// Validates alphabet and length.
    ///
    /// # Errors
    ///
    /// [`InvalidAdministratorName`] describes what is allowed.
    pub fn new(text: &str) -> Result<Self, InvalidAdministratorName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
        let is_valid = (1..=ADMINISTRATOR_BYTES_MAX).contains(&text.len())
            && text.bytes().all(is_allowed)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric());
        is_valid.then(|| Self(text.into())).ok_or(InvalidAdministratorName)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AdministratorName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for AdministratorName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

/// The owner of a credential.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An appliance.
    Appliance(ApplianceName),
    /// An administrator.
    Administrator(AdministratorName),
}

impl Subject {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Appliance(name) => name.as_str(),
            Self::Administrator(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appliance(name) => write!(out, "appliance {name}"),
            Self::Administrator(name) => write!(out, "administrator {name}"),
        }
    }
}

/// The public id of a token: 8 ASCII letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; TOKEN_ID_BYTES]);

impl TokenId {
    /// The first one, in their order; no token has it.
    pub const FIRST: Self = Self([0; TOKEN_ID_BYTES]);

    /// Validates alphabet and length; `None`: not an id.
    pub fn new(text: &str) -> Option<Self> {
        let bytes: [u8; TOKEN_ID_BYTES] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Writes bytes as hexadecimal digits.
fn write_hex(out: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

/// The SHA-256 of the secret of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Whether it is the same, in a time that does not depend on where they differ.
    pub fn matches(&self, other: Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// The SHA-256 of a public key (SubjectPublicKeyInfo, DER).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Reads 64 hexadecimal digits, as they are displayed. `None`: another text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(out, &self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(out, &self.0[..4])
    }
}

/// The serial number of a certificate of the broker's own CA: random, the highest bit is 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub [u8; 16]);

impl fmt::Display for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(out, &self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(out, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_administrators_and_ids_of_tokens_have_their_alphabets() {
        for valid in ["ann", "ann@example.org", "7-of.9", &"a".repeat(64)] {
            assert!(AdministratorName::new(valid).is_ok(), "{valid}");
        }
        for invalid in ["", "-", "-x", "@x", "a b", "ä", "a/b", "a:b", "a\n", &"a".repeat(65)] {
            assert!(AdministratorName::new(invalid).is_err(), "{invalid:?}");
        }
        assert_eq!(TokenId::new("aZ09bcde").expect("an id").to_string(), "aZ09bcde");
        for invalid in ["", "aZ09bcd", "aZ09bcdef", "aZ09bcd_", "aZ09bcdä"] {
            assert_eq!(TokenId::new(invalid), None, "{invalid:?}");
        }
    }

    #[test]
    fn a_hash_of_a_key_reads_back_from_its_digits() {
        let hash = KeyHash(std::array::from_fn(|at| u8::try_from(at * 8).unwrap_or_default()));
        assert_eq!(KeyHash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(KeyHash::from_hex(&hash.to_string().to_uppercase()), Some(hash));
        for invalid in ["", "00", &"g".repeat(64), &"+1".repeat(32), &"ä".repeat(32)] {
            assert_eq!(KeyHash::from_hex(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_hash_of_a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", SecretHash([7; 32])), "***");
    }
}
