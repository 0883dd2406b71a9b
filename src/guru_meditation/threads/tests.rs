//! Tests that threads are found where they are, whatever they do with signals.

#![expect(unsafe_code, reason = "masks of signals are set by the C library alone")]
#![expect(clippy::disallowed_methods, reason = "threads of the test's own")]

mod hostile;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::*;

/// Runs `body` in a thread of that name; returns its id and how to end it.
fn thread_that(
    name: &str,
    body: impl FnOnce(&dyn Fn()) + Send + 'static,
) -> (i32, SyncSender<()>, JoinHandle<()>) {
    let (go_on, stop) = sync_channel::<()>(1);
    let (id_sender, id) = sync_channel(1);
    let stop = Mutex::new(stop);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        id_sender.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("it listens");
        body(&|| {
            let _ = stop.lock().expect("no panic").recv();
        });
    });
    (id.recv().expect("it has begun"), go_on, thread.expect("a thread"))
}

#[inline(never)]
fn waits_in_a_function_of_its_own(wait: &dyn Fn()) {
    wait();
    // Keeps the frame.
    std::hint::black_box(());
}

/// The text of the section about that thread.
fn thread_text(id: i32) -> String {
    install().expect("a signal is free");
    let page = SectionBuilder::default();
    write(&page);
    let text = page.snapshot().to_text();
    let begin = text.find(&format!(" Thread #{id} ")).unwrap_or_else(|| panic!("{id} in {text}"));
    let end = text[begin..].find("\n------ ").unwrap_or(text.len() - begin);
    text[begin..begin + end].to_owned()
}

/// Captures the stacks of all threads.
fn samples(threads: &[ThreadInfo]) -> Vec<SampleResult> {
    let begun = time::monotonic_now();
    threads.chunks(BATCH).flat_map(|batch| sample_batch(batch, begun)).collect()
}

/// Waits until the text about the thread contains all parts.
fn wait_for_text(id: i32, parts: &[&str]) {
    crate::test_timeout::wait_for(&format!("{parts:?} of thread {id}"), || {
        let last = thread_text(id);
        parts.iter().all(|part| last.contains(part)).then_some(())
    });
}

#[test]
fn a_waiting_thread_is_listed_with_its_functions() {
    let (id, go_on, thread) = thread_that("sleeper", waits_in_a_function_of_its_own);
    wait_for_text(id, &["/comm:1 in sleeper\n", "state = S", "waits_in_a_function_of_its_own\n"]);
    let text = thread_text(id);
    let (own, inner) = (text.find("waits_in_a_function"), text.find("Receiver<T>::recv"));
    assert!(own < inner, "the innermost function stands last:\n{text}");
    assert!(!text.contains("frames"), "nothing is missing:\n{text}");
    assert!(text.contains("\n    `wait();`\n"), "the source is at hand:\n{text}");
    go_on.send(()).expect("it waits");
    thread.join().expect("no panic");
}

#[inline(never)]
fn spins_until(over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_running_thread_is_listed_with_its_functions() {
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let (id, _, thread) = thread_that("spinner", move |_| spins_until(&seen));
    wait_for_text(id, &["state = R (running)", "spins_until\n"]);
    over.store(true, Ordering::Release);
    thread.join().expect("no panic");
}

fn block_all_signals() {
    // SAFETY: plain data that lives through the calls; the mask is this thread's alone.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

#[test]
fn a_thread_that_blocks_all_signals_is_read_from_outside() {
    let (id, go_on, thread) = thread_that("deaf", |wait| {
        block_all_signals();
        waits_in_a_function_of_its_own(wait);
    });
    wait_for_text(
        id,
        &["(it does not react to the signal: its stack was read from outside, frames"],
    );
    // It is in a system call, called from functions of this test.
    wait_for_text(id, &[" in syscall\n", "::waits_in_a_function_of_its_own\n"]);
    let text = thread_text(id);
    let (own, inner) = (text.find("waits_in_a_function"), text.find(" in syscall\n"));
    assert!(own < inner, "the innermost function stands last:\n{text}");
    // Signals do not pile up.
    let pending = || {
        let process = Process::myself().expect("this process");
        let task = process.task_from_tid(id).expect("the thread");
        task.status().expect("its status").sigq.0
    };
    let before = pending();
    for _ in 0..20 {
        thread_text(id);
    }
    assert!(pending() <= before + 2, "{} signals wait", pending());
    go_on.send(()).expect("it waits");
    thread.join().expect("no panic");
}

#[test]
fn a_thread_deep_in_recursion_is_listed_with_its_newest_frames() {
    #[inline(never)]
    fn deeper(depth: u32, wait: &dyn Fn()) {
        if depth == 0 {
            wait()
        } else {
            deeper(depth - 1, wait)
        }
        // Keeps the frame.
        std::hint::black_box(depth);
    }
    let (id, go_on, thread) = thread_that("deep", |wait| deeper(600, wait));
    wait_for_text(id, &["deeper\n", "(the outermost frames are missing)"]);
    go_on.send(()).expect("it waits");
    thread.join().expect("no panic");
}

#[test]
fn threads_that_come_and_go_disturb_nothing() {
    install().expect("a signal is free");
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let churning = std::thread::spawn(move || {
        while !seen.load(Ordering::Acquire) {
            let few: Vec<_> = (0..8).map(|_| std::thread::spawn(|| vec![0_u8; 10_000])).collect();
            few.into_iter().for_each(|thread| drop(thread.join()));
        }
    });
    for _ in 0..100 {
        let threads = all_threads().expect("/proc is there");
        let samples = samples(&threads);
        assert_eq!(samples.len(), threads.len());
    }
    over.store(true, Ordering::Release);
    churning.join().expect("no panic");
}
