//! `gridctl log ...`: the grid log, page by page, and single records.
//!
//! Guarantees each record once and in order, that numbers which are lost or were trimmed are told
//! where they would stand, and that whoever is not shown every record is told so at the end. Does
//! not know how a tail goes on (`follow`) or how a record looks (`record`).

mod left_out;

use std::io::Write;

use grid_broker::exit_code::ExitCode;
use grid_broker::show::words;
use grid_broker::wire::proto::{
    GetRecordRequest, GetStatusRequest, ListRecordsRequest, ListRecordsResponse, Missing, Record,
    RecordFilter, Severity,
};

use self::left_out::LeftOut;
use crate::args::{LogCommand, LogList};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::follow::{self, Tail};
use crate::listing::{Listing, Look};
use crate::{names, record, when};

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// Does what is asked.
pub(crate) async fn run(
    broker: &Broker,
    command: &LogCommand,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        LogCommand::List(wanted) => list(broker, wanted, look, out).await,
        LogCommand::Show { numbers } => show(broker, numbers, look, out).await,
    }
}

/// Lists what is wanted, and goes on with it if that is wanted.
async fn list(
    broker: &Broker,
    wanted: &LogList,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut unknown = None;
    let filter = filter(broker, wanted, look, &mut unknown).await?;
    let mut listing = Listing::new(out, look, record::shape());
    if wanted.follow {
        let mut tail = Tail::begin(broker, filter, wanted.limit).await?;
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = tail.follow(&mut listing, follow::FIRST_DELAY) => ended?,
        }
        return Ok(listing.finish("no records came")?);
    }
    let newest_first = wanted.newest_first || !wanted.all;
    let mut left_out = LeftOut::new(&filter, wanted.all);
    let mut pages = Pages::new(broker, filter, newest_first);
    let mut left = if wanted.all { u64::MAX } else { wanted.limit.into() };
    let all = left;
    if wanted.all || wanted.newest_first {
        while let Some(entries) = pages.next(&mut left).await? {
            left_out.see(&entries);
            write(&mut listing, entries)?;
        }
    } else {
        let mut entries = Vec::new();
        while let Some(page) = pages.next(&mut left).await? {
            entries.extend(page);
        }
        entries.reverse();
        left_out.see(&entries);
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
    broker: &Broker,
    wanted: &LogList,
    look: &Look,
    unknown: &mut Option<Failure>,
) -> Result<RecordFilter, Failure> {
    let (since, until) = (wanted.since.as_ref(), wanted.until.as_ref());
    let range = match when::range(since, until, &look.zone, when::now()) {
        // The records have the broker's time, which may be ahead of this machine's.
        Err(when::EmptyRange::Future { .. }) => {
            let status = broker.itself().get_status(broker.question(GetStatusRequest {})).await?;
            let there = status.into_inner().server_time.as_ref().and_then(when::received);
            let now = there.map_or_else(when::now, |there| there.max(when::now()));
            when::range(since, until, &look.zone, now)?
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
        let all = words::record_kinds();
        all.iter().filter_map(|kind| words::record_kind_of(kind)).map(i32::from).collect()
    } else {
        wanted.kind.iter().map(|kind| *kind as i32).collect()
    };
    Ok(RecordFilter {
        appliances,
        kinds,
        severity_at_least: wanted.severity.unwrap_or(Severity::Unspecified) as i32,
        since: range.since.map(when::sent),
        until: range.until.map(when::sent),
        text: wanted.text.clone().unwrap_or_default(),
        boot_id: wanted.boot.clone().unwrap_or_default(),
    })
}

/// Shows records with all that is known of them.
async fn show(
    broker: &Broker,
    numbers: &[u64],
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut records = Vec::new();
    for number in numbers {
        let request = broker.question(GetRecordRequest { number: *number });
        let answer = broker.grid_log().get_record(request).await?.into_inner();
        records.push(answer.record.ok_or(Failure::Answer { field: "record" })?);
    }
    if look.format.is_for_people() {
        for (place, record) in records.iter().enumerate() {
            if place > 0 {
                writeln!(out)?;
            }
            for line in record::lines(record, look) {
                writeln!(out, "{line}")?;
            }
        }
        return Ok(out.flush()?);
    }
    if let [record] = records.as_slice() {
        return Ok(Listing::one(out, look, record::shape(), record)?);
    }
    let mut listing = Listing::new(out, look, record::shape());
    listing.add(&records)?;
    Ok(listing.finish("")?)
}

/// One line of the list.
#[derive(Debug, PartialEq)]
enum Entry {
    Record(Box<Record>),
    Missing(Missing),
}

/// The pages of one question.
struct Pages<'a> {
    broker: &'a Broker,
    filter: RecordFilter,
    newest_first: bool,
    token: Option<String>,
    /// Lost ranges that were heard of, since a later page may name them again.
    heard: Vec<Missing>,
    /// Those of them whose place is not reached yet.
    waiting: Vec<Missing>,
}

impl<'a> Pages<'a> {
    fn new(broker: &'a Broker, filter: RecordFilter, newest_first: bool) -> Self {
        Self {
            broker,
            filter,
            newest_first,
            token: Some(String::new()),
            heard: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The next page, of at most `left` records, which it counts down. `None`: that was all.
    async fn next(&mut self, left: &mut u64) -> Result<Option<Vec<Entry>>, Failure> {
        let Some(token) = self.token.take_if(|_| *left > 0) else { return Ok(None) };
        let request = ListRecordsRequest {
            filter: Some(self.filter.clone()),
            page_size: u32::try_from(*left).unwrap_or(PAGE).min(PAGE),
            page_token: token,
            newest_first: self.newest_first,
        };
        let answer = self.broker.grid_log().list_records(self.broker.question(request)).await?;
        let mut page = answer.into_inner();
        page.records.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= page.records.len() as u64;
        let next = std::mem::take(&mut page.next_page_token);
        self.token = Some(next).filter(|token| !token.is_empty());
        Ok(Some(self.merged(page)))
    }

    /// Records and lost ranges in the order of the list.
    fn merged(&mut self, page: ListRecordsResponse) -> Vec<Entry> {
        for missing in page.missing {
            if !self.heard.contains(&missing) {
                self.heard.push(missing);
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
        let mut entries: Vec<(u64, Entry)> = records
            .map(|record| (place(record.number), Entry::Record(Box::new(record))))
            .chain(told.into_iter().map(|it| (place(it.first), Entry::Missing(it))))
            .collect();
        entries.sort_by_key(|(place, _)| *place);
        entries.into_iter().map(|(_, entry)| entry).collect()
    }
}

fn write(listing: &mut Listing<'_, Record>, entries: Vec<Entry>) -> Result<(), Failure> {
    let mut records = Vec::new();
    for entry in entries {
        match entry {
            Entry::Record(record) => records.push(*record),
            Entry::Missing(missing) => {
                listing.add(&std::mem::take(&mut records))?;
                listing.note(&gone(missing))?;
            }
        }
    }
    Ok(listing.add(&records)?)
}

/// What is said of numbers that are not there.
pub(crate) fn gone(missing: Missing) -> String {
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
