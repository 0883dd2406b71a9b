//! Virtual machines: QEMU without acceleration, started by us or by libvirt, and the serial console.
//!
//! Guarantees that one runs at a time, that every wait for a line has a deadline, that what the guest
//! said is shown when its test fails, and that QEMU ends with the test. Does not know why it crashes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::guest;
use crate::support::{Gridd, eventually};

/// A machine takes a core and its memory: they take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// The turn of one machine.
pub(crate) type Turn = MutexGuard<'static, ()>;

/// Waits for the turn of the next machine.
pub(crate) async fn turn() -> Turn {
    TURN.lock().await
}

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

impl<'a> Plan<'a> {
    /// A machine that dumps well.
    pub(crate) fn good(name: &'a str) -> Self {
        Self { name, crashkernel: "128M", words: "", disk: "1G" }
    }

    /// The command line of its kernel.
    pub(crate) fn kernel_words(&self, gridd: &Gridd) -> String {
        let Self { name, crashkernel, words, .. } = self;
        // The guest's 10.0.2.2 is our 127.0.0.1.
        let port = gridd.grpc.strip_prefix("127.0.0.1:");
        let port = port.expect("a broker of guests listens on 127.0.0.1");
        format!(
            "console=ttyS0 quiet panic=10 crashkernel={crashkernel} \
             guest.name={name} guest.port={port} {words}"
        )
    }

    /// Starts it, an appliance of that broker, with its monitor at that path.
    pub(crate) async fn start(self, gridd: &Gridd, monitor: &Path) -> Machine {
        let turn = turn().await;
        let folder = TempDir::with_prefix("crash-dump-test-").expect("a temporary folder");
        let complaint = folder.path().join("stderr");
        let mut command = self.qemu(gridd, folder.path(), monitor);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&complaint).expect("a file for its stderr"));
        let qemu = command.spawn().expect("nice and qemu-system-x86_64");
        let console = Console { path: folder.path().join("console") };
        Machine { qemu, console, folder, _turn: turn }
    }

    fn qemu(&self, gridd: &Gridd, folder: &Path, monitor: &Path) -> Command {
        let built = guest::built();
        let disk = guest::disk(folder, self.disk);
        let mut command = Command::new("nice");
        command.arg("qemu-system-x86_64");
        // Where /dev/kvm is there, it need not work: some hosts have one on which no guest gets on.
        command.args(["-accel", "tcg", "-machine", "pc", "-m", "512", "-smp", "1"]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
        command.arg("-kernel").arg(built.join("vmlinuz"));
        command.arg("-initrd").arg(built.join("initramfs"));
        command.arg("-append").arg(self.kernel_words(gridd));
        command.arg("-serial").arg(format!("file:{}/console", folder.display()));
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", monitor.display()));
        command.arg("-drive").arg(format!("if=virtio,format=raw,file={}", disk.display()));
        command.args(["-netdev", "user,id=net"]);
        command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        command
    }
}

/// A machine that runs.
pub(crate) struct Machine {
    qemu: Child,
    /// What the guest says.
    pub(crate) console: Console,
    folder: TempDir,
    _turn: Turn,
}

impl Machine {
    /// Its disk as it stands, whose file system is made whole: as after a power failure.
    pub(crate) fn into_disk(mut self) -> (TempDir, PathBuf) {
        self.end();
        let folder = std::mem::replace(&mut self.folder, TempDir::new().expect("a folder"));
        let disk = folder.path().join("disk");
        // 1: it was not whole before.
        let checked = Command::new("/usr/sbin/e2fsck").arg("-p").arg(&disk).output();
        let checked = checked.expect("e2fsck (package e2fsprogs)");
        assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
        (folder, disk)
    }

    fn end(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let complaint = std::fs::read_to_string(self.folder.path().join("stderr"));
            #[expect(clippy::print_stderr, reason = "a failed test shows what QEMU said")]
            {
                eprintln!("QEMU's stderr:\n{}", complaint.unwrap_or_default());
            }
        }
    }
}

/// A guest's serial console, written to a file.
pub(crate) struct Console {
    /// The file.
    pub(crate) path: PathBuf,
}

impl Console {
    /// Waits for line number `count` that begins with `start`; gives what is behind `start`.
    pub(crate) async fn says(&self, start: &str, count: usize) -> String {
        eventually(&format!("line {count} of the guest with `{start}`"), async || {
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

    fn said(&self) -> String {
        let said = std::fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows what the guest said")]
            {
                eprintln!("the guest's console:\n{}", self.said());
            }
        }
    }
}

/// Whole lines only: the last one may still be being written.
fn lines<'a>(said: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    let whole = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.filter_map(move |line| line.trim_end_matches('\r').strip_prefix(start))
}
