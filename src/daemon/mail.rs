//! Connects the mail sender to the broker: configuration, jobs and delivery reports.
//!
//! Guarantees that mails are sent with the effective settings, and that each delivery is recorded
//! before an orderly stop. Sends nothing itself.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::broker::{BrokerHandle, MailJob};
use crate::config::Settings;
use crate::config::smtp::SmtpConfig;
use crate::grid::MAILS_IN_FLIGHT_MAX;
use crate::grid::model::mail_message::Delivery;
use crate::grpc::MailTest;
use crate::mail::{self, DeliveryReport};
use crate::tasks;

/// The current SMTP configuration; `None`: mail is not configured.
pub(super) type SmtpConfigWatch = watch::Receiver<Option<Arc<SmtpConfig>>>;

/// Follows the effective settings: recipients and their time zones may change.
pub(super) fn watch_config(mut settings: watch::Receiver<Settings>) -> SmtpConfigWatch {
    let (sender, receiver) = watch::channel(settings.borrow_and_update().smtp.clone());
    let following = async move {
        while settings.changed().await.is_ok() {
            let config = settings.borrow_and_update().smtp.clone();
            drop(sender.send_replace(config));
        }
    };
    drop(tasks::spawn("mail settings", following));
    receiver
}

/// The function behind `gridctl mail test`; `None`: mail is not configured.
pub(super) fn mail_test(
    config: &SmtpConfigWatch,
    journal: Uuid,
    broker: &BrokerHandle,
) -> Option<MailTest> {
    config.borrow().as_ref()?;
    let (config, broker) = (config.clone(), broker.clone());
    Some(MailTest::new(move |address| {
        let (config, now) = (config.borrow().clone(), broker.now());
        Box::pin(async move {
            let Some(config) = config else {
                return Err(vec!["mail is no longer configured".to_owned()]);
            };
            let result = mail::send_test_mail(&config, journal, &address, now).await;
            let mut lines = result.transcript;
            lines.push(format!("* {}", result.delivery.reply()));
            match result.delivery {
                Delivery::Sent(_) => Ok(lines),
                Delivery::Deferred(_) | Delivery::Refused(_) => Err(lines),
            }
        })
    }))
}

/// Starts the mail sender and the task that passes its reports to the broker. Both end at shutdown.
pub(super) fn start(
    journal: Uuid,
    config: SmtpConfigWatch,
    mails: mpsc::Receiver<MailJob>,
    broker: BrokerHandle,
    stopping: watch::Receiver<bool>,
) -> [JoinHandle<()>; 2] {
    let (report_sender, mut reports) = mpsc::channel::<DeliveryReport>(MAILS_IN_FLIGHT_MAX);
    let mail_sender = mail::start(journal, config, mails, report_sender, stopping);
    let forwarding = async move {
        while let Some(DeliveryReport { number, attempt, delivery }) = reports.recv().await {
            tracing::debug!(mail = number.0, "the mail sender reported a delivery");
            // A broker that is stopping tries again after its next start.
            if broker.report_delivery(number, attempt, delivery).await.is_err() {
                return;
            }
        }
    };
    [mail_sender, tasks::spawn("mail delivery reports", forwarding)]
}
