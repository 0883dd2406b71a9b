//! Tests the loop with its real journal.

mod deadlines;
mod old_names;
mod reconfigure;
mod start_on_full_disk;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::settings;
use crate::grid::values::event::{BoundedText, Event, EventBody, Severity};
use crate::grid::values::id::{ApplianceName, BootId, SessionId, SpoolId};
use crate::grid::{Grid, explain};
use crate::journal::{self, HeaderFilter, PageLimit};
use crate::small_disk::{fill, on_small_disk};
use crate::tasks;
use crate::test_timeout::timeout;

fn log_event(text: &str) -> IncomingEvent {
    let event = Event {
        body: EventBody::Log,
        text: BoundedText::with_truncated(text, false),
        severity: Severity::Info,
        event_time: None,
        uptime: None,
        spooled_at: None,
        is_repeated: false,
        dropped_before: Vec::new(),
        group_key: None,
        is_resolved: false,
        crash_dump: None,
    };
    IncomingEvent { boot: None, sequence: None, event }
}

fn of_session(
    key: SessionKey,
    events: impl IntoIterator<Item = IncomingEvent>,
) -> Vec<SessionEvent> {
    let of_session = |it: IncomingEvent| key.receive(it.boot, it.sequence, it.event);
    events.into_iter().map(of_session).collect()
}

/// Submits a batch; returns the outcomes of its events, deferred or not.
async fn submit_batch(
    broker: &BrokerHandle,
    key: SessionKey,
    events: Vec<IncomingEvent>,
) -> Result<Vec<Outcome>, Unavailable> {
    let closed = |_| Unavailable::Stopping;
    let mut outcomes = vec![Outcome::Stored; events.len()];
    let events = of_session(key, events);
    let exceptions = match broker.submit_batch(key, events, 10).await?.await.map_err(closed)? {
        BatchReply::Complete(exceptions) => exceptions,
        BatchReply::Deferred(exceptions) => exceptions.await.map_err(closed)?,
    };
    exceptions.into_iter().for_each(|(at, reply)| outcomes[at] = reply.outcome);
    Ok(outcomes)
}

fn db1() -> ApplianceName {
    ApplianceName::new("db1").expect("a name")
}

