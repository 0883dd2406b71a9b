//! What do our programs say in their Guru Meditation Reports?
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

use crate::broker::{Broker, NoAnswer, Started};
use crate::clock::monotonic_now;
use crate::config::report::ReportSettings;
use crate::config::{Setting, Settings};
use crate::grid::Grid;
use crate::grid::mail::Standing;
use crate::grid::time::Timestamp;
use crate::guru_meditation::{LogDir, Package, Page, Reporter, Warnings};
use crate::journal::Reader;

/// The loop answers at once, or it is said that it does not.
const ASK_WITHIN: Duration = Duration::from_millis(200);

/// Sections asked within this time are of the same report.
const SAME_REPORT: Duration = Duration::from_secs(1);

/// Most deadlines told, the next first.
const DEADLINES_MAX: usize = 20;

/// Most open matters told, and most suppressions, the newest first.
const MATTERS_MAX: usize = 100;

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
        let told = in_force.borrow().in_force().into_iter().map(|setting| {
            let Setting { key, value, origin } = setting;
            (key, Value::from(value), origin.to_string())
        });
        told.collect()
    });
}

/// Adds the broker's sections.
pub fn register(reporter: &Reporter, started: &Started, warnings: &Warnings) {
    let look = Look::new(started.broker.clone());
    let own = look.clone();
    reporter.register("Appliances", move |page| own.tell_appliances(page));
    let (reader, own) = (started.reader.clone(), look.clone());
    reporter.register("Journal", move |page| tell_journal(page, &reader, &own.broker));
    let own = look.clone();
    reporter.register("Queues", move |page| tell_queues(page, &own.broker));
    let own = look.clone();
    reporter.register("Sessions", move |page| own.tell_sessions(page));
    let own = look.clone();
    reporter.register("Suppressions", move |page| own.tell_suppressions(page));
    let own = look.clone();
    reporter.register("Mails", move |page| own.tell_mails(page));
    reporter.register("Open Matters", move |page| look.tell_matters(page));
    let warnings = warnings.clone();
    reporter.register("Warnings", move |page| warnings.tell(page));
}

/// What the grid said, or why it did not.
type Seen = Result<Arc<Overview>, NoAnswer>;

/// Asks the grid once a report.
#[derive(Clone)]
struct Look {
    broker: Broker,
    last: Arc<Mutex<Option<(Instant, Seen)>>>,
}

/// What the sections tell of the grid.
struct Overview {
    states: Vec<(&'static str, usize)>,
    deadlines: Vec<(Timestamp, String)>,
    matters: Vec<(Timestamp, String)>,
    suppressions: Vec<(Timestamp, String)>,
    /// Messages by how they stand, and since when the oldest is owed; one that failed is not.
    mails: Vec<(&'static str, usize)>,
    oldest_mail: Option<Timestamp>,
    sessions: u32,
    in_session: usize,
    now: Timestamp,
}

impl Look {
    fn new(broker: Broker) -> Self {
        Self { broker, last: Arc::default() }
    }

    fn overview(&self) -> Seen {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, seen)) = &*last
            && at.elapsed() < SAME_REPORT
        {
            return seen.clone();
        }
        let seen = self.broker.ask_within(ASK_WITHIN, Overview::new).map(Arc::new);
        *last = Some((monotonic_now(), seen.clone()));
        seen
    }

    fn with_overview(&self, page: &Page, tell: impl FnOnce(&Overview)) {
        match self.overview() {
            Ok(overview) => {
                // Of which moment: a report that follows another at once tells the same.
                page.put("time_told", told(overview.now));
                tell(&overview);
            }
            Err(no_answer) => page.put("error", no_answer.to_string()),
        }
    }

    fn tell_appliances(&self, page: &Page) {
        self.with_overview(page, |overview| {
            for (state, count) in &overview.states {
                page.put(*state, *count);
            }
            let deadlines = overview.deadlines.iter();
            let lines = deadlines.map(|(at, whose)| Value::from(format!("{} {whose}", told(*at))));
            page.put("next_deadlines", lines.collect::<Vec<_>>());
        });
    }

    fn tell_sessions(&self, page: &Page) {
        self.with_overview(page, |overview| {
            page.put("open", overview.sessions);
            page.put("appliances_in_session", overview.in_session);
        });
    }

