//! `gridctl log histogram`: counts records by time, severity, kind or appliance.
//!
//! Guarantees that the counts of all pages are added up, that buckets without records between others
//! are shown, and that severities and kinds are in their own order. Counts nothing itself.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;

use grid_broker::contract::proto::record_count::Key;
use grid_broker::contract::proto::{
    CountKey, CountRecordsRequest, ListRecordsRequest, Missing, RecordFilter,
};
use grid_broker::show::count::format_count;
use grid_broker::show::labels;

use crate::args::{HistogramKey, LogHistogram};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::log::scan_summary::ScanSummary;
use crate::log::{build_filter, describe_missing};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::{Column, TableCell};
use crate::{subject, time_arg};

/// Without `--since`.
const PERIOD: Duration = Duration::from_secs(86_400);
/// Most buckets: more are longer than any screen, and mostly a mistake.
const BUCKETS_MAX: i64 = 10_000;
/// Buckets at least, if their length is not given.
const BUCKETS: i64 = 12;
/// Round lengths of buckets, in seconds.
const LENGTHS_S: [i64; 16] = [
    1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800, 2_592_000,
    31_536_000,
];
/// Characters of the longest bar.
const BAR_CHARS: u64 = 40;

/// Runs the command.
pub(super) async fn run(
    broker: &Connection,
    arguments: &LogHistogram,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let mut unknown = None;
    let mut filter = build_filter(broker, &arguments.choice, false, look, &mut unknown).await?;
    if arguments.choice.since.is_none() {
        let end = filter.until.as_ref().and_then(time_arg::from_proto);
        let begin = end.unwrap_or_else(time_arg::now) - PERIOD;
        filter.since = Some(time_arg::to_proto(begin));
    }
    let begin = match filter.since.as_ref() {
        Some(since) => Some(*since),
        None => oldest_time(broker).await?,
    };
    let begin = begin.as_ref().and_then(time_arg::from_proto).unwrap_or_else(time_arg::now);
    let buckets = Buckets::new(arguments.bucket, begin, &filter, look);
    let (counts, summary, gaps) = count(broker, arguments, filter, &buckets).await?;
    let total = counts.values().fold(0, |sum: u64, records| sum.saturating_add(*records));
    if let Some(unknown) = unknown.filter(|_| total == 0) {
        return Err(unknown);
    }
    let (rows, omitted) = rows(arguments, counts, &buckets)?;
    let mut listing = ListWriter::new(out, look, view(arguments.by));
    listing.add(&rows)?;
    listing.finish("no records match")?;
    if omitted > 0 {
        let more = format_count(omitted, "appliance");
        look.note(&format!("{more} with fewer records left out; a larger --limit shows more"));
    }
    if look.format.is_human_readable() && total > 0 {
        look.note(&format!("{} in all", format_count(total, "record")));
    }
    for gap in gaps {
        look.note(&describe_missing(gap));
    }
    summary.print(arguments.stats, look);
    Ok(())
}

/// When the oldest record was received; `None`: there is none.
async fn oldest_time(broker: &Connection) -> Result<Option<prost_types::Timestamp>, CliError> {
    let request = ListRecordsRequest { page_size: 1, ..ListRecordsRequest::default() };
    let reply = broker.grid_log().list_records(broker.unary(request)).await?.into_inner();
    Ok(reply.records.first().and_then(|record| record.received_at))
}

/// What is counted, in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CountedKey {
    /// A time, in seconds since 1970.
    Time(i64),
    /// A severity or a kind.
    Number(i32),
    Appliance(String),
}

type Counts = BTreeMap<CountedKey, u64>;

