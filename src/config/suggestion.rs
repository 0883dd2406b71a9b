//! Suggests the key that was probably meant.
//!
//! Guarantees that what is suggested exists. Does not know values.

use super::crash_dump::{APPLIANCE_SETTINGS, appliance_path};
use super::keys::{class_path, class_settings, has_named_tables, settings};
use super::route::{ROUTE_SETTINGS, route_path};
use super::webhook::{WEBHOOK_SETTINGS, webhook_path};
use crate::config::raw_value::dotted_key;
use crate::show::suggest::suggest;

/// A suggestion for the unknown key `path`: the key that was probably meant, or all keys of its table.
pub(super) fn suggestion(path: &[String]) -> String {
    let class = match path {
        [first, name, ..] if has_named_tables(first) => name,
        _ => "default",
    };
    let (table, last) = path.split_at(path.len().saturating_sub(1));
    let prefix = if table.is_empty() { String::new() } else { format!("{}.", dotted_key(table)) };
    let last = last.first().map_or("", String::as_str);
    let all = all_paths(class);
    let mut siblings: Vec<&str> = all
        .iter()
        .filter_map(|path| path.strip_prefix(&prefix))
        .filter_map(|rest| rest.split('.').next())
        .collect();
    siblings.dedup();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    // Rather in the same class or appliance than in another one.
    let own = format!("{}.", dotted_key(&path[..path.len().min(2)]));
    let elsewhere = all.iter().filter(|path| path.rsplit('.').next() == Some(last));
    let elsewhere = elsewhere.min_by_key(|path| !path.starts_with(&own)).copied();
    match suggest(last, &siblings).or(elsewhere) {
        Some(meant) => format!("did you mean {meant}?"),
        None if table.is_empty() => format!("there are: {}", siblings.join(", ")),
        None => format!("[{}] has: {}", dotted_key(table), siblings.join(", ")),
    }
}

/// All paths; those of tables with names for the one called `name`.
fn all_paths(name: &str) -> Vec<String> {
    let outside = settings().map(|key| key.path.to_owned());
    let within = class_settings().map(|key| class_path(name, key.path));
    let own = APPLIANCE_SETTINGS.iter().map(|key| appliance_path(name, key.path));
    let hooks = WEBHOOK_SETTINGS.iter().map(|key| webhook_path(name, key.path));
    let routes = ROUTE_SETTINGS.iter().map(|key| route_path(name, key.path));
    outside.chain(within).chain(own).chain(hooks).chain(routes).collect()
}
