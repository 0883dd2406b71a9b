//! Writes the section Threads: every thread of the process, its state and its stack.
//!
//! Guarantees that each thread is listed, even without a stack (then with the reason), and that
//! threads of the program are interrupted for microseconds only. All stacks are captured before
//! symbols are resolved, so that a slow disk costs only the symbols. Without /proc the section says
//! that threads are unknown. Does not know tasks.

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
use self::capture::{BATCH, Sample, SampleError, blocks_signal, sample, sample_from_outside};
use self::symbols::own_path;
pub(super) use self::symbols::{Symbols, clear_cache};
use self::unwind::StackWalk;
pub(super) use self::unwind::{FRAMES_MAX, UnwindTables};
use super::stack::{Frame, Stack};
use super::time;
use crate::guru_meditation::section_builder::SectionBuilder;

/// Maximum number of threads listed.
const THREADS_MAX: usize = 2_000;

/// Timeout of a thread that accepts the signal; enough for a very busy machine.
const SIGNAL_TIMEOUT: Duration = Duration::from_millis(150);

/// Timeout of a thread that blocks the signal, which it may do briefly while it starts another one.
const BLOCKED_SIGNAL_TIMEOUT: Duration = Duration::from_millis(20);

/// Total timeout of all threads that do not react.
const UNRESPONSIVE_TOTAL_MAX: Duration = Duration::from_millis(500);

const FROM_OUTSIDE_REMARK: &str =
    "it does not react to the signal: its stack was read from outside, frames may be missing";

/// A thread before its stack is captured.
struct ThreadInfo {
    id: i32,
    name: String,
    facts: Map<String, Value>,
    /// It cannot be interrupted.
    is_uninterruptible: bool,
    /// The signal is already pending; more would only pile up.
    has_pending_signal: bool,
}

/// Writes the section.
pub(super) fn write(page: &SectionBuilder) {
    let threads = match all_threads() {
        Ok(threads) => threads,
        Err(why) => {
            page.mark_incomplete(format!(
                "the threads are unknown: cannot read /proc/self/task: {why}"
            ));
            return;
        }
    };
    page.add_detail("threads", threads.len());
    let mut tables = UnwindTables::load();
    let begun = time::monotonic_now();
    let mut captured = Vec::with_capacity(threads.len());
    let own = std::process::id();
    for batch in threads.chunks(BATCH) {
        let samples = sample_batch(batch, begun);
        for (thread, sample) in batch.iter().zip(samples) {
            let (walk, remark) = unwind_sample(&mut tables, sample);
            let ThreadInfo { id, name, facts, .. } = thread;
            let filename = format!("/proc/{own}/task/{id}/comm");
            let stack = Stack {
                title: format!("Thread #{id}"),
                origin: Frame { filename, line: "1".to_owned(), name: name.clone(), code: None },
                facts: facts.clone(),
                remark,
                branches: vec![unresolved_frames(&walk.addresses, &tables)],
            };
            captured.push((page.add_stack(stack.clone()), stack, walk));
        }
    }
    let mut symbols = Symbols::new();
    for (at, mut stack, walk) in captured {
        let Some(at) = at else { break };
        let (frames, is_from_beginning) = symbols.frames(&walk.addresses, &tables);
        stack.branches = vec![frames];
        if stack.remark.is_none() && !walk.is_complete && !is_from_beginning {
            stack.remark = Some("the outermost frames are missing".to_owned());
        }
        page.replace_stack(at, stack);
    }
    symbols.lack().into_iter().for_each(|why| page.mark_incomplete(why));
}

/// The frames of a sample, and a remark if they are incomplete.
fn unwind_sample(tables: &mut UnwindTables, result: SampleResult) -> (StackWalk, Option<String>) {
    match result {
        Ok((sample, false)) => (tables.walk(&sample), None),
        Ok((sample, true)) => {
            let walk = tables.walk_by_search(&sample);
            (walk, Some(FROM_OUTSIDE_REMARK.to_owned()))
        }
        Err(why) => (StackWalk::default(), Some(format!("no stack: {why}"))),
    }
}

/// Frames before symbols are resolved.
fn unresolved_frames(addresses: &[u64], tables: &UnwindTables) -> Vec<Frame> {
    let own = own_path();
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

/// All threads, ordered by id.
fn all_threads() -> Result<Vec<ThreadInfo>, ProcError> {
    let tasks = Process::myself().and_then(|process| process.tasks())?;
    let tasks = tasks.filter_map(Result::ok).take(THREADS_MAX);
    let mut threads: Vec<_> = tasks.map(|task| thread_info(&task)).collect();
    threads.sort_by_key(|thread| thread.id);
    Ok(threads)
}

fn thread_info(task: &Task) -> ThreadInfo {
    let mut facts = Map::new();
    let (mut is_held, mut is_asked) = (false, false);
    let mut name = "?".to_owned();
    if let Ok(status) = task.status() {
        name.clone_from(&status.name);
        facts.insert("name".to_owned(), json!(status.name));
        facts.insert("state".to_owned(), json!(status.state));
        is_held = blocks_signal(status.sigblk) || status.state.starts_with('D');
        is_asked = blocks_signal(status.sigpnd);
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
    ThreadInfo {
        id: task.tid,
        name,
        facts,
        is_uninterruptible: is_held,
        has_pending_signal: is_asked,
    }
}

type SampleResult = Result<(Sample, bool), SampleError>;

/// Captures the stacks of a batch of threads; those read from outside are marked.
fn sample_batch(batch: &[ThreadInfo], begun: Instant) -> Vec<SampleResult> {
    let left = UNRESPONSIVE_TOTAL_MAX.saturating_sub(begun.elapsed());
    let requests: Vec<_> = batch
        .iter()
        .filter(|thread| !(thread.is_uninterruptible && thread.has_pending_signal))
        .map(|thread| {
            (
                thread.id,
                if thread.is_uninterruptible { BLOCKED_SIGNAL_TIMEOUT } else { SIGNAL_TIMEOUT }
                    .min(left),
            )
        })
        .collect();
    let answers = sample(&requests);
    let answer = |thread: &ThreadInfo| {
        let at = requests.iter().position(|(id, _)| *id == thread.id);
        at.and_then(|at| answers.get(at).cloned()).unwrap_or(Err(SampleError::Unresponsive))
    };
    let whole = batch.iter().map(|thread| match answer(thread) {
        Ok(sample) => Ok((sample, false)),
        Err(SampleError::Unresponsive) => {
            sample_from_outside(thread.id).map(|sample| (sample, true))
        }
        Err(
            why @ (SampleError::Ended
            | SampleError::Running
            | SampleError::Unreadable
            | SampleError::NoMemory
            | SampleError::Unsupported(_)),
        ) => Err(why),
    });
    whole.collect()
}
