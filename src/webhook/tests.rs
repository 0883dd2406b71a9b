//! Tests of the sender against a server that misbehaves as told, and of what it sends.

mod heartbeat;
mod payload;
mod server;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use self::server::{Script, TestServer, answers};
use super::client::{TIME_LIMITS, TimeLimits, get, post_json};
use super::sender::{SenderTimes, WebhookSenderConfig, WebhookSenderParts, run};
use crate::broker::MailJob;
use crate::config::http_target::HttpTarget;
use crate::config::webhook::{WebhookConfig, WebhookForm};
use crate::grid::model::mail_message::{
    Delivery, DeliveryState, MailMessage, MessageNumber, Notice,
};
use crate::grid::values::event::Severity;
use crate::grid::values::id::AlertId;
use crate::grid::values::time::Timestamp;
use crate::mail::DeliveryReport;
use crate::tasks;
use crate::test_timeout::timeout;

/// The moment of all tests, in seconds.
const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((NOW + seconds) * 1_000_000)
}

fn notice(subject: &str, topic: &str, severity: Severity) -> Notice {
    Notice {
        subject: subject.into(),
        topic: topic.into(),
        severity,
        at: at(0),
        text: format!("{topic} of {subject}").into(),
        record: 7,
        is_resolved: false,
        occurrences: 0,
        alert: Some(AlertId(4)),
        class: "web".into(),
        since: None,
        count: 3,
        acknowledged: false,
    }
}

fn resolved(notice: &Notice, seconds: i64) -> Notice {
    Notice { is_resolved: true, at: at(seconds), ..notice.clone() }
}

fn message(number: u64, recipient: &str, notices: Vec<Notice>) -> MailMessage {
    MailMessage {
        number: MessageNumber(number),
        recipient: recipient.into(),
        queued_at: at(0),
        notices,
        omitted: 0,
        briefs: Vec::new(),
        attempts: 1,
        state: DeliveryState::InFlight,
        due_at: at(30),
        retried_at: None,
        last_reply: Box::default(),
        digest: None,
        downtime: Duration::ZERO,
        is_unreachable: false,
    }
}

/// A running sender with its two ends.
struct Sender {
    jobs: mpsc::Sender<MailJob>,
    reports: mpsc::Receiver<DeliveryReport>,
    config: watch::Sender<WebhookSenderConfig>,
    stop: watch::Sender<bool>,
    ended: tokio::task::JoinHandle<()>,
}

/// Limits so long that they never end a test that passes.
fn patient() -> SenderTimes {
    let limits = TimeLimits { connect: timeout(), whole: timeout() };
    SenderTimes { limits, push_again: Duration::from_secs(86_400) }
}

fn start(webhooks: &[(&str, WebhookForm, HttpTarget)], times: SenderTimes) -> Sender {
    let webhooks = webhooks.iter().map(|(name, form, target)| {
        let (form, target) = (*form, target.clone());
        ((*name).to_owned(), Arc::new(WebhookConfig { form, target }))
    });
    let webhooks = Arc::new(webhooks.collect());
    let config = WebhookSenderConfig {
        webhooks,
        grid: "lab".to_owned(),
        external_url: "https://broker.example".to_owned(),
    };
    let (config, effective) = watch::channel(config);
    let (jobs, receiver) = mpsc::channel(8);
    let (reporting, reports) = mpsc::channel(8);
    let (stop, stopping) = watch::channel(false);
    let parts = WebhookSenderParts {
        config: effective,
        jobs: receiver,
        reports: reporting,
        now: Arc::new(|| at(60)),
        stopping,
    };
    let ended = tasks::spawn("webhook sender", run(parts, times));
    Sender { jobs, reports, config, stop, ended }
}

impl Sender {
    async fn submit(&self, message: MailMessage) {
        self.jobs.send(MailJob { message }).await.expect("the sender runs");
    }

    async fn report(&mut self) -> DeliveryReport {
        let report = tokio::time::timeout(timeout(), self.reports.recv()).await;
        report.expect("in time").expect("the sender runs")
    }

    async fn deliver(&mut self, message: MailMessage) -> Delivery {
        let number = message.number;
        self.submit(message).await;
        let report = self.report().await;
        assert_eq!((report.number, report.attempt), (number, 1));
        report.delivery
    }
}

fn webhook_message(number: u64) -> MailMessage {
    message(number, "webhook:chat", vec![notice("db1", "raid1", Severity::Error)])
}

async fn delivery_of(scripts: Vec<Script>, times: SenderTimes) -> (Delivery, TestServer) {
    let server = TestServer::start(scripts).await;
    let mut sender = start(&[("chat", WebhookForm::Webhook, server.target())], times);
    (sender.deliver(webhook_message(1)).await, server)
}

