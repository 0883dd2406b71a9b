//! An export has the lines of a list of all records, byte for byte, and costs nobody else.

use std::collections::BTreeMap;
use std::fs;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::grid_log_service_client::GridLogServiceClient;
use grid_broker::contract::proto::{
    Alert, Counter, Event, ExportRecordsRequest, ListRecordsRequest, Log, Maintenance, Record,
    RecordFilter, StartFailed, StartedOk,
};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{Gridd, Session, clean, event, eventually, run, soon};

/// Events of each session.
const EVENTS: u64 = 1_500;

/// Fills the log with every kind of event, and texts that must be escaped.
async fn fill(gridd: &Gridd) {
    for (name, boot) in [("shop:db1", 1), ("web1", 2)] {
        let mut session = Session::open(gridd, name, boot, 0).await;
        for number in 0..EVENTS {
            let counter = Counter { name: "disk".to_owned(), value: 0.5 };
            let kind = match number % 7 {
                0 => Kind::Maintenance(Maintenance { progress: Some(34) }),
                1 => Kind::StartedOk(StartedOk {}),
                2 => Kind::Alert(Alert { counter: Some(counter) }),
                3 => Kind::StartFailed(StartFailed {}),
                _ => Kind::Log(Log {}),
            };
            let text = format!("{number}, \"größe\" \u{1b}[2J\u{202e}\\ \n{}", "x".repeat(300));
            let shown = if number % 3 == 0 { &text[..1] } else { &text };
            let event_time = (number % 5 == 0)
                .then_some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 120_000_000 });
            let said = event(kind, 0, shown);
            session.say(&Event { event_time, uptime_ms: number, ..said }).await;
        }
        // Some are refused, which are records too.
        session.acked(EVENTS).await;
    }
}

#[tokio::test]
async fn an_export_is_a_list_of_all_byte_for_byte() {
    let gridd = Gridd::without_rate_limits().await;
    fill(&gridd).await;
    let mut compared = 0;
    for words in [
        &["-o", "jsonl"][..],
        &["-o", "csv"],
        &["-o", "csv", "--no-headers", "web*"],
        &["-o", "jsonl", "--kind", "alert,maintenance", "--severity", "info"],
        &["-o", "jsonl", "--text", "GRÖSSE", "shop:db1"],
        &["-o", "csv", "--boot", "0000", "--until", "now"],
        &["-o", "jsonl", "--text", "nobody said this"],
    ] {
        // Sessions and tallies leave records when they like.
        let (list, export) = eventually("a quiet moment", async || {
            let list = ["log", "list", "--all"].iter().chain(words).copied().collect::<Vec<_>>();
            let export = ["log", "export"].iter().chain(words).copied().collect::<Vec<_>>();
            let before = gridd.gridctl(&list).await.done();
            let exported = gridd.gridctl(&export).await.done();
            (before == gridd.gridctl(&list).await.done()).then_some((before, exported))
        })
        .await;
        assert!(list == export, "{words:?}: {} and {} bytes", list.len(), export.len());
        compared += list.len();
    }
    assert!(compared > 1 << 20, "several messages: {compared}");
}

#[tokio::test]
async fn an_export_to_a_file_is_that_to_standard_output() {
    let gridd = Gridd::without_rate_limits().await;
    fill(&gridd).await;
    let path = gridd.path("grid.csv").display().to_string();
    let words = ["log", "export", "-o", "csv", "--until", "now"];
    let printed = gridd.gridctl(&words).await.done();
    let filed = ["log", "export", "-o", "csv", "--kind", "log", "--file", &path];
    gridd.gridctl(&filed).await.done();
    let expected = gridd.gridctl(&["log", "export", "-o", "csv", "--kind", "log"]).await.done();
    assert_eq!(fs::read_to_string(&path).expect("the file"), expected);
    assert!(printed.len() > expected.len());
    let again = gridd.gridctl(&filed).await;
    assert_eq!(again.code, Some(2), "it is not replaced: {again:?}");
}

#[tokio::test]
async fn an_export_continues_wherever_it_was_interrupted() {
    let gridd = Gridd::without_rate_limits().await;
    fill(&gridd).await;
    for format in ["jsonl", "csv"] {
        let path = gridd.path("grid.log").display().to_string();
        let words = ["log", "export", "-o", format, "--kind", "log,alert"];
        let whole = gridd.gridctl(&words).await.done();
        // Killed within its first part, with the umask of many systems.
        let limited = gridd.gridctl_command(&[&words[..], &["--file", &path]].concat());
        let mut command = clean("/bin/sh");
        command.args(["-c", "umask 002; ulimit -c 0; ulimit -f 100; exec \"$@\"", "sh"]);
        command.arg(limited.get_program()).args(limited.get_args());
        let killed = run(command).await;
        assert_ne!(killed.code, Some(0), "{killed:?}");
        let (partial, description) = (format!("{path}.partial"), format!("{path}.resume"));
        let written = fs::read(&partial).expect("what was written");
        let kept = format!("{path}.kept");
        fs::copy(&description, &kept).expect("its description");
        assert!(whole.as_bytes().starts_with(&written) && whole.len() > written.len() * 2);
        let line = whole.find('\n').expect("lines") + 1;
        let two = line + whole[line..].find('\n').expect("lines") + 1;
        let late = whole.len() - 1_000;
        for end in [written.len(), 0, 1, line, two, two + 10, late, whole.len()] {
            fs::write(&partial, &whole.as_bytes()[..end]).expect("written");
            // With its permissions.
            fs::copy(&kept, &description).expect("copied");
            gridd.gridctl(&["log", "export", "--file", &path, "--resume"]).await.done();
            assert!(fs::read(&path).expect("a file") == whole.as_bytes(), "{format}: {end}");
            fs::remove_file(&path).expect("removed");
        }
    }
}

