//! Validates filters of alerts, and matches alerts with them.
//!
//! Guarantees that an invalid filter is rejected with the field's name. Reads no alerts.

use std::collections::BTreeSet;

use globset::GlobSet;
use tonic::Status;

use crate::contract::decode::violation;
use crate::contract::proto::{AlertFilter, Violation};
use crate::contract::{decode_severity, encode, proto};
use crate::grid::model::alert::Alert;
use crate::grid::values::event::Severity;
use crate::grpc::{filter, status};

/// A validated filter.
#[derive(Debug)]
pub(super) struct AlertMatcher {
    names: Option<GlobSet>,
    classes: Option<GlobSet>,
    keys: Option<GlobSet>,
    severity_at_least: Severity,
    of_broker: bool,
    /// Empty: all but resolved ones.
    states: BTreeSet<proto::AlertState>,
    /// Empty: all.
    kinds: BTreeSet<&'static str>,
}

impl AlertMatcher {
    pub(super) fn new(filter: Option<AlertFilter>) -> Result<Self, Status> {
        let AlertFilter { appliances, severity_at_least, of_broker, states, kinds, classes, keys } =
            filter.unwrap_or_default();
        let mut violations = Vec::new();
        let names = filter::patterns("filter.appliances", &appliances, &mut violations);
        let classes = filter::patterns("filter.classes", &classes, &mut violations);
        let keys = filter::patterns("filter.keys", &keys, &mut violations);
        let severity = proto::Severity::try_from(severity_at_least);
        if severity.is_err() {
            violations.push(violation("filter.severity_at_least", "is not a severity"));
        }
        let states = decode_states(&states, &mut violations);
        let kinds = decode_kinds(&kinds, &mut violations);
        if !violations.is_empty() {
            return Err(status::invalid(violations));
        }
        let at_least = severity.ok().and_then(decode_severity).unwrap_or(Severity::Debug);
        Ok(Self { names, classes, keys, severity_at_least: at_least, of_broker, states, kinds })
    }

    /// The names of appliance and class are empty for the broker itself.
    pub(super) fn matches(&self, name: &str, class: &str, alert: &Alert) -> bool {
        let is_in = |globs: &Option<GlobSet>, text: &str| {
            globs.as_ref().is_none_or(|globs| globs.is_match(text))
        };
        let is_about = match alert.appliance {
            None => self.names.is_none() && self.classes.is_none(),
            Some(_) if self.of_broker => false,
            Some(_) => is_in(&self.names, name) && is_in(&self.classes, class),
        };
        let state = || encode::alert::alert_state(alert.state());
        let has_state = match self.states.is_empty() {
            true => alert.is_open(),
            false => self.states.contains(&state()),
        };
        is_about
            && has_state
            && alert.severity >= self.severity_at_least
            && (self.kinds.is_empty() || self.kinds.contains(alert.kind))
            && is_in(&self.keys, &alert.key)
    }
}

fn decode_states(states: &[i32], violations: &mut Vec<Violation>) -> BTreeSet<proto::AlertState> {
    let mut decoded = BTreeSet::new();
    for (state, at) in states.iter().zip(0..) {
        match proto::AlertState::try_from(*state) {
            Ok(proto::AlertState::Unspecified) | Err(_) => {
                violations
                    .push(violation(&format!("filter.states[{at}]"), "is not an alert state"));
            }
            Ok(state) => drop(decoded.insert(state)),
        }
    }
    decoded
}

fn decode_kinds(kinds: &[i32], violations: &mut Vec<Violation>) -> BTreeSet<&'static str> {
    let mut decoded = BTreeSet::new();
    for (kind, at) in kinds.iter().zip(0..) {
        let known = proto::AlertKind::try_from(*kind).ok();
        match known.and_then(encode::alert::alert_kind_name) {
            Some(kind) => drop(decoded.insert(kind)),
            None => {
                violations.push(violation(&format!("filter.kinds[{at}]"), "is not an alert kind"));
            }
        }
    }
    decoded
}
