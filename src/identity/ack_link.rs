//! Signs and verifies the links in mails by which alerts are acknowledged.
//!
//! ```text
//! token = base64url( version, expiry, receiver, alerts, HMAC-SHA256 over all of it )
//! ```
//!
//! Guarantees that only the holder of the broker's key makes a valid token, that a token names its
//! alerts, its receiver and its end, and that bytes of others are refused without a panic. Does not know
//! whether an alert is still open: who acknowledges asks the core, which makes a token work once.

use std::path::Path;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::files::{IdentityFileError, read_private, replace_file};
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;

/// The file of the key, in the data folder.
const KEY_FILE: &str = "ack-link.key";

/// The size of the key, in bytes: that of the hash.
const KEY_BYTES: usize = 32;

/// The size of a signature, in bytes.
const SIGNATURE_BYTES: usize = 32;

/// The most alerts in one link: as many as a mail reports.
pub const ACK_ALERTS_MAX: usize = 288;

/// The longest receiver in a link, in bytes (RFC 5321).
const RECEIVER_BYTES_MAX: usize = 254;

/// The longest token, in characters, so that a link fits where links are cut.
pub const ACK_TOKEN_CHARS_MAX: usize = 1_800;

/// The version of the format.
const VERSION: u8 = 1;

/// Separates this use of HMAC from any other of the same key.
const CONTEXT: &[u8] = b"gridd acknowledge link\0";

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a link allows: to acknowledge these alerts, in the name of that receiver, until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckGrant {
    /// The alerts, ascending, each once; at least one.
    pub alerts: Vec<AlertId>,
    /// The receiver of the mail.
    pub receiver: Box<str>,
    /// The end of the link.
    pub expires_at: Timestamp,
}

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckTokenError {
    /// It is cut, changed, or of another broker.
    #[error(
        "this link is not one of this broker: it is incomplete, was changed, or was made by another \
         broker or with another key; copy the whole link from the mail, or use `gridctl alert ack`"
    )]
    NotOurs,
    /// Its time is over.
    #[error(
        "this link has ended: links are valid for seven days; use the link of a newer mail, or \
         `gridctl alert ack`"
    )]
    Expired,
}

/// The key that signs links.
#[derive(Clone)]
pub struct AckKey(hmac::Key);

impl std::fmt::Debug for AckKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("AckKey(***)")
    }
}

/// The key cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum AckKeyError {
    /// Its file cannot be used.
    #[error(transparent)]
    File(#[from] IdentityFileError),
    /// It has another size.
    #[error(
        "{path} is not a key of 32 bytes; remove it, and a new one is made: links of older mails end"
    )]
    Size {
        /// The file.
        path: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes for the key of links")]
    Random,
}

impl AckKey {
    /// Reads the key in the data folder, or makes it, for its owner alone.
    ///
    /// # Errors
    ///
    /// [`AckKeyError`] names the file and the reason.
    pub fn open_or_create(data: &Path) -> Result<Self, AckKeyError> {
        let path = data.join(KEY_FILE);
        if !path.exists() {
            let mut bytes = [0; KEY_BYTES];
            SystemRandom::new().fill(&mut bytes).map_err(|_| AckKeyError::Random)?;
            replace_file(&path, &bytes)?;
        }
        let bytes = read_private(&path)?;
        if bytes.len() != KEY_BYTES {
            return Err(AckKeyError::Size { path: path.display().to_string() });
        }
        Ok(Self::from_bytes(&bytes))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The token of a grant, as a part of a path; `None`: it has no alert, too many, or names that do
    /// not fit.
    pub fn sign(&self, grant: &AckGrant) -> Option<String> {
        let receiver = grant.receiver.as_bytes();
        let is_sized = (1..=ACK_ALERTS_MAX).contains(&grant.alerts.len());
        if !is_sized || receiver.len() > RECEIVER_BYTES_MAX {
            return None;
        }
        let mut alerts = grant.alerts.clone();
        alerts.sort_unstable();
        alerts.dedup();
        let mut bytes = vec![VERSION];
        bytes.extend(grant.expires_at.as_micros().div_euclid(1_000_000).to_be_bytes());
        bytes.push(u8::try_from(receiver.len()).ok()?);
        bytes.extend(receiver);
        let mut last = 0;
        for AlertId(alert) in alerts {
            push_varint(&mut bytes, alert - last);
            last = alert;
        }
        bytes.extend(self.tag(&bytes).as_ref());
        let token = encode(&bytes);
        (token.len() <= ACK_TOKEN_CHARS_MAX).then_some(token)
    }

    /// What a token allows at `now`.
    ///
    /// # Errors
    ///
    /// [`AckTokenError`] says why it allows nothing, and what to do.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<AckGrant, AckTokenError> {
        if token.len() > ACK_TOKEN_CHARS_MAX {
            return Err(AckTokenError::NotOurs);
        }
        let bytes = decode(token).ok_or(AckTokenError::NotOurs)?;
        let split = bytes.len().checked_sub(SIGNATURE_BYTES).ok_or(AckTokenError::NotOurs)?;
        let (content, signature) = bytes.split_at(split);
        let mut signed = CONTEXT.to_vec();
        signed.extend(content);
        hmac::verify(&self.0, &signed, signature).map_err(|_| AckTokenError::NotOurs)?;
        let grant = parse(content).ok_or(AckTokenError::NotOurs)?;
        if grant.expires_at <= now { Err(AckTokenError::Expired) } else { Ok(grant) }
    }

