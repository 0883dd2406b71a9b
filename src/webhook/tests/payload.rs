//! Tests of what is sent: both forms, what is too large, and what an Alertmanager remembers.

use serde_json::{Value, json};

use super::*;
use crate::grid::model::mail_message::BriefNotice;

/// What a webhook got for this message.
async fn sent(message: MailMessage) -> Value {
    let server = TestServer::start(vec![answers("200 OK", "", "")]).await;
    let mut sender = start(&[("chat", WebhookForm::Webhook, server.target())], patient());
    let delivery = sender.deliver(message).await;
    assert!(matches!(delivery, Delivery::Sent(_)), "{delivery:?}");
    server.bodies().remove(0)
}

#[tokio::test]
async fn a_notification_has_every_key_of_alertmanagers_webhooks() {
    let sent = sent(webhook_message(1)).await;
    let alert = json!({
        "status": "firing",
        "labels": {
            "alertname": "event", "appliance": "db1", "class": "web", "grid": "lab", "key": "raid1",
            "severity": "error",
        },
        "annotations": { "summary": "raid1 of db1", "record": "7", "alert": "4", "count": "3", "acknowledged": "false" },
        "startsAt": "2027-01-15T08:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "https://broker.example",
        "fingerprint": sent["alerts"][0]["fingerprint"],
    });
    let group = json!({ "alertname": "event", "appliance": "db1", "class": "web", "grid": "lab", "key": "raid1" });
    let expected = json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"event\", appliance=\"db1\", class=\"web\", grid=\"lab\", key=\"raid1\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "chat",
        "groupLabels": group,
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": "https://broker.example",
        "alerts": [alert],
    });
    assert_eq!(sent, expected);
    let print = sent["alerts"][0]["fingerprint"].as_str().expect("text");
    assert!(print.len() == 16 && print.bytes().all(|it| it.is_ascii_hexdigit()), "{print}");
}

#[tokio::test]
async fn each_alert_is_there_once_as_it_was_last_and_the_gravest_first() {
    let (disk, fan) =
        (notice("db1", "disk", Severity::Warn), notice("db1", "fan", Severity::Error));
    let fatal = notice("", "disk_low", Severity::Fatal);
    let worse =
        Notice { severity: Severity::Fatal, at: at(5), since: Some(at(-60)), ..disk.clone() };
    let notices = vec![disk, fan.clone(), resolved(&fan, 9), worse, fatal];
    let brief = BriefNotice {
        subject: "db2".into(),
        topic: "raid1".into(),
        severity: Severity::Info,
        is_resolved: false,
        alert: Some(AlertId(5)),
        class: "web".into(),
    };
    let message =
        MailMessage { omitted: 5, briefs: vec![brief], ..message(1, "webhook:chat", notices) };
    let sent = sent(message).await;
    let shown = |it: &Value| {
        let text = |key: &str| it["labels"][key].as_str().unwrap_or("-").to_owned();
        format!(
            "{} {} {} {}",
            it["status"].as_str().expect("text"),
            text("severity"),
            text("appliance"),
            text("key")
        )
    };
    let alerts: Vec<_> = sent["alerts"].as_array().expect("a list").iter().map(shown).collect();
    let expected = [
        "firing fatal db1 disk",
        "firing fatal - disk_low",
        "firing info db2 raid1",
        "resolved error db1 fan",
    ];
    assert_eq!(alerts, expected);
    assert_eq!(sent["alerts"][1]["labels"]["alertname"], "disk_low");
    assert_eq!(sent["alerts"][0]["startsAt"], "2027-01-15T07:59:00Z", "when it began");
    assert_eq!(sent["alerts"][3]["endsAt"], "2027-01-15T08:00:09Z");
    assert_eq!(sent["truncatedAlerts"], 4, "one of five is among the alerts");
    assert_eq!(
        (&sent["status"], &sent["commonLabels"]),
        (&json!("firing"), &json!({ "class": "web", "grid": "lab" }))
    );
}

#[tokio::test]
async fn hostile_text_is_text() {
    let mut evil = notice("db1", "a\u{202e}\"}\n", Severity::Error);
    evil.text = "x\u{1b}[2J\u{0}\"".into();
    let sent = sent(message(1, "webhook:chat", vec![evil])).await;
    assert_eq!(sent["alerts"][0]["labels"]["key"], "a\\u{202e}\"}\\n");
    assert_eq!(sent["alerts"][0]["annotations"]["summary"], "x\\x1b[2J\\x00\"");
}

/// A message of that many alerts with long texts.
fn long_message(recipient: &str, count: usize) -> MailMessage {
    let long = |at: usize| Notice {
        text: "x".repeat(1_000).into(),
        ..notice(&format!("db{at}"), "disk", if at == 0 { Severity::Fatal } else { Severity::Warn })
    };
    message(1, recipient, (0..count).map(long).collect())
}

