//! From an appliance's word to a mail that a server filed, over kills and refusals: the real programs.
//!
//! What is asserted of doubles: a mail comes twice only if the broker was killed between the server
//! having it and the record of its answer, and then it bears the same Message-ID.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use grid_broker::client::APPLIANCE_METADATA;
use grid_broker::contract::proto::event::Kind;
use grid_broker::contract::proto::event_service_client::EventServiceClient;
use grid_broker::contract::proto::{Alert, Event, ReportRequest};
use tempfile::TempDir;
use tonic::Request;

use crate::mail_sender::PASSWORD;
use crate::postfix::Postfix;
use crate::script::{At, Begins, Does, Server, Turn};
use crate::support::wait_for;

/// A broker that mails; it ends with the test.
struct Gridd {
    folder: TempDir,
    child: Option<Child>,
    grpc: String,
}

impl Gridd {
    fn start(port: u16, certificates: &Path, to: &str) -> Self {
        let folder = TempDir::with_prefix("gridd-mail-").expect("a temporary folder");
        let ca = certificates.join("cert.pem");
        let config = format!(
            "[mail]\nserver = \"localhost:{port}\"\nca_file = {ca:?}\nuser = \"grid\"\n\
             from = \"grid@example.org\"\nto = \"{to}\"\nzone = \"Europe/Berlin\"\ngather = \"1s\"\n\
             timeout = \"5m\"\n"
        );
        fs::write(folder.path().join("gridd.toml"), config).expect("the configuration");
        let mut gridd = Self { folder, child: None, grpc: "127.0.0.1:0".to_owned() };
        gridd.start_again();
        gridd
    }

    fn start_again(&mut self) {
        let ready = self.folder.path().join("ready.json");
        let _ = fs::remove_file(&ready);
        let path = self.folder.path().join("said");
        let said = fs::File::options().create(true).append(true).open(path).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_gridd"))
            .env_clear()
            .env("GRIDD_MAIL__PASSWORD", PASSWORD)
            .current_dir(self.folder.path())
            .args(["--config", "gridd.toml", "--data", "data", "--ready-file", "ready.json"])
            .args(["--grpc", &self.grpc, "--http", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn();
        self.child = Some(child.expect("gridd starts"));
        let place = wait_for("the ready file", || fs::read_to_string(&ready).ok());
        let place: serde_json::Value = serde_json::from_str(&place).expect("JSON");
        self.grpc = place["grpc"].as_str().expect("an address").to_owned();
    }

    fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    fn vme(&self, appliance: &str, words: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vme"));
        command.env("VME_STATE", self.folder.path().join(format!("vme-{appliance}")));
        let done =
            run(command.args(["--broker", &self.grpc, "--appliance", appliance]).args(words));
        assert!(done.status.success(), "{done:?}");
    }

    fn gridctl(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gridctl"));
        run(command.args(["--broker", &self.grpc]).args(words))
    }

    fn told(&self, words: &[&str]) -> String {
        let done = self.gridctl(words);
        String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
    }

    /// Waits until no mails are queued.
    fn has_sent_all(&self) {
        let has = || self.told(&["mail", "list"]).contains("no mails are queued");
        eventually("no mails are queued", has);
    }
}

impl Drop for Gridd {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows what gridd said")]
            {
                eprintln!("{}", self.said());
            }
        }
    }
}

fn run(command: &mut Command) -> Output {
    command.env_clear().env("TZ", "UTC").stdin(Stdio::null()).output().expect("it runs")
}

