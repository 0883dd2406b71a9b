//! Damage to any file of the journal: it starts, keeps what is readable, and names the rest.
//!
//! One journal is made; copies of it get one bit flipped, are cut short, zeroed or overwritten in
//! one place, `GRID_FLIPS` of them; what opens is compared with a model that knows which bytes hold
//! which records. What does not open must be a refusal, in words, of a damaged identity.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use bytes::{Buf, Bytes};
use grid_broker::journal::frame::Block;
use grid_broker::journal::{HeaderFilter, JournalError, JournalReader, OpenJournal, PageLimit};
use tempfile::TempDir;

use super::shim::Shim;
use super::workload::{DATA, MARKER, Told, open, state, work};
use crate::support::{Random, copy_folder, count, files_below, say, scratch, seed};

const ALL: PageLimit = PageLimit { records: usize::MAX, bytes: u64::MAX };
const AT_ONCE: usize = 8;
const COMMITS: usize = 150;

/// A journal as it was before the damage, and what its files hold.
struct Model {
    base: TempDir,
    told: Told,
    /// Blocks of the commit log: the file, the bytes, the numbers.
    blocks: Vec<(PathBuf, Range<usize>, Range<u64>)>,
    /// Numbers of sealed spans.
    sealed: Vec<(PathBuf, Range<u64>)>,
    checkpoints: Vec<u64>,
}

/// Where the damage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Commits,
    SealedSpan,
    Seal,
    OpenSpan,
    Checkpoint,
    Identity,
}

const PLACES: [Place; 8] = [
    Place::Commits,
    Place::Commits,
    Place::Commits,
    Place::SealedSpan,
    Place::Seal,
    Place::OpenSpan,
    Place::Checkpoint,
    Place::Identity,
];

/// A damaged copy.
struct Damaged {
    folder: TempDir,
    place: Place,
    /// Below the data folder.
    file: PathBuf,
    /// What is in it, before the journal is opened and lets go of files that it needs no more.
    bytes: Vec<u8>,
    what: String,
}

/// What became of one copy.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Nothing is missing.
    Whole,
    /// Exactly what was damaged is named.
    Named,
    /// The end of the log is gone, as after a commit that was never finished.
    Shorter,
    /// It started; a reader of the damaged span gets an error that names it.
    SpanUnreadable,
    /// Refused in words.
    Refused,
}

