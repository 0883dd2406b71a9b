//! Lists every setting: its key, its accessor, its limits, and when a change of it applies.
//!
//! Guarantees one list for parsing, validation, formatting, the names of environment variables and
//! the tests of the shipped file. `config/gridd.toml` documents the reasons for the limits.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Settings;
use super::crash_dump::{APPLIANCE_SETTINGS, APPLIANCE_TABLE, CLASS_DUMP_SETTINGS};
use super::key::{Accessor, Field, ReloadPolicy, SettingKey};
use super::mail::{self, TextRule};
use super::openstack::{PROJECT, URL};
use super::route::{ROUTE_SETTINGS, ROUTE_TABLE, RouteSettings};
use super::tls;
use super::webhook::{HEARTBEAT_SETTINGS, WEBHOOK_SETTINGS, WEBHOOK_TABLE, WebhookSettings};
use crate::config::raw_value::dotted_key;
use crate::grid::model::crash_dump::CrashDumpSettings;
use crate::grid::model::settings::{ClassSettings, REPORT_DEADLINE_RANGE, RateLimit};
use crate::listener::AllowedHosts;

/// The table whose tables are classes.
pub const CLASS_TABLE: &str = "class";

/// The prefix of our environment variables.
pub const PREFIX: &str = "GRIDD_";

/// Our environment variables that are not settings: those of the flags `--config` and
/// `--ready-file`.
pub const OTHER_VARIABLES: [&str; 2] = ["GRIDD_CONFIG", "GRIDD_READY_FILE"];

/// Limits of the retention age of records.
const RETENTION_AGE_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(36_500 * 86_400);

/// Limits of the size of a journal file, in bytes.
const FILE_SIZE_RANGE: RangeInclusive<u64> = 64 << 10..=4 << 30;

/// Limits of an amount of disk space, in bytes.
const DISK_SIZE_RANGE: RangeInclusive<u64> = 1 << 20..=u64::MAX;

/// Limits of the number of records between two checkpoints: each checkpoint is a whole state.
const CHECKPOINT_RECORDS_RANGE: RangeInclusive<u64> = 1_000..=u64::MAX;

/// Limits of the number of stored reports.
const REPORTS_RANGE: RangeInclusive<u64> = 1..=u64::MAX;

/// Limits of the number of connections to the mail server.
const CONNECTIONS_RANGE: RangeInclusive<u64> = 1..=32;

/// Limits of the timeout of one SMTP step, and of the time in which a mail collects notices.
const MAIL_TIMEOUT_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);
/// Limits of the interval at which the trigger file is checked.
const TRIGGER_RANGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);

/// Limits of the lifetime of a certificate of the own CA. Seconds are for trials.
const CERTIFICATE_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(366 * 86_400);

/// Limits of the time without a report after which an alert ends.
const CLOSE_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);

/// Limits of the time after the end of its certificate in which a key may renew.
const RECOVERY_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(36_500 * 86_400);

/// Limits of the interval of a rate limit.
const EVERY_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);

/// Host names.
static HOSTS: TextRule = TextRule {
    allowed: "a list of at most 64 names or addresses of hosts with commas between, without ports: \
              \"broker.example, 192.0.2.7\"",
    error: |text| AllowedHosts::new(text).err().map(|_| String::new()),
};

pub(super) const fn live<T>(path: &'static str, place: Accessor<T>) -> SettingKey<T> {
    SettingKey { path, accessor: place, reload: ReloadPolicy::Live, flag: None }
}

const fn needs_restart<T>(
    path: &'static str,
    place: Accessor<T>,
    flag: Option<&'static str>,
) -> SettingKey<T> {
    SettingKey { path, accessor: place, reload: ReloadPolicy::Restart, flag }
}

/// The settings outside of tables with names.
pub fn settings() -> impl Iterator<Item = &'static SettingKey<Settings>> {
    SETTINGS.iter().chain(&HEARTBEAT_SETTINGS)
}

