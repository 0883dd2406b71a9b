//! A wall clock that is wrong, for a while, for good or over a restart, costs no record and no
//! verdict, and nobody is told that it is theirs. The real programs, with the wall clock as
//! libfaketime says; the kernel's own clocks go on as they are.

use std::ffi::OsString;
use std::path::PathBuf;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Log, Maintenance};
use serde_json::Value;

use crate::support::{Gridd, Session, Setup, event, eventually};

/// Small spans, so that the archive has sealed ones that retention could take.
const CONFIG: &str = "\
[journal]
span = \"256KiB\"
commit_file = \"64KiB\"
checkpoint_records = 1000
[class.default]
budget = \"unlimited\"
maintenance_silence = \"12h\"
boot_timeout = \"12h\"
promise_max = \"12h\"
";

/// Where the wall clock of a broker under test is said to be, in its folder.
const OFFSET: &str = "offset";

fn libfaketime() -> PathBuf {
    let found = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|arch| PathBuf::from(format!("/usr/lib/{arch}/faketime/libfaketimeMT.so.1")))
        .into_iter()
        .find(|library| library.exists());
    found.expect("libfaketime is needed to set a clock: install Debian's package faketime")
}

/// A broker whose wall clock follows the file [`OFFSET`].
async fn with_a_wall_clock() -> Gridd {
    let variables = vec![
        ("LD_PRELOAD", libfaketime().into_os_string()),
        ("FAKETIME_TIMESTAMP_FILE", OsString::from(OFFSET)),
        ("FAKETIME_NO_CACHE", "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
    ];
    Setup::new(CONFIG).environment(variables).start().await
}

/// The wall clock is off by that from now on, as libfaketime has it: `+1y`, `-3d`, `+0`.
fn set_clock(gridd: &Gridd, offset: &str) {
    // In one piece, since it is read at any moment.
    std::fs::write(gridd.path("offset.new"), offset).expect("the clock is set");
    std::fs::rename(gridd.path("offset.new"), gridd.path(OFFSET)).expect("the clock is set");
}

/// So many log events of 1.5 KB each, numbered from `first` on.
async fn talks(session: &mut Session, first: u64, count: u64) {
    let text: String = (b'a'..=b'z').cycle().step_by(7).take(1_500).map(char::from).collect();
    for sequence in first..first + count {
        session.say(&event(Kind::Log(Log {}), sequence, &format!("{sequence} {text}"))).await;
    }
    session.acked(first + count - 1).await;
}

/// Waits until it is open, or not any more, that the clocks differ.
async fn differs(gridd: &Gridd, is_open: bool) {
    eventually(&format!("the alert on the clock: {is_open}"), async || {
        let shown = gridd.gridctl(&["alert", "list", "--output", "json"]).await.done();
        (shown.contains("clock_differs") == is_open).then_some(())
    })
    .await;
}

fn text(record: &Value) -> &str {
    record["text"].as_str().expect("a text")
}

async fn of_broker(gridd: &Gridd, part: &str) -> Vec<Value> {
    let mut records = gridd.records(&["--kind", "broker"]).await;
    records.retain(|record| text(record).contains(part));
    records
}

/// All records are there, with times of the present year, and nobody's clock was said to be off.
async fn all_is_well(gridd: &Gridd, least: usize) {
    let records = gridd.records(&["--since", "2h"]).await;
    assert!(records.len() >= least, "{} records of the last two hours", records.len());
    assert_eq!(records[0]["number"], 1, "the first is still there");
    let off = |record: &&Value| record["flags"].to_string().contains("time_off");
    assert_eq!(records.iter().find(off), None);
    for part in ["trimmed", "hung", "did not start"] {
        let said: Vec<_> = records.iter().filter(|it| text(it).contains(part)).collect();
        assert_eq!(said, Vec::<&Value>::new());
    }
}

/// What is said now has a time of the year of the first record, which was told by a right clock.
async fn tells_the_right_time(gridd: &Gridd) {
    let year = |record: &Value| record["received_at"].as_str().expect("a time")[..4].to_owned();
    let first = year(&gridd.records(&["--kind", "broker"]).await[0]);
    eventually("a record with the right time", async || {
        let said = gridd.vme("watch", 9, &["id=log", "msg=now"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let all = gridd.records(&["--appliance", "watch", "--kind", "log"]).await;
        all.last().is_some_and(|last| year(last) == first).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_wall_clock_that_is_a_year_ahead_for_a_while_costs_nothing() {
    let mut gridd = with_a_wall_clock().await;
    let mut session = Session::open(&gridd, "db1", 1, 7).await;
    session.say(&event(Kind::Maintenance(Maintenance { progress: Some(1) }), 1, "at it")).await;
    talks(&mut session, 2, 2_500).await;
    for (offset, first) in [("+1y", 2_502), ("-20y", 3_002), ("+20y", 3_502)] {
        set_clock(&gridd, offset);
        differs(&gridd, true).await;
        talks(&mut session, first, 250).await;
        set_clock(&gridd, "+0");
        differs(&gridd, false).await;
        talks(&mut session, first + 250, 250).await;
    }
    all_is_well(&gridd, 4_000).await;
    assert_eq!(gridd.terminate().await, Some(0));
    gridd.start_again().await;
    all_is_well(&gridd, 4_000).await;
    assert!(gridd.appliance("db1").await.explanation.starts_with("maintenance 1 %"));
    let stopped = of_broker(&gridd, "the run before stopped cleanly").await;
    assert_eq!(stopped.len(), 1);
}

#[tokio::test]
async fn a_wall_clock_that_stays_wrong_is_followed_and_so_is_the_way_back() {
    let gridd = with_a_wall_clock().await;
    let mut session = Session::open(&gridd, "db1", 1, 7).await;
    session.say(&event(Kind::Maintenance(Maintenance { progress: Some(1) }), 1, "at it")).await;
    talks(&mut session, 2, 2_500).await;
    set_clock(&gridd, "+1y");
    eventually("that broker time follows", async || {
        let followed = of_broker(&gridd, "the wall clock was set ahead by 365 d").await;
        (!followed.is_empty()).then_some(())
    })
    .await;
    differs(&gridd, true).await;
    talks(&mut session, 2_502, 10).await;
    set_clock(&gridd, "+0");
    differs(&gridd, false).await;
    talks(&mut session, 2_512, 10).await;
    let records = gridd.records(&["--appliance", "db1"]).await;
    let numbers: Vec<_> = records.iter().map(|it| it["number"].as_u64()).collect();
    assert!(numbers.is_sorted(), "ordered by number, whatever their times");
    let years: Vec<_> =
        records.iter().map(|it| &it["received_at"].as_str().expect("a time")[..4]).collect();
    let wrong = years.iter().filter(|year| **year != years[0]).count();
    assert!((10..20).contains(&wrong) && years.last() == years.first(), "{wrong} {years:?}");
    assert_eq!(of_broker(&gridd, "trimmed").await, Vec::<Value>::new());
    assert!(gridd.appliance("db1").await.explanation.starts_with("maintenance 1 %"));
}

#[tokio::test]
async fn a_start_by_a_wall_clock_that_is_a_year_ahead_costs_nothing() {
    let mut gridd = with_a_wall_clock().await;
    let mut session = Session::open(&gridd, "db1", 1, 7).await;
    session.say(&event(Kind::Maintenance(Maintenance { progress: Some(1) }), 1, "at it")).await;
    talks(&mut session, 2, 2_500).await;
    gridd.kill().await;
    // Of another boot of the machine, only the wall clock can say how long that was.
    let note = std::fs::read_to_string(gridd.path("data/alive")).expect("the note");
    let words: Vec<_> = note.split_whitespace().collect();
    let [known @ .., _] = &words[..] else { panic!("a note: {note}") };
    let note = format!("{} another-boot\n", known.join(" "));
    std::fs::write(gridd.path("data/alive"), note).expect("the note");
    set_clock(&gridd, "+1y");
    gridd.start_again().await;
    let away = of_broker(&gridd, "broker was down for 365 d").await;
    assert!(away.len() == 1 && text(&away[0]).contains("interrupted"), "{away:?}");
    assert_eq!(gridd.vme("db2", 2, &["id=started_ok"]).await.code, Some(0));
    set_clock(&gridd, "+0");
    tells_the_right_time(&gridd).await;
    all_is_well(&gridd, 2_500).await;
    assert!(gridd.appliance("db1").await.explanation.starts_with("maintenance 1 %"));
    assert_eq!(gridd.terminate().await, Some(0));
    gridd.start_again().await;
    tells_the_right_time(&gridd).await;
    all_is_well(&gridd, 2_500).await;
}
