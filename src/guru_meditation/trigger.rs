//! Watches a file or folder that triggers a report when it is touched.
//!
//! Guarantees that one which is deleted and created again triggers again. Does not poll by itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub(super) struct TriggerFile {
    file: PathBuf,
    /// How often it is to be checked.
    pub(super) interval: Duration,
    last_modified: Option<SystemTime>,
}

impl TriggerFile {
    /// The file need not exist; its current time triggers nothing.
    pub(super) fn new(file: PathBuf, every: Duration) -> Self {
        let seen = modified(&file);
        Self { file, interval: every, last_modified: seen }
    }

    /// The file, if it was touched since the last call.
    pub(super) fn take_touched(&mut self) -> Option<PathBuf> {
        let now = modified(&self.file);
        let is_new = now.is_some() && now != self.last_modified;
        // A deleted file may come back.
        self.last_modified = now.or(self.last_modified);
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
        let mut trigger = TriggerFile::new(path.clone(), Duration::from_secs(1));
        assert_eq!(trigger.take_touched(), None, "it is not there yet");
        touch(1);
        assert_eq!(trigger.take_touched(), Some(path.clone()));
        assert_eq!(trigger.take_touched(), None, "once");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(trigger.take_touched(), None);
        touch(2);
        assert_eq!(trigger.take_touched(), Some(path.clone()));
        let mut later = TriggerFile::new(path.clone(), Duration::from_secs(1));
        assert_eq!(later.take_touched(), None, "what was there at the start asks for nothing");
        touch(3);
        assert_eq!(later.take_touched(), Some(path));
    }
}
