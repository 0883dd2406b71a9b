//! An appliance under test: its name, its boot, its state folder, and whoever speaks for it.
//!
//! Guarantees that every process that speaks for a folder of this test ends with the test, drainers
//! that were left behind included.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use grid_broker::spool::{SenderId, Spool, SpoolLimits};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;
use uuid::Uuid;

use crate::support::{Follower, Run, clean, eventually, run};

/// Classes whose deadlines no test waits for, and no budgets.
pub(crate) const UNLIMITED: &str = "\
[class.default]
boot_timeout = \"12h\"
maintenance_silence = \"12h\"
promise_max = \"12h\"
stuck_progress = \"12h\"
lost_contact = \"12h\"
budget = \"unlimited\"
";

/// A folder for the state of appliances.
pub(crate) struct Ground(TempDir);

impl Ground {
    pub(crate) fn new() -> Self {
        Self(TempDir::with_prefix("appliance-test-").expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // A call that ends at this moment may leave one more behind.
        for _ in 0..50 {
            let found = processes(self.0.path(), None);
            if found.is_empty() {
                return;
            }
            for pid in found {
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An appliance.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// `None`: the system's own.
    pub(crate) boot: Option<Uuid>,
    pub(crate) broker: String,
    pub(crate) state: PathBuf,
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

impl Host {
    /// Appliance `name` in boot `boot`, with a state folder of that name.
    pub(crate) fn new(ground: &Ground, name: &str, boot: u128, broker: &str) -> Self {
        let boot = Some(Uuid::from_u128(boot));
        let (name, broker) = (name.to_owned(), broker.to_owned());
        let state = ground.path(&name);
        Self { name, boot, broker, state, environment: Vec::new() }
    }

    /// `vme`, not yet started.
    pub(crate) fn vme(&self, words: &[&str]) -> Command {
        let mut command = clean(env!("CARGO_BIN_EXE_vme"));
        if let Some(boot) = self.boot {
            command.env("VME_BOOT_ID", boot.to_string());
        }
        // Not those of this machine.
        command.env("VME_CRASH_DIR", "none");
        command.envs(self.environment.iter().cloned());
        // By an option, so that its processes can be told by their command lines.
        command.arg("--state").arg(&self.state);
        command.args(["--broker", &self.broker, "--appliance", &self.name]).args(words);
        command
    }

    /// Runs `vme` to its end.
    pub(crate) async fn say(&self, words: &[&str]) -> Run {
        run(self.vme(words)).await
    }

    /// Runs `vme`, which is to end with that exit code; gives its line.
    pub(crate) async fn says(&self, words: &[&str], code: i32) -> String {
        let said = self.say(words).await;
        assert_eq!(said.code, Some(code), "{} {words:?}: {said:?}", self.name);
        format!("{}{}", said.stdout, said.stderr)
    }

    /// An agent that serves.
    pub(crate) async fn agent(&self) -> Follower {
        let agent = Follower::start(self.vme(&["agent"]));
        agent.complains("vme: agent of").await;
        agent
    }

    /// Its spool, by the library.
    pub(crate) fn spool(&self) -> Spool {
        let teller = SenderId { appliance: self.name.clone(), boot: self.boot };
        Spool::open(&self.state, SpoolLimits::default(), teller).expect("the spool opens")
    }

    /// How many events wait.
    pub(crate) fn waiting(&self) -> usize {
        self.spool().waiting().expect("the spool can be read").len()
    }

    /// Waits until nothing waits.
    pub(crate) async fn rests(&self) {
        let what = format!("an empty spool of {}", self.name);
        eventually(&what, async || {
            let waits = self.waiting();
            if waits > 0 {
                sleep(Duration::from_millis(50)).await;
            }
            (waits == 0).then_some(())
        })
        .await;
    }

    /// The drainers that are there.
    pub(crate) fn drainers(&self) -> Vec<Pid> {
        processes(&self.state, Some("drain"))
    }
}

/// Kills it, and waits for its end.
pub(crate) fn kill(agent: Follower) {
    agent.signal(Signal::KILL);
    drop(agent);
}

/// The processes whose command lines name something below that folder, and have that word.
fn processes(folder: &Path, word: Option<&str>) -> Vec<Pid> {
    let mut found = Vec::new();
    let below = folder.to_str().expect("UTF-8");
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|it| it.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let is_ours = words.first().is_some_and(|it| it.ends_with("/vme"));
        let names = words.iter().any(|it| it.starts_with(below));
        if is_ours && names && word.is_none_or(|word| words.iter().any(|it| it == word)) {
            found.push(pid);
        }
    }
    found
}
