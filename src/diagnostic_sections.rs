//! Registers the broker's sections of Guru Meditation Reports.
//!
//! They are the package, the effective settings, and the broker's data. Guarantees that a section that
//! queries the broker loop gives up in time, since reports matter most when the loop is stuck, and that
//! all sections of one report query it once. Does not know how reports are written: `guru_meditation`
//! does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp as Moment;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::broker::{BrokerHandle, QueryError, Started};
use crate::clock::monotonic_now;
use crate::config::report::ReportSettings;
use crate::config::{EffectiveSetting, Settings};
use crate::contract::encode;
use crate::grid::Grid;
use crate::grid::explain;
use crate::grid::model::mail_message::DeliveryState;
use crate::grid::values::time::Timestamp;
use crate::guru_meditation::{LogDir, Package, Reporter, SectionBuilder, Warnings};
use crate::journal::JournalReader;

/// How long a section waits for the loop.
const QUERY_TIMEOUT: Duration = Duration::from_millis(200);

/// Sections written within this time belong to the same report.
const CACHED_FOR: Duration = Duration::from_secs(1);

/// Most deadlines listed, the next first.
const DEADLINES_MAX: usize = 20;

/// Most crash dumps listed, the newest first.
const CRASH_DUMPS_LISTED: usize = 20;

/// Most open alerts and most suppressions listed, the newest first.
const ALERTS_MAX: usize = 100;

/// The package of one of the programs.
pub fn package(product: &'static str) -> Package {
    Package {
        vendor: "Grid Broker",
        product,
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("GRID_BUILT_COMMIT"),
        rustc: env!("GRID_BUILT_RUSTC"),
        target: env!("GRID_BUILT_TARGET"),
        profile: env!("GRID_BUILT_PROFILE"),
        features: env!("GRID_BUILT_FEATURES"),
    }
}

/// The sections of a broker, in their order; not all exist before it serves.
pub const SECTIONS: [&str; 10] = [
    "Configuration",
    "Appliances",
    "Journal",
    "Queues",
    "Sessions",
    "Suppressions",
    "Crash Dumps",
    "Mails",
    "Open Alerts",
    "Warnings",
];

/// Sets where reports are written and which file triggers one, and registers the effective settings:
/// each with key, value and origin.
pub fn configure(reporter: &Reporter, settings: &Settings, in_force: watch::Receiver<Settings>) {
    let ReportSettings { log_dir, keep, trigger_file, trigger_interval } = &settings.report;
    let keep = usize::try_from(*keep).unwrap_or(usize::MAX);
    let log_dir = log_dir.clone();
    let service = "gridd".to_owned();
    reporter.log_dir(log_dir.map(|folder| LogDir { folder, service, keep }));
    if let Some(file) = trigger_file {
        reporter.trigger_file(file.clone(), *trigger_interval);
    }
    reporter.configuration(move || {
        let settings = in_force.borrow().effective().into_iter().map(|setting| {
            let EffectiveSetting { key, value, origin } = setting;
            (key, Value::from(value), origin.to_string())
        });
        settings.collect()
    });
}

/// Adds the broker's sections.
pub fn register(reporter: &Reporter, started: &Started, warnings: &Warnings) {
    let query = GridQuery::new(started.broker.clone());
    let section = query.clone();
    reporter.register("Appliances", move |page| section.write_appliances(page));
    let (reader, section) = (started.reader.clone(), query.clone());
    reporter.register("Journal", move |page| write_journal(page, &reader, &section.broker));
    let section = query.clone();
    reporter.register("Queues", move |page| write_queues(page, &section.broker));
    let section = query.clone();
    reporter.register("Sessions", move |page| section.write_sessions(page));
    let section = query.clone();
    reporter.register("Suppressions", move |page| section.write_suppressions(page));
    let section = query.clone();
    reporter.register("Crash Dumps", move |page| section.write_crash_dumps(page));
    let section = query.clone();
    reporter.register("Mails", move |page| section.write_mails(page));
    reporter.register("Open Alerts", move |page| query.write_alerts(page));
    let warnings = warnings.clone();
    reporter.register("Warnings", move |page| warnings.write(page));
}

