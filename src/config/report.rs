//! The table `[report]`: output of Guru Meditation Reports, and the trigger file besides SIGUSR2.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of Guru Meditation Reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// The folder; `None`: standard error.
    pub log_dir: Option<PathBuf>,
    /// How many are stored there.
    pub keep: u64,
    /// Touching it requests a report.
    pub trigger_file: Option<PathBuf>,
    /// How often it is checked.
    pub trigger_interval: Duration,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self {
            log_dir: None,
            keep: 20,
            trigger_file: None,
            trigger_interval: Duration::from_secs(1),
        }
    }
}
