//! A broker's two listeners with TLS, and clients with and without certificates.

use std::collections::BTreeSet;

use axum::routing::get;
use axum::{Extension, Router};
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use uuid::Uuid;

use super::super::*;
use crate::clock::wall_now;
use crate::grid::model::identity::CertificateGrant;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::Subject;
use crate::grid::values::time::Timestamp;
use crate::identity::ca::{CertificateAuthority, random_serial};
use crate::identity::client_verifier::PeerCheck;
use crate::identity::peer::Peer;
use crate::identity::request::CertificateRequest;
use crate::identity::server_tls::{
    ClientCertificates, OperatorFiles, TlsConfigs, TlsLoader, TlsPlan,
};
use crate::test_timeout;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);

/// Both listeners of a broker with its own CA; dropping it stops them.
pub(super) struct TestBroker {
    pub(super) folder: TempDir,
    pub(super) authority: Arc<CertificateAuthority>,
    pub(super) configs: watch::Sender<Arc<TlsConfigs>>,
    /// Names whose certificates the check refuses.
    pub(super) revoked: watch::Sender<BTreeSet<String>>,
    pub(super) generation: watch::Sender<u64>,
    pub(super) refusals: mpsc::Receiver<RefusedHandshake>,
    pub(super) grpc: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) metrics: Connections,
    pub(super) _stop: watch::Sender<bool>,
}

impl TestBroker {
    pub(super) async fn start(clients: ClientCertificates) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = authority_in(&folder, Uuid::nil());
        let configs = watch::Sender::new(Arc::new(configs(&authority, clients, "localhost")));
        let revoked = watch::Sender::new(BTreeSet::new());
        let (generation, (refusal_sender, refusals)) = (watch::Sender::new(0), mpsc::channel(64));
        let seen = revoked.subscribe();
        let check = PeerCheck::new(move |certificate| {
            let is_revoked = seen.borrow().contains(certificate.subject.name());
            if is_revoked { Err(format!("{} is revoked", certificate.subject)) } else { Ok(()) }
        });
        let (stop, metrics) = (watch::Sender::new(false), Connections::default());
        let mut addresses = Vec::new();
        for port in [Port::Grpc, Port::Http] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            addresses.push(listener.local_addr().expect("its address"));
            let tls = ListenerTls {
                configs: configs.subscribe(),
                check: check.clone(),
                generation: generation.subscribe(),
                refusals: Some(refusal_sender.clone()),
            };
            let config = ListenerConfig {
                port,
                hosts: Arc::default(),
                connections_max: 64,
                metrics: metrics.clone(),
                other_address: "127.0.0.1:7480".parse().expect("an address"),
                is_other_tls: true,
                tls: Some(tls),
            };
            let routes = Router::new()
                .route("/peer", get(peer_page))
                .route("/waits", get(std::future::pending::<&'static str>));
            drop(tasks::spawn("server", serve(listener, routes, config, stop.subscribe())));
        }
        let (grpc, http) = (addresses[0], addresses[1]);
        Self {
            folder,
            authority,
            configs,
            revoked,
            generation,
            refusals,
            grpc,
            http,
            metrics,
            _stop: stop,
        }
    }

    /// A client without a certificate.
    pub(super) fn client(&self) -> TestClient {
        TestClient {
            roots: Arc::clone(&self.authority),
            certificate: None,
            version: &version::TLS13,
            protocol: Some("http/1.1"),
        }
    }

    /// A client with a certificate of this broker.
    pub(super) fn client_of(
        &self,
        name: &str,
        issued_at: Timestamp,
        expires_at: Timestamp,
    ) -> TestClient {
        let certificate = Some(certificate(&self.authority, name, (issued_at, expires_at)));
        TestClient { certificate, ..self.client() }
    }

    /// The same for an hour.
    pub(super) fn valid_client(&self, name: &str) -> TestClient {
        self.client_of(name, wall_now(), wall_now().after(HOUR))
    }

    pub(super) fn revoke(&self, name: &str) {
        self.revoked.send_modify(|revoked| revoked.extend([name.to_owned()]));
        self.generation.send_modify(|generation| *generation += 1);
    }

