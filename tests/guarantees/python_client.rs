//! A client in another language, made from the contract alone, reports and reads: `tests/python`.

use std::process::Command;

use crate::support::{Gridd, run};

#[tokio::test]
async fn a_python_client_made_from_the_protos_reports_and_reads() {
    let python = std::env::var_os("GRID_TEST_PYTHON").expect(
        "GRID_TEST_PYTHON names no Python with the packages of tests/python/requirements.txt: \
         tests/run makes one and runs all tests",
    );
    let gridd = Gridd::start().await;
    // Twice: it promises to run again on the same broker.
    for _ in 0..2 {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/report_and_read.py");
        let mut command = Command::new(&python);
        command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(&gridd.grpc);
        let said = run(command).await;
        assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
        let passed = said.stdout.strip_prefix("python client: ").expect("its count");
        let passed = passed.strip_suffix(" checks passed\n").expect("its count");
        assert!(passed.parse::<u32>().expect("a number") > 100, "{passed}");
    }
}