#[tokio::test]
async fn what_the_server_answers_over_the_wire_is_what_is_reported() {
    let page = answers("200 OK", "content-type: text/html\r\n", "<html>Log in</html>");
    let moved = answers("301 Moved", "location: https://new.example/\r\n", "");
    let busy = answers("503 Busy", "retry-after: 30\r\n", "later");
    let large = answers("200 OK", "", &"x".repeat(100 << 10));
    for (script, expected, part) in [
        (answers("204 No Content", "", ""), "Sent", "204 No Content"),
        (answers("200 OK", "", "{\"ok\":true}"), "Sent", "{\"ok\":true}"),
        (large, "Sent", "xxx..."),
        (page, "Deferred", "HTML page"),
        (moved, "Refused", "it says it moved to https://new.example/; set the url"),
        (busy, "Deferred", "after 30 s: later"),
        (answers("400 Bad", "", "no such field\nx"), "Refused", ": no such field"),
        (answers("500 Oops", "", ""), "Deferred", "500 Internal Server Error"),
        (Script::Closes, "Deferred", "127.0.0.1"),
        (
            Script::Answers("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned()),
            "Deferred",
            "HTTP 200, then",
        ),
        (Script::Answers("SSH-2.0-OpenSSH\r\n".to_owned()), "Deferred", "waiting for the answer"),
    ] {
        let what = format!("{script:?}");
        let (delivery, _server) = delivery_of(vec![script], patient()).await;
        assert!(format!("{delivery:?}").starts_with(expected), "{what}: {delivery:?}");
        assert!(delivery.reply().contains(part), "{what}: {}", delivery.reply());
    }
}

#[tokio::test]
async fn a_server_that_hangs_at_any_place_is_left() {
    let whole = Duration::from_millis(300);
    let times = SenderTimes { limits: TimeLimits { connect: timeout(), whole }, ..patient() };
    for script in [
        Script::Hangs(""),
        Script::Hangs("HTTP/1.1 200 OK\r\n"),
        Script::Hangs("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"),
    ] {
        let (delivery, _server) = delivery_of(vec![script], times).await;
        assert!(matches!(delivery, Delivery::Deferred(_)), "{delivery:?}");
        assert!(delivery.reply().contains("not complete within 300 ms"), "{}", delivery.reply());
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_has_no_name_is_told_in_the_systems_words() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let target = |url: &str| {
        use crate::config::http_target::HttpCredentials;
        HttpTarget::new(url, "", HttpCredentials::None).expect("a good URL")
    };
    for (url, part) in [
        (format!("http://127.0.0.1:{port}/"), "connecting: Connection refused"),
        ("http://nowhere.invalid/".to_owned(), "looking up the host: "),
    ] {
        let mut sender = start(&[("chat", WebhookForm::Webhook, target(&url))], patient());
        let delivery = sender.deliver(webhook_message(1)).await;
        assert!(matches!(delivery, Delivery::Unreachable(_)), "{delivery:?}");
        assert!(delivery.reply().contains(part), "{url}: {}", delivery.reply());
    }
}

#[tokio::test]
async fn a_request_has_what_servers_expect_of_it() {
    let server = TestServer::start(vec![answers("200 OK", "", "")]).await;
    let mut target = server.target();
    let mut secret = http::HeaderValue::from_static("Bearer s3cr3t");
    secret.set_sensitive(true);
    target.authorization = Some(secret);
    post_json(&target, b"[]".to_vec(), TIME_LIMITS).await.expect("is answered");
    get(&target, TIME_LIMITS).await.expect("is answered");
    let [posted, got] = &server.requests()[..] else { panic!("{:?}", server.requests()) };
    let host = format!("host: 127.0.0.1:{}\r\n", server.port);
    for line in [
        "POST /hook HTTP/1.1\r\n",
        &host,
        "content-type: application/json\r\n",
        "user-agent: gridd/",
    ] {
        assert!(posted.contains(line), "{line} in {posted}");
    }
    assert!(posted.contains("authorization: Bearer s3cr3t\r\n") && posted.ends_with("\r\n\r\n[]"));
    assert!(got.starts_with("GET /hook HTTP/1.1\r\n") && got.ends_with("\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn one_webhook_that_hangs_holds_up_no_other_and_its_queue_is_deferred_with_it() {
    let hung = TestServer::start(vec![Script::Hangs("")]).await;
    let good = TestServer::start(vec![answers("200 OK", "", "")]).await;
    let whole = Duration::from_secs(2);
    let times = SenderTimes { limits: TimeLimits { connect: timeout(), whole }, ..patient() };
    let form = WebhookForm::Webhook;
    let mut sender = start(&[("bad", form, hung.target()), ("good", form, good.target())], times);
    let to = |number, name: &str| MailMessage { recipient: name.into(), ..webhook_message(number) };
    for number in 1..=3 {
        sender.submit(to(number, "webhook:bad")).await;
    }
    sender.submit(to(4, "webhook:good")).await;
    let mut reports = Vec::new();
    for _ in 1..=4 {
        let report = sender.report().await;
        reports.push((report.number.0, matches!(report.delivery, Delivery::Sent(_))));
    }
    reports.sort_unstable();
    assert_eq!(reports, [(1, false), (2, false), (3, false), (4, true)]);
    assert_eq!(hung.requests().len(), 1, "one in flight, and its queue did not wait for it again");
}

#[tokio::test]
async fn an_unknown_webhook_is_deferred_and_a_new_one_is_found_at_once() {
    let server = TestServer::start(vec![answers("200 OK", "", "")]).await;
    let mut sender = start(&[], patient());
    let delivery = sender.deliver(webhook_message(1)).await;
    assert_eq!(delivery, Delivery::Deferred("webhook.chat is not configured".into()));
    let config = WebhookConfig { form: WebhookForm::Webhook, target: server.target() };
    sender.config.send_modify(|it| {
        it.webhooks = Arc::new([("chat".to_owned(), Arc::new(config))].into());
    });
    assert!(matches!(sender.deliver(webhook_message(2)).await, Delivery::Sent(_)));
    sender.stop.send_replace(true);
    tokio::time::timeout(timeout(), sender.ended).await.expect("in time").expect("ends");
}
