//! Holds the counters and histograms of `/metrics`, which are updated where events happen.
//!
//! A plain value that is passed on and cloned; all clones share their counts, and there is no global
//! one. Guarantees that label values come from fixed lists, so that no client can create a series.
//! Does not hold what is read on request; see `http/metrics.rs`.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Shortest bucket of a commit's duration, in seconds; each further one is twice as long.
const COMMIT_SECONDS_MIN: f64 = 0.000_1;

/// Buckets of a commit's duration: up to 6.6 s.
const COMMIT_SECONDS_BUCKETS: u16 = 17;

/// Buckets of a commit's records: 1, 4, 16 ... 65,536.
const COMMIT_RECORDS_BUCKETS: u16 = 9;

/// Counters and histograms of one broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    events: Family<EventLabels, Counter>,
    refused: Family<CodeLabels, Counter>,
    deadlines: Family<VerdictLabels, Counter>,
    mails: Family<OutcomeLabels, Counter>,
    webhooks: Family<OutcomeLabels, Counter>,
    heartbeats: Family<OutcomeLabels, Counter>,
    commit_seconds: Histogram,
    commit_records: Histogram,
}

/// A label's value from a fixed list, never a text of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(pub &'static str);

impl Label {
    /// A name of the contract, such as `EVENT_KIND_LOG`, without its prefix.
    pub fn without_prefix(prefix: &str, name: &'static str) -> Self {
        Self(name.strip_prefix(prefix).unwrap_or(name))
    }
}

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        self.0.to_ascii_lowercase().as_str().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    kind: Label,
    outcome: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabels {
    verdict: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Label,
}

/// Outcomes of an attempt to deliver a mail, or a notification to a webhook. Exported even when 0, so
/// that a series does not start with the first one.
const DELIVERY_OUTCOMES: [&str; 3] = ["sent", "deferred", "refused"];

/// Outcomes of a heartbeat, in the same way.
const HEARTBEAT_OUTCOMES: [&str; 3] = ["sent", "failed", "held_back"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    listener: Label,
    reason: Label,
}

/// Why a connection is refused or closed before its first request.
const CONNECTION_REASONS: [&str; 14] = [
    "full",
    "address_full",
    "strangers_full",
    "idle",
    "silent",
    "not_http",
    "not_http2",
    "not_tls",
    "not_accepted",
    "handshake",
    "certificate",
    "no_certificate",
    "certificate_ended",
    "certificate_revoked",
];

/// Why a request is rejected before it reaches its handler.
const REQUEST_REASONS: [&str; 4] = ["host", "browser", "media_type", "cross_origin"];

/// Metrics of the listeners' connections; they exist before the broker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections {
    open: Family<ListenerLabels, Gauge>,
    refused: Family<RefusedLabels, Counter>,
    requests_refused: Family<RefusedLabels, Counter>,
}

impl Default for Connections {
    fn default() -> Self {
        let (refused, requests_refused) = <(Family<_, Counter>, Family<_, Counter>)>::default();
        for listener in ["grpc", "http"].map(Label) {
            for reason in CONNECTION_REASONS.map(Label) {
                drop(refused.get_or_create(&RefusedLabels { listener, reason }));
            }
            for reason in REQUEST_REASONS.map(Label) {
                drop(requests_refused.get_or_create(&RefusedLabels { listener, reason }));
            }
        }
        Self { open: Family::default(), refused, requests_refused }
    }
}

impl Connections {
    /// The gauge of a listener's open connections.
    pub fn open_gauge(&self, listener: &'static str) -> OpenConnections {
        let labels = ListenerLabels { listener: Label(listener) };
        OpenConnections(self.open.get_or_create_owned(&labels))
    }

    /// Counts a connection that was refused, or closed before its first request.
    pub fn refused(&self, listener: &'static str, reason: &'static str) {
        let (listener, reason) = (Label(listener), Label(reason));
        self.refused.get_or_create(&RefusedLabels { listener, reason }).inc();
    }

    /// Counts a request that was rejected before it reached its handler.
    pub fn request_refused(&self, listener: &'static str, reason: &'static str) {
        let (listener, reason) = (Label(listener), Label(reason));
        self.requests_refused.get_or_create(&RefusedLabels { listener, reason }).inc();
    }