#[tokio::test]
async fn what_is_too_large_is_sent_once_more_and_smaller() {
    let large = answers("413 Too Large", "", "at most 4 kB");
    let (first, server) = {
        let server = TestServer::start(vec![large.clone(), answers("200 OK", "", "")]).await;
        let mut sender = start(&[("chat", WebhookForm::Webhook, server.target())], patient());
        (sender.deliver(long_message("webhook:chat", 5)).await, server)
    };
    assert!(matches!(first, Delivery::Sent(_)), "{first:?}");
    let [whole, short] = &server.bodies()[..] else { panic!("two requests") };
    assert_eq!(
        (whole["alerts"].as_array().map(Vec::len), &whole["truncatedAlerts"]),
        (Some(5), &json!(0))
    );
    assert_eq!(
        (short["alerts"].as_array().map(Vec::len), &short["truncatedAlerts"]),
        (Some(3), &json!(2))
    );
    assert_eq!(short["alerts"][0]["labels"]["severity"], "fatal");
    assert!(short.to_string().len() < whole.to_string().len() / 2);

    let server = TestServer::start(vec![large]).await;
    let mut sender = start(&[("chat", WebhookForm::Webhook, server.target())], patient());
    let refused = sender.deliver(long_message("webhook:chat", 5)).await;
    assert!(matches!(refused, Delivery::Refused(_)), "{refused:?}");
    let bytes = server.bodies()[1].to_string().len();
    let expected = format!("413 Payload Too Large: {bytes} bytes are too many for it");
    assert!(refused.reply().contains(&expected), "{}", refused.reply());
    assert_eq!(server.requests().len(), 2, "shortened once");
}

#[tokio::test]
async fn what_is_too_large_for_an_alertmanager_is_pushed_in_two_parts() {
    let scripts = vec![answers("413 Too Large", "", ""), answers("200 OK", "", "")];
    let server = TestServer::start(scripts).await;
    let mut sender = start(&[("am", WebhookForm::Alertmanager, server.target())], patient());
    let delivery = sender.deliver(long_message("webhook:am", 5)).await;
    assert!(matches!(delivery, Delivery::Sent(_)), "{delivery:?}");
    let counts: Vec<_> =
        server.bodies().iter().map(|it| it.as_array().expect("a list").len()).collect();
    assert_eq!(counts, [5, 3, 2]);
}

#[tokio::test]
async fn an_alertmanager_gets_ends_under_the_labels_that_it_knows_and_nothing_late() {
    let server = TestServer::start(vec![answers("200 OK", "", "")]).await;
    let mut sender = start(&[("am", WebhookForm::Alertmanager, server.target())], patient());
    let warn = notice("db1", "disk", Severity::Warn);
    let fatal = Notice { severity: Severity::Fatal, at: at(10), ..warn.clone() };
    for (number, notice) in
        [warn.clone(), fatal.clone(), resolved(&fatal, 20)].into_iter().enumerate()
    {
        let message = message(number as u64 + 1, "webhook:am", vec![notice]);
        let delivery = sender.deliver(message).await;
        assert!(matches!(delivery, Delivery::Sent(_)), "{delivery:?}");
    }
    // The first one again, as after a long outage.
    let late = sender.deliver(message(4, "webhook:am", vec![warn])).await;
    assert!(late.reply().starts_with("nothing to push"), "{late:?}");
    let shown: Vec<Vec<String>> = server
        .bodies()
        .iter()
        .map(|body| {
            let shown = |it: &Value| {
                format!("{} {}", it["labels"]["severity"], it["endsAt"]).replace('"', "")
            };
            body.as_array().expect("a list").iter().map(shown).collect()
        })
        .collect();
    let expected = [
        vec!["warn 2027-01-23T08:01:00Z"],
        vec!["warn 2027-01-15T08:00:10Z", "fatal 2027-01-23T08:01:00Z"],
        vec!["fatal 2027-01-15T08:00:20Z"],
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn open_alerts_are_pushed_again_and_ended_ones_are_not() {
    let server = TestServer::start(vec![answers("200 OK", "", "")]).await;
    let times = SenderTimes { push_again: Duration::from_millis(20), ..patient() };
    let mut sender = start(&[("am", WebhookForm::Alertmanager, server.target())], times);
    let (open, ended) =
        (notice("db1", "disk", Severity::Warn), notice("db1", "fan", Severity::Warn));
    let notices = vec![open, resolved(&ended, 5)];
    sender.deliver(message(1, "webhook:am", notices)).await;
    let is_pushed_again = || server.requests().len() >= 3;
    let waiting = async {
        while !is_pushed_again() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(timeout(), waiting).await.expect("in time");
    let again = server.bodies().remove(2);
    assert_eq!(again.as_array().map(Vec::len), Some(1), "{again}");
    assert_eq!(again[0]["labels"]["key"], "disk");
}
