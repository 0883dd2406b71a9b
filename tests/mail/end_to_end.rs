//! From an appliance's word to a mail that a server filed, over kills and refusals: the real programs.
//!
//! What is asserted of doubles: a mail comes twice only if the broker was killed between the server
//! having it and the record of its answer, and then it bears the same Message-ID.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::{Alert, Event};

use crate::mail_sender::PASSWORD;
use crate::postfix::Postfix;
use crate::script::{At, Begins, Does, Server, Turn};
use crate::support::{Gridd, Setup, holds};

/// A broker that mails by the server at `port` of loopback.
async fn broker(port: u16, certificates: &Path, to: &str) -> Gridd {
    let ca = certificates.join("cert.pem");
    let config = format!(
        "[mail]\nserver = \"localhost:{port}\"\nca_file = {ca:?}\nuser = \"grid\"\n\
         from = \"grid@example.org\"\nto = \"{to}\"\nzone = \"Europe/Berlin\"\ngather = \"1s\"\n\
         timeout = \"5m\"\n"
    );
    let environment = vec![("GRIDD_MAIL__PASSWORD", PASSWORD.into())];
    Setup::new(&config).environment(environment).start().await
}

/// Sends an event, which is stored.
async fn vme(gridd: &Gridd, appliance: &str, words: &[&str]) {
    gridd.vme(appliance, 1, words).await.done();
}

/// What `gridctl` printed.
async fn told(gridd: &Gridd, words: &[&str]) -> String {
    let done = gridd.gridctl(words).await;
    done.stdout + &done.stderr
}

/// Waits until no mails are queued.
async fn has_sent_all(gridd: &Gridd) {
    holds("no mails are queued", async || {
        told(gridd, &["mail", "list"]).await.contains("no mails are queued")
    })
    .await;
}

/// How often each Message-ID is among these mails.
fn by_id(mails: &[String]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for mail in mails {
        let id = mail.lines().find(|line| line.starts_with("Message-ID: ")).expect("an id");
        *ids.entry(id.to_owned()).or_default() += 1;
    }
    ids
}

#[tokio::test]
async fn what_appliances_say_is_filed_by_a_real_server_for_each_recipient() {
    let postfix = Postfix::start();
    let to = "alice@example.org Europe/Berlin, nobody@example.org";
    let gridd = broker(postfix.port, &postfix.certificate(), to).await;
    assert!(told(&gridd, &["mail", "list"]).await.contains("no mails are queued"));
    vme(&gridd, "shop:main.db1", &["id=start_failed", "msg=no disk <b>"]).await;
    vme(&gridd, "shop:main.db1", &["id=alert", "msg=fan 1 stands"]).await;
    vme(&gridd, "shop:main.db1", &["id=alert", "cnt_name=n", "cnt_value=4"]).await;
    holds("a mail is filed", async || !postfix.filed().is_empty()).await;
    let filed = postfix.filed();
    assert_eq!(filed.len(), 1, "both within one mail");
    let mail = String::from_utf8_lossy(&filed[0]).into_owned();
    assert!(
        mail.contains("start of shop:main.db1 failed: no disk") && mail.contains("fan 1"),
        "{mail}"
    );
    // The other one is refused for good, which is said loudly, and kept.
    holds("the refusal", async || {
        told(&gridd, &["mail", "list", "--output", "jsonl"]).await.contains("\"state\":\"failed\"")
    })
    .await;
    let status = told(&gridd, &["status"]).await;
    assert!(status.contains("nobody@example.org failed permanently"), "{status}");
    let alerts = told(&gridd, &["alert", "list"]).await;
    assert!(alerts.contains("mail_fails") && alerts.contains("start_failed"), "{alerts}");
    let number = "2";
    let dropped = gridd.gridctl(&["mail", "drop", number]).await;
    assert_eq!(dropped.code, Some(0), "{dropped:?}");
    assert!(told(&gridd, &["mail", "list"]).await.contains("no mails are queued"));
    let again = gridd.gridctl(&["mail", "drop", number]).await;
    assert_eq!(again.code, Some(7), "{again:?}");

    // A test by the same way shows what was said, but for the password.
    let tested = gridd.gridctl(&["mail", "test", "alice@example.org"]).await;
    assert_eq!(tested.code, Some(0), "{tested:?}");
    let dialogue = tested.stdout;
    assert!(
        dialogue.contains("STARTTLS") && dialogue.contains("250 2.0.0 Ok: queued"),
        "{dialogue}"
    );
    assert!(!dialogue.contains(PASSWORD), "{dialogue}");
    holds("the test is filed", async || postfix.filed().len() == 2).await;
    assert!(!gridd.stderr().contains(PASSWORD) && !gridd.stdout().contains(PASSWORD));
}

