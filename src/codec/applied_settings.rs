//! Encodes and decodes the settings that were applied.
//!
//! Guarantees that they read back equal. Does not know which settings there are.

use super::proto;
use crate::grid::log::applied_settings::{AppliedSetting, AppliedSettings};

pub(super) fn encode(it: &AppliedSettings) -> proto::AppliedSettings {
    let AppliedSettings { is_startup, settings, pending_restart, warnings, omitted } = it;
    let one = |AppliedSetting { key, value, origin, previous: before }: &AppliedSetting| {
        proto::AppliedSetting {
            key: key.to_string(),
            value: value.as_ref().map(ToString::to_string),
            origin: origin.to_string(),
            before: before.as_ref().map(ToString::to_string),
        }
    };
    proto::AppliedSettings {
        at_start: *is_startup,
        settings: settings.iter().map(one).collect(),
        pending_restart: pending_restart.iter().map(one).collect(),
        warnings: warnings.iter().map(ToString::to_string).collect(),
        omitted: *omitted,
    }
}

pub(super) fn decode(it: proto::AppliedSettings) -> AppliedSettings {
    let proto::AppliedSettings { at_start, settings, pending_restart, warnings, omitted } = it;
    let one = |proto::AppliedSetting { key, value, origin, before }| AppliedSetting {
        key: key.into(),
        value: value.map(Into::into),
        origin: origin.into(),
        previous: before.map(Into::into),
    };
    AppliedSettings {
        is_startup: at_start,
        settings: settings.into_iter().map(one).collect(),
        pending_restart: pending_restart.into_iter().map(one).collect(),
        warnings: warnings.into_iter().map(Into::into).collect(),
        omitted,
    }
}
