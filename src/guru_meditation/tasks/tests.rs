//! Tests that tasks are found where they wait, and that tracing does not change their behaviour.

#![expect(clippy::disallowed_methods, reason = "tasks of a runtime of the test's own")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use super::*;
use crate::guru_meditation::SectionBuilder;

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime")
}

/// The listed tasks of that name; other tests have tasks, too.
fn tasks_named(name: &str, runtime: &Runtime) -> Vec<Value> {
    let page = SectionBuilder::default();
    write(&page, &[runtime.handle().clone()]);
    let mut json = page.snapshot().to_json();
    let Some(Value::Array(stacks)) = json.remove("stacks") else { return Vec::new() };
    stacks.into_iter().filter(|stack| stack["name"] == name).collect()
}

/// Waits until a task of that name is listed with `state`.
fn wait_for_state(name: &str, state: &str, runtime: &Runtime) -> Value {
    crate::test_timeout::wait_for(&format!("a task {name} is {state}"), || {
        let found = tasks_named(name, runtime);
        found.into_iter().find(|it| it["state"].as_str().is_some_and(|it| it.starts_with(state)))
    })
}

fn is_waiting_in(stack: &Value, file: &str) -> bool {
    let traces = stack["stack_traces"].as_array().into_iter().flatten();
    let mut frames = traces.flat_map(|trace| trace["lines"].as_array().into_iter().flatten());
    frames.any(|frame| frame["filename"].as_str().is_some_and(|name| name.ends_with(file)))
}

#[test]
fn a_task_is_listed_with_the_place_where_it_waits() {
    let runtime = runtime(2);
    let (stop, stopped) = oneshot::channel::<()>();
    let line = line!() + 1;
    let task = runtime.spawn(trace_task("waits for the end", async move {
        set_task_detail("of the test");
        stopped.await
    }));
    let stack = wait_for_state("waits for the end", "waiting", &runtime);
    assert_eq!(stack["detail"], "of the test");
    assert_eq!(stack["spawned"], format!("{}:{line}", file!()));
    assert!(is_waiting_in(&stack, "guru_meditation/tasks/tests.rs"), "{stack:#}");
    assert!(is_waiting_in(&stack, "sync/oneshot.rs"), "{stack:#}");
    stop.send(()).expect("it waits");
    runtime.block_on(task).expect("no panic").expect("it was told");
    assert!(tasks_named("waits for the end", &runtime).is_empty(), "it has gone");
}

#[test]
fn each_branch_of_a_select_is_listed_and_equal_stacks_once() {
    let runtime = runtime(2);
    let stop = Arc::new(Notify::new());
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let stop = Arc::clone(&stop);
            runtime.spawn(trace_task("two branches", async move {
                tokio::select! {
                    () = stop.notified() => {}
                    () = tokio::time::sleep(Duration::from_secs(600)) => {}
                }
            }))
        })
        .collect();
    // Reports of other tests trace the same tasks meanwhile, and a future may register its waker
    // elsewhere when it is polled again.
    let is_told_once = |all: &Vec<Value>| {
        let waits = all.iter().all(|it| it["state"] == "waiting");
        all.len() == 3 && waits && all[1]["same_stack_as"] == all[0]["id"]
    };
    let all = (0..200).map(|_| tasks_named("two branches", &runtime)).find(is_told_once);
    let all = all.expect("all three wait, and their stack is told once");
    assert_eq!(all[0]["stack_traces"].as_array().map(Vec::len), Some(2), "{:#}", all[0]);
    assert!(is_waiting_in(&all[0], "sync/notify.rs") && is_waiting_in(&all[0], "time/sleep.rs"));
    stop.notify_waiters();
    for task in tasks {
        runtime.block_on(task).expect("it ends");
    }
}

/// Blocks a worker of the runtime in a task of that name, until the sender is used or dropped.
fn block(runtime: &Runtime, name: &'static str) -> std::sync::mpsc::SyncSender<()> {
    let (go_on, stop) = std::sync::mpsc::sync_channel::<()>(1);
    let (is_blocked, blocked) = std::sync::mpsc::sync_channel::<()>(1);
    let stop = std::sync::Mutex::new(stop);
    drop(runtime.spawn(trace_task(name, async move {
        is_blocked.send(()).expect("it listens");
        let _ = stop.lock().expect("no panic").recv();
    })));
    blocked.recv().expect("the worker is blocked");
    go_on
}

#[test]
fn tasks_that_no_worker_polls_are_listed() {
    let runtime = runtime(1);
    let (ready, is_ready) = oneshot::channel::<()>();
    let (_open, mut never) = mpsc::channel::<()>(1);
    drop(runtime.spawn(trace_task("idle meanwhile", async move {
        ready.send(()).expect("it listens");
        never.recv().await
    })));
    runtime.block_on(is_ready).expect("it has begun");
    let go_on = block(&runtime, "blocks its worker");
    let running = wait_for_state("blocks its worker", "RUNNING on thread ", &runtime);
    assert!(running["remark"].as_str().is_some_and(|it| it.contains("see Thread #")));
    let idle = wait_for_state("idle meanwhile", "waiting", &runtime);
    assert!(is_waiting_in(&idle, "guru_meditation/tasks/tests.rs"), "{idle:#}");
    go_on.send(()).expect("it waits");
}

