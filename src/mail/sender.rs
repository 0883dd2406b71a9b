//! Sends mail jobs over a small pool of SMTP connections and reports the result of each.
//!
//! Guarantees that each job is reported once, even if its task panics, unless the mail sender is
//! stopped meanwhile; that there are never more connections than allowed; and that new settings
//! apply from the next job on. Stores no job for later: the core does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::render::{MailOrigin, render};
use crate::broker::MailJob;
use crate::config::smtp::SmtpConfig;
use crate::grid::model::mail_message::{Delivery, MessageNumber};
use crate::mail::smtp_session::{
    OutgoingMessage, SmtpConnection, SmtpFailure, connect, truncated_reply,
};
use crate::tasks;

/// How long an idle connection is kept for the next mail; servers close them after minutes.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Most mails over one connection; some servers do not allow many more.
const MAILS_PER_CONNECTION_MAX: u32 = 50;

/// At a stop, the time for deliveries in progress; others are retried after the next start.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// The result of one attempt to deliver a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The message.
    pub number: MessageNumber,
    /// The attempt.
    pub attempt: u32,
    /// The result.
    pub delivery: Delivery,
}

/// Starts the mail sender of that origin. Without a [`SmtpConfig`] every job is deferred.
///
/// It stops when `stopping` becomes true or `jobs` is closed: deliveries in progress then have a few
/// seconds to finish, and waiting jobs are not reported.
pub fn start(
    origin: MailOrigin,
    config: watch::Receiver<Option<Arc<SmtpConfig>>>,
    jobs: mpsc::Receiver<MailJob>,
    reports: mpsc::Sender<DeliveryReport>,
    stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    tasks::spawn("mail sender", run(origin, config, jobs, reports, stopping))
}

/// The connections of one configuration: permits for new ones, and idle ones.
struct ConnectionPool {
    config: Arc<SmtpConfig>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<SmtpConnection>>,
}

impl ConnectionPool {
    fn new(config: Arc<SmtpConfig>) -> Arc<Self> {
        let seats = Arc::new(Semaphore::new(config.connections));
        Arc::new(Self { config, permits: seats, idle: Mutex::new(Vec::new()) })
    }

    /// Removes the idle connections that match.
    fn take_matching(&self, matches: impl Fn(&SmtpConnection) -> bool) -> Vec<SmtpConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extract_if(.., |connection| matches(connection)).collect()
    }

    /// Removes the most recently used connection, the likeliest to be alive.
    fn take_newest(&self) -> Option<SmtpConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, connection: SmtpConnection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

async fn run(
    origin: MailOrigin,
    mut config: watch::Receiver<Option<Arc<SmtpConfig>>>,
    mut jobs: mpsc::Receiver<MailJob>,
    reports: mpsc::Sender<DeliveryReport>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut pool = config.borrow_and_update().clone().map(ConnectionPool::new);
    loop {
        tokio::select! {
            // In this order: a configuration that came before a job applies to it.
            biased;
            () = stopped(&mut stopping) => break,
            Ok(()) = config.changed() => {
                let new = config.borrow_and_update().clone().map(ConnectionPool::new);
                close_connections(std::mem::replace(&mut pool, new).as_ref(), |_| true);
            }
            next = next_job(&mut jobs, pool.as_ref()) => match (next, &pool) {
                (Some((job, Some(permit))), Some(pool)) => {
                    let work = process_job(Arc::clone(pool), origin.clone(), job, reports.clone(), permit);
                    tasks::spawn("mail", work);
                }
                (Some((job, _)), _) => {
                    let why = "mail is not configured: mail.server is not set";
                    report(&reports, &job, Delivery::Deferred(why.into())).await;
                }
                (None, _) => break,
            },
            () = sleep(IDLE_MAX / 4), if pool.is_some() => {
                close_connections(pool.as_ref(), |idle| idle.used_at.elapsed() > IDLE_MAX);
            }
        }
    }
    if let Some(pool) = pool {
        let permits = u32::try_from(pool.config.connections).unwrap_or(u32::MAX);
        if timeout(STOP_WITHIN, pool.permits.acquire_many(permits)).await.is_err() {
            tracing::warn!(
                "deliveries were in progress at the stop; they are retried, so a mail may be sent twice"
            );
        }
        let quits = pool.take_matching(|_| true).into_iter();
        let quits: Vec<_> = quits.map(|idle| tasks::spawn("mail quit", idle.quit())).collect();
        for quit in quits {
            let _ = quit.await;
        }
    }
}

