//! Writes the section Green Threads: every task, and where it waits.
//!
//! All tasks are woken and record a trace when they are next polled. Those that do not are being
//! polled (the thread is named, see its stack), or no worker polls them because all are blocked:
//! then this thread polls them. Guarantees to end within two timeouts. Does not know what tasks do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use super::probe::Trace;
use super::traced::{TaskTrace, TracedTask};
use super::{EPOCH, registry};
use crate::guru_meditation::section_builder::SectionBuilder;
use crate::guru_meditation::stack::{Frame, Stack};
use crate::guru_meditation::threads::{Symbols, UnwindTables};
use crate::guru_meditation::time;

/// How long tasks have to record a trace by themselves.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);

/// Interval between checks for traces.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How often tasks without a trace are woken again, in checks.
const WAKE_EVERY_POLLS: u32 = 20;

/// Maximum number of tasks traced and listed; the rest is counted by name.
const TASKS_MAX: usize = 5_000;

/// What a task is doing.
enum TaskActivity {
    Waiting(Vec<Trace>),
    Running(i32),
    NotStarted,
    Unresponsive,
}

/// Writes the section.
pub(in crate::guru_meditation) fn write(page: &SectionBuilder, runtimes: &[Handle]) {
    let mut tasks = registry::all_tasks();
    let counted = tasks.iter().filter(|task| task.meta().is_counted).count();
    page.add_detail("traced", counted);
    let alive: usize = runtimes.iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum();
    page.add_detail("alive", alive);
    if tasks.len() > TASKS_MAX {
        add_omitted(page, &tasks[TASKS_MAX..]);
        tasks.truncate(TASKS_MAX);
    }
    let epoch = EPOCH.fetch_add(1, Ordering::Relaxed) + 1;
    wake_tasks(&tasks, epoch);
    poll_stuck_tasks(&tasks, epoch, runtimes);
    let tables = UnwindTables::load();
    let mut symbols = Symbols::new();
    let mut seen: HashMap<Vec<Vec<Frame>>, u64> = HashMap::new();
    for task in tasks.iter().filter(|task| !task.meta().is_finished.load(Ordering::Acquire)) {
        let mut stack = Stack {
            title: "Green Thread".to_owned(),
            origin: origin(&**task),
            facts: facts(&**task),
            ..Stack::default()
        };
        let (state, traces) = match activity_of(&**task, epoch) {
            TaskActivity::Waiting(traces) => ("waiting".to_owned(), traces),
            TaskActivity::Running(thread) => {
                stack.remark = Some(format!("it is being polled: see Thread #{thread}"));
                (format!("RUNNING on thread {thread}"), Vec::new())
            }
            TaskActivity::NotStarted => {
                stack.remark = Some("no worker has polled it yet".to_owned());
                ("not started".to_owned(), Vec::new())
            }
            TaskActivity::Unresponsive => {
                stack.remark = Some("it was not polled in time".to_owned());
                ("unknown".to_owned(), Vec::new())
            }
        };
        stack.facts.insert("state".to_owned(), json!(state));
        let branches = branches(&traces, &mut symbols, &tables);
        if let Some(same) = seen.get(&branches).filter(|_| !branches.is_empty()) {
            stack.facts.insert("same_stack_as".to_owned(), json!(same));
            stack.remark = Some(format!("the same stack as that of task {same}"));
        } else {
            seen.insert(branches.clone(), task.meta().id);
            stack.branches = branches;
        }
        page.add_stack(stack);
    }
    symbols.lack().into_iter().for_each(|why| page.mark_incomplete(why));
}

/// Where the task was spawned, as the frame outside all others.
fn origin(task: &dyn TracedTask) -> Frame {
    let meta = task.meta();
    let (filename, line) = (meta.spawned_at.file().to_owned(), meta.spawned_at.line().to_string());
    Frame { filename, line, name: format!("task {} ({})", meta.id, meta.name), code: None }
}