/// Ready once the flag is set; only the reporter wakes it.
async fn ready_when_set(flag: Arc<AtomicBool>, ready: oneshot::Sender<()>) {
    let mut ready = Some(ready);
    std::future::poll_fn(|context| {
        if flag.load(Ordering::Acquire) {
            return std::task::Poll::Ready(());
        }
        // Cloned, but never used.
        drop(context.waker().clone());
        if let Some(ready) = ready.take() {
            ready.send(()).expect("it listens");
        }
        std::task::Poll::Pending
    })
    .await;
}

/// Lets the reporter poll a future to its end, and returns the result of its task.
fn poll_by_the_reporter(panics: bool) -> Result<u32, tokio::task::JoinError> {
    let runtime = runtime(1);
    let flag = Arc::new(AtomicBool::new(false));
    let (ready, is_ready) = oneshot::channel();
    let waiting = ready_when_set(Arc::clone(&flag), ready);
    let task = runtime.spawn(trace_task("ends at the helper", async move {
        waiting.await;
        assert!(!panics, "on purpose");
        7
    }));
    runtime.block_on(is_ready).expect("it waits");
    let go_on = block(&runtime, "blocks its worker, too");
    flag.store(true, Ordering::Release);
    write(&SectionBuilder::default(), &[runtime.handle().clone()]);
    go_on.send(()).expect("it waits");
    runtime.block_on(task)
}

#[test]
fn a_result_polled_by_the_reporter_reaches_the_awaiter() {
    assert_eq!(poll_by_the_reporter(false).expect("no panic"), 7);
    let panic = poll_by_the_reporter(true).expect_err("a panic").into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
}

#[test]
fn a_task_that_is_aborted_drops_its_future_at_once() {
    let runtime = runtime(1);
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let task = runtime.spawn(trace_task("aborted", async move {
        let _held = held;
        std::future::pending::<()>().await;
    }));
    wait_for_state("aborted", "waiting", &runtime);
    task.abort();
    assert!(runtime.block_on(task).expect_err("aborted").is_cancelled());
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(tasks_named("aborted", &runtime).is_empty());
}

/// Work of many kinds whose result is known.
async fn work(seed: u64) -> u64 {
    let (sender, mut receiver) = mpsc::channel(2);
    let feeder = tokio::spawn(trace_task("stress feeder", async move {
        for number in 0..50 {
            sender.send(seed + number).await.expect("it listens");
            if number % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
    }));
    let sum = Arc::new(Mutex::new(0));
    while let Some(number) = receiver.recv().await {
        *sum.lock().await += number;
        if number % 13 == 0 {
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
    }
    feeder.await.expect("no panic");
    let panics = tokio::spawn(trace_task("stress panic", async {
        tokio::task::yield_now().await;
        std::panic::resume_unwind(Box::new("quietly"));
    }));
    assert!(panics.await.expect_err("a panic").is_panic());
    let pending = tokio::spawn(trace_task("stress abort", std::future::pending::<()>()));
    tokio::task::yield_now().await;
    pending.abort();
    assert!(pending.await.expect_err("aborted").is_cancelled());
    let (mut one, mut other) = tokio::io::duplex(16);
    let echo = tokio::spawn(trace_task("stress echo", async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut bytes = [0; 40];
        other.read_exact(&mut bytes).await.expect("all");
        other.write_all(&bytes).await.expect("taken");
    }));
    {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        one.write_all(&[7; 40]).await.expect("taken");
        let mut bytes = [0; 40];
        one.read_exact(&mut bytes).await.expect("all");
        assert_eq!(bytes, [7; 40]);
    }
    echo.await.expect("no panic");
    *sum.lock().await
}

#[test]
fn tasks_under_stress_do_the_same_with_reports_back_to_back() {
    let runtime = runtime(2);
    let over = Arc::new(AtomicBool::new(false));
    let reports = Arc::new(AtomicUsize::new(0));
    let reporting = {
        let (over, reports, handle) =
            (Arc::clone(&over), Arc::clone(&reports), runtime.handle().clone());
        std::thread::spawn(move || {
            while !over.load(Ordering::Acquire) {
                let epoch = EPOCH.fetch_add(1, Ordering::Relaxed) + 1;
                let tasks = registry::all_tasks();
                tasks.iter().for_each(|task| task.wake());
                // The reporter races the workers.
                let _within = handle.enter();
                let ours = tasks.iter().filter(|task| task.meta().name.starts_with("stress"));
                ours.for_each(|task| task.probe_from_reporter(epoch));
                reports.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    for round in 0..20 {
        let all: Vec<_> =
            (0..20).map(|seed| runtime.spawn(trace_task("stress work", work(seed)))).collect();
        for (seed, task) in (0..).zip(all) {
            let sum = runtime.block_on(task).expect("no panic");
            assert_eq!(sum, (0..50).map(|number| seed + number).sum::<u64>(), "round {round}");
        }
    }
    over.store(true, Ordering::Release);
    reporting.join().expect("no panic");
    assert!(reports.load(Ordering::Relaxed) > 20);
    assert!(
        registry::all_tasks().iter().all(|task| !task.meta().name.starts_with("stress")),
        "nothing is left over"
    );
}

#[test]
fn a_thousand_idle_tasks_are_listed_quickly() {
    let runtime = runtime(2);
    let stop = Arc::new(Notify::new());
    for _ in 0..1_000 {
        let stop = Arc::clone(&stop);
        drop(runtime.spawn(trace_task("one of many", async move { stop.notified().await })));
    }
    wait_for_state("one of many", "waiting", &runtime);
    (0..200)
        .map(|_| tasks_named("one of many", &runtime))
        .find(|all| all.len() == 1_000 && all.iter().all(|it| it["state"] == "waiting"))
        .expect("all wait");
    stop.notify_waiters();
}
