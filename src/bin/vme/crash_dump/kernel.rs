//! Reads what this appliance's kernel tells about crash dumps, and crashes it by sysrq.
//!
//! Guarantees bounded reads, that what cannot be read counts as off, and that a process in a container
//! never crashes the kernel of its host. Does not know who may order a crash.

use std::fs::{File, OpenOptions};
use std::io;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use grid_broker::contract::proto::CrashDumpReadiness;
use grid_broker::system_error::Explained;
use rustix::io::Errno;

/// A flag of the kernel is a short number.
const FLAG_BYTES_MAX: u64 = 32;

/// The first PID namespace of a kernel: PROC_PID_INIT_INO of its `include/linux/proc_ns.h`.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// What container engines leave behind: Podman, Docker, systemd and those that follow it.
const CONTAINER_MARKS: [&str; 3] = ["run/.containerenv", ".dockerenv", "run/systemd/container"];

const SYSRQ_TRIGGER: &str = "proc/sysrq-trigger";

/// The command of sysrq that crashes the kernel.
const CRASH: &[u8] = b"c";

/// Why this process cannot crash the kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SysrqError {
    #[error("it runs in a container ({0}), and the kernel is that of its host")]
    Container(String),
    #[error("{} does not exist: a kernel without sysrq, or a container", .0.display())]
    Missing(PathBuf),
    #[error("{} is read-only: a container, or a sandbox (in a unit: ProtectKernelTunables=no)", .0.display())]
    ReadOnly(PathBuf),
    #[error("{} cannot be written: {source}; run `vme agent` as root", .path.display())]
    NotPermitted { path: PathBuf, source: io::Error },
    #[error("cannot {what} {}: {}", .path.display(), Explained(.source))]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

/// The kernel's files below a root folder.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    root: PathBuf,
}

/// The open trigger of sysrq.
#[derive(Debug)]
pub(crate) struct SysrqTrigger {
    file: File,
    path: PathBuf,
}

impl Kernel {
    /// The kernel; tests have another root folder than `/`.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether a crash dump would work.
    pub(crate) fn readiness(&self) -> CrashDumpReadiness {
        CrashDumpReadiness {
            unknown_nmi_panic: self.is_on("proc/sys/kernel/unknown_nmi_panic"),
            panic_on_unrecovered_nmi: self.is_on("proc/sys/kernel/panic_on_unrecovered_nmi"),
            panic_on_io_nmi: self.is_on("proc/sys/kernel/panic_on_io_nmi"),
            crash_kernel_loaded: self.is_on("sys/kernel/kexec_crash_loaded"),
        }
    }

    /// Opens the trigger of sysrq, which changes nothing.
    ///
    /// # Errors
    ///
    /// Why this process cannot crash the kernel.
    pub(crate) fn open_sysrq(&self) -> Result<SysrqTrigger, SysrqError> {
        if let Some(why) = self.container() {
            return Err(SysrqError::Container(why));
        }
        let path = self.root.join(SYSRQ_TRIGGER);
        match OpenOptions::new().write(true).open(&path) {
            Ok(file) => Ok(SysrqTrigger { file, path }),
            Err(source) => Err(match Errno::from_io_error(&source) {
                Some(Errno::NOENT) => SysrqError::Missing(path),
                Some(Errno::ROFS) => SysrqError::ReadOnly(path),
                Some(Errno::ACCESS | Errno::PERM) => SysrqError::NotPermitted { path, source },
                Some(_) | None => SysrqError::Io { what: "open", path, source },
            }),
        }
    }

    fn is_on(&self, name: &str) -> bool {
        let mut text = String::new();
        let read = File::open(self.root.join(name))
            .and_then(|file| file.take(FLAG_BYTES_MAX).read_to_string(&mut text));
        read.is_ok() && text.trim().parse().is_ok_and(|value: i64| value != 0)
    }

