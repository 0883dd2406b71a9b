//! Whatever comes over a connection or a session gets its answer at its place, and neither its
//! neighbours nor anybody else suffer.

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::session_response::Message;
use grid_broker::contract::proto::{
    AckException, Alert, Counter, Event, Hello, Log, Maintenance, Outcome,
};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Gridd, Hellos, Raw, START_RECORDS, Session, ack_exceptions, event, soon};

const DB1: &str = "shop:main.db1";

fn log(text: &str) -> Event {
    event(Kind::Log(Log {}), 0, text)
}

fn named(exception: &AckException) -> Vec<&str> {
    exception.violations.iter().map(|it| it.field.as_str()).collect()
}

async fn assert_good_is_taken(gridd: &Gridd) {
    let mut session = Session::open(gridd, DB1, 77, 0).await;
    session.say(&log("good")).await;
    assert_eq!(ack_exceptions(&session.acked(1).await), []);
    session.goodbye().await;
}

/// An event whose text is those bytes.
fn log_of_bytes(text: &[u8]) -> Vec<u8> {
    let mut bytes = Event { text: String::new(), ..log("") }.encode_to_vec();
    prost::encoding::bytes::encode(16, &text.to_vec(), &mut bytes);
    bytes
}

#[tokio::test]
async fn what_is_no_event_is_invalid_at_its_position_and_its_neighbours_are_kept() {
    let gridd = Gridd::start().await;
    let mut session = Session::open(&gridd, DB1, 1, 0).await;
    let maintenance = |progress| {
        event(Kind::Maintenance(Maintenance { progress: Some(progress) }), 0, "x").encode_to_vec()
    };
    let counter = Some(Counter { name: "a/b".to_owned(), value: 1.0 });
    let unknown_kind = {
        let mut bytes = Vec::new();
        prost::encoding::bytes::encode(6, &Vec::<u8>::new(), &mut bytes);
        bytes
    };
    let bad: [(Vec<u8>, Outcome, &[&str]); 10] = [
        (log_of_bytes(b"broken \xff\xfe text"), Outcome::Invalid, &["text"]),
        (maintenance(0), Outcome::Invalid, &["maintenance.progress"]),
        (maintenance(101), Outcome::Invalid, &["maintenance.progress"]),
        (b"\xff\xff\xff\xff garbage".to_vec(), Outcome::Invalid, &["event"]),
        (Vec::new(), Outcome::Invalid, &["kind"]),
        (log(&"x".repeat(65_537)).encode_to_vec(), Outcome::Invalid, &["event"]),
        (
            Event { severity: -1, boot_id: "b".to_owned(), ..log("x") }.encode_to_vec(),
            Outcome::Invalid,
            &["boot_id", "severity"],
        ),
        (
            event(Kind::Alert(Alert { counter }), 0, "").encode_to_vec(),
            Outcome::Invalid,
            &["alert.counter.name"],
        ),
        (log("").encode_to_vec(), Outcome::Invalid, &["text"]),
        (unknown_kind, Outcome::Unsupported, &[]),
    ];
    for (place, (bytes, ..)) in bad.iter().enumerate() {
        session.say(&log(&format!("before {place}"))).await;
        session.say_bytes(bytes).await;
    }
    session.say(&log("the last")).await;
    let through = bad.len() as u64 * 2 + 1;
    let exceptions = ack_exceptions(&session.acked(through).await);
    assert_eq!(exceptions.len(), bad.len());
    for (place, (exception, (_, outcome, fields))) in (1..).zip(exceptions.iter().zip(&bad)) {
        assert_eq!(exception.position, place * 2);
        assert_eq!(exception.outcome, i32::from(*outcome), "{exception:?}");
        let mut found = named(exception);
        found.sort_unstable();
        assert_eq!(&found, fields, "{exception:?}");
        assert!(exception.violations.iter().all(|it| !it.description.is_empty()));
    }
    assert_eq!(exceptions[0].violations[0].description, "is not UTF-8: byte 7 is invalid");
    session.goodbye().await;
    let kept: Vec<_> = gridd.records(&["--kind", "log"]).await;
    let kept: Vec<_> = kept.iter().map(|it| it["text"].as_str().expect("a text")).collect();
    let expected: Vec<_> = (0..bad.len()).map(|place| format!("before {place}")).collect();
    assert_eq!(kept[..bad.len()], expected);
    assert_eq!(kept[bad.len()..], ["the last"]);
}