fn small_journal(dir: &Path) -> journal::JournalSettings {
    journal::JournalSettings {
        commit_file_bytes: 64 << 10,
        segment_bytes: 1 << 20,
        ballast_bytes: 1 << 20,
        low_water: 4 << 20,
        ..journal::JournalSettings::new(dir.join("data"))
    }
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// Rules that accept any rate.
fn unlimited() -> settings::GridSettings {
    let budgets = settings::RateLimits::UNLIMITED;
    let rules =
        settings::ClassSettings { rate_limits: budgets, ..settings::ClassSettings::default() };
    settings::GridSettings::new([(settings::DEFAULT_CLASS.to_owned(), rules)])
}

async fn started(journal: journal::JournalSettings) -> Started {
    started_with(journal, unlimited()).await
}

async fn started_with(journal: journal::JournalSettings, grid: settings::GridSettings) -> Started {
    let runtime = Handle::current();
    let starting =
        move || start(&journal, grid, AppliedSettings::default(), runtime).expect("starts");
    tasks::spawn_blocking("start", starting).await.expect("no panic")
}

async fn is_low(broker: &BrokerHandle) -> bool {
    let alert = |grid: &Grid, _| grid.state().finding(None, FindingKind::DiskLow).is_some();
    broker.query(alert).await.expect("answers")
}

async fn wait_until(what: &str, mut reached: impl AsyncFnMut() -> bool) {
    let until = crate::clock::monotonic_now() + timeout();
    while !reached().await {
        assert!(crate::clock::monotonic_now() < until, "not reached in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn record_texts(started: &Started) -> Vec<String> {
    let all = PageLimit { records: usize::MAX, bytes: u64::MAX };
    let page = started.reader.forward(1, &HeaderFilter::default(), all).expect("reads");
    let read = |it: &crate::journal::EncodedRecord| {
        crate::codec::decode_record(&it.bytes).expect("decodes")
    };
    page.records
        .iter()
        .map(|it| {
            explain::describe_record(&read(it)).render(|moment| moment.as_micros().to_string())
        })
        .collect()
}

#[test]
fn below_the_low_water_mark_nothing_new_is_taken_and_reading_goes_on() {
    let name = "broker::tests::below_the_low_water_mark_nothing_new_is_taken_and_reading_goes_on";
    on_small_disk(name, 128, |dir| {
        block_on(async {
            let started = started(small_journal(dir)).await;
            let broker = &started.broker;
            broker.submit_event(db1(), None, log_event("a"), 10).await.expect("there is room");
            let filler = fill(dir, 20 << 20);
            wait_until("the alert", async || is_low(broker).await).await;
            let refused = broker.submit_event(db1(), None, log_event("b"), 10).await;
            assert_eq!(refused.expect_err("the disk is low"), Unavailable::DiskLow);
            let order = crate::grid::log::command::AdminCommand::Remove { name: db1() };
            let refused = broker.command("me", order).await;
            assert_eq!(refused.expect_err("the disk is low"), Unavailable::DiskLow);
            std::fs::remove_file(filler).expect("removes");
            wait_until("room", async || !is_low(broker).await).await;
            broker
                .submit_event(db1(), None, log_event("c"), 10)
                .await
                .expect("there is room again");
            let texts = record_texts(&started);
            let low = texts.iter().filter(|it| it.starts_with("the disk is nearly full: ")).count();
            let room = texts.iter().filter(|it| it.starts_with("the disk has room again")).count();
            assert_eq!((low, room), (1, 1), "{texts:?}");
        });
    });
}

#[test]
fn on_a_full_disk_acks_are_held_until_there_is_room() {
    let name = "broker::tests::on_a_full_disk_acks_are_held_until_there_is_room";
    on_small_disk(name, 128, |dir| {
        block_on(async {
            let started = started(small_journal(dir)).await;
            let text = "x".repeat(4_000);
            let mut tries = 0;
            let (filler, asked) = loop {
                tries += 1;
                assert!(tries <= 20, "no commit found a full disk in 20 tries");
                wait_until("room", async || !is_low(&started.broker).await).await;
                let filler = fill(dir, 0);
                // The disk is checked once a second; usually these are quicker.
                let ask = |_| {
                    let (broker, event) = (started.broker.clone(), log_event(&text));
                    let report =
                        async move { broker.submit_event(db1(), None, event, 4_000).await };
                    tasks::spawn("report", report)
                };
                let asked: Vec<_> = (0..600).map(ask).collect();
                tokio::time::sleep(Duration::from_secs(2)).await;
                if asked.iter().any(|it| !it.is_finished()) {
                    break (filler, asked);
                }
                std::fs::remove_file(filler).expect("removes");
            };
            let waiting = asked.iter().filter(|it| !it.is_finished()).count();
            std::fs::remove_file(filler).expect("removes");
            let mut kept = 0;
            for answer in asked {
                match answer.await.expect("no panic") {
                    Ok(answer) => {
                        assert!(answer.record.expect("a record") <= started.reader.durable());
                        kept += 1;
                    }
                    Err(refused) => assert_eq!(refused, Unavailable::DiskLow),
                }
            }
            assert!(kept >= waiting, "what waited is stored: {kept} of {waiting}");
            started.broker.stop().await.expect("stops");
            started.ended.await.expect("no panic").expect("stops cleanly");
        });
    });
}

#[test]
fn records_are_trimmed_only_after_the_trim_is_durable() {
    let dir = tempfile::tempdir().expect("a folder");
    let retention = journal::Retention { age: Duration::from_secs(1), bytes: u64::MAX };
    let journal = journal::JournalSettings { retention, low_water: 0, ..small_journal(dir.path()) };
    block_on(async {
        // Each stop writes a checkpoint, and only segments below the older of two are trimmed.
        for turn in 0..3 {
            let started = started(journal.clone()).await;
            started.broker.submit_event(db1(), None, log_event("a"), 10).await.expect("is stored");
            if turn == 0 {
                let status = || started.reader.status().expect("a status");
                wait_until("a sealed segment", async || status().sealed_segments > 0).await;
            }
            started.broker.stop().await.expect("stops");
            started.ended.await.expect("no panic").expect("stops cleanly");
        }
        let started = started(journal.clone()).await;
        wait_until("the trim", async || started.reader.first() > 1).await;
        let kept_from = started.reader.first();
        let text = format!("records 1 to {} trimmed: older than 1 s, ", kept_from - 1);
        let texts = record_texts(&started);
        assert!(texts.iter().any(|it| it.starts_with(&text)), "{text} is not in {texts:?}");
        let name = |grid: &Grid, _| grid.state().find(&db1()).is_some();
        assert!(started.broker.query(name).await.expect("answers"), "state keeps what it needs");
    });
}

#[test]
fn records_found_missing_are_a_fatal_alert_also_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal::JournalSettings {
        segment_bytes: 2 << 10,
        low_water: 0,
        ..small_journal(dir.path())
    };
    block_on(async {
        let missing = async |started: &Started| {
            let alert = |grid: &Grid, _| {
                let alert = grid.state().finding(None, FindingKind::RecordsMissing);
                alert.map(|it| (it.severity, it.text.to_string()))
            };
            started.broker.query(alert).await.expect("answers")
        };
        let first = started(journal.clone()).await;
        // Enough that no file of the commit log contains the first segment any more.
        for turn in 0..2 {
            for number in 0..150 {
                let text = format!("{turn} {number} ").repeat(150);
                first
                    .broker
                    .submit_event(db1(), None, log_event(&text), 10)
                    .await
                    .expect("is stored");
            }
        }
        wait_until("sealed segments", async || {
            first.reader.status().expect("a status").sealed_through >= 100
        })
        .await;
        first.broker.stop().await.expect("stops");
        first.ended.await.expect("no panic").expect("stops cleanly");
        // The second checkpoint truncates the commit log.
        let second = started(journal.clone()).await;
        second.broker.stop().await.expect("stops");
        second.ended.await.expect("no panic").expect("stops cleanly");

        let third = started(journal.clone()).await;
        assert_eq!(missing(&third).await, None);
        let segment = dir.path().join("data/archive/span-00000000000000000001");
        std::fs::remove_dir_all(segment).expect("is there");
        let all = PageLimit { records: 1, bytes: u64::MAX };
        let page = third.reader.forward(1, &HeaderFilter::default(), all).expect("reads on");
        let lost = page.missing.first().expect("something is missing").clone();
        wait_until("the alert", async || missing(&third).await.is_some()).await;
        let text = format!("records 1 to {} are missing", lost.end());
        assert_eq!(missing(&third).await, Some((Severity::Fatal, text.clone())));
        third.broker.stop().await.expect("stops");
        third.ended.await.expect("no panic").expect("stops cleanly");
        let fourth = started(journal).await;
        assert_eq!(missing(&fourth).await, Some((Severity::Fatal, text)));
    });
}

/// Opens a session with a spool, as if that many events had been acknowledged.
async fn open_session(broker: &BrokerHandle, acked_through: u64) -> (SessionKey, bool) {
    let (id, boot) = (SessionId(acked_through), BootId(uuid::Uuid::from_u128(1)));
    let spool = std::num::NonZeroU64::new(5).map(SpoolId);
    let greeting = UnresolvedHello {
        boot,
        uptime: None,
        spool,
        acked_through,
        is_transient: true,
        session: id,
    };
    let welcomed =
        broker.open_session(db1(), greeting, Backlog::default()).await.expect("is accepted");
    (SessionKey { id, appliance: welcomed.appliance, boot, spool }, welcomed.is_spool_known)
}

#[test]
fn a_spool_is_known_until_the_journal_is_lost_then_its_events_are_new() {
    let dir = tempfile::tempdir().expect("a folder");
    let numbered = |number| IncomingEvent {
        sequence: std::num::NonZeroU64::new(number),
        ..log_event(&number.to_string())
    };
    block_on(async {
        for (turn, lost) in [(0, false), (1, false), (2, true)] {
            if lost {
                std::fs::remove_dir_all(dir.path().join("data")).expect("is there");
            }
            let started = started(small_journal(dir.path())).await;
            let broker = &started.broker;
            let is_known = turn > 0 && !lost;
            let (key, knew) = open_session(broker, 3).await;
            assert_eq!(knew, is_known, "turn {turn}");
            let answers = submit_batch(broker, key, vec![numbered(2), numbered(4)]).await;
            let expected = if is_known { Outcome::Duplicate } else { Outcome::Stored };
            assert_eq!(answers.expect("is stored"), [expected; 2], "turn {turn}");
            assert!(open_session(broker, 4).await.1, "as soon as one of its events is");
            let missing =
                |grid: &Grid, _| grid.state().finding(None, FindingKind::RecordsMissing).is_some();
            assert!(!broker.query(missing).await.expect("answers"));
            broker.stop().await.expect("stops");
            started.ended.await.expect("no panic").expect("stops cleanly");
        }
    });
}
