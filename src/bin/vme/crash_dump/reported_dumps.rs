//! Remembers which crash dumps were reported to the broker, in the file `crash-dumps` of the state folder.
//!
//! ```text
//! vme crash dumps 1
//! 3f0c5c0e-...-... /var/crash/202611301612/dump.202611301612, 23383040 bytes
//! ```
//!
//! A line is a key, which identifies path, size, time and completeness, and a note for people.
//! Guarantees that the file is replaced as a whole, and a bounded number of lines. Does not know
//! folders of dumps.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::{Path, PathBuf};

use grid_broker::identity::IdentityFileError;
use grid_broker::identity::files::replace_file;
use grid_broker::show::escape;
use uuid::Uuid;

/// Dumps that are remembered; more than are looked at.
const REPORTED_MAX: usize = 1_024;

/// A larger file is not ours.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A longer note is cut, in characters.
const NOTE_CHARACTERS_MAX: usize = 400;

const FIRST_LINE: &str = "vme crash dumps 1";

/// The dumps that were reported.
#[derive(Debug)]
pub(super) struct ReportedDumps {
    path: PathBuf,
    /// The oldest first.
    lines: Vec<(Uuid, String)>,
    is_changed: bool,
}

impl ReportedDumps {
    /// Of that state folder; `None`: nothing was ever remembered there, or it cannot be read.
    pub(super) fn load(state: &Path) -> io::Result<Option<Self>> {
        let path = state.join("crash-dumps");
        let mut text = Vec::new();
        match File::open(&path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Ok(None);
        }
        let parse = |line: &str| {
            let (key, note) = line.split_once(' ')?;
            Some((Uuid::try_parse(key).ok()?, note.to_owned()))
        };
        Ok(Some(Self { path, lines: lines.filter_map(parse).collect(), is_changed: false }))
    }

    /// None, yet; the file is to be written.
    pub(super) fn none(state: &Path) -> Self {
        Self { path: state.join("crash-dumps"), lines: Vec::new(), is_changed: true }
    }

    pub(super) fn contains(&self, key: Uuid) -> bool {
        self.lines.iter().any(|(known, _)| *known == key)
    }

    /// It was reported.
    pub(super) fn insert(&mut self, key: Uuid, note: &str) {
        let note: String = escape::escape(note).chars().take(NOTE_CHARACTERS_MAX).collect();
        self.lines.push((key, note));
        self.is_changed = true;
    }

    /// Writes the file, if something changed. Dumps that are not in `present` are forgotten when there
    /// are too many.
    pub(super) fn save(&mut self, present: &BTreeSet<Uuid>) -> Result<(), IdentityFileError> {
        if !self.is_changed {
            return Ok(());
        }
        let mut surplus = self.lines.len().saturating_sub(REPORTED_MAX);
        self.lines.retain(|(key, _)| {
            let is_forgotten = surplus > 0 && !present.contains(key);
            surplus -= usize::from(is_forgotten);
            !is_forgotten
        });
        let mut text = format!("{FIRST_LINE}\n");
        for (key, note) in &self.lines {
            text.push_str(&format!("{key} {note}\n"));
        }
        replace_file(&self.path, text.as_bytes())?;
        self.is_changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn key(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn what_was_told_is_read_again() {
        let state = tempfile::TempDir::new().unwrap();
        assert!(ReportedDumps::load(state.path()).unwrap().is_none());
        let mut reported = ReportedDumps::none(state.path());
        reported.save(&BTreeSet::new()).unwrap();
        assert!(
            ReportedDumps::load(state.path()).unwrap().is_some(),
            "that nothing was reported, too"
        );
        reported.insert(key(1), "a\nb c");
        reported.save(&BTreeSet::new()).unwrap();
        let again = ReportedDumps::load(state.path()).unwrap().unwrap();
        assert!(again.contains(key(1)) && !again.contains(key(2)));
        assert_eq!(again.lines.len(), 1, "the note is one line");
    }

    #[test]
    fn a_file_that_is_not_ours_counts_as_none() {
        let state = tempfile::TempDir::new().unwrap();
        let path = state.path().join("crash-dumps");
        for text in ["", "something else\n", "\u{0}\u{0}"] {
            fs::write(&path, text).unwrap();
            assert!(ReportedDumps::load(state.path()).unwrap().is_none(), "{text:?}");
        }
        fs::write(&path, format!("{FIRST_LINE}\nno key\n{} x\n\u{fffd} y\n", key(7))).unwrap();
        let reported = ReportedDumps::load(state.path()).unwrap().unwrap();
        assert_eq!(reported.lines, [(key(7), "x".to_owned())], "a damaged line costs that line");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(ReportedDumps::load(state.path()).is_err());
    }

    #[test]
    fn those_that_are_gone_are_forgotten_first() {
        let state = tempfile::TempDir::new().unwrap();
        let mut reported = ReportedDumps::none(state.path());
        let count = u128::try_from(REPORTED_MAX).unwrap() + 10;
        (0..count).for_each(|number| reported.insert(key(number), "x"));
        let present = (0..5).map(key).collect();
        reported.save(&present).unwrap();
        assert_eq!(reported.lines.len(), REPORTED_MAX);
        assert!(
            reported.contains(key(4)) && !reported.contains(key(5)) && !reported.contains(key(14))
        );
        assert!(reported.contains(key(15)) && reported.contains(key(count - 1)));
    }
}
