//! The live comparison's part in Rust, which `run.py` calls: exports a timeline, plays it into gridd, and
//! judges the mails that notifiers sent.
//!
//! Guarantees that the mails of all are judged by the judge of the core in told time. Starts no server.

mod feed;
mod told_clock;

use std::io::BufRead;
use std::path::Path;

use grid_broker::grid::values::event::Severity;
use serde_json::{Value, json};

use self::told_clock::ToldClock;
use crate::arrival::is_gravest_first;
use crate::judge::Judged;
use crate::mails::{ArrivedMail, Mention};
use crate::stories::generate;
use crate::table::SeedFigures;
use crate::timeline::{DEAD_FROM, DEAD_UNTIL, LENGTH, Millis, Timeline};
use crate::told_time::timestamp;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str =
    "usage: attention live export SEED | feed SEED CLOCK RATE | judge SEED NAME=FILE...";

/// Told time before the timeline begins, in which gridd starts.
const START_NS: i64 = 1_800_000_000_000;

/// The beginning of timelines, in ns since 1970.
fn begin_ns() -> i64 {
    timestamp(0).as_micros().saturating_mul(1_000)
}

/// Runs a part of the live comparison.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let [part, seed, rest @ ..] = words.as_slice() else { return Err(USAGE.into()) };
    let timeline = generate(seed.parse()?, true);
    match (*part, rest) {
        ("export", []) => println!("{}", exported(&timeline)),
        ("feed", [clock, rate]) => feed(&timeline, Path::new(clock), rate.parse()?)?,
        ("judge", files) => judge(seed.parse()?, &timeline, files)?,
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

/// What a notifier's exporter knows: who reports what when, and when it is over.
fn exported(timeline: &Timeline) -> Value {
    let machines = timeline.machines.iter().map(|it| json!({ "name": it.name, "class": it.class }));
    let reports = timeline.reports.iter().map(|it| {
        json!({
            "at": it.at, "machine": it.machine, "topic": it.topic, "severity": it.severity.as_str(),
            "text": it.text, "is_end": it.is_end,
        })
    });
    let planned = timeline.planned.iter();
    let planned =
        planned.map(|it| json!({ "prefix": it.prefix, "from": it.from, "until": it.until }));
    json!({
        "begin_ms": begin_ns() / 1_000_000,
        "length": LENGTH,
        "dead": [DEAD_FROM, DEAD_UNTIL],
        "machines": machines.collect::<Vec<_>>(),
        "reports": reports.collect::<Vec<_>>(),
        "planned": planned.collect::<Vec<_>>(),
        "problems": timeline.problems.len(),
    })
}

/// Tells the time, waits for the broker's address on stdin, plays the timeline, prints what became of it,
/// and tells the time further until stdin ends.
fn feed(timeline: &Timeline, path: &Path, rate: u32) -> Result<(), Failure> {
    let clock = ToldClock::start(path, begin_ns() - START_NS)?;
    println!("{}", json!({ "clock": path }));
    let mut lines = std::io::stdin().lock().lines();
    let address = lines.next().ok_or("no address on stdin")??;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let played = runtime.block_on(async {
        clock.set_rate(rate);
        feed::feed(timeline, address.trim(), &clock).await
    });
    clock.set_rate(1);
    println!("{}", played?);
    lines.for_each(drop);
    clock.stop();
    Ok(())
}

/// Prints the table: a column for each notifier, whose mails are a file of JSON lines.
fn judge(seed: u64, timeline: &Timeline, files: &[&str]) -> Result<(), Failure> {
    let mut columns = Vec::new();
    for file in files {
        let (name, path) = file.split_once('=').ok_or(USAGE)?;
        let mut mails = Vec::new();
        for line in std::io::BufReader::new(std::fs::File::open(path)?).lines() {
            mails.push(arrived(&serde_json::from_str(&line?)?).ok_or("a mail without its keys")?);
        }
        mails.sort_by_key(|mail| mail.at);
        let figures = Judged { timeline, mails: &mails, held_back: None }.figures();
        let figures = SeedFigures { seed, plain: figures.clone(), probed: figures };
        columns.push((name, figures));
    }
    print(&columns);
    Ok(())
}

fn print(columns: &[(&str, SeedFigures)]) {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    println!("| figure | bar | {} |", names.join(" | "));
    println!("|---|---|{}", "---|".repeat(names.len()));
    let tables: Vec<_> = columns.iter().map(|(_, figures)| figures.rows()).collect();
    for (at, row) in tables.first().into_iter().flatten().enumerate() {
        // What the core suppressed is not seen from outside.
        if row.name.starts_with("held back") {
            continue;
        }
        let cells = tables.iter().map(|table| {
            let cell = &table[at];
            if cell.is_passed { cell.figure.clone() } else { format!("{} (missed)", cell.figure) }
        });
        let cells: Vec<_> = cells.collect();
        println!("| {} | {} | {} |", row.name, row.bar, cells.join(" | "));
    }
    println!();
    for ((name, figures), table) in columns.iter().zip(&tables) {
        println!("{name}: {}", figures.context());
        for row in table.iter().filter(|row| !row.details.is_empty()) {
            let lines: Vec<_> = row.details.iter().take(8).map(String::as_str).collect();
            println!("  {}, {} in all: {}", row.name, row.details.len(), lines.join("; "));
        }
    }
}

/// A mail as `run.py` writes it.
fn arrived(mail: &Value) -> Option<ArrivedMail> {
    let time = |key: &str| mail.get(key).and_then(Value::as_u64);
    let at: Millis = time("at")?;
    let mentions = mail.get("mentions")?.as_array()?.iter().map(|it| {
        let text = |key: &str| Some(it.get(key)?.as_str()?.to_owned());
        Some(Mention {
            name: text("name")?,
            topic: text("topic")?,
            text: text("text")?,
            severity: severity(&text("severity")?),
            is_resolved: it.get("is_resolved")?.as_bool()?,
            reason: String::new(),
        })
    });
    let mut arrived = ArrivedMail {
        at,
        queued_at: time("queued_at").unwrap_or(at),
        subject: mail.get("subject")?.as_str()?.to_owned(),
        bytes: usize::try_from(time("bytes")?).ok()?,
        is_gravest_first: true,
        mentions: mentions.collect::<Option<_>>()?,
    };
    arrived.is_gravest_first = is_gravest_first(&arrived, mail.get("text")?.as_str()?);
    Some(arrived)
}

fn severity(text: &str) -> Severity {
    Severity::ALL.into_iter().find(|it| it.as_str() == text).unwrap_or(Severity::Info)
}
