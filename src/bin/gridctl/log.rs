//! `gridctl log ...`: lists the grid log page by page, shows single records, exports and counts them.
//!
//! Guarantees each record once and in order, that missing or trimmed numbers are noted at their
//! position, and that a note at the end says if records were left out. Does not know how a tail
//! resumes (`follow`), what an export is (`export`) or how a record is formatted (`record_view`).

mod explain;
mod export;
mod histogram;
mod omitted;
mod scan_summary;
#[cfg(test)]
mod tests;

use std::io::Write;

use grid_broker::contract::proto::{
    GetRecordRequest, GetStatusRequest, ListRecordsRequest, ListRecordsResponse, Missing, Record,
    RecordFilter, Severity,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::labels;

use crate::args::{LogCommand, LogList, RecordChoice};
use crate::connection::Connection;
use crate::error::CliError;
use crate::follow::{self, LogTail};
pub(crate) use crate::log::export::{ExportError, ExportPart};
use crate::log::omitted::OmittedRecords;
use crate::log::scan_summary::ScanSummary;
use crate::output::{ListWriter, OutputOptions};
use crate::{names, record_view, time_arg};

/// Largest page that the broker returns.
const PAGE_SIZE: u32 = 1000;

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &LogCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        LogCommand::List(arguments) => list(broker, arguments, look, out).await,
        LogCommand::Export(arguments) => export::run(broker, arguments, look, out).await,
        LogCommand::Histogram(arguments) => histogram::run(broker, arguments, look, out).await,
        LogCommand::Explain { numbers } => explain::run(broker, numbers, look, out).await,
        LogCommand::Show { numbers } => show(broker, numbers, look, out).await,
    }
}

/// Lists the requested records, and follows the log if requested.
async fn list(
    broker: &Connection,
    arguments: &LogList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let mut unknown = None;
    let filter = build_filter(broker, &arguments.choice, arguments.all, look, &mut unknown).await?;
    if let Some(unknown) = unknown.as_ref().filter(|_| arguments.follow) {
        look.note(&unknown.to_string());
    }
    let mut listing = ListWriter::new(out, look, record_view::view());
    if arguments.follow {
        let mut tail = LogTail::start(broker, filter, arguments.limit).await?;
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = tail.run(&mut listing, follow::RETRY_DELAY_MIN) => ended?,
        }
        return Ok(listing.finish("no new records")?);
    }
    let newest_first = arguments.newest_first || !arguments.all;
    let mut left_out = OmittedRecords::new(&filter, arguments.all);
    let mut pages = RecordPages::new(broker, filter, newest_first);
    let mut left = if arguments.all { u64::MAX } else { arguments.limit.into() };
    let all = left;
    if arguments.all || arguments.newest_first {
        while let Some(entries) = pages.next(&mut left).await? {
            left_out.observe(&entries);
            write_entries(&mut listing, entries)?;
        }
    } else {
        let mut entries = Vec::new();
        while let Some(page) = pages.next(&mut left).await? {
            entries.extend(page);
        }
        entries.reverse();
        left_out.observe(&entries);
        write_entries(&mut listing, entries)?;
    }
    listing.finish("no records match")?;
    if let Some(unknown) = unknown.filter(|_| left == all) {
        return Err(unknown);
    }
    for note in left_out.notes(pages.token.is_some()) {
        look.note(&note);
    }
    pages.scan.print(arguments.stats, look);
    Ok(())
}

