//! Writes alerts as JSON: in the form of Alertmanager's webhooks, and as its API takes them.
//!
//! Guarantees version 4 of the first form
//! (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>), with every key that
//! it has, and the second as `postableAlerts` of API version 2. Sends nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::entries::AlertEntry;
use crate::grid::values::time::Timestamp;

/// For how long an alert stays open in Alertmanager without another word on it: longer than the longest
/// pause between two notifications of an open one.
const OPEN_FOR: Duration = Duration::from_secs(8 * 86_400);

/// What all alerts of a notification have in common.
#[derive(Clone, Debug)]
pub(super) struct NotificationContext {
    /// The receiver's name.
    pub(super) receiver: String,
    /// The address of our pages; empty: unknown.
    pub(super) external_url: String,
}

/// A notification about `alerts`, of which there is at least one; `truncated` more are left out.
pub(super) fn notification(
    context: &NotificationContext,
    alerts: &[AlertEntry],
    truncated: u64,
) -> Vec<u8> {
    let labels = common(alerts, |alert| &alert.labels);
    // The group is what its alerts share, but for what may change while it is open.
    let group: BTreeMap<_, _> = labels.iter().filter(|it| *it.0 != "severity").collect();
    let is_firing = alerts.iter().any(|alert| alert.ends_at.is_none());
    let listed: Vec<_> = alerts.iter().map(|alert| webhook_alert(context, alert)).collect();
    let whole = json!({
        "version": "4",
        "groupKey": group_key(&group),
        "truncatedAlerts": truncated,
        "status": status(is_firing),
        "receiver": context.receiver,
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": common(alerts, |alert| &alert.annotations),
        "externalURL": context.external_url,
        "alerts": listed,
    });
    whole.to_string().into_bytes()
}

fn webhook_alert(context: &NotificationContext, alert: &AlertEntry) -> Value {
    json!({
        "status": status(alert.ends_at.is_none()),
        "labels": alert.labels,
        "annotations": alert.annotations,
        "startsAt": time(started(alert)),
        // The zero time of Go, which Alertmanager writes for an end that is not there yet.
        "endsAt": time(alert.ends_at.unwrap_or(Timestamp::MIN)),
        "generatorURL": context.external_url,
        "fingerprint": alert.fingerprint(),
    })
}

/// Alerts to push; open ones end by themselves if nothing is heard of them for some days.
pub(super) fn pushed_alerts(
    context: &NotificationContext,
    alerts: &[AlertEntry],
    now: Timestamp,
) -> Vec<u8> {
    let pushed = alerts.iter().map(|alert| {
        let mut one = json!({
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": time(started(alert)),
            "endsAt": time(alert.ends_at.unwrap_or_else(|| now.after(OPEN_FOR))),
        });
        if !context.external_url.is_empty() {
            one["generatorURL"] = json!(context.external_url);
        }
        one
    });
    Value::from_iter(pushed).to_string().into_bytes()
}

/// An alert never ends before it starts: Alertmanager refuses that.
fn started(alert: &AlertEntry) -> Timestamp {
    alert.ends_at.map_or(alert.starts_at, |end| end.min(alert.starts_at))
}

fn status(is_firing: bool) -> &'static str {
    if is_firing { "firing" } else { "resolved" }
}

/// The pairs that all alerts have.
fn common<'a>(
    alerts: &'a [AlertEntry],
    of: impl Fn(&'a AlertEntry) -> &'a BTreeMap<&'static str, String>,
) -> BTreeMap<&'static str, String> {
    let mut all = alerts.iter().map(of);
    let Some(mut common) = all.next().cloned() else { return BTreeMap::new() };
    for other in all {
        common.retain(|key, value| other.get(key) == Some(value));
    }
    common
}

/// The key of a group as Alertmanager writes it: `{}:{alertname="event", key="raid1"}`.
fn group_key(group: &BTreeMap<&&'static str, &String>) -> String {
    let pairs: Vec<_> = group.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", pairs.join(", "))
}

fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default().to_string()
}
