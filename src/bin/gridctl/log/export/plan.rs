//! Describes an export to a file, so that it can be continued: its filters, its format, its grid log.
//!
//! Guarantees that a description that was written reads back equal, and that one of a newer gridctl is
//! refused. Kept in `FILE.resume`. Does not know how far the export is: the file itself tells.

use std::path::Path;

use grid_broker::contract::proto::RecordFilter;
use serde::{Deserialize, Serialize};

use super::error::ExportError;
use super::lines::ExportFormat;

/// Largest description that is read, in bytes: 64 patterns and a text of the longest kind fit.
const PLAN_BYTES_MAX: u64 = 256 << 10;

/// What is exported, and how.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ExportPlan {
    /// Which records.
    pub(super) filter: RecordFilter,
    /// The format of a line.
    pub(super) format: ExportFormat,
    /// CSV has a line of keys.
    pub(super) has_titles: bool,
    /// The file may be replaced.
    pub(super) may_replace: bool,
    /// A cursor of the grid log, by which the broker knows it again. Empty: not known yet.
    pub(super) cursor: String,
}

/// A plan as it is stored. The fields are those of the contract.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPlan {
    format: String,
    has_titles: bool,
    may_replace: bool,
    cursor: String,
    appliances: Vec<String>,
    kinds: Vec<i32>,
    severity_at_least: i32,
    since: Option<(i64, i32)>,
    until: Option<(i64, i32)>,
    text: String,
    boot_id: String,
}

impl ExportPlan {
    /// The plan as a line of JSON.
    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        let RecordFilter { appliances, kinds, severity_at_least, since, until, text, boot_id } =
            self.filter.clone();
        let pair = |time: prost_types::Timestamp| (time.seconds, time.nanos);
        let stored = StoredPlan {
            format: self.format.name().to_owned(),
            has_titles: self.has_titles,
            may_replace: self.may_replace,
            cursor: self.cursor.clone(),
            appliances,
            kinds,
            severity_at_least,
            since: since.map(pair),
            until: until.map(pair),
            text,
            boot_id,
        };
        Ok(serde_json::to_string(&stored)? + "\n")
    }

    fn from_json(json: &str) -> Result<Self, String> {
        let stored: StoredPlan = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let format = ExportFormat::from_name(&stored.format)
            .ok_or_else(|| format!("the format {} is unknown", stored.format))?;
        let time = |(seconds, nanos)| prost_types::Timestamp { seconds, nanos };
        let filter = RecordFilter {
            appliances: stored.appliances,
            kinds: stored.kinds,
            severity_at_least: stored.severity_at_least,
            since: stored.since.map(time),
            until: stored.until.map(time),
            text: stored.text,
            boot_id: stored.boot_id,
        };
        let StoredPlan { has_titles, may_replace, cursor, .. } = stored;
        Ok(Self { filter, format, has_titles, may_replace, cursor })
    }

    /// Reads a description.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is not one.
    pub(super) fn read(path: &Path) -> Result<Self, ExportError> {
        let unusable = |reason| ExportError::Description { path: path.to_owned(), reason };
        let json =
            crate::private_file::read(path, PLAN_BYTES_MAX, crate::private_file::Privacy::Public)
                .map_err(|error| unusable(error.to_string()))?;
        Self::from_json(&json).map_err(unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_equal_and_a_newer_one_is_refused() {
        let plan = ExportPlan {
            filter: RecordFilter {
                appliances: vec!["shop:*".to_owned()],
                kinds: vec![4, 11],
                severity_at_least: 3,
                since: Some(prost_types::Timestamp { seconds: -5, nanos: 7 }),
                until: None,
                text: "\"disk\"\n".to_owned(),
                boot_id: "6f1c".to_owned(),
            },
            format: ExportFormat::Csv,
            has_titles: true,
            may_replace: false,
            cursor: "0000abcd.7".to_owned(),
        };
        let json = plan.to_json().unwrap();
        assert_eq!(ExportPlan::from_json(&json).unwrap(), plan);
        let newer = json.replacen('{', "{\"regions\":[],", 1);
        assert!(ExportPlan::from_json(&newer).unwrap_err().contains("unknown field `regions`"));
        let other = json.replacen("csv", "xml", 1);
        assert!(ExportPlan::from_json(&other).unwrap_err().contains("format xml"));
    }
}
