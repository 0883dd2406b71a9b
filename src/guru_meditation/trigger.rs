//! A file or folder that asks for a report when it is touched.
//!
//! Guarantees that one which vanishes and comes back asks again. Looks when it is told to.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub(super) struct Trigger {
    file: PathBuf,
    /// How often it is to be looked at.
    pub(super) every: Duration,
    seen: Option<SystemTime>,
}

impl Trigger {
    /// The file need not be there; what it is at this moment asks for nothing.
    pub(super) fn new(file: PathBuf, every: Duration) -> Self {
        let seen = modified(&file);
        Self { file, every, seen }
    }

    /// The file, if it was touched since this was last asked.
    pub(super) fn touched(&mut self) -> Option<PathBuf> {
        let now = modified(&self.file);
        let is_new = now.is_some() && now != self.seen;
        // One that is gone may come back.
        self.seen = now.or(self.seen);
        is_new.then(|| self.file.clone())
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|found| found.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_vanishes_and_comes_back_asks_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trigger");
        let touch = |at: u64| {
            let file = std::fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at)).unwrap();
        };
        let mut trigger = Trigger::new(path.clone(), Duration::from_secs(1));
        assert_eq!(trigger.touched(), None, "it is not there yet");
        touch(1);
        assert_eq!(trigger.touched(), Some(path.clone()));
        assert_eq!(trigger.touched(), None, "once");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(trigger.touched(), None);
        touch(2);
        assert_eq!(trigger.touched(), Some(path.clone()));
        let mut later = Trigger::new(path.clone(), Duration::from_secs(1));
        assert_eq!(later.touched(), None, "what was there at the start asks for nothing");
        touch(3);
        assert_eq!(later.touched(), Some(path));
    }
}
