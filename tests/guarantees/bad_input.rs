//! Whatever is said wrongly gets an answer that names it, changes nothing, and the next good event
//! is taken: by the programs and by unary calls. What comes over a session is in `bad_sessions`.

use grid_broker::client::APPLIANCE_METADATA;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::event_service_client::EventServiceClient;
use grid_broker::contract::proto::{
    Alert, Counter, Event, Log, Maintenance, Outcome, ReportRequest, ReportResponse,
};
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Gridd, START_RECORDS, clean, event, run, soon};

const DB1: &str = "shop:main.db1";

const NOTHING_SENT: &str = "vme: nothing was sent; see `vme --help`\n";

async fn report(gridd: &Gridd, name: &str, event: Event) -> Result<ReportResponse, Status> {
    gridd.report(name, 1, event).await
}

fn boot(number: u128) -> String {
    uuid::Uuid::from_u128(number).to_string()
}

/// The one field that is wrong, and what is said of it.
fn violation(status: &Status) -> (String, String) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let fields = &details.bad_request().expect("it names the fields").field_violations;
    assert_eq!(fields.len(), 1, "{fields:?}");
    (fields[0].field.clone(), fields[0].description.clone())
}

#[tokio::test]
async fn wrong_words_of_vme_are_named_with_what_is_allowed_and_send_nothing() {
    let gridd = Gridd::start().await;
    let long_name = "x".repeat(129);
    let counter = format!("cnt_name={long_name}");
    let counter_error = format!(
        "cnt_name=`{}...` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`",
        "x".repeat(60)
    );
    let wrong_name = |name| {
        format!(
            "--appliance `{name}` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`, the first \
             a letter or digit"
        )
    };
    for (words, error) in [
        (
            &["id=started"][..],
            "id=`started` is not an event, did you mean `started_ok`; it is one of started_ok, \
             start_failed, maintenance, log, alert",
        ),
        (
            &["id=\x1b[31mred"],
            "id=`\\x1b[31mred` is not an event; it is one of started_ok, start_failed, maintenance, \
             log, alert",
        ),
        (
            &["id=log", "msg=x", "severity=loud"],
            "severity=`loud` is not a severity; it is one of debug, info, warn, error, fatal",
        ),
        (
            &["id=maintenance", "msg=x", "progress=0"],
            "progress=`0` is not a whole number from 1 to 100",
        ),
        (
            &["id=maintenance", "msg=x", "progress=101"],
            "progress=`101` is not a whole number from 1 to 100",
        ),
        (
            &["id=started_ok", "cnt_name=n", "cnt_value=1"],
            "cnt_name=`n` is allowed with id=alert only, not with id=started_ok\n\
             vme: cnt_value=`1` is allowed with id=alert only, not with id=started_ok",
        ),
        (&["id=alert", &counter, "cnt_value=1"], &counter_error),
        (
            &["id=alert", "cnt_name=a b", "cnt_value=1"],
            "cnt_name=`a b` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`",
        ),
        (
            &["id=alert", "cnt_name=n", "cnt_value=nan"],
            "cnt_value=`nan` is not a finite number such as 46 or -0.5",
        ),
        (&["id=log"], "msg is missing; id=log needs a text"),
        (&["--appliance", "a/b", "id=started_ok"], &wrong_name("a/b")),
        // The sign of the broker in lists, and what looks like an option.
        (&["--appliance", "-", "id=log", "msg=gridd stopped cleanly"], &wrong_name("-")),
        (&["--appliance", "::::", "id=started_ok"], &wrong_name("::::")),
        (&["--appliance=--help", "id=started_ok"], &wrong_name("--help")),
    ] {
        let said = if words[0].starts_with("--appliance") {
            let mut command = clean(env!("CARGO_BIN_EXE_vme"));
            command.args(["--broker", &gridd.grpc]).args(words);
            run(command).await
        } else {
            gridd.vme(DB1, 1, words).await
        };
        assert_eq!(said.stderr, format!("vme: {error}\n{NOTHING_SENT}"));
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{words:?}");
    }
    assert_eq!(gridd.records(&[]).await.len(), START_RECORDS, "nothing was sent");
    gridd.vme(DB1, 1, &["id=started_ok"]).await.done();
}

