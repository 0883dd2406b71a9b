//! Defines the rules of the grid, by class, with overrides per appliance.
//!
//! Guarantees that every limit is within its range. Does not know files or flags; only `decide`
//! reads it, never `apply`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::grid::model::crash_dump::{CrashDumpSettings, SharedDumpSettings};
use crate::grid::model::route::{NotificationRoute, Routing};
use crate::grid::values::event::Severity;
use crate::grid::values::id::ApplianceName;

/// The class of an appliance without a class.
pub const DEFAULT_CLASS: &str = "default";

/// The shortest and longest time limit (Heat and AWS cap a start at 12 h).
pub const REPORT_DEADLINE_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(12 * 3_600);

/// The grace after the broker's own downtime before any deadline fires.
pub const GRACE_AFTER_DOWNTIME: Duration = Duration::from_secs(60);

/// How many failed starts within [`FLAPPING_WINDOW`] count as flapping (CA AppLogic's rule).
pub const FLAPPING_FAILURES: usize = 3;

/// See [`FLAPPING_FAILURES`].
pub const FLAPPING_WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// The rules of the whole grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridSettings {
    /// The rules of each class by name; [`DEFAULT_CLASS`] always exists.
    classes: BTreeMap<String, ClassSettings>,
    /// How crash dumps of these appliances are triggered, instead of as their classes say.
    crash_dumps: BTreeMap<String, CrashDumpSettings>,
    mail: Option<MailPolicy>,
    /// Routes, and the receivers of what no route matches.
    routing: Routing,
    /// Somebody is notified, by a route or by default.
    has_receivers: bool,
    certificates: CertificateRules,
    alerts: AlertRules,
}

/// When alerts end that nothing else ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertRules {
    /// After how long without a report the alert of an event ends. 24 h: DESIGN, section 5.
    pub close_after: Duration,
    /// The same for a fatal one. 7 d: likewise.
    pub close_fatal_after: Duration,
}

impl Default for AlertRules {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { close_after: day, close_fatal_after: day * 7 }
    }
}

/// For how long certificates of the broker's CA are valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateRules {
    /// The lifetime of a certificate. 30 d: identity.md, section 4.
    pub lifetime: Duration,
    /// How long after the end of its certificate a key may still renew; `None`: always. 90 d: machines
    /// that were off for a season come back.
    pub recover_within: Option<Duration>,
}

impl Default for CertificateRules {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { lifetime: day * 30, recover_within: Some(day * 90) }
    }
}

/// Who gets mail, and on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailPolicy {
    /// The recipients' addresses.
    pub recipients: Vec<Box<str>>,
    /// What triggers a mail, of [`MAIL_TRIGGERS`].
    pub triggers: BTreeSet<&'static str>,
    /// How long a mail waits for further notices. 30 s, as Alertmanager's group_wait.
    pub group_wait: Duration,
}

impl Default for MailPolicy {
    fn default() -> Self {
        let gather = Duration::from_secs(30);
        Self { recipients: Vec::new(), triggers: BTreeSet::new(), group_wait: gather }
    }
}

/// What can trigger a mail: alerts of appliances, and alerts of the broker.
pub const MAIL_TRIGGERS: [&str; 17] = [
    "alert",
    "start_failed",
    "boot_timeout",
    "hung",
    "stuck",
    "no_contact",
    "two_machines",
    "flapping",
    "records_missing",
    "disk_low",
    "clock_differs",
    "certificate_ending",
    "token_reused",
    "server_certificate",
    "crash_dump",
    "suppression",
    "events_lost",
];

impl GridSettings {
    /// The default class and `classes`; a class named [`DEFAULT_CLASS`] replaces it.
    pub fn new(classes: impl IntoIterator<Item = (String, ClassSettings)>) -> Self {
        let mut all = BTreeMap::from([(DEFAULT_CLASS.to_owned(), ClassSettings::default())]);
        all.extend(classes);
        Self {
            classes: all,
            crash_dumps: BTreeMap::new(),
            mail: None,
            routing: Routing::default(),
            has_receivers: false,
            certificates: CertificateRules::default(),
            alerts: AlertRules::default(),
        }
    }