impl Model {
    fn new(seed: u64) -> Self {
        let base = scratch();
        let done = work(&Shim { root: base.path(), log: None, fail: None }, seed, 1, COMMITS);
        assert!(done.status.success(), "{done:?}");
        let mut told = Told::default();
        told.hear(&fs::read_to_string(base.path().join(MARKER)).expect("the marker"));
        let data = base.path().join(DATA);
        let (mut blocks, mut sealed, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
        for path in files_below(&data) {
            let below = path.strip_prefix(&data).expect("below").to_owned();
            let name = below.to_str().expect("UTF-8");
            if name.starts_with("commits/") {
                let bytes = Bytes::from(fs::read(&path).expect("a file"));
                let mut at = 0;
                while let Ok(block) = Block::parse(&bytes.slice(at..)) {
                    let (draft, end) = (block.header.info, at + block.header.block_bytes());
                    blocks.push((below.clone(), at..end, draft.first..draft.last() + 1));
                    at = end;
                }
            } else if let Some(span) = name.strip_suffix(".sealed") {
                let block = Block::parse(&fs::read(&path).expect("a seal").into()).expect("whole");
                let last = block.payload().expect("a payload").get_u64_le();
                sealed.push((span.into(), block.header.info.first..last + 1));
            } else if let Some(through) = name.strip_prefix("checkpoints/checkpoint-") {
                checkpoints.push(through.parse().expect("a number"));
            }
        }
        assert!(sealed.len() > 2 && checkpoints.len() == 2, "{sealed:?}, {checkpoints:?}");
        Self { base, told, blocks, sealed, checkpoints }
    }

    fn place(&self, file: &Path) -> Option<Place> {
        let name = file.to_str().expect("UTF-8");
        if name.starts_with("commits/") {
            Some(Place::Commits)
        } else if name.ends_with(".sealed") {
            Some(Place::Seal)
        } else if name.starts_with("archive/") {
            let is_sealed = self.sealed.iter().any(|(span, _)| file.starts_with(span));
            Some(if is_sealed { Place::SealedSpan } else { Place::OpenSpan })
        } else if name.starts_with("checkpoints/") {
            Some(Place::Checkpoint)
        } else {
            (name == "identity").then_some(Place::Identity)
        }
    }

    fn has_open_span(&self) -> bool {
        let data = self.base.path().join(DATA);
        let files = files_below(&data);
        let mut below = files.iter().map(|path| path.strip_prefix(&data).expect("below"));
        below.any(|file| self.place(file) == Some(Place::OpenSpan))
    }

    /// A copy with one place damaged.
    fn damaged(&self, random: &mut Random) -> Damaged {
        let data = self.base.path().join(DATA);
        let place = PLACES[random.index(PLACES.len())];
        let files: Vec<PathBuf> = files_below(&data)
            .iter()
            .map(|path| path.strip_prefix(&data).expect("below").to_owned())
            .filter(|file| self.place(file) == Some(place))
            .filter(|file| fs::metadata(data.join(file)).is_ok_and(|it| it.len() > 0))
            .collect();
        let file = files[random.index(files.len())].clone();
        let folder = scratch();
        copy_folder(&data, &folder.path().join(DATA));
        let path = folder.path().join(DATA).join(&file);
        let mut bytes = fs::read(&path).expect("a file");
        // Mostly where something is: these files end in zeros.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        let bound = if random.once_in(10) { bytes.len() } else { used };
        let at = random.index(bound);
        let length = (1 + random.index(700)).min(bytes.len() - at);
        let how = match random.below(5) {
            0 => {
                bytes.truncate(at);
                "cut"
            }
            1 => {
                bytes[at..at + length].fill(0);
                "zeros"
            }
            2 => {
                let noise = random.bytes(length);
                bytes[at..at + length].copy_from_slice(&noise);
                "noise"
            }
            _ => {
                bytes[at] ^= 1 << random.below(8);
                "one bit"
            }
        };
        fs::write(&path, &bytes).expect("the damage");
        let what = format!("{how} at {at} of {}", file.display());
        Damaged { folder, place, what, file, bytes }
    }

    /// Which numbers must be there, and up to which it must go, after damage to the commit log.
    fn after_commits(&self, damaged: &Damaged) -> (BTreeSet<u64>, u64) {
        let before = fs::read(self.base.path().join(DATA).join(&damaged.file)).expect("a file");
        let after = &damaged.bytes;
        let mut held: BTreeSet<u64> =
            self.sealed.iter().flat_map(|(_, numbers)| numbers.clone()).collect();
        for (file, bytes, numbers) in &self.blocks {
            if *file != damaged.file || after.get(bytes.clone()) == before.get(bytes.clone()) {
                held.extend(numbers.clone());
            }
        }
        let name = |file: &Path| file.file_stem().and_then(|it| it.to_str()?.parse::<u64>().ok());
        let last_file = self.blocks.iter().filter_map(|(file, ..)| name(file)).max();
        let last = [last_file.map(|first| first - 1), held.last().copied()];
        let last = last.into_iter().flatten().chain(self.checkpoints.iter().copied()).max();
        (held, last.expect("something is left"))
    }

    fn judge(&self, damaged: &Damaged) -> End {
        let dir = damaged.folder.path().join(DATA);
        let opened = match open(&dir) {
            Ok(opened) => opened,
            Err(JournalError::Identity { .. } | JournalError::NewerFormat { .. })
                if damaged.place == Place::Identity =>
            {
                return End::Refused;
            }
            Err(error) => panic!("{}: does not open: {error:?}", damaged.what),
        };
        let end = match damaged.place {
            Place::Commits => self.judge_commits(damaged, &opened),
            Place::SealedSpan => self.judge_span(damaged, &opened),
            Place::Seal | Place::OpenSpan | Place::Identity | Place::Checkpoint => {
                let all = (1..=self.told.acked).collect();
                assert_eq!(opened.last_number, self.told.acked, "{}", damaged.what);
                self.hold_exactly(&opened, &all, &damaged.what);
                End::Whole
            }
        };
        self.judge_checkpoint(damaged, &opened);
        opened.journal.close().unwrap_or_else(|error| panic!("{}: {error}", damaged.what));
        end
    }

    fn judge_commits(&self, damaged: &Damaged, opened: &OpenJournal) -> End {
        let (mut held, last) = self.after_commits(damaged);
        // An open span that was kept may go on where the cut log ends; what it has is looked at below.
        let last = match opened.recovered.rebuilt_segments.is_empty() {
            true => last.max(opened.last_number.min(self.told.acked)),
            false => last,
        };
        if let [rebuilt] = opened.recovered.rebuilt_segments[..] {
            assert!(held.contains(&rebuilt), "{}", damaged.what);
        } else if let Some(from) = (1..=last).find(|number| !held.contains(number)) {
            // The open span was all that was left of these, so it was checked and kept.
            let page =
                opened.reader.forward(from, &HeaderFilter::default(), ALL).expect("readable");
            let before = held.len();
            held.extend(page.records.iter().map(|it| it.number).take_while(|it| *it <= last));
            assert!(held.len() > before, "{}: the open span is gone", damaged.what);
        }
        assert_eq!(opened.last_number, last, "{}", damaged.what);
        self.hold_exactly(opened, &held, &damaged.what);
        if !opened.recovered.missing.is_empty() {
            End::Named
        } else if last < self.told.acked {
            End::Shorter
        } else {
            End::Whole
        }
    }

    fn judge_span(&self, damaged: &Damaged, opened: &OpenJournal) -> End {
        assert_eq!(opened.last_number, self.told.acked, "{}", damaged.what);
        assert!(opened.recovered.missing.is_empty(), "{}", damaged.what);
        let mut end = End::Whole;
        for (span, numbers) in &self.sealed {
            let is_hit = damaged.file.starts_with(span);
            for number in numbers.clone().step_by(1 + numbers.clone().count() / 20) {
                match self.read_one(&opened.reader, number) {
                    Ok(()) => {}
                    Err(error) if is_hit => {
                        let span = span.file_name().and_then(|it| it.to_str()).expect("a name");
                        assert!(error.to_string().contains(span), "{error}");
                        end = End::SpanUnreadable;
                    }
                    Err(error) => panic!("{}: record {number}: {error:?}", damaged.what),
                }
            }
        }
        end
    }

    fn read_one(&self, reader: &JournalReader, number: u64) -> Result<(), JournalError> {
        let one = PageLimit { records: 1, bytes: 1 };
        let page = reader.forward(number, &HeaderFilter::default(), one)?;
        if let Some(record) = page.records.first() {
            assert_eq!(*record, self.told.record(record.number), "another record");
        }
        Ok(())
    }

    /// Exactly the numbers `held` are there, and right; the others up to the last are named.
    fn hold_exactly(&self, opened: &OpenJournal, held: &BTreeSet<u64>, what: &str) {
        let page = opened.reader.forward(1, &HeaderFilter::default(), ALL);
        let page = page.unwrap_or_else(|error| panic!("{what}: {error}"));
        for record in &page.records {
            assert_eq!(*record, self.told.record(record.number), "{what}: another record");
        }
        let found: BTreeSet<u64> = page.records.iter().map(|record| record.number).collect();
        assert!(found == *held, "{what}: {:?}", held.symmetric_difference(&found));
        let missing = (1..=opened.last_number).filter(|number| !held.contains(number));
        let named = opened.recovered.missing.iter().cloned().flatten();
        assert!(missing.eq(named), "{what}: named are {:?}", opened.recovered.missing);
        assert_eq!(page.missing, opened.recovered.missing, "{what}");
    }

    fn judge_checkpoint(&self, damaged: &Damaged, opened: &OpenJournal) {
        let newest = *self.checkpoints.iter().max().expect("two");
        let oldest = *self.checkpoints.iter().min().expect("two");
        let hit = format!("checkpoints/checkpoint-{newest:020}");
        let read = |root: &Path| fs::read(root.join(DATA).join(&hit)).ok();
        // Damage is renamed away; zeros over zeros are none.
        let is_hit = read(self.base.path()) != read(damaged.folder.path());
        let expected = if is_hit { oldest } else { newest };
        let found = opened.checkpoint.clone();
        assert_eq!(found, Some((expected, state(expected))), "{}", damaged.what);
        assert_eq!(opened.recovered.failed_checkpoints.len(), usize::from(is_hit));
    }
}

#[test]
fn damage_anywhere_is_named_and_the_rest_is_kept() {
    let mut random = Random::new(seed("damage"));
    let models = std::iter::repeat_with(|| Model::new(random.next()));
    // The archive may just have sealed all there was, and the log be short then.
    let is_fit = |model: &Model| model.has_open_span() && model.blocks.len() > 5;
    let model = models.take(10).find(is_fit).expect("a journal with a log and an open span");
    let wanted = count("GRID_FLIPS", 200);
    let mut ends: Vec<(Place, End)> = Vec::new();
    while ends.len() < wanted {
        let copies: Vec<Damaged> =
            (0..AT_ONCE.min(wanted - ends.len())).map(|_| model.damaged(&mut random)).collect();
        let judged: Vec<_> = thread::scope(|scope| {
            let model = &model;
            let judge = |copy| scope.spawn(move || model.judge(copy));
            let threads: Vec<_> = copies.iter().map(judge).collect();
            threads.into_iter().map(|it| it.join()).collect()
        });
        for (copy, end) in copies.iter().zip(judged) {
            ends.push((copy.place, end.unwrap_or_else(|_| panic!("{}: see above", copy.what))));
        }
    }
    ends.sort();
    let kinds = ends.chunk_by(|one, other| one == other).map(|it| (&it[0], it.len()));
    say(&format!(
        "damage: {} of {wanted} as they should: {:?}",
        ends.len(),
        kinds.collect::<Vec<_>>()
    ));
}