#[tokio::test]
async fn a_number_is_invalid_in_a_session_that_does_not_say_whose_it_is() {
    let gridd = Gridd::start().await;
    let mut session = Session::open(&gridd, DB1, 1, 0).await;
    session.say(&log("first")).await;
    session.say(&Event { sequence: 7, ..log("numbered") }).await;
    session.say(&log("last")).await;
    let exceptions = ack_exceptions(&session.acked(3).await);
    let [exception] = &exceptions[..] else { panic!("one, not {exceptions:?}") };
    assert_eq!((exception.position, exception.outcome()), (2, Outcome::Invalid));
    assert_eq!(named(exception), ["sequence"]);
    session.goodbye().await;
    assert_eq!(gridd.records(&["--text", "numbered"]).await.len(), 0);
    assert_eq!(gridd.records(&["--kind", "log"]).await.len(), 2);
}

/// What the broker ends a stream with, before it ever said welcome.
async fn refusal(raw: &mut Raw) -> Status {
    match raw.next().await {
        Err(status) => status,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|it| it.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_session_that_does_not_begin_with_a_right_hello_is_refused() {
    let gridd = Gridd::start().await;
    let right = || Hellos::of(1, 0);
    for (hello, field, description) in [
        (
            Hello { protocol_revision: 2, ..right() },
            "hello.protocol_revision",
            "is 2; this broker supports 1",
        ),
        (
            Hello { protocol_revision: 0, ..right() },
            "hello.protocol_revision",
            "is 0; this broker supports 1",
        ),
        (
            Hello { boot_id: String::new(), ..right() },
            "hello.boot_id",
            "is missing; a session belongs to a boot",
        ),
        (
            Hello { boot_id: "x".repeat(36), ..right() },
            "hello.boot_id",
            "a UUID in text form is needed, such as 9a0c7c9e-4b1e-4f6e-8a57-0d2b6c1f3e55",
        ),
        (
            Hello { tool_version: "x".repeat(65), ..right() },
            "hello.tool_version",
            "at most 64 bytes are allowed",
        ),
        (
            Hello { capabilities: vec![String::new(); 33], ..right() },
            "hello.capabilities",
            "at most 32 of 64 bytes each are allowed",
        ),
    ] {
        let mut raw = Raw::open(&gridd, DB1).await;
        raw.hello(hello).await;
        let status = refusal(&mut raw).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violation = &details.bad_request().expect("it names the field").field_violations[0];
        assert_eq!(
            (violation.field.as_str(), violation.description.as_str()),
            (field, description)
        );
    }
    // An event, or something newer than this broker, in place of a hello.
    for first in [&b"\x12\x02\x22\x00"[..], b""] {
        let mut raw = Raw::open(&gridd, DB1).await;
        raw.say(first).await;
        let status = refusal(&mut raw).await;
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::FailedPrecondition, "NO_HELLO")
        );
        assert_eq!(status.message(), "a session's first message must be a Hello");
    }
    // What is no message at all.
    let mut raw = Raw::open(&gridd, DB1).await;
    raw.say(b"\xff\xff\xff\xff garbage").await;
    let status = refusal(&mut raw).await;
    assert_ne!(status.code(), Code::Ok, "{status:?}");
    assert_eq!(gridd.records(&[]).await.len(), START_RECORDS, "no boot began and nobody appeared");
    assert_good_is_taken(&gridd).await;
}

