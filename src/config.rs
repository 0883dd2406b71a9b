//! Which settings hold? Flag over environment over file over default.
//!
//! Two types: the [`File`] as written, which refuses unknown keys, becomes the [`Settings`] as
//! meant, which cannot hold nonsense. Guarantees that every mistake is told with its key and what is
//! allowed. Opens nothing but the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

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

/// What a file of the journal may be given, in bytes.
const SIZE_RANGE: RangeInclusive<u64> = 64 << 10..=4 << 30;

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
    #[serde(default)]
    journal: JournalFile,
    #[serde(default)]
    class: BTreeMap<String, ClassFile>,
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
        let journal = file.journal.settings(data, &mut wrong);
        match (grpc, http) {
            (Some(grpc), Some(http)) if wrong.is_empty() => Ok(Self {
                journal,
                grpc,
                http,
                tracing: or(given.tracing, file.tracing, DEFAULT_TRACING),
                grid: grid::settings::Settings::new(classes),
            }),
            (_, _) => Err(ConfigError::Wrong(wrong)),
        }
    }
}

impl JournalFile {
    fn settings(self, data: PathBuf, wrong: &mut Vec<String>) -> journal::Settings {
        let mut journal = journal::Settings::new(data);
        let mut size = |key: &str, given: Option<String>, into: &mut u64| {
            if let Some(given) = given {
                match size(&given) {
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
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok().filter(|limit| LIMIT_RANGE.contains(limit))
}

/// The bytes of `64KiB`, `32MiB`, `1GiB`.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let shift = match text[digits.len()..].trim_start() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    let bytes = digits.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    SIZE_RANGE.contains(&bytes).then_some(bytes)
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
mod tests {
    use super::*;

    fn wrong(given: Given) -> String {
        Settings::new(given).expect_err("is taken").to_string()
    }

    fn file(text: &str) -> (tempfile::NamedTempFile, Given) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("writes");
        let given = Given { config: Some(file.path().to_owned()), ..Given::default() };
        (file, given)
    }

    #[test]
    fn the_shipped_file_is_the_defaults_and_names_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/gridd.toml");
        let given = Given { config: Some(path.clone()), ..Given::default() };
        let shipped = Settings::new(given).expect("the shipped file is right");
        let defaults = Settings::new(Given::default()).expect("the defaults are right");
        assert_eq!(format!("{shipped:?}"), format!("{defaults:?}"));
        let text = std::fs::read_to_string(path).expect("reads");
        for key in [
            "data",
            "grpc",
            "http",
            "tracing",
            "commit_file",
            "span",
            "checkpoint_records",
            "managed",
            "boot_timeout",
            "maintenance_silence",
            "promise_max",
            "hung_waits_for_boot_deadline",
            "stuck_progress",
            "on_stuck",
            "ignore_reboots",
            "lost_contact",
            "dump_timeout",
        ] {
            let is_there = text.lines().any(|line| line.starts_with(&format!("{key} = ")));
            assert!(is_there, "{key} is not in the shipped file");
        }
    }

    #[test]
    fn listeners_off_loopback_are_refused() {
        let given = Given { grpc: Some("0.0.0.0:7443".into()), ..Given::default() };
        assert_eq!(
            wrong(given),
            "grpc: 0.0.0.0:7443 is not on loopback; there is no TLS yet, so gridd listens on \
             127.0.0.1 or [::1] only"
        );
    }

    #[test]
    fn a_flag_goes_before_the_file() {
        let (_file, mut given) = file("grpc = \"127.0.0.1:1\"\nhttp = \"[::1]:2\"\n");
        given.grpc = Some("localhost:3".into());
        let settings = Settings::new(given).expect("is right");
        assert_eq!((settings.grpc.port(), settings.http.port()), (3, 2));
    }

    #[test]
    fn all_wrong_values_are_told_at_once() {
        let (_file, given) = file(
            "grpc = \"here\"\n[class.web]\nboot_timeout = \"0s\"\non_stuck = \"ask\"\n\
             [class.slow]\nboot_timeout = \"infinite\"\n",
        );
        assert_eq!(
            wrong(given),
            "grpc: \"here\" is not an address with a port, such as 127.0.0.1:7443\n\
             class.web.boot_timeout: \"0s\" is not a time from 1s to 12h, such as 90s or 5m\n\
             class.web.on_stuck: \"ask\" is not `warn` or `fail`"
        );
    }

    #[test]
    fn sizes_of_the_journal_have_units_and_bounds() {
        let (_file, given) = file("[journal]\nspan = \"64KiB\"\ncommit_file = \"2 MiB\"\n");
        let journal = Settings::new(given).expect("is right").journal;
        assert_eq!((journal.span_bytes, journal.commit_file_bytes), (64 << 10, 2 << 20));
        let (_file, given) =
            file("[journal]\nspan = \"1MB\"\ncommit_file = \"5GiB\"\ncheckpoint_records = 999\n");
        assert_eq!(
            wrong(given),
            "journal.commit_file: \"5GiB\" is not a size from 64KiB to 4GiB, such as 32MiB\n\
             journal.span: \"1MB\" is not a size from 64KiB to 4GiB, such as 32MiB\n\
             journal.checkpoint_records: 999 is too few, 1000 is the least"
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let (_file, given) = file("grpc = \"127.0.0.1:1\"\n[class.web]\nboot_time = \"5m\"\n");
        let text = wrong(given);
        assert!(text.contains("line 3") && text.contains("boot_time"), "{text}");
    }
}
