//! Alerts pushed to a real Alertmanager, which shows what is open, and forgets what ended.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Gridd, Setup, eventually, holds, run};

const PROGRAM: &str = "prometheus-alertmanager";

/// A real Alertmanager, which ends with the test.
struct Alertmanager {
    child: std::process::Child,
    port: u16,
    folder: TempDir,
}

impl Alertmanager {
    fn start() -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = socket.local_addr().expect("an address").port();
        drop(socket);
        let folder = TempDir::with_prefix("alertmanager-").expect("a folder");
        let config = "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n";
        std::fs::write(folder.path().join("config.yml"), config).expect("writes");
        let child = Self::spawn(&folder, port);
        Self { child, port, folder }
    }

    fn spawn(folder: &TempDir, port: u16) -> std::process::Child {
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let path = |name: &str| folder.path().join(name).display().to_string();
        Command::new(PROGRAM)
            .arg(format!("--config.file={}", path("config.yml")))
            .arg(format!("--storage.path={}", path("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            // No cluster.
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{PROGRAM} (Debian's package of that name): {error}"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What it shows as active; `None`: it does not answer yet.
    async fn alerts(&self) -> Option<Vec<Value>> {
        let mut curl = Command::new("curl");
        curl.args(["-sf", &format!("http://127.0.0.1:{}/api/v2/alerts", self.port)]);
        let run = run(curl).await;
        (run.code == Some(0)).then(|| serde_json::from_str(&run.stdout).expect("a list"))
    }

    async fn serves(&self) {
        holds("the Alertmanager serves", async || self.alerts().await.is_some()).await;
    }

    /// Waits until it shows exactly these alerts: key and severity.
    async fn shows(&self, expected: &[(&str, &str)]) -> Vec<Value> {
        let what = format!("{expected:?}");
        eventually(&what, async || {
            let alerts = self.alerts().await.unwrap_or_default();
            let text =
                |it: &Value, label: &str| it["labels"][label].as_str().unwrap_or("").to_owned();
            let mut shown: Vec<_> =
                alerts.iter().map(|it| (text(it, "key"), text(it, "severity"))).collect();
            shown.sort_unstable();
            let is_same = shown.iter().map(|it| (&*it.0, &*it.1)).eq(expected.iter().copied());
            is_same.then_some(alerts)
        })
        .await
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows what Alertmanager said")]
            {
                eprintln!("Alertmanager's log:\n{}", self.log());
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn broker(alertmanager: &Alertmanager) -> Gridd {
    let config = format!(
        "[mail]\nto = \"webhook:am\"\ngather = \"1s\"\n\
         [webhook.am]\nurl = \"http://127.0.0.1:{}\"\nform = \"alertmanager\"\n",
        alertmanager.port
    );
    Setup::new(&config).start().await
}

#[tokio::test]
async fn an_alertmanager_shows_what_is_open_and_nothing_that_ended() {
    let alertmanager = Alertmanager::start();
    alertmanager.serves().await;
    let gridd = broker(&alertmanager).await;
    let vme = async |words: &[&str]| gridd.vme("db1", 1, words).await.done();
    vme(&["id=alert", "key=raid1", "severity=error", "msg=disk 3 of md0 failed"]).await;
    vme(&["id=alert", "key=fan", "severity=warn", "msg=fan 1 \"stands\""]).await;
    let shown = alertmanager.shows(&[("fan", "warn"), ("raid1", "error")]).await;
    let raid = shown.iter().find(|it| it["labels"]["key"] == "raid1").expect("is shown");
    let labels = json!({
        "alertname": "event", "appliance": "db1", "class": "default", "grid": "grid",
        "key": "raid1", "severity": "error",
    });
    assert_eq!(raid["labels"], labels);
    let summary = raid["annotations"]["summary"].as_str().expect("a text");
    assert!(summary.contains("disk 3 of md0 failed"), "{summary}");
    // Far ahead: it does not expire there.
    let times = [&raid["startsAt"], &raid["endsAt"]].map(|it| it.as_str().expect("a time"));
    let [starts, ends] = times.map(|it| it.parse::<jiff::Timestamp>().expect("a time"));
    assert!(ends.duration_since(starts).as_hours() > 7 * 24, "{raid}");

    // Graver: the alert of the old severity ends.
    vme(&["id=alert", "key=raid1", "severity=fatal", "msg=disk 3 of md0 failed"]).await;
    alertmanager.shows(&[("fan", "warn"), ("raid1", "fatal")]).await;
    vme(&["id=alert", "key=raid1", "resolved=yes"]).await;
    alertmanager.shows(&[("fan", "warn")]).await;
    vme(&["id=alert", "key=fan", "resolved=yes"]).await;
    alertmanager.shows(&[]).await;
}
