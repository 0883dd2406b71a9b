//! An appliance whose wall clock is wrong by decades: what it says is kept with both times and
//! marked, and by the boot's own clock it is known what is news and what waited.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use grid_broker::clock::wall_now;
use grid_broker::contract::decode_timestamp;
use grid_broker::contract::proto::{ApplianceState, Record};
use grid_broker::grid::values::time::Timestamp;
use tokio::time::sleep;

use super::host::{Ground, Host, UNLIMITED};
use crate::support::{Gridd, compiled, oracle};

const YEAR_S: i64 = 31_557_600;

/// The compiled shim.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("tests/appliance/clock.c"))
}

/// That appliance in the boot of this system, with its wall clock so many seconds off.
fn off_by(host: &Host, seconds: i64) -> Host {
    let mut host = Host { boot: None, ..host.clone() };
    host.environment.push(("LD_PRELOAD", library().into()));
    host.environment.push(("GRID_CLOCK_OFFSET", seconds.to_string().into()));
    host
}

/// How far the event's own time lies from when it was received, in seconds.
fn off(record: &Record) -> i64 {
    let at = |it: Option<&prost_types::Timestamp>| {
        decode_timestamp(it.expect("a time")).expect("a time")
    };
    let happened = at(record.event.as_ref().expect("an event").event_time.as_ref());
    (happened.as_micros() - at(record.received_at.as_ref()).as_micros()) / 1_000_000
}

fn is_marked(record: &Record, mark: &str) -> bool {
    record.flags.iter().any(|it| it == mark)
}

fn of<'a>(records: &'a [Record], name: &str) -> Vec<&'a Record> {
    records.iter().filter(|it| it.appliance == name && it.event.is_some()).collect()
}

#[tokio::test]
async fn events_of_1970_and_of_2050_are_news_or_replays_by_the_boots_own_clock() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    let ground = Ground::new();
    let now = wall_now().since(Timestamp::EPOCH);
    let now = i64::try_from(now.as_secs()).expect("it is small");
    let hosts = [("in-1970", 60 - now), ("in-2050", 80 * YEAR_S - now)].map(|(name, seconds)| {
        (off_by(&Host::new(&ground, name, 0, &gridd.grpc), seconds), seconds)
    });
    let mut agents = Vec::new();
    for (number, (host, _)) in hosts.iter().enumerate() {
        // One speaks by its agent, one by calls and drainers.
        if number == 0 {
            agents.push(host.agent().await);
        }
        host.says(&["id=maintenance", "msg=live 0", "progress=3"], 0).await;
        host.says(&["id=log", "msg=live 1"], 0).await;
    }
    gridd.kill().await;
    // So that nobody asks for long.
    sleep(Duration::from_millis(500)).await;
    for (host, _) in &hosts {
        host.says(&["id=started_ok", "msg=spooled 0", "--timeout=300ms"], 5).await;
        host.says(&["id=log", "msg=spooled 1", "--timeout=300ms"], 5).await;
    }
    sleep(Duration::from_secs(11)).await;
    gridd.start_again().await;
    for (host, seconds) in &hosts {
        host.rests().await;
        host.says(&["id=log", "msg=live 2"], 0).await;
        let records = oracle::records(&gridd.grpc).await;
        let own = of(&records, &host.name);
        let texts: Vec<&str> = own.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["live 0", "live 1", "spooled 0", "spooled 1", "live 2"]);
        for record in own {
            let is_replay = record.text.starts_with("spooled");
            assert!(is_marked(record, "time_off"), "{record:?}");
            assert_eq!(is_marked(record, "replayed"), is_replay, "{record:?}");
            assert!((off(record) - seconds).abs() < 60, "{record:?}");
        }
        let appliance = gridd.appliance(&host.name).await;
        assert_eq!(appliance.state(), ApplianceState::Running, "{}", appliance.explanation);
    }
    drop(agents);
}

/// A clock that is set while events wait: a boot's own clock knows better, and without one doubt
/// makes replays.
#[tokio::test]
async fn a_clock_set_forward_by_30_years_while_events_wait_fools_nobody() {
    let mut gridd = Gridd::with_config(UNLIMITED).await;
    gridd.kill().await;
    let ground = Ground::new();
    let own_clock = Host { boot: None, ..Host::new(&ground, "own-clock", 0, &gridd.grpc) };
    let named = Host::new(&ground, "named", 1, &gridd.grpc);
    for host in [&own_clock, &named] {
        // By an agent, since a drainer would go on with the clock as it was.
        let agent = host.agent().await;
        agent.complains("no session").await;
        host.says(&["id=started_ok", "msg=event 0"], 5).await;
        host.says(&["id=log", "msg=event 1"], 5).await;
        drop(agent.interrupt().await);
    }
    gridd.start_again().await;
    for host in [&own_clock, &named] {
        let later = Host { boot: host.boot, ..off_by(host, 30 * YEAR_S) };
        let agent = later.agent().await;
        host.rests().await;
        later.says(&["id=log", "msg=event 2"], 0).await;
        let records = oracle::records(&gridd.grpc).await;
        let own = of(&records, &host.name);
        let texts: Vec<&str> = own.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(texts, ["event 0", "event 1", "event 2"]);
        for record in &own[..2] {
            assert_eq!(is_marked(record, "replayed"), host.boot.is_some(), "{record:?}");
            assert!(!is_marked(record, "time_off"), "{record:?}");
        }
        assert!(is_marked(own[2], "time_off") && !is_marked(own[2], "replayed"), "{:?}", own[2]);
        assert_eq!(gridd.appliance(&host.name).await.state(), ApplianceState::Running);
        drop(agent.interrupt().await);
    }
}
