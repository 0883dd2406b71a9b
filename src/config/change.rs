//! Compares old and reloaded settings: what applies at once, and what needs a restart.
//!
//! Guarantees that settings that cannot change while gridd runs keep their old values, and are
//! reported with their new ones. Changes nothing itself.

use std::collections::BTreeMap;
use std::fmt;

use super::key::Changes;
use super::keys::{self, CLASS_TABLE};
use super::mistake::{Mistakes, Origin};
use super::raw::dotted;
use super::secret::HIDDEN;
use super::{Setting, Settings};

/// A setting whose value changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// Its value before; `None`: its class, or this half of a budget, did not exist.
    pub before: Option<String>,
    /// Its value in the new settings; `None`: it was removed.
    pub after: Option<String>,
    /// The source of the new value.
    pub origin: Origin,
    /// When the new value applies.
    pub holds: Changes,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, after, origin, holds } = self;
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
        match holds {
            Changes::AtOnce => Ok(()),
            Changes::AtRestart => {
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
    pub fn reloaded(&self, new: Self) -> Result<(Self, Vec<Change>), Mistakes> {
        let changes = self.changes_to(&new);
        let mut effective = new;
        let mut before = self.clone();
        for key in keys::SETTINGS.iter().filter(|key| key.changes == Changes::AtRestart) {
            key.place.copy(&mut before, &mut effective);
            effective.origins.remove(key.path);
            let origin = self.origins.get(key.path).cloned();
            effective.origins.extend(origin.map(|origin| (key.path.to_owned(), origin)));
        }
        effective.grid = effective.grid.with_mail(effective.mail.rules());
        let mut errors = effective.put_mail_together(&[], false);
        for error in &mut errors {
            error.text.push_str("; settings that need a restart keep their old values until then");
        }
        if errors.is_empty() { Ok((effective, changes)) } else { Err(Mistakes(errors)) }
    }

    fn changes_to(&self, new: &Self) -> Vec<Change> {
        let (old_list, new_list) = (self.in_force(), new.in_force());
        let mut changes = classes(self, new);
        changes.extend(secrets(self, new));
        let is_new_class = |key: &str| {
            let new_classes = changes.iter().filter(|change| change.before.is_none());
            new_classes
                .map(|change| format!("{}.", change.key))
                .any(|class| key.starts_with(&class))
        };
        let mut rows = Vec::new();
        let old_by_key: BTreeMap<_, _> = by_key(&old_list);
        for Setting { key, value, origin } in &new_list {
            let before = old_by_key.get(key.as_str()).map(|it| it.value.clone());
            // Of a new class only the values that it sets are reported.
            let is_reported = *origin != Origin::Default || !is_new_class(key);
            if before.as_ref() != Some(value) && is_reported {
                let (key, after) = (key.clone(), Some(value.clone()));
                let holds = holds(&key);
                rows.push(Change { key, before, after, origin: origin.clone(), holds });
            }
        }
        let new_by_key = by_key(&new_list);
        // A removed class is reported above, and a removed budget by the value that replaces it.
        let is_no_class = |it: &&Setting| !it.key.starts_with(CLASS_TABLE);
        for it in old_list.iter().filter(is_no_class) {
            if !new_by_key.contains_key(it.key.as_str()) {
                rows.push(gone(it.key.clone(), Some(it.value.clone())));
            }
        }
        changes.extend(rows);
        changes
    }
}

fn by_key(settings: &[Setting]) -> BTreeMap<&str, &Setting> {
    settings.iter().map(|it| (it.key.as_str(), it)).collect()
}

fn gone(key: String, before: Option<String>) -> Change {
    Change { holds: holds(&key), key, before, after: None, origin: Origin::Default }
}

fn classes(old: &Settings, new: &Settings) -> Vec<Change> {
    let key = |name: &str| dotted(&[CLASS_TABLE, name]);
    let old_names = old.grid.class_names().filter(|name| new.grid.class(name).is_none());
    let mut changes: Vec<_> =
        old_names.map(|name| gone(key(name), Some("a class".to_owned()))).collect();
    let new_names = new.grid.class_names().filter(|name| old.grid.class(name).is_none());
    changes.extend(new_names.map(|name| Change {
        key: key(name),
        before: None,
        after: Some("a class".to_owned()),
        origin: new.origin_of_class(name),
        holds: Changes::AtOnce,
    }));
    changes
}

/// A changed secret is reported, although its redacted value is the same.
fn secrets(old: &Settings, new: &Settings) -> Vec<Change> {
    let (mut one, mut other) = (old.clone(), new.clone());
    let changed = keys::SETTINGS.iter().filter(|key| key.place.is_renewed(&mut one, &mut other));
    let keys: Vec<_> = changed.map(|key| key.path.to_owned()).collect();
    keys.into_iter()
        .map(|key| Change {
            holds: holds(&key),
            before: Some("another secret".to_owned()),
            after: Some(HIDDEN.to_owned()),
            origin: new.origin(&key),
            key,
        })
        .collect()
}

/// All settings within a class apply at once.
fn holds(key: &str) -> Changes {
    let found = keys::SETTINGS.iter().find(|it| it.path == key);
    found.map_or(Changes::AtOnce, |it| it.changes)
}
