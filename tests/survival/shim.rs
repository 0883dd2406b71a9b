//! The preloaded shim (`shim.c`): builds it once, sets it up for a program, reads its record.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::{Variables, compiled};

const MAGIC: u32 = 0x5443_5247;
const ENTRY_BYTES: usize = 56;

/// One recorded call.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) call: Call,
    pub(crate) path: String,
    /// The file's number in its file system; 0 where only names matter.
    pub(crate) inode: u64,
    /// How long the file was before the call.
    pub(crate) size_before: u64,
}

/// What was called.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// A file was created.
    Create,
    Write {
        at: u64,
        data: Range<usize>,
    },
    Truncate {
        to: u64,
    },
    Rename {
        to: String,
    },
    Remove,
    MakeFolder,
    SyncBegins {
        sync: u64,
        /// `fsync` or `fdatasync`.
        name: String,
    },
    SyncEnded {
        sync: u64,
    },
}

/// Everything a program did to its files.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) entries: Vec<Entry>,
    bytes: Vec<u8>,
}

impl Trace {
    /// Reads what the shim recorded.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("the shim recorded");
        let mut entries = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (entry, next) = entry(&bytes, at);
            entries.push(entry);
            at = next;
        }
        Self { entries, bytes }
    }

    /// The bytes of a write.
    pub(crate) fn data(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }
}

fn entry(bytes: &[u8], at: usize) -> (Entry, usize) {
    let small =
        |from: usize| u32::from_le_bytes(*bytes[at + from..].first_chunk().expect("a whole entry"));
    let large =
        |from: usize| u64::from_le_bytes(*bytes[at + from..].first_chunk().expect("a whole entry"));
    assert_eq!(small(0), MAGIC, "an entry begins at byte {at}");
    let path = at + ENTRY_BYTES;
    let other = path + small(40) as usize;
    let data = other + small(44) as usize;
    let end = data + small(48) as usize;
    let text = |range| std::str::from_utf8(&bytes[range]).expect("names are UTF-8").to_owned();
    let sync = large(32);
    let call = match small(4) {
        1 => Call::Create,
        2 => Call::Write { at: large(16), data: data..end },
        3 => Call::Truncate { to: large(16) },
        4 => Call::Rename { to: text(other..data) },
        5 => Call::Remove,
        6 => Call::MakeFolder,
        7 => Call::SyncBegins { sync, name: text(other..data) },
        8 => Call::SyncEnded { sync },
        unknown => panic!("the shim has no call {unknown}"),
    };
    let entry = Entry { call, path: text(path..other), inode: large(8), size_before: large(24) };
    (entry, end)
}

/// The shim for a program that works below `root`.
pub(crate) struct Shim<'a> {
    pub(crate) root: &'a Path,
    /// Where to record.
    pub(crate) log: Option<&'a Path>,
    /// What is to fail, as in `shim.c`.
    pub(crate) fail: Option<String>,
}

impl Shim<'_> {
    /// The variables that load it into a program.
    pub(crate) fn environment(&self) -> Variables {
        let mut variables: Variables =
            vec![("LD_PRELOAD", library().into()), ("GRID_SHIM_ROOT", self.root.into())];
        variables.extend(self.log.map(|log| ("GRID_SHIM_LOG", log.into())));
        variables.extend(self.fail.as_ref().map(|fail| ("GRID_SHIM_FAIL", fail.into())));
        variables
    }
}

/// The compiled shim.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("tests/survival/shim.c"))
}
