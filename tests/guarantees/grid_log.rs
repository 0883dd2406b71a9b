//! Whoever reads the grid log hears of every number: as a record, as lost, or as trimmed.

use std::process::Command;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::grid_log_service_client::GridLogServiceClient;
use grid_broker::contract::proto::tail_records_response::Message;
use grid_broker::contract::proto::{
    ListRecordsRequest, ListRecordsResponse, Log, RecordFilter, TailRecordsRequest,
    TailRecordsResponse,
};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::support::{Gridd, Session, ack_exceptions, event, eventually, soon};

const TRIMS_AT_ONCE: &str = "class.default.budget = \"unlimited\"\n[retention]\nage = \"1s\"\n";

async fn grid_log(gridd: &Gridd) -> GridLogServiceClient<Channel> {
    GridLogServiceClient::new(gridd.channel().await)
}

async fn listed(gridd: &Gridd, request: ListRecordsRequest) -> Result<ListRecordsResponse, Status> {
    let mut client = grid_log(gridd).await;
    soon("a page", client.list_records(request)).await.map(tonic::Response::into_inner)
}

async fn tailed(gridd: &Gridd, request: TailRecordsRequest) -> Tail {
    let mut client = grid_log(gridd).await;
    Tail(soon("a tail", client.tail_records(request)).await.expect("it begins").into_inner())
}

struct Tail(Streaming<TailRecordsResponse>);

impl Tail {
    async fn next(&mut self) -> TailRecordsResponse {
        let next = soon("the tail's next message", self.0.message()).await;
        next.expect("it goes on").expect("it goes on")
    }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|it| it.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn what_was_trimmed_is_told_to_whoever_asks_for_it() {
    let mut gridd = Gridd::with_config(TRIMS_AT_ONCE).await;
    let early = tailed(&gridd, TailRecordsRequest::default()).await.next().await.cursor;
    // Each stop writes a checkpoint, and what is trimmed must lie below the older of two.
    for _ in 0..5 {
        gridd.vme("db1", 1, &["id=log", "msg=x"]).await.done();
        assert_eq!(gridd.terminate().await, Some(0));
        gridd.start_again().await;
    }
    let ask = ListRecordsRequest::default;
    eventually("the trim", async || {
        let page = listed(&gridd, ask()).await.expect("a page");
        (!page.missing.is_empty()).then_some(())
    })
    .await;
    // No more is trimmed while the test looks.
    gridd.terminate().await;
    std::fs::write(gridd.path("gridd.toml"), "").expect("the configuration");
    gridd.start_again().await;
    let missing = listed(&gridd, ask()).await.expect("a page").missing[0];
    assert!(missing.trimmed && missing.first == 1, "{missing:?}");
    let said = format!("records 1 to {} were trimmed", missing.last);
    for words in [&["log", "list"][..], &["log", "list", "--all"], &["log", "list", "-r"]] {
        let list = gridd.gridctl(words).await.done();
        assert_eq!(list.matches(&said).count(), 1, "{words:?}: {list}");
    }
    let recent = gridd.gridctl(&["log", "list", "--since", "1h"]).await.done();
    assert!(!recent.contains("were trimmed"), "{recent}");

    let mut tail = tailed(&gridd, TailRecordsRequest { cursor: early, ..Default::default() }).await;
    assert_eq!(tail.next().await.message, None, "the cursor it came with");
    let Some(Message::Missing(told)) = tail.next().await.message else { panic!("a range") };
    assert!(told.trimmed && told.last == missing.last, "{told:?}");
    let Some(Message::Record(next)) = tail.next().await.message else { panic!("a record") };
    assert_eq!(next.number, missing.last + 1);
}

#[tokio::test]
async fn a_cursor_of_records_that_a_restore_took_away_is_refused() {
    let mut gridd = Gridd::without_rate_limits().await;
    assert_eq!(gridd.terminate().await, Some(0));
    copy(&gridd, "data", "older");
    gridd.start_again().await;
    for _ in 0..5 {
        gridd.vme("db1", 1, &["id=log", "msg=x"]).await.done();
    }
    let cursor = tailed(&gridd, TailRecordsRequest::default()).await.next().await.cursor;
    gridd.kill().await;
    std::fs::remove_dir_all(gridd.path("data")).expect("removes");
    copy(&gridd, "older", "data");
    gridd.start_again().await;

    let ask = TailRecordsRequest { cursor: cursor.clone(), ..Default::default() };
    let refused = soon("an answer", grid_log(&gridd).await.tail_records(ask)).await;
    let refused = refused.map(drop).expect_err("a refusal");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "CURSOR_AHEAD")
    );
    assert!(refused.message().starts_with("cursor: is at record "), "{refused:?}");
    assert!(refused.message().ends_with("; start again without it"), "{refused:?}");
    let ask = ListRecordsRequest { page_token: cursor, ..Default::default() };
    let refused = listed(&gridd, ask).await.expect_err("a refusal");
    assert_eq!(reason(&refused), "CURSOR_AHEAD");
    assert!(refused.message().starts_with("page_token: "), "{refused:?}");
}

