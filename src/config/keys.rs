//! Lists every setting: its key, its accessor, its limits, and when a change of it applies.
//!
//! Guarantees one list for parsing, validation, formatting, the names of environment variables and
//! the tests of the shipped file. `config/gridd.toml` documents the reasons for the limits.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Settings;
use super::key::{Changes, Field, Key, Place};
use super::mail::{self, TextRule};
use super::raw::dotted;
use crate::grid::settings::{Budget, ClassSettings, LIMIT_RANGE};
use crate::listener::Hosts;
use crate::show::nearest::nearest;

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
const FILE_RANGE: RangeInclusive<u64> = 64 << 10..=4 << 30;

/// Limits of an amount of disk space, in bytes.
const ROOM_RANGE: RangeInclusive<u64> = 1 << 20..=u64::MAX;

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

/// Limits of the interval of a rate limit.
const EVERY_RANGE: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);

/// Host names.
static HOSTS: TextRule = TextRule {
    allowed: "a list of at most 64 names of hosts with commas between, without ports: \
              \"broker.example, grid.example\"",
    wrong: |text| Hosts::new(text).err().map(|_| String::new()),
};

const fn at_once<T>(path: &'static str, place: Place<T>) -> Key<T> {
    Key { path, place, changes: Changes::AtOnce, flag: None }
}

const fn at_restart<T>(path: &'static str, place: Place<T>, flag: Option<&'static str>) -> Key<T> {
    Key { path, place, changes: Changes::AtRestart, flag }
}

/// The settings outside of classes.
pub static SETTINGS: [Key<Settings>; 33] = [
    at_restart("data", Place::Path(|it| &mut it.journal.dir), Some("--data")),
    at_restart("grpc", Place::Address(|it| &mut it.grpc), Some("--grpc")),
    at_restart("http", Place::Address(|it| &mut it.http), Some("--http")),
    at_restart("hosts", Place::Text(&HOSTS, |it| &mut it.hosts), None),
    Key {
        path: "tracing",
        place: Place::Filter(|it| &mut it.tracing),
        changes: Changes::AtOnce,
        flag: Some("--tracing"),
    },
    at_restart(
        "tracing_format",
        Place::TracingFormat(|it| &mut it.tracing_format),
        Some("--tracing-format"),
    ),
    at_once("disk_low_water", Place::Size(ROOM_RANGE, |it| &mut it.journal.low_water)),
    at_once("ballast", Place::Size(ROOM_RANGE, |it| &mut it.journal.ballast_bytes)),
    at_once("retention.age", Place::Time(RETENTION_AGE_RANGE, |it| &mut it.journal.retention.age)),
    at_once("retention.bytes", Place::Size(ROOM_RANGE, |it| &mut it.journal.retention.bytes)),
    at_restart(
        "journal.commit_file",
        Place::Size(FILE_RANGE, |it| &mut it.journal.commit_file_bytes),
        None,
    ),
    at_restart("journal.span", Place::Size(FILE_RANGE, |it| &mut it.journal.span_bytes), None),
    at_once(
        "journal.checkpoint_records",
        Place::Count(CHECKPOINT_RECORDS_RANGE, |it| &mut it.journal.checkpoint_records),
    ),
    at_restart("mail.server", Place::Text(&mail::SERVER, |it| &mut it.mail.server), None),
    at_restart("mail.security", Place::MailSecurity(|it| &mut it.mail.security), None),
    at_restart("mail.ca_file", Place::Text(&mail::LINE, |it| &mut it.mail.ca_file), None),
    at_restart("mail.user", Place::Text(&mail::LINE, |it| &mut it.mail.user), None),
    at_restart("mail.password_file", Place::SecretFile(|it| &mut it.mail.password), None),
    at_restart("mail.password", Place::SecretText(|it| &mut it.mail.password), None),
    at_restart("mail.password_in_clear", Place::Truth(|it| &mut it.mail.password_in_clear), None),
    at_restart("mail.from", Place::Text(&mail::FROM, |it| &mut it.mail.from), None),
    at_restart("mail.hello", Place::Text(&mail::HELLO, |it| &mut it.mail.hello), None),
    at_restart("mail.timeout", Place::Time(MAIL_TIMEOUT_RANGE, |it| &mut it.mail.timeout), None),
    at_restart(
        "mail.connections",
        Place::Count(CONNECTIONS_RANGE, |it| &mut it.mail.connections),
        None,
    ),
    at_restart("mail.grid", Place::Text(&mail::GRID, |it| &mut it.mail.grid), None),
    at_once("mail.to", Place::Text(&mail::RECIPIENTS, |it| &mut it.mail.to)),
    at_restart("mail.zone", Place::Text(&mail::ZONE, |it| &mut it.mail.zone), None),
    at_once("mail.on", Place::Text(&mail::WORDS, |it| &mut it.mail.on)),
    at_once("mail.gather", Place::Time(MAIL_TIMEOUT_RANGE, |it| &mut it.mail.gather)),
    at_restart("report.log_dir", Place::PathOrNone(|it| &mut it.report.log_dir), None),
    at_restart("report.keep", Place::Count(REPORTS_RANGE, |it| &mut it.report.keep), None),
    at_restart("report.trigger_file", Place::PathOrNone(|it| &mut it.report.trigger_file), None),
    at_restart(
        "report.trigger_interval",
        Place::Time(TRIGGER_RANGE, |it| &mut it.report.trigger_interval),
        None,
    ),
];