/// Adds the counts of all pages up.
async fn count(
    broker: &Connection,
    arguments: &LogHistogram,
    filter: RecordFilter,
    buckets: &Buckets,
) -> Result<(Counts, ScanSummary, Vec<Missing>), CliError> {
    let by = match arguments.by {
        HistogramKey::Time => CountKey::Time,
        HistogramKey::Severity => CountKey::Severity,
        HistogramKey::Kind => CountKey::Kind,
        HistogramKey::Appliance => CountKey::Appliance,
    };
    let (mut counts, mut summary, mut gaps) = (Counts::new(), ScanSummary::default(), Vec::new());
    let mut page_token = String::new();
    loop {
        let request = CountRecordsRequest {
            filter: Some(filter.clone()),
            by: by.into(),
            bucket_ms: u64::try_from(buckets.length_s).unwrap_or(1) * 1_000,
            bucket_origin: Some(prost_types::Timestamp { seconds: buckets.origin_s, nanos: 0 }),
            page_token,
        };
        let reply = broker.grid_log().count_records(broker.unary(request)).await?.into_inner();
        let mut found = 0_u64;
        for count in reply.counts {
            let key = match count.key.ok_or(CliError::MissingField { field: "key" })? {
                Key::BucketStart(start) => CountedKey::Time(start.seconds),
                Key::Severity(number) | Key::Kind(number) => CountedKey::Number(number),
                Key::Appliance(name) => CountedKey::Appliance(name),
            };
            found = found.saturating_add(count.records);
            let sum = counts.entry(key).or_default();
            *sum = sum.saturating_add(count.records);
        }
        summary.add(reply.scan, &reply.missing, found);
        gaps.extend(reply.missing);
        page_token = reply.next_page_token;
        if page_token.is_empty() {
            return Ok((counts, summary, gaps));
        }
    }
}

/// The buckets of a histogram by time.
struct Buckets {
    origin_s: i64,
    length_s: i64,
    first_s: i64,
    /// Where the last one begins, if no record is after it.
    last_s: i64,
}

impl Buckets {
    /// Buckets that begin at midnight, or a part of a day after it.
    fn new(
        length: Option<Duration>,
        since: Timestamp,
        filter: &RecordFilter,
        look: &OutputOptions,
    ) -> Self {
        let until = filter.until.as_ref().and_then(time_arg::from_proto);
        let until_s = until.unwrap_or_else(time_arg::now).as_second();
        let period_s = until_s.saturating_sub(since.as_second()).max(1);
        let length_s = length.map(|length| i64::try_from(length.as_secs()).unwrap_or(i64::MAX));
        let length_s = length_s.unwrap_or_else(|| {
            let fits = LENGTHS_S.iter().rev().find(|length| period_s / **length >= BUCKETS);
            fits.copied().unwrap_or(LENGTHS_S[0])
        });
        let midnight = look.zone.to_datetime(since).date().to_zoned(look.zone.clone());
        let origin_s = midnight.map_or(0, |midnight| midnight.timestamp().as_second());
        let mut buckets = Self { origin_s, length_s, first_s: 0, last_s: 0 };
        buckets.first_s = buckets.start_of(since.as_second());
        buckets.last_s = buckets.start_of(until_s - 1).max(buckets.first_s);
        buckets
    }

    /// Adds the buckets without records.
    fn add_empty(&self, counts: &mut Counts) -> Result<(), CliError> {
        // By the broker's clock, records may be a little outside the period.
        let (mut first, mut last) = (self.first_s, self.last_s);
        for key in counts.keys() {
            if let CountedKey::Time(start) = key {
                (first, last) = (first.min(*start), last.max(*start));
            }
        }
        if (last - first) / self.length_s >= BUCKETS_MAX {
            return Err(CliError::TooManyBuckets { buckets_max: BUCKETS_MAX });
        }
        let mut start = first;
        while start <= last {
            counts.entry(CountedKey::Time(start)).or_default();
            start += self.length_s;
        }
        Ok(())
    }

    fn start_of(&self, second: i64) -> i64 {
        let buckets = second.saturating_sub(self.origin_s).div_euclid(self.length_s);
        self.origin_s + buckets * self.length_s
    }
}

/// A row of the histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct HistogramRow {
    /// By time: the begin of the bucket.
    start: Option<prost_types::Timestamp>,
    /// Else: the severity, the kind or the appliance.
    label: String,
    records: u64,
    /// Of the largest row.
    records_max: u64,
}

