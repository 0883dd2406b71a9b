//! A caller: says one event after another by the real vme, kills some of its calls, and writes down
//! what each was told.

use std::io::{Read, Seek, SeekFrom};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grid_broker::clock::monotonic_now;
use tokio::time::sleep;

use super::host::Host;
use crate::support::{Random, timeout};

/// One call of vme.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// What it said; no other call said the same.
    pub(crate) text: String,
    pub(crate) is_debug: bool,
    pub(crate) is_report: bool,
    /// `None`: it was killed.
    pub(crate) code: Option<i32>,
    /// What it was told.
    pub(crate) line: String,
}

/// Calls until `finish`; gives all calls, in order.
pub(crate) async fn call_on(
    host: Host,
    who: String,
    mut random: Random,
    finish: Arc<AtomicBool>,
) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    while !finish.load(Ordering::Acquire) {
        let text = format!("{who} says {}", calls.len());
        let (mut words, is_debug, is_report) = event(&mut random);
        words.push(format!("msg={text}"));
        words.push(format!("--timeout={}ms", 300 + random.below(2_700)));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let kill_after = random.once_in(8).then(|| Duration::from_micros(random.below(20_000)));
        let (code, line) = ended(host.vme(&words), kill_after).await;
        calls.push(Call { text, is_debug, is_report, code, line });
        sleep(Duration::from_millis(random.below(40))).await;
    }
    calls
}

/// Any event, whether it is a log for those who look for faults, and whether it is a report.
fn event(random: &mut Random) -> (Vec<String>, bool, bool) {
    let number = 1 + random.below(100);
    let (words, is_debug, is_report): (Vec<String>, _, _) = match random.below(100) {
        0..=3 => (vec!["id=started_ok".into()], false, false),
        4..=7 => (vec!["id=start_failed".into()], false, false),
        8..=17 => (vec!["id=maintenance".into(), format!("progress={number}")], false, true),
        18..=27 => (vec!["id=alert".into()], false, false),
        28..=32 => {
            let counter = ["cnt_name=disk".to_owned(), format!("cnt_value={number}")];
            (["id=alert".to_owned()].into_iter().chain(counter).collect(), false, false)
        }
        33..=40 => (vec!["id=log".into(), "severity=debug".into()], true, false),
        _ => (vec!["id=log".into(), "severity=warn".into()], false, false),
    };
    (words, is_debug, is_report)
}

/// Runs it to its end, or kills it after that time; gives its exit code and what it said.
async fn ended(mut command: Command, kill_after: Option<Duration>) -> (Option<i32>, String) {
    let mut words = tempfile::tempfile().expect("a file for its words");
    command.stdout(words.try_clone().expect("the same file"));
    command.stderr(words.try_clone().expect("the same file"));
    let mut child = command.spawn().expect("vme starts");
    let began = monotonic_now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break status;
        }
        if kill_after.is_some_and(|after| began.elapsed() >= after) {
            child.kill().expect("it can be killed");
            break child.wait().expect("it ends");
        }
        // It waits for an answer for 3 s at most.
        if began.elapsed() > timeout() {
            let _ = child.kill();
            panic!("a call does not end within {} s: {command:?}", timeout().as_secs());
        }
        sleep(Duration::from_millis(2)).await;
    };
    let mut line = String::new();
    words.seek(SeekFrom::Start(0)).expect("seeks");
    words.read_to_string(&mut line).expect("UTF-8");
    (status.code(), line)
}
