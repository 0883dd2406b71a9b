//! What reads the reports of OpenStack's services reads ours: one small parser over both, beside the
//! real oslo.reports in a Python service.

use std::process::Command;

use serde_json::Value;

use crate::support::{Gridd, Run, eventually, run};

fn python(script: &str) -> Command {
    let python = std::env::var_os("GRID_TEST_PYTHON").expect(
        "GRID_TEST_PYTHON names no Python with the packages of tests/python/requirements.txt: \
         tests/run makes one and runs all tests",
    );
    let mut command = Command::new(python);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(format!("{}/tests/python/{script}", env!("CARGO_MANIFEST_DIR")));
    command
}

/// What the parser finds in a report.
async fn read(report: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report");
    std::fs::write(&file, report).expect("is written");
    let mut command = python("read_reports.py");
    command.arg(file);
    let Run { code, stdout, stderr } = run(command).await;
    assert_eq!(code, Some(0), "{stderr}\nin:\n{report}");
    serde_json::from_str(&stdout).expect("JSON")
}

fn frames_of(threads: &Value) -> usize {
    let threads = threads.as_array().expect("threads").iter();
    threads.map(|thread| thread["frames"].as_array().map_or(0, Vec::len)).sum()
}

#[tokio::test]
async fn a_parser_of_oslo_reports_reads_ours() {
    let theirs = run(python("oslo_service.py")).await;
    assert_eq!(theirs.code, Some(0), "{}", theirs.stderr);
    let theirs = read(&theirs.stderr).await;

    let gridd = Gridd::with_config("[mail]\npassword_in_clear = true\n").await;
    let said = gridd
        .vme("shop:main.db1", 1, &["id=start_failed", "msg=token=abc of bob@example.org"])
        .await;
    assert!(said.done().contains("is record"));
    // One that lacks something, on a machine that is busy, is read as well.
    let text = eventually("a complete report", async || {
        let text = gridd.gridctl(&["report"]).await.done();
        read(&text).await;
        Some(text).filter(|text| !text.contains("\n  remark = "))
    })
    .await;
    let ours = read(&text).await;

    for both in [&theirs, &ours] {
        let package: Vec<_> = both["Package"].as_object().expect("pairs").keys().collect();
        assert_eq!(package, ["product", "vendor", "version"]);
        assert!(frames_of(&both["Threads"]) > both["Threads"].as_array().map_or(0, Vec::len));
        assert!(both["Processes"].as_u64() > Some(0));
        assert!(both["Configuration"]["default"].is_object());
    }
    assert!(frames_of(&ours["Green Threads"]) > 5, "{ours:#}");
    assert_eq!(theirs["Configuration"]["mail"]["password"], "***");
    assert_eq!(ours["Configuration"]["mail"]["password_in_clear"], "true", "a truth is no secret");
    assert!(text.contains("token=*** of b***@example.org"), "{text}");
    assert!(!text.contains("bob@example.org") && !text.contains("token=abc"), "{text}");
}
