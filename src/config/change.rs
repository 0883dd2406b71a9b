//! Compares old and reloaded settings: what applies at once, and what needs a restart.
//!
//! Guarantees that settings that cannot change while gridd runs keep their old values, and are
//! reported with their new ones. Changes nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::crash_dump::appliance_table;
use super::key::ReloadPolicy;
use super::keys::{self, CLASS_TABLE, has_named_tables};
use super::route::ROUTE_TABLE;
use super::secret::REDACTED;
use super::webhook::{WEBHOOK_SETTINGS, WEBHOOK_TABLE, webhook_path};
use super::{EffectiveSetting, Settings};
use crate::config::error::{ConfigErrors, Origin};
use crate::config::raw_value::dotted_key;

/// A setting whose value changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// Its key.
    pub key: String,
    /// Its value before; `None`: its class, or this half of a budget, did not exist.
    pub before: Option<String>,
    /// Its value in the new settings; `None`: it was removed.
    pub after: Option<String>,
    /// The source of the new value.
    pub origin: Origin,
    /// When the new value applies.
    pub policy: ReloadPolicy,
}

impl fmt::Display for SettingChange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, after, origin, policy } = self;
        match after {
            Some(after) => write!(out, "{key} = {after}")?,
            None => write!(out, "{key} is removed")?,
        }
        if let Some(before) = before {
            write!(out, ", was {before}")?;
        }
        if after.is_some() {
            write!(out, " ({origin})")?;
        }
        match policy {
            ReloadPolicy::Live => Ok(()),
            ReloadPolicy::Restart => {
                write!(out, "; needs a restart, until then the old value applies")
            }
        }
    }
}

impl Settings {
    /// The effective settings after a reload from `self` to `new`, and what changed. Reads files.
    ///
    /// # Errors
    ///
    /// When the settings that apply at once contradict those that keep their old values until a restart.
    pub fn reload(&self, new: Self) -> Result<(Self, Vec<SettingChange>), ConfigErrors> {
        let changes = self.changes_to(&new);
        let mut effective = new;
        let mut before = self.clone();
        for key in keys::settings().filter(|key| key.reload == ReloadPolicy::Restart) {
            key.accessor.copy(&mut before, &mut effective);
            effective.origins.remove(key.path);
            let origin = self.origins.get(key.path).cloned();
            effective.origins.extend(origin.map(|origin| (key.path.to_owned(), origin)));
        }
        effective.grid = effective.grid.with_mail(Some(effective.mail.notification_rules()));
        let mut errors = effective.configure_smtp(&[], false);
        errors.extend(effective.configure_routes(&errors, false));
        for error in &mut errors {
            error.text.push_str("; settings that need a restart keep their old values until then");
        }
        if errors.is_empty() { Ok((effective, changes)) } else { Err(ConfigErrors(errors)) }
    }

    fn changes_to(&self, new: &Self) -> Vec<SettingChange> {
        let (old_list, new_list) = (self.effective(), new.effective());
        let mut changes = class_changes(self, new);
        changes.extend(appliance_changes(self, new));
        changes.extend(secret_changes(self, new));
        let is_new_class = |key: &str| {
            let new_classes = changes.iter().filter(|change| change.before.is_none());
            new_classes
                .map(|change| format!("{}.", change.key))
                .any(|class| key.starts_with(&class))
        };
        let mut rows = Vec::new();
        let old_by_key: BTreeMap<_, _> = by_key(&old_list);
        for EffectiveSetting { key, value, origin } in &new_list {
            let before = old_by_key.get(key.as_str()).map(|it| it.value.clone());
            // Of a new class only the values that it sets are reported.
            let is_reported = *origin != Origin::Default || !is_new_class(key);
            if before.as_ref() != Some(value) && is_reported {
                let (key, after) = (key.clone(), Some(value.clone()));
                let holds = reload_policy(&key);
                rows.push(SettingChange {
                    key,
                    before,
                    after,
                    origin: origin.clone(),
                    policy: holds,
                });
            }
        }
        let new_by_key = by_key(&new_list);
        // A removed class is reported above, and a removed budget by the value that replaces it.
        let is_in_table = |key: &str| {
            let first = key.split('.').next().unwrap_or_default();
            has_named_tables(first) && ![WEBHOOK_TABLE, ROUTE_TABLE].contains(&first)
        };
        for it in old_list.iter().filter(|it| !is_in_table(&it.key)) {
            if !new_by_key.contains_key(it.key.as_str()) {
                rows.push(removed(it.key.clone(), Some(it.value.clone())));
            }
        }
        changes.extend(rows);
        changes
    }
}

