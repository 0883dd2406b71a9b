//! A real `gridd` on a data folder of its own, to be killed and started again.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use tempfile::TempDir;

use super::shim::Shim;
use crate::support::{scratch, wait_for};

/// There from the moment when the shim made the first call fail, or hang.
const FAILED: &str = "failed";

/// Files and checkpoints as small as they may be; deadlines that no test waits for.
const CONFIG: &str = "\
[journal]
commit_file = \"64KiB\"
span = \"64KiB\"
checkpoint_records = 1000
[class.default]
boot_timeout = \"12h\"
maintenance_silence = \"12h\"
promise_max = \"12h\"
stuck_progress = \"12h\"
lost_contact = \"12h\"
";

/// A line of configuration: appliances may say as much as they like.
pub(crate) const UNLIMITED: &str = "budget = \"unlimited\"\n";

static STARTED: AtomicU8 = AtomicU8::new(0);

/// The broker under test; it ends with the test.
pub(crate) struct Broker {
    folder: TempDir,
    /// Variables that it is started with.
    pub(crate) environment: Vec<(&'static str, String)>,
    child: Option<Child>,
    /// `HOST:PORT` of gRPC; the same over restarts.
    pub(crate) grpc: String,
}

impl Broker {
    /// One with an empty data folder, not started yet, that takes whatever comes.
    pub(crate) fn new() -> Self {
        Self::with(UNLIMITED)
    }

    /// With these lines of configuration besides, the first ones about the class.
    pub(crate) fn with(more: &str) -> Self {
        let folder = scratch();
        let config = format!("{CONFIG}{more}");
        std::fs::write(folder.path().join("gridd.toml"), config).expect("the configuration");
        // An address of loopback of its own, so that its port is free when it starts again.
        let process = std::process::id();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let host = format!("127.{}.{}.{}", 1 + process / 250 % 250, process % 250, 1 + number);
        Self { folder, environment: Vec::new(), child: None, grpc: format!("{host}:0") }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it, and waits for nothing. `fail` is what the shim shall make fail.
    pub(crate) fn spawn(&mut self, fail: Option<&str>, log: Option<&Path>) {
        assert!(self.child.is_none(), "it runs already");
        for name in ["ready.json", FAILED] {
            let _ = std::fs::remove_file(self.root().join(name));
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_gridd"));
        command.env_clear().env("TZ", "UTC").stdin(Stdio::null()).current_dir(self.root());
        let http = format!("{}:0", self.grpc.split(':').next().expect("a host"));
        command.args(["--config", "gridd.toml", "--data", "data", "--ready-file", "ready.json"]);
        command.args(["--grpc", &self.grpc, "--http", &http]);
        command.envs(self.environment.iter().cloned());
        command.stdout(Stdio::null()).stderr(self.words());
        if fail.is_some() || log.is_some() {
            Shim { root: self.root(), log, fail: fail.map(ToOwned::to_owned) }.load(&mut command);
        }
        self.child = Some(command.spawn().expect("gridd starts"));
    }

    fn words(&self) -> File {
        let file = File::options().create(true).append(true).open(self.root().join("stderr"));
        file.expect("a file for its words")
    }

    /// What it said on standard error, over all its starts.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.root().join("stderr")).unwrap_or_default()
    }

    /// Waits until it serves, or gives how it ended before.
    pub(crate) fn ready(&mut self) -> Result<(), ExitStatus> {
        wait_for("gridd serves, or has ended", || {
            if let Ok(text) = std::fs::read_to_string(self.root().join("ready.json")) {
                let place: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                self.grpc = place["grpc"].as_str().expect("an address").to_owned();
                return Some(Ok(()));
            }
            self.has_ended().map(Err)
        })
    }

    /// Whether a call was made to fail since it was spawned.
    pub(crate) fn has_failed(&self) -> bool {
        self.root().join(FAILED).exists()
    }

    /// Starts it, and waits until it serves.
    pub(crate) fn start(&mut self) {
        self.spawn(None, None);
        if let Err(status) = self.ready() {
            panic!("gridd ended with {status}: {}", self.said());
        }
    }

    /// How it ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().expect("waits")?;
        self.child = None;
        Some(status)
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_for("the end of gridd", || self.has_ended())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }

    /// Sends a signal, and waits for nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("a signal");
    }

    /// SIGTERM; gives how it ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
