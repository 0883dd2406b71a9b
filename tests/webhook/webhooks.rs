//! From an alert of an appliance to the JSON that a receiver gets, over an outage of the receiver.

use serde_json::json;

use crate::receiver::Receiver;
use crate::support::{Gridd, Setup, eventually, holds};

/// A broker that notifies a webhook at this receiver.
async fn broker(receiver: &Receiver) -> Gridd {
    let url = receiver.url("/services/s3cr3t");
    let config = format!(
        "[mail]\nto = \"webhook:chat\"\ngrid = \"lab\"\ngather = \"1s\"\n[webhook.chat]\nurl = \"{url}\"\n"
    );
    Setup::new(&config).start().await
}

async fn told(gridd: &Gridd, words: &[&str]) -> String {
    let run = gridd.gridctl(words).await;
    run.stdout + &run.stderr
}

#[tokio::test]
async fn an_alert_arrives_as_json_and_its_end_too() {
    let mut receiver = Receiver::down();
    receiver.up();
    let gridd = broker(&receiver).await;
    gridd
        .vme("db1", 1, &["id=alert", "key=raid1", "severity=fatal", "msg=disk 3 <b>"])
        .await
        .done();
    let first = eventually("the alert", async || receiver.bodies().first().cloned()).await;
    assert_eq!((&first["version"], &first["receiver"]), (&json!("4"), &json!("chat")), "{first}");
    assert_eq!((&first["status"], &first["truncatedAlerts"]), (&json!("firing"), &json!(0)));
    let alert = &first["alerts"][0];
    for (label, expected) in [
        ("alertname", "event"),
        ("appliance", "db1"),
        ("class", "default"),
        ("grid", "lab"),
        ("key", "raid1"),
        ("severity", "fatal"),
    ] {
        assert_eq!(alert["labels"][label], expected, "{first}");
    }
    let summary = alert["annotations"]["summary"].as_str().expect("a text");
    assert!(summary.contains("disk 3 <b>"), "{summary}");
    gridd.vme("db1", 1, &["id=alert", "key=raid1", "resolved=yes"]).await.done();
    let last = eventually("its end", async || {
        receiver.bodies().into_iter().find(|it| it["status"] == "resolved")
    })
    .await;
    assert_eq!(last["groupKey"], first["groupKey"]);
    assert_eq!(last["alerts"][0]["fingerprint"], alert["fingerprint"]);
    assert_eq!(last["alerts"][0]["startsAt"], alert["startsAt"]);
    let posted = receiver.requests().remove(0);
    assert!(posted.starts_with("POST /services/s3cr3t HTTP/1.1\r\n"), "{posted}");
    holds("nothing is queued", async || told(&gridd, &["mail", "list"]).await.contains("no mails"))
        .await;
}

#[tokio::test]
async fn a_receiver_that_was_away_gets_the_alert_when_it_is_back() {
    let mut receiver = Receiver::down();
    let gridd = broker(&receiver).await;
    gridd.vme("db1", 1, &["id=alert", "msg=fan 1 stands"]).await.done();
    let shown = eventually("the reason", async || {
        let shown = told(&gridd, &["mail", "show", "1"]).await;
        shown.contains("Connection refused").then_some(shown)
    })
    .await;
    assert!(shown.contains("webhook:chat") && !shown.contains("s3cr3t"), "{shown}");
    receiver.up();
    // A minute is long: an administrator does not wait for it.
    assert_eq!(gridd.gridctl(&["mail", "retry", "1"]).await.code, Some(0), "{shown}");
    let body = eventually("the alert", async || receiver.bodies().first().cloned()).await;
    assert_eq!(body["alerts"][0]["labels"]["appliance"], "db1", "{body}");
    assert!(!gridd.stderr().contains("s3cr3t"), "{}", gridd.stderr());
}
