//! The section Threads: every thread of the operating system, what it is doing, and through which
//! functions it came there.
//!
//! Guarantees that each thread of the process is named, even if its stack can't be had (then the
//! reason stands there), and that the broker's threads are held up for microseconds only. All stacks
//! are taken first and given names after, so that a slow disk costs the names only. Without /proc it
//! says that it knows of no thread.

mod capture;
mod debug_size;
mod symbols;
#[cfg(test)]
mod tests;
mod unwind;

use std::time::{Duration, Instant};

use procfs::ProcError;
use procfs::process::{Process, Task};
use serde_json::{Map, Value, json};

pub(super) use self::capture::install;
use self::capture::{BATCH, NoSample, Sample, blocks_us, sample, sample_from_outside};
use self::symbols::own_name;
pub(super) use self::symbols::{Symbols, forget};
use self::unwind::StackWalk;
pub(super) use self::unwind::{FRAMES_MAX, Tables};
use super::stack::{Frame, Stack};
use super::time;
use crate::guru_meditation::section_builder::SectionBuilder;

/// Most threads told.
const THREADS_MAX: usize = 2_000;

/// A thread that takes signals answers within this time on a machine that is very busy.
const ANSWER_WITHIN: Duration = Duration::from_millis(150);

/// A thread that blocks the signal may do so for a moment only, while it starts another thread.
const MOMENT: Duration = Duration::from_millis(20);

/// Threads that do not answer are waited for no longer than this in all.
const SILENCE_MAX: Duration = Duration::from_millis(500);

const FROM_OUTSIDE: &str =
    "it does not answer the signal: its stack was read from outside, frames may be missing";

/// A thread before its stack is taken.
struct Thread {
    id: i32,
    name: String,
    facts: Map<String, Value>,
    /// It does not let itself be interrupted.
    is_held: bool,
    /// Our signal waits for it already; more would only pile up.
    is_asked: bool,
}

/// Writes the section.
pub(super) fn add_section(page: &SectionBuilder) {
    let threads = match all() {
        Ok(threads) => threads,
        Err(why) => {
            page.mark_missing(format!(
                "which threads there are is unknown: /proc/self/task can't be read: {why}"
            ));
            return;
        }
    };
    page.add_more("threads", threads.len());
    let mut tables = Tables::load();
    let begun = time::monotonic();
    let mut taken = Vec::with_capacity(threads.len());
    let own = std::process::id();
    for batch in threads.chunks(BATCH) {
        let samples = batch_of_samples(batch, begun);
        for (thread, sample) in batch.iter().zip(samples) {
            let (walk, remark) = walked(&mut tables, sample);
            let Thread { id, name, facts, .. } = thread;
            let filename = format!("/proc/{own}/task/{id}/comm");
            let stack = Stack {
                title: format!("Thread #{id}"),
                origin: Frame { filename, line: "1".to_owned(), name: name.clone(), code: None },
                facts: facts.clone(),
                remark,
                branches: vec![unnamed(&walk.addresses, &tables)],
            };
            taken.push((page.add_stack(stack.clone()), stack, walk));
        }
    }
    let mut symbols = Symbols::new();
    for (at, mut stack, walk) in taken {
        let Some(at) = at else { break };
        let (frames, is_from_beginning) = symbols.frames(&walk.addresses, &tables);
        stack.branches = vec![frames];
        if stack.remark.is_none() && !walk.is_whole && !is_from_beginning {
            stack.remark = Some("the outermost frames are missing".to_owned());
        }
        page.set_stack(at, stack);
    }
    symbols.lack().into_iter().for_each(|why| page.mark_missing(why));
}

/// The frames of a sample, and what is wrong with them.
fn walked(tables: &mut Tables, taken: SampleBatch) -> (StackWalk, Option<String>) {
    match taken {
        Ok((sample, false)) => (tables.walk(&sample), None),
        Ok((sample, true)) => {
            let walk = tables.walk_by_search(&sample);
            (walk, Some(FROM_OUTSIDE.to_owned()))
        }
        Err(why) => (StackWalk::default(), Some(format!("no stack: {why}"))),
    }
}

/// Frames before they have names.
fn unnamed(addresses: &[u64], tables: &Tables) -> Vec<Frame> {
    let own = own_name();
    let frame = |address: &u64| {
        let (filename, at) = match tables.object(*address) {
            Some((object, at)) if object.name.is_empty() => (own.clone(), at),
            Some((object, at)) => (object.name.clone(), at),
            None => (String::new(), *address),
        };
        Frame { filename, line: format!("{at:#x}"), name: "?".to_owned(), code: None }
    };
    addresses.iter().rev().map(frame).collect()
}

/// Every thread there is, in the order of their ids.
fn all() -> Result<Vec<Thread>, ProcError> {
    let tasks = Process::myself().and_then(|process| process.tasks())?;
    let tasks = tasks.filter_map(Result::ok).take(THREADS_MAX);
    let mut threads: Vec<_> = tasks.map(|task| thread(&task)).collect();
    threads.sort_by_key(|thread| thread.id);
    Ok(threads)
}

fn thread(task: &Task) -> Thread {
    let mut facts = Map::new();
    let (mut is_held, mut is_asked) = (false, false);
    let mut name = "?".to_owned();
    if let Ok(status) = task.status() {
        name.clone_from(&status.name);
        facts.insert("name".to_owned(), json!(status.name));
        facts.insert("state".to_owned(), json!(status.state));
        is_held = blocks_us(status.sigblk) || status.state.starts_with('D');
        is_asked = blocks_us(status.sigpnd);
    }
    if let Ok(stat) = task.stat() {
        let seconds = |ticks: u64| {
            let per_second = procfs::ticks_per_second().max(1);
            format!("{}.{:02} s", ticks / per_second, ticks % per_second * 100 / per_second)
        };
        facts.insert("cpu_time".to_owned(), json!(seconds(stat.utime + stat.stime)));
    }
    let waits = std::fs::read_to_string(format!("/proc/self/task/{}/wchan", task.tid));
    if let Some(waits) = waits.ok().filter(|waits| !waits.is_empty() && waits != "0") {
        facts.insert("waits_in".to_owned(), json!(waits));
    }
    Thread { id: task.tid, name, facts, is_held, is_asked }
}

type SampleBatch = Result<(Sample, bool), NoSample>;

/// Stacks of a few threads at once; those taken from outside are marked.
fn batch_of_samples(batch: &[Thread], begun: Instant) -> Vec<SampleBatch> {
    let left = SILENCE_MAX.saturating_sub(begun.elapsed());
    let asked: Vec<_> = batch
        .iter()
        .filter(|thread| !(thread.is_held && thread.is_asked))
        .map(|thread| (thread.id, if thread.is_held { MOMENT } else { ANSWER_WITHIN }.min(left)))
        .collect();
    let answers = sample(&asked);
    let answer = |thread: &Thread| {
        let at = asked.iter().position(|(id, _)| *id == thread.id);
        at.and_then(|at| answers.get(at).cloned()).unwrap_or(Err(NoSample::Silent))
    };
    let whole = batch.iter().map(|thread| match answer(thread) {
        Ok(sample) => Ok((sample, false)),
        Err(NoSample::Silent) => sample_from_outside(thread.id).map(|sample| (sample, true)),
        Err(
            why @ (NoSample::Ended
            | NoSample::Running
            | NoSample::Unknown
            | NoSample::NoRoom
            | NoSample::Unsupported(_)),
        ) => Err(why),
    });
    whole.collect()
}