    pub(super) fn count(&self, listener: &str, reason: &str) -> u32 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        let name = format!("{{listener=\"{listener}\",reason=\"{reason}\"}} ");
        let line = text.lines().find_map(|line| line.split_once(&name)).expect("a counter");
        line.1.parse().expect("a number")
    }

    pub(super) async fn refusal(&mut self) -> RefusedHandshake {
        let refusal = tokio::time::timeout(test_timeout::timeout(), self.refusals.recv()).await;
        refusal.expect("in time").expect("a refusal")
    }
}

pub(super) fn authority_in(folder: &TempDir, journal: Uuid) -> Arc<CertificateAuthority> {
    let folder = folder.path().join("ca");
    let authority = CertificateAuthority::open_or_create(&folder, journal, wall_now());
    Arc::new(authority.expect("an authority"))
}

pub(super) fn configs(
    authority: &Arc<CertificateAuthority>,
    clients: ClientCertificates,
    name: &str,
) -> TlsConfigs {
    let plan = TlsPlan {
        files: OperatorFiles::default(),
        names: ["localhost".to_owned(), name.to_owned()].into(),
        grpc_clients: clients,
        http_clients: clients,
    };
    TlsLoader::new(plan, Arc::clone(authority)).load_first(wall_now()).expect("is valid")
}

/// A certificate and its key, both DER.
pub(super) type TestCertificate = (Vec<u8>, Vec<u8>);

pub(super) fn certificate(
    authority: &CertificateAuthority,
    name: &str,
    (issued_at, expires_at): (Timestamp, Timestamp),
) -> TestCertificate {
    let key = KeyPair::generate().expect("a key");
    let request = CertificateParams::default().serialize_request(&key).expect("a request");
    let request = CertificateRequest::parse(request.der()).expect("is valid");
    let subject = Subject::Appliance(ApplianceName::new(name).expect("a name"));
    let serial = random_serial().expect("random");
    let grant = CertificateGrant { subject, serial, issued_at, expires_at };
    let der = authority.sign(&grant, &request).expect("signed");
    (der.to_vec(), key.serialize_der())
}

/// A client of a broker.
#[derive(Clone)]
pub(super) struct TestClient {
    pub(super) roots: Arc<CertificateAuthority>,
    pub(super) certificate: Option<TestCertificate>,
    pub(super) version: &'static SupportedProtocolVersion,
    pub(super) protocol: Option<&'static str>,
}

impl TestClient {
    pub(super) fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.roots.certificate_der().clone()).expect("a CA");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[self.version])
            .expect("a version")
            .with_root_certificates(roots);
        let mut config = match self.certificate.clone() {
            None => builder.with_no_client_auth(),
            Some((der, key)) => {
                let key = PrivatePkcs8KeyDer::from(key).into();
                builder.with_client_auth_cert(vec![der.into()], key).expect("a pair")
            }
        };
        config.alpn_protocols = self.protocol.iter().map(|it| it.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }

    pub(super) async fn connect(&self, at: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        connect(&self.connector(), at).await
    }

    /// Requests the page that shows the peer; an error has the alert of the server.
    pub(super) async fn peer_page(&self, at: SocketAddr) -> io::Result<String> {
        let mut stream = self.connect(at).await?;
        request(&mut stream, "/peer", "close").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

pub(super) async fn connect(
    connector: &TlsConnector,
    at: SocketAddr,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(at).await?;
    connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

pub(super) async fn request(
    stream: &mut TlsStream<TcpStream>,
    path: &str,
    connection: &str,
) -> io::Result<()> {
    let text =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    stream.flush().await
}

pub(super) async fn peer_page(Extension(peer): Extension<Peer>) -> String {
    let certificate = peer.certificate.as_ref().map(|it| (it.subject.to_string(), it.is_own));
    format!("{} {} {certificate:?}", peer.address, peer.is_tls)
}

/// Reads until the connection ends; returns what came.
pub(super) async fn read_to_end(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset or a missing close_notify also counts as the end.
    let ended = tokio::time::timeout(test_timeout::timeout(), stream.read_to_end(&mut all)).await;
    assert!(ended.is_ok(), "it is still open");
    all
}
