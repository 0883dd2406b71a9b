//! A real `gridd` with a data folder of its own, which can be killed, stopped, paused and started
//! again on the same data and address.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use grid_broker::client::connect;
use grid_broker::contract::proto::Appliance;
use grid_broker::contract::proto::GetApplianceRequest;
use grid_broker::contract::proto::alert_service_client::AlertServiceClient;
use grid_broker::contract::proto::appliance_service_client::ApplianceServiceClient;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::Channel;

use super::programs::{Run, clean, run};
use super::{eventually, soon};

/// Classes whose deadlines a test can wait for. What must not pass is `slow`, or has the seconds of
/// `quick` and `talker` to a busy machine.
pub(crate) const DEADLINE_CLASSES: &str = "\
[class.default]
boot_timeout = \"1s\"
maintenance_silence = \"1s\"
[class.slow]
boot_timeout = \"12h\"
maintenance_silence = \"12h\"
promise_max = \"12h\"
[class.quick]
boot_timeout = \"12h\"
maintenance_silence = \"8s\"
[class.talker]
boot_timeout = \"12h\"
lost_contact = \"1s\"
";

static STARTED: AtomicU8 = AtomicU8::new(0);

/// A broker under test.
pub(crate) struct Gridd {
    folder: TempDir,
    child: Option<Child>,
    environment: Vec<(&'static str, OsString)>,
    /// How many it may open, where that is not left to the system.
    descriptors: Option<u32>,
    /// `HOST:PORT` of gRPC; the same over restarts.
    pub(crate) grpc: String,
    /// `HOST:PORT` of the pages; the same over restarts.
    pub(crate) http: String,
}

impl Gridd {
    /// Starts one with the defaults.
    pub(crate) async fn start() -> Self {
        Self::with_config("").await
    }

    /// Starts one whose appliances may say as much as they like.
    pub(crate) async fn without_budgets() -> Self {
        Self::with_config("[class.default]\nbudget = \"unlimited\"\n").await
    }

    /// Starts one with that configuration file.
    pub(crate) async fn with_config(config: &str) -> Self {
        Self::with_environment(config, Vec::new()).await
    }

    /// Starts one with that configuration file and these variables.
    pub(crate) async fn with_environment(
        config: &str,
        environment: Vec<(&'static str, OsString)>,
    ) -> Self {
        Self::with(config, environment, None).await
    }

    /// Starts one with that configuration file, which may open so many descriptors.
    pub(crate) async fn with_descriptors(config: &str, descriptors: u32) -> Self {
        Self::with(config, Vec::new(), Some(descriptors)).await
    }

    async fn with(
        config: &str,
        environment: Vec<(&'static str, OsString)>,
        descriptors: Option<u32>,
    ) -> Self {
        let folder = TempDir::with_prefix("gridd-test-").expect("a temporary folder");
        std::fs::write(folder.path().join("gridd.toml"), config).expect("the configuration");
        let host = own_loopback();
        let (grpc, http) = (format!("{host}:0"), format!("{host}:0"));
        let mut gridd = Self { folder, child: None, environment, descriptors, grpc, http };
        gridd.start_again().await;
        gridd
    }

    /// Starts it on its data, at the address it had. It must not run.
    pub(crate) async fn start_again(&mut self) {
        let stderr = self.append("stderr");
        self.start_with(stderr, async |_| {}).await;
    }

    /// The same with another standard error.
    pub(crate) async fn start_again_saying(&mut self, stderr: Stdio) {
        self.start_with(stderr, async |_| {}).await;
    }

    /// The same, with something done meanwhile to the process of that number.
    pub(crate) async fn start_again_with(&mut self, meanwhile: impl AsyncFnOnce(u32)) {
        let stderr = self.append("stderr");
        self.start_with(stderr, meanwhile).await;
    }

    /// Starts it on its data with what a line of the shell sets up before; `exec "$@"` is its end.
    pub(crate) async fn start_again_by(&mut self, shell: &str) {
        let stderr = self.append("stderr");
        let mut command = clean("/bin/sh");
        command.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_gridd")]);
        self.start_as(command, stderr, async |_| {}).await;
    }

    async fn start_with(&mut self, stderr: Stdio, meanwhile: impl AsyncFnOnce(u32)) {
        let command = match self.descriptors {
            None => clean(env!("CARGO_BIN_EXE_gridd")),
            Some(most) => {
                let mut shell = clean("/bin/sh");
                shell.arg("-c").arg(format!("ulimit -n {most} && exec \"$0\" \"$@\""));
                shell.arg(env!("CARGO_BIN_EXE_gridd"));
                shell
            }
        };
        self.start_as(command, stderr, meanwhile).await;
    }

    async fn start_as(
        &mut self,
        mut command: Command,
        stderr: Stdio,
        meanwhile: impl AsyncFnOnce(u32),
    ) {
        assert!(self.child.is_none(), "it runs already");
        let ready = self.path("ready.json");
        let _ = std::fs::remove_file(&ready);
        command.current_dir(self.folder.path());
        command.args(["--config", "gridd.toml", "--data", "data", "--ready-file", "ready.json"]);
        command.args(["--grpc", &self.grpc, "--http", &self.http]);
        command.envs(self.environment.iter().cloned());
        command.stdout(self.append("stdout")).stderr(stderr);
        let child = command.spawn().expect("gridd starts");
        let pid = child.id();
        self.child = Some(child);
        meanwhile(pid).await;
        let place = eventually("the ready file", async || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("waits"));
            assert!(ended.is_none(), "gridd ended before it was ready: {ended:?}\n{}", self.said());
            let text = std::fs::read_to_string(&ready).ok()?;
            Some(serde_json::from_str::<Value>(&text).expect("the ready file is JSON"))
        })
        .await;
        self.grpc = place["grpc"].as_str().expect("grpc").to_owned();
        self.http = place["http"].as_str().expect("http").to_owned();
    }