#[tokio::test]
async fn wrong_words_of_gridctl_are_named_and_change_nothing() {
    let gridd = Gridd::start().await;
    let name = "name: 1 to 128 bytes of letters, digits, `.`, `_`, `-`, `:` are allowed, \
                the first a letter or digit";
    let wrong_name = format!("gridctl: {name}\n");
    for (words, code, error) in [
        (&["appliance", "show", "a b"][..], 2, wrong_name.as_str()),
        (&["appliance", "add", "a\x1b[31m"], 2, &wrong_name),
        (&["appliance", "add", "--", "-"], 2, &wrong_name),
        (&["appliance", "add", "."], 2, &wrong_name),
        (
            &["appliance", "show", "nobody"],
            7,
            "gridctl: there is no appliance nobody; `gridctl appliance list` shows all of them\n",
        ),
        (
            &["appliance", "stop", "nobody"],
            7,
            "gridctl: there is no appliance nobody; `gridctl appliance list` shows all of them\n",
        ),
        (
            &["log", "list", "--severity", "loud"],
            2,
            "error: invalid value 'loud' for '--severity <LEVEL>'\n  \
             [possible values: debug, info, warn, error, fatal]\n\n\
             For more information, try '--help'.\n",
        ),
    ] {
        let said = gridd.gridctl(words).await;
        assert_eq!(said.stderr, error, "{words:?}");
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{words:?}");
    }
    let limits = "--boot-timeout: is ";
    for (words, named) in [
        (&["log", "list", "--kind", "noise"][..], "noise"),
        (&["log", "list", "--since", "yesterday-ish"], "yesterday-ish"),
        (&["appliance", "add", "a", "--boot-timeout", "0s"], limits),
        (&["appliance", "add", "a", "--boot-timeout", "13h"], limits),
        (&["appliance", "add", "a", "--class", "nonsense"], "nonsense"),
        (&["appliance", "list", "--state", "odd"], "odd"),
        (&["log", "list", "--boot", "zz"], "--boot"),
        (&["log", "list", "--appliance", "[a"], "appliance"),
        (&["nonsense"], "nonsense"),
    ] {
        let said = gridd.gridctl(words).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{words:?}: {said:?}");
        assert!(said.stderr.contains(named), "{words:?}: {}", said.stderr);
    }
    assert_eq!(gridd.records(&[]).await.len(), START_RECORDS, "nothing was done");
    gridd.gridctl(&["appliance", "add", "a"]).await.done();
}

#[tokio::test]
async fn a_malformed_report_names_its_field_and_the_next_is_taken() {
    let gridd = Gridd::start().await;
    let alert = |name: &str, value| {
        let counter = Some(Counter { name: name.to_owned(), value });
        Event { text: "x".to_owned(), ..event(Kind::Alert(Alert { counter }), 1, "") }
    };
    let maintenance = |progress| Event {
        boot_id: boot(1),
        ..event(Kind::Maintenance(Maintenance { progress: Some(progress) }), 1, "x")
    };
    let log = || event(Kind::Log(Log {}), 1, "x");
    let cases = [
        (maintenance(0), "event.maintenance.progress", "is 0; 1 to 100 percent are allowed"),
        (maintenance(101), "event.maintenance.progress", "is 101; 1 to 100 percent are allowed"),
        (
            Event { severity: 6, ..log() },
            "event.severity",
            "is 6; debug (1), info, warn, error, fatal (5) are allowed",
        ),
        (
            Event { kind: None, ..log() },
            "event.kind",
            "is missing; started_ok, start_failed, maintenance, log or alert is needed",
        ),
        (
            Event { boot_id: String::new(), ..maintenance(5) },
            "event.boot_id",
            "is missing; a lifecycle event must name its boot",
        ),
        (
            Event { boot_id: "not-a-boot".to_owned(), ..log() },
            "event.boot_id",
            "a UUID in text form is needed, such as 9a0c7c9e-4b1e-4f6e-8a57-0d2b6c1f3e55",
        ),
        (
            Event { next_report_within_ms: 5_000, ..log() },
            "event.next_report_within_ms",
            "is allowed with maintenance only",
        ),
        (
            alert("a b", 1.0),
            "event.alert.counter.name",
            "1 to 128 bytes of letters, digits, `.`, `_`, `-`, `:` are allowed",
        ),
        (alert("n", f64::NAN), "event.alert.counter.value", "is not a finite number"),
        (
            event(Kind::Log(Log {}), 1, ""),
            "event.text",
            "is missing; required for log, and for alert without a counter",
        ),
    ];
    for (sent, field, description) in cases {
        let status = report(&gridd, DB1, sent).await.expect_err(field);
        assert_eq!(violation(&status), (field.to_owned(), description.to_owned()));
    }
    let large = event(Kind::Log(Log {}), 1, &"x".repeat(70_000));
    let (field, said) = violation(&report(&gridd, DB1, large).await.expect_err("too large"));
    assert_eq!(field, "event");
    assert!(said.ends_with("bytes; at most 65536 are allowed"), "{said}");
    assert_eq!(gridd.records(&[]).await.len(), START_RECORDS, "nothing was kept");

    let answer = report(&gridd, DB1, log()).await.expect("a good one is taken");
    assert_eq!(answer.outcome, i32::from(Outcome::Kept));
}