fn by_key(settings: &[EffectiveSetting]) -> BTreeMap<&str, &EffectiveSetting> {
    settings.iter().map(|it| (it.key.as_str(), it)).collect()
}

fn removed(key: String, before: Option<String>) -> SettingChange {
    SettingChange { policy: reload_policy(&key), key, before, after: None, origin: Origin::Default }
}

fn class_changes(old: &Settings, new: &Settings) -> Vec<SettingChange> {
    let key = |name: &str| dotted_key(&[CLASS_TABLE, name]);
    let old_names = old.grid.class_names().filter(|name| new.grid.class(name).is_none());
    let mut changes: Vec<_> =
        old_names.map(|name| removed(key(name), Some("a class".to_owned()))).collect();
    let new_names = new.grid.class_names().filter(|name| old.grid.class(name).is_none());
    changes.extend(new_names.map(|name| SettingChange {
        key: key(name),
        before: None,
        after: Some("a class".to_owned()),
        origin: new.class_origin(name),
        policy: ReloadPolicy::Live,
    }));
    changes
}

/// Appliances that have settings of their own for crash dumps only before or only after.
fn appliance_changes(old: &Settings, new: &Settings) -> Vec<SettingChange> {
    const WHAT: &str = "settings of its own";
    let names = |settings: &Settings| -> BTreeSet<String> {
        settings.grid.crash_dumps().map(|(name, _)| name.to_owned()).collect()
    };
    let (before, after) = (names(old), names(new));
    let gone = before.difference(&after);
    let gone = gone.map(|name| removed(appliance_table(name), Some(WHAT.to_owned())));
    let added = after.difference(&before).map(|name| SettingChange {
        key: appliance_table(name),
        before: None,
        after: Some(WHAT.to_owned()),
        origin: new.table_origin(&appliance_table(name)),
        policy: ReloadPolicy::Live,
    });
    gone.chain(added).collect()
}

/// A changed secret is reported, although its redacted value is the same.
fn secret_changes(old: &Settings, new: &Settings) -> Vec<SettingChange> {
    let (mut one, mut other) = (old.clone(), new.clone());
    let changed =
        keys::settings().filter(|key| key.accessor.is_secret_changed(&mut one, &mut other));
    let mut keys: Vec<_> = changed.map(|key| key.path.to_owned()).collect();
    for (name, before) in &old.webhooks {
        let Some(after) = new.webhooks.get(name) else { continue };
        let (mut before, mut after) = (before.clone(), after.clone());
        let changed = WEBHOOK_SETTINGS
            .iter()
            .filter(|key| key.accessor.is_secret_changed(&mut before, &mut after));
        keys.extend(changed.map(|key| webhook_path(name, key.path)));
    }
    keys.into_iter()
        .map(|key| SettingChange {
            policy: reload_policy(&key),
            before: Some("another secret".to_owned()),
            after: Some(REDACTED.to_owned()),
            origin: new.origin(&key),
            key,
        })
        .collect()
}

/// All settings within a class apply at once.
fn reload_policy(key: &str) -> ReloadPolicy {
    let found = keys::settings().find(|it| it.path == key);
    found.map_or(ReloadPolicy::Live, |it| it.reload)
}
