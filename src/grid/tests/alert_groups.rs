//! Tests which alerts are the same problem, on two lists of lines shaped after those of public
//! projects. The second was written after the rules were done, and says what other lines may expect.

use std::fmt::Write as _;

use crate::grid::model::alert_group::{LABEL_BYTES_MAX, group_key};
use crate::grid::values::event::Severity;

const LINES: &str = include_str!("alert_lines.txt");
const LINES_2: &str = include_str!("alert_lines_2.txt");

/// The groups of a list: blank lines separate problems, `;;` begins a comment, `\n` is a new line.
fn problems(list: &str) -> Vec<Vec<String>> {
    let of_group = |group: &str| -> Vec<String> {
        let lines = group.lines().filter(|it| !it.trim().is_empty() && !it.starts_with(";;"));
        lines.map(|it| it.replace("\\n", "\n").replace("\\t", "\t")).collect()
    };
    list.split("\n\n").map(of_group).filter(|it| !it.is_empty()).collect()
}

fn group_id(text: &str) -> uuid::Uuid {
    group_key(None, None, Severity::Error, text).0
}

/// What a list measured.
#[derive(Debug, Default)]
struct Measured {
    lines: usize,
    problems: usize,
    pairs: usize,
    crossed: usize,
    split: Vec<[String; 2]>,
    merged: Vec<[String; 2]>,
}

impl Measured {
    fn of(list: &str) -> Self {
        let with_ids =
            |it: Vec<String>| -> Vec<_> { it.into_iter().map(|it| (group_id(&it), it)).collect() };
        let problems: Vec<Vec<(uuid::Uuid, String)>> =
            problems(list).into_iter().map(with_ids).collect();
        let mut all = Self { problems: problems.len(), ..Self::default() };
        for (at, problem) in problems.iter().enumerate() {
            all.lines += problem.len();
            for (first, one) in problem.iter().enumerate() {
                for other in &problem[first + 1..] {
                    all.pairs += 1;
                    if one.0 != other.0 {
                        all.split.push([one.1.clone(), other.1.clone()]);
                    }
                }
                for other in problems[at + 1..].iter().flatten() {
                    all.crossed += 1;
                    if one.0 == other.0 {
                        all.merged.push([one.1.clone(), other.1.clone()]);
                    }
                }
            }
        }
        all
    }

    /// The figures, and the pairs that are wrong.
    fn report(&self) -> String {
        let Self { lines, problems, pairs, crossed, split, merged } = self;
        let (split_count, merged_count) = (split.len(), merged.len());
        let mut text = format!(
            "{lines} lines of {problems} problems; split {split_count} of {pairs} pairs, merged \
             {merged_count} of {crossed}"
        );
        let form = |it: &str| group_key(None, None, Severity::Error, it).1;
        for (word, pairs) in [("split", split), ("merged", merged)] {
            for [one, other] in pairs.iter().take(40) {
                let (one_key, other_key) = (form(one), form(other));
                let _ =
                    write!(text, "\n{word}:\n  {one}\n  {other}\n  -> {one_key}\n  -> {other_key}");
            }
        }
        text
    }
}

#[test]
fn no_two_problems_share_a_key_and_hardly_one_is_split() {
    let measured = Measured::of(LINES);
    let report = measured.report();
    assert!(measured.lines >= 300 && measured.pairs >= 150, "{report}");
    assert!(measured.merged.is_empty(), "merged, so that alerts are lost: {report}");
    assert!(measured.split.len() * 100 <= measured.pairs * 7, "split, so many mails: {report}");
}

#[test]
fn lines_that_came_after_the_rules_fare_hardly_worse() {
    let measured = Measured::of(LINES_2);
    let report = measured.report();
    assert!(measured.lines >= 100 && measured.pairs >= 50, "{report}");
    assert!(measured.merged.is_empty(), "merged, so that alerts are lost: {report}");
    assert!(measured.split.len() * 100 <= measured.pairs * 15, "split, so many mails: {report}");
}

/// Seven texts of one appliance whose JSON has no word outside quotes.
pub(super) const JSON: [&str; 7] = [
    r#"{"alert":"disk_full"}"#,
    r#"{"alert":"raid_degraded"}"#,
    r#"{"alert":"fan_stands"}"#,
    r#"{"alert":"no_backup"}"#,
    r#"{"alert":"clock_wrong"}"#,
    r#"{"alert":"data_lost"}"#,
    r#"{"alert":"door_open"}"#,
];

#[test]
fn json_of_different_content_has_different_keys() {
    let pairs = [("host", "db"), ("code", "E"), ("id", ""), ("part", "slot-"), ("at", "0x")];
    let mut texts: Vec<String> = JSON.iter().map(ToString::to_string).collect();
    for (name, value) in pairs {
        texts.extend((1..8).map(|n| format!(r#"{{"{name}":"{value}{n}","level":"error"}}"#)));
        texts.extend((1..8).map(|n| format!(r#"{{"level":"error", "{name}":{n}}}"#)));
    }
    for (at, one) in texts.iter().enumerate() {
        for other in &texts[at + 1..] {
            assert_ne!(group_id(one), group_id(other), "{one} and {other}");
        }
    }
}

#[test]
fn hostile_texts_have_keys_of_bounded_size() {
    for piece in PIECES {
        let text = piece.repeat(100_000 / piece.len());
        let (_, label) = group_key(None, None, Severity::Error, &text);
        assert!(label.len() <= LABEL_BYTES_MAX, "{piece}");
        assert_eq!(group_id(&text), group_id(&text[..text.floor_char_boundary(50_000)]), "{piece}");
    }
}

/// Pieces which, repeated, are long runs for a pattern.
const PIECES: [&str; 15] = [
    "1", "1:", "aa:", "a1", "-", " 1 000", "1s", "\"", "x=", "\\\"", "Jan ", "é٣", "tmp", "port 1",
    "1,",
];
