//! Reads settings from environment variables.
//!
//! Guarantees that each variable that begins with `GRIDD_` is a setting, is read elsewhere by
//! design, or is reported as an error. A variable that Kubernetes or Docker sets for a service named
//! `gridd`, `gridd-http` or the like is none of these and is ignored.

use std::ffi::OsString;

use super::crash_dump::{APPLIANCE_SETTINGS, APPLIANCE_TABLE};
use super::keys::{
    CLASS_TABLE, OTHER_VARIABLES, PREFIX, class_settings, has_named_tables, key_kind, settings,
    variable_name,
};
use super::route::{ROUTE_SETTINGS, ROUTE_TABLE};
use super::webhook::{WEBHOOK_SETTINGS, WEBHOOK_TABLE};
use crate::config::error::{ConfigError, Origin};
use crate::config::raw_value::{RawSetting, RawValue};
use crate::show::escape::excerpt;
use crate::show::suggest::suggest;

/// Reads all our variables; of two that set the same budget the more specific one comes last.
pub(super) fn read(environment: &[(String, OsString)]) -> (Vec<RawSetting>, Vec<ConfigError>) {
    let (mut settings, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        if !name.starts_with(PREFIX) || OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        let origin = Origin::Environment(excerpt(name));
        let error = |text: String| ConfigError { origin: origin.clone(), key: String::new(), text };
        match (key_path(name), value.to_str()) {
            (Err(_), value) if is_service_link(name, value) => {}
            (Err(text), _) => errors.push(error(text)),
            (Ok(_), None) => errors.push(error("its value is not UTF-8".to_owned())),
            (Ok(path), Some(value)) => {
                let raw = RawValue::Untyped(value.to_owned());
                settings.push(RawSetting { path, raw, origin: origin.clone() });
            }
        }
    }
    settings.sort_by(|a, b| (a.path.len(), &a.path).cmp(&(b.path.len(), &b.path)));
    errors.sort_by(|a, b| a.origin.cmp(&b.origin));
    (settings, errors)
}

/// Whether Kubernetes or Docker sets such a variable for each service, by its name in upper case:
/// `GRIDD_HTTP_SERVICE_HOST`, `GRIDD_HTTP_SERVICE_PORT_PAGES`, `GRIDD_HTTP_PORT=tcp://...`,
/// `GRIDD_HTTP_PORT_7480_TCP_ADDR`. A port without a protocol is a misspelt setting.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_service_link(name: &str, value: Option<&str>) -> bool {
    let is_url = value.is_some_and(|value| value.contains("://"));
    name == "GRIDD_PORT"
        || suffixes_after(name, "_SERVICE_HOST").any(str::is_empty)
        || suffixes_after(name, "_SERVICE_PORT")
            .any(|rest| rest.is_empty() || rest.starts_with('_'))
        || suffixes_after(name, "_PORT")
            .any(|rest| rest.is_empty() && is_url || is_port_suffix(rest))
}

/// The text after each `marker`: the service's own name may contain it too.
fn suffixes_after<'a>(name: &'a str, marker: &'a str) -> impl Iterator<Item = &'a str> {
    name.match_indices(marker).map(move |(at, _)| &name[at + marker.len()..])
}

/// `_7480_TCP`, optionally followed by a part such as `_ADDR`.
fn is_port_suffix(rest: &str) -> bool {
    let mut parts = rest.split('_').skip(1);
    let number = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    let protocol = parts.next().is_some_and(|part| ["TCP", "UDP", "SCTP"].contains(&part));
    let part = parts.next().is_none_or(|part| ["PROTO", "PORT", "ADDR"].contains(&part));
    number && protocol && part && parts.next().is_none()
}

fn key_path(name: &str) -> Result<Vec<String>, String> {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_spelt = variable_name(&parts).is_some_and(|variable| variable == name);
    if is_spelt && key_kind(&path).is_setting {
        return Ok(path);
    }
    let class = match path.as_slice() {
        [first, name, ..] if has_named_tables(first) && !name.is_empty() => name,
        _ => "default",
    };
    let all = variable_names(class);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Err(match suggest(name, &all) {
        Some(meant) => format!("there is no such setting; did you mean {meant}?"),
        None => format!(
            "there is no such setting; a name is {PREFIX} and a key's path in upper case, with two \
             _ between its parts, such as GRIDD_RETENTION__AGE"
        ),
    })
}

/// All environment variables; those of tables with names for the one called `name`.
fn variable_names(name: &str) -> Vec<String> {
    let name_of = |path: &str, table: Option<&str>| {
        let table = table.map(|table| [table, name]);
        variable_name(&table.into_iter().flatten().chain(path.split('.')).collect::<Vec<_>>())
    };
    let outside = settings().filter_map(|key| name_of(key.path, None));
    let within = class_settings().filter_map(|key| name_of(key.path, Some(CLASS_TABLE)));
    let own = APPLIANCE_SETTINGS.iter();
    let own = own.filter_map(|key| name_of(key.path, Some(APPLIANCE_TABLE)));
    let hooks = WEBHOOK_SETTINGS.iter();
    let hooks = hooks.filter_map(|key| name_of(key.path, Some(WEBHOOK_TABLE)));
    let routes = ROUTE_SETTINGS.iter().filter_map(|key| name_of(key.path, Some(ROUTE_TABLE)));
    let other = OTHER_VARIABLES.map(str::to_owned);
    outside.chain(within).chain(own).chain(hooks).chain(routes).chain(other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_of_kubernetes_are_ignored() {
        let mut variables = Vec::new();
        for service in
            ["GRIDD", "GRIDD_HTTP", "GRIDD_GRPC", "GRIDD_MAIL", "GRIDD_PORT_1", "GRIDD_X_SERVICE"]
        {
            for (end, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_PORT", "7443"),
                ("SERVICE_PORT_GRPC_WEB", "7443"),
                ("PORT", "tcp://10.0.0.1:7443"),
                ("PORT_7443_TCP", "tcp://10.0.0.1:7443"),
                ("PORT_7443_TCP_PROTO", "tcp"),
                ("PORT_7443_TCP_PORT", "7443"),
                ("PORT_7443_TCP_ADDR", "10.0.0.1"),
                ("PORT_53_UDP", "udp://10.0.0.1:53"),
            ] {
                variables.push((format!("{service}_{end}"), OsString::from(value)));
            }
        }
        let (settings, errors) = read(&variables);
        assert_eq!((settings.len(), errors), (0, Vec::new()));
    }

    #[test]
    fn variables_similar_to_service_links_are_not_ignored() {
        for (name, value, is_setting) in [
            ("GRIDD_HTTP", "127.0.0.1:1", true),
            ("GRIDD_CLASS__A_SERVICE_PORT_B__MANAGED", "true", true),
            ("GRIDD_HTTP_PORT", "7480", false),
            ("GRIDD_HTTP_PORT_X_TCP", "1", false),
            ("GRIDD_GRPC_HOST", "10.0.0.1", false),
            ("GRIDD_SERVICE", "1", false),
        ] {
            let (settings, errors) = read(&[(name.to_owned(), value.into())]);
            assert_eq!(
                (settings.len(), errors.len()),
                (is_setting.into(), (!is_setting).into()),
                "{name}"
            );
        }
    }
}
