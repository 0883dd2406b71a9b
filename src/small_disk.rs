//! Runs a test on a disk that is really full: in a new process, with a small tmpfs of its own.
//!
//! Guarantees that no other process sees the tmpfs (a private mount namespace), and that a machine
//! without such namespaces fails the test with the reason instead of skipping it. Does not know
//! what is tested.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

const SMALL_DISK_VARIABLE: &str = "GRID_TEST_SMALL_DISK";

/// Runs `body` in a process of its own with a folder on a disk of `mib` MiB. `test` is the full
/// name of the calling test, without the crate.
pub(crate) fn on_small_disk(test: &str, mib: u32, body: impl FnOnce(&Path)) {
    if let Some(dir) = std::env::var_os(SMALL_DISK_VARIABLE) {
        return body(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let script = "mount -t tmpfs -o size=$1m grid-test \"$2\" || exit 99; shift 2; exec \"$@\"";
    let mut unshare = Command::new("unshare");
    // Who is not root may mount in a user namespace.
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let ended = unshare
        .args(["--mount", "sh", "-c", script, "sh", &mib.to_string()])
        .arg(dir.path())
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(SMALL_DISK_VARIABLE, dir.path())
        .output()
        .expect("unshare (util-linux) is needed for a disk that is full: install it");
    let (out, err) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_ne!(
        ended.status.code(),
        Some(99),
        "a small tmpfs can't be mounted ({err}): run as root, or in a user namespace that may mount"
    );
    assert!(ended.status.success(), "{test} failed on a small disk:\n{out}\n{err}");
    assert!(out.contains("1 passed"), "{test} is not the name of the calling test:\n{out}\n{err}");
}

/// Fills the disk of `dir` at once, except for `left` bytes; removing the file frees the space.
pub(crate) fn fill(dir: &Path, left: u64) -> PathBuf {
    let path = dir.join("filler");
    let file = File::create(&path).expect("a file that fills");
    let no_flags = rustix::fs::FallocateFlags::empty();
    // Other processes may use what was free a moment ago.
    for _ in 0..1_000 {
        let space = rustix::fs::statvfs(dir).expect("free space");
        let (free, filled) =
            (space.f_bavail * space.f_frsize, file.metadata().expect("its length").len());
        let Some(needed) = free.checked_sub(left).filter(|needed| *needed > 0) else { break };
        let _ = rustix::fs::fallocate(&file, no_flags, filled, needed);
    }
    path
}
