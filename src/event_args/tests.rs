//! Tests that arguments give the events of the manuals, and that all errors are reported.

use std::os::unix::ffi::OsStrExt;

use super::*;

fn parsed(arguments: &[&str]) -> EventCommand {
    parse(arguments).expect("valid arguments")
}

fn errors(arguments: &[&str]) -> Vec<String> {
    let ArgErrors(errors) = parse(arguments).expect_err("invalid arguments");
    errors.iter().map(ToString::to_string).collect()
}

fn event(kind: Kind, text: &str, severity: Severity) -> Event {
    let (kind, text) = (Some(kind), text.to_owned());
    Event { kind, text, severity: severity.into(), ..Event::default() }
}

#[test]
fn the_six_examples_of_the_manuals_parse() {
    assert_eq!(
        parsed(&["id=started_ok"]).event,
        event(Kind::StartedOk(StartedOk {}), "", Severity::Unspecified)
    );
    assert_eq!(
        parsed(&["id=start_failed", "msg=Missing DNS server address"]).event,
        event(
            Kind::StartFailed(StartFailed {}),
            "Missing DNS server address",
            Severity::Unspecified
        )
    );
    assert_eq!(
        parsed(&["id=maintenance", "msg=Database recovery", "progress=30"]).event,
        event(
            Kind::Maintenance(Maintenance { progress: Some(30) }),
            "Database recovery",
            Severity::Unspecified
        )
    );
    assert_eq!(
        parsed(&["id=log", "msg=SSL certificate loaded OK", "severity=info"]).event,
        event(Kind::Log(Log {}), "SSL certificate loaded OK", Severity::Info)
    );
    assert_eq!(
        parsed(&["id=alert", "msg=Corrupted database file detected", "severity=fatal"]).event,
        event(
            Kind::Alert(Alert { counter: None }),
            "Corrupted database file detected",
            Severity::Fatal
        )
    );
    let counter = Some(Counter { name: "n_db_xact_per_min".to_owned(), value: 46.0 });
    assert_eq!(
        parsed(&["id=alert", "cnt_name=n_db_xact_per_min", "cnt_value=46", "severity=fatal"]).event,
        event(Kind::Alert(Alert { counter }), "", Severity::Fatal)
    );
}

#[test]
fn order_does_not_matter_and_aliases_equal_msg() {
    let expected = parsed(&["id=log", "msg=a=b", "severity=warn"]);
    assert_eq!(parsed(&["severity=warn", "text=a=b", "id=log"]), expected);
    assert_eq!(parsed(&["log_text=a=b", "id=log", "severity=warn"]), expected);
    assert_eq!(expected.event.text, "a=b");
}

#[test]
fn every_event_has_its_name() {
    for name in EVENTS {
        assert_eq!(parsed(&[&format!("id={name}"), "msg=x"]).name, name);
    }
}

#[test]
fn next_report_within_is_sent_in_milliseconds() {
    for (given, sent) in [("1s", 1_000), ("60s", 60_000), ("1m", 60_000), ("1500ms", 1_500)] {
        let parsed = parsed(&["id=maintenance", &format!("next_report_within={given}")]);
        assert_eq!(parsed.event.next_report_within_ms, sent, "{given}");
    }
    for invalid in ["0s", "999ms", "61s", "10", "-5s", "soon", ""] {
        assert_eq!(
            errors(&["id=maintenance", &format!("next_report_within={invalid}")]),
            [format!("next_report_within=`{invalid}` is not a time from 1s to 60s")]
        );
    }
}

#[test]
fn progress_is_a_whole_percent_of_maintenance() {
    for (given, sent) in [("1", 1), ("100", 100), ("030", 30)] {
        let parsed = parsed(&["id=maintenance", &format!("progress={given}")]);
        assert_eq!(
            parsed.event.kind,
            Some(Kind::Maintenance(Maintenance { progress: Some(sent) }))
        );
    }
    for invalid in ["0", "101", "-1", "+5", "30%", "1.5", "", "99999999999"] {
        assert_eq!(
            errors(&["id=maintenance", &format!("progress={invalid}")]),
            [format!("progress=`{invalid}` is not a whole number from 1 to 100")]
        );
    }
    assert_eq!(
        errors(&["id=log", "msg=x", "progress=30"]),
        ["progress=`30` is allowed with id=maintenance only, not with id=log"]
    );
}

#[test]
fn a_counter_is_a_pair_of_an_alert() {
    assert_eq!(
        errors(&["id=alert", "cnt_name=n_db_xact_per_min"]),
        ["cnt_name=`n_db_xact_per_min` is half of a counter; cnt_value is missing"]
    );
    assert_eq!(
        errors(&["id=alert", "msg=x", "cnt_value=46"]),
        ["cnt_value=`46` is half of a counter; cnt_name is missing"]
    );
    assert_eq!(
        errors(&["id=log", "msg=x", "cnt_name=n", "cnt_value=46"]),
        [
            "cnt_name=`n` is allowed with id=alert only, not with id=log",
            "cnt_value=`46` is allowed with id=alert only, not with id=log",
        ]
    );
    for invalid in ["", "a b", "größe", &"n".repeat(129)] {
        let errors = errors(&["id=alert", &format!("cnt_name={invalid}"), "cnt_value=1"]);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].ends_with("is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`"));
    }
    for invalid in ["", "many", "inf", "NaN", "1e999", "4 6"] {
        assert_eq!(
            errors(&["id=alert", "cnt_name=n", &format!("cnt_value={invalid}")]),
            [format!("cnt_value=`{invalid}` is not a finite number such as 46 or -0.5")]
        );
    }
}

