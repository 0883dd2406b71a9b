//! A broker whose driver of crash dumps writes down that it was called, and dumps nothing.
//!
//! Guarantees that every call of the driver is counted. Does not know who triggers.

use std::path::PathBuf;

use grid_broker::client::TokenText;
use serde_json::Value;

use crate::support::{Gridd, Run, Setup, clean, eventually, run};

/// An appliance whose driver is `none`.
pub(crate) const UNSUPPORTED: &str = "press-unsupported";

/// An appliance whose driver fails.
pub(crate) const BROKEN: &str = "press-broken";

/// What the driver says before it fails.
pub(crate) const COMPLAINT: &str = "no such domain";

/// What makes callers need credentials, over TLS.
const REQUIRED: &str = "authentication = \"required\"\n[tls]\nmode = \"on\"\n";

/// A broker under test.
pub(crate) struct Broker {
    pub(crate) gridd: Gridd,
    drivers: String,
    is_secure: bool,
}

impl Broker {
    /// One that trusts everybody, with appliances that run.
    pub(crate) async fn start(running: &[&str]) -> Self {
        let folder = tempfile::TempDir::with_prefix("gridd-test-").expect("a temporary folder");
        let calls = folder.path().join("calls");
        let drivers = format!(
            "[class.default.crash_dump]\n\
             driver = \"command\"\nprogram = \"/bin/sh\"\n\
             arguments = ['-c', 'echo \"$0\" >>{calls}', '{{name}}']\n\
             [appliance.{UNSUPPORTED}.crash_dump]\ndriver = \"none\"\n\
             [appliance.{BROKEN}.crash_dump]\n\
             driver = \"command\"\nprogram = \"/bin/sh\"\n\
             arguments = ['-c', 'echo \"$0\" >>{calls}; echo {COMPLAINT} >&2; exit 3', '{{name}}']\n",
            calls = calls.display()
        );
        std::fs::write(&calls, "").expect("writes");
        let gridd = Setup::within(folder, &drivers).start().await;
        let broker = Self { gridd, drivers, is_secure: false };
        for name in running.iter().chain([&UNSUPPORTED, &BROKEN]) {
            broker.boots(name, 1).await;
        }
        broker
    }

    /// The same on the same data, but callers need credentials, over TLS.
    pub(crate) async fn secure(mut self) -> Self {
        assert_eq!(self.gridd.terminate().await, Some(0));
        let config = format!("{REQUIRED}{}", self.drivers);
        std::fs::write(self.gridd.path("gridd.toml"), config).expect("writes");
        self.gridd.start_again().await;
        Self { is_secure: true, ..self }
    }

    /// An appliance says that it runs, in that boot.
    pub(crate) async fn boots(&self, name: &str, boot: u128) {
        self.gridd.vme(name, boot, &["id=started_ok"]).await.done();
    }

    /// The address of an API: `/v2.1`, `/v3`.
    pub(crate) fn api(&self, path: &str) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.gridd.http)
    }

    /// The file with its authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.gridd.data().join("ca/ca.pem")
    }

    /// Waits until the driver was called so often for that appliance, and is done. More often would
    /// be wrong.
    pub(crate) async fn called(&self, name: &str, times: usize) {
        eventually(&format!("{times} calls of the driver for {name}"), async || {
            let dumps = self.dumps(name).await;
            let is_done = |dump: &Value| dump["trigger"] == "done" || dump["trigger"] == "failed";
            (dumps.len() >= times && dumps.iter().all(is_done)).then_some(())
        })
        .await;
        let calls = std::fs::read_to_string(self.gridd.path("calls")).expect("the calls");
        let calls = calls.lines().filter(|line| *line == name).count();
        assert_eq!((calls, self.dumps(name).await.len()), (times, times), "{name}");
    }

    /// Runs `gridctl`; as the first administrator, if callers need credentials.
    pub(crate) async fn gridctl(&self, line: &str) -> Run {
        let mut command = clean(env!("CARGO_BIN_EXE_gridctl"));
        if self.is_secure {
            command.env("GRID_TOKEN_FILE", self.gridd.data().join("admin-token"));
            command.env("GRID_CA_FILE", self.authority());
            command.args(["--broker", &format!("https://{}", self.gridd.grpc)]);
        } else {
            command.args(["--broker", &self.gridd.grpc]);
        }
        command.args(line.split(' '));
        run(command).await
    }

    /// Runs `gridctl`, which has to print JSON.
    pub(crate) async fn json(&self, line: &str) -> Value {
        let text = self.gridctl(&format!("{line} --output json")).await.done();
        serde_json::from_str(&text).expect("JSON")
    }

    /// A token of an administrator who is created for it.
    pub(crate) async fn administrator(&self, name: &str, role: &str) -> String {
        let line = format!("admin create {name} --role {role} --quiet");
        let token = self.gridctl(&line).await.done().trim().to_owned();
        TokenText::new(&token).expect("a token").expose().to_owned()
    }

    /// The state of that appliance.
    pub(crate) async fn state(&self, name: &str) -> String {
        let shown = self.json(&format!("appliance show {name}")).await;
        shown["state"].as_str().expect("a state").to_owned()
    }

    /// Waits until that appliance is in that state.
    pub(crate) async fn becomes(&self, name: &str, state: &str) {
        eventually(&format!("{name} becomes {state}"), async || {
            (self.state(name).await == state).then_some(())
        })
        .await;
    }

    /// The crash dumps of that appliance, newest first.
    pub(crate) async fn dumps(&self, name: &str) -> Vec<Value> {
        let listed = self.json(&format!("appliance crash-dumps {name}")).await;
        serde_json::from_value(listed).expect("an array")
    }
}
