//! `gridctl bench` loads only a broker that is marked for it, and counts what that broker stored.

use serde_json::Value;

use crate::support::{Gridd, Run};

const MARKED: &str = "benchmark = true\n[class.default]\nbudget = \"unlimited\"\n";

/// Runs a load test that ends after so many events.
async fn bench(gridd: &Gridd, events: u64, words: &str) -> Run {
    let events = events.to_string();
    let fixed = ["bench", "--output", "json", "--duration", "1m", "--events", &events];
    let words: Vec<_> = fixed.into_iter().chain(words.split_whitespace()).collect();
    gridd.gridctl(&words).await
}

/// The figures of a load test that went well.
fn figures(run: Run) -> Value {
    serde_json::from_str(&run.done()).expect("figures")
}

#[tokio::test]
async fn a_broker_that_is_not_marked_is_not_loaded() {
    let gridd = Gridd::without_rate_limits().await;
    let refused = bench(&gridd, 10, "").await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(3), ""));
    for part in [gridd.grpc.as_str(), "not marked for load tests", "`benchmark = true`"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    assert!(gridd.records(&["--kind", "log"]).await.is_empty());
    let status = gridd.gridctl(&["status", "--output", "json"]).await.done();
    assert!(status.contains("\"benchmark\":false"), "{status}");
}

#[tokio::test]
async fn a_marked_broker_warns_at_its_start_and_tells_it() {
    let gridd = Gridd::with_config(MARKED).await;
    assert!(gridd.stderr().contains("benchmark: load tests may fill this broker"), "the warning");
    let status = gridd.gridctl(&["status"]).await.done();
    assert!(status.contains("load tests may use this broker"), "{status}");
}

#[tokio::test]
async fn as_many_events_are_stored_as_were_acknowledged() {
    let gridd = Gridd::with_config(MARKED).await;
    let figures = figures(bench(&gridd, 5_000, "--sessions 4 --outstanding 64 --read-back").await);
    for key in ["sent", "acknowledged", "acknowledged_stored", "stored", "read_back"] {
        assert_eq!(figures[key], 5_000, "{key}: {figures}");
    }
    assert_eq!(figures["outcomes"]["kept"], 5_000);
    assert!(figures["ack_p50_us"].as_u64() <= figures["ack_max_us"].as_u64(), "{figures}");
    assert!(figures["events_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{figures}");
    assert!(figures["archive_bytes_per_event"].as_f64().is_some_and(|it| it > 0.0), "{figures}");
    let records = gridd.records(&["bench:main.a*", "--kind", "log"]).await;
    assert_eq!(records.len(), 5_000);
    let texts = records.iter().map(|record| record["text"].as_str().expect("a text"));
    assert_eq!(texts.collect::<std::collections::BTreeSet<_>>().len(), 5_000);
}

#[tokio::test]
async fn what_is_only_counted_is_not_stored() {
    let config = "benchmark = true\n[class.default.budget.log]\nburst = 25\nevery = \"1h\"\n";
    let gridd = Gridd::with_config(config).await;
    let figures = figures(bench(&gridd, 200, "--sessions 2 --outstanding 16").await);
    assert_eq!((&figures["acknowledged"], &figures["stored"]), (&200.into(), &50.into()));
    assert_eq!(figures["outcomes"]["suppressed"], 150, "{figures}");
}

#[tokio::test]
async fn a_mix_is_sent_at_a_rate_and_by_calls() {
    let gridd = Gridd::with_config(MARKED).await;
    let mix = "--sessions 2 --rate 2000 --mix log=50,alert=30,maintenance=20";
    let mixed = figures(bench(&gridd, 400, mix).await);
    assert_eq!((&mixed["acknowledged"], &mixed["failures"]), (&400.into(), &0.into()), "{mixed}");
    let counters = gridd.records(&["--kind", "alert", "bench:main.a*"]).await;
    // One session may send one event more than the other.
    let kept = counters.len();
    assert!((118..=122).contains(&kept), "each value of a counter is a record: {kept}");
    let unary = "--unary --sessions 2 --outstanding 4 --appliances 20 --read-back";
    let called = figures(bench(&gridd, 100, unary).await);
    assert_eq!((&called["stored"], &called["read_back"]), (&100.into(), &100.into()), "{called}");
    assert!(called["opening_s"].is_null(), "{called}");
    let list = gridd.gridctl(&["appliance", "list", "--output", "name", "bench:*"]).await.done();
    assert_eq!(list.lines().count(), 20, "{list}");
}

#[tokio::test]
async fn sessions_that_do_not_fit_into_the_connections_are_a_usage_error() {
    let gridd = Gridd::with_config(MARKED).await;
    let run = bench(&gridd, 1, "--sessions 401 --connections 2").await;
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("use --connections 3"), "{}", run.stderr);
}
