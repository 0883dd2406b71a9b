//! Which settings hold? Flag over environment over file over default.
//!
//! Two types: the [`File`] as written, which refuses unknown keys, becomes the [`Settings`] as
//! meant, which cannot hold nonsense. Guarantees that every mistake is told with its key and what is
//! allowed. Opens nothing but the file.

mod amount;
pub mod report;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use self::report::{ReportFile, ReportSettings};
use crate::grid;
use crate::grid::name::is_name;
use crate::grid::settings::{ClassSettings, LIMIT_RANGE, OnStuck};
use crate::journal;

/// Where appliances and administrators are heard if nobody says otherwise.
pub const DEFAULT_GRPC: &str = "127.0.0.1:7443";

/// Where pages are served if nobody says otherwise.
pub const DEFAULT_HTTP: &str = "127.0.0.1:7480";

/// Where data lies if nobody says otherwise.
pub const DEFAULT_DATA: &str = "./gridd-data";

/// What is told of ourselves if nobody says otherwise.
pub const DEFAULT_TRACING: &str = "info";

/// How long records are kept if nobody says otherwise.
pub const DEFAULT_RETENTION_AGE: &str = "90d";

/// How much the archive may take if nobody says otherwise.
pub const DEFAULT_RETENTION_BYTES: &str = "10GiB";

/// How much must be free if nobody says otherwise.
pub const DEFAULT_DISK_LOW_WATER: &str = "256MiB";

/// What is kept in reserve if nobody says otherwise.
pub const DEFAULT_BALLAST: &str = "8MiB";

/// How long records may be kept.
const RETENTION_AGE_RANGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(36_500 * 86_400);

/// What a file of the journal may be given, in bytes.
const SIZE_RANGE: RangeInclusive<u64> = 64 << 10..=4 << 30;

/// The least of anything that is room on the disk, in bytes.
const LEAST_ROOM: u64 = 1 << 20;

/// A wrong setting.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what a configuration looks like.
    #[error("{}: {text}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Line, key and what is allowed.
        text: String,
    },
    /// Values that are wrong, a line each.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
}

/// Settings as meant.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data folder, and how the journal in it is cut.
    pub journal: journal::Settings,
    /// Where gRPC is served; on loopback.
    pub grpc: SocketAddr,
    /// Where pages are served; on loopback.
    pub http: SocketAddr,
    /// What is told of ourselves: a filter of the tracing crates.
    pub tracing: String,
    /// The rules of the grid.
    pub grid: grid::settings::Settings,
    /// Where reports go.
    pub report: ReportSettings,
}

/// What flags and environment say; each goes before the file.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// `--config`, `GRIDD_CONFIG`
    pub config: Option<PathBuf>,
    /// `--data`, `GRIDD_DATA`
    pub data: Option<PathBuf>,
    /// `--grpc`, `GRIDD_GRPC`
    pub grpc: Option<String>,
    /// `--http`, `GRIDD_HTTP`
    pub http: Option<String>,
    /// `--tracing`, `GRIDD_TRACING`
    pub tracing: Option<String>,
}

/// The file as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    data: Option<PathBuf>,
    grpc: Option<String>,
    http: Option<String>,
    tracing: Option<String>,
    disk_low_water: Option<String>,
    ballast: Option<String>,
    #[serde(default)]
    retention: RetentionFile,
    #[serde(default)]
    journal: JournalFile,
    #[serde(default)]
    report: ReportFile,
    #[serde(default)]
    class: BTreeMap<String, ClassFile>,
}

/// Retention as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionFile {
    age: Option<String>,
    bytes: Option<String>,
}

/// The journal's table as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalFile {
    commit_file: Option<String>,
    span: Option<String>,
    checkpoint_records: Option<u64>,
}

/// A class as written: what is not there is as in the default class's defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassFile {
    managed: Option<bool>,
    boot_timeout: Option<String>,
    maintenance_silence: Option<String>,
    promise_max: Option<String>,
    hung_waits_for_boot_deadline: Option<bool>,
    stuck_progress: Option<String>,
    on_stuck: Option<String>,
    ignore_reboots: Option<bool>,
    lost_contact: Option<String>,
    dump_timeout: Option<String>,
}

impl Settings {
    /// Puts flags, environment, file and defaults together.
    ///
    /// # Errors
    ///
    /// All wrong values at once.
    pub fn new(given: Given) -> Result<Self, ConfigError> {
        let file = match &given.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let mut wrong = Vec::new();
        let or = |given: Option<String>, file: Option<String>, default: &str| {
            given.or(file).unwrap_or_else(|| default.to_owned())
        };
        let grpc = loopback("grpc", &or(given.grpc, file.grpc, DEFAULT_GRPC), &mut wrong);
        let http = loopback("http", &or(given.http, file.http, DEFAULT_HTTP), &mut wrong);
        if let (Some(grpc), Some(http)) = (grpc, http)
            && grpc == http
            && grpc.port() != 0
        {
            wrong.push(format!("http: {http} is taken by grpc; give it another port"));
        }
        let kept = [file.disk_low_water, file.ballast, file.retention.age, file.retention.bytes];
        let classes: Vec<_> = file
            .class
            .into_iter()
            .filter_map(|(name, class)| {
                if !is_name(&name) {
                    wrong.push(format!("class.{name:?}: {}", grid::name::NotAName));
                    return None;
                }
                let settings = class.settings(&name, &mut wrong);
                Some((name, settings))
            })
            .collect();
        let data = given.data.or(file.data).unwrap_or_else(|| DEFAULT_DATA.into());
        let mut journal = file.journal.settings(data, &mut wrong);
        keep(kept, &mut journal, &mut wrong);
        let report = file.report.settings(&mut wrong);
        match (grpc, http) {
            (Some(grpc), Some(http)) if wrong.is_empty() => Ok(Self {
                journal,
                grpc,
                http,
                tracing: or(given.tracing, file.tracing, DEFAULT_TRACING),
                grid: grid::settings::Settings::new(classes),
                report,
            }),
            (_, _) => Err(ConfigError::Wrong(wrong)),
        }
    }
}

