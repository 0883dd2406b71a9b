//! `/metrics` counts what happened, exactly, by names and labels that stay.

use std::collections::BTreeMap;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Log, Maintenance, StartedOk};

use crate::page::page;
use crate::starts::DEADLINE_CLASSES;
use crate::support::{Gridd, Session, event, eventually, run};

/// Every name that is told on a broker with nothing open; docs/operation.md has the same.
const NAMES: [&str; 40] = [
    "gridd_appliances",
    "gridd_build_info",
    "gridd_commit_duration_seconds",
    "gridd_commit_records",
    "gridd_connections",
    "gridd_connections_refused_total",
    "gridd_deadlines_judged_total",
    "gridd_disk_low",
    "gridd_events_total",
    "gridd_grpc_requests_refused_total",
    "gridd_heartbeats_total",
    "gridd_journal_archive_bytes",
    "gridd_journal_archived_record",
    "gridd_journal_checkpoints_bytes",
    "gridd_journal_commit_log_bytes",
    "gridd_journal_disk_free_bytes",
    "gridd_journal_first_record",
    "gridd_journal_last_record",
    "gridd_journal_sealed_record",
    "gridd_journal_sealed_spans",
    "gridd_journal_term",
    "gridd_journal_threads_failed",
    "gridd_loop_answers",
    "gridd_mail_attempts_total",
    "gridd_mails_failed",
    "gridd_mails_queued",
    "gridd_queue_items",
    "gridd_queue_room_bytes",
    "gridd_requests_refused_total",
    "gridd_sessions",
    "gridd_tasks",
    "gridd_tracing_lines_dropped_total",
    "gridd_webhook_attempts_total",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    // Told only when there is something to tell.
    "gridd_alerts_open",
];

/// Told only when there is something to tell, and not made by this test.
pub(crate) const SOMETIMES: [&str; 5] = [
    "gridd_mails_queued_since_timestamp_seconds",
    "gridd_next_deadline_timestamp_seconds",
    "gridd_journal_checkpoint_record",
    "gridd_journal_checkpoint_timestamp_seconds",
    // Not where the system does not report it.
    "process_written_bytes_total",
];