/// Builds the filter. A name without an appliance may still be the name of records: of an appliance
/// that was removed, or, in a tail, is added later. `unknown` is its error, in case none matches.
async fn build_filter(
    broker: &Connection,
    arguments: &RecordChoice,
    has_all_kinds: bool,
    look: &OutputOptions,
    unknown: &mut Option<CliError>,
) -> Result<RecordFilter, CliError> {
    let (since, until) = (arguments.since.as_ref(), arguments.until.as_ref());
    let range = match time_arg::resolve_range(since, until, &look.zone, time_arg::now()) {
        // Records have the broker's time, which may be ahead of this machine's.
        Err(time_arg::EmptyTimeRange::Future { .. }) => {
            let status =
                broker.broker_service().get_status(broker.unary(GetStatusRequest {})).await?;
            let broker_time =
                status.into_inner().server_time.as_ref().and_then(time_arg::from_proto);
            let now = broker_time.map_or_else(time_arg::now, |it| it.max(time_arg::now()));
            time_arg::resolve_range(since, until, &look.zone, now)?
        }
        range => range?,
    };
    let names = [&arguments.names[..], &arguments.appliance].concat();
    let mut appliances = Vec::new();
    for name in names::split_at_commas(&names) {
        match names::resolve_patterns(broker, std::slice::from_ref(&name)).await {
            Ok(patterns) => appliances.extend(patterns),
            Err(failure) if failure.exit_code() == ExitCode::NotFound => {
                appliances.push(name);
                *unknown = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    let kinds = if has_all_kinds && arguments.kind.is_empty() {
        let all = labels::record_kinds();
        all.iter().filter_map(|kind| labels::parse_record_kind(kind)).map(i32::from).collect()
    } else {
        arguments.kind.iter().map(|kind| *kind as i32).collect()
    };
    Ok(RecordFilter {
        appliances,
        kinds,
        severity_at_least: arguments.severity.unwrap_or(Severity::Unspecified) as i32,
        since: range.since.map(time_arg::to_proto),
        until: range.until.map(time_arg::to_proto),
        text: arguments.text.clone().unwrap_or_default(),
        boot_id: arguments.boot.clone().unwrap_or_default(),
    })
}

/// Shows records with all details.
async fn show(
    broker: &Connection,
    numbers: &[u64],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let mut records = Vec::new();
    for number in numbers {
        let request = broker.unary(GetRecordRequest { number: *number });
        let reply = broker.grid_log().get_record(request).await?.into_inner();
        records.push(reply.record.ok_or(CliError::MissingField { field: "record" })?);
    }
    if look.format.is_human_readable() {
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            for line in record_view::detail_lines(record, look) {
                writeln!(out, "{line}")?;
            }
        }
        return Ok(out.flush()?);
    }
    if let [record] = records.as_slice() {
        return Ok(ListWriter::write_one(out, look, record_view::view(), record)?);
    }
    let mut listing = ListWriter::new(out, look, record_view::view());
    listing.add(&records)?;
    Ok(listing.finish("")?)
}

/// An entry of the list.
#[derive(Debug, PartialEq)]
enum LogEntry {
    Record(Box<Record>),
    Missing(Missing),
}

/// The pages of one query.
struct RecordPages<'a> {
    broker: &'a Connection,
    filter: RecordFilter,
    newest_first: bool,
    token: Option<String>,
    /// Missing ranges so far: a later page may contain them again.
    known_gaps: Vec<Missing>,
    /// Those of them whose position is not reached yet.
    pending_gaps: Vec<Missing>,
    scan: ScanSummary,
}

impl<'a> RecordPages<'a> {
    fn new(broker: &'a Connection, filter: RecordFilter, newest_first: bool) -> Self {
        Self {
            broker,
            filter,
            newest_first,
            token: Some(String::new()),
            known_gaps: Vec::new(),
            pending_gaps: Vec::new(),
            scan: ScanSummary::default(),
        }
    }

    /// The next page, of at most `left` records, which it counts down. `None`: no more pages.
    async fn next(&mut self, left: &mut u64) -> Result<Option<Vec<LogEntry>>, CliError> {
        let Some(token) = self.token.take_if(|_| *left > 0) else { return Ok(None) };
        let request = ListRecordsRequest {
            filter: Some(self.filter.clone()),
            page_size: u32::try_from(*left).unwrap_or(PAGE_SIZE).min(PAGE_SIZE),
            page_token: token,
            newest_first: self.newest_first,
        };
        let reply = self.broker.grid_log().list_records(self.broker.unary(request)).await?;
        let mut page = reply.into_inner();
        self.scan.add(page.scan, &page.missing, page.records.len() as u64);
        page.records.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= page.records.len() as u64;
        let next = std::mem::take(&mut page.next_page_token);
        self.token = Some(next).filter(|token| !token.is_empty());
        Ok(Some(self.merge(page)))
    }

    /// Merges records and missing ranges in the order of the list.
    fn merge(&mut self, page: ListRecordsResponse) -> Vec<LogEntry> {
        for missing in page.missing {
            if !self.known_gaps.contains(&missing) {
                self.known_gaps.push(missing);
                self.pending_gaps.push(missing);
            }
        }
        let newest_first = self.newest_first;
        let position = |number: u64| if newest_first { u64::MAX - number } else { number };
        let reached = match (&self.token, page.records.iter().map(|it| position(it.number)).max()) {
            (None, _) => u64::MAX,
            (Some(_), last) => last.unwrap_or(0),
        };
        let (ready, waiting) = std::mem::take(&mut self.pending_gaps)
            .into_iter()
            .partition::<Vec<_>, _>(|missing| position(missing.first) <= reached);
        self.pending_gaps = waiting;
        let records = page.records.into_iter();
        let mut entries: Vec<(u64, LogEntry)> = records
            .map(|record| (position(record.number), LogEntry::Record(Box::new(record))))
            .chain(ready.into_iter().map(|it| (position(it.first), LogEntry::Missing(it))))
            .collect();
        entries.sort_by_key(|(position, _)| *position);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }
}

fn write_entries(
    listing: &mut ListWriter<'_, Record>,
    entries: Vec<LogEntry>,
) -> Result<(), CliError> {
    let mut records = Vec::new();
    for entry in entries {
        match entry {
            LogEntry::Record(record) => records.push(*record),
            LogEntry::Missing(missing) => {
                listing.add(&std::mem::take(&mut records))?;
                listing.note(&describe_missing(missing))?;
            }
        }
    }
    Ok(listing.add(&records)?)
}

/// The note about numbers without records.
pub(crate) fn describe_missing(missing: Missing) -> String {
    let Missing { first, last, trimmed } = missing;
    match (first == last, trimmed) {
        (true, false) => format!("record {first} is missing"),
        (false, false) => format!("records {first} to {last} are missing"),
        (true, true) => format!("record {first} was trimmed"),
        (false, true) => format!("records {first} to {last} were trimmed"),
    }
}
