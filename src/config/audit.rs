//! Builds the audit records of settings for the grid log.
//!
//! Guarantees that a start lists the settings that are not defaults, and a change the values before
//! it. Limits no sizes: the record does.

use super::change::SettingChange;
use super::key::ReloadPolicy;
use super::{EffectiveSetting, Settings};
use crate::config::error::{ConfigError, Origin};
use crate::grid::log::applied_settings::{AppliedSetting, AppliedSettings};

impl Settings {
    /// The settings that a start records.
    pub fn applied_at_start(&self) -> AppliedSettings {
        let settings = self.effective().into_iter().filter(|it| it.origin != Origin::Default);
        let settings = settings.map(|EffectiveSetting { key, value, origin }| AppliedSetting {
            key: key.into(),
            value: Some(value.into()),
            origin: origin.to_string().into(),
            previous: None,
        });
        let (settings, warnings) = (settings.collect(), warning_texts(&self.warnings()));
        AppliedSettings { is_startup: true, settings, warnings, ..AppliedSettings::default() }
    }

    /// The settings that a reload with these changes records.
    pub fn applied_at_reload(&self, changes: &[SettingChange]) -> AppliedSettings {
        let with_policy = |policy: ReloadPolicy| {
            let selected = changes.iter().filter(|change| change.policy == policy);
            selected.map(applied_setting).collect()
        };
        AppliedSettings {
            is_startup: false,
            settings: with_policy(ReloadPolicy::Live),
            pending_restart: with_policy(ReloadPolicy::Restart),
            warnings: warning_texts(&self.warnings()),
            omitted: 0,
        }
    }
}

fn applied_setting(change: &SettingChange) -> AppliedSetting {
    let text = |value: &Option<String>| value.as_deref().map(Into::into);
    AppliedSetting {
        key: change.key.as_str().into(),
        value: text(&change.after),
        origin: change.origin.to_string().into(),
        previous: text(&change.before),
    }
}

fn warning_texts(warnings: &[ConfigError]) -> Vec<Box<str>> {
    warnings.iter().map(|warning| warning.to_string().into()).collect()
}