    /// `kill -9`, and waits for the end.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// SIGTERM, and waits for the end; gives the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Sends a signal and waits for nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it takes a signal");
    }

    /// Waits until a SIGSTOP has stopped it: none of its threads runs any more.
    pub(crate) async fn stands_still(&self) {
        let path = format!("/proc/{}/task", self.pid());
        eventually("gridd stands still", async || {
            let mut threads = std::fs::read_dir(&path).expect("its threads");
            threads
                .all(|thread| {
                    let status = thread.expect("a thread").path().join("status");
                    std::fs::read_to_string(status).is_ok_and(|it| it.contains("State:\tT"))
                })
                .then_some(())
        })
        .await;
    }

    /// Its process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Waits for the end; gives the exit code, or none if a signal ended it.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let status = eventually("the end of gridd", async || child.try_wait().expect("waits"));
        status.await.code()
    }

    /// Runs `vme` as that appliance in boot `boot`.
    pub(crate) async fn vme(&self, appliance: &str, boot: u128, words: &[&str]) -> Run {
        run(self.vme_command(appliance, boot, words)).await
    }

    /// `vme`, not yet started.
    pub(crate) fn vme_command(&self, appliance: &str, boot: u128, words: &[&str]) -> Command {
        let mut command = clean(env!("CARGO_BIN_EXE_vme"));
        command.env("VME_BOOT_ID", uuid::Uuid::from_u128(boot).to_string());
        command.env("VME_STATE", self.path(&format!("vme-{appliance}")));
        command.args(["--broker", &self.grpc, "--appliance", appliance]).args(words);
        command
    }

    /// Runs `gridctl`.
    pub(crate) async fn gridctl(&self, words: &[&str]) -> Run {
        run(self.gridctl_command(words)).await
    }

    /// `gridctl`, not yet started.
    pub(crate) fn gridctl_command(&self, words: &[&str]) -> Command {
        let mut command = clean(env!("CARGO_BIN_EXE_gridctl"));
        command.args(["--broker", &self.grpc]).args(words);
        command
    }

    /// All records that match, by `gridctl log list --all --output json`; those that only count
    /// if asked for by their kind. There are none of an appliance that the broker does not know yet.
    pub(crate) async fn records(&self, filters: &[&str]) -> Vec<Value> {
        let words = [&["log", "list", "--all", "--output", "json"], filters].concat();
        let listed = self.gridctl(&words).await;
        if listed.code == Some(7) && listed.stderr.contains("there is no appliance") {
            return Vec::new();
        }
        assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
        let mut records: Vec<Value> =
            serde_json::from_str(&listed.stdout).expect("an array of records");
        records.retain(|record| filters.contains(&"tally") || record["kind"] != "tally");
        records
    }

    /// A connection.
    pub(crate) async fn channel(&self) -> Channel {
        soon("a connection", connect(&self.grpc)).await.expect("the broker answers")
    }

    /// The appliances over gRPC.
    pub(crate) async fn appliances(&self) -> ApplianceServiceClient<Channel> {
        ApplianceServiceClient::new(self.channel().await)
    }

    /// The open matters over gRPC.
    pub(crate) async fn alerts(&self) -> AlertServiceClient<Channel> {
        AlertServiceClient::new(self.channel().await)
    }

    /// One appliance as it stands.
    pub(crate) async fn appliance(&self, name: &str) -> Appliance {
        let request = GetApplianceRequest { name: name.to_owned() };
        let answer = soon("the appliance", self.appliances().await.get_appliance(request)).await;
        answer.expect("it is known").into_inner().appliance.expect("an appliance")
    }

    /// Waits until `gridctl appliance show` explains the appliance in words with `part`.
    pub(crate) async fn explained(&self, name: &str, part: &str) -> Appliance {
        eventually(&format!("{name} explained by `{part}`"), async || {
            let appliance = self.appliance(name).await;
            appliance.explanation.contains(part).then_some(appliance)
        })
        .await
    }

    /// A file within its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All it said on stdout, over all its starts.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.path("stdout")).expect("its stdout")
    }

    /// All it said on stderr, over all its starts.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    fn said(&self) -> String {
        format!("gridd's stdout:\n{}gridd's stderr:\n{}", self.stdout(), self.stderr())
    }

    fn append(&self, name: &str) -> Stdio {
        let file = std::fs::File::options().create(true).append(true).open(self.path(name));
        file.expect("a file for its words").into()
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

/// Runs `gridd` with these words until it ends by itself, as it must: a refusal or `--help`.
pub(crate) async fn gridd_alone(folder: &Path, words: &[&str]) -> Run {
    let mut command = clean(env!("CARGO_BIN_EXE_gridd"));
    command.current_dir(folder).args(words);
    run(command).await
}

/// An address of loopback that no other broker of this process has, so that a broker that starts
/// again finds its port free. Elsewhere than on Linux there is one address only.
fn own_loopback() -> String {
    if cfg!(target_os = "linux") {
        let process = std::process::id();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        format!("127.{}.{}.{}", 1 + process / 250 % 250, process % 250, 1 + number % 250)
    } else {
        "127.0.0.1".to_owned()
    }
}
