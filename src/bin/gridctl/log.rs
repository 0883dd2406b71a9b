//! `gridctl log ...`: the grid log, page by page, and single records.
//!
//! Guarantees each record once and in order, that numbers which are lost or were trimmed are told
//! where they would stand, and that whoever is not shown every record is told so at the end. Does
//! not know how a tail goes on (`follow`) or how a record looks (`record`).

mod left_out;

use std::io::Write;

use grid_broker::contract::proto::{
    GetRecordRequest, GetStatusRequest, ListRecordsRequest, ListRecordsResponse, Missing, Record,
    RecordFilter, Severity,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::labels;

use self::left_out::OmittedRecords;
use crate::args::{LogCommand, LogList};
use crate::connection::Connection;
use crate::error::CliError;
use crate::follow::{self, FollowedLog};
use crate::output::{ListWriter, OutputOptions};
use crate::{names, record_view, time_arg};

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// Does what is asked.
pub(crate) async fn run(
    broker: &Connection,
    command: &LogCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        LogCommand::List(wanted) => list(broker, wanted, look, out).await,
        LogCommand::Show { numbers } => show(broker, numbers, look, out).await,
    }
}

/// Lists what is wanted, and goes on with it if that is wanted.
async fn list(
    broker: &Connection,
    wanted: &LogList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let mut unknown = None;
    let filter = filter(broker, wanted, look, &mut unknown).await?;
    let mut listing = ListWriter::new(out, look, record_view::shape());
    if wanted.follow {
        let mut tail = FollowedLog::begin(broker, filter, wanted.limit).await?;
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = tail.follow(&mut listing, follow::FIRST_DELAY) => ended?,
        }
        return Ok(listing.finish("no records came")?);
    }
    let newest_first = wanted.newest_first || !wanted.all;
    let mut left_out = OmittedRecords::new(&filter, wanted.all);
    let mut pages = Pages::new(broker, filter, newest_first);
    let mut left = if wanted.all { u64::MAX } else { wanted.limit.into() };
    let all = left;
    if wanted.all || wanted.newest_first {
        while let Some(entries) = pages.next(&mut left).await? {
            left_out.count(&entries);
            write(&mut listing, entries)?;
        }
    } else {
        let mut entries = Vec::new();
        while let Some(page) = pages.next(&mut left).await? {
            entries.extend(page);
        }
        entries.reverse();
        left_out.count(&entries);
        write(&mut listing, entries)?;
    }
    listing.finish("no records match")?;
    if let Some(unknown) = unknown.filter(|_| left == all) {
        return Err(unknown);
    }
    for note in left_out.notes(pages.token.is_some()) {
        look.note(&note);
    }
    Ok(())
}

