//! An appliance whose disk is full: what was promised is kept, what can't be is told, and with a
//! broker there every event arrives all the same.

use std::collections::BTreeSet;
use std::path::Path;

use grid_broker::contract::proto::{ApplianceState, LostReason};

use super::host::{Ground, Host, UNLIMITED};
use crate::support::{Gridd, fill, in_runtime, on_small_disk, oracle, say};

fn host_on(disk: &Path, ground: &Ground, gridd: &Gridd) -> Host {
    Host { state: disk.join("vme"), ..Host::new(ground, "db1", 1, &gridd.grpc) }
}

/// Whatever was left behind ends before the disk goes.
fn end(host: &Host) {
    for pid in host.drainers() {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

#[test]
fn without_a_broker_the_reserved_room_is_used_up_and_then_it_is_told() {
    let test = "full_disk::\
                without_a_broker_the_reserved_room_is_used_up_and_then_it_is_told";
    on_small_disk(test, 1, |disk| in_runtime(room_is_used_up(disk)));
}

async fn room_is_used_up(disk: &Path) {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    gridd.kill().await;
    let ground = Ground::new();
    let mut host = host_on(disk, &ground, &gridd);
    host.environment.push(("VME_SPOOL_BYTES", "40000".into()));
    let log = |number: usize| format!("msg=log {number} {}", "x".repeat(3_000));
    host.says(&["id=log", &log(0), "--timeout=100ms"], 5).await;
    let filler = fill(disk, 0);
    let mut spooled: BTreeSet<usize> = [0].into();
    let mut refused = 0;
    for number in 1..60 {
        let said = host.say(&["id=log", &log(number), "--timeout=100ms"]).await;
        match said.code {
            Some(5) => drop(spooled.insert(number)),
            Some(6) => {
                let told = said.stderr.contains("; not spooled: ")
                    && said.stderr.contains("No space left on device");
                assert!(told, "{said:?}");
                refused += 1;
            }
            other => panic!("{other:?}: {said:?}"),
        }
    }
    assert!(spooled.len() > 5 && refused > 5, "{spooled:?} spooled, {refused} refused");
    gridd.start_again().await;
    host.rests().await;
    // With a broker there events arrive though there is no room.
    host.says(&["id=log", "msg=the last"], 0).await;
    let records = oracle::records(&gridd.grpc).await;
    let texts = oracle::texts(&records, "db1");
    let number = |text: &String| text.split(' ').nth(1).and_then(|it| it.parse::<usize>().ok());
    let arrived: Vec<usize> = texts.iter().filter_map(number).collect();
    assert!(arrived.is_sorted() && arrived.iter().all(|it| spooled.contains(it)), "{arrived:?}");
    let lost = oracle::lost(&records, "db1", LostReason::SpoolFull);
    assert_eq!(arrived.len() as u64 + lost, spooled.len() as u64, "each is there or told of");
    assert_eq!(texts.last().map(String::as_str), Some("the last"));
    say(&format!("full disk: {} spooled, {lost} of them went, {refused} refused", spooled.len()));
    end(&host);
    drop(filler);
}

#[test]
fn with_a_broker_events_arrive_though_nothing_can_be_spooled() {
    let test = "full_disk::\
                with_a_broker_events_arrive_though_nothing_can_be_spooled";
    on_small_disk(test, 1, |disk| in_runtime(nothing_can_be_spooled(disk)));
}

async fn nothing_can_be_spooled(disk: &Path) {
    let gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let mut host = host_on(disk, &ground, &gridd);
    host.environment.push(("VME_SPOOL_BYTES", "8192".into()));
    let mut expected = Vec::new();
    let mut says = async |host: &Host, text: &str, more: usize| {
        let text = format!("{text} {}", "x".repeat(more));
        host.says(&["id=log", &format!("msg={text}")], 0).await;
        expected.push(text);
    };
    // A folder that can't be made.
    let nowhere = Host { state: "/proc/vme".into(), ..host.clone() };
    says(&nowhere, "without a folder", 0).await;
    // One without room for a spool.
    let filler = fill(disk, 0);
    says(&host, "without room", 0).await;
    std::fs::remove_file(filler).expect("it goes");
    // An agent whose disk fills up.
    let agent = host.agent().await;
    says(&host, "with room", 0).await;
    let filler = fill(disk, 0);
    for number in 0..30 {
        says(&host, &format!("by the agent {number}"), 1_000).await;
    }
    assert_eq!(host.waiting(), 0);
    drop(agent.interrupt().await);
    for number in 0..5 {
        says(&host, &format!("alone {number}"), 1_000).await;
    }
    let records = oracle::records(&gridd.grpc).await;
    assert_eq!(oracle::texts(&records, "db1"), expected);
    // What can't be spooled bears a number of its own, the first.
    let last = records.iter().rfind(|it| it.text.starts_with("by the agent 29 ")).expect("it");
    let number = last.event.as_ref().expect("an event").sequence;
    assert!(number > 1, "what is answered gives its room back");
    end(&host);
    drop(filler);
}

#[tokio::test]
async fn a_full_spool_lets_the_oldest_logs_go_and_tells_of_them() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    gridd.kill().await;
    let ground = Ground::new();
    let mut host = Host::new(&ground, "db1", 1, &gridd.grpc);
    host.environment.push(("VME_SPOOL_EVENTS", "8".into()));
    let agent = host.agent().await;
    agent.complains("no session").await;
    host.says(&["id=maintenance", "msg=checking", "progress=10"], 5).await;
    host.says(&["id=start_failed", "msg=no disk"], 5).await;
    host.says(&["id=started_ok", "msg=at last"], 5).await;
    for number in 0..20 {
        host.says(&["id=log", &format!("msg=log {number}")], 5).await;
    }
    gridd.start_again().await;
    host.rests().await;
    let records = oracle::records(&gridd.grpc).await;
    let texts = oracle::texts(&records, "db1");
    let logs = (15..20).map(|number| format!("log {number}"));
    let starts = ["checking", "no disk", "at last"].map(ToOwned::to_owned);
    let expected: Vec<String> = starts.into_iter().chain(logs).collect();
    assert_eq!(texts, expected, "the oldest logs go, the start stays");
    assert_eq!(oracle::lost(&records, "db1", LostReason::SpoolFull), 15);
    assert_eq!(gridd.appliance("db1").await.state(), ApplianceState::Running);
    let told = records
        .iter()
        .any(|it| it.explanation.contains("log event") && it.explanation.contains("spool full"));
    assert!(told, "{:?}", records.iter().map(|it| &it.explanation).collect::<Vec<_>>());
    drop(agent.interrupt().await);
}