#[tokio::test]
async fn who_says_nothing_is_asked_to_go_and_holds_nobody_up() {
    let gridd = Gridd::start().await;
    let mut silent = Raw::open(&gridd, DB1).await;
    assert_good_is_taken(&gridd).await;
    let status = refusal(&mut silent).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "NO_HELLO"));
    assert_eq!(status.message(), "no Hello was received within 10 s");
}

#[tokio::test]
async fn garbage_behind_a_hello_ends_its_session_alone_and_what_came_before_is_kept() {
    let gridd = Gridd::start().await;
    let mut neighbour = Session::open(&gridd, "shop:main.web1", 2, 0).await;
    let too_large = vec![0; (1 << 20) + 1];
    for (garbage, code) in
        [(&b"\xff\xff\xff\xff garbage"[..], Code::Internal), (&too_large, Code::OutOfRange)]
    {
        let mut raw = Raw::open(&gridd, DB1).await;
        raw.hello(Hellos::of(1, 0)).await;
        assert!(matches!(raw.next().await, Ok(Some(Message::Welcome(_)))));
        let mut first = Vec::new();
        prost::encoding::bytes::encode(2, &log("before").encode_to_vec(), &mut first);
        raw.say(&first).await;
        match raw.next().await {
            Ok(Some(Message::Ack(ack))) => assert_eq!((ack.through, ack.exceptions), (1, vec![])),
            other => panic!("an ack was expected, not {other:?}"),
        }
        raw.say(garbage).await;
        assert_eq!(refusal(&mut raw).await.code(), code);
    }
    let mut raw = Raw::open(&gridd, DB1).await;
    raw.hello(Hellos::of(1, 0)).await;
    raw.hello(Hellos::of(1, 0)).await;
    assert!(matches!(raw.next().await, Ok(Some(Message::Welcome(_)))));
    assert_eq!(reason(&refusal(&mut raw).await), "SECOND_HELLO");

    neighbour.say(&log("still here")).await;
    assert_eq!(ack_exceptions(&neighbour.acked(1).await), []);
    assert_eq!(gridd.records(&["--text", "before"]).await.len(), 2);
    assert_good_is_taken(&gridd).await;
}

#[tokio::test]
async fn events_before_a_second_hello_are_acknowledged_though_they_came_together() {
    let gridd = Gridd::start().await;
    let mut raw = Raw::open(&gridd, DB1).await;
    raw.hello(Hellos::of(1, 0)).await;
    assert!(matches!(raw.next().await, Ok(Some(Message::Welcome(_)))));
    let mut first = Vec::new();
    prost::encoding::bytes::encode(2, &log("before").encode_to_vec(), &mut first);
    raw.say(&first).await;
    raw.hello(Hellos::of(1, 0)).await;
    match raw.next().await {
        Ok(Some(Message::Ack(ack))) => assert_eq!((ack.through, ack.exceptions), (1, vec![])),
        other => panic!("an ack was expected, not {other:?}"),
    }
    assert_eq!(reason(&refusal(&mut raw).await), "SECOND_HELLO");
}

#[tokio::test]
async fn an_unknown_call_is_unimplemented_and_an_unknown_service_too() {
    let gridd = Gridd::start().await;
    for path in ["/grid.events.v1.EventService/Nonsense", "/nonsense.v9.Nobody/Call"] {
        let status = match Raw::call(&gridd, DB1, path).await {
            Err(status) => status,
            Ok(mut raw) => refusal(&mut raw).await,
        };
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status:?}");
    }
    assert_good_is_taken(&gridd).await;
}

#[tokio::test]
async fn bytes_that_are_no_http_end_their_connection_alone() {
    let gridd = Gridd::start().await;
    for address in [&gridd.grpc, &gridd.http] {
        for garbage in [&b"\x00\x01\x02\x03 nonsense\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b""] {
            let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
            stream.write_all(garbage).await.expect("writes");
            stream.shutdown().await.expect("closes");
            let mut answer = Vec::new();
            // Reset or closed: both are an end.
            let _ = soon("the end", stream.read_to_end(&mut answer)).await;
        }
    }
    assert_good_is_taken(&gridd).await;
}