/// How much of the journal is kept, and how much room it needs.
fn keep(
    [low, ballast, age, bytes]: [Option<String>; 4],
    journal: &mut journal::Settings,
    wrong: &mut Vec<String>,
) {
    let age = age.as_deref().unwrap_or(DEFAULT_RETENTION_AGE);
    match amount::duration(age).filter(|age| RETENTION_AGE_RANGE.contains(age)) {
        Some(age) => journal.retention.age = age,
        None => wrong.push(format!(
            "retention.age: {age:?} is not a time from 1s to 36500d, such as 90d or 12h"
        )),
    }
    let mut size = |key: &str, given: Option<String>, default: &str, into: &mut u64| {
        let given = given.as_deref().unwrap_or(default);
        match amount::bytes(given).filter(|bytes| *bytes >= LEAST_ROOM) {
            Some(bytes) => *into = bytes,
            None => wrong.push(format!(
                "{key}: {given:?} is not a size of at least 1MiB, such as {default}"
            )),
        }
    };
    size("disk_low_water", low, DEFAULT_DISK_LOW_WATER, &mut journal.low_water);
    size("ballast", ballast, DEFAULT_BALLAST, &mut journal.ballast_bytes);
    size("retention.bytes", bytes, DEFAULT_RETENTION_BYTES, &mut journal.retention.bytes);
}

impl JournalFile {
    fn settings(self, data: PathBuf, wrong: &mut Vec<String>) -> journal::Settings {
        let mut journal = journal::Settings::new(data);
        let mut size = |key: &str, given: Option<String>, into: &mut u64| {
            if let Some(given) = given {
                match amount::bytes(&given).filter(|bytes| SIZE_RANGE.contains(bytes)) {
                    Some(bytes) => *into = bytes,
                    None => wrong.push(format!(
                        "journal.{key}: {given:?} is not a size from 64KiB to 4GiB, such as 32MiB"
                    )),
                }
            }
        };
        size("commit_file", self.commit_file, &mut journal.commit_file_bytes);
        size("span", self.span, &mut journal.span_bytes);
        match self.checkpoint_records {
            None => {}
            Some(records @ 1_000..) => journal.checkpoint_records = records,
            Some(records) => wrong.push(format!(
                "journal.checkpoint_records: {records} is too few, 1000 is the least"
            )),
        }
        journal
    }
}

impl ClassFile {
    fn settings(self, name: &str, wrong: &mut Vec<String>) -> ClassSettings {
        let mut class = ClassSettings::default();
        let mut limit = |key: &str, given: Option<String>, into: &mut Duration| {
            if let Some(given) = given {
                match limit(&given) {
                    Some(limit) => *into = limit,
                    None => wrong.push(format!(
                        "class.{name}.{key}: {given:?} is not a time from 1s to 12h, such as 90s or 5m"
                    )),
                }
            }
        };
        let mut boot_timeout = class.boot_timeout.unwrap_or_default();
        let is_infinite = self.boot_timeout.as_deref() == Some("infinite");
        limit("boot_timeout", self.boot_timeout.filter(|_| !is_infinite), &mut boot_timeout);
        limit("maintenance_silence", self.maintenance_silence, &mut class.maintenance_silence);
        limit("promise_max", self.promise_max, &mut class.promise_max);
        limit("stuck_progress", self.stuck_progress, &mut class.stuck_after);
        limit("lost_contact", self.lost_contact, &mut class.lost_contact);
        limit("dump_timeout", self.dump_timeout, &mut class.dump_timeout);
        class.boot_timeout = (!is_infinite).then_some(boot_timeout);
        match self.on_stuck.as_deref() {
            None => {}
            Some("warn") => class.on_stuck = OnStuck::Warn,
            Some("fail") => class.on_stuck = OnStuck::Fail,
            Some(other) => {
                wrong.push(format!("class.{name}.on_stuck: {other:?} is not `warn` or `fail`"));
            }
        }
        let or = |given: Option<bool>, default: bool| given.unwrap_or(default);
        class.managed = or(self.managed, class.managed);
        class.ignore_reboots = or(self.ignore_reboots, class.ignore_reboots);
        class.hung_waits_for_boot_deadline =
            or(self.hung_waits_for_boot_deadline, class.hung_waits_for_boot_deadline);
        class
    }
}

fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|error| ConfigError::Malformed { path: path.to_owned(), text: error.to_string() })
}

fn limit(text: &str) -> Option<Duration> {
    amount::duration(text).filter(|limit| LIMIT_RANGE.contains(limit))
}

/// Until there is TLS nobody listens where others could hear.
fn loopback(key: &str, text: &str, wrong: &mut Vec<String>) -> Option<SocketAddr> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    match numeric.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Some(address),
        Ok(address) => {
            wrong.push(format!(
                "{key}: {address} is not on loopback; there is no TLS yet, so gridd listens on \
                 127.0.0.1 or [::1] only"
            ));
            None
        }
        Err(_) => {
            wrong.push(format!(
                "{key}: {text:?} is not an address with a port, such as {DEFAULT_GRPC}"
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests;
