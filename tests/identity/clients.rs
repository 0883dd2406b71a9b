//! Clients that are not ours: Python with grpcio, openssl.

use std::process::Command;

use crate::broker::{Broker, write_secret};
use crate::support::{clean, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_authenticates_by_certificate_and_by_token() {
    let python = std::env::var_os("GRID_TEST_PYTHON").expect(
        "GRID_TEST_PYTHON names no Python with the packages of tests/python/requirements.txt: \
         tests/run makes one and runs all tests",
    );
    let broker = Broker::with_tls("").await;
    let token = broker.enrolment_token("db1", false).await;
    assert_eq!(broker.vme_enrol("db1", &token).await.code, Some(0));
    let access = broker.gridd.path("python-token");
    write_secret(&access, broker.appliance("py1").await.expose());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/authenticated.py");
    let mut command = Command::new(&python);
    command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).arg(&broker.gridd.grpc);
    command.arg(broker.state("db1").join("identity")).arg(broker.gridd.data().join("ca/ca.pem"));
    let said = run({
        command.arg(&access);
        command
    })
    .await;
    assert_eq!(said.stdout, "authenticated: 6 checks passed\n", "{}", said.stderr);
}

/// What openssl's client says of a connection to that address.
async fn s_client(address: &str, words: &[&str]) -> String {
    let mut command = clean("/usr/bin/openssl");
    command.args(["s_client", "-connect", address, "-brief"]).args(words);
    let said = run(command).await;
    format!("{}{}", said.stdout, said.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_connects_by_tls_1_2_and_1_3_and_by_nothing_older() {
    let broker = Broker::with_tls("").await;
    for address in [&broker.gridd.grpc, &broker.gridd.http] {
        for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let said = s_client(address, &[flag, "-alpn", "h2"]).await;
            assert!(said.contains(&format!("Protocol version: {version}")), "{said}");
            assert!(said.contains("CONNECTION ESTABLISHED"), "{said}");
        }
        // Whatever this openssl permits by itself.
        let old = ["-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"];
        let said = s_client(address, &old).await;
        assert!(!said.contains("CONNECTION ESTABLISHED"), "{said}");
    }
    // gRPC needs its protocol to be agreed on.
    let said = s_client(&broker.gridd.grpc, &["-alpn", "http/1.1"]).await;
    assert!(!said.contains("CONNECTION ESTABLISHED"), "{said}");
}