/// The rows, and how many appliances are left out.
fn rows(
    arguments: &LogHistogram,
    mut counts: Counts,
    buckets: &Buckets,
) -> Result<(Vec<HistogramRow>, u64), CliError> {
    if arguments.by == HistogramKey::Time && !counts.is_empty() {
        buckets.add_empty(&mut counts)?;
    }
    let records_max = counts.values().copied().max().unwrap_or_default();
    let mut rows: Vec<_> = counts
        .into_iter()
        .map(|(key, records)| {
            let row = HistogramRow { records, records_max, ..HistogramRow::default() };
            match key {
                CountedKey::Time(seconds) => HistogramRow {
                    start: Some(prost_types::Timestamp { seconds, nanos: 0 }),
                    ..row
                },
                CountedKey::Number(number) => {
                    HistogramRow { label: number_label(arguments.by, number), ..row }
                }
                CountedKey::Appliance(name) => {
                    HistogramRow { label: subject::format(&name).to_owned(), ..row }
                }
            }
        })
        .collect();
    let mut omitted = 0;
    if arguments.by == HistogramKey::Appliance {
        rows.sort_by(|one, other| {
            other.records.cmp(&one.records).then(one.label.cmp(&other.label))
        });
        let limit = arguments.limit as usize;
        omitted = rows.len().saturating_sub(limit) as u64;
        rows.truncate(limit);
    }
    Ok((rows, omitted))
}

fn number_label(by: HistogramKey, number: i32) -> String {
    let label = match by {
        HistogramKey::Severity => labels::severity(number),
        HistogramKey::Kind => labels::record_kind(number),
        HistogramKey::Time | HistogramKey::Appliance => None,
    };
    // Of a newer broker.
    label.unwrap_or_else(|| number.to_string())
}

/// How the rows are shown.
fn view(by: HistogramKey) -> ItemView<HistogramRow> {
    let (columns, to_object): (_, fn(&HistogramRow) -> OutputObject) = match by {
        HistogramKey::Time => (TIME_COLUMNS, |row| object("start", row)),
        HistogramKey::Severity => (SEVERITY_COLUMNS, |row| object("severity", row)),
        HistogramKey::Kind => (KIND_COLUMNS, |row| object("kind", row)),
        HistogramKey::Appliance => (APPLIANCE_COLUMNS, |row| object("appliance", row)),
    };
    ItemView { columns, cells, to_object }
}

const RECORDS: Column =
    Column { title: "records", width_min: 8, is_right_aligned: true, drop_priority: 0 };
const BAR: Column = Column { title: "", width_min: 0, is_right_aligned: false, drop_priority: 1 };

const fn key_column(title: &'static str, width_min: usize) -> Column {
    Column { title, width_min, is_right_aligned: false, drop_priority: 0 }
}

const TIME_COLUMNS: &[Column] = &[key_column("since {zone}", 19), RECORDS, BAR];
const SEVERITY_COLUMNS: &[Column] = &[key_column("severity", 8), RECORDS, BAR];
const KIND_COLUMNS: &[Column] = &[key_column("kind", 13), RECORDS, BAR];
const APPLIANCE_COLUMNS: &[Column] = &[key_column("appliance", 20), RECORDS, BAR];

fn cells(row: &HistogramRow, look: &OutputOptions) -> Vec<TableCell> {
    let key = match &row.start {
        Some(_) => look.format_column_time(&row.start),
        None => row.label.clone(),
    };
    // The smallest count has a mark, too.
    let share = u128::from(row.records) * u128::from(BAR_CHARS);
    let length = share.div_ceil(u128::from(row.records_max.max(1)));
    let bar = "#".repeat(usize::try_from(length).unwrap_or_default());
    vec![TableCell::new(&key), TableCell::new(&row.records.to_string()), TableCell::new(&bar)]
}

fn object(key: &'static str, row: &HistogramRow) -> OutputObject {
    let name = match &row.start {
        Some(start) => time_arg::rfc3339(start).unwrap_or_default(),
        None => row.label.clone(),
    };
    let fields = vec![(key, ObjectValue::Text(name.clone())), ("records", row.records.into())];
    OutputObject { kind: "count", name, fields }
}

#[cfg(test)]
mod tests;