const fn limit(path: &'static str, field: Field<ClassSettings, Duration>) -> Key<ClassSettings> {
    at_once(path, Place::Time(LIMIT_RANGE, field))
}

const fn budget(
    [budget, burst, every]: [&'static str; 3],
    field: Field<ClassSettings, Option<Budget>>,
) -> [Key<ClassSettings>; 3] {
    [
        at_once(budget, Place::Unlimited(field)),
        at_once(burst, Place::Burst(field)),
        at_once(every, Place::Every(EVERY_RANGE, field)),
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
pub static CLASS: [&[Key<ClassSettings>]; 9] = [
    &[
        at_once("managed", Place::Truth(|it| &mut it.managed)),
        at_once("boot_timeout", Place::Limit(LIMIT_RANGE, |it| &mut it.boot_timeout)),
        limit("maintenance_silence", |it| &mut it.maintenance_silence),
        limit("promise_max", |it| &mut it.promise_max),
        at_once(
            "hung_waits_for_boot_deadline",
            Place::Truth(|it| &mut it.hung_waits_for_boot_deadline),
        ),
        limit("stuck_progress", |it| &mut it.stuck_after),
        at_once("on_stuck", Place::OnStuck(|it| &mut it.on_stuck)),
        at_once("ignore_reboots", Place::Truth(|it| &mut it.ignore_reboots)),
        limit("lost_contact", |it| &mut it.lost_contact),
        limit("dump_timeout", |it| &mut it.dump_timeout),
        at_once("log_severity", Place::Severity(|it| &mut it.log_severity)),
    ],
    &[at_once("budget", Place::AllUnlimited(|it| &mut it.budgets))],
    &budget!("lifecycle", |it| &mut it.budgets.lifecycle),
    &budget!("boots", |it| &mut it.budgets.boots),
    &budget!("log", |it| &mut it.budgets.log),
    &budget!("alert_key", |it| &mut it.budgets.alert_key),
    &budget!("alert", |it| &mut it.budgets.alert),
    &budget!("counter", |it| &mut it.budgets.counter),
    &budget!("replay", |it| &mut it.budgets.replay),
];

/// All settings of one class.
pub fn of_class() -> impl Iterator<Item = &'static Key<ClassSettings>> {
    CLASS.iter().flat_map(|group| group.iter())
}

/// The setting outside of classes at `path`.
pub(super) fn find(path: &[String]) -> Option<&'static Key<Settings>> {
    SETTINGS.iter().find(|key| beyond(key.path, path) == Some(0))
}

/// The setting of a class at `path` within it.
pub(super) fn find_of_class(path: &[String]) -> Option<&'static Key<ClassSettings>> {
    of_class().find(|key| beyond(key.path, path) == Some(0))
}

