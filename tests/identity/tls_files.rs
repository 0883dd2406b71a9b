//! The certificate files of an operator with the real program: what it refuses, and reloads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{Setup, clean, eventually, gridd_alone, run, soon};

const CONFIG: &str = "\
authentication = \"required\"
[tls]
mode = \"on\"
certificate = \"server.pem\"
key = \"server.key\"
";

/// Writes a self-signed certificate for `localhost` and its key; returns the certificate.
fn write_pair(folder: &Path, until: i32) -> CertificateDer<'static> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let certificate = params.self_signed(&key).expect("signed");
    fs::write(folder.join("server.pem"), certificate.pem()).expect("written");
    write_key(&folder.join("server.key"), &key.serialize_pem());
    certificate.der().clone()
}

fn write_key(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("a mode");
}

/// Connects as a client that trusts these certificates.
async fn connect(
    at: &str,
    protocol: &str,
    trusted: &[&CertificateDer<'static>],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add((*certificate).clone()).expect("a certificate");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(at).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    soon("a TLS connection", connected).await.expect("is accepted")
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("a chain")[0].clone().into_owned()
}

/// The status of `/livez` over an open connection.
async fn livez(stream: &mut TlsStream<TcpStream>) -> String {
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    stream.flush().await.expect("sent");
    let mut begin = [0; 12];
    soon("a page", stream.read_exact(&mut begin)).await.expect("a page");
    String::from_utf8_lossy(&begin).into_owned()
}

#[tokio::test]
async fn what_a_start_cannot_use_a_check_refuses_in_the_same_words() {
    let folder = tempfile::TempDir::with_prefix("gridd-test-").expect("a folder");
    let at = folder.path();
    let other_key = KeyPair::generate().expect("a key").serialize_pem();
    let half = CONFIG.replace("key = \"server.key\"\n", "");
    let open = CONFIG.replace("mode = \"on\"", "mode = \"off\"");
    let open = format!("grpc = \"0.0.0.0:0\"\n{open}");
    for (config, change, words) in [
        (half.as_str(), None, ":4: tls.certificate: needs tls.key, which is not set"),
        (&open, None, ":1: grpc: 0.0.0.0:0 is not on loopback, and with tls.mode = \"off\" tokens"),
        (
            CONFIG,
            Some((2_024, 0o600, None)),
            ":4: tls.certificate: the certificate in server.pem is",
        ),
        (CONFIG, Some((2_090, 0o644, None)), "(mode 644); `chmod go= server.key` fixes it"),
        (CONFIG, Some((2_090, 0o600, Some(&other_key))), "is not that of the first certificate"),
    ] {
        write_pair(at, 2_090);
        if let Some((until, mode, key)) = change {
            write_pair(at, until);
            if let Some(key) = key {
                write_key(&at.join("server.key"), key);
            }
            fs::set_permissions(at.join("server.key"), PermissionsExt::from_mode(mode))
                .expect("a mode");
        }
        fs::write(at.join("gridd.toml"), config).expect("the configuration");
        let start = gridd_alone(at, &["--config", "gridd.toml", "--data", "data"]).await;
        let check = gridd_alone(at, &["check-config", "gridd.toml"]).await;
        for (said, place) in [(start, "start"), (check, "check-config")] {
            assert_eq!(said.code, Some(2), "{place}: {said:?}");
            assert!(said.stderr.contains(words), "{place}: {said:?}");
        }
    }
    assert!(!at.join("data").exists(), "nothing was made");
}

#[tokio::test]
async fn sighup_brings_a_new_certificate_to_both_listeners_and_ends_no_connection() {
    let folder = tempfile::TempDir::with_prefix("gridd-test-").expect("a folder");
    let old = write_pair(folder.path(), 2_090);
    let gridd = Setup::within(folder, CONFIG).start().await;
    let mut live = connect(&gridd.http, "http/1.1", &[&old]).await;
    assert_eq!(livez(&mut live).await, "HTTP/1.1 200");

    write_key(&gridd.path("server.key"), "half a key");
    gridd.signal(Signal::HUP);
    eventually("the refusal", async || {
        let words = "the server certificate stays unchanged: server.key has no private key";
        gridd.stderr().contains(words).then_some(())
    })
    .await;
    assert_eq!(shown(&connect(&gridd.grpc, "h2", &[&old]).await), old);

    let new = write_pair(gridd.folder(), 2_090);
    gridd.signal(Signal::HUP);
    for (at, protocol) in [(&gridd.grpc, "h2"), (&gridd.http, "http/1.1")] {
        eventually("the new certificate", async || {
            let stream = connect(at, protocol, &[&old, &new]).await;
            (shown(&stream) == new).then_some(())
        })
        .await;
    }
    let mut rest = vec![0; 4_096];
    let _ = soon("the rest of the page", live.read(&mut rest)).await.expect("is open");
    assert_eq!(livez(&mut live).await, "HTTP/1.1 200", "the connection goes on");
}

#[tokio::test]
async fn an_appliance_enrols_where_the_servers_certificate_is_the_operators() {
    let folder = tempfile::TempDir::with_prefix("gridd-test-").expect("a folder");
    write_pair(folder.path(), 2_090);
    let gridd = Setup::within(folder, CONFIG).start().await;
    let ready = fs::read_to_string(gridd.path("ready.json")).expect("the ready file");
    let ready: serde_json::Value = serde_json::from_str(&ready).expect("JSON");
    let pin = ready["pin"].as_str().expect("a pin");
    let mut gridctl = clean(env!("CARGO_BIN_EXE_gridctl"));
    gridctl.args(["--broker", &gridd.grpc, "--pin", pin, "--token-file"]);
    gridctl.arg(gridd.data().join("admin-token")).args(["appliance", "enrol", "db1"]);
    let created = run(gridctl).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let token = gridd.path("token");
    write_key(&token, &created.stdout);
    let vme = async |words: &[&str]| {
        let mut vme = clean(env!("CARGO_BIN_EXE_vme"));
        vme.env("VME_STATE", gridd.path("state")).args(words);
        run(vme).await
    };
    let token = token.display().to_string();
    let enrolled = vme(&["enrol", "--token-file", &token, &gridd.grpc]).await;
    assert_eq!(enrolled.code, Some(0), "{enrolled:?}");
    let reported = vme(&["id=started_ok"]).await;
    assert_eq!(reported.code, Some(0), "{reported:?}");
}

#[tokio::test]
async fn a_broker_without_half_of_its_ca_does_not_make_another() {
    let mut gridd =
        Setup::new("authentication = \"required\"\n[tls]\nmode = \"on\"\n").start().await;
    gridd.terminate().await;
    let key = gridd.data().join("ca/ca.key");
    fs::rename(&key, gridd.path("taken-away")).expect("renamed");
    gridd.spawn(crate::support::Launch::default());
    assert_eq!(gridd.ended().await, Some(1));
    let words = "the broker's CA is incomplete: data/ca has ca.pem, but ca.key is missing";
    assert!(gridd.stderr().contains(words), "{}", gridd.stderr());
    assert!(!key.exists());
    fs::rename(gridd.path("taken-away"), &key).expect("renamed");
    gridd.start_again().await;
}
