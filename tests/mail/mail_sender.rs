//! What both servers need: certificates, a courier at work, a message.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use grid_broker::broker::MailJob;
use grid_broker::config::mail::MailSettings;
use grid_broker::config::secret::Secret;
use grid_broker::grid::model::mail_message::{
    Delivery, DeliveryState, MailMessage, MessageNumber, Notice,
};
use grid_broker::grid::values::event::Severity;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::mail::{self, DeliveryReport, MailOrigin, SmtpConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::support::timeout;

/// The password of all accounts.
pub(crate) const PASSWORD: &str = "s3cr3t-of-grid";

/// Whose mails they are.
pub(crate) const JOURNAL: Uuid = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);

/// A certificate for `localhost`, by its own authority, in a folder.
pub(crate) fn certify(folder: &Path) -> CertifiedKey<rcgen::KeyPair> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = generate_simple_self_signed(names).expect("a certificate");
    fs::write(folder.join("cert.pem"), made.cert.pem()).expect("is written");
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("is written");
    made
}

/// The settings of a courier that logs in at `port` of loopback and believes `folder`'s certificate.
pub(crate) fn settings(port: u16, folder: &Path, within: Duration) -> MailSettings {
    MailSettings {
        server: format!("localhost:{port}"),
        ca_file: folder.join("cert.pem").display().to_string(),
        user: "grid".to_owned(),
        password: Some(Secret::from_environment("PASSWORD", PASSWORD).expect("a secret")),
        from: "Grid <grid@example.org>".to_owned(),
        ehlo_name: "broker.example.org".to_owned(),
        timeout: within,
        zone: "Europe/Berlin".to_owned(),
        ..MailSettings::default()
    }
}

/// A courier at work.
pub(crate) struct Courier {
    orders: mpsc::Sender<MailJob>,
    answers: mpsc::Receiver<DeliveryReport>,
    /// Replaces its settings.
    pub(crate) post: watch::Sender<Option<Arc<SmtpConfig>>>,
    stop: watch::Sender<bool>,
    work: JoinHandle<()>,
}

impl Courier {
    /// Starts one; without settings mail is not set up.
    pub(crate) fn start(settings: Option<&MailSettings>) -> Self {
        let post =
            settings.map(|it| Arc::new(SmtpConfig::new(it).expect("the settings are right")));
        let (post, posts) = watch::channel(post);
        let (orders, waiting) = mpsc::channel(64);
        let (tell, answers) = mpsc::channel(64);
        let (stop, stopping) = watch::channel(false);
        let origin = MailOrigin { journal: JOURNAL, ack_key: None };
        let work = mail::start(origin, posts, waiting, tell, stopping);
        Self { orders, answers, post, stop, work }
    }

    /// Orders a message to be brought.
    pub(crate) async fn order(&self, message: MailMessage) {
        self.orders.send(MailJob { message }).await.expect("the courier runs");
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> DeliveryReport {
        let answer = tokio::time::timeout(timeout(), self.answers.recv());
        let answer = answer.await.expect("an answer in time");
        answer.expect("the courier runs")
    }

    /// Brings one message, and checks whose answer comes.
    pub(crate) async fn bring(&mut self, number: u64, to: &str) -> Delivery {
        self.order(message(number, to)).await;
        let answer = self.answer().await;
        assert_eq!((answer.number, answer.attempt), (MessageNumber(number), 1));
        answer.delivery
    }

    /// Stops it; nothing is answered twice.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        let stopped = tokio::time::timeout(timeout(), self.work);
        stopped.await.expect("stops in time").expect("without a panic");
        assert!(self.answers.try_recv().is_err(), "an order was answered twice");
    }
}

/// A message about one hostile alert.
pub(crate) fn message(number: u64, to: &str) -> MailMessage {
    let notice = Notice {
        subject: "shop:main.db1".into(),
        topic: "alert".into(),
        severity: Severity::Fatal,
        at: Timestamp::from_micros(1_795_181_329_000_000),
        text: "größer\r\n.\r\nMAIL FROM:<x@y.z>\r\n\u{202e}<b>".into(),
        record: 12,
        is_resolved: false,
        occurrences: 0,
        alert: None,
        class: "".into(),
        since: None,
        count: 0,
        acknowledged: false,
    };
    MailMessage {
        number: MessageNumber(number),
        recipient: to.into(),
        queued_at: notice.at,
        notices: vec![notice],
        omitted: 0,
        briefs: Vec::new(),
        attempts: 1,
        state: DeliveryState::InFlight,
        due_at: Timestamp::EPOCH,
        retried_at: None,
        last_reply: "".into(),
        digest: None,
        downtime: std::time::Duration::ZERO,
        is_unreachable: false,
    }
}
