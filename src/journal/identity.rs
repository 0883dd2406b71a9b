//! Reads and writes the identity of a journal: its id, the id of its broker, and the format.
//!
//! `identity` is a small text file for people and programs, with `key = value` lines. Guarantees
//! that a newer format, or an identity that was changed by accident, is refused before anything
//! else is changed: with another journal id, no block would be ours. Does not know records.

use std::fs;
use std::io;
use std::path::Path;

use uuid::Uuid;

use super::disk;
use super::error::JournalError;

/// The newest format of the whole folder that this program reads and writes.
const FORMAT: u32 = 1;

/// The ids of a journal and of the broker that writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The journal; every block contains it.
    pub journal: Uuid,
    /// The broker, as clients see it.
    pub broker: Uuid,
}

/// Reads the identity at `path`, or creates one there.
pub(super) fn open(path: &Path) -> Result<Identity, JournalError> {
    match fs::read(path) {
        Ok(text) => parse(path, &String::from_utf8_lossy(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = Identity { journal: Uuid::new_v4(), broker: Uuid::new_v4() };
            write(path, made)?;
            Ok(made)
        }
        Err(error) => Err(JournalError::io("read", path)(error)),
    }
}

/// Writes an identity durably.
pub(super) fn write(path: &Path, identity: Identity) -> Result<(), JournalError> {
    let text = format!(
        "# A Grid Broker journal. Do not edit: its blocks carry the journal's id.\n\
         format = {FORMAT}\njournal = {}\nbroker = {}\n\
         check = {:08x}\n",
        identity.journal,
        identity.broker,
        checksum(identity)
    );
    disk::replace_file(path, text.as_bytes())
}

/// Reads an identity without creating one; `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Identity>, JournalError> {
    match fs::read(path) {
        Ok(text) => parse(path, &String::from_utf8_lossy(&text)).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::io("read", path)(error)),
    }
}

fn parse(path: &Path, text: &str) -> Result<Identity, JournalError> {
    let invalid = |reason| JournalError::Identity { path: path.to_owned(), reason };
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find_map(|(key, value)| (key.trim() == name).then_some(value.trim()))
    };
    let found: u32 = value("format")
        .and_then(|format| format.parse().ok())
        .ok_or_else(|| invalid("it has no format"))?;
    if found > FORMAT {
        return Err(JournalError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
    }
    let id = |key| value(key).and_then(|id| Uuid::parse_str(id).ok());
    let read = Identity {
        journal: id("journal").ok_or_else(|| invalid("it has no journal id"))?,
        broker: id("broker").ok_or_else(|| invalid("it has no broker id"))?,
    };
    let is_valid = |check| u32::from_str_radix(check, 16) == Ok(checksum(read));
    if value("check").is_none_or(is_valid) {
        Ok(read)
    } else {
        Err(invalid("its checksum is wrong"))
    }
}

fn checksum(identity: Identity) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(identity.journal.as_bytes()), identity.broker.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        let made = open(&path).unwrap();
        assert_ne!(made.journal, made.broker);
        assert_eq!(open(&path).unwrap(), made);
    }

    #[test]
    fn an_identity_with_a_flipped_bit_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        let made = open(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            fs::write(&path, &damaged).unwrap();
            match open(&path) {
                Ok(read) => assert_eq!(read, made, "bit {bit} of byte {at}"),
                Err(JournalError::Identity { .. } | JournalError::NewerFormat { .. }) => {}
                Err(error) => panic!("bit {bit} of byte {at}: {error:?}"),
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity");
        fs::write(&path, "format = 2\nsomething = else\n").unwrap();
        let refused = open(&path).unwrap_err();
        assert!(matches!(refused, JournalError::NewerFormat { found: 2, known: 1, .. }));
        fs::write(&path, "").unwrap();
        assert!(matches!(open(&path), Err(JournalError::Identity { .. })));
    }
}