    /// Without their recipients: those are people.
    fn tell_mails(&self, page: &Page) {
        self.with_overview(page, |overview| {
            for (standing, count) in &overview.mails {
                page.put(*standing, *count);
            }
            page.put("oldest_since", overview.oldest_mail.map(told));
        });
    }

    fn tell_suppressions(&self, page: &Page) {
        self.with_overview(page, |overview| tell_newest(page, &overview.suppressions));
    }

    fn tell_matters(&self, page: &Page) {
        self.with_overview(page, |overview| tell_newest(page, &overview.matters));
    }
}

impl Overview {
    fn new(grid: &Grid, now: Timestamp) -> Self {
        let mut states: Vec<(&'static str, usize)> = Vec::new();
        let mut deadlines: Vec<(Timestamp, &str, &str)> = Vec::new();
        let messages = &grid.state().outbox().messages;
        let mut mails = Vec::new();
        for message in messages.values() {
            count(&mut mails, message.standing.word());
        }
        let owed = messages.values().filter(|message| message.standing != Standing::Failed);
        let oldest_mail = owed.map(|message| message.owed_since).min();
        let mut in_session = 0;
        let mut suppressions = Vec::new();
        for appliance in grid.state().appliances() {
            let state = appliance.lifecycle.word();
            count(&mut states, state);
            if let Some(at) = appliance.lifecycle.deadline() {
                deadlines.push((at, appliance.name.as_str(), state));
            }
            if let Some(suppression) = &appliance.admission.suppression {
                let (name, budget) = (&appliance.name, suppression.budget.word());
                let held = suppression.held.as_ref().map_or(0, |held| held.counts.iter().sum());
                let text = format!("{name}: budget {budget}, {held} events not stored");
                suppressions.push((suppression.since, text));
            }
            in_session += usize::from(grid.presence().sessions(appliance.number) > 0);
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
            matters,
            suppressions,
            mails,
            oldest_mail,
            sessions: grid.presence().open(),
            in_session,
            now,
        }
    }
}

fn count(counts: &mut Vec<(&'static str, usize)>, word: &'static str) {
    match counts.iter_mut().find(|(known, _)| *known == word) {
        Some((_, count)) => *count += 1,
        None => counts.push((word, 1)),
    }
}

fn tell_newest(page: &Page, since_when: &[(Timestamp, String)]) {
    let newest = since_when.iter().take(MATTERS_MAX);
    let lines = newest.map(|(since, text)| Value::from(format!("{} {text}", told(*since))));
    page.put("open", since_when.len());
    page.put("newest", lines.collect::<Vec<_>>());
}

fn tell_journal(page: &Page, reader: &Reader, broker: &Broker) {
    page.put("first_record", reader.first());
    page.put("last_record", reader.durable());
    page.put("archived_through", reader.archived_through());
    let commits = broker.commits();
    page.put("commits", commits.count);
    page.put("commit_last_us", commits.last_us);
    page.put("commit_longest_us", commits.longest_us);
    page.put("commit_mean_us", commits.total_us.checked_div(commits.count));
    page.put("commit_under_way_us", commits.under_way_us);
    match reader.status() {
        Ok(status) => {
            page.put("archive_bytes", status.archive_bytes);
            page.put("checkpoint_bytes", status.checkpoint_bytes);
            page.put("commit_log_bytes", status.commit_log_bytes);
            page.put("disk_free_bytes", status.free_bytes);
            page.put("sealed_spans", status.sealed_spans);
            page.put("sealed_through", status.sealed_through);
            page.put("trouble", status.trouble);
        }
        Err(error) => page.put("error", error.to_string()),
    }
}

fn tell_queues(page: &Page, broker: &Broker) {
    let (items, room_bytes) = broker.waiting();
    page.put("items_waiting", items);
    page.put("room_bytes", room_bytes);
    page.put("turns_of_the_loop", broker.turns());
    page.put("disk_is_low", broker.disk_is_low());
    page.put("watchers", broker.watchers());
}

fn told(at: Timestamp) -> String {
    Moment::from_microsecond(at.as_micros()).unwrap_or_default().to_string()
}
