//! Connects the page that acknowledges alerts with the broker.
//!
//! Guarantees that the key of links exists only where mails have links, readable for its owner alone.
//! Decides nothing: the core says what is open and what is refused.

use std::sync::Arc;

use crate::broker::BrokerHandle;
use crate::config::Settings;
use crate::grid::log::alert_input::AlertCommand;
use crate::grid::model::alert::ALERT_NOTE_BYTES_MAX;
use crate::grid::state::State;
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;
use crate::http::acknowledge::{
    AckOrder, AckPage, AckRefusal, AcknowledgesAlerts, Answering, LinkedAlert, LinkedAlertState,
};
use crate::identity::ack_link::{AckKey, AckKeyError};

/// Who a record names for a link, after the receiver of its mail.
const BY_LINK: &str = "by the link of a mail";

/// The key of links and their page, if mails have links.
pub(super) fn links(
    settings: &Settings,
    broker: &BrokerHandle,
) -> Result<(Option<AckKey>, Option<AckPage>), AckKeyError> {
    let key = key(settings)?;
    Ok((key.clone(), page(key, broker)))
}

fn key(settings: &Settings) -> Result<Option<AckKey>, AckKeyError> {
    let is_on = !settings.mail.public_url.is_empty();
    is_on.then(|| AckKey::open_or_create(&settings.journal.dir)).transpose()
}

fn page(key: Option<AckKey>, broker: &BrokerHandle) -> Option<AckPage> {
    Some(AckPage::new(key?, Arc::new(BrokerAlerts(broker.clone()))))
}

struct BrokerAlerts(BrokerHandle);

impl AcknowledgesAlerts for BrokerAlerts {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn describe(&self, alerts: Vec<AlertId>) -> Answering<Vec<LinkedAlert>> {
        let broker = self.0.clone();
        Box::pin(async move {
            let described = broker.query(move |grid, _| {
                alerts.into_iter().map(|id| linked_alert(grid.state(), id)).collect()
            });
            described.await.map_err(|error| error.to_string())
        })
    }

    fn acknowledge(&self, order: AckOrder) -> Answering<Vec<AckRefusal>> {
        let broker = self.0.clone();
        Box::pin(async move {
            let by = format!("{} {BY_LINK}", order.receiver);
            let mut refused = Vec::new();
            for alert in order.alerts {
                if let Err(why) = acknowledge(&broker, &by, alert, &order.note).await {
                    refused.push((alert, why));
                }
            }
            Ok(refused)
        })
    }
}

/// Acknowledges one alert, if nobody did so before.
async fn acknowledge(
    broker: &BrokerHandle,
    by: &str,
    alert: AlertId,
    note: &str,
) -> Result<(), String> {
    let note = note[..note.floor_char_boundary(ALERT_NOTE_BYTES_MAX)].into();
    let command = AlertCommand::Acknowledge { until: None, note, is_first: true };
    let answer = broker.alert_command(by, alert, command).await;
    match answer.map_err(|why| why.to_string())? {
        Ok(_) => Ok(()),
        Err(rejection) => Err(rejection.to_string()),
    }
}

fn linked_alert(state: &State, id: AlertId) -> LinkedAlert {
    let Some(alert) = state.alerts().get(id) else {
        return LinkedAlert {
            id,
            appliance: String::new(),
            severity: Severity::Debug,
            text: String::new(),
            since: String::new(),
            state: LinkedAlertState::Unknown,
        };
    };
    let name = alert.appliance.and_then(|number| state.name(number));
    let of_alert = match &alert.acknowledgement {
        _ if !alert.is_open() => LinkedAlertState::Resolved,
        Some(known) => LinkedAlertState::Acknowledged(known.by.to_string()),
        None => LinkedAlertState::Open,
    };
    LinkedAlert {
        id,
        appliance: name.map_or_else(String::new, |name| name.as_str().to_owned()),
        severity: alert.severity,
        text: alert.text.to_string(),
        since: format_time(alert.opened_at),
        state: of_alert,
    }
}

/// In UTC: nobody knows where the reader is.
fn format_time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}
