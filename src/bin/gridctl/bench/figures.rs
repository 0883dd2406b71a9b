//! The figures of a load test, for people and scripts.
//!
//! Guarantees that machine-readable formats have all keys always, null where something was not measured.
//! Measures nothing.

use std::io::Write;
use std::time::Duration;

use grid_broker::contract::proto::{GetStatusResponse, Outcome};
use grid_broker::grid::values::size::describe_bytes;

use super::has_record;
use super::session::LoadCounts;
use crate::appliance_view::pair_lines;
use crate::args::BenchArgs;
use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::CellStyle;

/// What the broker stored during a load.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoredCheck {
    /// New records, of all kinds.
    pub(super) records: u64,
    /// New records of the kinds of the load.
    pub(super) stored: u64,
    /// Those that were read back; `None`: they were not.
    pub(super) read_back: Option<u64>,
}

/// The figures of a load test. Times in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct BenchFigures {
    elapsed_s: f64,
    sent: u64,
    acknowledged: u64,
    /// Acknowledged events that have a record of their own.
    pub(super) acknowledged_stored: u64,
    outcomes: Vec<(&'static str, u64)>,
    events_per_second: f64,
    percentiles: [Option<Duration>; 5],
    failures: u64,
    cpu_us_per_event: Option<f64>,
    cpu_us_per_event_archived: Option<f64>,
    archive_bytes_per_event: Option<f64>,
    written_bytes_per_event: Option<f64>,
    resident_bytes: Option<u64>,
    /// Seconds to open the sessions, and bytes of memory for each.
    opening_s: Option<f64>,
    session_bytes: Option<u64>,
    /// What is stored.
    pub(super) stored: StoredCheck,
}

/// The percentiles that are shown, as parts of all.
const PARTS: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

#[expect(clippy::cast_precision_loss, reason = "figures of a run are far below 2^52")]
fn per(amount: u64, events: u64) -> Option<f64> {
    (events > 0).then(|| amount as f64 / events as f64)
}

fn growth(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    Some(after?.saturating_sub(before?))
}

impl BenchFigures {
    /// By what the senders counted, and the broker's status before the load, after it, and once all was in
    /// the archive.
    pub(super) fn new(
        counts: &LoadCounts,
        elapsed: Duration,
        (before, after, archived): (&GetStatusResponse, &GetStatusResponse, &GetStatusResponse),
        stored: StoredCheck,
    ) -> Self {
        let named = counts
            .exceptions
            .iter()
            .filter_map(|(number, count)| Some((Outcome::try_from(*number).ok()?, *count)));
        let exceptions: u64 = counts.exceptions.values().sum();
        let mut outcomes = vec![(Outcome::Kept, counts.acknowledged.saturating_sub(exceptions))];
        outcomes.extend(named);
        let with_record = outcomes.iter().filter(|(outcome, _)| has_record(*outcome));
        let events = counts.acknowledged;
        let per_event = |amount: Option<u64>| amount.and_then(|amount| per(amount, events));
        let archive = archived.archive_bytes.saturating_sub(before.archive_bytes);
        let packed = archived.archived_through.saturating_sub(before.archived_through);
        let percentile = |part: f64| match part {
            1.0 => (events > 0).then(|| counts.latencies.max()),
            part => counts.latencies.percentile(part),
        };
        #[expect(clippy::cast_precision_loss, reason = "events of a run are far below 2^52")]
        let events_per_second = match elapsed.as_secs_f64() {
            0.0 => 0.0,
            seconds => events as f64 / seconds,
        };
        Self {
            elapsed_s: elapsed.as_secs_f64(),
            sent: counts.sent,
            acknowledged: events,
            acknowledged_stored: with_record.map(|(_, count)| count).sum(),
            outcomes: outcomes.iter().map(|(outcome, count)| (label(*outcome), *count)).collect(),
            events_per_second,
            percentiles: PARTS.map(|(_, part)| percentile(part)),
            failures: counts.failures,
            cpu_us_per_event: per_event(growth(before.cpu_time_us, after.cpu_time_us)),
            cpu_us_per_event_archived: per_event(growth(before.cpu_time_us, archived.cpu_time_us)),
            archive_bytes_per_event: per(archive, packed),
            written_bytes_per_event: per_event(growth(
                before.written_bytes,
                archived.written_bytes,
            )),
            resident_bytes: after.resident_bytes,
            stored,
            ..Self::default()
        }
    }

    /// The same with how long it took to open the sessions, and the broker's status before and after.
    #[must_use]
    pub(super) fn opened(
        self,
        opened: Option<(Duration, &GetStatusResponse, &GetStatusResponse)>,
        args: &BenchArgs,
    ) -> Self {
        let Some((took, before, after)) = opened else { return self };
        let grown = growth(before.resident_bytes, after.resident_bytes);
        Self {
            opening_s: Some(took.as_secs_f64()),
            session_bytes: grown.map(|bytes| bytes / args.sessions.max(1)),
            ..self
        }
    }