/// Most of them.
static SETTINGS: [SettingKey<Settings>; 51] = [
    needs_restart("data", Accessor::Path(|it| &mut it.journal.dir), Some("--data")),
    needs_restart("grpc", Accessor::Address(|it| &mut it.grpc), Some("--grpc")),
    needs_restart("http", Accessor::Address(|it| &mut it.http), Some("--http")),
    needs_restart("hosts", Accessor::Text(&HOSTS, |it| &mut it.hosts), None),
    needs_restart("authentication", Accessor::Authentication(|it| &mut it.authentication), None),
    needs_restart("tls.mode", Accessor::TlsMode(|it| &mut it.tls.mode), None),
    needs_restart(
        "tls.certificate",
        Accessor::Text(&mail::LINE, |it| &mut it.tls.certificate),
        None,
    ),
    needs_restart("tls.key", Accessor::Text(&mail::LINE, |it| &mut it.tls.key), None),
    needs_restart("tls.client_ca", Accessor::Text(&mail::LINE, |it| &mut it.tls.client_ca), None),
    needs_restart(
        "tls.client_names",
        Accessor::Text(&tls::CLIENT_NAMES, |it| &mut it.tls.client_names),
        None,
    ),
    needs_restart(
        "tls.plaintext_off_loopback",
        Accessor::Bool(|it| &mut it.tls.plaintext_off_loopback),
        None,
    ),
    needs_restart(
        "tls.grpc_client_certificates",
        Accessor::ClientCertificates(|it| &mut it.tls.grpc_client_certificates),
        None,
    ),
    needs_restart(
        "tls.http_client_certificates",
        Accessor::ClientCertificates(|it| &mut it.tls.http_client_certificates),
        None,
    ),
    SettingKey {
        path: "tracing",
        accessor: Accessor::Filter(|it| &mut it.tracing),
        reload: ReloadPolicy::Live,
        flag: Some("--tracing"),
    },
    needs_restart(
        "tracing_format",
        Accessor::TracingFormat(|it| &mut it.tracing_format),
        Some("--tracing-format"),
    ),
    needs_restart("benchmark", Accessor::Bool(|it| &mut it.benchmark), None),
    live("disk_low_water", Accessor::Size(DISK_SIZE_RANGE, |it| &mut it.journal.low_water)),
    live("ballast", Accessor::Size(DISK_SIZE_RANGE, |it| &mut it.journal.ballast_bytes)),
    live(
        "retention.age",
        Accessor::Duration(RETENTION_AGE_RANGE, |it| &mut it.journal.retention.age),
    ),
    live("retention.bytes", Accessor::Size(DISK_SIZE_RANGE, |it| &mut it.journal.retention.bytes)),
    needs_restart(
        "journal.commit_file",
        Accessor::Size(FILE_SIZE_RANGE, |it| &mut it.journal.commit_file_bytes),
        None,
    ),
    needs_restart(
        "journal.span",
        Accessor::Size(FILE_SIZE_RANGE, |it| &mut it.journal.segment_bytes),
        None,
    ),
    live(
        "journal.checkpoint_records",
        Accessor::Count(CHECKPOINT_RECORDS_RANGE, |it| &mut it.journal.checkpoint_records),
    ),
    live(
        "certificates.lifetime",
        Accessor::Duration(CERTIFICATE_RANGE, |it| &mut it.certificates.lifetime),
    ),
    live(
        "certificates.recover_within",
        Accessor::OptionalDuration(RECOVERY_RANGE, |it| &mut it.certificates.recover_within),
    ),
    live("alert.close_after", Accessor::Duration(CLOSE_RANGE, |it| &mut it.alerts.close_after)),
    live(
        "alert.close_fatal_after",
        Accessor::Duration(CLOSE_RANGE, |it| &mut it.alerts.close_fatal_after),
    ),
    needs_restart("mail.server", Accessor::Text(&mail::SERVER, |it| &mut it.mail.server), None),
    needs_restart("mail.security", Accessor::MailSecurity(|it| &mut it.mail.security), None),
    needs_restart("mail.ca_file", Accessor::Text(&mail::LINE, |it| &mut it.mail.ca_file), None),
    needs_restart("mail.user", Accessor::Text(&mail::LINE, |it| &mut it.mail.user), None),
    needs_restart("mail.password_file", Accessor::SecretFile(|it| &mut it.mail.password), None),
    needs_restart("mail.password", Accessor::SecretText(|it| &mut it.mail.password), None),
    needs_restart(
        "mail.password_in_clear",
        Accessor::Bool(|it| &mut it.mail.password_in_clear),
        None,
    ),
    needs_restart("mail.from", Accessor::Text(&mail::FROM, |it| &mut it.mail.from), None),
    needs_restart(
        "mail.hello",
        Accessor::Text(&mail::EHLO_NAME, |it| &mut it.mail.ehlo_name),
        None,
    ),
    needs_restart(
        "mail.timeout",
        Accessor::Duration(MAIL_TIMEOUT_RANGE, |it| &mut it.mail.timeout),
        None,
    ),
    needs_restart(
        "mail.connections",
        Accessor::Count(CONNECTIONS_RANGE, |it| &mut it.mail.connections),
        None,
    ),
    needs_restart("mail.grid", Accessor::Text(&mail::GRID_NAME, |it| &mut it.mail.grid), None),
    needs_restart("mail.templates", Accessor::Text(&mail::LINE, |it| &mut it.mail.templates), None),
    needs_restart("mail.public_url", Accessor::Text(&URL, |it| &mut it.mail.public_url), None),
    live("mail.to", Accessor::Text(&mail::RECIPIENTS, |it| &mut it.mail.to)),
    needs_restart("mail.zone", Accessor::Text(&mail::ZONE, |it| &mut it.mail.zone), None),
    live("mail.on", Accessor::Text(&mail::ALERT_KINDS, |it| &mut it.mail.on)),
    live("mail.gather", Accessor::Duration(MAIL_TIMEOUT_RANGE, |it| &mut it.mail.gather)),
    needs_restart(
        "openstack.project",
        Accessor::Text(&PROJECT, |it| &mut it.openstack.project),
        None,
    ),
    needs_restart("openstack.url", Accessor::Text(&URL, |it| &mut it.openstack.url), None),
    needs_restart("report.log_dir", Accessor::PathOrNone(|it| &mut it.report.log_dir), None),
    needs_restart("report.keep", Accessor::Count(REPORTS_RANGE, |it| &mut it.report.keep), None),
    needs_restart(
        "report.trigger_file",
        Accessor::PathOrNone(|it| &mut it.report.trigger_file),
        None,
    ),
    needs_restart(
        "report.trigger_interval",
        Accessor::Duration(TRIGGER_RANGE, |it| &mut it.report.trigger_interval),
        None,
    ),
];

