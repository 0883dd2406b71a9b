//! `gridctl log list`: the grid log, page by page.
//!
//! Guarantees each record once and in order, and that numbers which are lost or were trimmed are
//! told where they would stand. Does not know how a tail goes on (`follow`) or how a record looks
//! (`record`).

use std::io::Write;

use grid_broker::wire::proto::{
    ListRecordsRequest, ListRecordsResponse, Missing, Record, RecordFilter, Severity,
};

use crate::args::LogList;
use crate::broker::Broker;
use crate::failure::Failure;
use crate::follow::{self, Tail};
use crate::listing::{Listing, Look};
use crate::{record, when};

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// Lists what is wanted, and goes on with it if that is wanted.
pub(crate) async fn list(
    broker: &Broker,
    wanted: &LogList,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut listing = Listing::new(out, look, record::shape());
    let filter = filter(wanted, look);
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
    let mut pages = Pages::new(broker, filter, newest_first);
    let mut left = if wanted.all { u64::MAX } else { wanted.limit.into() };
    if wanted.all || wanted.newest_first {
        while let Some(entries) = pages.next(&mut left).await? {
            write(&mut listing, entries)?;
        }
    } else {
        let mut entries = Vec::new();
        while let Some(page) = pages.next(&mut left).await? {
            entries.extend(page);
        }
        entries.reverse();
        write(&mut listing, entries)?;
    }
    Ok(listing.finish("no records match")?)
}

fn filter(wanted: &LogList, look: &Look) -> RecordFilter {
    let now = when::now();
    let moment = |at: when::When| when::sent(at.moment(&look.zone, now));
    RecordFilter {
        appliances: wanted.appliance.clone(),
        kinds: wanted.kind.iter().map(|kind| *kind as i32).collect(),
        severity_at_least: wanted.severity.unwrap_or(Severity::Unspecified) as i32,
        since: wanted.since.map(moment),
        until: wanted.until.map(moment),
        text: wanted.text.clone().unwrap_or_default(),
        boot_id: wanted.boot.clone().unwrap_or_default(),
    }
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
        let Some(token) = self.token.take().filter(|_| *left > 0) else { return Ok(None) };
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