    /// By what this process is known to be in a container.
    fn container(&self) -> Option<String> {
        let mark = CONTAINER_MARKS.iter().find(|mark| self.root.join(mark).exists());
        if let Some(mark) = mark {
            return Some(Path::new("/").join(mark).display().to_string());
        }
        let own = match std::fs::read_link(self.root.join("proc/self/ns/pid")) {
            Ok(own) => own.display().to_string(),
            // A kernel without namespaces has no containers.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return Some(format!("its PID namespace cannot be read: {error}")),
        };
        (own != FIRST_PID_NAMESPACE).then_some(own)
    }
}

impl SysrqTrigger {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Crashes the kernel: returns only if that fails, or in a test.
    ///
    /// # Errors
    ///
    /// The system's own word.
    pub(crate) fn crash(mut self) -> Result<(), SysrqError> {
        let written = self.file.write_all(CRASH);
        written.map_err(|source| SysrqError::Io { what: "write", path: self.path, source })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A root folder with that PID namespace, and a trigger.
    fn root(namespace: &str) -> tempfile::TempDir {
        let root = tempfile::TempDir::new().unwrap();
        for folder in ["proc/self/ns", "proc/sys/kernel", "sys/kernel", "run/systemd"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        symlink(namespace, root.path().join("proc/self/ns/pid")).unwrap();
        fs::write(root.path().join(SYSRQ_TRIGGER), "").unwrap();
        root
    }

    #[test]
    fn what_cannot_be_read_is_off() {
        let root = root(FIRST_PID_NAMESPACE);
        let kernel = Kernel::at(root.path());
        assert_eq!(kernel.readiness(), CrashDumpReadiness::default());
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        write("sys/kernel/kexec_crash_loaded", "1\n");
        write("proc/sys/kernel/unknown_nmi_panic", "1\n");
        write("proc/sys/kernel/panic_on_unrecovered_nmi", "0\n");
        write("proc/sys/kernel/panic_on_io_nmi", &format!("{}1", " ".repeat(100)));
        let reported = kernel.readiness();
        assert!(reported.crash_kernel_loaded && reported.unknown_nmi_panic);
        assert!(!reported.panic_on_unrecovered_nmi && !reported.panic_on_io_nmi);
        write("sys/kernel/kexec_crash_loaded", "0\n");
        write("proc/sys/kernel/panic_on_io_nmi", "yes");
        let reported = kernel.readiness();
        assert!(!reported.crash_kernel_loaded && !reported.panic_on_io_nmi);
    }

    #[test]
    fn a_crash_is_one_letter() {
        let root = root(FIRST_PID_NAMESPACE);
        let trigger = Kernel::at(root.path()).open_sysrq().unwrap();
        assert_eq!(fs::read(trigger.path()).unwrap(), b"", "opening it changes nothing");
        trigger.crash().unwrap();
        assert_eq!(fs::read(root.path().join(SYSRQ_TRIGGER)).unwrap(), b"c");
    }

    #[test]
    fn a_container_never_crashes_its_host() {
        let contained = root("pid:[4026532177]");
        let error = Kernel::at(contained.path()).open_sysrq().unwrap_err().to_string();
        assert!(error.contains("container (pid:[4026532177])"), "{error}");
        for mark in CONTAINER_MARKS {
            let shared = root(FIRST_PID_NAMESPACE);
            assert!(Kernel::at(shared.path()).open_sysrq().is_ok());
            fs::write(shared.path().join(mark), "").unwrap();
            let error = Kernel::at(shared.path()).open_sysrq().unwrap_err().to_string();
            assert!(error.contains(mark), "{error}");
        }
    }

    #[test]
    fn a_missing_trigger_has_a_reason() {
        let root = root(FIRST_PID_NAMESPACE);
        fs::remove_file(root.path().join(SYSRQ_TRIGGER)).unwrap();
        let error = Kernel::at(root.path()).open_sysrq().unwrap_err().to_string();
        assert!(error.contains("sysrq-trigger does not exist"), "{error}");
        fs::create_dir(root.path().join(SYSRQ_TRIGGER)).unwrap();
        let error = Kernel::at(root.path()).open_sysrq().unwrap_err().to_string();
        assert!(error.starts_with("cannot open ") && error.contains("os error 21"), "{error}");
    }
}