/// All series, by name with labels.
pub(crate) async fn series(gridd: &Gridd) -> BTreeMap<String, f64> {
    let (status, head, text) = page(&gridd.http, "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(text.ends_with("# EOF\n"), "{text}");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').expect("a series and its value"))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect()
}

#[tokio::test]
async fn what_was_sent_is_what_is_counted() {
    let gridd = Gridd::with_config(DEADLINE_CLASSES).await;
    gridd.gridctl(&["appliance", "add", "shop:db1", "--class", "slow"]).await.done();
    let mut session = Session::open(&gridd, "shop:db1", 1, 1).await;
    for sequence in 1..=20 {
        session.say(&event(Kind::Log(Log {}), sequence, "a line")).await;
    }
    // Again: five of them are known.
    for sequence in 16..=20 {
        session.say(&event(Kind::Log(Log {}), sequence, "a line")).await;
    }
    session.say(&event(Kind::StartedOk(StartedOk {}), 21, "")).await;
    let late = Kind::Maintenance(Maintenance { progress: Some(3) });
    session.say(&event(late, 22, "too late")).await;
    session.say_bytes(b"no event at all").await;
    session.acked(28).await;
    // One that never says that it started: its boot deadline comes.
    gridd.gridctl(&["appliance", "add", "shop:late"]).await.done();
    gridd.gridctl(&["appliance", "boot", "shop:late"]).await.done();
    gridd.explained("shop:late", "failed").await;
    assert_eq!(gridd.gridctl(&["appliance", "show", "nobody"]).await.code, Some(7));

    let series = eventually("a judged deadline", async || {
        let series = series(&gridd).await;
        series.contains_key("gridd_deadlines_judged_total{verdict=\"failed\"}").then_some(series)
    })
    .await;
    let value = |name: &str| series.get(name).copied();
    for (name, expected) in [
        ("gridd_events_total{kind=\"log\",outcome=\"kept\"}", 20.0),
        ("gridd_events_total{kind=\"log\",outcome=\"duplicate\"}", 5.0),
        ("gridd_events_total{kind=\"started_ok\",outcome=\"kept\"}", 1.0),
        ("gridd_events_total{kind=\"maintenance\",outcome=\"refused\"}", 1.0),
        ("gridd_events_total{kind=\"unknown\",outcome=\"invalid\"}", 1.0),
        ("gridd_grpc_requests_refused_total{code=\"not_found\"}", 1.0),
        ("gridd_deadlines_judged_total{verdict=\"failed\"}", 1.0),
        ("gridd_sessions", 1.0),
        ("gridd_appliances{state=\"running\"}", 1.0),
        ("gridd_appliances{state=\"failed\"}", 1.0),
        ("gridd_appliances{state=\"starting\"}", 0.0),
        ("gridd_alerts_open{kind=\"boot_timeout\",severity=\"error\",state=\"open\"}", 1.0),
        ("gridd_journal_term", 1.0),
        ("gridd_loop_answers", 1.0),
        ("gridd_mail_attempts_total{outcome=\"sent\"}", 0.0),
        ("gridd_webhook_attempts_total{outcome=\"sent\"}", 0.0),
        ("gridd_heartbeats_total{outcome=\"sent\"}", 0.0),
        ("gridd_mails_queued", 0.0),
        ("gridd_mails_failed", 0.0),
        ("gridd_disk_low", 0.0),
        ("gridd_queue_room_bytes", f64::from(64 << 20)),
    ] {
        assert_eq!(value(name), Some(expected), "{name}: {series:#?}");
    }
    let events: f64 = series
        .iter()
        .filter(|(name, _)| name.starts_with("gridd_events_total"))
        .map(|(_, count)| count)
        .sum();
    assert!((events - 28.0).abs() < f64::EPSILON, "nothing else was counted: {events}");
    let records = gridd.records(&[]).await.len();
    let records = f64::from(u32::try_from(records).expect("few"));
    assert_eq!(value("gridd_commit_records_sum"), Some(records), "each record is of one commit");
    assert_eq!(value("gridd_journal_last_record"), Some(records));
    assert_eq!(value("gridd_commit_records_count"), value("gridd_commit_duration_seconds_count"));
    assert!(series.keys().all(|name| !name.contains("shop")), "no label is an appliance");
    session.goodbye().await;
}

#[tokio::test]
async fn every_name_is_in_the_documents_and_every_other_tool_can_read_the_page() {
    let gridd = Gridd::with_config(DEADLINE_CLASSES).await;
    gridd.gridctl(&["appliance", "add", "late"]).await.done();
    gridd.gridctl(&["appliance", "boot", "late"]).await.done();
    gridd.explained("late", "failed").await;
    gridd.vme("db1", 1, &["id=log", "msg=x"]).await.done();
    assert_eq!(gridd.gridctl(&["appliance", "show", "nobody"]).await.code, Some(7));
    let told: Vec<String> = series(&gridd).await.into_keys().collect();
    for name in NAMES {
        let is_told = told.iter().any(|it| it.starts_with(name));
        assert!(is_told, "{name} is not told: {told:#?}");
    }
    for series in &told {
        let is_known = NAMES.iter().chain(&SOMETIMES).any(|name| series.starts_with(name));
        assert!(is_known, "{series} is in no list");
    }
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operation.md");
    let manual = std::fs::read_to_string(manual).expect("docs/operation.md");
    for name in NAMES.iter().chain(&SOMETIMES) {
        assert!(manual.contains(&format!("`{name}`")), "{name} is not in docs/operation.md");
    }
    let python = std::env::var_os("GRID_TEST_PYTHON").expect(
        "GRID_TEST_PYTHON names no Python with the packages of tests/python/requirements.txt: \
         tests/run makes one and runs all tests",
    );
    let mut command = std::process::Command::new(python);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/read_metrics.py");
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(&gridd.http);
    let said = run(command).await.done();
    let families = said.strip_prefix("families: ").and_then(|it| it.trim().parse::<usize>().ok());
    assert!(families.is_some_and(|count| count >= 30), "{said}");
}
