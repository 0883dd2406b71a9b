//! Builds the audit records of settings for the grid log.
//!
//! Guarantees that a start lists the settings that are not defaults, and a change the values before
//! it. Limits no sizes: the record does.

use super::change::Change;
use super::key::Changes;
use super::mistake::{Mistake, Origin};
use super::{Setting, Settings};
use crate::grid::in_force::{SettingIs, SettingsInForce};

impl Settings {
    /// The settings that a start records.
    pub fn at_start(&self) -> SettingsInForce {
        let settings = self.in_force().into_iter().filter(|it| it.origin != Origin::Default);
        let settings = settings.map(|Setting { key, value, origin }| SettingIs {
            key: key.into(),
            value: Some(value.into()),
            origin: origin.to_string().into(),
            before: None,
        });
        let (settings, warnings) = (settings.collect(), told(&self.warnings()));
        SettingsInForce { at_start: true, settings, warnings, ..SettingsInForce::default() }
    }

    /// The settings that a reload with these changes records.
    pub fn at_change(&self, changes: &[Change]) -> SettingsInForce {
        let with_policy = |policy: Changes| {
            let selected = changes.iter().filter(|change| change.holds == policy);
            selected.map(setting).collect()
        };
        SettingsInForce {
            at_start: false,
            settings: with_policy(Changes::AtOnce),
            waiting: with_policy(Changes::AtRestart),
            warnings: told(&self.warnings()),
            left_out: 0,
        }
    }
}

fn setting(change: &Change) -> SettingIs {
    let text = |value: &Option<String>| value.as_deref().map(Into::into);
    SettingIs {
        key: change.key.as_str().into(),
        value: text(&change.after),
        origin: change.origin.to_string().into(),
        before: text(&change.before),
    }
}

fn told(warnings: &[Mistake]) -> Vec<Box<str>> {
    warnings.iter().map(|warning| warning.to_string().into()).collect()
}
