//! Tests of the format of tracing lines, hostile values included.

use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::show::escape::is_hidden;

/// The captured writes, one entry each.
#[derive(Clone, Default)]
struct CapturedWrites(Arc<Mutex<Vec<String>>>);

impl io::Write for CapturedWrites {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The one line that `emit` writes.
fn line(format: LogFormat, surroundings: LogDestination, emit: impl FnOnce()) -> String {
    let written = CapturedWrites::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("trace"))
        .event_format(LineFormat { format, destination: surroundings })
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, emit);
    let written = written.0.lock().unwrap();
    let [line] = &written[..] else { panic!("one write a line, not {written:?}") };
    let line = line.strip_suffix('\n').expect("a line ends");
    assert!(!line.contains('\n'), "{line}");
    line.to_owned()
}

fn json_line(emit: impl FnOnce()) -> serde_json::Value {
    let line = line(LogFormat::Json, LogDestination::Terminal, emit);
    assert!(!line.contains(is_hidden), "{line}");
    serde_json::from_str(&line).expect("JSON")
}

#[test]
fn a_line_for_people_has_time_level_target_message_and_fields() {
    let emit = || {
        let lasted = 2_u64;
        tracing::warn!(target: "grid_broker::broker", duration_ms = lasted, path = "/a b", "late");
    };
    let plain = line(LogFormat::Human, LogDestination::Plain, emit);
    let (time, rest) = plain.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert_eq!(rest, " WARN broker: late duration_ms=2 path=\"/a b\"");
    let coloured = line(LogFormat::Human, LogDestination::Terminal, emit);
    assert!(coloured.ends_with(" \x1b[33m WARN\x1b[0m broker: late duration_ms=2 path=\"/a b\""));
    let journald = line(LogFormat::Human, LogDestination::Journald, emit);
    assert_eq!(journald, "<4> WARN broker: late duration_ms=2 path=\"/a b\"", "no time, no colour");
}

#[test]
fn a_line_for_machines_is_one_flat_object() {
    let error = crate::daemon::DaemonError::from(crate::broker::BrokerStartError::Thread(
        io::Error::other("no more threads"),
    ));
    let line_json = json_line(|| {
        let error = &error as &dyn Error;
        tracing::error!(error, record = 7_u64, good = true, load = 0.5, "it {}", "broke");
    });
    assert_eq!(line_json["level"], "error");
    assert_eq!(line_json["target"], "tracing_lines::tests");
    assert_eq!(line_json["message"], "it broke");
    assert_eq!(
        (&line_json["record"], &line_json["good"], &line_json["load"]),
        (&7.into(), &true.into(), &0.5.into())
    );
    let error = line_json["error"].as_str().unwrap();
    assert_eq!(error, "cannot start the broker's thread: no more threads", "with its cause");
    assert!(line_json["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let line = line(LogFormat::Json, LogDestination::Plain, || tracing::info!("x"));
    assert!(line.starts_with("{\"time\":\""), "{line}");
}

#[test]
fn fields_named_as_our_keys_do_not_replace_them() {
    let line_json = json_line(|| tracing::info!(level = "mine", time = 1, "x"));
    assert_eq!((&line_json["level"], &line_json["field.level"]), (&"info".into(), &"mine".into()));
    assert_eq!(line_json["field.time"], 1);
}

#[test]
fn long_values_are_truncated_at_a_character() {
    let text = "ä".repeat(VALUE_BYTES_MAX);
    let line_json = json_line(|| tracing::info!(path = text, "x"));
    assert_eq!(line_json["path"], format!("{}...", "ä".repeat(VALUE_BYTES_MAX / 2)));
    let line_json = json_line(|| tracing::info!(load = f64::NAN, "x"));
    assert_eq!(line_json["load"], "NaN", "no number of JSON");
}

#[test]
fn only_a_stream_that_is_ours_is_the_journal() {
    let ours = fstat(std::io::stderr()).unwrap();
    assert!(goes_to_journald(Some(&format!("{}:{}", ours.st_dev, ours.st_ino))));
    assert!(!goes_to_journald(Some(&format!("{}:{}", ours.st_dev, ours.st_ino + 1))));
    assert!(!goes_to_journald(Some("nonsense")));
    assert!(!goes_to_journald(None));
}

proptest! {
    #[test]
    fn nothing_breaks_a_line_whatever_is_told(
        text in any::<String>(),
        odd in "[\"\\\\\\x00-\\x1f\\u{7f}-\\u{a0}\\u{2028}-\\u{202e} =]{0,20}",
    ) {
        for text in [text, odd] {
            let emit = || tracing::info!(appliance = %text, path = text, "received {text}");
            for destination in [LogDestination::Plain, LogDestination::Journald] {
                let line = line(LogFormat::Human, destination, emit);
                prop_assert!(!line.contains(is_hidden), "{}", line);
            }
            let line_json = json_line(emit);
            prop_assert_eq!(line_json["appliance"].as_str(), Some(text.as_str()));
            prop_assert_eq!(line_json["message"].as_str().unwrap(), format!("received {text}"));
        }
    }
}

#[test]
fn dropped_lines_are_reported_by_a_line_of_the_same_format() {
    let lines = |format| LineFormat { format, destination: LogDestination::Journald };
    let line = lines(LogFormat::Human).dropped_line(3);
    let text = "tracing_lines: 3 lines are missing here: standard error took no more\n";
    assert_eq!(line, format!("<4> WARN {text}"));
    let line: serde_json::Value =
        serde_json::from_str(&lines(LogFormat::Json).dropped_line(1)).unwrap();
    assert_eq!(line["message"], "1 line is missing here: standard error took no more");
}
