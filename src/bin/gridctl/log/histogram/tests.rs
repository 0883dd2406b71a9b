//! The counts of a scripted broker as gridctl prints them.

use clap::Parser;

use grid_broker::contract::proto::{CountRecordsResponse, RecordCount};

use super::*;
use crate::args::{GridctlArgs, GridctlCommand, LogCommand};
use crate::log::tests::ScriptedGridLog;

/// Returns what `gridctl log histogram` prints with these flags, and its result.
async fn run_histogram(broker: &Connection, flags: &[&str]) -> (String, Result<(), CliError>) {
    let args = GridctlArgs::parse_from(["gridctl", "log", "histogram"].iter().chain(flags));
    let GridctlCommand::Log(LogCommand::Histogram(wanted)) = args.command else {
        panic!("not log histogram")
    };
    let look = OutputOptions { format: args.global.format(), ..OutputOptions::plain() };
    let mut out = Vec::new();
    let ended = run(broker, &wanted, &look, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

fn counts(counts: &[(Key, u64)], next: &str) -> CountRecordsResponse {
    let count =
        |(key, records): &(Key, u64)| RecordCount { key: Some(key.clone()), records: *records };
    CountRecordsResponse {
        counts: counts.iter().map(count).collect(),
        next_page_token: next.to_owned(),
        ..CountRecordsResponse::default()
    }
}

#[tokio::test]
async fn the_counts_of_all_pages_are_added_and_empty_buckets_are_shown() {
    let script = ScriptedGridLog::default();
    let broker = script.clone().serve().await;
    let start = |seconds| Key::BucketStart(prost_types::Timestamp { seconds, nanos: 0 });
    let day = 1_795_132_800;
    script.0.lock().unwrap().counts.extend([
        counts(&[(start(day), 3), (start(day + 3_600), 1)], "next"),
        counts(&[(start(day), 5), (start(day + 3 * 3_600), 16)], ""),
    ]);
    let flags =
        ["--since", "2026-11-20T00:30:00Z", "--until", "2026-11-20T05:00:00Z", "--bucket", "1h"];
    let (out, ended) = run_histogram(&broker, &flags).await;
    ended.unwrap();
    let expected = "\
        2026-11-20 00:00:00Z         8  ####################\n\
        2026-11-20 01:00:00Z         1  ###\n\
        2026-11-20 02:00:00Z         0\n\
        2026-11-20 03:00:00Z        16  ########################################\n\
        2026-11-20 04:00:00Z         0\n";
    assert_eq!(out.split_once('\n').unwrap().1, expected, "{out}");
    let asked = script.0.lock().unwrap().counted.clone();
    let tokens: Vec<_> = asked.iter().map(|it| it.page_token.as_str()).collect();
    assert_eq!(tokens, ["", "next"]);
    assert_eq!((asked[0].by(), asked[0].bucket_ms), (CountKey::Time, 3_600_000));
    assert_eq!(asked[0].bucket_origin.map(|it| it.seconds), Some(day));
}

#[tokio::test]
async fn appliances_with_the_most_records_are_first_and_others_in_their_order() {
    let script = ScriptedGridLog::default();
    let broker = script.clone().serve().await;
    let name = |name: &str| Key::Appliance(name.to_owned());
    let lines = [
        counts(&[(name("db1"), 4), (name(""), 1)], "next"),
        counts(&[(name("web2"), 9), (name("web1"), 4)], ""),
        counts(&[(Key::Severity(4), 1), (Key::Severity(2), 90)], ""),
    ];
    script.0.lock().unwrap().counts.extend(lines);
    let (out, ended) =
        run_histogram(&broker, &["--by", "appliance", "-n", "3", "--output", "csv"]).await;
    ended.unwrap();
    assert_eq!(out, "appliance,records\nweb2,9\ndb1,4\nweb1,4\n");
    let (out, ended) = run_histogram(&broker, &["--by", "severity", "--output", "jsonl"]).await;
    ended.unwrap();
    let expected =
        "{\"severity\":\"info\",\"records\":90}\n{\"severity\":\"error\",\"records\":1}\n";
    assert_eq!(out, expected);
    let asked = script.0.lock().unwrap().counted.clone();
    assert!(asked.iter().all(|it| it.filter.as_ref().unwrap().since.is_some()), "24 hours");
}