    fn tag(&self, content: &[u8]) -> hmac::Tag {
        let mut signed = CONTEXT.to_vec();
        signed.extend(content);
        hmac::sign(&self.0, &signed)
    }
}

fn parse(content: &[u8]) -> Option<AckGrant> {
    let rest = content.strip_prefix(&[VERSION])?;
    let (seconds, rest) = rest.split_first_chunk::<8>()?;
    let expires_at = Timestamp::from_micros(i64::from_be_bytes(*seconds).saturating_mul(1_000_000));
    let (length, rest) = rest.split_first()?;
    let (receiver, mut rest) = rest.split_at_checked(usize::from(*length))?;
    let receiver = std::str::from_utf8(receiver).ok()?.into();
    let (mut alerts, mut last) = (Vec::new(), 0_u64);
    while !rest.is_empty() {
        last = last.checked_add(take_varint(&mut rest)?)?;
        alerts.push(AlertId::from_number(last)?);
    }
    let is_sized = (1..=ACK_ALERTS_MAX).contains(&alerts.len());
    is_sized.then_some(AckGrant { alerts, receiver, expires_at })
}

/// Seven bits a byte, lowest first.
fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Base64 of RFC 4648, section 5, without padding.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            let index = (group >> (18 - 6 * at)) & 0x3f;
            text.push(char::from(BASE64[index as usize]));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut group, mut bits) = (0_u32, 0_u32);
    for c in text.bytes() {
        let value = BASE64.iter().position(|it| *it == c)?;
        group = group << 6 | u32::try_from(value).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits).to_le_bytes()[0]);
            group &= (1 << bits) - 1;
        }
    }
    // One text for each value: no bits beyond the last byte.
    (bits < 6 && group == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AckKey {
        AckKey::from_bytes(&[7; KEY_BYTES])
    }

    fn grant(alerts: &[u64]) -> AckGrant {
        AckGrant {
            alerts: alerts.iter().map(|it| AlertId(*it)).collect(),
            receiver: "alice@example.org".into(),
            expires_at: Timestamp::from_micros(1_795_183_330_000_000),
        }
    }

    const BEFORE: Timestamp = Timestamp::EPOCH;

    #[test]
    fn a_token_gives_what_was_signed_until_its_end() {
        for alerts in [vec![1], vec![127, 128, 16_384, u64::MAX], (1..=288).collect()] {
            let grant = grant(&alerts);
            let token = key().sign(&grant).unwrap();
            assert!(token.bytes().all(|it| BASE64.contains(&it)), "{token}");
            assert_eq!(key().verify(&token, BEFORE), Ok(grant.clone()));
            assert_eq!(key().verify(&token, grant.expires_at), Err(AckTokenError::Expired));
        }
        let unsorted = key().sign(&grant(&[9, 3, 9])).unwrap();
        assert_eq!(key().verify(&unsorted, BEFORE), Ok(grant(&[3, 9])));
        assert_eq!(key().sign(&grant(&[])), None);
        assert_eq!(key().sign(&grant(&(1..=289).collect::<Vec<_>>())), None);
        let endless = AckGrant { receiver: "x".repeat(255).into(), ..grant(&[1]) };
        assert_eq!(key().sign(&endless), None);
    }

    #[test]
    fn a_token_that_is_changed_cut_or_of_another_key_is_refused() {
        let token = key().sign(&grant(&[1, 2, 300])).unwrap();
        let other = AckKey::from_bytes(&[8; KEY_BYTES]);
        assert_eq!(other.verify(&token, BEFORE), Err(AckTokenError::NotOurs));
        for at in 0..token.len() {
            assert_eq!(key().verify(&token[..at], BEFORE), Err(AckTokenError::NotOurs), "{at}");
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key().verify(&changed, BEFORE), Err(AckTokenError::NotOurs), "{at}");
        }
        for wrong in [format!("{token}A"), format!("{token}="), "ä".to_owned(), "A".repeat(9_999)]
        {
            assert_eq!(key().verify(&wrong, BEFORE), Err(AckTokenError::NotOurs), "{wrong}");
        }
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let token = AckKey::open_or_create(folder.path()).unwrap().sign(&grant(&[5])).unwrap();
        let again = AckKey::open_or_create(folder.path()).unwrap();
        assert_eq!(again.verify(&token, BEFORE), Ok(grant(&[5])));
        let path = folder.path().join(KEY_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let error = AckKey::open_or_create(folder.path()).unwrap_err().to_string();
        assert!(error.contains("holds a private key, and others can read"), "{error}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short").unwrap();
        let error = AckKey::open_or_create(folder.path()).unwrap_err().to_string();
        assert!(error.contains("ack-link.key is not a key of 32 bytes; remove it"), "{error}");
        assert_eq!(format!("{again:?}"), "AckKey(***)");
    }
}
