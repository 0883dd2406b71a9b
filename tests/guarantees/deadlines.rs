//! No deadline is judged while events wait that were received before it: neither those that a session
//! has read and not yet brought, nor those whose answers wait for a tally.

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Log, Maintenance, StartedOk};

use crate::support::{Gridd, Session, event};

/// Events that a session may have without an answer, as the Welcome advises.
const WINDOW: u64 = 1_024;

const QUICK: &str = "[class.default]\nboot_timeout = \"5s\"\n";

/// Says so many logs at once, far over the rate limit, and what comes of the start behind them.
async fn flood(session: &Session, from: u64, logs: u64, kind: Kind) {
    for sequence in from..from + logs {
        session.say(&event(Kind::Log(Log {}), sequence, "noise")).await;
    }
    session.say(&event(kind, from + logs, "done")).await;
}

#[tokio::test]
async fn a_start_reported_behind_a_flood_of_logs_is_no_failed_one() {
    let gridd = Gridd::with_config(QUICK).await;
    // A window, and as much again by a client that does not keep to it.
    for (name, logs) in [("shop:db1", WINDOW), ("shop:db2", 2 * WINDOW)] {
        let mut session = Session::open(&gridd, name, 1, 1).await;
        // What follows is suppressed: its answers wait for tallies, a second each.
        flood(&session, 1, logs, Kind::StartedOk(StartedOk {})).await;
        let acks = session.acked(logs + 1).await;
        assert!(acks.is_sorted_by_key(|ack| ack.through), "acks are in the order of the stream");
        gridd.explained(name, "running").await;
        let records = gridd.records(&["--appliance", name]).await;
        let explained = |it: &serde_json::Value| it["explanation"].as_str().map(str::to_owned);
        let words: Vec<_> = records.iter().filter_map(explained).collect();
        assert!(!words.is_empty(), "no record explains anything");
        assert!(words.iter().all(|it| !it.contains("did not start")), "{words:#?}");
        session.goodbye().await;
    }
}

#[tokio::test]
async fn reports_of_the_start_do_not_wait_for_the_tally_of_a_flood() {
    let gridd = Gridd::with_config("").await;
    let mut session = Session::open(&gridd, "shop:db1", 1, 1).await;
    let mut said = 0;
    // 12 tallies of a flood take 12 s; its reports are answered with their own commits.
    let began = grid_broker::clock::monotonic_now();
    for _ in 0..12 {
        let progress = Some(u32::try_from(said / 301 + 1).expect("a percentage"));
        flood(&session, said + 1, 300, Kind::Maintenance(Maintenance { progress })).await;
        said += 301;
        session.acked(said).await;
    }
    let lasted = began.elapsed();
    let tallies = gridd.records(&["--kind", "broker"]).await.len();
    assert!(tallies > 0, "suppressed events are counted, in {lasted:?}");
    session.goodbye().await;
}