/// The result of a query of the grid.
type CachedOverview = Result<Arc<GridOverview>, QueryError>;

/// Queries the grid once a report.
#[derive(Clone)]
struct GridQuery {
    broker: BrokerHandle,
    cached: Arc<Mutex<Option<(Instant, CachedOverview)>>>,
}

/// What the sections contain of the grid.
struct GridOverview {
    states: Vec<(&'static str, usize)>,
    deadlines: Vec<(Timestamp, String)>,
    open_alerts: Vec<(Timestamp, String)>,
    suppressions: Vec<(Timestamp, String)>,
    /// How many are under way, and the newest.
    crash_dumps: (usize, Vec<(Timestamp, String)>),
    /// Mails by state, and since when the oldest is queued; a failed one is not.
    mails: Vec<(&'static str, usize)>,
    oldest_mail: Option<Timestamp>,
    sessions: u32,
    in_session: usize,
    now: Timestamp,
}

impl GridQuery {
    fn new(broker: BrokerHandle) -> Self {
        Self { broker, cached: Arc::default() }
    }

    fn overview(&self) -> CachedOverview {
        let mut last = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, seen)) = &*last
            && at.elapsed() < CACHED_FOR
        {
            return seen.clone();
        }
        let seen = self.broker.query_blocking(QUERY_TIMEOUT, GridOverview::new).map(Arc::new);
        *last = Some((monotonic_now(), seen.clone()));
        seen
    }

    fn with_overview(&self, page: &SectionBuilder, tell: impl FnOnce(&GridOverview)) {
        match self.overview() {
            Ok(overview) => {
                // The time of the query: a report right after another one has the same.
                page.add("broker_time", format_time(overview.now));
                tell(&overview);
            }
            Err(error) => page.add("error", error.to_string()),
        }
    }

    fn write_appliances(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| {
            for (state, count) in &overview.states {
                page.add(*state, *count);
            }
            let deadlines = overview.deadlines.iter();
            let lines =
                deadlines.map(|(at, owner)| Value::from(format!("{} {owner}", format_time(*at))));
            page.add("next_deadlines", lines.collect::<Vec<_>>());
        });
    }

    fn write_sessions(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| {
            page.add("open", overview.sessions);
            page.add("appliances_in_session", overview.in_session);
        });
    }

    /// Without recipients: they are personal data.
    fn write_mails(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| {
            for (state, count) in &overview.mails {
                page.add(*state, *count);
            }
            page.add("oldest_since", overview.oldest_mail.map(format_time));
        });
    }

    fn write_suppressions(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| write_newest(page, &overview.suppressions));
    }

    fn write_crash_dumps(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| {
            let (under_way, newest) = &overview.crash_dumps;
            page.add("under_way", *under_way);
            let lines =
                newest.iter().map(|(at, text)| Value::from(format!("{} {text}", format_time(*at))));
            page.add("newest", lines.collect::<Vec<_>>());
        });
    }

    fn write_alerts(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| write_newest(page, &overview.open_alerts));
    }
}

