//! What changes when the file is read again, and what has to wait for a restart?
//!
//! Guarantees that what can't change while gridd runs stays as it is, and is told with the value it
//! waits for. Changes nothing itself.

use std::collections::BTreeMap;
use std::fmt;

use super::key::Changes;
use super::keys::{self, CLASS_TABLE};
use super::mistake::{Mistakes, Origin};
use super::raw::dotted;
use super::secret::HIDDEN;
use super::{Setting, Settings};

/// A setting that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// Its value before; `None`: its class, or this half of a budget, was not there.
    pub before: Option<String>,
    /// Its value in the new settings; `None`: it is there no more.
    pub after: Option<String>,
    /// Where the new value is from.
    pub origin: Origin,
    /// When it holds.
    pub holds: Changes,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, before, after, origin, holds } = self;
        match after {
            Some(after) => write!(out, "{key} = {after}")?,
            None => write!(out, "{key} is gone")?,
        }
        if let Some(before) = before {
            write!(out, ", was {before}")?;
        }
        if after.is_some() {
            write!(out, " ({origin})")?;
        }
        match holds {
            Changes::AtOnce => Ok(()),
            Changes::AtRestart => write!(out, "; needs a restart, until then it stays as it was"),
        }
    }
}

impl Settings {
    /// What holds after `new` was read while `self` held, and what that changes. Reads files.
    ///
    /// # Errors
    ///
    /// When what changes at once does not go together with what stays as it was until a restart.
    pub fn reloaded(&self, new: Self) -> Result<(Self, Vec<Change>), Mistakes> {
        let changes = self.changes_to(&new);
        let mut held = new;
        let mut before = self.clone();
        for key in keys::SETTINGS.iter().filter(|key| key.changes == Changes::AtRestart) {
            key.place.copy(&mut before, &mut held);
            held.origins.remove(key.path);
            let origin = self.origins.get(key.path).cloned();
            held.origins.extend(origin.map(|origin| (key.path.to_owned(), origin)));
        }
        held.grid = held.grid.with_mail(held.mail.rules());
        let mut mistakes = held.put_mail_together(&[], false);
        for mistake in &mut mistakes {
            mistake.text.push_str("; what needs a restart stays as it was until then");
        }
        if mistakes.is_empty() { Ok((held, changes)) } else { Err(Mistakes(mistakes)) }
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
            // A new class is told by what is its own.
            let is_told = *origin != Origin::Default || !is_new_class(key);
            if before.as_ref() != Some(value) && is_told {
                let (key, after) = (key.clone(), Some(value.clone()));
                let holds = holds(&key);
                rows.push(Change { key, before, after, origin: origin.clone(), holds });
            }
        }
        let new_by_key = by_key(&new_list);
        // A class that is gone is told above, and a budget is told by what holds in its place.
        let is_alone = |it: &&Setting| !it.key.starts_with(CLASS_TABLE);
        for it in old_list.iter().filter(is_alone) {
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

/// A secret that is another one is told, though what is shown of it is the same.
fn secrets(old: &Settings, new: &Settings) -> Vec<Change> {
    let (mut one, mut other) = (old.clone(), new.clone());
    let renewed = keys::SETTINGS.iter().filter(|key| key.place.is_renewed(&mut one, &mut other));
    let keys: Vec<_> = renewed.map(|key| key.path.to_owned()).collect();
    keys.into_iter()
        .map(|key| Change {
            holds: holds(&key),
            before: Some("another one".to_owned()),
            after: Some(HIDDEN.to_owned()),
            origin: new.origin(&key),
            key,
        })
        .collect()
}

/// Everything within a class changes at once.
fn holds(key: &str) -> Changes {
    let found = keys::SETTINGS.iter().find(|it| it.path == key);
    found.map_or(Changes::AtOnce, |it| it.changes)
}
