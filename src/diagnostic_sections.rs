//! Adds the sections of our programs to their Guru Meditation Reports.
//!
//! The package, the settings in force, and the broker's sections. Guarantees that a section that asks
//! the broker loop gives up in time, since a loop that is stuck is when reports matter, and that all
//! sections of one report ask it once. How reports are made is `guru_meditation`'s business.

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
use crate::grid::Grid;
use crate::grid::model::mail_message::DeliveryState;
use crate::grid::values::time::Timestamp;
use crate::guru_meditation::{LogDir, Package, Reporter, SectionBuilder, Warnings};
use crate::journal::JournalReader;

/// The loop answers at once, or it is said that it does not.
const QUERY_TIMEOUT: Duration = Duration::from_millis(200);

/// Sections asked within this time are of the same report.
const CACHED_FOR: Duration = Duration::from_secs(1);

/// Most deadlines told, the next first.
const DEADLINES_MAX: usize = 20;

/// Most open matters told, and most suppressions, the newest first.
const ALERTS_MAX: usize = 100;

/// What a program of ours is.
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

/// The sections of a broker, in their order: before it serves, not all are there.
pub const SECTIONS: [&str; 9] = [
    "Configuration",
    "Appliances",
    "Journal",
    "Queues",
    "Sessions",
    "Suppressions",
    "Mails",
    "Open Matters",
    "Warnings",
];

/// Says where reports go, which file asks for one, and tells the settings in force: each by its key,
/// with its value and its origin.
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
        let told = in_force.borrow().effective().into_iter().map(|setting| {
            let EffectiveSetting { key, value, origin } = setting;
            (key, Value::from(value), origin.to_string())
        });
        told.collect()
    });
}

/// Adds the broker's sections.
pub fn register(reporter: &Reporter, started: &Started, warnings: &Warnings) {
    let look = GridQuery::new(started.broker.clone());
    let own = look.clone();
    reporter.register("Appliances", move |page| own.write_appliances(page));
    let (reader, own) = (started.reader.clone(), look.clone());
    reporter.register("Journal", move |page| write_journal(page, &reader, &own.broker));
    let own = look.clone();
    reporter.register("Queues", move |page| write_queues(page, &own.broker));
    let own = look.clone();
    reporter.register("Sessions", move |page| own.write_sessions(page));
    let own = look.clone();
    reporter.register("Suppressions", move |page| own.write_suppressions(page));
    let own = look.clone();
    reporter.register("Mails", move |page| own.write_mails(page));
    reporter.register("Open Matters", move |page| look.write_alerts(page));
    let warnings = warnings.clone();
    reporter.register("Warnings", move |page| warnings.add_section(page));
}

/// What the grid said, or why it did not.
type CachedOverview = Result<Arc<GridOverview>, QueryError>;

/// Asks the grid once a report.
#[derive(Clone)]
struct GridQuery {
    broker: BrokerHandle,
    cached: Arc<Mutex<Option<(Instant, CachedOverview)>>>,
}

/// What the sections tell of the grid.
struct GridOverview {
    states: Vec<(&'static str, usize)>,
    deadlines: Vec<(Timestamp, String)>,
    open_alerts: Vec<(Timestamp, String)>,
    suppressions: Vec<(Timestamp, String)>,
    /// Messages by how they stand, and since when the oldest is owed; one that failed is not.
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
                // Of which moment: a report that follows another at once tells the same.
                page.add("time_told", format_time(overview.now));
                tell(&overview);
            }
            Err(no_answer) => page.add("error", no_answer.to_string()),
        }
    }

    fn write_appliances(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| {
            for (state, count) in &overview.states {
                page.add(*state, *count);
            }
            let deadlines = overview.deadlines.iter();
            let lines =
                deadlines.map(|(at, whose)| Value::from(format!("{} {whose}", format_time(*at))));
            page.add("next_deadlines", lines.collect::<Vec<_>>());
        });
    }

    fn write_sessions(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| {
            page.add("open", overview.sessions);
            page.add("appliances_in_session", overview.in_session);
        });
    }

    /// Without their recipients: those are people.
    fn write_mails(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| {
            for (standing, count) in &overview.mails {
                page.add(*standing, *count);
            }
            page.add("oldest_since", overview.oldest_mail.map(format_time));
        });
    }

    fn write_suppressions(&self, page: &SectionBuilder) {
        self.with_overview(page, |overview| write_newest(page, &overview.suppressions));
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
        let owed = messages.values().filter(|message| message.state != DeliveryState::Failed);
        let oldest_mail = owed.map(|message| message.queued_at).min();
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
                let held = suppression.events.as_ref().map_or(0, |held| held.counts.iter().sum());
                let text = format!("{name}: budget {budget}, {held} events not stored");
                suppressions.push((suppression.since, text));
            }
            in_session += usize::from(grid.sessions().session_count(appliance.number) > 0);
        }
        deadlines.sort();
        deadlines.truncate(DEADLINES_MAX);
        let deadlines = deadlines.into_iter();
        let deadlines = deadlines.map(|(at, name, state)| (at, format!("{name} ({state})")));
        let alerts = grid.state().alerts();
        let mut matters: Vec<_> =
            alerts.map(|(_, _, alert)| (alert.since, alert.text.to_string())).collect();
        matters.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
        suppressions.sort_by_key(|(since, _)| std::cmp::Reverse(*since));
        Self {
            states,
            deadlines: deadlines.collect(),
            open_alerts: matters,
            suppressions,
            mails,
            oldest_mail,
            sessions: grid.sessions().open_count(),
            in_session,
            now,
        }
    }
}

fn count_label(counts: &mut Vec<(&'static str, usize)>, word: &'static str) {
    match counts.iter_mut().find(|(known, _)| *known == word) {
        Some((_, count)) => *count += 1,
        None => counts.push((word, 1)),
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
            page.add("trouble", status.background_failures);
        }
        Err(error) => page.add("error", error.to_string()),
    }
}

fn write_queues(page: &SectionBuilder, broker: &BrokerHandle) {
    let (items, room_bytes) = broker.queue_usage();
    page.add("items_waiting", items);
    page.add("room_bytes", room_bytes);
    page.add("turns_of_the_loop", broker.heartbeat());
    page.add("disk_is_low", broker.disk_is_low());
    page.add("watchers", broker.watcher_count());
}

fn format_time(at: Timestamp) -> String {
    Moment::from_microsecond(at.as_micros()).unwrap_or_default().to_string()
}
