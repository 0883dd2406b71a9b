//! A report takes no memory that is not there, tells what it cannot know, and never ends the program.

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;

use crate::report::{Report, whole_reports};
use crate::support::{Gridd, Launch, eventually};

/// How much address space is left to the broker, in MiB: from nothing to more than a report takes.
const LEFT: [u64; 14] = [0, 1, 4, 16, 25, 40, 64, 100, 140, 180, 220, 280, 360, 1_000];

/// What a report says that found no room.
const NO_ROOM: [&str; 2] = ["names of functions are left out: ", "skipped, not enough memory: "];

/// Waits for so many whole reports on standard error.
async fn reports(gridd: &Gridd, count: usize) -> String {
    eventually(&format!("{count} reports on standard error"), async || {
        Some(gridd.stderr()).filter(|text| whole_reports(text) >= count && text.ends_with("\n\n"))
    })
    .await
}

/// Limits the address space of the process; nothing: not at all.
fn limit(pid: u32, bytes: Option<u64>) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::As, Rlimit { current: bytes, maximum: None }).expect("it is ours");
}

fn address_space(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a line");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

#[tokio::test]
async fn a_report_under_any_limit_of_the_address_space_leaves_the_broker_at_work() {
    let mut gridd = Gridd::start().await;
    let (mut written, mut without) = (0, 0);
    for left in LEFT {
        limit(gridd.pid(), Some(address_space(gridd.pid()) + (left << 20)));
        // The second finds what the first has read.
        for _ in 0..2 {
            written += 1;
            gridd.signal(Signal::USR2);
            let said = reports(&gridd, written).await;
            let last = said.rfind("Guru Meditation  ").expect("a title");
            without += usize::from(NO_ROOM.iter().any(|words| said[last..].contains(words)));
        }
        limit(gridd.pid(), None);
        let said = gridd.vme("db1", 1, &["id=log", &format!("msg=after {left} MiB")]).await;
        assert!(said.done().contains("is record"), "after {left} MiB");
    }
    assert!((8..written).contains(&without), "{without} of {written}: {}", gridd.stderr());
    assert_eq!(gridd.terminate().await, Some(0));
}

#[tokio::test]
async fn without_proc_a_report_says_what_it_does_not_know() {
    let mut gridd = Gridd::start().await;
    gridd.terminate().await;
    let shell = "PATH=/usr/bin:/bin; export PATH; \
                 exec unshare --mount sh -c 'mount -t tmpfs none /proc && exec \"$@\"' sh \"$@\"";
    gridd.start_again_as(Launch { wrapper: Some(shell), ..Launch::default() }).await;
    let said = gridd.gridctl(&["report", "--json"]).await.done();
    let report = Report::read(&said);
    let lacks = |section: &str, part: &str| {
        let section = report.section(section);
        assert_eq!(section["is_complete"], false, "{section:#}");
        let remark = section["remark"].as_str().expect("a remark");
        assert!(remark.contains(part), "{remark}");
    };
    lacks("Threads", "cannot read /proc/self/task: ");
    assert_eq!(report.section("Threads")["values"]["threads"], Value::Null, "none is no number");
    lacks("Processes", "is /proc mounted?");
    lacks("Green Threads", "names of functions are left out: ");
    assert!(!report.stacks("Green Threads").is_empty());
    assert_eq!(report.section("Journal")["is_complete"], true);
    assert_eq!(gridd.terminate().await, Some(0));
}
