//! What `deploy/` holds is what systemd takes, and as hardened as deploy/README.md says.

use std::process::Command;

use tempfile::TempDir;

use crate::support::{Gridd, Run, run};

/// Units, a line that makes each as sound as it is, and the exposure promised, in tenths: systemd's
/// scale goes from 0 to 10. The start script's unit may do anything, as the script is the appliance's.
const UNITS: [(&str, &str, Option<&str>); 5] = [
    ("gridd.service", "WatchdogSec=30s", Some("10")),
    ("vme-agent.service", "RestartSec=2s", Some("18")),
    ("gridd-backup.service", "Type=oneshot", Some("10")),
    ("gridd-backup.timer", "Persistent=yes", None),
    ("vme-run.service", "RemainAfterExit=yes", None),
];

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

/// A unit with the programs of this build, since nothing is installed here.
fn unit(name: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join(name).display().to_string();
    let shipped = format!("{}/deploy/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(shipped).expect("the unit");
    let text = text.replace("/usr/bin/gridd", env!("CARGO_BIN_EXE_gridd"));
    let text = text.replace("/usr/bin/gridctl", env!("CARGO_BIN_EXE_gridctl"));
    let text = text.replace("/usr/bin/vme", env!("CARGO_BIN_EXE_vme"));
    std::fs::write(&path, text).expect("a copy");
    if let Some(name) = name.strip_suffix(".timer") {
        // systemd looks for what a timer starts.
        let service =
            format!("[Service]\nType=oneshot\nExecStart={}\n", env!("CARGO_BIN_EXE_gridctl"));
        std::fs::write(folder.path().join(format!("{name}.service")), service).expect("its unit");
    }
    (folder, path)
}

#[tokio::test]
async fn systemd_takes_the_units_without_a_remark() {
    for (name, line, _) in UNITS {
        let (_folder, path) = unit(name);
        let said = analyze(&["verify", "--man=no", "--recursive-errors=no", &path]).await;
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""));
        // A check that finds nothing wrong with nonsense would find nothing at all.
        let text = std::fs::read_to_string(&path).expect("the copy");
        let spoilt = line.replacen('=', "x=", 1);
        assert!(text.contains(line), "{name} has {line}");
        std::fs::write(&path, text.replace(line, &spoilt)).expect("spoilt");
        let said = analyze(&["verify", "--man=no", "--recursive-errors=no", &path]).await;
        assert!(said.stderr.contains(spoilt.split('=').next().expect("a key")), "{said:?}");
    }
}

#[tokio::test]
async fn the_units_are_as_hardened_as_the_documents_say() {
    for (name, _, exposure) in UNITS {
        let Some(exposure) = exposure else { continue };
        let (_folder, path) = unit(name);
        let threshold = format!("--threshold={exposure}");
        let said = analyze(&["security", "--offline=true", &threshold, &path]).await;
        assert_eq!(said.code, Some(0), "{}", said.stdout);
        let text = std::fs::read_to_string(&path).expect("the copy");
        std::fs::write(&path, text.replace("ProtectSystem=strict\n", "")).expect("weakened");
        let said = analyze(&["security", "--offline=true", &threshold, &path]).await;
        assert_ne!(said.code, Some(0), "the threshold is near: {}", said.stdout);
    }
}

#[tokio::test]
async fn the_start_is_reported_behind_all_that_starts_without_a_cycle() {
    let (folder, path) = unit("vme-run.service");
    let wants = folder.path().join("multi-user.target.wants");
    std::fs::create_dir(&wants).expect("a folder");
    std::os::unix::fs::symlink(&path, wants.join("vme-run.service")).expect("it is enabled");
    let cycles = async || {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no", "multi-user.target"]).env("SYSTEMD_COLORS", "0");
        // Before the system's own units.
        command.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()));
        let said = run(command).await.stderr;
        said.lines().filter(|line| line.contains("cycle")).count()
    };
    assert_eq!(cycles().await, 0);
    let text = std::fs::read_to_string(&path).expect("the copy");
    let spoilt = text.replace("\nAfter=", "\nBefore=multi-user.target\nAfter=");
    std::fs::write(&path, spoilt).expect("spoilt");
    assert_ne!(cycles().await, 0, "a cycle would be told");
}

/// systemd is not there to run it, so its command is run as systemd would.
#[tokio::test]
async fn the_backup_units_command_makes_a_backup_and_verifies_it() {
    let gridd = Gridd::start().await;
    let (_folder, path) = unit("gridd-backup.service");
    let text = std::fs::read_to_string(path).expect("the copy");
    let script = text.lines().find_map(|line| line.strip_prefix("ExecStart=/bin/sh -ec '"));
    let script = script.and_then(|it| it.strip_suffix('\'')).expect("a shell's command");
    let script = script.replace("$$", "$").replace("%%", "%");
    let state = TempDir::new().expect("a folder");
    let mut command = Command::new("/bin/sh");
    command.args(["-ec", &script]).env("GRID_BROKER", &gridd.grpc);
    command.env("STATE_DIRECTORY", state.path());
    let said = run(command).await.done();
    assert!(said.ends_with("\nintact\n"), "{said}");
    let made: Vec<_> = std::fs::read_dir(state.path()).expect("the folder").collect();
    assert_eq!(made.len(), 1, "{made:?}");
}

#[tokio::test]
async fn vme_knows_the_commands_of_its_units_and_the_variables_of_their_file() {
    for (name, words) in [("vme-run.service", "run"), ("vme-agent.service", "agent")] {
        let (_folder, path) = unit(name);
        let text = std::fs::read_to_string(path).expect("the copy");
        assert!(text.contains(&format!("\nExecStart={} {words}\n", env!("CARGO_BIN_EXE_vme"))));
        assert!(text.contains("\nEnvironmentFile=-/etc/default/vme\n"));
        let mut command = crate::support::clean(env!("CARGO_BIN_EXE_vme"));
        command.args([words, "--help"]);
        run(command).await.done();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/vme.default");
    let variables = std::fs::read_to_string(path).expect("the file of the environment");
    let named: Vec<_> = variables.lines().filter_map(|line| line.strip_prefix('#')).collect();
    let named: Vec<_> = named.iter().filter_map(|line| line.split_once('=')).collect();
    let named: Vec<_> = named.iter().filter(|(name, _)| !name.contains(' ')).collect();
    let expected = [
        &("GRID_BROKER", "127.0.0.1:7443"),
        &("VME_APPLIANCE", "shop:main.db1"),
        &("VME_ALLOW_CRASH_DUMP", "no"),
        &("VME_CRASH_DIR", "/var/crash"),
    ];
    assert_eq!(named, expected);
    let mut command = crate::support::clean(env!("CARGO_BIN_EXE_vme"));
    command.arg("--help");
    let help = run(command).await.done();
    assert!(named.iter().all(|(name, _)| help.contains(name)), "{help}");
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
    let mut command = crate::support::clean(env!("CARGO_BIN_EXE_gridd"));
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
