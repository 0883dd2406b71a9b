//! The guest: a kernel and an initramfs with the vme of this build, and a crash kernel that dumps.
//!
//! Guarantees that it is built once for all tests of this process. `guest/` has its scripts; `tests/run`
//! gets Debian's kernel, which is not installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The variable that names the folder with Debian's kernel and makedumpfile unpacked.
const PACKAGES: &str = "GRID_TEST_GUEST";

/// Built by the first test that needs it. It stays until the process ends.
static BUILT: OnceLock<PathBuf> = OnceLock::new();

/// The folder with `vmlinuz` and `initramfs`.
pub(crate) fn built() -> &'static Path {
    BUILT.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash-dump-guest");
        // What an earlier process left.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder for the guest");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash_dump/guest/build");
        let mut build = Command::new(script);
        build.arg(packages()).arg(env!("CARGO_BIN_EXE_vme")).arg(&folder);
        done(&mut build);
        folder
    })
}

fn packages() -> PathBuf {
    let folder = std::env::var_os(PACKAGES).unwrap_or_else(|| {
        panic!("{PACKAGES} names no folder with a kernel: tests/run makes one and runs all tests")
    });
    folder.into()
}

/// What reads a dump, not yet started.
pub(crate) fn makedumpfile() -> Command {
    let folder = packages();
    let mut command = Command::new(folder.join("usr/bin/makedumpfile"));
    let libraries = folder.join("usr/lib/x86_64-linux-gnu");
    let others = folder.join("lib/x86_64-linux-gnu");
    command.env("LD_LIBRARY_PATH", format!("{}:{}", libraries.display(), others.display()));
    command
}

/// The file `disk` with an empty file system of that size, as `truncate` writes sizes.
pub(crate) fn disk(folder: &Path, size: &str) -> PathBuf {
    let disk = folder.join("disk");
    done(Command::new("truncate").args(["-s", size]).arg(&disk));
    done(Command::new("/usr/sbin/mke2fs").args(["-q", "-t", "ext4"]).arg(&disk));
    disk
}

/// Runs a program, which must succeed.
pub(crate) fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}{complaint}", output.status);
    said
}