fn copy(gridd: &Gridd, from: &str, to: &str) {
    let mut command = Command::new("/bin/cp");
    let done = command.arg("-a").args([gridd.path(from), gridd.path(to)]).status();
    assert!(done.expect("cp runs").success());
}

#[tokio::test]
async fn every_page_fits_into_a_message_of_4_mib() {
    const RECORDS: u64 = 700;
    let gridd = Gridd::without_rate_limits().await;
    let mut session = Session::open(&gridd, "db1", 1, 0).await;
    for number in 0..RECORDS {
        let text = format!("{number:04096}");
        session.say(&event(Kind::Log(Log {}), 0, &text)).await;
    }
    assert_eq!(ack_exceptions(&session.acked(RECORDS).await), []);
    for newest_first in [false, true] {
        let filter = Some(RecordFilter { kinds: vec![4], ..Default::default() });
        let ask =
            ListRecordsRequest { page_size: 1_000, newest_first, filter, ..Default::default() };
        let (mut numbers, mut page_token) = (Vec::new(), String::new());
        loop {
            let ask = ListRecordsRequest { page_token, ..ask.clone() };
            let page = listed(&gridd, ask).await.expect("a page that can be read");
            numbers.extend(page.records.iter().map(|record| record.number));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        if newest_first {
            numbers.reverse();
        }
        let first = numbers[0];
        assert_eq!(numbers, (first..first + RECORDS).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_tail_of_some_appliances_hears_of_one_that_appears_later() {
    let gridd = Gridd::without_rate_limits().await;
    gridd.vme("web1", 1, &["id=log", "msg=other"]).await.done();
    let filter =
        RecordFilter { appliances: vec!["db*".to_owned()], kinds: vec![4], ..Default::default() };
    let ask = TailRecordsRequest { filter: Some(filter), ..Default::default() };
    let mut tail = tailed(&gridd, ask).await;
    assert_eq!(tail.next().await.message, None);
    for (name, received) in
        [("web2", false), ("db1", true), ("web1", false), ("db2", true), ("db1", true)]
    {
        gridd.vme(name, 1, &["id=log", &format!("msg=of {name}")]).await.done();
        if received {
            let Some(Message::Record(record)) = tail.next().await.message else { panic!("one") };
            assert_eq!(record.text, format!("of {name}"));
        }
    }
}

#[tokio::test]
async fn a_tail_whose_client_does_not_read_delays_nobody_and_misses_nothing() {
    const EVENTS: u64 = 20_000;
    let gridd = Gridd::without_rate_limits().await;
    let filter = RecordFilter { kinds: vec![4], ..Default::default() };
    let ask = TailRecordsRequest { filter: Some(filter), ..Default::default() };
    let mut unread = tailed(&gridd, ask.clone()).await;
    let mut session = Session::open(&gridd, "db1", 1, 0).await;
    for number in 1..=EVENTS {
        session.say(&event(Kind::Log(Log {}), 0, &format!("{number:0300}"))).await;
        if number % 1_000 == 0 {
            session.acked(number).await;
        }
    }
    let first = texts(&mut unread, EVENTS).await;
    assert!(first.iter().zip(1..).all(|(text, number)| *text == format!("{number:0300}")));
    let all = TailRecordsRequest { from_number: 1, ..ask.clone() };
    assert_eq!(texts(&mut tailed(&gridd, all).await, EVENTS).await, first);
    let from_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    let all = TailRecordsRequest { from_time, ..ask };
    assert_eq!(texts(&mut tailed(&gridd, all).await, EVENTS).await, first);
}

/// The texts of the next records.
async fn texts(tail: &mut Tail, count: u64) -> Vec<String> {
    let mut texts = Vec::new();
    while (texts.len() as u64) < count {
        match tail.next().await.message {
            Some(Message::Record(record)) => texts.push(record.text),
            Some(Message::Missing(missing)) => panic!("nothing is missing: {missing:?}"),
            None => {}
        }
    }
    texts
}
