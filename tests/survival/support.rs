//! Chance that can be repeated, counts that can be raised, and folders that go away.

use std::path::{Path, PathBuf};

use grid_broker::clock::wall_now;
use tempfile::TempDir;

/// Room that a folder in memory must have, in bytes.
const ROOM_NEEDED: u64 = 4 << 30;

/// A generator of numbers (SplitMix64): the same seed, the same numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index below `bound`, which is not 0.
    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("it is below a length")
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Bytes that do not pack.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next().to_le_bytes());
        words.take(length.div_ceil(8)).flatten().take(length).collect()
    }
}

/// The seed of this run: `GRID_SEED`, or the clock. Printed, so that a failure can be repeated.
pub(crate) fn seed(what: &str) -> u64 {
    let given = std::env::var("GRID_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| wall_now().as_micros().unsigned_abs());
    say(&format!("{what}: GRID_SEED={seed}"));
    seed
}

/// How often: what the environment variable says, or the default.
pub(crate) fn count(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Tells the figures of a run.
pub(crate) fn say(text: &str) {
    #[expect(clippy::print_stderr, reason = "the figures of a run")]
    {
        eprintln!("{text}");
    }
}

/// A folder in memory if there is one with room: what is proved there does not depend on the disk.
pub(crate) fn scratch() -> TempDir {
    let shared = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(shared).map_or(0, |space| space.f_bavail * space.f_frsize);
    let parent = if room > ROOM_NEEDED { shared.to_owned() } else { std::env::temp_dir() };
    TempDir::with_prefix_in("survival-", parent).expect("a temporary folder")
}

/// Every file below `folder`, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder to list") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder for the copy");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let path = entry.expect("an entry").path();
        let copy = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            std::fs::copy(&path, &copy).expect("a file to copy");
        }
    }
}
