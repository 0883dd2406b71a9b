//! docs/appliances.md is true: its Python client runs as it stands there, and its commands exist.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Gridd, clean, run};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/appliances.md");
    std::fs::read_to_string(path).expect("docs/appliances.md")
}

/// The one block of code in that language.
fn block(document: &str, language: &str) -> String {
    let begin = format!("\n```{language}\n");
    let mut blocks = document.split(&begin).skip(1);
    let block = blocks.next().expect("a block of code");
    assert!(blocks.next().is_none(), "one block of {language}");
    block.split("\n```").next().expect("its end").to_owned() + "\n"
}

#[tokio::test]
async fn the_python_client_runs_as_it_stands_in_the_document() {
    let python = std::env::var_os("GRID_TEST_PYTHON").expect(
        "GRID_TEST_PYTHON names no Python with the packages of tests/python/requirements.txt: \
         tests/run makes one and runs all tests",
    );
    let python = std::path::absolute(python).expect("its place");
    let gridd = Gridd::start().await;
    let folder = TempDir::new().expect("a folder");
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    std::os::unix::fs::symlink(protos, folder.path().join("proto")).expect("the contract");
    let document = document();
    let script = format!(
        "set -e\npython() {{ \"$PYTHON\" \"$@\"; }}\n{}python client.py\n",
        block(&document, "sh")
    );
    std::fs::write(folder.path().join("client.py"), block(&document, "python"))
        .expect("the client");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).current_dir(folder.path());
    command.env("PYTHON", python).env("GRID_BROKER", &gridd.grpc).env_remove("VME_APPLIANCE");
    let said = run(command).await;
    let kept = "OUTCOME_KEPT 4 \nOUTCOME_KEPT 5 \nOUTCOME_KEPT 6 \nOUTCOME_KEPT 7 \n";
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), kept), "{}", said.stderr);
    let records = gridd.records(&["--appliance", "py:main.web1"]).await;
    let told: Vec<_> = records.iter().filter_map(|it| it["kind"].as_str()).collect();
    assert_eq!(told, ["session", "maintenance", "started_ok", "log", "alert"]);
    assert_eq!(records[1]["event"]["progress"], Value::from(34));
}

#[tokio::test]
async fn every_command_of_vme_is_in_its_help_and_in_the_document() {
    let document = document();
    let mut command = clean(env!("CARGO_BIN_EXE_vme"));
    command.arg("--help");
    let help = run(command).await.done();
    for name in ["run", "maintain", "notify", "agent", "enrol"] {
        assert!(help.contains(&format!("\n  {name} ")), "{name}: {help}");
        assert!(document.contains(&format!("`vme {name}")), "{name}");
        let mut command = clean(env!("CARGO_BIN_EXE_vme"));
        command.args([name, "--help"]);
        run(command).await.done();
    }
    // The words of events are those of the help.
    let lines: Vec<_> = help.lines().filter(|line| line.starts_with("  vme id=")).collect();
    assert!(lines.len() >= 5, "one for each event kind at least: {lines:?}");
    for line in lines {
        let words = line.trim().split(" severity=fatal").next().expect("words");
        assert!(document.contains(words), "{words}");
    }
}
