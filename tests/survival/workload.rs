//! A journal at work whose every record is known beforehand, and the judge of what is left of it.
//!
//! A record's bytes follow from its number and its epoch; each opening for writing is an epoch of
//! its own. The worker tells in a file beside the data folder what it is about to append and what
//! was acknowledged; the judge knows from that what must be there, and what may be.

use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use grid_broker::journal::{
    CheckpointStart, EncodedRecord, HeaderFilter, Journal, JournalError, JournalReader,
    JournalSettings, OpenJournal, PageLimit, RecordHeader,
};

use super::shim::Shim;
use crate::support::{Random, scratch, wait_for};

const ALL: PageLimit = PageLimit { records: usize::MAX, bytes: u64::MAX };
pub(crate) const DATA: &str = "data";
pub(crate) const MARKER: &str = "marker";
const WORK: &str = "GRID_SURVIVAL_WORK";
/// A worker with more commits than these closes and opens its journal on the way.
pub(crate) const STAYS_OPEN: usize = 60;
/// This test, as the test runner calls it: run again as the worker.
const WORKER: &str = "workload::a_worker_reads_back_all_that_it_was_told_is_durable";

/// Small files, so that everything that may happen to a journal happens soon.
pub(crate) fn settings(dir: &Path) -> JournalSettings {
    JournalSettings {
        commit_file_bytes: 64 << 10,
        segment_bytes: 64 << 10,
        ..JournalSettings::new(dir)
    }
}

/// What was said about a journal so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// From which number on which epoch wrote.
    pub(crate) epochs: Vec<(u64, u64)>,
    /// The last number acknowledged.
    pub(crate) acked: u64,
    /// The last number ever handed over.
    pub(crate) submitted: u64,
}

impl Told {
    /// Takes in what the worker wrote at once.
    pub(crate) fn hear(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().expect("a number");
            match words[0] {
                "opened" => self.opened(number(1), number(2)),
                "appending" => self.submitted = number(1),
                "acked" => self.acked = number(1),
                other => panic!("the worker says {other}"),
            }
        }
    }

    /// Epoch `epoch` goes on behind `last`.
    pub(crate) fn opened(&mut self, last: u64, epoch: u64) {
        self.epochs.push((last + 1, epoch));
        (self.acked, self.submitted) = (last, last);
    }

    /// The record of that number, of whichever epoch wrote it last.
    pub(crate) fn record(&self, number: u64) -> EncodedRecord {
        let epoch = self.epochs.iter().rev().find(|(first, _)| *first <= number);
        record(number, epoch.expect("every record has an epoch").1)
    }
}

/// The record of that number in that epoch.
pub(crate) fn record(number: u64, epoch: u64) -> EncodedRecord {
    let mut random = Random::new(number << 8 ^ epoch);
    let small =
        |below: u64, random: &mut Random| u8::try_from(random.below(below)).expect("it is small");
    let mark = RecordHeader {
        at_us: i64::try_from(number).expect("numbers are small") * 1_000,
        severity: small(6, &mut random),
        kind: small(10, &mut random),
        appliance: u32::from(small(20, &mut random)),
    };
    let length = 20 + random.index(280);
    let bytes = [number.to_le_bytes().to_vec(), random.bytes(length)].concat();
    EncodedRecord { number, header: mark, bytes: bytes.into() }
}

/// The state after that number.
pub(crate) fn state(through: u64) -> Vec<u8> {
    let mut random = Random::new(!through);
    let length = random.index(20_000);
    random.bytes(length)
}

/// Runs the worker on the data below `root` with the shim; `commits` commits in epoch `epoch`.
pub(crate) fn work(shim: &Shim<'_>, seed: u64, epoch: u64, commits: usize) -> std::process::Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", WORKER, "--nocapture"]);
    let root = shim.root.display();
    command.env(WORK, format!("{seed} {epoch} {commits} {root}"));
    command.envs(shim.environment());
    command.output().expect("the worker runs")
}

#[test]
fn a_worker_reads_back_all_that_it_was_told_is_durable() {
    if let Ok(work) = std::env::var(WORK) {
        let mut words = work.splitn(4, ' ');
        let mut number = || words.next().and_then(|it| it.parse().ok()).expect("a number");
        let (seed, epoch, commits) = (number(), number(), number());
        let root = PathBuf::from(words.next().expect("the root"));
        return Worker::start(&root, seed, epoch).run(commits);
    }
    let root = scratch();
    let shim = Shim { root: root.path(), log: None, fail: None };
    let done = work(&shim, 1, 1, 120);
    assert!(done.status.success(), "{done:?}");
    let mut told = Told::default();
    told.hear(&std::fs::read_to_string(root.path().join(MARKER)).expect("the marker"));
    assert!(told.acked > 600 && told.acked == told.submitted, "{told:?}");
    judge(&root.path().join(DATA), &told).expect("nothing is lost");
}

struct Worker {
    root: PathBuf,
    random: Random,
    epoch: u64,
    opened: OpenJournal,
    marker: File,
    last: u64,
}

impl Worker {
    fn start(root: &Path, seed: u64, epoch: u64) -> Self {
        let opened = Journal::open(&settings(&root.join(DATA))).expect("the journal opens");
        let marker = File::options().create(true).append(true).open(root.join(MARKER));
        let last = opened.last_number;
        let mut worker = Self {
            root: root.to_owned(),
            random: Random::new(seed),
            epoch,
            opened,
            marker: marker.expect("the marker"),
            last,
        };
        worker.tell(&format!("opened {last} {epoch}\n"));
        worker
    }

