//! Two machines under one name, copied machines, and machines set back to an older state: all that
//! they say arrives, and none of it is taken for what another one said.

use std::path::Path;
use std::time::Duration;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{AlertKind, Event, ListAlertsRequest, Log};
use grid_broker::spool::EntryState;
use rustix::process::{Signal, kill_process};
use tokio::time::sleep;

use super::host::{Ground, Host, UNLIMITED, kill};
use crate::support::{Gridd, eventually, oracle};

/// Whether it is open that two machines speak.
async fn are_two(gridd: &Gridd) -> bool {
    let listed = gridd.alerts().await.list_alerts(ListAlertsRequest::default()).await;
    let alerts = listed.expect("the open matters").into_inner().alerts;
    alerts.iter().any(|it| {
        it.kind() == AlertKind::TwoMachines && it.text.starts_with("two machines report as")
    })
}

/// Copies a state folder as it lies on the disk.
fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).expect("a folder for the copy");
    for entry in std::fs::read_dir(from).expect("a folder to copy").flatten() {
        if entry.file_type().expect("a type").is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }
}

fn end_drainers(host: &Host) {
    for pid in host.drainers() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Fails unless the appliance's events are these, in any order, each once.
async fn assert_all(gridd: &Gridd, mut expected: Vec<String>) {
    let mut texts = oracle::texts(&oracle::records(&gridd.grpc).await, "db1");
    texts.sort();
    expected.sort();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn two_hosts_under_one_name_are_told_and_lose_nothing() {
    let gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let one = Host::new(&ground, "db1", 1, &gridd.grpc);
    let other = Host { state: ground.path("other"), ..Host::new(&ground, "db1", 2, &gridd.grpc) };
    let agent = one.agent().await;
    one.says(&["id=log", "msg=one 0"], 0).await;
    let twin = other.agent().await;
    other.says(&["id=log", "msg=other 0"], 0).await;
    let mut expected = vec!["one 0".to_owned(), "other 0".to_owned()];
    for number in 1..=5 {
        for (who, host) in [("one", &one), ("other", &other)] {
            let text = format!("{who} {number}");
            host.says(&["id=log", &format!("msg={text}")], 0).await;
            expected.push(text);
        }
    }
    eventually("two machines", async || are_two(&gridd).await.then_some(())).await;
    drop(agent.interrupt().await);
    eventually("one machine", async || (!are_two(&gridd).await).then_some(())).await;
    other.says(&["id=log", "msg=other 6"], 0).await;
    expected.push("other 6".to_owned());
    assert_all(&gridd, expected).await;
    kill(twin);
}

#[tokio::test]
async fn what_a_copy_of_a_machine_says_is_no_duplicate() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let one = Host::new(&ground, "db1", 1, &gridd.grpc);
    for number in 0..3 {
        one.says(&["id=log", &format!("msg=one {number}")], 0).await;
    }
    let copied = Host { state: ground.path("copy"), ..Host::new(&ground, "db1", 2, &gridd.grpc) };
    copy(&one.state, &copied.state);
    let mut expected: Vec<String> = (0..3).map(|number| format!("one {number}")).collect();
    let mut both = async |what: &str, code: i32| {
        for (who, host) in [("one", &one), ("copy", &copied)] {
            let text = format!("{who} {what}");
            host.says(&["id=log", &format!("msg={text}"), "--timeout=1s"], code).await;
            expected.push(text);
        }
    };
    both("by itself", 0).await;
    gridd.kill().await;
    both("left to a drainer", 5).await;
    gridd.start_again().await;
    one.rests().await;
    copied.rests().await;
    let agents = (one.agent().await, copied.agent().await);
    both("by the agent", 0).await;
    assert_all(&gridd, expected).await;
    drop(agents);
}

/// A machine set back under the same boot id bears numbers that the broker knows, some of them far
/// below the highest.
#[tokio::test]
async fn what_a_machine_says_that_was_set_back_is_no_duplicate() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    let snapshot = ground.path("snapshot");
    for number in 0..3 {
        host.says(&["id=log", &format!("msg=before {number}")], 0).await;
    }
    let mut expected: Vec<String> = (0..3).map(|number| format!("before {number}")).collect();
    copy(&host.state, &snapshot);
    let log = |number| {
        let text = format!("forgotten {number}");
        Event { kind: Some(Kind::Log(Log {})), text, ..Event::default() }
    };
    host.spool().append((0..150).map(log).collect(), EntryState::Waiting).expect("appends");
    expected.extend((0..150).map(|number| format!("forgotten {number}")));
    let agent = host.agent().await;
    host.rests().await;
    kill(agent);

    // By a call of its own.
    copy(&snapshot, &host.state);
    host.says(&["id=log", "msg=alone"], 0).await;

    // By a call that finds the broker away at first.
    gridd.kill().await;
    copy(&snapshot, &host.state);
    let patient = host.says(&["id=log", "msg=patient"], 0);
    let back = async {
        sleep(Duration::from_millis(700)).await;
        gridd.start_again().await;
    };
    tokio::join!(patient, back);

    // By a drainer.
    gridd.kill().await;
    copy(&snapshot, &host.state);
    host.says(&["id=log", "msg=drained", "--timeout=500ms"], 5).await;
    gridd.start_again().await;
    host.rests().await;
    end_drainers(&host);

    // By an agent.
    copy(&snapshot, &host.state);
    let agent = host.agent().await;
    host.says(&["id=log", "msg=by the agent"], 0).await;
    host.says(&["id=log", "msg=by the agent again"], 0).await;
    kill(agent);
    let after = ["alone", "patient", "drained", "by the agent", "by the agent again"];
    expected.extend(after.map(ToOwned::to_owned));
    assert_all(&gridd, expected).await;
}
