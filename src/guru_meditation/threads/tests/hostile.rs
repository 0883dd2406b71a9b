//! Tests the sampling of a process that is often at a bad point for an interruption.
//!
//! It runs in its own process. A signal handler that takes a lock, or accesses memory that is
//! freed, hangs or crashes here.

use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

/// How often all threads are sampled in each mode; a debug build is slower.
const ROUNDS: usize = if cfg!(debug_assertions) { 60 } else { 250 };

/// Set in the child process.
const INSIDE: &str = "GRID_TEST_HOSTILE";

type Mode = (&'static str, fn(u64));

const MODES: [Mode; 8] = [
    ("allocates", |round| {
        let size = usize::try_from(round % 5_000).expect("small");
        drop(std::hint::black_box(vec![1_u8; size]));
    }),
    ("maps", |_| drop(std::hint::black_box(vec![1_u8; 1 << 20]))),
    ("threads", |_| {
        let few: Vec<_> = (0..4).map(|_| std::thread::spawn(|| ())).collect();
        few.into_iter().for_each(|thread| drop(thread.join()));
    }),
    ("unwinds", |round| {
        let unwound = catch_unwind(AssertUnwindSafe(|| resume_unwind(Box::new(round))));
        assert!(unwound.is_err());
    }),
    ("loads", |_| {
        let name = CString::new("libresolv.so.2").expect("a name");
        // SAFETY: a library of the C library's own, whose loading and unloading runs nothing of
        // ours.
        unsafe {
            let library = libc::dlopen(name.as_ptr(), libc::RTLD_NOW);
            assert!(!library.is_null());
            libc::dlclose(library);
        }
    }),
    ("forks", |_| assert!(Command::new("true").status().is_ok_and(|it| it.success()))),
    ("backtraces", |_| {
        drop(std::hint::black_box(std::backtrace::Backtrace::force_capture()));
    }),
    ("reads the clock", |_| {
        std::hint::black_box(crate::guru_meditation::time::monotonic_now());
    }),
];

/// Repeats one action in a thread.
fn repeat_in_thread((_, act): Mode, over: &Arc<AtomicBool>) -> (Arc<AtomicU64>, JoinHandle<()>) {
    let (over, rounds) = (Arc::clone(over), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&rounds);
    let acting = move || {
        while !over.load(Ordering::Acquire) {
            act(counted.fetch_add(1, Ordering::Relaxed));
        }
    };
    (rounds, std::thread::spawn(acting))
}

/// Samples all threads repeatedly while these modes run.
fn sample_during(modes: &[Mode]) {
    let over = Arc::new(AtomicBool::new(false));
    let acting: Vec<_> = modes
        .iter()
        .flat_map(|mode| [repeat_in_thread(*mode, &over), repeat_in_thread(*mode, &over)])
        .collect();
    let (mut looked, mut silent) = (0, 0);
    for round in 0..ROUNDS {
        let threads = all_threads().expect("/proc is there");
        let mut tables = UnwindTables::load();
        for taken in samples(&threads) {
            match taken {
                Ok((sample, _)) => {
                    looked += usize::from(!tables.walk(&sample).addresses.is_empty())
                }
                Err(SampleError::Ended) => {}
                Err(_) => silent += 1,
            }
        }
        if round % 50 == 0 {
            write(&SectionBuilder::default());
        }
    }
    for (rounds, _) in &acting {
        let before = rounds.load(Ordering::Relaxed);
        let goes_on = || (rounds.load(Ordering::Relaxed) > before).then_some(());
        crate::test_timeout::wait_for("every thread goes on", goes_on);
    }
    over.store(true, Ordering::Release);
    acting.into_iter().for_each(|(_, thread)| thread.join().expect("no panic"));
    // A thread without a processor for a while cannot react, nor one that is starting a thread.
    assert!(looked > ROUNDS * 2 && silent < looked / 4, "{looked} stacks, {silent} silent");
}

#[test]
fn looking_at_a_hostile_process_harms_nothing() {
    if std::env::var_os(INSIDE).is_none() {
        let test =
            "guru_meditation::threads::tests::hostile::looking_at_a_hostile_process_harms_nothing";
        let ended = Command::new(std::env::current_exe().expect("the test's program"))
            .args(["--exact", test, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .expect("it starts");
        let output = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && output.contains("1 passed"), "{ended:?}");
        return;
    }
    install().expect("a signal is free");
    for mode in MODES {
        sample_during(&[mode]);
    }
    sample_during(&MODES);
}
