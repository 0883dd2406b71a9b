//! The section Green Threads: asks every task where it waits, and tells.
//!
//! All are woken and answer when they are next polled. Those that do not are being polled (by a
//! thread that is named, see its stack), or nobody takes them up because all workers are blocked:
//! then this thread polls them. Guarantees an end within two graces.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::probe::Trace;
use super::traced::{TaskHandle, TraceReply};
use super::{EPOCH, registry};
use crate::guru_meditation::section_builder::SectionBuilder;
use crate::guru_meditation::stack::{Frame, Stack};
use crate::guru_meditation::threads::{Symbols, Tables};
use crate::guru_meditation::time;

/// Tasks get so long to answer by themselves.
const GRACE: Duration = Duration::from_millis(300);

/// How often answers are looked for.
const POLL_EVERY: Duration = Duration::from_millis(1);

/// How often those that have not answered are woken again, in looks.
const NUDGE_EVERY: u32 = 20;

/// Most tasks asked and told; the rest is counted by name.
const TASKS_MAX: usize = 5_000;

/// What a task was found doing.
enum TaskActivity {
    Waiting(Vec<Trace>),
    Running(i32),
    NotStarted,
    Silent,
}

/// Writes the section.
pub(in crate::guru_meditation) fn add_section(page: &SectionBuilder, runtimes: &[Handle]) {
    let mut tasks = registry::all();
    let counted = tasks.iter().filter(|task| task.meta().is_counted).count();
    page.add_more("traced", counted);
    let alive: usize = runtimes.iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum();
    page.add_more("alive", alive);
    if tasks.len() > TASKS_MAX {
        put_rest(page, &tasks[TASKS_MAX..]);
        tasks.truncate(TASKS_MAX);
    }
    let epoch = EPOCH.fetch_add(1, Ordering::Relaxed) + 1;
    request_traces(&tasks, epoch);
    help(&tasks, epoch, runtimes);
    let tables = Tables::load();
    let mut symbols = Symbols::new();
    let mut told: HashMap<Vec<Vec<Frame>>, u64> = HashMap::new();
    for task in tasks.iter().filter(|task| !task.meta().is_over.load(Ordering::Acquire)) {
        let mut stack = Stack {
            title: "Green Thread".to_owned(),
            origin: origin(&**task),
            facts: facts(&**task),
            ..Stack::default()
        };
        let (state, traces) = match doing(&**task, epoch) {
            TaskActivity::Waiting(traces) => ("waiting".to_owned(), traces),
            TaskActivity::Running(thread) => {
                stack.remark = Some(format!("it is being polled: see Thread #{thread}"));
                (format!("RUNNING on thread {thread}"), Vec::new())
            }
            TaskActivity::NotStarted => {
                stack.remark = Some("no worker has taken it up yet".to_owned());
                ("not begun".to_owned(), Vec::new())
            }
            TaskActivity::Silent => {
                stack.remark = Some("it did not answer in time".to_owned());
                ("unknown".to_owned(), Vec::new())
            }
        };
        stack.facts.insert("state".to_owned(), json!(state));
        let branches = branches(&traces, &mut symbols, &tables);
        if let Some(same) = told.get(&branches).filter(|_| !branches.is_empty()) {
            stack.facts.insert("same_stack_as".to_owned(), json!(same));
            stack.remark = Some(format!("the same stack as that of task {same}"));
        } else {
            told.insert(branches.clone(), task.meta().id);
            stack.branches = branches;
        }
        page.add_stack(stack);
    }
    symbols.lack().into_iter().for_each(|why| page.mark_missing(why));
}

/// Where it was spawned, as the frame outside all others.
fn origin(task: &dyn TaskHandle) -> Frame {
    let meta = task.meta();
    let (filename, line) = (meta.place.file().to_owned(), meta.place.line().to_string());
    Frame { filename, line, name: format!("task {} ({})", meta.id, meta.name), code: None }
}

