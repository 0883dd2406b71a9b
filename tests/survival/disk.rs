//! A disk that remembers what is durable and what is only pending, and what a cut may leave.
//!
//! A write, a change of size, a new, changed or removed name is pending until a sync of that file
//! or folder that began after it has ended. At a cut, what is durable is there; each pending change
//! may be there, be lost, or be torn. Nothing is said about their order: harsher than any file
//! system, within what POSIX promises.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::shim::{Call, Entry, Trace};
use crate::support::Random;

const SECTOR: usize = 512;
const PAGE: usize = 4096;
const ROOT: usize = 0;

#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, data: Range<usize> },
    Size(u64),
    Add(String, usize),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Debug, Default)]
struct Node {
    is_folder: bool,
    /// What a file surely holds.
    bytes: Vec<u8>,
    /// How long the program sees the file.
    size: u64,
    /// Which names a folder surely has.
    names: BTreeMap<String, usize>,
    /// Which names the program sees.
    seen_names: BTreeMap<String, usize>,
    pending: VecDeque<Change>,
    /// How many changes were made durable.
    settled: usize,
}

/// Says whether a sync is taken for made.
pub(crate) type IsMade = dyn Fn(&Entry) -> bool;

/// The data folder as a disk has it.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    nodes: Vec<Node>,
    by_inode: HashMap<u64, usize>,
    /// Syncs under way: what they will settle.
    syncs: HashMap<u64, (usize, usize)>,
}

/// What becomes of the pending changes of one file or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Kept,
    /// The first few, the last of them torn at some byte.
    Prefix,
    /// Each sector or name for itself.
    Scattered,
    /// Files: what lies within the durable size is kept, growth is lost.
    InPlace,
    /// Files: the size is kept, what was written is lost.
    SizeOnly,
}

impl Fate {
    const ALL: [Self; 6] =
        [Self::Lost, Self::Kept, Self::Prefix, Self::Scattered, Self::InPlace, Self::SizeOnly];

    fn draw(random: &mut Random) -> Self {
        Self::ALL[random.index(Self::ALL.len())]
    }
}

/// What a cut does: a fate for all files and one for all folders, or one drawn for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) files: Option<Fate>,
    pub(crate) folders: Option<Fate>,
}

impl Cut {
    /// The plain ones first, then whatever random says.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let (files, folders) = match random.below(8) {
            0 => (Some(Fate::Lost), Some(Fate::Lost)),
            1 => (Some(Fate::Kept), Some(Fate::Lost)),
            2 => (Some(Fate::Lost), Some(Fate::Kept)),
            3 => (Some(Fate::InPlace), Some(Fate::Kept)),
            4 => (Some(Fate::SizeOnly), Some(Fate::Kept)),
            _ => (None, None),
        };
        Self { files, folders }
    }
}

impl Disk {
    /// What lies below `root` now, all of it durable.
    pub(crate) fn of(root: &Path) -> Self {
        let root = root.canonicalize().expect("the folder is there");
        let mut disk = Self {
            root: root.clone(),
            nodes: Vec::new(),
            by_inode: HashMap::new(),
            syncs: HashMap::new(),
        };
        disk.take_in(&root);
        disk
    }

    fn take_in(&mut self, path: &Path) -> usize {
        let found = path.metadata().expect("it is there");
        let number = self.nodes.len();
        self.nodes.push(Node { is_folder: found.is_dir(), ..Node::default() });
        self.by_inode.insert(found.ino(), number);
        if found.is_dir() {
            for entry in std::fs::read_dir(path).expect("a folder") {
                let path = entry.expect("an entry").path();
                let child = self.take_in(&path);
                let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
                self.nodes[number].names.insert(name.to_owned(), child);
            }
            self.nodes[number].seen_names = self.nodes[number].names.clone();
        } else {
            self.nodes[number].bytes = std::fs::read(path).expect("a file");
            self.nodes[number].size = found.len();
        }
        number
    }