#[test]
fn an_alert_may_give_its_key() {
    let alert = parsed(&["id=alert", "msg=degraded", "key=raid:md0"]).event;
    assert_eq!(alert.alert_key, "raid:md0");
    assert_eq!(parsed(&["id=alert", "msg=degraded"]).event.alert_key, "");
    let long = format!("key={}", "x".repeat(121));
    for invalid in ["key=", "key=a b", "key=a/b", "key=\u{e4}", &long] {
        let errors = errors(&["id=alert", "msg=x", invalid]);
        assert!(
            errors[0].ends_with("is not 1 to 120 letters, digits, `.`, `_`, `-` or `:`"),
            "{errors:?}"
        );
    }
    assert_eq!(
        errors(&["id=log", "msg=x", "key=raid"]),
        ["key=`raid` is allowed with id=alert only, not with id=log"]
    );
}

#[test]
fn unknown_arguments_get_the_nearest_suggestion() {
    assert_eq!(
        errors(&["id=startd_ok"]),
        ["id=`startd_ok` is not an event, did you mean `started_ok`; \
          it is one of started_ok, start_failed, maintenance, log, alert"]
    );
    assert_eq!(
        errors(&["id=log", "msg=x", "severity=warning"]),
        ["severity=`warning` is not a severity, did you mean `warn`; \
          it is one of debug, info, warn, error, fatal"]
    );
    assert_eq!(
        errors(&["id=started_ok", "mgs=x"]),
        [
            "parameter `mgs` is unknown, did you mean `msg`; there are id, msg, severity, key, resolved, progress, \
          cnt_name, cnt_value, next_report_within, text, log_text"
        ]
    );
    assert!(
        errors(&["started_ok"])[0].starts_with(
            "`started_ok` is not name=value, did you mean `id=started_ok`; quote a text"
        )
    );
}

#[test]
fn all_errors_of_a_call_are_reported_at_once() {
    let errors = errors(&[
        "severity=bad\u{1b}[31m",
        "progress=0",
        "msg=one",
        "text=two",
        "words",
        "cnt_value=x",
        "colour=red",
    ]);
    let expected = [
        "text is given again as `two`; it is allowed once",
        "`words` is not name=value; quote a text that has spaces: msg=\"two words\"",
        "parameter `colour` is unknown; there are",
        "id is missing; it is one of started_ok, start_failed,",
        r"severity=`bad\x1b[31m` is not a severity; it is one of debug,",
        "progress=`0` is not a whole number from 1 to 100",
        "cnt_value=`x` is not a finite number such as 46 or -0.5",
        "cnt_value=`x` is half of a counter; cnt_name is missing",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (errors, expected) in errors.iter().zip(expected) {
        assert!(errors.starts_with(expected), "{errors}");
    }
}

#[test]
fn log_and_alert_need_a_text() {
    assert_eq!(errors(&["id=log"]), ["msg is missing; id=log needs a text"]);
    assert_eq!(errors(&["id=log", "msg="]), ["msg is missing; id=log needs a text"]);
    assert_eq!(errors(&["id=alert"]), ["msg is missing; id=alert needs a text or a counter"]);
    assert!(parse(["id=start_failed"]).is_ok());
}

#[test]
fn text_that_is_not_utf8_is_corrected_and_reported() {
    let arguments = [OsStr::new("id=log"), OsStr::from_bytes(b"text=disk \xff\xfe full")];
    let parsed = parse(arguments).expect("invalid UTF-8 does not cost an event");
    assert_eq!(parsed.event.text, "disk \u{fffd}\u{fffd} full");
    assert_eq!(parsed.corrections, [Correction::NotUtf8 { parameter: "text".to_owned() }]);
}

#[test]
fn a_long_text_is_sent_and_a_huge_one_truncated_at_a_character() {
    let long = format!("msg={}", "x".repeat(SENT_TEXT_BYTES_MAX));
    let whole = parsed(&["id=log", &long]);
    assert_eq!(whole.event.text.len(), SENT_TEXT_BYTES_MAX);
    assert!(whole.corrections.is_empty());

    let huge = format!("msg=x{}", "ä".repeat(30_000));
    let cut = parsed(&["id=log", &huge]);
    assert_eq!(cut.event.text.len(), 59_999);
    let parameter = "msg".to_owned();
    assert_eq!(cut.corrections, [Correction::Truncated { parameter, bytes: 60_001, kept: 59_999 }]);
}

#[test]
fn control_characters_are_preserved_in_a_text() {
    assert_eq!(parsed(&["id=log", "msg=a\tb\n\u{1b}[0m"]).event.text, "a\tb\n\u{1b}[0m");
}