impl GridOverview {
    fn new(grid: &Grid, now: Timestamp) -> Self {
        let mut states: Vec<(&'static str, usize)> = Vec::new();
        let mut deadlines: Vec<(Timestamp, &str, &str)> = Vec::new();
        let messages = &grid.state().outbox().messages;
        let mut mails = Vec::new();
        for message in messages.values() {
            count_label(&mut mails, message.state.as_str());
        }
        let queued = messages.values().filter(|message| message.state != DeliveryState::Failed);
        let oldest_mail = queued.map(|message| message.queued_at).min();
        let mut in_session = 0;
        let mut suppressions = Vec::new();
        for appliance in grid.state().appliances() {
            let state = appliance.lifecycle.as_str();
            count_label(&mut states, state);
            if let Some(at) = appliance.lifecycle.deadline() {
                deadlines.push((at, appliance.name.as_str(), state));
            }
            if let Some(suppression) = &appliance.usage.suppression {
                let (name, budget) = (&appliance.name, suppression.limit.as_str());
                let dropped =
                    suppression.events.as_ref().map_or(0, |held| held.counts.iter().sum());
                let text = format!("{name}: budget {budget}, {dropped} events not stored");
                suppressions.push((suppression.since, text));
            }
            in_session += usize::from(grid.sessions().session_count(appliance.number) > 0);
        }
        deadlines.sort();
        deadlines.truncate(DEADLINES_MAX);
        let deadlines = deadlines.into_iter();
        let deadlines = deadlines.map(|(at, name, state)| (at, format!("{name} ({state})")));
        let alerts = grid.state().alerts().open();
        let mut texts: Vec<_> = alerts
            .map(|alert| {
                let (state, severity) = (alert.state(), alert.severity.as_str());
                let text = format!("alert {} ({severity}, {state}): {}", alert.id.0, alert.text);
                (alert.opened_at, text)
            })
            .collect();
        texts.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
        suppressions.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
        Self {
            states,
            deadlines: deadlines.collect(),
            open_alerts: texts,
            suppressions,
            crash_dumps: newest_crash_dumps(grid),
            mails,
            oldest_mail,
            sessions: grid.sessions().open_count(),
            in_session,
            now,
        }
    }
}

/// How many crash dumps are under way, and the newest of all appliances.
fn newest_crash_dumps(grid: &Grid) -> (usize, Vec<(Timestamp, String)>) {
    let dumps = grid.state().appliances().flat_map(|appliance| {
        appliance.crash_dumps.iter().map(move |dump| (dump.requested_at, &appliance.name, dump))
    });
    let mut dumps: Vec<_> = dumps.collect();
    let under_way = dumps.iter().filter(|(_, _, dump)| dump.end.is_none()).count();
    dumps.sort_by_key(|(at, _, _)| std::cmp::Reverse(*at));
    dumps.truncate(CRASH_DUMPS_LISTED);
    let lines = dumps.into_iter().map(|(at, name, dump)| {
        let (id, by) = (encode::crash_dump::request_id(dump.request), &dump.by);
        (at, format!("{name} by {by}, {id}: {}", explain::crash_dump::describe(dump)))
    });
    (under_way, lines.collect())
}

fn count_label(counts: &mut Vec<(&'static str, usize)>, label: &'static str) {
    match counts.iter_mut().find(|(known, _)| *known == label) {
        Some((_, count)) => *count += 1,
        None => counts.push((label, 1)),
    }
}

fn write_newest(page: &SectionBuilder, since_when: &[(Timestamp, String)]) {
    let newest = since_when.iter().take(ALERTS_MAX);
    let lines = newest.map(|(since, text)| Value::from(format!("{} {text}", format_time(*since))));
    page.add("open", since_when.len());
    page.add("newest", lines.collect::<Vec<_>>());
}

fn write_journal(page: &SectionBuilder, reader: &JournalReader, broker: &BrokerHandle) {
    page.add("first_record", reader.first());
    page.add("last_record", reader.durable());
    page.add("archived_through", reader.archived_through());
    let commits = broker.commit_latency();
    page.add("commits", commits.count);
    page.add("commit_last_us", commits.last_us);
    page.add("commit_longest_us", commits.max_us);
    page.add("commit_mean_us", commits.total_us.checked_div(commits.count));
    page.add("commit_under_way_us", commits.in_progress_us);
    match reader.status() {
        Ok(status) => {
            page.add("archive_bytes", status.archive_bytes);
            page.add("checkpoint_bytes", status.checkpoint_bytes);
            page.add("commit_log_bytes", status.commit_log_bytes);
            page.add("disk_free_bytes", status.free_bytes);
            page.add("sealed_spans", status.sealed_segments);
            page.add("sealed_through", status.sealed_through);
            page.add("background_failures", status.background_failures);
        }
        Err(error) => page.add("error", error.to_string()),
    }
}

fn write_queues(page: &SectionBuilder, broker: &BrokerHandle) {
    let (items, room_bytes) = broker.queue_usage();
    page.add("items_waiting", items);
    page.add("room_bytes", room_bytes);
    page.add("loop_iterations", broker.heartbeat());
    page.add("disk_is_low", broker.disk_is_low());
    page.add("watchers", broker.watcher_count());
}

fn format_time(at: Timestamp) -> String {
    Moment::from_microsecond(at.as_micros()).unwrap_or_default().to_string()
}