    /// Takes the next recorded call in; `is_made` says whether a sync counts.
    pub(crate) fn take(&mut self, trace: &Trace, entry: &Entry, is_made: &IsMade) {
        match &entry.call {
            Call::Create | Call::MakeFolder => {
                let node = self.nodes.len();
                let is_folder = matches!(entry.call, Call::MakeFolder);
                self.nodes.push(Node { is_folder, ..Node::default() });
                self.by_inode.insert(entry.inode, node);
                let (folder, name) = self.place(&entry.path);
                self.change(folder, Change::Add(name, node));
            }
            Call::Write { at, data } => {
                let node = self.sized(entry);
                self.nodes[node].size = self.nodes[node].size.max(at + data.len() as u64);
                self.change(node, Change::Write { at: *at, data: data.clone() });
            }
            Call::Truncate { to } => {
                let node = self.sized(entry);
                self.nodes[node].size = *to;
                self.change(node, Change::Size(*to));
            }
            Call::Rename { to } => {
                let (folder, from) = self.place(&entry.path);
                let (other, to) = self.place(to);
                assert_eq!(folder, other, "nothing is renamed from folder to folder");
                self.change(folder, Change::Rename(from, to));
            }
            Call::Remove => {
                let (folder, name) = self.place(&entry.path);
                self.change(folder, Change::Remove(name));
            }
            Call::SyncBegins { sync, .. } if is_made(entry) => {
                let node = self.sized(entry);
                let through = self.nodes[node].settled + self.nodes[node].pending.len();
                self.syncs.insert(*sync, (node, through));
            }
            Call::SyncBegins { .. } => {}
            Call::SyncEnded { sync } => {
                if let Some((node, through)) = self.syncs.remove(sync) {
                    self.nodes[node].settle(trace, through);
                }
            }
        }
    }

    /// The file of the call; a size that nobody told is a change of its own.
    fn sized(&mut self, entry: &Entry) -> usize {
        let number = self.by_inode.get(&entry.inode);
        let number = *number.unwrap_or_else(|| panic!("{} is not known", entry.path));
        let node = &mut self.nodes[number];
        if !node.is_folder && node.size != entry.size_before {
            node.size = entry.size_before;
            node.pending.push_back(Change::Size(entry.size_before));
        }
        number
    }

    fn change(&mut self, number: usize, change: Change) {
        let node = &mut self.nodes[number];
        apply_name(&mut node.seen_names, &change);
        node.pending.push_back(change);
    }

    /// The folder of a path, and the name in it.
    fn place(&self, path: &str) -> (usize, String) {
        let below = Path::new(path).strip_prefix(&self.root).expect("below the root");
        let mut folder = ROOT;
        let mut name = None;
        for part in below {
            if let Some(name) = name.replace(part.to_str().expect("UTF-8")) {
                folder = self.nodes[folder].seen_names[name];
            }
        }
        (folder, name.expect("not the root itself").to_owned())
    }

    /// Writes what a cut leaves into the empty folder `into`.
    pub(crate) fn cut(&self, trace: &Trace, cut: Cut, random: &mut Random, into: &Path) {
        self.leave(ROOT, (trace, cut), random, into);
    }

    fn leave(&self, number: usize, how: (&Trace, Cut), random: &mut Random, path: &Path) {
        let node = &self.nodes[number];
        let (trace, cut) = how;
        if node.is_folder {
            if !path.is_dir() {
                std::fs::create_dir(path).expect("a folder of the image");
            }
            let fate = cut.folders.unwrap_or_else(|| Fate::draw(random));
            for (name, child) in node.names_after(fate, random) {
                self.leave(child, how, random, &path.join(name));
            }
        } else {
            let fate = cut.files.unwrap_or_else(|| Fate::draw(random));
            write_sparse(path, &node.bytes_after(trace, fate, random));
        }
    }
}

