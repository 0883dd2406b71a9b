//! A power cut at any moment takes nothing that was acknowledged.
//!
//! The shim records all that a journal at work does to its files; the disk model gives the files as
//! they could be after a cut; each such image must open with every acknowledged record, take more,
//! and open again. `GRID_CUTS` images, in rounds of a new recording each; every second round begins
//! with an image of the round before, so that recovery is cut, too.

use std::path::{Path, PathBuf};
use std::thread;

use tempfile::TempDir;

use super::disk::{Cut, Disk, Fate, IsMade};
use super::shim::{Call, Entry, Shim, Trace};
use super::workload::{DATA, MARKER, Told, judge, work};
use crate::support::{Random, copy_folder, count, files_below, say, scratch, seed};

/// Images of one recording.
const IMAGES_A_ROUND: usize = 100;
const COMMITS: usize = 150;
/// Images judged at one time.
const AT_ONCE: usize = 8;
/// So many images at most until a missing sync must show.
const NOTICED_WITHIN: usize = 200;

/// One recording: how the folder was, what was done, what had been told before.
struct Recording {
    disk: Disk,
    trace: Trace,
    told: Told,
}

/// Lets a worker work on what lies in `base`, and records it.
fn recorded(base: &Path, told: Told, seed: u64, epoch: u64, fail: Option<&str>) -> Recording {
    let logs = scratch();
    let log = logs.path().join("trace");
    let disk = Disk::of(base);
    let shim = Shim { root: base, log: Some(&log), fail: fail.map(ToOwned::to_owned) };
    let done = work(&shim, seed, epoch, COMMITS);
    assert!(done.status.success(), "the worker failed: {done:?}");
    Recording { disk, trace: Trace::read(&log), told }
}

/// Moments for cuts: around every sync, and anywhere; as many as asked for, in order.
fn moments(trace: &Trace, images: usize, random: &mut Random) -> Vec<usize> {
    let syncs: Vec<usize> = trace
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| matches!(entry.call, Call::SyncBegins { .. } | Call::SyncEnded { .. }))
        .map(|(at, _)| at)
        .collect();
    let mut moments: Vec<usize> = (0..images)
        .map(|_| match random.below(3) {
            0 => random.index(trace.entries.len() + 1),
            1 => syncs[random.index(syncs.len())],
            _ => syncs[random.index(syncs.len())] + 1,
        })
        .collect();
    moments.sort_unstable();
    moments
}

/// An image, what must be in it, and a second copy: the judge changes what it looks at.
struct Image {
    moment: usize,
    cut: Cut,
    folder: TempDir,
    untouched: TempDir,
    told: Told,
}

impl Image {
    /// What was lost, when, and how.
    fn loss(&self) -> Option<String> {
        let verdict = judge(&self.folder.path().join(DATA), &self.told).err()?;
        Some(format!("before call {}, {:?}: {verdict}", self.moment, self.cut))
    }
}

/// Judges a few at a time: most of the time they wait for sled's threads.
fn judge_all(images: &[Image]) -> Vec<String> {
    thread::scope(|scope| {
        let threads: Vec<_> =
            images.iter().map(|image| scope.spawn(move || image.loss())).collect();
        threads.into_iter().filter_map(|it| it.join().expect("the judge ends")).collect()
    })
}

/// Cuts at those moments, until something is lost; a sync that is not `is_made` was never made.
/// Gives the losses, and the last image.
fn cut_all(
    recording: &Recording,
    moments: &[usize],
    random: &mut Random,
    is_made: &IsMade,
) -> (Vec<String>, Image) {
    let (mut disk, mut told) = (recording.disk.clone(), recording.told.clone());
    let mut done = 0;
    let mut images = Vec::new();
    for (left, &moment) in (0..moments.len()).rev().zip(moments) {
        for entry in &recording.trace.entries[done..moment] {
            if let Call::Write { data, .. } = &entry.call
                && entry.path.ends_with(MARKER)
            {
                let text = recording.trace.data(data);
                told.hear(std::str::from_utf8(text).expect("the marker is text"));
            }
            disk.take(&recording.trace, entry, is_made);
        }
        done = moment;
        let (folder, untouched) = (scratch(), scratch());
        let cut = Cut::draw(random);
        disk.cut(&recording.trace, cut, random, folder.path());
        copy_folder(folder.path(), untouched.path());
        images.push(Image { moment, cut, folder, untouched, told: told.clone() });
        if images.len() == AT_ONCE || left == 0 {
            let losses = judge_all(&images);
            let last = images.pop().expect("there is one");
            if left == 0 || !losses.is_empty() {
                return (losses, last);
            }
            images.clear();
        }
    }
    panic!("there is at least one moment");
}

