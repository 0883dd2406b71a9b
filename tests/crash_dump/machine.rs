//! A virtual machine: QEMU without acceleration, its serial console, its monitor.
//!
//! Guarantees that one runs at a time, that every wait for a line has a deadline, that what the guest
//! said is shown when its test fails, and that QEMU ends with the test. Does not know why it crashes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::guest;
use crate::support::{Gridd, eventually};

/// A machine takes a core and its memory: they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// What a machine is like.
pub(crate) struct Plan<'a> {
    /// The appliance's name.
    pub(crate) name: &'a str,
    /// What the kernel reserves for the crash kernel.
    pub(crate) crashkernel: &'a str,
    /// More words of the kernel's command line; `guest/init` reads them.
    pub(crate) words: &'a str,
    /// The size of the disk for dumps.
    pub(crate) disk: &'a str,
}

/// A machine that runs.
pub(crate) struct Machine {
    qemu: Child,
    /// Its disk, its console, its monitor.
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl<'a> Plan<'a> {
    /// A machine that dumps well.
    pub(crate) fn good(name: &'a str) -> Self {
        Self { name, crashkernel: "128M", words: "", disk: "1G" }
    }

    /// Starts it, an appliance of that broker, with its monitor at that path.
    pub(crate) async fn start(self, gridd: &Gridd, monitor: &Path) -> Machine {
        let turn = TURN.lock().await;
        let folder = TempDir::with_prefix("crash-dump-test-").expect("a temporary folder");
        let mut command = self.qemu(&folder, port(gridd));
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", monitor.display()));
        let console = std::fs::File::create(folder.path().join("qemu")).expect("a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(console);
        let qemu = command.spawn().expect("nice and qemu-system-x86_64");
        Machine { qemu, folder, _turn: turn }
    }

    fn qemu(&self, folder: &TempDir, port: &str) -> Command {
        let Self { name, crashkernel, words, disk } = self;
        let (built, at) = (guest::built(), folder.path().display());
        let disk = guest::disk(folder, disk);
        let mut command = Command::new("nice");
        command.arg("qemu-system-x86_64");
        // Where /dev/kvm is there, it need not work: some hosts have one on which no guest gets on.
        command.args(["-accel", "tcg", "-machine", "pc", "-m", "512", "-smp", "1"]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
        command.arg("-kernel").arg(built.join("vmlinuz"));
        command.arg("-initrd").arg(built.join("initramfs"));
        command.arg("-append").arg(format!(
            "console=ttyS0 quiet panic=10 crashkernel={crashkernel} \
             guest.name={name} guest.port={port} {words}"
        ));
        command.args(["-serial", &format!("file:{at}/console")]);
        command.args(["-drive", &format!("if=virtio,format=raw,file={}", disk.display())]);
        command.args(["-netdev", "user,id=net"]);
        command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        command
    }
}

impl Machine {
    /// Waits for the line number `count` that begins with `start`; gives what is behind `start`.
    pub(crate) async fn says(&mut self, start: &str, count: usize) -> String {
        eventually(&format!("line {count} of the guest with `{start}`"), async || {
            let ended = self.qemu.try_wait().expect("waits");
            assert!(ended.is_none(), "QEMU ended, {}", ended.expect("its end"));
            let said = self.said();
            assert!(!said.contains("guest: FAILED"), "the guest cannot start");
            lines(&said, start).nth(count - 1).map(ToOwned::to_owned)
        })
        .await
    }

    /// How many lines of the guest begin with `start` so far.
    pub(crate) fn count(&self, start: &str) -> usize {
        lines(&self.said(), start).count()
    }

    /// All it said on its console so far.
    pub(crate) fn said(&self) -> String {
        let said = std::fs::read(self.path("console")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        if std::thread::panicking() {
            let complaint = std::fs::read_to_string(self.path("qemu")).unwrap_or_default();
            #[expect(clippy::print_stderr, reason = "a failed test shows what the guest said")]
            {
                eprintln!("the guest's console:\n{}QEMU's stderr:\n{complaint}", self.said());
            }
        }
    }
}

/// Whole lines only: the last one may still be being written.
fn lines<'a>(said: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    let whole = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.filter_map(move |line| line.trim_end_matches('\r').strip_prefix(start))
}

/// The guest's 10.0.2.2 is our 127.0.0.1.
fn port(gridd: &Gridd) -> &str {
    gridd.grpc.strip_prefix("127.0.0.1:").expect("a broker for guests listens on 127.0.0.1")
}
