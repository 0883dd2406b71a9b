//! A virtual machine that belongs to libvirt: an ordinary user's libvirtd, and its domain.
//!
//! Guarantees that it uses no daemon, no configuration and no domain of the system, and that daemon and
//! domain end with the test. The test needs root, to be another user.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use super::guest::{self, done};
use super::machine::{Console, Plan, Turn, turn};
use crate::support::{Gridd, wait_for};

/// Whose daemon and domain they are.
const OWNER: &str = "nobody:nogroup";

/// An ordinary user's libvirtd.
pub(crate) struct Libvirt {
    daemon: Child,
    folder: TempDir,
    /// How it is reached, also by root, whose own session is not this one.
    pub(crate) uri: String,
    _turn: Turn,
}

/// A domain that runs.
pub(crate) struct Domain {
    /// What the guest says.
    pub(crate) console: Console,
    name: String,
    libvirt: Libvirt,
}

impl Libvirt {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        assert!(getuid().is_root(), "libvirtd runs as another user: run this test as root");
        let turn = turn().await;
        let folder = TempDir::with_prefix("libvirt-test-").expect("a temporary folder");
        let at = folder.path();
        std::fs::create_dir_all(at.join("home/.config/libvirt")).expect("a folder");
        std::fs::create_dir(at.join("run")).expect("a folder");
        // Else another daemon, virtlogd, writes the console.
        let settings = at.join("home/.config/libvirt/qemu.conf");
        std::fs::write(settings, "stdio_handler = \"file\"\n").expect("settings");
        give(at);
        let log = std::fs::File::create(at.join("log")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        command.args(["nice", "/usr/sbin/libvirtd"]);
        command.env("HOME", at.join("home")).env("XDG_RUNTIME_DIR", at.join("run"));
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
        let daemon = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let daemon = daemon.expect("setpriv (package util-linux)");
        let socket = at.join("run/libvirt/libvirt-sock");
        let uri = format!("qemu+unix:///session?socket={}", socket.display());
        let libvirt = Self { daemon, folder, uri, _turn: turn };
        wait_for("libvirtd listens", || socket.exists().then_some(()));
        libvirt
    }

    /// Starts a domain, an appliance of that broker.
    pub(crate) fn domain(self, plan: &Plan<'_>, gridd: &Gridd) -> Domain {
        let at = self.folder.path();
        for name in ["vmlinuz", "initramfs"] {
            std::fs::copy(guest::built().join(name), at.join(name)).expect("a copy");
        }
        guest::disk(at, plan.disk);
        give(at);
        let described =
            include_str!("guest/domain.xml").replace("FOLDER", &at.display().to_string());
        let described = described.replace("NAME", plan.name);
        let described = described.replace("KERNEL_WORDS", &plan.kernel_words(gridd));
        let path = at.join("domain.xml");
        std::fs::write(&path, described).expect("is written");
        let console = Console { path: at.join("console") };
        let domain = Domain { console, name: plan.name.to_owned(), libvirt: self };
        done(domain.virsh("create").arg(path));
        domain
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.daemon), Signal::TERM);
        let _ = self.daemon.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            #[expect(clippy::print_stderr, reason = "a failed test shows what libvirtd said")]
            {
                eprintln!("libvirtd's log:\n{log}");
            }
        }
    }
}

impl Domain {
    pub(crate) fn virsh(&self, word: &str) -> Command {
        let mut command = Command::new("virsh");
        command.env("LC_ALL", "C").args(["-c", &self.libvirt.uri, word]);
        command
    }

    /// QEMU's process, of which libvirtd is not the parent any more.
    fn process(&self) -> Option<Pid> {
        let path = format!("run/libvirt/qemu/run/{}.pid", self.name);
        let number = std::fs::read_to_string(self.libvirt.folder.path().join(path)).ok()?;
        Pid::from_raw(number.trim().parse().ok()?)
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let process = self.process();
        let _ = self.virsh("destroy").arg(&self.name).output();
        if let Some(process) = process.filter(|_| self.process().is_some()) {
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// All below the folder is the other user's.
fn give(folder: &Path) {
    done(Command::new("chmod").arg("755").arg(folder));
    done(Command::new("chown").args(["-R", OWNER]).arg(folder));
}