    /// Sets how crash dumps of single appliances are triggered, by name.
    #[must_use]
    pub fn with_crash_dumps(
        mut self,
        crash_dumps: impl IntoIterator<Item = (String, CrashDumpSettings)>,
    ) -> Self {
        self.crash_dumps = crash_dumps.into_iter().collect();
        self
    }

    /// The appliances whose crash dumps are triggered otherwise than their classes say, sorted.
    pub fn crash_dumps(&self) -> impl Iterator<Item = (&str, &CrashDumpSettings)> {
        self.crash_dumps.iter().map(|(name, settings)| (name.as_str(), settings))
    }

    /// How crash dumps of that appliance of `class` are triggered. A class that no longer exists counts
    /// as [`DEFAULT_CLASS`].
    pub fn crash_dump(&self, name: &ApplianceName, class: &str) -> CrashDumpSettings {
        if let Some(own) = self.crash_dumps.get(name.as_str()) {
            return own.clone();
        }
        let class = self.classes.get(class).or_else(|| self.classes.get(DEFAULT_CLASS));
        class.map(|it| (*it.crash_dump).clone()).unwrap_or_default()
    }

    /// Adds mail.
    #[must_use]
    pub fn with_mail(mut self, mail: Option<MailPolicy>) -> Self {
        self.mail = mail;
        let routes = self.routing.routes().to_vec();
        self.with_routes(routes)
    }

    /// Sets the routes. The receivers of what no route matches are the recipients of
    /// [`Self::with_mail`].
    #[must_use]
    pub fn with_routes(mut self, routes: impl IntoIterator<Item = NotificationRoute>) -> Self {
        let recipients = self.mail.iter().flat_map(|mail| mail.recipients.iter().cloned());
        self.routing = Routing::new(routes, recipients);
        self.has_receivers = !self.routing.receivers().is_empty();
        self
    }

    /// Sets the rules of certificates.
    #[must_use]
    pub fn with_certificates(mut self, certificates: CertificateRules) -> Self {
        self.certificates = certificates;
        self
    }

    /// Sets when alerts end.
    #[must_use]
    pub fn with_alerts(mut self, alerts: AlertRules) -> Self {
        self.alerts = alerts;
        self
    }

    /// When alerts end that nothing else ends.
    pub fn alerts(&self) -> AlertRules {
        self.alerts
    }

    /// For how long certificates are valid.
    pub fn certificates(&self) -> CertificateRules {
        self.certificates
    }

    /// Who gets which notifications.
    pub fn routing(&self) -> &Routing {
        &self.routing
    }

    /// Who gets mail; `None`: nobody.
    pub fn mail(&self) -> Option<&MailPolicy> {
        self.mail.as_ref().filter(|_| self.has_receivers)
    }

    /// The class of that name.
    pub fn class(&self, name: &str) -> Option<&ClassSettings> {
        self.classes.get(name)
    }

    /// Names of all classes, sorted.
    pub fn class_names(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().map(String::as_str)
    }

    /// The rules of an appliance of `class` with `overrides`. A class that no longer exists counts
    /// as [`DEFAULT_CLASS`].
    pub fn rules(&self, class: &str, overrides: &Overrides) -> Cow<'_, ClassSettings> {
        let of_class = self.classes.get(class).or_else(|| self.classes.get(DEFAULT_CLASS));
        if *overrides == Overrides::default()
            && let Some(rules) = of_class
        {
            return Cow::Borrowed(rules);
        }
        let mut rules = of_class.cloned().unwrap_or_default();
        if let Some(managed) = overrides.managed {
            rules.managed = managed;
        }
        if let Some(timeout) = overrides.boot_timeout {
            rules.boot_timeout = Some(timeout);
        }
        if let Some(silence) = overrides.report_deadline {
            rules.report_deadline = silence;
            rules.report_interval_max = rules.report_interval_max.max(silence);
        }
        Cow::Owned(rules)
    }
}

impl Default for GridSettings {
    fn default() -> Self {
        Self::new([])
    }
}

