//! Tells what the broker read for a list or a histogram.
//!
//! Guarantees that all pages are in it. Asked for, or when it took long; on stderr, so that scripts
//! read the records alone.

use std::io::{self, Write};

use grid_broker::contract::proto::{Missing, PageScan};
use grid_broker::grid::values::size::describe_bytes;
use grid_broker::show::count::format_count;

use crate::args::OutputFormat;
use crate::fields::{Fields, OutputObject};
use crate::json;
use crate::output::OutputOptions;

/// A search that took longer is worth a note, in microseconds.
const LONG_US: u64 = 1_000_000;

/// The sum over all pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScanSummary {
    scan: Option<PageScan>,
    found: u64,
    /// Numbers that are lost or were trimmed.
    missing: u64,
    lost: u64,
}

impl ScanSummary {
    /// Adds a page; an older broker sends no `scan`.
    pub(super) fn add(&mut self, scan: Option<PageScan>, missing: &[Missing], found: u64) {
        self.found += found;
        for gap in missing {
            let numbers = (gap.last + 1).saturating_sub(gap.first);
            self.missing += numbers;
            self.lost += if gap.trimmed { 0 } else { numbers };
        }
        let Some(page) = scan.filter(|page| page.first <= page.last) else { return };
        let sum =
            self.scan.get_or_insert_with(|| PageScan { first: u64::MAX, ..Default::default() });
        sum.first = sum.first.min(page.first);
        sum.last = sum.last.max(page.last);
        sum.records += page.records;
        sum.blocks += page.blocks;
        sum.blocks_skipped += page.blocks_skipped;
        sum.bytes += page.bytes;
        sum.took_us = sum.took_us.saturating_add(page.took_us);
    }

    /// Prints the summary if it was asked for, or if the search took long.
    pub(super) fn print(&self, is_requested: bool, look: &OutputOptions) {
        let took_long = self.scan.is_some_and(|scan| scan.took_us >= LONG_US);
        match look.format {
            OutputFormat::Json | OutputFormat::Jsonl if is_requested => {
                let object =
                    OutputObject { kind: "scan", name: String::new(), fields: self.fields() };
                if let Ok(line) = json::object(&object) {
                    // Nobody may read it any more.
                    let _ = writeln!(io::stderr(), "{line}");
                }
            }
            OutputFormat::Table | OutputFormat::Wide if is_requested || took_long => {
                look.note(&self.describe());
            }
            OutputFormat::Csv | OutputFormat::Name | OutputFormat::Udl if is_requested => {
                look.note(&self.describe());
            }
            OutputFormat::Table
            | OutputFormat::Wide
            | OutputFormat::Json
            | OutputFormat::Jsonl
            | OutputFormat::Csv
            | OutputFormat::Name
            | OutputFormat::Udl => {}
        }
    }

    fn fields(&self) -> Fields {
        let scan = self.scan.unwrap_or_default();
        vec![
            ("found", self.found.into()),
            ("first", scan.first.into()),
            ("last", scan.last.into()),
            ("records", scan.records.into()),
            ("blocks", scan.blocks.into()),
            ("blocks_skipped", scan.blocks_skipped.into()),
            ("bytes", scan.bytes.into()),
            ("took_us", scan.took_us.into()),
            ("missing", self.missing.into()),
            ("complete", (self.missing == 0).into()),
        ]
    }

    /// `searched records 1 to 10,000,000 in 1.2 s: ...`.
    fn describe(&self) -> String {
        let Some(scan) = self.scan else { return "no records were searched".to_owned() };
        let PageScan { first, last, records, blocks, blocks_skipped, bytes, took_us } = scan;
        let seconds = format!("{}.{:03}", took_us / 1_000_000, took_us / 1_000 % 1_000);
        let gaps = match (self.missing, self.lost) {
            (0, _) => "none is missing".to_owned(),
            (missing, 0) => format!("{} trimmed", format_count(missing, "record")),
            (missing, lost) => {
                format!("{} missing, {lost} of them lost", format_count(missing, "record"))
            }
        };
        format!(
            "searched records {first} to {last} in {seconds} s: {} in {} examined, {} skipped, {} \
             read; {gaps}",
            format_count(records, "record"),
            format_count(blocks, "block"),
            format_count(blocks_skipped, "block"),
            describe_bytes(bytes),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_are_summed_and_gaps_are_told() {
        let mut summary = ScanSummary::default();
        assert_eq!(summary.describe(), "no records were searched");
        let page = |first, last| PageScan {
            first,
            last,
            records: 100,
            blocks: 1,
            blocks_skipped: 7,
            bytes: 10_240,
            took_us: 1_250_000,
        };
        summary.add(Some(page(901, 1_900)), &[], 3);
        let text = summary.describe();
        assert!(text.starts_with("searched records 901 to 1900 in 1.250 s: 100 records"), "{text}");
        assert!(text.ends_with("; none is missing"), "{text}");
        summary.add(Some(page(1, 900)), &[Missing { first: 1, last: 20, trimmed: true }], 0);
        // The end of a page that is empty.
        summary.add(Some(PageScan { first: 9, last: 8, ..page(0, 0) }), &[], 0);
        let text = summary.describe();
        assert!(text.starts_with("searched records 1 to 1900 in 2.500 s: 200 records"), "{text}");
        assert!(text.ends_with("; 20 records trimmed"), "{text}");
        summary.add(None, &[Missing { first: 30, last: 30, trimmed: false }], 0);
        assert!(summary.describe().ends_with("; 21 records missing, 1 of them lost"));
    }
}
