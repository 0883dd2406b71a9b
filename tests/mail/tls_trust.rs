//! A server with which there is no TLS is told in words: what it is, for which host, what to do.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use grid_broker::config::mail::{MailSecurity, MailSettings};
use grid_broker::grid::model::mail_message::Delivery;
use grid_broker::tasks;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::mail_sender::{Courier, certify, settings};

/// How long each step may last.
const STEP: Duration = Duration::from_secs(20);

/// What becomes of a mail to a server at `port` that speaks TLS from the first byte, if the
/// certificate in `folder` is trusted.
async fn told(port: u16, folder: &Path) -> String {
    let settings = MailSettings { security: MailSecurity::Tls, ..settings(port, folder, STEP) };
    let mut courier = Courier::start(Some(&settings));
    let delivery = courier.bring(1, "alice@example.org").await;
    courier.stop().await;
    let Delivery::Deferred(why) = delivery else { panic!("{delivery:?}") };
    let begin = format!("localhost:{port} at TLS handshake: ");
    assert!(why.starts_with(&begin) && why.len() < 500, "{why}");
    why.into()
}

/// A server with the certificate in `folder`, which ends each connection after the handshake.
async fn serve(folder: &Path) -> u16 {
    let read = |name: &str| folder.join(name);
    let chain = vec![CertificateDer::from_pem_file(read("cert.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(read("key.pem")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key is the certificate's");
    let (acceptor, listener) = (TlsAcceptor::from(Arc::new(config)), listener().await);
    let port = listener.local_addr().expect("bound").port();
    tasks::spawn("tls server", async move {
        while let Ok((socket, _)) = listener.accept().await {
            drop(acceptor.accept(socket).await);
        }
    });
    port
}

/// A server that answers whatever comes first with these bytes.
async fn answering(bytes: &'static [u8]) -> u16 {
    let listener = listener().await;
    let port = listener.local_addr().expect("bound").port();
    tasks::spawn("no tls server", async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.read(&mut [0; 4_096]).await;
            let _ = socket.write_all(bytes).await;
        }
    });
    port
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// A self-signed certificate as OpenSSL makes it, with these further arguments.
fn by_openssl(arguments: &[&str]) -> TempDir {
    let folder = TempDir::with_prefix("tls-test-").expect("a temporary folder");
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder.path()).args("req -x509 -newkey rsa:2048 -nodes".split(' '));
    openssl.args("-keyout key.pem -out cert.pem -subj /CN=localhost".split(' ')).args(arguments);
    let made = openssl.output().expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
    folder
}

#[tokio::test]
async fn a_self_signed_certificate_as_openssl_makes_it_is_told_with_how_to_make_a_good_one() {
    let made = by_openssl(&["-addext", "subjectAltName=DNS:localhost"]);
    let why = told(serve(made.path()).await, made.path()).await;
    let advice = ["-addext", "basicConstraints=critical,CA:FALSE", "subjectAltName=DNS:localhost"];
    for part in ["of localhost is self-signed", "mail.ca_file", "CaUsedAsEndEntity"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(advice.iter().all(|part| why.contains(part)), "{why}");
    // And with that it is believed: what fails now is the rest of the conversation.
    let advice = [advice[0], advice[1], advice[0], advice[2]];
    let good = by_openssl(&advice);
    let settings = settings(serve(good.path()).await, good.path(), STEP);
    let mut courier =
        Courier::start(Some(&MailSettings { security: MailSecurity::Tls, ..settings }));
    let delivery = courier.bring(1, "alice@example.org").await;
    let Delivery::Deferred(why) = &delivery else { panic!("{delivery:?}") };
    assert!(why.contains(" at greeting: the server closed the connection"), "{why}");
    courier.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_time_host_or_authority_is_told_by_what_is_wrong() {
    let folder = || TempDir::with_prefix("tls-test-").expect("a temporary folder");
    let certificate = |names: &[&str], years: std::ops::Range<i32>| {
        let folder = folder();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = rcgen::CertificateParams::new(names.clone()).expect("names");
        params.distinguished_name.push(rcgen::DnType::CommonName, names[0].as_str());
        params.not_before = rcgen::date_time_ymd(years.start, 1, 2);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 2);
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("cert.pem"), made.pem()).expect("is written");
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).expect("is written");
        folder
    };
    let (old, coming, other) = (
        certificate(&["localhost"], 2001..2002),
        certificate(&["localhost"], 2090..2091),
        certificate(&["mail.example.net", "smtp.example.net"], 2001..2091),
    );
    let stranger = folder();
    drop(certify(stranger.path()));
    for (server, trusted, parts) in [
        (&old, &old, ["of localhost expired at 2002-01-02T00:00:00Z", "renew it"]),
        (&coming, &coming, ["of localhost is valid from 2090-01-02T00:00:00Z on", "clock"]),
        (&other, &other, ["name localhost, but for mail.example.net, smtp.ex", "mail.server"]),
        (&stranger, &other, ["of localhost is not signed by a CA", "mail.ca_file"]),
    ] {
        let why = told(serve(server.path()).await, trusted.path()).await;
        assert!(parts.iter().all(|part| why.contains(part)), "{parts:?}: {why}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_handshake_is_told_with_what_to_do() {
    let folder = TempDir::with_prefix("tls-test-").expect("a temporary folder");
    drop(certify(folder.path()));
    // Alerts of TLS: fatal, and why.
    let cases: [(&'static [u8], [&str; 2]); 4] = [
        (b"\x15\x03\x01\x00\x02\x02\x28", ["no cipher", "HandshakeFailure"]),
        (b"\x15\x03\x01\x00\x02\x02\x46", ["no TLS 1.2 or 1.3", "ProtocolVersion"]),
        (b"220 mail.test ESMTP\r\n", ["not TLS", "mail.security = \"starttls\""]),
        (b"", ["the server ended the connection", "see the server's log"]),
    ];
    for (bytes, parts) in cases {
        let why = told(answering(bytes).await, folder.path()).await;
        assert!(parts.iter().all(|part| why.contains(part)), "{parts:?}: {why}");
    }
}