/// The rules of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSettings {
    /// Whether its appliances must report that they started.
    pub managed: bool,
    /// How long a start may take; `None`: no limit. 300 s, as Nomad's healthy deadline.
    pub boot_timeout: Option<Duration>,
    /// The longest silence in maintenance if a report gives none. 60 s: upper end of the vendor's
    /// 2013 guide.
    pub report_deadline: Duration,
    /// The longest interval that a report may give. 60 s, from the same guide.
    pub report_interval_max: Duration,
    /// Silence counts only once the boot deadline has passed too (systemd's rule).
    pub hung_waits_for_boot_deadline: bool,
    /// After how long unchanged progress is stuck. 15 min (Cronping's rule).
    pub stuck_after: Duration,
    /// What happens to a stuck start.
    pub on_stuck: OnStuck,
    /// A new boot after a good start only has a record (AppLogic's field code 64).
    pub ignore_reboots: bool,
    /// After how long without a session contact is lost. 120 s, as Sensu.
    pub lost_contact: Duration,
    /// How long a crash dump may take. 15 min: our own choice.
    pub dump_timeout: Duration,
    /// The lowest severity of a `log` that is stored. Info: the vendor's guide contradicts itself.
    pub log_severity_min: Severity,
    /// The rate limits of its appliances.
    pub rate_limits: RateLimits,
    /// How crash dumps of its appliances are triggered.
    pub crash_dump: SharedDumpSettings,
}

impl Default for ClassSettings {
    fn default() -> Self {
        Self {
            managed: true,
            boot_timeout: Some(Duration::from_secs(300)),
            report_deadline: Duration::from_secs(60),
            report_interval_max: Duration::from_secs(60),
            hung_waits_for_boot_deadline: false,
            stuck_after: Duration::from_secs(15 * 60),
            on_stuck: OnStuck::Warn,
            ignore_reboots: false,
            lost_contact: Duration::from_secs(120),
            dump_timeout: Duration::from_secs(15 * 60),
            log_severity_min: Severity::Info,
            rate_limits: RateLimits::default(),
            crash_dump: SharedDumpSettings::default(),
        }
    }
}

/// What happens when progress does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStuck {
    /// An alert is opened.
    Warn,
    /// The start fails: hung, no progress.
    Fail,
}

/// The settings of one appliance that replace those of its class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// See [`ClassSettings::managed`].
    pub managed: Option<bool>,
    /// See [`ClassSettings::boot_timeout`]; within [`REPORT_DEADLINE_RANGE`].
    pub boot_timeout: Option<Duration>,
    /// See [`ClassSettings::report_deadline`]; within [`REPORT_DEADLINE_RANGE`].
    pub report_deadline: Option<Duration>,
}

/// A rate limit: a burst, then one event per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many at once after a long silence.
    pub burst: NonZeroU32,
    /// After how long the next one is allowed, from 1 ms to a day.
    pub interval: Duration,
}

/// The rate limits of a class; `None`: unlimited. The defaults are our own choice: Kubernetes' 25,
/// then one per 5 min, is too strict for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// `started_ok`, `start_failed` and `maintenance` together.
    pub lifecycle: Option<RateLimit>,
    /// New boot ids.
    pub boots: Option<RateLimit>,
    /// `log`.
    pub log: Option<RateLimit>,
    /// `alert` with text, per group.
    pub alert_group: Option<RateLimit>,
    /// `alert` with text, over all groups.
    pub alert: Option<RateLimit>,
    /// `alert` with a counter and no text.
    pub counter: Option<RateLimit>,
    /// Events of any kind from a spool: a backlog arrives at once.
    pub replay: Option<RateLimit>,
}

impl RateLimits {
    /// No limits, for load tests.
    pub const UNLIMITED: Self = Self {
        lifecycle: None,
        boots: None,
        log: None,
        alert_group: None,
        alert: None,
        counter: None,
        replay: None,
    };
}

impl Default for RateLimits {
    fn default() -> Self {
        let budget = |burst: u32, seconds: u64| {
            NonZeroU32::new(burst)
                .map(|burst| RateLimit { burst, interval: Duration::from_secs(seconds) })
        };
        Self {
            lifecycle: budget(30, 1),
            boots: budget(10, 360),
            log: budget(25, 5),
            alert_group: budget(5, 300),
            alert: budget(20, 60),
            counter: budget(10, 10),
            replay: budget(10_000, 1),
        }
    }
}
