//! `gridd init` writes what a broker for a network needs, and overwrites nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Run, clean, files_below, lines, run};

const FILES: [&str; 5] =
    ["gridd-backup.service", "gridd-backup.timer", "gridd.service", "gridd.sysusers", "gridd.toml"];

/// `gridd init` into that folder, with these words besides.
async fn init(dir: &Path, words: &[&str]) -> Run {
    let mut command = clean(env!("CARGO_BIN_EXE_gridd"));
    command.arg("init").arg("--dir").arg(dir).args(words);
    run(command).await
}

fn read(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).expect(name)
}

#[tokio::test]
async fn the_written_configuration_is_valid_and_for_a_network() {
    for (words, grpc, hosts) in [
        (&["--host", "broker.example"][..], "0.0.0.0:7443", "broker.example"),
        (&["--listen", "[2001:db8::7]", "--host", "a.example"], "[2001:db8::7]:7443", "a.example"),
        (
            &["--listen", "192.0.2.7", "--host", "a.example", "--host", "192.0.2.7"],
            "192.0.2.7:7443",
            "a.example, 192.0.2.7",
        ),
    ] {
        let folder = TempDir::new().expect("a folder");
        let dir = folder.path().join("etc/gridd");
        let said = init(&dir, words).await.done();
        let mut command = clean(env!("CARGO_BIN_EXE_gridd"));
        command.args(["check-config", "--output", "json"]).arg(dir.join("gridd.toml"));
        let checked = run(command).await;
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{words:?}");
        let checked: Value = serde_json::from_str(&checked.stdout).expect("JSON");
        let settings = checked["settings"].as_array().expect("settings");
        let effective = |key: &str| {
            let setting = settings.iter().find(|it| it["key"] == key);
            setting.and_then(|it| it["value"].as_str())
        };
        for (key, value) in [
            ("data", "/var/lib/gridd"),
            ("grpc", grpc),
            ("hosts", hosts),
            ("authentication", "required"),
            ("tls.mode", "on"),
        ] {
            assert_eq!(effective(key), Some(value), "{key}: {checked}");
        }
        assert!(said.contains(&format!("as {hosts}\n")), "{said}");
        let login = format!("gridctl login {}:7443 ", hosts.split(',').next().expect("a name"));
        assert!(said.contains(&login), "{said}");
    }
}

#[tokio::test]
async fn the_written_files_are_readable_for_the_user_of_the_service() {
    let folder = TempDir::new().expect("a folder");
    let dir = folder.path().join("gridd");
    init(&dir, &[]).await.done();
    let mut written = files_below(&dir);
    written.sort();
    assert_eq!(written.len(), FILES.len(), "{written:?}");
    let mode = |path: &Path| path.metadata().expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o755);
    for name in FILES {
        assert_eq!(mode(&dir.join(name)), 0o644, "{name}");
    }
}

#[tokio::test]
async fn what_exists_is_named_and_nothing_is_written_unless_forced() {
    let folder = TempDir::new().expect("a folder");
    let dir = folder.path();
    for name in ["gridd.toml", "gridd.service"] {
        std::fs::write(dir.join(name), "mine").expect("a file");
    }
    let said = init(dir, &["--host", "broker.example"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    for name in ["gridd.toml", "gridd.service"] {
        assert!(said.stderr.contains(&dir.join(name).display().to_string()), "{}", said.stderr);
        assert_eq!(read(dir, name), "mine");
    }
    assert!(!said.stderr.contains("gridd.sysusers"), "it does not exist: {}", said.stderr);
    assert_eq!(files_below(dir).len(), 2);
    init(dir, &["--host", "broker.example", "--force"]).await.done();
    assert!(read(dir, "gridd.toml").contains("hosts = \"broker.example\""));
    assert_eq!(files_below(dir).len(), FILES.len());
}

#[tokio::test]
async fn names_folders_and_flags_that_cannot_work_are_refused() {
    let folder = TempDir::new().expect("a folder");
    for (words, hint) in [
        (&["--host", "broker.example:7443"][..], "no port"),
        (&["--host", "a\"\nb"], "is not a host name"),
        (&["--listen", "broker.example"], "an address without a port"),
        (&["--data", "elsewhere"], "--data has no effect on `gridd init`"),
    ] {
        let said = init(folder.path(), words).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(said.stderr.contains(hint), "{words:?}: {}", said.stderr);
    }
    let said = init(&folder.path().join("a folder"), &[]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("systemd would need to quote"), "{}", said.stderr);
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[tokio::test]
async fn the_written_unit_is_the_shipped_one_without_its_tie_to_loopback() {
    let folder = TempDir::new().expect("a folder");
    let dir = folder.path().join("gridd");
    init(&dir, &[]).await.done();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    for name in ["gridd-backup.service", "gridd-backup.timer", "gridd.sysusers"] {
        assert_eq!(read(&dir, name), read(Path::new(shipped), name), "{name}");
    }
    let (unit, of_loopback) =
        (read(&dir, "gridd.service"), read(Path::new(shipped), "gridd.service"));
    let left_out: Vec<_> = of_loopback
        .lines()
        .filter(|line| !unit.contains(&line.replace("/etc/gridd", &dir.display().to_string())))
        .collect();
    let [remark, "IPAddressDeny=any", "IPAddressAllow=localhost"] = left_out[..] else {
        panic!("three lines: {left_out:?}")
    };
    assert!(remark.starts_with("# Traffic from this machine only"), "{remark}");
    let start = format!("--config {}/gridd.toml", dir.display());
    assert_eq!(unit.matches(&start).count(), 2, "start and reload: {unit}");
    let listen = ["--listen", "192.0.2.7", "--force"];
    let said = init(&dir, &listen).await.done();
    assert!(said.contains("gridctl login 192.0.2.7:7443 "), "{said}");
    let backup = read(&dir, "gridd-backup.service");
    for line in ["Environment=GRID_BROKER=192.0.2.7:7443", "IPAddressAllow=localhost 192.0.2.7"] {
        assert!(lines(&backup).contains(&line), "{line}: {backup}");
    }
    let path = dir.join("installed.service");
    let unit = unit.replace("/usr/bin/gridd", env!("CARGO_BIN_EXE_gridd"));
    std::fs::write(&path, unit).expect("a copy");
    for words in [
        &["verify", "--man=no", "--recursive-errors=no"][..],
        &["security", "--offline=true", "--threshold=11"],
    ] {
        let mut command = Command::new("systemd-analyze");
        command.args(words).arg(&path).env("SYSTEMD_PAGER", "").env("SYSTEMD_COLORS", "0");
        let said = run(command).await;
        assert_eq!(said.code, Some(0), "{words:?}: {}{}", said.stdout, said.stderr);
    }
}
