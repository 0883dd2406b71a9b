//! The table `[report]`: where Guru Meditation Reports go, and what asks for one besides SIGUSR2.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::amount;
use crate::guru_meditation::LogDir;

/// How many reports are kept if nobody says otherwise.
pub const DEFAULT_KEEP: usize = 20;

/// How often the trigger file is looked at if nobody says otherwise.
pub const DEFAULT_TRIGGER_INTERVAL: &str = "1s";

/// Where reports go, as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// The folder; `None`: standard error.
    pub log_dir: Option<LogDir>,
    /// Touching it asks for a report.
    pub trigger_file: Option<PathBuf>,
    /// How often it is looked at.
    pub trigger_interval: Duration,
}

/// The same as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportFile {
    log_dir: Option<PathBuf>,
    keep: Option<usize>,
    trigger_file: Option<PathBuf>,
    trigger_interval: Option<String>,
}

impl ReportFile {
    pub(super) fn settings(self, wrong: &mut Vec<String>) -> ReportSettings {
        let keep = self.keep.unwrap_or(DEFAULT_KEEP);
        if !(1..=10_000).contains(&keep) {
            wrong.push(format!("report.keep: {keep} is not a number of reports from 1 to 10000"));
        }
        let given = self.trigger_interval.as_deref().unwrap_or(DEFAULT_TRIGGER_INTERVAL);
        let interval = amount::duration(given)
            .filter(|it| (Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(it));
        if interval.is_none() {
            wrong.push(format!(
                "report.trigger_interval: {given:?} is not a time from 1s to 1h, such as 1s"
            ));
        }
        let log_dir =
            self.log_dir.map(|folder| LogDir { folder, service: "gridd".to_owned(), keep });
        let trigger_interval = interval.unwrap_or_default();
        ReportSettings { log_dir, trigger_file: self.trigger_file, trigger_interval }
    }
}
