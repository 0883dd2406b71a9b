//! Makes and parses the text of tokens.
//!
//! ```text
//! gba_ID_SECRETCHECKSUM        administrator
//! gbd_ID_SECRETCHECKSUM        appliance ("device")
//! gbe_ID_SECRET_PINCHECKSUM    enrolment, with the pin of the broker's authority
//! ```
//!
//! ID: 8 base62 characters, public. SECRET: 256 random bits as 43 base62 characters. PIN: the SHA-256 of
//! the public key of the broker's authority, as 43 base62 characters. CHECKSUM: the CRC-32C of
//! everything before it, as 6 base62 characters; it finds typos before any look-up, and is no
//! protection. Base62 digits are 0-9, A-Z, a-z, most significant first.
//!
//! Guarantees that a token is never displayed unless asked for by [`NewToken::text`]. Stores nothing.

use std::fmt;

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

use crate::grid::values::identity::{KeyHash, SecretHash, TOKEN_ID_BYTES, TokenId};

/// Length of 256 bits in base62.
const SECRET_DIGITS: usize = 43;

/// Length of the checksum in base62.
const CHECKSUM_DIGITS: usize = 6;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The longest text that is parsed, in bytes: the longest token is 105 bytes long.
pub const TOKEN_BYTES_MAX: usize = 128;

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// It authenticates an administrator.
    Administrator,
    /// It authenticates an appliance.
    Appliance,
    /// It enrols a key.
    Enrolment,
}

impl TokenKind {
    const ALL: [Self; 3] = [Self::Administrator, Self::Appliance, Self::Enrolment];

    /// The first characters of its tokens.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Administrator => "gba_",
            Self::Appliance => "gbd_",
            Self::Enrolment => "gbe_",
        }
    }
}

/// Why a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Another text.
    #[error("is not a token: tokens of a broker begin with gba_, gbd_ or gbe_")]
    Prefix,
    /// Too short or too long.
    #[error("is incomplete, or has more characters than a token")]
    Length,
    /// A character of another alphabet.
    #[error("has a character that no token has")]
    Alphabet,
    /// Mistyped.
    #[error("is mistyped: its checksum does not match")]
    Checksum,
}

/// The random generator of the system failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the random generator of the system failed")]
pub struct NoRandom;

/// A parsed token, without its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedToken {
    /// Its kind.
    pub kind: TokenKind,
    /// Its id.
    pub id: TokenId,
    /// The hash of its secret.
    pub secret: SecretHash,
    /// Enrolment: the pin of the broker's authority.
    pub pin: Option<KeyHash>,
}

/// A new token, with its text.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What is stored of it.
    pub parsed: ParsedToken,
    text: String,
}

impl NewToken {
    /// Makes a token; `pin` for enrolment.
    ///
    /// # Errors
    ///
    /// When the random generator of the system fails.
    pub fn generate(kind: TokenKind, pin: Option<KeyHash>) -> Result<Self, NoRandom> {
        let mut id = [0; TOKEN_ID_BYTES];
        for digit in &mut id {
            *digit = random_digit()?;
        }
        // Digits only, so this is an id.
        let id = TokenId::new(std::str::from_utf8(&id).unwrap_or_default()).ok_or(NoRandom)?;
        Self::with_id(kind, id, pin)
    }

    /// The same with a given id, for a rotation.
    ///
    /// # Errors
    ///
    /// When the random generator of the system fails.
    pub fn with_id(kind: TokenKind, id: TokenId, pin: Option<KeyHash>) -> Result<Self, NoRandom> {
        let mut secret = [0; 32];
        SystemRandom::new().fill(&mut secret).map_err(|_| NoRandom)?;
        let mut text = format!("{}{id}_{}", kind.prefix(), base62(&secret));
        if let Some(pin) = pin.filter(|_| kind == TokenKind::Enrolment) {
            text.push('_');
            text.push_str(&base62(&pin.0));
        }
        text.push_str(&checksum(&text));
        // What was made can be read.
        let parsed = parse(&text).map_err(|_| NoRandom)?;
        Ok(Self { parsed, text })
    }

    /// The text: the only place where the secret is displayed.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "NewToken({})", self.parsed.id)
    }
}

