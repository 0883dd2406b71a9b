//! The starter of gridd: a real one with a data folder of its own, which can be killed, stopped,
//! paused and started again on the same data and addresses.
//!
//! Guarantees that it listens on an address of loopback that no other broker of these tests has, on
//! ports chosen by the system, that nothing of the environment reaches it but what is named here, and
//! that it ends with the test. Does not know what it is asked: `asking.rs` does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::programs::{Run, clean, run};

/// Variables of a program.
pub(crate) type Variables = Vec<(&'static str, OsString)>;

/// How many brokers this process has set up.
static SET_UP: AtomicU8 = AtomicU8::new(0);

/// What all starts of a broker have in common.
pub(crate) struct Setup {
    program: PathBuf,
    folder: TempDir,
    environment: Variables,
    /// A line of the shell that starts it.
    wrapper: Option<String>,
    /// The address it listens on; `None`: one of loopback of its own.
    host: Option<String>,
}

/// What one start has besides.
#[derive(Default)]
pub(crate) struct Launch<'a> {
    /// More variables.
    pub(crate) environment: Variables,
    /// In place of the wrapper of all starts.
    pub(crate) wrapper: Option<&'a str>,
    /// In place of the file `stderr` in its folder.
    pub(crate) stderr: Option<Stdio>,
}

/// A broker under test.
pub(crate) struct Gridd {
    setup: Setup,
    child: Option<Child>,
    /// `HOST:PORT` of gRPC; the same over restarts.
    pub(crate) grpc: String,
    /// `HOST:PORT` of the pages; the same over restarts.
    pub(crate) http: String,
}

impl Setup {
    /// With that configuration file, in a temporary folder.
    pub(crate) fn new(config: &str) -> Self {
        Self::within(TempDir::with_prefix("gridd-test-").expect("a temporary folder"), config)
    }

    /// With that configuration file, in that folder.
    pub(crate) fn within(folder: TempDir, config: &str) -> Self {
        std::fs::write(folder.path().join("gridd.toml"), config).expect("the configuration");
        let program = PathBuf::from(env!("CARGO_BIN_EXE_gridd"));
        Self { program, folder, environment: Variables::new(), wrapper: None, host: None }
    }

    /// Another gridd than the one of this build.
    pub(crate) fn program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// With these variables besides.
    pub(crate) fn environment(mut self, variables: Variables) -> Self {
        self.environment.extend(variables);
        self
    }

    /// Started by a line of the shell, which ends with `exec "$@"`.
    pub(crate) fn wrapper(mut self, shell: &str) -> Self {
        self.wrapper = Some(shell.to_owned());
        self
    }

    /// It listens on that address.
    pub(crate) fn host(self, host: &str) -> Self {
        Self { host: Some(host.to_owned()), ..self }
    }

    /// It may open so many descriptors.
    pub(crate) fn descriptors(self, most: u32) -> Self {
        self.wrapper(&format!("ulimit -n {most} && exec \"$@\""))
    }

    /// A broker that does not run yet.
    pub(crate) fn stopped(self) -> Gridd {
        let host = self.host.clone().unwrap_or_else(own_loopback);
        let (grpc, http) = (format!("{host}:0"), format!("{host}:0"));
        Gridd { setup: self, child: None, grpc, http }
    }

    /// A broker that serves.
    pub(crate) async fn start(self) -> Gridd {
        let mut gridd = self.stopped();
        gridd.start_again().await;
        gridd
    }
}

impl Gridd {
    /// Starts one with the defaults.
    pub(crate) async fn start() -> Self {
        Self::with_config("").await
    }

    /// Starts one whose appliances may send as many events as they like.
    pub(crate) async fn without_rate_limits() -> Self {
        Self::with_config("[class.default]\nbudget = \"unlimited\"\n").await
    }

    /// Starts one with that configuration file.
    pub(crate) async fn with_config(config: &str) -> Self {
        Setup::new(config).start().await
    }

    /// Starts it on its data, at the addresses it had, and waits until it serves. It must not run.
    pub(crate) async fn start_again(&mut self) {
        self.start_again_as(Launch::default()).await;
    }

    /// The same with what only this start has.
    pub(crate) async fn start_again_as(&mut self, launch: Launch<'_>) {
        self.spawn(launch);
        self.serves().await;
    }

    /// The same, with something done meanwhile to the process of that number.
    pub(crate) async fn start_again_with(&mut self, meanwhile: impl AsyncFnOnce(u32)) {
        self.spawn(Launch::default());
        meanwhile(self.pid()).await;
        self.serves().await;
    }

    /// Starts it, and waits for nothing. It must not run.
    pub(crate) fn spawn(&mut self, launch: Launch<'_>) {
        assert!(self.child.is_none(), "it runs already");
        let _ = std::fs::remove_file(self.path("ready.json"));
        let Setup { program, folder, environment, wrapper, .. } = &self.setup;
        let mut command = match launch.wrapper.or(wrapper.as_deref()) {
            None => clean(program),
            Some(shell) => {
                let mut command = clean("/bin/sh");
                command.args(["-c", shell, "sh"]).arg(program);
                command
            }
        };
        command.current_dir(folder.path());
        command.args(["--config", "gridd.toml", "--data", "data", "--ready-file", "ready.json"]);
        command.args(["--grpc", &self.grpc, "--http", &self.http]);
        command.envs(environment.iter().cloned()).envs(launch.environment);
        command.stdout(self.append("stdout"));
        command.stderr(launch.stderr.unwrap_or_else(|| self.append("stderr")));
        self.child = Some(command.spawn().expect("gridd starts"));
    }

    /// Waits until it serves, or gives how it ended before.
    pub(crate) async fn ready(&mut self) -> Result<(), ExitStatus> {
        let ready = self.path("ready.json");
        let place = eventually("gridd serves, or has ended", async || {
            // In this order: what ended may have served before, and has left the file then.
            let ended = self.has_ended();
            let text = std::fs::read_to_string(&ready).ok();
            text.map(Ok).or(ended.map(Err))
        });
        let place: Value = serde_json::from_str(&place.await?).expect("the ready file is JSON");
        self.grpc = place["grpc"].as_str().expect("grpc").to_owned();
        self.http = place["http"].as_str().expect("http").to_owned();
        Ok(())
    }

    async fn serves(&mut self) {
        if let Err(ended) = self.ready().await {
            panic!("gridd ended before it was ready: {ended}\n{}", self.said());
        }
    }

    /// `kill -9`, and waits for the end. It must run.
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

    /// How it ended, if it has since it was started.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().expect("waits")?;
        self.child = None;
        Some(status)
    }

    /// Whether it was started, and is not known to have ended.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Waits for the end; gives the exit code, or none if a signal ended it. It must run.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        assert!(self.child.is_some(), "it runs");
        eventually("the end of gridd", async || self.has_ended()).await.code()
    }

    /// Its folder, with its data, its configuration and what it said.
    pub(crate) fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A file within its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// All it said on stdout, over all its starts.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.path("stdout")).unwrap_or_default()
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
        let number = SET_UP.fetch_add(1, Ordering::Relaxed);
        format!("127.{}.{}.{}", 1 + process / 250 % 250, process % 250, 1 + number % 250)
    } else {
        "127.0.0.1".to_owned()
    }
}