/// Waits until `look` holds.
fn eventually(what: &str, look: impl Fn() -> bool) {
    wait_for(what, || look().then_some(()));
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

#[test]
fn what_appliances_say_is_filed_by_a_real_server_for_each_recipient() {
    let postfix = Postfix::start();
    let to = "alice@example.org Europe/Berlin, nobody@example.org";
    let gridd = Gridd::start(postfix.port, &postfix.certificate(), to);
    assert!(gridd.told(&["mail", "list"]).contains("no mails are queued"));
    gridd.vme("shop:main.db1", &["id=start_failed", "msg=no disk <b>"]);
    gridd.vme("shop:main.db1", &["id=alert", "msg=fan 1 stands"]);
    gridd.vme("shop:main.db1", &["id=alert", "cnt_name=n", "cnt_value=4"]);
    eventually("a mail is filed", || !postfix.filed().is_empty());
    let filed = postfix.filed();
    assert_eq!(filed.len(), 1, "both within one mail");
    let mail = String::from_utf8_lossy(&filed[0]).into_owned();
    assert!(
        mail.contains("start of shop:main.db1 failed: no disk") && mail.contains("fan 1"),
        "{mail}"
    );
    // The other one is refused for good, which is said loudly, and kept.
    eventually("the refusal", || {
        gridd.told(&["mail", "list", "--output", "jsonl"]).contains("\"state\":\"failed\"")
    });
    let status = gridd.told(&["status"]);
    assert!(status.contains("nobody@example.org failed permanently"), "{status}");
    let alerts = gridd.told(&["alert", "list"]);
    assert!(alerts.contains("mail_fails") && alerts.contains("start_failed"), "{alerts}");
    let number = "2";
    let dropped = gridd.gridctl(&["mail", "drop", number]);
    assert!(dropped.status.success(), "{dropped:?}");
    assert!(gridd.told(&["mail", "list"]).contains("no mails are queued"));
    let again = gridd.gridctl(&["mail", "drop", number]);
    assert_eq!(again.status.code(), Some(7), "{again:?}");

    // A test by the same way shows what was said, but for the password.
    let tested = gridd.gridctl(&["mail", "test", "alice@example.org"]);
    let dialogue = String::from_utf8_lossy(&tested.stdout).into_owned();
    assert!(tested.status.success(), "{tested:?}");
    assert!(
        dialogue.contains("STARTTLS") && dialogue.contains("250 2.0.0 Ok: queued"),
        "{dialogue}"
    );
    assert!(!dialogue.contains(PASSWORD), "{dialogue}");
    eventually("the test is filed", || postfix.filed().len() == 2);
    assert!(!gridd.said().contains(PASSWORD));
}

/// Kills the broker when the server was brought to `turns`' first step, and lets it go on.
async fn killed_at(step: At) -> (Server, Gridd) {
    let turns: [Turn; 2] = [Some((step, Does::Hangs)), None];
    let server = Server::start(Begins::Clear, &turns).await;
    let mut gridd = Gridd::start(server.port, server.folder(), "anna@example.org");
    gridd.vme("db1", &["id=alert", "msg=fan 1 stands"]);
    eventually("the server is asked", || server.connections() == 1);
    // It hangs by now, or will in a moment.
    tokio::time::sleep(Duration::from_millis(500)).await;
    gridd.kill();
    gridd.start_again();
    (server, gridd)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_loses_no_mail_and_doubles_it_only_behind_its_last_dot() {
    for step in
        [At::Greeting, At::Ehlo, At::Starttls, At::Auth, At::Mail, At::Rcpt, At::Data, At::End]
    {
        let (server, gridd) = killed_at(step).await;
        gridd.has_sent_all();
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
    let mut gridd = Gridd::start(server.port, server.folder(), "anna@example.org");
    gridd.vme("db1", &["id=alert", "msg=fan 1 stands"]);
    gridd.kill();
    gridd.start_again();
    gridd.has_sent_all();
    gridd.kill();
    gridd.start_again();
    gridd.vme("db1", &["id=alert", "msg=door is open"]);
    gridd.has_sent_all();
    let ids = by_id(&server.mails());
    assert_eq!(ids.values().copied().collect::<Vec<_>>(), [1, 1], "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_greylists_gets_the_mail_again_when_it_asked_for_it() {
    let later = Some((At::Rcpt, Does::Says("451 4.7.1 try again later\r\n")));
    let server = Server::start(Begins::Clear, &[later, None]).await;
    let gridd = Gridd::start(server.port, server.folder(), "anna@example.org");
    gridd.vme("db1", &["id=alert", "msg=fan 1 stands"]);
    eventually("it is put off", || gridd.told(&["mail", "list"]).contains("waiting"));
    let listed = gridd.told(&["mail", "show", "1"]);
    eventually("the answer is kept", || {
        gridd.told(&["mail", "show", "1"]).contains("451 4.7.1 try again later")
    });
    // A minute is long: an administrator does not wait for it.
    assert!(gridd.gridctl(&["mail", "retry", "1"]).status.success(), "{listed}");
    gridd.has_sent_all();
    assert_eq!(by_id(&server.mails()).values().copied().collect::<Vec<_>>(), [1]);
    let log = gridd.told(&["log", "list", "--kind", "mail"]);
    for words in ["deferred, attempt 1", "to be tried now", "sent, attempt 2"] {
        assert!(log.contains(words), "{words} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_alerts_out_of_spools_are_one_mail_that_says_so() {
    let server = Server::start(Begins::Clear, &[None]).await;
    let gridd = Gridd::start(server.port, server.folder(), "anna@example.org");
    let mut client = EventServiceClient::connect(format!("http://{}", gridd.grpc)).await.unwrap();
    let spooled = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 });
    for number in 0..200_u32 {
        let event = Event {
            kind: Some(Kind::Alert(Alert::default())),
            text: format!("disk {number} is slow"),
            event_time: spooled,
            spooled_at: spooled,
            ..Event::default()
        };
        let mut request = Request::new(ReportRequest { event: Some(event), spool_id: 0 });
        let name = format!("db{}", number % 2).parse().unwrap();
        request.metadata_mut().insert(APPLIANCE_METADATA, name);
        client.report(request).await.unwrap();
    }
    eventually("it gathers or is under way", || {
        gridd.told(&["mail", "list"]).contains("summary: 200 older alerts of 2 appliances")
            || !server.mails().is_empty()
    });
    gridd.has_sent_all();
    let [mail] = &server.mails()[..] else { panic!("one mail: {:?}", server.mails()) };
    assert!(mail.contains("Subject: [grid] late: 200 older alerts of 2 appliances"), "{mail}");
}
