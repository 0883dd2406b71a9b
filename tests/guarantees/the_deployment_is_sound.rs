//! What `deploy/` holds is what systemd takes, and as hardened as deploy/README.md says.

use std::process::Command;

use tempfile::TempDir;

use crate::harness::{Run, run};

/// The exposure promised, in tenths: systemd's scale goes from 0 to 10.
const EXPOSURE_MAX: &str = "10";

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/gridd.service");

async fn analyze(words: &[&str]) -> Run {
    let mut command = Command::new("systemd-analyze");
    command.args(words).env("SYSTEMD_PAGER", "").env("SYSTEMD_COLORS", "0");
    assert!(
        Command::new("systemd-analyze").arg("--version").output().is_ok(),
        "systemd-analyze (Debian's package systemd) is needed: tests/run installs it"
    );
    run(command).await
}

/// The unit with the programs of this build, since nothing is installed here.
fn unit() -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("gridd.service").display().to_string();
    let text = std::fs::read_to_string(UNIT).expect("the unit");
    let text = text.replace("/usr/bin/gridd", env!("CARGO_BIN_EXE_gridd"));
    std::fs::write(&path, text).expect("a copy");
    (folder, path)
}

#[tokio::test]
async fn systemd_takes_the_unit_without_a_remark() {
    let (_folder, path) = unit();
    let said = analyze(&["verify", "--man=no", "--recursive-errors=no", &path]).await;
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""));
    // A check that finds nothing wrong with nonsense would find nothing at all.
    let text = std::fs::read_to_string(&path).expect("the copy");
    std::fs::write(&path, text.replace("WatchdogSec=30s", "WatchdogSek=30s")).expect("spoilt");
    let said = analyze(&["verify", "--man=no", "--recursive-errors=no", &path]).await;
    assert!(said.stderr.contains("WatchdogSek"), "{said:?}");
}

#[tokio::test]
async fn the_unit_is_as_hardened_as_the_documents_say() {
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let said = analyze(&["security", "--offline=true", &threshold, UNIT]).await;
    assert_eq!(said.code, Some(0), "{}", said.stdout);
    let (_folder, path) = unit();
    let text = std::fs::read_to_string(&path).expect("the copy");
    std::fs::write(&path, text.replace("ProtectSystem=strict\n", "")).expect("weakened");
    let said = analyze(&["security", "--offline=true", &threshold, &path]).await;
    assert_ne!(said.code, Some(0), "the threshold is near: {}", said.stdout);
}

/// The words of the unit's first command of that key.
fn command_of(key: &str) -> Vec<String> {
    let unit = std::fs::read_to_string(UNIT).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix(key)).expect("a command");
    line.split(' ').map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn a_reload_checks_the_shipped_configuration_first() {
    let mut words = command_of("ExecReload=");
    assert_eq!(words.remove(0), "/usr/bin/gridd");
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/gridd.toml");
    let words = words.iter().map(|it| it.replace("/etc/gridd/gridd.toml", shipped));
    let mut command = crate::harness::clean(env!("CARGO_BIN_EXE_gridd"));
    command.args(words);
    let said = run(command).await.done();
    assert!(said.contains("tracing_format"), "the settings that hold: {said}");
}

#[tokio::test]
async fn gridd_knows_every_flag_of_the_unit_and_has_time_to_stop() {
    let mut words = command_of("ExecStart=");
    assert_eq!(words.remove(0), "/usr/bin/gridd");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gridd"));
    // A flag that is not known would be told before the version.
    command.args(&words).arg("--version");
    assert_eq!(run(command).await.done(), concat!("gridd ", env!("CARGO_PKG_VERSION"), "\n"));
    let unit = std::fs::read_to_string(UNIT).expect("the unit");
    let seconds = |key: &str| {
        let value = unit.lines().find_map(|line| line.strip_prefix(key)).expect("a limit");
        value.trim_end_matches('s').parse::<u64>().expect("seconds")
    };
    assert!(seconds("TimeoutStopSec=") > 10, "longer than a stop takes at most");
    assert!(seconds("TimeoutStartSec=") > 30, "longer than the time that a start asks for");
}
