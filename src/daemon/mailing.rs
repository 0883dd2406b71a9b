//! Connects the mail sender to the broker: configuration, jobs and delivery reports.
//!
//! Guarantees that mails are sent with the effective settings, and that each delivery is recorded
//! before an orderly stop. Sends nothing itself.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::broker::{Broker, Deliver};
use crate::config::Settings;
use crate::config::post::Post;
use crate::grid::MAILS_UNDER_WAY;
use crate::grid::mail::Delivery;
use crate::grpc::MailTest;
use crate::mail::{self, Answer};
use crate::tasks;

/// The current SMTP configuration; `None`: mail is not configured.
pub(super) type PostWatch = watch::Receiver<Option<Arc<Post>>>;

/// Follows the effective settings: recipients and their time zones may change.
pub(super) fn follow(mut settings: watch::Receiver<Settings>) -> PostWatch {
    let (sender, receiver) = watch::channel(settings.borrow_and_update().post.clone());
    let following = async move {
        while settings.changed().await.is_ok() {
            let config = settings.borrow_and_update().post.clone();
            drop(sender.send_replace(config));
        }
    };
    drop(tasks::spawn("mail settings", following));
    receiver
}

/// The function behind `gridctl mail test`; `None`: mail is not configured.
pub(super) fn test(config: &PostWatch, journal: Uuid, broker: &Broker) -> Option<MailTest> {
    config.borrow().as_ref()?;
    let (config, broker) = (config.clone(), broker.clone());
    Some(MailTest::new(move |address| {
        let (config, now) = (config.borrow().clone(), broker.now());
        Box::pin(async move {
            let Some(config) = config else {
                return Err(vec!["mail is no longer configured".to_owned()]);
            };
            let result = mail::dialogue(&config, journal, &address, now).await;
            let mut lines = result.lines;
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
    config: PostWatch,
    mails: mpsc::Receiver<Deliver>,
    broker: Broker,
    stopping: watch::Receiver<bool>,
) -> [JoinHandle<()>; 2] {
    let (report_sender, mut reports) = mpsc::channel::<Answer>(MAILS_UNDER_WAY);
    let mail_sender = mail::start(journal, config, mails, report_sender, stopping);
    let forwarding = async move {
        while let Some(Answer { number, attempt, delivery }) = reports.recv().await {
            tracing::debug!(mail = number.0, "the mail sender reported a delivery");
            // A broker that is stopping tries again after its next start.
            if broker.mail_answered(number, attempt, delivery).await.is_err() {
                return;
            }
        }
    };
    [mail_sender, tasks::spawn("mail delivery reports", forwarding)]
}
