//! The table `[report]`: where Guru Meditation Reports go, and what asks for one besides SIGUSR2.

use std::path::PathBuf;
use std::time::Duration;

/// Where reports go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportSettings {
    /// The folder; `None`: standard error.
    pub log_dir: Option<PathBuf>,
    /// How many are kept there.
    pub keep: u64,
    /// Touching it asks for a report.
    pub trigger_file: Option<PathBuf>,
    /// How often it is looked at.
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