    /// Prints them.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub(super) fn show(&self, look: &OutputOptions, out: &mut dyn Write) -> Result<(), CliError> {
        if look.format.is_human_readable() {
            for line in pair_lines(&self.pairs(), |_| CellStyle::None, look) {
                writeln!(out, "{line}")?;
            }
            return Ok(out.flush()?);
        }
        let shape =
            ItemView { columns: &[], cells: |_: &Self, _| Vec::new(), to_object: Self::object };
        Ok(ListWriter::write_one(out, look, shape, self)?)
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let outcomes: Vec<_> = self
            .outcomes
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(outcome, count)| format!("{count} {outcome}"))
            .collect();
        let latencies: Vec<_> = PARTS
            .iter()
            .zip(self.percentiles)
            .filter_map(|((name, _), latency)| {
                let ms = latency?.as_secs_f64() * 1e3;
                Some(format!("{} {ms:.2} ms", name.replace("p999", "p99.9")))
            })
            .collect();
        let micros =
            |value: Option<f64>| value.map_or_else(String::new, |us| format!("{us:.2} us"));
        let bytes = |value: Option<f64>| {
            value.map_or_else(String::new, |bytes| format!("{bytes:.0} bytes"))
        };
        let read_back = match self.stored.read_back {
            Some(count) => format!(", {count} read back"),
            None => String::new(),
        };
        let opening = self.opening_s.map_or_else(String::new, |seconds| {
            let each = self.session_bytes.map(describe_bytes).unwrap_or_default();
            format!("opened in {seconds:.2} s, {each} of memory each")
        });
        let failures = match self.failures {
            0 => String::new(),
            count => format!("{count} senders ended early"),
        };
        vec![
            ("rate", format!("{:.0} events/s for {:.2} s", self.events_per_second, self.elapsed_s)),
            ("events", format!("{} sent, {} acknowledged", self.sent, self.acknowledged)),
            ("outcomes", outcomes.join(", ")),
            ("acknowledged after", latencies.join(", ")),
            (
                "stored",
                format!("{} of {} new records{read_back}", self.stored.stored, self.stored.records),
            ),
            ("broker's CPU", micros(self.cpu_us_per_event)),
            ("until archived", micros(self.cpu_us_per_event_archived)),
            ("archive", bytes(self.archive_bytes_per_event)),
            ("written", bytes(self.written_bytes_per_event)),
            ("memory", self.resident_bytes.map(describe_bytes).unwrap_or_default()),
            ("sessions", opening),
            ("failures", failures),
        ]
    }

    fn object(&self) -> OutputObject {
        let float = |value: Option<f64>| value.map_or(ObjectValue::Null, ObjectValue::Float);
        let number = |value: Option<u64>| value.map_or(ObjectValue::Null, ObjectValue::Number);
        let micros = |latency: Duration| u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let [p50, p90, p99, p999, max] = self.percentiles.map(|it| number(it.map(micros)));
        let outcomes =
            self.outcomes.iter().map(|(outcome, count)| (*outcome, (*count).into())).collect();
        let fields = vec![
            ("events_per_second", ObjectValue::Float(self.events_per_second)),
            ("elapsed_s", ObjectValue::Float(self.elapsed_s)),
            ("sent", self.sent.into()),
            ("acknowledged", self.acknowledged.into()),
            ("acknowledged_stored", self.acknowledged_stored.into()),
            ("stored", self.stored.stored.into()),
            ("read_back", number(self.stored.read_back)),
            ("new_records", self.stored.records.into()),
            ("outcomes", ObjectValue::Object(Some(outcomes))),
            ("ack_p50_us", p50),
            ("ack_p90_us", p90),
            ("ack_p99_us", p99),
            ("ack_p999_us", p999),
            ("ack_max_us", max),
            ("cpu_us_per_event", float(self.cpu_us_per_event)),
            ("cpu_us_per_event_archived", float(self.cpu_us_per_event_archived)),
            ("archive_bytes_per_event", float(self.archive_bytes_per_event)),
            ("written_bytes_per_event", float(self.written_bytes_per_event)),
            ("resident_bytes", number(self.resident_bytes)),
            ("opening_s", float(self.opening_s)),
            ("session_bytes", number(self.session_bytes)),
            ("failures", self.failures.into()),
        ];
        OutputObject { kind: "bench", name: "bench".to_owned(), fields }
    }
}

/// The contract's name of an outcome, in lower case and without its prefix.
fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unspecified => "unspecified",
        Outcome::Kept => "kept",
        Outcome::Repeated => "repeated",
        Outcome::Suppressed => "suppressed",
        Outcome::Refused => "refused",
        Outcome::Invalid => "invalid",
        Outcome::Duplicate => "duplicate",
        Outcome::History => "history",
        Outcome::NotKept => "not_kept",
        Outcome::Unsupported => "unsupported",
        Outcome::Folded => "folded",
    }
}