/// All records of an export, and the cursor of each message with the last number before it.
async fn exported(
    gridd: &Gridd,
    request: ExportRecordsRequest,
) -> (Vec<Record>, BTreeMap<u64, String>) {
    let mut client =
        GridLogServiceClient::new(gridd.channel().await).max_decoding_message_size(usize::MAX);
    let reply = soon("an export", client.export_records(request)).await.expect("it begins");
    let (mut stream, mut records, mut cursors) = (reply.into_inner(), Vec::new(), BTreeMap::new());
    let mut is_complete = false;
    while let Some(part) = soon("a part", stream.message()).await.expect("it goes on") {
        assert!(!is_complete, "nothing follows the end");
        assert!(part.records.iter().all(|record| record.number <= part.reached));
        records.extend(part.records);
        is_complete = part.reached >= part.last;
        assert!(cursors.insert(part.reached, part.cursor).is_none(), "each goes on");
    }
    assert!(is_complete);
    (records, cursors)
}

#[tokio::test]
async fn an_export_continues_after_every_cursor_and_within_every_range() {
    let gridd = Gridd::without_rate_limits().await;
    fill(&gridd).await;
    let filter = Some(RecordFilter { kinds: (1..=6).collect(), ..RecordFilter::default() });
    let whole = ExportRecordsRequest { filter, ..ExportRecordsRequest::default() };
    let (records, cursors) = exported(&gridd, whole.clone()).await;
    let last = records.last().expect("records").number;
    assert!(records.windows(2).all(|two| two[0].number < two[1].number));
    assert!(cursors.len() > 2, "several messages: {}", cursors.len());
    for (reached, cursor) in &cursors {
        let ask = ExportRecordsRequest { cursor: cursor.clone(), last, ..whole.clone() };
        let (rest, _) = exported(&gridd, ask).await;
        let expected = records.iter().filter(|record| record.number > *reached);
        assert!(rest.iter().eq(expected), "after {reached}");
    }
    for (first, last) in [(1, 1), (5, 700), (700, 1_900), (last, last)] {
        let (some, _) =
            exported(&gridd, ExportRecordsRequest { first, last, ..whole.clone() }).await;
        assert!(some.iter().eq(records.iter().filter(|it| (first..=last).contains(&it.number))));
    }
    // The same records as on pages.
    let mut client = GridLogServiceClient::new(gridd.channel().await);
    let ask =
        ListRecordsRequest { filter: whole.filter.clone(), page_size: 1_000, ..Default::default() };
    let page = soon("a page", client.list_records(ask)).await.expect("a page").into_inner();
    assert_eq!(page.records, records[..page.records.len()]);

    let ahead = ExportRecordsRequest { first: u64::MAX, ..whole.clone() };
    let refused = soon("an answer", client.export_records(ahead)).await.expect_err("a refusal");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let reason = refused.get_error_details().error_info().map(|it| it.reason.clone());
    assert_eq!(reason.as_deref(), Some("CURSOR_AHEAD"));
    let other = ExportRecordsRequest { cursor: "00000000.1".to_owned(), ..whole };
    let refused = soon("an answer", client.export_records(other)).await.expect_err("a refusal");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_export_that_nobody_reads_delays_nobody() {
    let gridd = Gridd::without_rate_limits().await;
    fill(&gridd).await;
    // More than can be converted at one time.
    let mut unread = Vec::new();
    for _ in 0..8 {
        let mut client = GridLogServiceClient::new(gridd.channel().await);
        let ask = ExportRecordsRequest::default();
        unread.push(soon("an export", client.export_records(ask)).await.expect("it begins"));
    }
    gridd.vme("db2", 1, &["id=log", "msg=in between"]).await.done();
    let filter = Some(RecordFilter { appliances: vec!["db2".to_owned()], ..Default::default() });
    let ask = ExportRecordsRequest { filter, ..ExportRecordsRequest::default() };
    let (records, _) = exported(&gridd, ask).await;
    assert!(records.iter().any(|record| record.text == "in between"), "{records:?}");
    drop(unread);
}
