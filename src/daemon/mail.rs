//! Connects the mail sender and the webhook sender to the broker: configuration, jobs and delivery
//! reports.
//!
//! Guarantees that notifications are sent with the effective settings, each by the sender of its
//! recipient, and that each delivery is recorded before an orderly stop. Sends nothing itself.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::broker::{BrokerHandle, MailJob};
use crate::config::Settings;
use crate::config::smtp::SmtpConfig;
use crate::grid::MAILS_IN_FLIGHT_MAX;
use crate::grid::model::mail_message::{Delivery, WEBHOOK_PREFIX};
use crate::grpc::MailTest;
use crate::mail::{self, DeliveryReport, MailOrigin};
use crate::metrics::Metrics;
use crate::tasks;
use crate::webhook::{self, WebhookSenderConfig, WebhookSenderParts};

/// The current SMTP configuration; `None`: mail is not configured.
pub(super) type SmtpConfigWatch = watch::Receiver<Option<Arc<SmtpConfig>>>;

/// A part of the effective settings, as it is at any time.
fn follow<T: Send + Sync + 'static>(
    task: &'static str,
    mut settings: watch::Receiver<Settings>,
    part: impl Fn(&Settings) -> T + Send + 'static,
) -> watch::Receiver<T> {
    let (sender, receiver) = watch::channel(part(&settings.borrow_and_update()));
    let following = async move {
        while settings.changed().await.is_ok() {
            let new = part(&settings.borrow_and_update());
            drop(sender.send_replace(new));
        }
    };
    drop(tasks::spawn(task, following));
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
                Delivery::Deferred(_) | Delivery::Unreachable(_) | Delivery::Refused(_) => {
                    Err(lines)
                }
            }
        })
    }))
}

/// Starts the heartbeat with the effective settings.
pub(super) fn start_heartbeat(
    settings: watch::Receiver<Settings>,
    metrics: Metrics,
    broker: BrokerHandle,
    stopping: watch::Receiver<bool>,
) {
    let config = follow("heartbeat settings", settings, |it| it.heartbeat_config.clone());
    let unready = move || {
        let broker = broker.clone();
        async move { broker.unready_reason().await }
    };
    drop(webhook::start_heartbeat(config, metrics, stopping, unready));
}

/// The effective settings of both senders.
pub(super) struct SenderConfigs {
    pub(super) smtp: SmtpConfigWatch,
    pub(super) webhooks: watch::Receiver<WebhookSenderConfig>,
}

impl SenderConfigs {
    /// Follows the effective settings: recipients, their time zones and webhooks may change.
    pub(super) fn watch(settings: watch::Receiver<Settings>) -> Self {
        let smtp = follow("mail settings", settings.clone(), |it| it.smtp.clone());
        let webhooks = follow("webhook settings", settings, |settings| WebhookSenderConfig {
            webhooks: Arc::clone(&settings.webhook_configs),
            grid: settings.mail.grid.clone(),
            external_url: settings.openstack.url.clone(),
        });
        Self { smtp, webhooks }
    }
}

/// Starts the senders of mails and webhooks, as one task, and the task that passes their reports to the
/// broker. Both end at shutdown.
pub(super) fn start(
    origin: MailOrigin,
    config: SenderConfigs,
    jobs: mpsc::Receiver<MailJob>,
    broker: BrokerHandle,
    stopping: watch::Receiver<bool>,
) -> [JoinHandle<()>; 2] {
    let (report_sender, mut reports) = mpsc::channel::<DeliveryReport>(MAILS_IN_FLIGHT_MAX);
    let (mails, mail_jobs) = mpsc::channel(MAILS_IN_FLIGHT_MAX);
    let (hooks, webhook_jobs) = mpsc::channel(MAILS_IN_FLIGHT_MAX);
    let mut mail_sender =
        mail::start(origin, config.smtp, mail_jobs, report_sender.clone(), stopping.clone());
    let clock = broker.clone();
    let mut webhook_sender = webhook::start(WebhookSenderParts {
        config: config.webhooks,
        jobs: webhook_jobs,
        reports: report_sender,
        now: Arc::new(move || clock.now()),
        stopping: stopping.clone(),
    });
    drop(tasks::spawn("notification routes", route_jobs(jobs, mails, hooks)));
    let senders = async move {
        // One that ends by itself ends both, and so the process.
        let other = tokio::select! {
            _ = &mut mail_sender => webhook_sender,
            _ = &mut webhook_sender => mail_sender,
        };
        if *stopping.borrow() {
            let _ = other.await;
        }
    };
    let forwarding = async move {
        while let Some(DeliveryReport { number, attempt, delivery }) = reports.recv().await {
            tracing::debug!(mail = number.0, "the mail sender reported a delivery");
            // A broker that is stopping tries again after its next start.
            if broker.report_delivery(number, attempt, delivery).await.is_err() {
                return;
            }
        }
    };
    [tasks::spawn("senders", senders), tasks::spawn("mail delivery reports", forwarding)]
}

/// Passes each job to the sender of its recipient, until there are no more.
async fn route_jobs(
    mut jobs: mpsc::Receiver<MailJob>,
    mails: mpsc::Sender<MailJob>,
    hooks: mpsc::Sender<MailJob>,
) {
    while let Some(job) = jobs.recv().await {
        let is_webhook = job.message.recipient.starts_with(WEBHOOK_PREFIX);
        let sender = if is_webhook { &hooks } else { &mails };
        // As many as are in flight: there is always room. A sender that has ended ends the process.
        if sender.send(job).await.is_err() {
            return;
        }
    }
}