const fn duration_key(
    path: &'static str,
    field: Field<ClassSettings, Duration>,
) -> SettingKey<ClassSettings> {
    live(path, Accessor::Duration(REPORT_DEADLINE_RANGE, field))
}

const fn budget(
    [budget, burst, every]: [&'static str; 3],
    field: Field<ClassSettings, Option<RateLimit>>,
) -> [SettingKey<ClassSettings>; 3] {
    [
        live(budget, Accessor::Unlimited(field)),
        live(burst, Accessor::Burst(field)),
        live(every, Accessor::Every(EVERY_RANGE, field)),
    ]
}

macro_rules! budget {
    ($name:literal, $field:expr) => {
        budget(
            [
                concat!("budget.", $name),
                concat!("budget.", $name, ".burst"),
                concat!("budget.", $name, ".every"),
            ],
            $field,
        )
    };
}

/// The settings of one class, within `class.NAME`, in the order of the shipped file.
pub static CLASS_SETTINGS: [&[SettingKey<ClassSettings>]; 10] = [
    &[
        live("managed", Accessor::Bool(|it| &mut it.managed)),
        live(
            "boot_timeout",
            Accessor::OptionalDuration(REPORT_DEADLINE_RANGE, |it| &mut it.boot_timeout),
        ),
        duration_key("maintenance_silence", |it| &mut it.report_deadline),
        duration_key("promise_max", |it| &mut it.report_interval_max),
        live(
            "hung_waits_for_boot_deadline",
            Accessor::Bool(|it| &mut it.hung_waits_for_boot_deadline),
        ),
        duration_key("stuck_progress", |it| &mut it.stuck_after),
        live("on_stuck", Accessor::OnStuck(|it| &mut it.on_stuck)),
        live("ignore_reboots", Accessor::Bool(|it| &mut it.ignore_reboots)),
        duration_key("lost_contact", |it| &mut it.lost_contact),
        duration_key("dump_timeout", |it| &mut it.dump_timeout),
        live("log_severity", Accessor::Severity(|it| &mut it.log_severity_min)),
    ],
    &CLASS_DUMP_SETTINGS,
    &[live("budget", Accessor::AllUnlimited(|it| &mut it.rate_limits))],
    &budget!("lifecycle", |it| &mut it.rate_limits.lifecycle),
    &budget!("boots", |it| &mut it.rate_limits.boots),
    &budget!("log", |it| &mut it.rate_limits.log),
    &budget!("alert_key", |it| &mut it.rate_limits.alert_group),
    &budget!("alert", |it| &mut it.rate_limits.alert),
    &budget!("counter", |it| &mut it.rate_limits.counter),
    &budget!("replay", |it| &mut it.rate_limits.replay),
];

/// All settings of one class.
pub fn class_settings() -> impl Iterator<Item = &'static SettingKey<ClassSettings>> {
    CLASS_SETTINGS.iter().flat_map(|group| group.iter())
}