/// The next job, once there is a permit for it; `None`: the channel is closed.
async fn next_job(
    jobs: &mut mpsc::Receiver<MailJob>,
    pool: Option<&Arc<ConnectionPool>>,
) -> Option<(MailJob, Option<OwnedSemaphorePermit>)> {
    let permit = match pool {
        // The semaphore is never closed.
        Some(pool) => Arc::clone(&pool.permits).acquire_owned().await.ok(),
        None => None,
    };
    jobs.recv().await.map(|job| (job, permit))
}

/// Waits for the stop; a closed channel is one, too.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

/// Closes connections in the background.
fn close_connections(
    pool: Option<&Arc<ConnectionPool>>,
    matches: impl Fn(&SmtpConnection) -> bool,
) {
    for connection in pool.map(|pool| pool.take_matching(matches)).unwrap_or_default() {
        tasks::spawn("mail quit", connection.quit());
    }
}

async fn report(reports: &mpsc::Sender<DeliveryReport>, job: &MailJob, delivery: Delivery) {
    let report =
        DeliveryReport { number: job.message.number, attempt: job.message.attempts, delivery };
    // The channel is closed only when the broker ends; the mail stays queued then.
    let _ = reports.send(report).await;
}

/// Reports one job, even if its task panics.
async fn process_job(
    pool: Arc<ConnectionPool>,
    origin: MailOrigin,
    job: MailJob,
    reports: mpsc::Sender<DeliveryReport>,
    permit: OwnedSemaphorePermit,
) {
    let work = tasks::spawn("mail delivery", deliver(Arc::clone(&pool), origin, job.clone()));
    let (delivery, connection) = work.await.unwrap_or_else(|_| {
        let why = "the task that sends this mail panicked; see gridd's tracing";
        (Delivery::Deferred(why.into()), None)
    });
    report(&reports, &job, delivery).await;
    match connection {
        Some(connection) if connection.message_count < MAILS_PER_CONNECTION_MAX => {
            pool.put_back(connection);
        }
        Some(connection) => connection.quit().await,
        None => {}
    }
    drop(permit);
}

/// Delivers one job, and returns a connection that can be reused.
async fn deliver(
    pool: Arc<ConnectionPool>,
    origin: MailOrigin,
    job: MailJob,
) -> (Delivery, Option<SmtpConnection>) {
    let config = &pool.config;
    let message = match render(&job.message, &origin, &config.from, &config.style) {
        Ok(message) => message,
        Err(why) => return (Delivery::Refused(truncated_reply(&why.to_string())), None),
    };
    if let Some(idle) = pool.take_newest() {
        match deliver_over(config, idle, &message).await {
            Err(failure) if failure.is_stale_connection() => {}
            other => return to_delivery(config, other),
        }
    }
    let result = match connect(config).await.connection {
        Ok(new) => deliver_over(config, new, &message).await,
        Err(failure) => Err(failure),
    };
    to_delivery(config, result)
}

type DeliverResult = Result<(String, SmtpConnection), SmtpFailure>;

async fn deliver_over(
    config: &SmtpConfig,
    mut connection: SmtpConnection,
    message: &OutgoingMessage,
) -> DeliverResult {
    match connection.deliver(config, message).await {
        Ok(reply) => Ok((reply, connection)),
        Err(failure) => {
            // After anything but an acceptance the server may be in any state.
            tasks::spawn("mail quit", connection.quit());
            Err(failure)
        }
    }
}

fn to_delivery(config: &SmtpConfig, result: DeliverResult) -> (Delivery, Option<SmtpConnection>) {
    match result {
        Ok((reply, connection)) => (Delivery::Sent(truncated_reply(&reply)), Some(connection)),
        Err(failure) => (failure.delivery(&config.endpoint()), None),
    }
}