impl Node {
    fn settle(&mut self, trace: &Trace, through: usize) {
        while self.settled < through {
            let change = self.pending.pop_front().expect("it was pending");
            self.settled += 1;
            apply_name(&mut self.names, &change);
            match change {
                Change::Write { at, data } => put(&mut self.bytes, at, trace.data(&data)),
                Change::Size(size) => self.bytes.resize(length(size), 0),
                Change::Add(..) | Change::Remove(_) | Change::Rename(..) => {}
            }
        }
    }

    fn names_after(&self, fate: Fate, random: &mut Random) -> BTreeMap<String, usize> {
        let mut names = self.names.clone();
        let kept = match fate {
            Fate::Lost => 0,
            Fate::Prefix => random.index(self.pending.len() + 1),
            Fate::Kept | Fate::Scattered | Fate::InPlace | Fate::SizeOnly => self.pending.len(),
        };
        for change in self.pending.iter().take(kept) {
            if fate == Fate::Scattered && random.once_in(2) {
                continue;
            }
            apply_name(&mut names, change);
        }
        names
    }

    fn bytes_after(&self, trace: &Trace, fate: Fate, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        let durable = bytes.len();
        let kept = match fate {
            Fate::Prefix => random.index(self.pending.len() + 1),
            Fate::Lost => 0,
            Fate::Kept | Fate::Scattered | Fate::InPlace | Fate::SizeOnly => self.pending.len(),
        };
        for (index, change) in self.pending.iter().take(kept).enumerate() {
            let is_torn = fate == Fate::Prefix && index + 1 == kept;
            match change {
                Change::Size(size) if fate != Fate::InPlace => bytes.resize(length(*size), 0),
                Change::Size(_) => {}
                Change::Write { at, data } => {
                    let data = trace.data(data);
                    match fate {
                        Fate::SizeOnly => {
                            let end = length(*at) + data.len();
                            bytes.resize(bytes.len().max(end), 0);
                        }
                        Fate::Scattered => scatter(&mut bytes, *at, data, random),
                        Fate::Prefix if is_torn => {
                            put(&mut bytes, *at, &data[..random.index(data.len() + 1)]);
                        }
                        Fate::Prefix | Fate::Kept | Fate::InPlace | Fate::Lost => {
                            put(&mut bytes, *at, data);
                        }
                    }
                }
                Change::Add(..) | Change::Remove(_) | Change::Rename(..) => {}
            }
        }
        if fate == Fate::InPlace {
            bytes.truncate(durable);
        }
        bytes
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Add(name, node) => drop(names.insert(name.clone(), *node)),
        Change::Remove(name) => drop(names.remove(name)),
        Change::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
        Change::Write { .. } | Change::Size(_) => {}
    }
}

fn length(size: u64) -> usize {
    usize::try_from(size).expect("a file fits the memory")
}

fn put(bytes: &mut Vec<u8>, at: u64, data: &[u8]) {
    let at = length(at);
    if bytes.len() < at + data.len() {
        bytes.resize(at + data.len(), 0);
    }
    bytes[at..at + data.len()].copy_from_slice(data);
}

/// Writes each sector of the file or not.
fn scatter(bytes: &mut Vec<u8>, at: u64, data: &[u8], random: &mut Random) {
    let mut from = 0;
    while from < data.len() {
        let in_sector = SECTOR - (length(at) + from) % SECTOR;
        let end = data.len().min(from + in_sector);
        if random.once_in(2) {
            put(bytes, at + from as u64, &data[from..end]);
        }
        from = end;
    }
}

/// Writes a file without its pages of zeros.
fn write_sparse(path: &Path, bytes: &[u8]) {
    let file = std::fs::File::create(path).expect("a file of the image");
    file.set_len(bytes.len() as u64).expect("its size");
    for (page, at) in bytes.chunks(PAGE).zip((0_u64..).step_by(PAGE)) {
        if page.iter().any(|byte| *byte != 0) {
            file.write_all_at(page, at).expect("a page of the image");
        }
    }
}
