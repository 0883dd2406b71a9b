//! An appliance that boots while there is no broker is running when the broker comes: what it said
//! is in order, with its own times, and as a replay if it is old.

use std::time::Duration;

use grid_broker::client::connect;
use grid_broker::clock::monotonic_now;
use grid_broker::contract::decode_timestamp;
use grid_broker::contract::proto::{
    Appliance, ApplianceState, ListAlertsRequest, Record, RecordKind,
};
use tokio::time::sleep;

use super::host::{Ground, Host};
use crate::support::{Gridd, eventually, oracle, say, scaled};

/// An appliance whose silence is noticed after a second.
const TALKER: &str = "[class.default]\nboot_timeout = \"12h\"\nlost_contact = \"1s\"\n";

/// Longer ago than that is a replay.
const LIVE_WITHIN: Duration = Duration::from_secs(10);

/// An address at which no broker was ever, and the broker that comes there.
async fn never_there() -> Gridd {
    let mut gridd = Gridd::with_config(TALKER).await;
    gridd.kill().await;
    std::fs::remove_dir_all(gridd.path("data")).expect("its data");
    assert!(connect(&gridd.grpc).await.is_err(), "somebody answers");
    gridd
}

async fn runs(gridd: &Gridd) -> Appliance {
    eventually("the appliance is running", async || {
        let appliance = gridd.appliance("db1").await;
        (appliance.state() == ApplianceState::Running).then_some(appliance)
    })
    .await
}

/// Fails unless each event came so long after it happened that it is a replay or not, as marked.
fn assert_marks(records: &[Record]) -> (usize, usize) {
    let (mut replays, mut live) = (0, 0);
    for record in records.iter().filter(|it| it.appliance == "db1") {
        let Some(event) = &record.event else { continue };
        let is_replay = record.flags.iter().any(|mark| mark == "replayed");
        assert_eq!(is_replay, event.spooled_at.is_some(), "{record:?}");
        let at = |it: Option<&prost_types::Timestamp>| {
            decode_timestamp(it.expect("a time")).expect("a time")
        };
        let waited = at(record.received_at.as_ref()).since(at(event.event_time.as_ref()));
        let second = Duration::from_secs(1);
        assert!(!is_replay || waited + second > LIVE_WITHIN, "waited {waited:?}: {record:?}");
        // The way from the spool to the broker's record takes its time on a busy machine.
        let way = scaled(second);
        assert!(is_replay || waited < LIVE_WITHIN + way, "waited {waited:?}: {record:?}");
        *(if is_replay { &mut replays } else { &mut live }) += 1;
    }
    assert!(replays + live > 0, "no record of an event: {records:?}");
    (replays, live)
}

#[tokio::test]
async fn with_an_agent_a_boot_without_a_broker_is_told_when_it_comes() {
    let mut gridd = never_there().await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    let agent = host.agent().await;
    agent.complains("no session").await;
    // Nobody waits for who is known to be away, however long the call would allow.
    let patient = "--timeout=1h";
    host.says(&["id=maintenance", "msg=event 0", "progress=50", patient], 5).await;
    let line = host.says(&["id=started_ok", "msg=event 1", patient], 5).await;
    assert!(line.starts_with("vme: started_ok of db1 spooled, and sent when"), "{line}");
    sleep(LIVE_WITHIN).await;
    gridd.start_again().await;
    let mut number = 2;
    // The agent's pause has grown meanwhile; what is said in it is news.
    let took = monotonic_now();
    loop {
        let said = host.say(&["id=log", &format!("msg=event {number}"), "--timeout=1s"]).await;
        assert!(matches!(said.code, Some(0 | 5)), "{said:?}");
        number += 1;
        if host.waiting() == 0 || took.elapsed() > Duration::from_secs(25) {
            break;
        }
        sleep(Duration::from_millis(400)).await;
    }
    host.rests().await;
    let appliance = runs(&gridd).await;
    assert_eq!(Some(appliance.boot_id), host.boot.map(|boot| boot.to_string()));
    let records = oracle::records(&gridd.grpc).await;
    let expected: Vec<String> = (0..number).map(|number| format!("event {number}")).collect();
    assert_eq!(oracle::texts(&records, "db1"), expected);
    let own: Vec<&Record> = records.iter().filter(|it| it.appliance == "db1").collect();
    assert_eq!(own[0].kind(), RecordKind::Session, "the session's hello begins the boot");
    let (replays, live) = assert_marks(&records);
    assert!(replays >= 2 && live >= 1, "{replays} replays, {live} live");
    say(&format!("broker away at boot, with an agent: {replays} replayed, {live} live"));
    drop(agent.interrupt().await);
}

#[tokio::test]
async fn without_an_agent_a_drainer_tells_it_and_its_end_is_no_loss_of_contact() {
    let mut gridd = never_there().await;
    let ground = Ground::new();
    let host = Host::new(&ground, "db1", 1, &gridd.grpc);
    let words = [
        ["id=maintenance", "msg=event 0"],
        ["id=log", "msg=event 1"],
        ["id=started_ok", "msg=event 2"],
        ["id=log", "msg=event 3"],
    ];
    for [id, text] in words {
        host.says(&[id, text, "--timeout=300ms"], 5).await;
    }
    assert_eq!(host.drainers().len(), 1, "one is left behind");
    gridd.start_again().await;
    host.rests().await;
    eventually("the drainer's end", async || host.drainers().is_empty().then_some(())).await;
    runs(&gridd).await;
    // Longer than contact would be waited for.
    sleep(Duration::from_secs(4)).await;
    let records = oracle::records(&gridd.grpc).await;
    let texts = oracle::texts(&records, "db1");
    assert_eq!(texts, ["event 0", "event 1", "event 2", "event 3"]);
    assert_marks(&records);
    let open = gridd.alerts().await.list_alerts(ListAlertsRequest::default()).await;
    assert_eq!(open.expect("the open matters").into_inner().alerts, []);
    let own = records.iter().filter(|it| it.appliance == "db1");
    let contact: Vec<&Record> = own.filter(|it| it.text.contains("contact")).collect();
    assert!(contact.is_empty(), "{contact:?}");
}
