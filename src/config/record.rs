//! What does the grid log hear of the settings?
//!
//! Guarantees that a start names what is not as by default, and a change what was before. Bounds
//! nothing: the record does.

use super::change::Change;
use super::key::Changes;
use super::mistake::{Mistake, Origin};
use super::{Setting, Settings};
use crate::grid::in_force::{SettingIs, SettingsInForce};

impl Settings {
    /// What a start says.
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

    /// What is said when these changes led to the settings.
    pub fn at_change(&self, changes: &[Change]) -> SettingsInForce {
        let those = |holds: Changes| {
            let those = changes.iter().filter(|change| change.holds == holds);
            those.map(setting).collect()
        };
        SettingsInForce {
            at_start: false,
            settings: those(Changes::AtOnce),
            waiting: those(Changes::AtRestart),
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
