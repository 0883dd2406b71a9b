//! Renders `/metrics` as OpenMetrics text: all counters, and gauges read for the request.
//!
//! Guarantees names that start with `gridd_` (`process_` for what every program has), a unit in the
//! name, and label values from fixed lists: never a name of an appliance. Gauges that could not be
//! read in time are left out, and `gridd_loop_answers` is 0. docs/operation.md lists all. Does not
//! count anything itself.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::{QUERY_TIMEOUT, ServedBroker};
use crate::contract::encode;
use crate::grid::Grid;
use crate::grid::state::outbox::OutboxStats;
use crate::grid::values::time::Timestamp;
use crate::journal::JournalStatus;
use crate::metrics::{Connections, Label};
use crate::process_stats::ProcessStats;
use crate::stderr;
use crate::tasks;

/// The content type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The gauges that the loop provides.
#[derive(Debug)]
struct GridMetrics {
    sessions: u32,
    appliances: BTreeMap<Label, u64>,
    alerts: BTreeMap<(Label, Label, Label), u64>,
    next_deadline: Option<Timestamp>,
    outbox: OutboxStats,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlertLabels {
    kind: Label,
    severity: Label,
    state: Label,
}

/// Renders everything; before the broker has started, only the metrics of the process.
pub(super) async fn render(
    services: Option<ServedBroker>,
    connections: &Connections,
) -> Result<String, fmt::Error> {
    let mut all = Registry::default();
    process(all.sub_registry_with_prefix("process"), &ProcessStats::read(), services.as_ref());
    let registry = all.sub_registry_with_prefix("gridd");
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "Version of gridd", version);
    gauge(registry, "tasks", "Tasks alive", tasks::alive_count() as f64);
    let help = "Log lines dropped because standard error was too slow";
    registry.register("tracing_lines_dropped", help, ConstCounter::new(stderr::dropped()));
    connections.register(registry);
    if let Some(services) = services {
        services.metrics.register(registry);
        queue(registry, &services);
        let query =
            tokio::time::timeout(QUERY_TIMEOUT, services.broker.query(|grid, _| collect(grid)));
        let metrics = query.await.ok().and_then(Result::ok);
        let answers = f64::from(u8::from(metrics.is_some()));
        gauge(registry, "loop_answers", "Whether the broker loop responded within 2 s", answers);
        if let Some(metrics) = metrics {
            grid(registry, &metrics);
        }
        let reader = services.reader.clone();
        let status = tasks::spawn_blocking("journal status", move || reader.status()).await;
        journal(registry, &services, status.ok().and_then(Result::ok));
    }
    let mut text = String::new();
    text::encode(&mut text, &all)?;
    Ok(text)
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    registry.register(name, help, ConstGauge::new(value));
}

fn gauge_with_unit(registry: &mut Registry, name: &str, unit: Unit, help: &str, value: f64) {
    registry.register_with_unit(name, help, unit, ConstGauge::new(value));
}

fn process(registry: &mut Registry, process: &ProcessStats, services: Option<&ServedBroker>) {
    let ProcessStats { resident_bytes, fds, fds_max, cpu_seconds, threads, written_bytes } =
        *process;
    if let Some(bytes) = resident_bytes {
        gauge_with_unit(registry, "resident_memory", Unit::Bytes, "Memory in RAM", bytes as f64);
    }
    if let Some(fds) = fds {
        gauge(registry, "open_fds", "Open descriptors", fds as f64);
    }
    if let Some(max) = fds_max {
        gauge(registry, "max_fds", "Descriptors it may open", max as f64);
    }
    if let Some(threads) = threads {
        gauge(registry, "threads", "Threads", threads as f64);
    }
    if let Some(seconds) = cpu_seconds {
        let help = "CPU time spent, user and system";
        registry.register_with_unit("cpu", help, Unit::Seconds, ConstCounter::new(seconds));
    }
    if let Some(bytes) = written_bytes {
        let help = "Bytes that it caused to be written to disks";
        registry.register_with_unit("written", help, Unit::Bytes, ConstCounter::new(bytes));
    }
    if let Some(services) = services {
        let help = "When the broker started, since 1970";
        gauge_with_unit(registry, "start_time", Unit::Seconds, help, seconds(services.started_at));
    }
}

fn queue(registry: &mut Registry, services: &ServedBroker) {
    let (items, room) = services.broker.queue_usage();
    gauge(registry, "queue_items", "Requests that wait for the broker loop", items as f64);
    let help = "Room for events in the queue";
    gauge_with_unit(registry, "queue_room", Unit::Bytes, help, room as f64);
    let low = f64::from(u8::from(services.broker.disk_is_low()));
    gauge(registry, "disk_low", "Whether nothing new is accepted because the disk is full", low);
}

