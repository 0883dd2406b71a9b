//! Tests of TLS: whose certificate is trusted, and what is told of one that is not.

use std::path::Path;

use rcgen::generate_simple_self_signed;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::config::http_target::HttpCredentials;

/// A server's TLS with a certificate of its own, which is written to `file`.
fn acceptor(file: &Path) -> TlsAcceptor {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(file, made.cert.pem()).expect("writes");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate with its key");
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn a_certificate_is_trusted_by_its_ca_file_alone() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let [own, other] = ["own.pem", "other.pem"].map(|name| folder.path().join(name));
    let tls = acceptor(&own);
    drop(acceptor(&other));
    let good = vec![answers("200 OK", "", "")];
    let server = TestServer::start_with(good, Some(tls)).await;
    for (ca_file, expected, part) in
        [(&own, "Sent", "200 OK"), (&other, "Deferred", "signed it in ca_file")]
    {
        let url = format!("https://127.0.0.1:{}/hook", server.port);
        let ca_file = ca_file.display().to_string();
        let target = HttpTarget::new(&url, &ca_file, HttpCredentials::None).expect("a good URL");
        let mut sender = start(&[("chat", WebhookForm::Webhook, target)], patient());
        let delivery = sender.deliver(webhook_message(1)).await;
        assert!(format!("{delivery:?}").starts_with(expected), "{url}: {delivery:?}");
        assert!(delivery.reply().contains(part), "{url}: {}", delivery.reply());
    }
}