/// Parses a token.
///
/// # Errors
///
/// What is wrong with the text; never any part of it.
pub fn parse(text: &str) -> Result<ParsedToken, InvalidToken> {
    let kind = TokenKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()));
    let kind = kind.ok_or(InvalidToken::Prefix)?;
    let is_digit = |byte: u8| byte == b'_' || DIGITS.contains(&byte);
    if !text.bytes().all(is_digit) {
        return Err(InvalidToken::Alphabet);
    }
    let pin_length = if kind == TokenKind::Enrolment { 1 + SECRET_DIGITS } else { 0 };
    let prefix = kind.prefix().len();
    let length = prefix + TOKEN_ID_BYTES + 1 + SECRET_DIGITS + pin_length + CHECKSUM_DIGITS;
    if text.len() != length {
        return Err(InvalidToken::Length);
    }
    let (body, sum) = text.split_at(text.len() - CHECKSUM_DIGITS);
    if checksum(body) != sum {
        return Err(InvalidToken::Checksum);
    }
    let mut parts = body[prefix..].split('_');
    let id = parts.next().and_then(TokenId::new).ok_or(InvalidToken::Length)?;
    let secret = parts.next().filter(|it| it.len() == SECRET_DIGITS);
    let secret = secret.ok_or(InvalidToken::Length)?;
    let pin = match parts.next() {
        None => None,
        Some(pin) => Some(KeyHash(from_base62(pin).ok_or(InvalidToken::Length)?)),
    };
    if parts.next().is_some() {
        return Err(InvalidToken::Length);
    }
    Ok(ParsedToken { kind, id, secret: hash(secret), pin })
}

/// The hash of a secret, as it is stored.
fn hash(secret: &str) -> SecretHash {
    SecretHash(sha256(secret.as_bytes()))
}

/// The SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// A random digit, all equally probable.
fn random_digit() -> Result<u8, NoRandom> {
    let random = SystemRandom::new();
    loop {
        let mut byte = [0];
        random.fill(&mut byte).map_err(|_| NoRandom)?;
        // 248 is the largest multiple of 62 in a byte.
        if byte[0] < 248 {
            return Ok(DIGITS[usize::from(byte[0] % 62)]);
        }
    }
}

/// 256 bits, big endian, as 43 digits.
fn base62(bytes: &[u8; 32]) -> String {
    let mut number = *bytes;
    let mut digits = [0; SECRET_DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// The inverse; `None`: too large, or not 43 digits.
fn from_base62(text: &str) -> Option<[u8; 32]> {
    if text.len() != SECRET_DIGITS {
        return None;
    }
    let mut number = [0_u8; 32];
    for digit in text.bytes() {
        let mut carry = u32::try_from(DIGITS.iter().position(|it| *it == digit)?).ok()?;
        for byte in number.iter_mut().rev() {
            let value = u32::from(*byte) * 62 + carry;
            *byte = u8::try_from(value & 0xff).ok()?;
            carry = value >> 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(number)
}

fn checksum(text: &str) -> String {
    let mut sum = crc32c::crc32c(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(sum % 62) as usize];
        sum /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: KeyHash = KeyHash([0xa5; 32]);

    #[test]
    fn a_token_reads_back_and_stores_only_a_hash() {
        for kind in TokenKind::ALL {
            let pin = (kind == TokenKind::Enrolment).then_some(PIN);
            let token = NewToken::generate(kind, pin).expect("a token");
            assert_eq!(parse(token.text()), Ok(token.parsed), "{}", token.text());
            assert_eq!((token.parsed.kind, token.parsed.pin), (kind, pin));
            assert!(token.text().len() <= TOKEN_BYTES_MAX);
            let again = NewToken::with_id(kind, token.parsed.id, pin).expect("a token");
            assert_eq!(again.parsed.id, token.parsed.id);
            assert_ne!(again.parsed.secret, token.parsed.secret);
            assert!(!format!("{token:?}").contains(&token.text()[13..]), "no secret is printed");
        }
    }

    #[test]
    fn base62_reads_back_at_its_limits() {
        for bytes in [[0; 32], [0xff; 32], PIN.0, sha256(b"x")] {
            assert_eq!(from_base62(&base62(&bytes)), Some(bytes));
        }
        assert_eq!(from_base62(&"z".repeat(SECRET_DIGITS)), None, "more than 256 bits");
    }

    #[test]
    fn a_cut_or_mistyped_token_is_found_before_any_look_up() {
        let token = NewToken::generate(TokenKind::Appliance, None).expect("a token");
        let text = token.text();
        for length in 4..text.len() {
            assert_eq!(parse(&text[..length]), Err(InvalidToken::Length), "{length}");
        }
        for at in 4..text.len() {
            let mut typo = text.as_bytes().to_vec();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(typo).expect("text");
            assert!(parse(&typo).is_err(), "{at}");
        }
        assert_eq!(parse("hunter2"), Err(InvalidToken::Prefix));
        assert_eq!(parse(""), Err(InvalidToken::Prefix));
        assert_eq!(parse(&format!("{text} ")), Err(InvalidToken::Alphabet));
        assert_eq!(parse(&text.replace("gbd_", "gba_")), Err(InvalidToken::Checksum));
        assert_eq!(parse(&format!("{text}0")), Err(InvalidToken::Length));
    }
}
