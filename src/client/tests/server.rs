//! A small TLS server, and the certificates that it and its clients show.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::grid::values::identity::KeyHash;
use crate::identity::certificate::CertificateFacts;
use crate::identity::pem::certificate_to_pem;
use crate::tasks;
use crate::tasks::NamedExecutor;

pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Whether clients show certificates.
pub(super) enum ClientAuth<'a> {
    Off,
    Required(&'a Authority),
}

/// A certificate to be made.
pub(super) struct Leaf<'a> {
    pub(super) names: &'a [&'a str],
    pub(super) years: (i32, i32),
    /// Its purpose: clients, else servers.
    pub(super) is_client: bool,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        Self { names: &["localhost", "127.0.0.1"], years: (1990, 2190), is_client: false }
    }
}

impl Leaf<'_> {
    fn params(&self) -> CertificateParams {
        let names: Vec<_> = self.names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(self.years.0, 1, 2);
        params.not_after = date_time_ymd(self.years.1, 1, 2);
        params.extended_key_usages = vec![if self.is_client {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        }];
        params
    }
}

/// A CA.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        Self::with_years(name, (1990, 2190))
    }

    pub(super) fn with_years(name: &str, years: (i32, i32)) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.not_before = date_time_ymd(years.0, 1, 2);
        params.not_after = date_time_ymd(years.1, 1, 2);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A new certificate, with that of the CA after it.
    pub(super) fn certify(&self, leaf: &Leaf<'_>) -> Chain {
        let key = KeyPair::generate().expect("a key");
        let certificate = leaf.params().signed_by(&key, &self.issuer).expect("a certificate");
        Chain { certificates: vec![certificate.der().clone(), self.der()], key }
    }

    pub(super) fn self_signed(leaf: &Leaf<'_>) -> Chain {
        let key = KeyPair::generate().expect("a key");
        let certificate = leaf.params().self_signed(&key).expect("a certificate");
        Chain { certificates: vec![certificate.der().clone()], key }
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(super) fn pin(&self) -> KeyHash {
        CertificateFacts::parse(self.certificate.der()).expect("a certificate").key
    }
}

/// A certificate with its key, and those after it.
pub(super) struct Chain {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Chain {
    /// The hash of the key of the last certificate.
    pub(super) fn pin(&self) -> KeyHash {
        let last = self.certificates.last().expect("a certificate");
        CertificateFacts::parse(last).expect("a certificate").key
    }

    /// Certificate and key as files have them.
    pub(super) fn pems(&self) -> (String, String) {
        (certificate_to_pem(&self.certificates[0]), self.key.serialize_pem())
    }
}

/// A server whose reply to each call is `hello TOKEN`, as a status.
pub(super) struct TestServer {
    /// Its address with the scheme.
    pub(super) address: String,
    folder: tempfile::TempDir,
    calls: Arc<AtomicUsize>,
    generation: watch::Sender<u64>,
    open: watch::Receiver<usize>,
}

impl TestServer {
    pub(super) async fn start(
        version: &'static SupportedProtocolVersion,
        chain: Chain,
        clients: ClientAuth<'_>,
    ) -> Self {
        Self::start_with(version, chain, clients, &[b"h2".to_vec()]).await
    }

    pub(super) async fn start_with(
        version: &'static SupportedProtocolVersion,
        chain: Chain,
        clients: ClientAuth<'_>,
        protocols: &[Vec<u8>],
    ) -> Self {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("versions");
        let builder = match clients {
            ClientAuth::Off => builder.with_no_client_auth(),
            ClientAuth::Required(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der()).expect("a CA");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(chain.key.serialize_pem().as_bytes());
        let mut config =
            builder.with_single_cert(chain.certificates, key.expect("a key")).expect("a pair");
        config.alpn_protocols = protocols.to_vec();
        config.send_tls13_tickets = 0;
        Self::listen("https", Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    pub(super) async fn start_plain() -> Self {
        Self::listen("http", None).await
    }

    async fn listen(scheme: &str, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let calls = Arc::new(AtomicUsize::new(0));
        let (generation, ends) = watch::channel(0);
        let (opened, open) = watch::channel(0);
        let (counted, opened) = (calls.clone(), Arc::new(opened));
        drop(tasks::spawn("test server", async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, calls, mut ends) = (acceptor.clone(), counted.clone(), ends.clone());
                ends.mark_unchanged();
                let opened = opened.clone();
                drop(tasks::spawn("test connection", async move {
                    opened.send_modify(|count| *count += 1);
                    tokio::select! {
                        () = async { match acceptor {
                            None => serve(socket, calls).await,
                            // Like a server that ends a failed handshake at once.
                            Some(acceptor) => if let Ok(stream) = acceptor.accept(socket).await {
                                serve(stream, calls).await;
                            },
                        } } => {}
                        _ = ends.changed() => {}
                    }
                    opened.send_modify(|count| *count -= 1);
                }));
            }
        }));
        let folder = tempfile::tempdir().expect("a folder");
        Self { address, folder, calls, generation, open }
    }

    /// Ends all connections.
    pub(super) async fn end_connections(&self) {
        self.generation.send_modify(|number| *number += 1);
        let _ = self.open.clone().wait_for(|count| *count == 0).await;
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How many calls came.
    pub(super) fn call_count(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Writes a file for its owner only.
    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        path
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    calls: Arc<AtomicUsize>,
) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        calls.fetch_add(1, Ordering::SeqCst);
        let token = request.headers().get("authorization");
        let token = token.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
        async move {
            http::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", "5")
                .header("grpc-message", format!("hello {token}"))
                // As gridd adds details to its replies.
                .header("grpc-status-details-bin", "CAU")
                .body(tonic::body::Body::empty())
        }
    });
    let server = hyper::server::conn::http2::Builder::new(NamedExecutor("test"));
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}