/// Reads the gauges, in the loop.
fn collect(grid: &Grid) -> GridMetrics {
    let mut appliances: BTreeMap<Label, u64> =
        STATES.into_iter().map(|it| (Label(it), 0)).collect();
    for appliance in grid.state().appliances() {
        let name = encode::state(&appliance.lifecycle).as_str_name();
        *appliances.entry(Label::without_prefix("APPLIANCE_STATE_", name)).or_default() += 1;
    }
    let mut alerts = BTreeMap::new();
    for alert in grid.state().alerts().open() {
        let severity = encode::encode_severity(alert.severity).as_str_name();
        let severity = Label::without_prefix("SEVERITY_", severity);
        let labels = (Label(alert.kind), severity, Label(alert.state()));
        *alerts.entry(labels).or_default() += 1;
    }
    let sessions = grid.sessions().open_count();
    let (next_deadline, mails) = (grid.poll_timeout(), grid.state().outbox().stats());
    GridMetrics { sessions, appliances, alerts, next_deadline, outbox: mails }
}

/// Exported even when 0, so that a series does not start with its first appliance.
const STATES: [&str; 6] = ["IDLE", "STARTING", "MAINTENANCE", "RUNNING", "FAILED", "DUMPING"];

fn grid(registry: &mut Registry, metrics: &GridMetrics) {
    gauge(registry, "sessions", "Sessions open", f64::from(metrics.sessions));
    let appliances = Family::<StateLabels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for (state, count) in &metrics.appliances {
        appliances.get_or_create(&StateLabels { state: *state }).set(*count as f64);
    }
    registry.register("appliances", "Appliances by state", appliances);
    let alerts = Family::<AlertLabels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    for ((kind, severity, state), count) in &metrics.alerts {
        let labels = AlertLabels { kind: *kind, severity: *severity, state: *state };
        alerts.get_or_create(&labels).set(*count as f64);
    }
    registry.register(
        "alerts_open",
        "Alerts that are not resolved by kind, severity and state",
        alerts,
    );
    let OutboxStats { queued, oldest_queued_at, failed } = metrics.outbox;
    gauge(registry, "mails_queued", "Mails that are queued and have not failed", queued as f64);
    gauge(registry, "mails_failed", "Mails that have failed", failed as f64);
    if let Some(since) = oldest_queued_at {
        let help = "Since when the oldest queued mail is queued, since 1970";
        gauge_with_unit(
            registry,
            "mails_queued_since_timestamp",
            Unit::Seconds,
            help,
            seconds(since),
        );
    }
    if let Some(at) = metrics.next_deadline {
        let help = "When the next deadline is checked, since 1970";
        gauge_with_unit(registry, "next_deadline_timestamp", Unit::Seconds, help, seconds(at));
    }
}

fn journal(registry: &mut Registry, services: &ServedBroker, status: Option<JournalStatus>) {
    let journal = registry.sub_registry_with_prefix("journal");
    gauge(journal, "term", "Starts on this journal", services.term as f64);
    gauge(journal, "first_record", "Oldest record kept", services.reader.first() as f64);
    gauge(journal, "last_record", "Newest durable record", services.reader.durable() as f64);
    let Some(status) = status else { return };
    let JournalStatus {
        commit_log_bytes,
        archive_bytes,
        checkpoint_bytes,
        checkpoint,
        free_bytes,
        sealed_segments,
        sealed_through,
        archived_through,
        durable: _,
        low_water: _,
        retention_bytes: _,
        growth: _,
        background_failures,
    } = status;
    gauge(journal, "archived_record", "Newest record in the archive", archived_through as f64);
    gauge(journal, "sealed_record", "Newest record in a sealed segment", sealed_through as f64);
    gauge(journal, "sealed_spans", "Sealed segments", sealed_segments as f64);
    for (name, help, bytes) in [
        ("commit_log", "Size of the commit log", commit_log_bytes),
        ("archive", "Size of the archive", archive_bytes),
        ("checkpoints", "Size of the checkpoints", checkpoint_bytes),
        ("disk_free", "Free space for gridd on the file system", free_bytes),
    ] {
        gauge_with_unit(journal, name, Unit::Bytes, help, bytes as f64);
    }
    let help = "Background threads of the journal that failed: the commit log grows";
    gauge(journal, "threads_failed", help, background_failures.len() as f64);
    if let Some((through, written)) = checkpoint {
        gauge(journal, "checkpoint_record", "Newest record in a checkpoint", through as f64);
        let help = "When the newest checkpoint was written, since 1970";
        let at = written.as_secs_f64();
        gauge_with_unit(journal, "checkpoint_timestamp", Unit::Seconds, help, at);
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}