/// The places where a task waits, with names, in an order of their own: `select!` polls its branches
/// in any, and the same lines are at several addresses.
fn branches(traces: &[Trace], symbols: &mut Symbols, tables: &Tables) -> Vec<Vec<Frame>> {
    let named = traces.iter().map(|trace| {
        let (mut frames, _) = symbols.frames(trace, tables);
        // The future's own function may be inlined into the probe's, which is of no interest.
        let ours = |frame: &Frame| frame.filename.ends_with("guru_meditation/tasks/probe.rs");
        frames.drain(..frames.iter().take_while(|frame| ours(frame)).count());
        frames
    });
    let mut branches: Vec<_> = named.collect();
    branches.sort();
    branches.dedup();
    branches
}

/// Wakes all until all have answered, or the grace is over.
fn request_traces(tasks: &[Arc<dyn TaskHandle>], epoch: u64) {
    let begun = time::monotonic();
    let mut waiting: Vec<_> = tasks.iter().collect();
    for look in 0_u32.. {
        if look.is_multiple_of(NUDGE_EVERY) {
            waiting.iter().for_each(|task| task.nudge());
        }
        std::thread::sleep(POLL_EVERY);
        waiting.retain(|task| !has_answered(&***task, epoch) && has_begun(&***task));
        if waiting.is_empty() || begun.elapsed() > GRACE {
            return;
        }
    }
}

/// Polls those that nobody takes up.
fn help(tasks: &[Arc<dyn TaskHandle>], epoch: u64, runtimes: &[Handle]) {
    let [runtime] = runtimes else { return };
    let _within = runtime.enter();
    let begun = time::monotonic();
    for task in tasks {
        let meta = task.meta();
        if has_answered(&**task, epoch) || !has_begun(&**task) || begun.elapsed() > GRACE {
            continue;
        }
        if meta.on.load(Ordering::Relaxed) == 0 {
            task.probe_here(epoch);
        }
    }
}

fn has_begun(task: &dyn TaskHandle) -> bool {
    task.meta().polls.load(Ordering::Relaxed) > 0
}

fn has_answered(task: &dyn TaskHandle, epoch: u64) -> bool {
    task.meta().is_over.load(Ordering::Acquire) || answer(task, epoch).is_some()
}

fn answer(task: &dyn TaskHandle, epoch: u64) -> Option<TraceReply> {
    let answer = task.meta().answer.lock().unwrap_or_else(PoisonError::into_inner);
    answer.clone().filter(|answer| answer.epoch >= epoch)
}

fn doing(task: &dyn TaskHandle, epoch: u64) -> TaskActivity {
    match (answer(task, epoch), task.meta().on.load(Ordering::Relaxed)) {
        (Some(answer), _) => TaskActivity::Waiting(answer.traces),
        (None, 0) if !has_begun(task) => TaskActivity::NotStarted,
        (None, 0) => TaskActivity::Silent,
        (None, thread) => TaskActivity::Running(thread),
    }
}

fn facts(task: &dyn TaskHandle) -> Map<String, Value> {
    let meta = task.meta();
    let mut facts = Map::new();
    let mut put = |key: &str, value: Value| drop(facts.insert(key.to_owned(), value));
    put("id", json!(meta.id));
    put("name", json!(meta.name));
    put("spawned", json!(format!("{}:{}", meta.place.file(), meta.place.line())));
    put("age", json!(time::lasting(meta.born.elapsed())));
    put("polls", json!(meta.polls.load(Ordering::Relaxed)));
    let detail = meta.detail.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(detail) = &*detail {
        put("detail", json!(detail));
    }
    facts
}

fn put_rest(page: &SectionBuilder, rest: &[Arc<dyn TaskHandle>]) {
    let mut counts: Map<String, Value> = Map::new();
    for task in rest {
        let count = counts.entry(task.meta().name).or_insert_with(|| json!(0));
        *count = json!(count.as_u64().unwrap_or_default() + 1);
    }
    page.add_more("left_out_by_name", Value::Object(counts));
}