/// `ReportRequest` with any bytes as the event.
#[derive(Clone, PartialEq, prost::Message)]
struct AnyReport {
    #[prost(bytes = "vec", tag = "1")]
    event: Vec<u8>,
}

async fn report_bytes(gridd: &Gridd, event: Vec<u8>) -> Result<ReportResponse, Status> {
    let mut request = tonic::Request::new(AnyReport { event });
    request.metadata_mut().insert(APPLIANCE_METADATA, DB1.parse().expect("metadata"));
    let mut grpc = tonic::client::Grpc::new(gridd.channel().await);
    soon("the connection", grpc.ready()).await.expect("the connection is ready");
    let path = http::uri::PathAndQuery::from_static("/grid.events.v1.EventService/Report");
    let codec = tonic_prost::ProstCodec::default();
    soon("the answer", grpc.unary(request, path, codec)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_report_of_a_kind_to_come_is_unsupported_and_one_over_a_message_is_out_of_range() {
    let gridd = Gridd::start().await;
    let mut to_come = Vec::new();
    prost::encoding::bytes::encode(6, &Vec::<u8>::new(), &mut to_come);
    let answer = report_bytes(&gridd, to_come).await.expect("an answer, not a refusal");
    assert_eq!((answer.outcome(), answer.record_number), (Outcome::Unsupported, 0));
    assert_eq!(answer.reason, "UNSUPPORTED");
    assert_eq!(answer.explanation, "of a kind that this broker does not know");
    let refused = report_bytes(&gridd, vec![0; 1 << 20]).await.expect_err("too large");
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(gridd.records(&[]).await.len(), START_RECORDS, "nothing was kept");
}

#[tokio::test]
async fn whoever_gives_no_name_or_none_of_the_alphabet_is_told_so() {
    let gridd = Gridd::start().await;
    let log = || event(Kind::Log(Log {}), 1, "x");
    let status = report(&gridd, "two words", log()).await.expect_err("no name");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(
        status.message(),
        "metadata grid-appliance is not an appliance name: \
         1 to 128 bytes of letters, digits, `.`, `_`, `-`, `:` are allowed, the first a letter or digit"
    );
    let mut client = EventServiceClient::new(gridd.channel().await);
    let request = ReportRequest { event: Some(log()), spool_id: 1 };
    let status = soon("the answer", client.report(request)).await.expect_err("nobody");
    assert_eq!(status.code(), Code::Unauthenticated);
    for odd in ["-", ".", "::::", "--help"] {
        let status = report(&gridd, odd, log()).await.expect_err("no name");
        assert_eq!(status.code(), Code::Unauthenticated, "{odd}");
        assert!(status.message().ends_with("the first a letter or digit"), "{status}");
    }
    report(&gridd, DB1, log()).await.expect("a good one is taken");
}

#[tokio::test]
async fn a_long_text_is_cut_at_a_character_and_marked() {
    let gridd = Gridd::start().await;
    // 4096 lies within the last ä that still begins before it.
    let text = format!("x{}", "ä".repeat(3_000));
    let said = gridd.vme(DB1, 1, &["id=log", &format!("msg={text}")]).await.done();
    assert_eq!(said, "vme: log of shop:main.db1 is record 4 (text truncated to 4096 bytes)\n");
    let record = &gridd.records(&["--kind", "log"]).await[0];
    assert_eq!(record["text"], format!("x{}", "ä".repeat(2_047)));
    assert_eq!(record["flags"], serde_json::json!(["text_cut"]));
    gridd.vme(DB1, 1, &["id=log", &format!("msg={}", "x".repeat(4_096))]).await.done();
    let record = &gridd.records(&["--kind", "log"]).await[1];
    assert_eq!(record["flags"], serde_json::json!([]), "4096 bytes are not too many");
}

#[tokio::test]
async fn text_that_is_not_utf8_is_mended_by_vme_and_it_says_so() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let gridd = Gridd::start().await;
    let mut command = clean(env!("CARGO_BIN_EXE_vme"));
    command.env("VME_BOOT_ID", boot(1)).args(["--broker", &gridd.grpc, "--appliance", DB1]);
    command.arg("id=log").arg(OsStr::from_bytes(b"msg=caf\xe9 closed"));
    let said = run(command).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stdout, "vme: log of shop:main.db1 is record 4\n");
    assert!(said.stderr.contains("UTF-8"), "{said:?}");
    let record = &gridd.records(&["--kind", "log"]).await[0];
    assert_eq!(record["text"], "caf\u{fffd} closed");
    // A name is not mended: another name would be another appliance.
    let mut command = clean(env!("CARGO_BIN_EXE_vme"));
    command.args(["--broker", &gridd.grpc, "--appliance"]).arg(OsStr::from_bytes(b"caf\xe9"));
    command.arg("id=started_ok");
    let said = run(command).await;
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[tokio::test]
async fn control_characters_are_kept_as_sent_and_shown_escaped() {
    let gridd = Gridd::start().await;
    let text = "red \x1b[31m\x07 line\nbreak \u{202e}olleh \u{9b}2J back\\slash";
    gridd.vme(DB1, 1, &["id=log", &format!("msg={text}")]).await.done();
    let words = ["id=maintenance", &format!("msg={text}"), "progress=3"];
    gridd.vme(DB1, 1, &words).await.done();
    let shown = "red \\x1b[31m\\x07 line\\nbreak \\u{202e}olleh \\u{9b}2J back\\\\slash";

    let table = gridd.gridctl(&["log", "list", "--kind", "log"]).await.done();
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains(shown), "{table}");
    let state = gridd.gridctl(&["appliance", "show", DB1]).await.done();
    assert!(state.contains(shown), "{state}");
    for words in [
        &["log", "list"][..],
        &["log", "list", "--output", "json"],
        &["log", "list", "--output", "jsonl"],
        &["log", "list", "--output", "csv"],
        &["log", "list", "--batch"],
        &["appliance", "show", DB1],
        &["appliance", "list"],
        &["appliance", "list", "--output", "json"],
        &["status"],
    ] {
        let said = gridd.gridctl(words).await.done();
        let hidden = said.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(hidden, None, "{words:?}: {said}");
    }
    assert_eq!(gridd.records(&["--kind", "log"]).await[0]["text"], text, "JSON gives it back");
    let appliance: Value = {
        let json = gridd.gridctl(&["appliance", "show", DB1, "--output", "json"]).await.done();
        serde_json::from_str(&json).expect("JSON")
    };
    assert_eq!(appliance_of(&appliance)["text"], text);
}

