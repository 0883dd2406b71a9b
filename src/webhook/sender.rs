//! Sends jobs of the outbox to webhooks, one at a time each, and reports the result of each.
//!
//! Guarantees that each job is reported once, even if its task panics, unless the sender is stopped
//! meanwhile; that no webhook waits for another one; and that new settings apply from the next job
//! on. Stores no job for later: the core does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::classification::{delivery, is_too_large};
use super::client::{TIME_LIMITS, TimeLimits, post_json};
use super::entries::{AlertEntry, entries, uncounted};
use super::json::{NotificationContext, notification, pushed_alerts};
use super::pushed::PushedAlerts;
use super::stopped;
use crate::broker::MailJob;
use crate::config::webhook::{WebhookConfig, WebhookConfigs, WebhookForm};
use crate::grid::MAILS_IN_FLIGHT_MAX;
use crate::grid::model::mail_message::{Delivery, WEBHOOK_PREFIX};
use crate::grid::values::time::Timestamp;
use crate::mail::DeliveryReport;
use crate::tasks;

/// How often open alerts are pushed again: an Alertmanager that starts again knows none.
const PUSH_AGAIN_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Most alerts in one request of these.
const PUSH_AGAIN_ALERTS_MAX: usize = 64;

/// At a stop, the time for deliveries in progress; others are retried after the next start.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// The effective settings of all webhooks.
#[derive(Clone, Debug, Default)]
pub struct WebhookSenderConfig {
    /// The webhooks by name.
    pub webhooks: Arc<WebhookConfigs>,
    /// The grid's name.
    pub grid: String,
    /// The address of our pages; empty: unknown.
    pub external_url: String,
}

/// What the sender is connected to.
pub struct WebhookSenderParts {
    /// The effective settings.
    pub config: watch::Receiver<WebhookSenderConfig>,
    /// The jobs.
    pub jobs: mpsc::Receiver<MailJob>,
    /// Where results go.
    pub reports: mpsc::Sender<DeliveryReport>,
    /// Broker time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Becomes true when the broker stops.
    pub stopping: watch::Receiver<bool>,
}

/// The times of a sender; tests have shorter ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct SenderTimes {
    pub(super) limits: TimeLimits,
    pub(super) push_again: Duration,
}

/// Starts the sender.
///
/// It stops when `stopping` becomes true or the jobs end: deliveries in progress then have a few seconds
/// to finish, and waiting jobs are not reported.
pub fn start(parts: WebhookSenderParts) -> JoinHandle<()> {
    let times = SenderTimes { limits: TIME_LIMITS, push_again: PUSH_AGAIN_INTERVAL };
    tasks::spawn("webhook sender", run(parts, times))
}

pub(super) async fn run(mut parts: WebhookSenderParts, times: SenderTimes) {
    let mut receivers: BTreeMap<String, mpsc::Sender<MailJob>> = BTreeMap::new();
    let mut working = Vec::new();
    loop {
        let job = tokio::select! {
            biased;
            () = stopped(&mut parts.stopping) => break,
            job = parts.jobs.recv() => job,
        };
        let Some(job) = job else { break };
        let name = webhook_name(&job).to_owned();
        if !parts.config.borrow().webhooks.contains_key(&name) {
            report(&parts.reports, &job, not_configured(&name)).await;
            continue;
        }
        let jobs = receivers.entry(name).or_insert_with_key(|name| {
            // As many as are in flight: there is always room.
            let (sender, jobs) = mpsc::channel(MAILS_IN_FLIGHT_MAX);
            let worker = ReceiverWorker {
                name: name.clone(),
                config: parts.config.clone(),
                reports: parts.reports.clone(),
                now: Arc::clone(&parts.now),
                pushed: PushedAlerts::default(),
                times,
            };
            working.push(tasks::spawn("webhook", worker.run(jobs, parts.stopping.clone())));
            sender
        });
        if let Err(error) = jobs.try_send(job) {
            let why = "too many notifications wait for this webhook";
            report(&parts.reports, &error.into_inner(), Delivery::Deferred(why.into())).await;
        }
    }
    drop(receivers);
    let all = async {
        for worker in working {
            let _ = worker.await;
        }
    };
    if timeout(STOP_WITHIN, all).await.is_err() {
        tracing::warn!(
            "notifications to webhooks were in progress at the stop; they are retried, so one may be \
             sent twice"
        );
    }
}

/// The name of the webhook that a job is for.
fn webhook_name(job: &MailJob) -> &str {
    job.message.recipient.strip_prefix(WEBHOOK_PREFIX).unwrap_or(&job.message.recipient)
}

fn not_configured(name: &str) -> Delivery {
    Delivery::Deferred(format!("webhook.{name} is not configured").into())
}

async fn report(reports: &mpsc::Sender<DeliveryReport>, job: &MailJob, delivery: Delivery) {
    let report =
        DeliveryReport { number: job.message.number, attempt: job.message.attempts, delivery };
    // The channel is closed only when the broker ends; the message stays queued then.
    let _ = reports.send(report).await;
}

/// Sends to one webhook.
struct ReceiverWorker {
    name: String,
    config: watch::Receiver<WebhookSenderConfig>,
    reports: mpsc::Sender<DeliveryReport>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// What it has got, if it is an Alertmanager.
    pushed: PushedAlerts,
    times: SenderTimes,
}