/// The seed, and a recording of a new journal.
fn fresh(what: &str, fail: Option<&str>) -> (Random, Recording) {
    let mut random = Random::new(seed(what));
    let base = scratch();
    let recording = recorded(base.path(), Told::default(), random.next(), 1, fail);
    (random, recording)
}

/// Fails unless cuts lose something once those syncs are taken for not made.
fn notices_without(what: &str, is_left_out: impl Fn(&Entry) -> bool + 'static) {
    let (mut random, recording) = fresh(what, None);
    let moments = moments(&recording.trace, NOTICED_WITHIN, &mut random);
    let (losses, _) = cut_all(&recording, &moments, &mut random, &move |sync| !is_left_out(sync));
    let loss = losses.first().unwrap_or_else(|| panic!("{what}: the rig does not notice"));
    say(&format!("{what}: {loss}"));
}

fn is_named(entry: &Entry, name: &str) -> bool {
    matches!(&entry.call, Call::SyncBegins { name: called, .. } if called == name)
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let mut random = Random::new(seed("power cuts"));
    let images = count("GRID_CUTS", 200);
    let (mut done, mut calls, mut syncs) = (0, 0, 0);
    let mut base = (scratch(), Told::default());
    let mut epoch = 1;
    while done < images {
        let wanted = IMAGES_A_ROUND.min(images - done);
        let recording = recorded(base.0.path(), base.1, random.next(), epoch, None);
        let moments = moments(&recording.trace, wanted, &mut random);
        let (losses, last) = cut_all(&recording, &moments, &mut random, &|_| true);
        assert!(losses.is_empty(), "{} lost something: {}", losses.len(), losses[0]);
        calls += recording.trace.entries.len();
        let ends = |it: &&Entry| matches!(it.call, Call::SyncEnded { .. });
        syncs += recording.trace.entries.iter().filter(ends).count();
        done += wanted;
        (base, epoch) = if epoch == 1 {
            ((last.untouched, last.told), 2)
        } else {
            ((scratch(), Told::default()), 1)
        };
    }
    say(&format!("power cuts: {done} images of {calls} calls with {syncs} syncs, 0 losses"));
}

#[test]
fn the_record_explains_every_byte_on_the_disk() {
    let base = scratch();
    let recording = recorded(base.path(), Told::default(), seed("the record"), 1, None);
    let Recording { mut disk, trace, .. } = recording;
    trace.entries.iter().for_each(|entry| disk.take(&trace, entry, &|_| true));
    let image = scratch();
    let all = Cut { files: Some(Fate::Kept), folders: Some(Fate::Kept) };
    disk.cut(&trace, all, &mut Random::new(0), image.path());
    let names = |root: &Path| {
        let files = files_below(root);
        let names = files.iter().map(|it| it.strip_prefix(root).expect("below").to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(base.path()), names(image.path()));
    // Its length is set by a raw call that no sync follows; nothing is in it.
    let told = |name: &PathBuf| !name.ends_with("ballast");
    let names: Vec<_> = names(base.path()).into_iter().filter(told).collect();
    assert!(names.len() > 5, "the worker wrote files: {names:?}");
    for name in names {
        let read = |root: &Path| std::fs::read(root.join(&name)).expect("a file");
        assert!(read(base.path()) == read(image.path()), "{} differs", name.display());
    }
}

#[test]
fn the_rig_notices_a_missing_fdatasync_of_commits() {
    notices_without("no fdatasync of commits", |sync| {
        is_named(sync, "fdatasync") && sync.path.contains("/commits/")
    });
}

#[test]
fn the_rig_notices_a_missing_sync_of_the_folder_of_commits() {
    notices_without("no sync of the folder of commits", |sync| sync.path.ends_with("/commits"));
}

#[test]
fn the_rig_notices_a_missing_sync_of_the_data_folder() {
    notices_without("no sync of the data folder", |sync| sync.path.ends_with("/data"));
}

#[test]
fn the_rig_notices_a_missing_sync_of_sealed_spans() {
    notices_without("no sync of spans", |sync| sync.path.contains("/archive/span-"));
}
