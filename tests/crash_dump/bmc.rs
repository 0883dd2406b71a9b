//! The baseboard management controller of a machine: `bmc.py`, which ipmitool talks to.
//!
//! Guarantees that it listens on loopback, on a port of the system's choice, and ends with the test.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Follower, clean};

/// Who may ask.
pub(crate) const USER: &str = "operator";

/// With which password.
const PASSWORD: &str = "open sesame";

/// A BMC that listens.
pub(crate) struct Bmc {
    /// Its port of 127.0.0.1.
    pub(crate) port: u16,
    folder: TempDir,
    _process: Follower,
}

impl Bmc {
    /// Starts the one of the machine with its monitor at that path.
    pub(crate) async fn start(monitor: &Path) -> Self {
        let python = std::env::var_os("GRID_TEST_PYTHON").expect(
            "GRID_TEST_PYTHON names no Python with the packages of tests/python/requirements.txt: \
             tests/run makes one and runs all tests",
        );
        let mut command = clean(python);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("IPMI_PASSWORD", PASSWORD);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash_dump/bmc.py"));
        command.arg(monitor).arg(USER);
        let mut process = Follower::start(command);
        let port = process.lines(1).await[0].parse().expect("its port");
        let folder = TempDir::with_prefix("bmc-test-").expect("a temporary folder");
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).expect("is written");
        std::fs::set_permissions(password, Permissions::from_mode(0o600)).expect("a mode");
        Self { port, folder, _process: process }
    }

    /// The file with its password.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }
}