impl ReceiverWorker {
    async fn run(mut self, mut jobs: mpsc::Receiver<MailJob>, mut stopping: watch::Receiver<bool>) {
        let every = self.times.push_again;
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                job = jobs.recv() => match job {
                    Some(job) => self.handle(job, &mut jobs).await,
                    None => return,
                },
                _ = ticks.tick() => self.push_again().await,
            }
        }
    }

    /// Sends one. If the server is away, those that wait behind it are deferred for the same reason:
    /// they would only wait for it, too, and occupy places of others meanwhile.
    async fn handle(&mut self, job: MailJob, jobs: &mut mpsc::Receiver<MailJob>) {
        let result = self.deliver(&job).await;
        report(&self.reports, &job, result.clone()).await;
        if let Delivery::Deferred(_) | Delivery::Unreachable(_) = &result {
            while let Ok(waiting) = jobs.try_recv() {
                report(&self.reports, &waiting, result.clone()).await;
            }
        }
    }

    /// The webhook as it is configured now, and what notifications to it have in common.
    fn current(&self) -> Option<(Arc<WebhookConfig>, NotificationContext, String)> {
        let config = self.config.borrow();
        let webhook = Arc::clone(config.webhooks.get(&self.name)?);
        let (receiver, external_url) = (self.name.clone(), config.external_url.clone());
        Some((webhook, NotificationContext { receiver, external_url }, config.grid.clone()))
    }

    async fn deliver(&mut self, job: &MailJob) -> Delivery {
        let Some((webhook, context, grid)) = self.current() else {
            return not_configured(&self.name);
        };
        let all = entries(&job.message, &grid);
        let (alerts, remembered) = match webhook.form {
            WebhookForm::Webhook => (all, Vec::new()),
            WebhookForm::Alertmanager => {
                let changes = self.pushed.changes(all);
                if changes.is_empty() {
                    let why = "nothing to push: later notifications on all of it came before";
                    return Delivery::Sent(why.into());
                }
                (changes.clone(), changes)
            }
        };
        let attempt = WebhookAttempt {
            webhook,
            context,
            truncated: uncounted(&job.message),
            now: (self.now)(),
            limits: self.times.limits,
        };
        let work = tasks::spawn("webhook delivery", async move { attempt.run(alerts).await });
        let result = work.await.unwrap_or_else(|_| {
            let why = "the task that sends this notification panicked; see gridd's tracing";
            Delivery::Deferred(why.into())
        });
        if let Delivery::Sent(_) = &result {
            self.pushed.remember(remembered);
        }
        result
    }

    /// Pushes all open alerts again.
    async fn push_again(&self) {
        let Some((webhook, context, _)) = self.current() else { return };
        if webhook.form != WebhookForm::Alertmanager {
            return;
        }
        let (limits, now) = (self.times.limits, (self.now)());
        let open: Vec<_> = self.pushed.open().cloned().collect();
        for alerts in open.chunks(PUSH_AGAIN_ALERTS_MAX) {
            let json = pushed_alerts(&context, alerts, now);
            let bytes = json.len();
            let result = post_json(&webhook.target, json, limits).await;
            let result = delivery(&webhook.target.authority, bytes, &result);
            if let Delivery::Deferred(why) | Delivery::Unreachable(why) | Delivery::Refused(why) =
                result
            {
                tracing::warn!(webhook = self.name, "open alerts were not pushed again: {why}");
                return;
            }
        }
    }
}

/// One attempt to deliver a message.
struct WebhookAttempt {
    webhook: Arc<WebhookConfig>,
    context: NotificationContext,
    /// How many notices are counted only.
    truncated: u64,
    now: Timestamp,
    limits: TimeLimits,
}

impl WebhookAttempt {
    /// Sends all; if that is too large, once more in a smaller form.
    async fn run(&self, alerts: Vec<AlertEntry>) -> Delivery {
        if let Ok(result) = self.post(&alerts, self.truncated).await {
            return result;
        }
        let short: Vec<_> = alerts.into_iter().map(AlertEntry::shortened).collect();
        let (first, rest) = short.split_at(short.len().div_ceil(2));
        match self.webhook.form {
            WebhookForm::Webhook => {
                let more = self.truncated.saturating_add(u64::try_from(rest.len()).unwrap_or(0));
                self.post(first, more).await.unwrap_or_else(|refused| refused)
            }
            WebhookForm::Alertmanager => {
                let mut result = self.post(first, 0).await.unwrap_or_else(|refused| refused);
                if matches!(result, Delivery::Sent(_)) && !rest.is_empty() {
                    result = self.post(rest, 0).await.unwrap_or_else(|refused| refused);
                }
                result
            }
        }
    }

    /// Sends these; an error is the refusal of a payload that is too large.
    async fn post(&self, alerts: &[AlertEntry], truncated: u64) -> Result<Delivery, Delivery> {
        let json = match self.webhook.form {
            WebhookForm::Webhook => notification(&self.context, alerts, truncated),
            WebhookForm::Alertmanager => pushed_alerts(&self.context, alerts, self.now),
        };
        let bytes = json.len();
        let target = &self.webhook.target;
        let answer = post_json(target, json, self.limits).await;
        let result = delivery(&target.authority, bytes, &answer);
        if is_too_large(&answer) { Err(result) } else { Ok(result) }
    }
}