/// The places where a task waits, with symbols, sorted: `select!` polls its branches in any order,
/// and the same lines are at several addresses.
fn branches(traces: &[Trace], symbols: &mut Symbols, tables: &UnwindTables) -> Vec<Vec<Frame>> {
    let named = traces.iter().map(|trace| {
        let (mut frames, _) = symbols.frames(trace, tables);
        // The function of the future may be inlined into the probe, whose frames are dropped.
        let ours = |frame: &Frame| frame.filename.ends_with("guru_meditation/tasks/probe.rs");
        frames.drain(..frames.iter().take_while(|frame| ours(frame)).count());
        frames
    });
    let mut branches: Vec<_> = named.collect();
    branches.sort();
    branches.dedup();
    branches
}

/// Wakes tasks until all have a trace, or the timeout ends.
fn wake_tasks(tasks: &[Arc<dyn TracedTask>], epoch: u64) {
    let begun = time::monotonic_now();
    let mut waiting: Vec<_> = tasks.iter().collect();
    for look in 0_u32.. {
        if look.is_multiple_of(WAKE_EVERY_POLLS) {
            waiting.iter().for_each(|task| task.wake());
        }
        std::thread::sleep(POLL_INTERVAL);
        waiting.retain(|task| !has_answered(&***task, epoch) && has_started(&***task));
        if waiting.is_empty() || begun.elapsed() > ANSWER_TIMEOUT {
            return;
        }
    }
}

/// Polls tasks that no worker polls.
fn poll_stuck_tasks(tasks: &[Arc<dyn TracedTask>], epoch: u64, runtimes: &[Handle]) {
    let [runtime] = runtimes else { return };
    let _within = runtime.enter();
    let begun = time::monotonic_now();
    for task in tasks {
        let meta = task.meta();
        if has_answered(&**task, epoch) || !has_started(&**task) || begun.elapsed() > ANSWER_TIMEOUT
        {
            continue;
        }
        if meta.polled_by.load(Ordering::Relaxed) == 0 {
            task.probe_from_reporter(epoch);
        }
    }
}

fn has_started(task: &dyn TracedTask) -> bool {
    task.meta().polls.load(Ordering::Relaxed) > 0
}

fn has_answered(task: &dyn TracedTask, epoch: u64) -> bool {
    task.meta().is_finished.load(Ordering::Acquire) || trace_of(task, epoch).is_some()
}

fn trace_of(task: &dyn TracedTask, epoch: u64) -> Option<TaskTrace> {
    let answer = task.meta().last_trace.lock().unwrap_or_else(PoisonError::into_inner);
    answer.clone().filter(|answer| answer.epoch >= epoch)
}

fn activity_of(task: &dyn TracedTask, epoch: u64) -> TaskActivity {
    match (trace_of(task, epoch), task.meta().polled_by.load(Ordering::Relaxed)) {
        (Some(answer), _) => TaskActivity::Waiting(answer.traces),
        (None, 0) if !has_started(task) => TaskActivity::NotStarted,
        (None, 0) => TaskActivity::Unresponsive,
        (None, thread) => TaskActivity::Running(thread),
    }
}

fn facts(task: &dyn TracedTask) -> Map<String, Value> {
    let meta = task.meta();
    let mut facts = Map::new();
    let mut put = |key: &str, value: Value| drop(facts.insert(key.to_owned(), value));
    put("id", json!(meta.id));
    put("name", json!(meta.name));
    put("spawned", json!(format!("{}:{}", meta.spawned_at.file(), meta.spawned_at.line())));
    put("age", json!(time::format_duration(meta.created_at.elapsed())));
    put("polls", json!(meta.polls.load(Ordering::Relaxed)));
    let detail = meta.detail.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(detail) = &*detail {
        put("detail", json!(detail));
    }
    facts
}

fn add_omitted(page: &SectionBuilder, rest: &[Arc<dyn TracedTask>]) {
    let mut counts: Map<String, Value> = Map::new();
    for task in rest {
        let count = counts.entry(task.meta().name).or_insert_with(|| json!(0));
        *count = json!(count.as_u64().unwrap_or_default() + 1);
    }
    page.add_detail("left_out_by_name", Value::Object(counts));
}
