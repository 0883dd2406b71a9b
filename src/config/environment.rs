//! What do the variables of the environment say?
//!
//! Guarantees that each variable that begins with `GRIDD_` is a setting, is read elsewhere by
//! design, or is told as a mistake. A variable that a container's keeper makes for a service named
//! `gridd` is none of these and is left alone.

use std::ffi::OsString;

use super::keys::{CLASS_TABLE, OTHER_VARIABLES, PREFIX, known, variable, variables};
use super::mistake::{Mistake, Origin};
use super::raw::{Raw, Said};
use crate::show::escape::excerpt;
use crate::show::nearest::nearest;

/// Takes all variables of ours; the more particular of two that speak of one budget comes last.
pub(super) fn read(environment: &[(String, OsString)]) -> (Vec<Said>, Vec<Mistake>) {
    let (mut said, mut mistakes) = (Vec::new(), Vec::new());
    for (name, value) in environment {
        if !name.starts_with(PREFIX) || is_anothers(name) {
            continue;
        }
        let origin = Origin::Environment(excerpt(name));
        let mistake = |text: String| Mistake { origin: origin.clone(), key: String::new(), text };
        match (path(name), value.to_str()) {
            (Err(text), _) => mistakes.push(mistake(text)),
            (Ok(_), None) => mistakes.push(mistake("its value is not UTF-8".to_owned())),
            (Ok(path), Some(value)) => {
                let raw = Raw::Untyped(value.to_owned());
                said.push(Said { path, raw, origin: origin.clone() });
            }
        }
    }
    said.sort_by(|a, b| (a.path.len(), &a.path).cmp(&(b.path.len(), &b.path)));
    mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
    (said, mistakes)
}

/// Whether it is no setting of ours and yet no mistake: a flag's own, or one of those that
/// Kubernetes and Docker make for a service of that name (`GRIDD_SERVICE_HOST`, `GRIDD_PORT`,
/// `GRIDD_PORT_7443_TCP`, ...). <https://kubernetes.io/docs/concepts/services-networking/service/>
fn is_anothers(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    OTHER_VARIABLES.contains(&name)
        || rest == "PORT"
        || rest.starts_with("PORT_")
        || rest.starts_with("SERVICE_")
}

fn path(name: &str) -> Result<Vec<String>, String> {
    let rest = name.strip_prefix(PREFIX).unwrap_or(name);
    let path: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_spelt = variable(&parts).is_some_and(|variable| variable == name);
    if is_spelt && known(&path).is_setting {
        return Ok(path);
    }
    let class = match path.as_slice() {
        [first, class, ..] if first == CLASS_TABLE && !class.is_empty() => class,
        _ => "default",
    };
    let all = variables(class);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    Err(match nearest(name, &all) {
        Some(meant) => format!("there is no such setting; did you mean {meant}?"),
        None => format!(
            "there is no such setting; a name is {PREFIX} and a key's path in upper case, with two \
             _ between its parts, such as GRIDD_RETENTION__AGE"
        ),
    })
}