/// The setting outside of classes at `path`.
pub(super) fn find_setting(path: &[String]) -> Option<&'static SettingKey<Settings>> {
    settings().find(|key| parts_below(key.path, path) == Some(0))
}

/// The setting of a class at `path` within it.
pub(super) fn find_class_setting(path: &[String]) -> Option<&'static SettingKey<ClassSettings>> {
    class_settings().find(|key| parts_below(key.path, path) == Some(0))
}

/// The setting of an appliance at `path` within it.
pub(super) fn find_appliance_setting(
    path: &[String],
) -> Option<&'static SettingKey<CrashDumpSettings>> {
    APPLIANCE_SETTINGS.iter().find(|key| parts_below(key.path, path) == Some(0))
}

/// The setting of a webhook at `path` within it.
pub(super) fn find_webhook_setting(
    path: &[String],
) -> Option<&'static SettingKey<WebhookSettings>> {
    WEBHOOK_SETTINGS.iter().find(|key| parts_below(key.path, path) == Some(0))
}

/// The setting of a route at `path` within it.
pub(super) fn find_route_setting(path: &[String]) -> Option<&'static SettingKey<RouteSettings>> {
    ROUTE_SETTINGS.iter().find(|key| parts_below(key.path, path) == Some(0))
}

/// Whether the tables of that table have names of the operator's.
pub(super) fn has_named_tables(table: &str) -> bool {
    [CLASS_TABLE, APPLIANCE_TABLE, WEBHOOK_TABLE, ROUTE_TABLE].contains(&table)
}

/// How many parts a key has below `path`; `None`: `path` is no prefix of it.
fn parts_below(key: &str, path: &[String]) -> Option<usize> {
    let mut parts = key.split('.');
    let is_begin = path.iter().all(|part| parts.next() == Some(part.as_str()));
    is_begin.then(|| parts.count())
}

/// What a path names; both for `class.NAME.budget`, which is a value or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyKind {
    /// It is a setting.
    pub(super) is_setting: bool,
    /// It is a table of settings.
    pub(super) is_table: bool,
}

pub(super) fn key_kind(path: &[String]) -> KeyKind {
    let found: Vec<usize> = match path {
        [] => return KeyKind { is_setting: false, is_table: true },
        [first] | [first, _] if has_named_tables(first) => {
            return KeyKind { is_setting: false, is_table: true };
        }
        [first, _, within @ ..] if first == CLASS_TABLE => {
            class_settings().filter_map(|key| parts_below(key.path, within)).collect()
        }
        [first, _, within @ ..] if first == APPLIANCE_TABLE => {
            APPLIANCE_SETTINGS.iter().filter_map(|key| parts_below(key.path, within)).collect()
        }
        [first, _, within @ ..] if first == WEBHOOK_TABLE => {
            WEBHOOK_SETTINGS.iter().filter_map(|key| parts_below(key.path, within)).collect()
        }
        [first, _, within @ ..] if first == ROUTE_TABLE => {
            ROUTE_SETTINGS.iter().filter_map(|key| parts_below(key.path, within)).collect()
        }
        [..] => settings().filter_map(|key| parts_below(key.path, path)).collect(),
    };
    let is_setting = found.contains(&0);
    KeyKind { is_setting, is_table: found.iter().any(|beyond| *beyond > 0) }
}

/// The path of a class's key.
pub(super) fn class_path(class: &str, key: &str) -> String {
    format!("{}.{key}", dotted_key(&[CLASS_TABLE, class]))
}

/// The environment variable of a key; `None` for a class whose name a variable cannot contain.
pub fn variable_name(path: &[&str]) -> Option<String> {
    let is_spelt = |part: &&str| {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !part.is_empty()
            && part.bytes().all(is_plain)
            && !part.contains("__")
            && !part.ends_with('_')
    };
    let parts: Vec<_> = path.iter().map(|part| part.to_uppercase()).collect();
    path.iter().all(is_spelt).then(|| format!("{PREFIX}{}", parts.join("__")))
}