/// How many parts a key has below `path`; `None`: `path` is no prefix of it.
fn beyond(key: &str, path: &[String]) -> Option<usize> {
    let mut parts = key.split('.');
    let is_begin = path.iter().all(|part| parts.next() == Some(part.as_str()));
    is_begin.then(|| parts.count())
}

/// What a path names; both for `class.NAME.budget`, which is a value or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// It is a setting.
    pub(super) is_setting: bool,
    /// It is a table of settings.
    pub(super) is_table: bool,
}

pub(super) fn known(path: &[String]) -> Known {
    let found: Vec<usize> = match path {
        [] => return Known { is_setting: false, is_table: true },
        [first] | [first, _] if first == CLASS_TABLE => {
            return Known { is_setting: false, is_table: true };
        }
        [first, _, within @ ..] if first == CLASS_TABLE => {
            of_class().filter_map(|key| beyond(key.path, within)).collect()
        }
        [..] => SETTINGS.iter().filter_map(|key| beyond(key.path, path)).collect(),
    };
    let is_setting = found.contains(&0);
    Known { is_setting, is_table: found.iter().any(|beyond| *beyond > 0) }
}

/// All paths; those of classes for the class `name`.
fn paths(name: &str) -> Vec<String> {
    let outside = SETTINGS.iter().map(|key| key.path.to_owned());
    let within = of_class().map(|key| class_path(name, key.path));
    outside.chain(within).collect()
}

/// The path of a class's key.
pub(super) fn class_path(class: &str, key: &str) -> String {
    format!("{}.{key}", dotted(&[CLASS_TABLE, class]))
}

/// A suggestion for the unknown key `path`: the key that was probably meant, or all keys of its table.
pub(super) fn instead_of(path: &[String]) -> String {
    let class = match path {
        [first, name, ..] if first == CLASS_TABLE => name,
        _ => "default",
    };
    let (table, last) = path.split_at(path.len().saturating_sub(1));
    let prefix = if table.is_empty() { String::new() } else { format!("{}.", dotted(table)) };
    let last = last.first().map_or("", String::as_str);
    let all = paths(class);
    let mut siblings: Vec<&str> = all
        .iter()
        .filter_map(|path| path.strip_prefix(&prefix))
        .filter_map(|rest| rest.split('.').next())
        .collect();
    siblings.dedup();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let elsewhere = all.iter().find(|path| path.rsplit('.').next() == Some(last)).copied();
    match nearest(last, &siblings).or(elsewhere) {
        Some(meant) => format!("did you mean {meant}?"),
        None if table.is_empty() => format!("there are: {}", siblings.join(", ")),
        None => format!("[{}] has: {}", dotted(table), siblings.join(", ")),
    }
}

/// The environment variable of a key; `None` for a class whose name a variable cannot contain.
pub fn variable(path: &[&str]) -> Option<String> {
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

/// All environment variables; those of classes for the class `name`.
pub(super) fn variables(name: &str) -> Vec<String> {
    let name_of = |path: &str, class: Option<&str>| {
        let class = class.map(|class| [CLASS_TABLE, class]);
        variable(&class.into_iter().flatten().chain(path.split('.')).collect::<Vec<_>>())
    };
    let outside = SETTINGS.iter().filter_map(|key| name_of(key.path, None));
    let within = of_class().filter_map(|key| name_of(key.path, Some(name)));
    let other = OTHER_VARIABLES.map(str::to_owned);
    outside.chain(within).chain(other).collect()
}