    /// Registers all, under names that are stable for scripts.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections open", self.open.clone());
        registry.register(
            "connections_refused",
            "Connections refused, or closed while no request was in progress",
            self.refused.clone(),
        );
        registry.register(
            "requests_refused",
            "Requests rejected before they reached their handler",
            self.requests_refused.clone(),
        );
    }
}

/// The open connections of one listener.
#[derive(Clone, Debug)]
pub struct OpenConnections(Gauge);

impl OpenConnections {
    /// Sets their number.
    pub fn set(&self, connections: usize) {
        self.0.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
}

/// Counters that begin at 0 for each outcome, so that a rate can be told from the first one on.
fn counters_of(outcomes: &[&'static str]) -> Family<OutcomeLabels, Counter> {
    let counters = Family::<OutcomeLabels, Counter>::default();
    for outcome in outcomes {
        drop(counters.get_or_create(&OutcomeLabels { outcome: Label(outcome) }));
    }
    counters
}

impl Default for Metrics {
    fn default() -> Self {
        let (mails, webhooks, heartbeats) = (
            counters_of(&DELIVERY_OUTCOMES),
            counters_of(&DELIVERY_OUTCOMES),
            counters_of(&HEARTBEAT_OUTCOMES),
        );
        let seconds = exponential_buckets(COMMIT_SECONDS_MIN, 2.0, COMMIT_SECONDS_BUCKETS);
        Self {
            events: Family::default(),
            refused: Family::default(),
            deadlines: Family::default(),
            mails,
            webhooks,
            heartbeats,
            commit_seconds: Histogram::new(seconds),
            commit_records: Histogram::new(exponential_buckets(1.0, 4.0, COMMIT_RECORDS_BUCKETS)),
        }
    }
}

impl Metrics {
    /// Counts an event that was decided, or is invalid.
    pub fn event(&self, kind: Label, outcome: Label) {
        self.events.get_or_create(&EventLabels { kind, outcome }).inc();
    }

    /// Counts as many events of one kind that had one outcome.
    pub fn events(&self, kind: Label, outcome: Label, count: u64) {
        self.events.get_or_create(&EventLabels { kind, outcome }).inc_by(count);
    }

    /// Counts a call that ended with that status.
    pub fn refused(&self, code: Label) {
        self.refused.get_or_create(&CodeLabels { code }).inc();
    }

    /// Counts a deadline that was decided.
    pub fn deadline(&self, verdict: Label) {
        self.deadlines.get_or_create(&VerdictLabels { verdict }).inc();
    }

    /// Counts an attempt to deliver a mail: it was `sent`, `deferred` or `refused`.
    pub fn mail(&self, outcome: Label) {
        self.mails.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts an attempt to deliver a notification to a webhook, in the same way.
    pub fn webhook(&self, outcome: Label) {
        self.webhooks.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts a heartbeat: it was `sent`, it `failed`, or it was `held_back` since the broker is not well.
    pub fn heartbeat(&self, outcome: Label) {
        self.heartbeats.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Records a commit: how many records became durable, and how long it took.
    pub fn commit(&self, records: usize, lasted: Duration) {
        self.commit_seconds.observe(lasted.as_secs_f64());
        self.commit_records.observe(f64::from(u32::try_from(records).unwrap_or(u32::MAX)));
    }

    /// Registers all, under names that are stable for scripts.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "events",
            "Events by kind and outcome; invalid ones are of kind unknown",
            self.events.clone(),
        );
        registry.register(
            "grpc_requests_refused",
            "gRPC calls, sessions included, that ended with a status other than OK",
            self.refused.clone(),
        );
        registry.register(
            "deadlines_judged",
            "Deadlines that were due, by result: failed, alert, other, nothing",
            self.deadlines.clone(),
        );
        registry.register(
            "mail_attempts",
            "Attempts to deliver a mail, by outcome: sent, deferred, refused",
            self.mails.clone(),
        );
        registry.register(
            "webhook_attempts",
            "Attempts to deliver a notification to a webhook, by outcome: sent, deferred, refused",
            self.webhooks.clone(),
        );
        registry.register(
            "heartbeats",
            "Heartbeats by outcome: sent, failed, held_back",
            self.heartbeats.clone(),
        );
        registry.register_with_unit(
            "commit_duration",
            "Time until a commit was durable",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register("commit_records", "Records in a commit", self.commit_records.clone());
    }
}