    /// One write each, so that the record of the shim has it whole.
    fn tell(&mut self, line: &str) {
        self.marker.write_all(line.as_bytes()).expect("the marker takes a line");
    }

    fn run(mut self, commits: u64) {
        for commit in 1..=commits {
            self.commit();
            if self.random.once_in(9) {
                let _ = self.opened.journal.checkpoint(self.last, state(self.last));
            }
            if self.random.once_in(6) {
                self.look_back();
            }
            if self.random.once_in(5) {
                self.let_the_archive_come_near();
            }
            if commits > STAYS_OPEN as u64 && commit == commits / 2 {
                self = self.reopened();
            }
        }
    }

    fn commit(&mut self) {
        let count = if self.random.once_in(20) { 400 } else { 1 + self.random.below(40) };
        let records: Vec<_> =
            (self.last + 1..=self.last + count).map(|it| record(it, self.epoch)).collect();
        self.last += count;
        self.tell(&format!("appending {}\n", self.last));
        self.opened.journal.append(&records).expect("the commit log takes it");
        self.tell(&format!("acked {}\n", self.last));
    }

    /// Readers open sealed spans, and sled writes whenever it is opened.
    fn look_back(&mut self) {
        let from = 1 + self.random.below(self.last);
        let budget = PageLimit { records: 30, bytes: 1 << 20 };
        let page = self.opened.reader.forward(from, &HeaderFilter::default(), budget);
        let page = page.expect("what is there can be read");
        assert!(page.missing.is_empty(), "{:?} are missing", page.missing);
    }

    fn let_the_archive_come_near(&self) {
        // As far as it does: an archiver that failed never does.
        for _ in 0..1_000 {
            if self.opened.reader.archived_through() + 100 > self.last {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn reopened(mut self) -> Self {
        // An archiver that failed says so here; the judge decides whether anything is lost by it.
        let _ = self.opened.journal.close();
        self.opened = Journal::open(&settings(&self.root.join(DATA))).expect("it opens again");
        assert_eq!(self.opened.last_number, self.last);
        self.tell(&format!("opened {} {}\n", self.last, self.epoch));
        self
    }
}

/// Whether the journal in `dir` still holds all that was acknowledged, takes more, and holds that.
pub(crate) fn judge(dir: &Path, told: &Told) -> Result<(), String> {
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let mut told = told.clone();
        let mut opened = look(dir, &told)?;
        // An epoch that no worker has.
        told.opened(opened.last_number, u64::from(u8::MAX));
        for _ in 0..3 {
            let records: Vec<_> =
                (told.acked + 1..=told.acked + 50).map(|it| told.record(it)).collect();
            opened.journal.append(&records).map_err(|error| format!("no append: {error}"))?;
            (told.acked, told.submitted) = (told.acked + 50, told.submitted + 50);
        }
        let begun = opened.journal.checkpoint(told.acked, state(told.acked));
        if begun != CheckpointStart::Started {
            return Err("no checkpoint can be written".to_owned());
        }
        opened.journal.close().map_err(|error| format!("no close: {error}"))?;
        let again = look(dir, &told)?;
        again.journal.close().map_err(|error| format!("no second close: {error}"))
    }));
    judged.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
    })
}

/// Another test of this process may be starting a program just now, and until that runs it holds
/// every lock of ours.
pub(crate) fn open(dir: &Path) -> Result<OpenJournal, JournalError> {
    wait_for("the journal's lock", || match Journal::open(&settings(dir)) {
        Err(JournalError::InUse { .. }) => None,
        opened => Some(opened),
    })
}

fn look(dir: &Path, told: &Told) -> Result<OpenJournal, String> {
    let opened = open(dir).map_err(|error| format!("does not open: {error:?}"))?;
    if !(told.acked..=told.submitted).contains(&opened.last_number) {
        return Err(format!("lost: goes to {}, {told:?}", opened.last_number));
    }
    if !opened.recovered.missing.is_empty() || !opened.recovered.damaged_segments.is_empty() {
        return Err(format!("lost: {:?}, {told:?}", opened.recovered));
    }
    if let Some((through, found)) = &opened.checkpoint
        && (*through > opened.last_number || *found != state(*through))
    {
        return Err(format!("the checkpoint of {through} is not what was saved"));
    }
    hold_all(&opened.reader, opened.last_number, told)?;
    Ok(opened)
}

fn hold_all(reader: &JournalReader, last: u64, told: &Told) -> Result<(), String> {
    let page = reader.forward(1, &HeaderFilter::default(), ALL);
    let page = page.map_err(|error| format!("lost: can't be read: {error}"))?;
    if !page.missing.is_empty() {
        return Err(format!("lost: {:?} are missing, {told:?}", page.missing));
    }
    for (record, number) in page.records.iter().zip(1..) {
        if *record != told.record(number) {
            return Err(format!("record {number} is another: {record:?}, {told:?}"));
        }
    }
    let found = page.records.len() as u64;
    if found == last { Ok(()) } else { Err(format!("lost: {found} of {last} are there")) }
}
