//! Both halves for settings that came to hold.

use super::proto;
use crate::grid::in_force::{SettingIs, SettingsInForce};

pub(super) fn write(it: &SettingsInForce) -> proto::SettingsInForce {
    let SettingsInForce { at_start, settings, waiting, warnings, left_out } = it;
    let one = |SettingIs { key, value, origin, before }: &SettingIs| proto::SettingIs {
        key: key.to_string(),
        value: value.as_ref().map(ToString::to_string),
        origin: origin.to_string(),
        before: before.as_ref().map(ToString::to_string),
    };
    proto::SettingsInForce {
        at_start: *at_start,
        settings: settings.iter().map(one).collect(),
        waiting: waiting.iter().map(one).collect(),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        left_out: *left_out,
    }
}

pub(super) fn read(it: proto::SettingsInForce) -> SettingsInForce {
    let proto::SettingsInForce { at_start, settings, waiting, warnings, left_out } = it;
    let one = |proto::SettingIs { key, value, origin, before }| SettingIs {
        key: key.into(),
        value: value.map(Into::into),
        origin: origin.into(),
        before: before.map(Into::into),
    };
    SettingsInForce {
        at_start,
        settings: settings.into_iter().map(one).collect(),
        waiting: waiting.into_iter().map(one).collect(),
        warnings: warnings.into_iter().map(Into::into).collect(),
        left_out,
    }
}