/// One appliance is shown as an object, or as an array of one.
fn appliance_of(shown: &Value) -> &Value {
    shown.get(0).unwrap_or(shown)
}

#[tokio::test]
async fn an_event_time_far_off_is_kept_and_marked() {
    let gridd = Gridd::start().await;
    for (number, (seconds, flags)) in (1..).zip([
        (-62_135_596_800, &["time_off"][..]),
        (0, &["time_off"]),
        (253_402_300_799, &["time_off"]),
        (grid_broker::clock::wall_now().as_micros() / 1_000_000, &[]),
    ]) {
        let event_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        let sent = Event { event_time, ..event(Kind::Log(Log {}), number, "when?") };
        let answer = report(&gridd, DB1, sent).await.expect("it is taken");
        assert_eq!((answer.outcome, &answer.flags[..]), (Outcome::Kept.into(), &owned(flags)[..]));
    }
    let records = gridd.records(&["--kind", "log"]).await;
    let times: Vec<_> = records.iter().map(|it| it["event"]["event_time"].clone()).collect();
    assert_eq!(
        times[..3],
        ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
    );
    // Beyond what the contract's timestamp can hold nothing can be kept.
    let event_time = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    let sent = Event { event_time, ..event(Kind::Log(Log {}), 9, "when?") };
    let status = report(&gridd, DB1, sent).await.expect_err("no time");
    assert_eq!(violation(&status).0, "event.event_time");
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