/// Kills the broker when the server was brought to `turns`' first step, and lets it go on.
async fn killed_at(step: At) -> (Server, Gridd) {
    let turns: [Turn; 2] = [Some((step, Does::Hangs)), None];
    let server = Server::start(Begins::Clear, &turns).await;
    let mut gridd = broker(server.port, server.folder(), "anna@example.org").await;
    vme(&gridd, "db1", &["id=alert", "msg=fan 1 stands"]).await;
    holds("the server is asked", async || server.connections() == 1).await;
    // It hangs by now, or will in a moment.
    tokio::time::sleep(Duration::from_millis(500)).await;
    gridd.kill().await;
    gridd.start_again().await;
    (server, gridd)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_loses_no_mail_and_doubles_it_only_behind_its_last_dot() {
    for step in
        [At::Greeting, At::Ehlo, At::Starttls, At::Auth, At::Mail, At::Rcpt, At::Data, At::End]
    {
        let (server, gridd) = killed_at(step).await;
        has_sent_all(&gridd).await;
        let ids = by_id(&server.mails());
        assert_eq!(ids.len(), 1, "{step:?}: one mail");
        let count = *ids.values().next().expect("one");
        let most = if step == At::End { 2 } else { 1 };
        assert!((1..=most).contains(&count), "{step:?}: it came {count} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_a_mail_gathers_or_after_it_was_sent_neither_loses_nor_doubles_it() {
    let server = Server::start(Begins::Clear, &[None]).await;
    let mut gridd = broker(server.port, server.folder(), "anna@example.org").await;
    vme(&gridd, "db1", &["id=alert", "msg=fan 1 stands"]).await;
    gridd.kill().await;
    gridd.start_again().await;
    has_sent_all(&gridd).await;
    gridd.kill().await;
    gridd.start_again().await;
    vme(&gridd, "db1", &["id=alert", "msg=door is open"]).await;
    has_sent_all(&gridd).await;
    let ids = by_id(&server.mails());
    assert_eq!(ids.values().copied().collect::<Vec<_>>(), [1, 1], "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_greylists_gets_the_mail_again_when_it_asked_for_it() {
    let later = Some((At::Rcpt, Does::Says("451 4.7.1 try again later\r\n")));
    let server = Server::start(Begins::Clear, &[later, None]).await;
    let gridd = broker(server.port, server.folder(), "anna@example.org").await;
    vme(&gridd, "db1", &["id=alert", "msg=fan 1 stands"]).await;
    holds("it is put off", async || told(&gridd, &["mail", "list"]).await.contains("waiting"))
        .await;
    let listed = told(&gridd, &["mail", "show", "1"]).await;
    holds("the answer is kept", async || {
        told(&gridd, &["mail", "show", "1"]).await.contains("451 4.7.1 try again later")
    })
    .await;
    // A minute is long: an administrator does not wait for it.
    assert_eq!(gridd.gridctl(&["mail", "retry", "1"]).await.code, Some(0), "{listed}");
    has_sent_all(&gridd).await;
    assert_eq!(by_id(&server.mails()).values().copied().collect::<Vec<_>>(), [1]);
    let log = told(&gridd, &["log", "list", "--kind", "mail"]).await;
    for words in ["deferred, attempt 1", "to be tried now", "sent, attempt 2"] {
        assert!(log.contains(words), "{words} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_alerts_out_of_spools_are_one_mail_that_says_so() {
    let server = Server::start(Begins::Clear, &[None]).await;
    let gridd = broker(server.port, server.folder(), "anna@example.org").await;
    let spooled = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 });
    for number in 0..200_u32 {
        let event = Event {
            kind: Some(Kind::Alert(Alert::default())),
            text: format!("disk {number} is slow"),
            event_time: spooled,
            spooled_at: spooled,
            ..Event::default()
        };
        gridd.report(&format!("db{}", number % 2), 0, event).await.expect("it is stored");
    }
    holds("it gathers or is under way", async || {
        told(&gridd, &["mail", "list"]).await.contains("summary: 200 older alerts of 2 appliances")
            || !server.mails().is_empty()
    })
    .await;
    has_sent_all(&gridd).await;
    let [mail] = &server.mails()[..] else { panic!("one mail: {:?}", server.mails()) };
    assert!(mail.contains("Subject: [grid] late: 200 older alerts of 2 appliances"), "{mail}");
}
