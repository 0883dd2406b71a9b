//! Tests of our own certificate: what a server refuses, and files that cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::server::{Authority, ClientAuth, Leaf, TestServer, VERSIONS};
use super::*;

/// The options with a client certificate, whose files are beside the server's.
fn with_certificate(
    server: &TestServer,
    trust: ServerTrust,
    leaf: (String, String),
) -> ConnectOptions {
    let credential = ClientCredential::Certificate {
        certificate: server.write("client.pem", &leaf.0),
        key: server.write("client.key", &leaf.1),
    };
    ConnectOptions { credential, ..options(server, trust) }
}

#[tokio::test]
async fn a_refused_client_certificate_is_explained_with_both_clocks() {
    for version in VERSIONS {
        let authority = Authority::new("CA");
        let other = Authority::new("other");
        let chain = authority.certify(&Leaf::default());
        let server = TestServer::start(version, chain, ClientAuth::Required(&authority)).await;
        let trust = ServerTrust::Pin(authority.pin());
        let client = |years| Leaf { is_client: true, years, ..Leaf::default() };
        let path = server.folder().join("client.pem");
        let (address, path) = (&server.address, path.display());
        for (issuer, leaf, expected) in [
            (
                &authority,
                client((2020, 2021)),
                format!(
                    "the broker at {address} refuses our certificate {path} as ended or not valid \
                     yet: it is valid from 2020-01-02T00:00:00Z until 2021-01-02T00:00:00Z, and the \
                     clock of this host shows NOW; it has ended: renew it (CertificateExpired)"
                ),
            ),
            (
                &authority,
                client((2126, 2127)),
                format!(
                    "the broker at {address} refuses our certificate {path} as ended or not valid \
                     yet: it is valid from 2126-01-02T00:00:00Z until 2127-01-02T00:00:00Z, and the \
                     clock of this host shows NOW; so one of the two clocks is wrong: correct it \
                     (CertificateExpired)"
                ),
            ),
            (
                &other,
                client((1990, 2190)),
                format!(
                    "the broker at {address} does not know the CA that signed our certificate {path}; \
                     enrol at this broker, or have its administrator name that CA in tls.client_ca \
                     (UnknownCA)"
                ),
            ),
            (
                &authority,
                Leaf::default(),
                format!(
                    "the broker at {address} refuses our certificate {path}; see the broker's records \
                     for why, or enrol again (UnsupportedCertificate)"
                ),
            ),
        ] {
            let options = with_certificate(&server, trust.clone(), issuer.certify(&leaf).pems());
            let error = call(&options).await;
            assert_eq!(without_clock(&error), expected, "{version:?}");
            assert_eq!(error.exit_code(), ExitCode::Refused);
            assert!(!error.is_retryable() && error.is_about_credential());
        }
        assert_eq!(
            sentence(&options(&server, trust)).await,
            format!(
                "the broker at {address} requires a client certificate; enrol this host (`vme \
                 enrol`), or give a certificate and its key (CertificateRequired)"
            ),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_used_by_the_same_channel() {
    for version in VERSIONS {
        let authority = Authority::new("CA");
        let chain = authority.certify(&Leaf::default());
        let server = TestServer::start(version, chain, ClientAuth::Required(&authority)).await;
        let good = authority.certify(&Leaf { is_client: true, ..Leaf::default() }).pems();
        let ended = Leaf { is_client: true, years: (2020, 2021), ..Leaf::default() };
        let trust = ServerTrust::Pin(authority.pin());
        let options = with_certificate(&server, trust, good.clone());
        let channel = options.connect().await.expect("connected");
        assert_connected(&call_on(&channel, &options.address).await.to_string());

        let ended = authority.certify(&ended).pems();
        with_certificate(&server, options.trust.clone(), ended);
        server.end_connections().await;
        // The first call may find the ended connection.
        let refused = async {
            loop {
                let error = call_on(&channel, &options.address).await;
                if error.exit_code() == ExitCode::Refused {
                    return error;
                }
                assert_eq!(error.exit_code(), ExitCode::Unavailable, "{error}");
            }
        };
        tokio::time::timeout(timeout(), refused).await.expect("the ended one is refused");

        with_certificate(&server, options.trust.clone(), good);
        let reply = async {
            loop {
                let error = call_on(&channel, &options.address).await;
                if error.exit_code() == ExitCode::NotFound {
                    return error;
                }
            }
        };
        let reply = tokio::time::timeout(timeout(), reply).await.expect("the renewed one is taken");
        assert_connected(&reply.to_string());
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_before_anything_is_sent() {
    let authority = Authority::new("CA");
    let chain = authority.certify(&Leaf::default());
    let server = TestServer::start(VERSIONS[0], chain, ClientAuth::Off).await;
    let trust = ServerTrust::Pin(authority.pin());
    let client = Leaf { is_client: true, ..Leaf::default() };
    let (certificate, key) = authority.certify(&client).pems();
    let (_, other_key) = authority.certify(&client).pems();
    let cert_path = server.folder().join("client.pem").display().to_string();
    let key_path = server.folder().join("client.key").display().to_string();
    for (certificate, key, expected) in [
        (
            certificate.as_str(),
            other_key.as_str(),
            format!(
                "the key {key_path} does not belong to the certificate {cert_path}; put the two of a \
                 pair there"
            ),
        ),
        ("", &key, format!("{cert_path} contains no certificate in PEM format")),
        (&certificate, "x", format!("{key_path} contains no private key in PEM format")),
    ] {
        let pair = (certificate.to_owned(), key.to_owned());
        let error = call(&with_certificate(&server, trust.clone(), pair)).await;
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.exit_code(), ExitCode::Usage);
        assert!(error.is_about_credential());
    }
    let options = with_certificate(&server, trust, (certificate, key));
    fs::set_permissions(&key_path, fs::Permissions::from_mode(0o644)).expect("changed");
    let text = sentence(&options).await;
    assert!(
        text.contains("holds a private key, and others can read or write it (mode 644)"),
        "{text}"
    );
    fs::remove_file(Path::new(&key_path)).expect("removed");
    assert_eq!(
        sentence(&options).await,
        format!(
            "cannot read {key_path}: No such file or directory (os error 2); check the path: \
             it, or a folder above it, is not there"
        )
    );
    assert_eq!(server.call_count(), 0);
}
