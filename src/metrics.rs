//! How often, how long, how much? What is counted where it happens, for `/metrics`.
//!
//! A plain value that is handed on and cloned; all clones count together, and there is no global
//! one. Guarantees that labels come from fixed lists of words, so that no client can make a series.
//! What can be looked up when somebody asks is not kept here; see `dashboard/metrics_page.rs`.

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
    commit_seconds: Histogram,
    commit_records: Histogram,
}

/// A label's value: one of our own words, never a text of somebody else.
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

/// What can come of an attempt to deliver a mail. Told even when there was none, so that a series
/// does not begin with the first mail.
const MAIL_OUTCOMES: [&str; 3] = ["sent", "deferred", "refused"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: Label,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    listener: Label,
    reason: Label,
}

/// Why a connection is refused or closed before anything was asked on it.
const CONNECTION_REASONS: [&str; 7] =
    ["full", "address_full", "idle", "silent", "not_http", "not_http2", "not_accepted"];

/// Why a request is refused before it reaches what it asks for.
const REQUEST_REASONS: [&str; 4] = ["host", "browser", "media_type", "cross_origin"];

/// Connections of all listeners; they are there before the broker is. Cheap to clone.
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
    /// What tells how many connections a listener has open.
    pub fn open_gauge(&self, listener: &'static str) -> OpenConnections {
        let labels = ListenerLabels { listener: Label(listener) };
        OpenConnections(self.open.get_or_create_owned(&labels))
    }

    /// A connection was refused, or closed before anything was asked on it.
    pub fn refused(&self, listener: &'static str, reason: &'static str) {
        let (listener, reason) = (Label(listener), Label(reason));
        self.refused.get_or_create(&RefusedLabels { listener, reason }).inc();
    }

    /// A request was refused before it reached what it asked for.
    pub fn request_refused(&self, listener: &'static str, reason: &'static str) {
        let (listener, reason) = (Label(listener), Label(reason));
        self.requests_refused.get_or_create(&RefusedLabels { listener, reason }).inc();
    }

    /// Adds all of it to a registry, under the names that are scripted against.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections open", self.open.clone());
        registry.register(
            "connections_refused",
            "Connections refused, or closed while nothing was under way on them",
            self.refused.clone(),
        );
        registry.register(
            "requests_refused",
            "Requests refused before they reached what they asked for",
            self.requests_refused.clone(),
        );
    }
}

/// How many connections one listener has open.
#[derive(Clone, Debug)]
pub struct OpenConnections(Gauge);

impl OpenConnections {
    /// So many.
    pub fn set(&self, connections: usize) {
        self.0.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mails = Family::<OutcomeLabels, Counter>::default();
        for outcome in MAIL_OUTCOMES {
            drop(mails.get_or_create(&OutcomeLabels { outcome: Label(outcome) }));
        }
        let seconds = exponential_buckets(COMMIT_SECONDS_MIN, 2.0, COMMIT_SECONDS_BUCKETS);
        Self {
            events: Family::default(),
            refused: Family::default(),
            deadlines: Family::default(),
            mails,
            commit_seconds: Histogram::new(seconds),
            commit_records: Histogram::new(exponential_buckets(1.0, 4.0, COMMIT_RECORDS_BUCKETS)),
        }
    }
}

impl Metrics {
    /// An event was decided, or is none.
    pub fn event(&self, kind: Label, outcome: Label) {
        self.events.get_or_create(&EventLabels { kind, outcome }).inc();
    }

    /// A call was answered by that status, in place of an answer.
    pub fn refused(&self, code: Label) {
        self.refused.get_or_create(&CodeLabels { code }).inc();
    }

    /// A deadline was judged.
    pub fn deadline(&self, verdict: Label) {
        self.deadlines.get_or_create(&VerdictLabels { verdict }).inc();
    }

    /// The courier tried to deliver a mail: it was `sent`, `deferred` or `refused`.
    pub fn mail(&self, outcome: Label) {
        self.mails.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// So many records became durable, after so long.
    pub fn commit(&self, records: usize, lasted: Duration) {
        self.commit_seconds.observe(lasted.as_secs_f64());
        self.commit_records.observe(f64::from(u32::try_from(records).unwrap_or(u32::MAX)));
    }

    /// Adds all of it to a registry, under the names that are scripted against.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "events",
            "Events by kind and outcome; invalid ones are of kind unknown",
            self.events.clone(),
        );
        registry.register(
            "grpc_requests_refused",
            "gRPC calls, sessions included, that ended by a status other than OK",
            self.refused.clone(),
        );
        registry.register(
            "deadlines_judged",
            "Deadlines that came, by what followed: failed, alert, other, nothing",
            self.deadlines.clone(),
        );
        registry.register(
            "mail_attempts",
            "Attempts to deliver a mail, by what came of them: sent, deferred, refused",
            self.mails.clone(),
        );
        registry.register_with_unit(
            "commit_duration",
            "How long it took until a commit was durable",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register("commit_records", "Records in a commit", self.commit_records.clone());
    }
}