/// What is asked for. A name of which no appliance is known may be one of records: of an appliance
/// that was removed, or, for a tail, is still to come. It is `unknown` until there is one.
async fn filter(
    broker: &Connection,
    wanted: &LogList,
    look: &OutputOptions,
    unknown: &mut Option<CliError>,
) -> Result<RecordFilter, CliError> {
    let (since, until) = (wanted.since.as_ref(), wanted.until.as_ref());
    let range = match time_arg::range(since, until, &look.zone, time_arg::now()) {
        // The records have the broker's time, which may be ahead of this machine's.
        Err(time_arg::EmptyRange::Future { .. }) => {
            let status =
                broker.broker_service().get_status(broker.unary(GetStatusRequest {})).await?;
            let there = status.into_inner().server_time.as_ref().and_then(time_arg::from_proto);
            let now = there.map_or_else(time_arg::now, |there| there.max(time_arg::now()));
            time_arg::range(since, until, &look.zone, now)?
        }
        range => range?,
    };
    let names = [&wanted.names[..], &wanted.appliance].concat();
    let mut appliances = Vec::new();
    for name in names::at_commas(&names) {
        match names::patterns(broker, std::slice::from_ref(&name)).await {
            Ok(patterns) => appliances.extend(patterns),
            Err(failure) if failure.exit_code() == ExitCode::NotFound => {
                appliances.push(name);
                *unknown = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    if let Some(unknown) = unknown.as_ref().filter(|_| wanted.follow) {
        look.note(&unknown.to_string());
    }
    let kinds = if wanted.all && wanted.kind.is_empty() {
        let all = labels::record_kinds();
        all.iter().filter_map(|kind| labels::parse_record_kind(kind)).map(i32::from).collect()
    } else {
        wanted.kind.iter().map(|kind| *kind as i32).collect()
    };
    Ok(RecordFilter {
        appliances,
        kinds,
        severity_at_least: wanted.severity.unwrap_or(Severity::Unspecified) as i32,
        since: range.since.map(time_arg::to_proto),
        until: range.until.map(time_arg::to_proto),
        text: wanted.text.clone().unwrap_or_default(),
        boot_id: wanted.boot.clone().unwrap_or_default(),
    })
}

/// Shows records with all that is known of them.
async fn show(
    broker: &Connection,
    numbers: &[u64],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let mut records = Vec::new();
    for number in numbers {
        let request = broker.unary(GetRecordRequest { number: *number });
        let answer = broker.grid_log().get_record(request).await?.into_inner();
        records.push(answer.record.ok_or(CliError::Rejected { field: "record" })?);
    }
    if look.format.is_for_people() {
        for (place, record) in records.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            for line in record_view::lines(record, look) {
                writeln!(out, "{line}")?;
            }
        }
        return Ok(out.flush()?);
    }
    if let [record] = records.as_slice() {
        return Ok(ListWriter::one(out, look, record_view::shape(), record)?);
    }
    let mut listing = ListWriter::new(out, look, record_view::shape());
    listing.add(&records)?;
    Ok(listing.finish("")?)
}

/// One line of the list.
#[derive(Debug, PartialEq)]
enum LogItem {
    Record(Box<Record>),
    Missing(Missing),
}

/// The pages of one question.
struct Pages<'a> {
    broker: &'a Connection,
    filter: RecordFilter,
    newest_first: bool,
    token: Option<String>,
    /// Lost ranges that were heard of, since a later page may name them again.
    received: Vec<Missing>,
    /// Those of them whose place is not reached yet.
    waiting: Vec<Missing>,
}

impl<'a> Pages<'a> {
    fn new(broker: &'a Connection, filter: RecordFilter, newest_first: bool) -> Self {
        Self {
            broker,
            filter,
            newest_first,
            token: Some(String::new()),
            received: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The next page, of at most `left` records, which it counts down. `None`: that was all.
    async fn next(&mut self, left: &mut u64) -> Result<Option<Vec<LogItem>>, CliError> {
        let Some(token) = self.token.take_if(|_| *left > 0) else { return Ok(None) };
        let request = ListRecordsRequest {
            filter: Some(self.filter.clone()),
            page_size: u32::try_from(*left).unwrap_or(PAGE).min(PAGE),
            page_token: token,
            newest_first: self.newest_first,
        };
        let answer = self.broker.grid_log().list_records(self.broker.unary(request)).await?;
        let mut page = answer.into_inner();
        page.records.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= page.records.len() as u64;
        let next = std::mem::take(&mut page.next_page_token);
        self.token = Some(next).filter(|token| !token.is_empty());
        Ok(Some(self.merged(page)))
    }

    /// Records and lost ranges in the order of the list.
    fn merged(&mut self, page: ListRecordsResponse) -> Vec<LogItem> {
        for missing in page.missing {
            if !self.received.contains(&missing) {
                self.received.push(missing);
                self.waiting.push(missing);
            }
        }
        let newest_first = self.newest_first;
        let place = |number: u64| if newest_first { u64::MAX - number } else { number };
        let reached = match (&self.token, page.records.iter().map(|it| place(it.number)).max()) {
            (None, _) => u64::MAX,
            (Some(_), last) => last.unwrap_or(0),
        };
        let (told, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|missing| place(missing.first) <= reached);
        self.waiting = waiting;
        let records = page.records.into_iter();
        let mut entries: Vec<(u64, LogItem)> = records
            .map(|record| (place(record.number), LogItem::Record(Box::new(record))))
            .chain(told.into_iter().map(|it| (place(it.first), LogItem::Missing(it))))
            .collect();
        entries.sort_by_key(|(place, _)| *place);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }
}

fn write(listing: &mut ListWriter<'_, Record>, entries: Vec<LogItem>) -> Result<(), CliError> {
    let mut records = Vec::new();
    for entry in entries {
        match entry {
            LogItem::Record(record) => records.push(*record),
            LogItem::Missing(missing) => {
                listing.add(&std::mem::take(&mut records))?;
                listing.note(&missing_line(missing))?;
            }
        }
    }
    Ok(listing.add(&records)?)
}

/// What is said of numbers that are not there.
pub(crate) fn missing_line(missing: Missing) -> String {
    let Missing { first, last, trimmed } = missing;
    match (first == last, trimmed) {
        (true, false) => format!("record {first} is missing"),
        (false, false) => format!("records {first} to {last} are missing"),
        (true, true) => format!("record {first} was trimmed"),
        (false, true) => format!("records {first} to {last} were trimmed"),
    }
}

#[cfg(test)]
mod tests;
