//! Two machines: the broker on an address that is not loopback, an appliance in a network of its own.

use grid_broker::contract::proto;

use crate::broker::{Broker, write_secret};
use crate::support::{Namespace, Run, Setup, clean, gridd_alone, holds, run};

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_on_another_machine_enrols_and_reports() {
    let network = Namespace::new();
    let broker = Broker::on_network(&network.address).await;
    let vme = async |words: &[&str]| -> Run {
        let mut command = clean(env!("CARGO_BIN_EXE_vme"));
        command.env("VME_STATE", broker.state("db1")).args(words);
        run(network.within(&command)).await
    };
    // Nobody reports without a credential.
    let refused = vme(&[
        "--broker",
        &broker.gridd.grpc,
        "--appliance=db1",
        "--timeout=1s",
        "id=log",
        "msg=a",
    ])
    .await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("TLS"), "it says what is wrong: {refused:?}");
    let file = broker.gridd.path("token");
    write_secret(&file, broker.enrolment_token("db1", false).await.expose());
    let file = file.display().to_string();
    let enrolled = vme(&["enrol", "--token-file", &file, &broker.gridd.grpc]).await;
    assert_eq!(enrolled.code, Some(0), "{enrolled:?}");
    let reported = vme(&["id=started_ok"]).await;
    // It is sent after what was spooled, so the tool does not know its number.
    assert_eq!(reported.stdout, "vme: started_ok of db1 is stored\n", "{reported:?}");
    holds("both events are records", async || {
        let log = broker.records(proto::RecordKind::Log).await;
        let started = broker.records(proto::RecordKind::StartedOk).await;
        log.len() == 1 && started.len() == 1
    })
    .await;
    let records = broker.records(proto::RecordKind::Security).await;
    assert!(records.iter().any(|it| it.contains("key enrolled for appliance db1")), "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_tls_off_loopback_is_refused_with_its_risk() {
    for (config, expected) in [
        ("[tls]\nmode = \"off\"\n", "tls.plaintext_off_loopback"),
        ("authentication = \"off\"\n", "authentication"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("gridd.toml"), config).expect("writes");
        let words = ["--config", "gridd.toml", "--data", "data", "--grpc", "192.0.2.1:7443"];
        let refused = gridd_alone(folder.path(), &words).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(expected), "{refused:?}");
        assert!(!folder.path().join("data").exists(), "nothing was made");
    }
    // With the setting it starts, and still needs credentials.
    let network = Namespace::new();
    let config = "[tls]\nmode = \"off\"\nplaintext_off_loopback = true\n";
    let gridd = Setup::new(config).host(&network.address).start().await;
    let says_so = async || gridd.stdout().contains("callers need credentials");
    holds("it says that callers need credentials", says_so).await;
}
