//! A scripted broker with the TLS and the authority of gridd, which notes what it receives, and a user of
//! gridctl.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use grid_broker::clock::wall_now;
use grid_broker::contract::servers::identity_service_server::IdentityServiceServer;
use grid_broker::identity::ca::CertificateAuthority;
use grid_broker::identity::token::{NewToken, TokenKind};
use grid_broker::tasks;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use uuid::Uuid;

use crate::scripted_identity::ScriptedIdentity;
use crate::support::{Run, clean, files_below, run};

/// A scripted broker with TLS, until it is dropped.
pub(crate) struct SecureBroker {
    pub(crate) authority: Arc<CertificateAuthority>,
    pub(crate) script: ScriptedIdentity,
    pub(crate) address: String,
    accepting: tokio::task::JoinHandle<()>,
    _folder: TempDir,
}

impl SecureBroker {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0", ScriptedIdentity::default()).await
    }

    /// Starts it at that address.
    pub(crate) async fn start_at(address: &str, script: ScriptedIdentity) -> Self {
        let folder = TempDir::new().expect("a folder");
        let now = wall_now();
        let authority =
            CertificateAuthority::open_or_create(&folder.path().join("ca"), Uuid::new_v4(), now);
        let authority = Arc::new(authority.expect("an authority"));
        let names = BTreeSet::from(["127.0.0.1".to_owned()]);
        let own = authority.server_certificate(&names, now).expect("a certificate");
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate_der().clone()).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let verifier = verifier.allow_unauthenticated().build().expect("a verifier");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(own.chain, own.key)
            .expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let script = script.with_authority(authority.clone());
        let accepting = tasks::spawn("accept", serve(listener, acceptor, script.clone()));
        Self { authority, script, address, accepting, _folder: folder }
    }

    /// Its pin.
    pub(crate) fn pin(&self) -> String {
        self.authority.pin().to_string()
    }

    /// Ends it; another one may take its address.
    pub(crate) async fn stop(self) -> String {
        self.accepting.abort();
        let _ = self.accepting.await;
        self.address
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, script: ScriptedIdentity) {
    // Dropped, and so ended, with this task.
    let mut connections = Vec::new();
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        let (acceptor, script) = (acceptor.clone(), script.clone());
        connections.push(ConnectionTask(tasks::spawn("connection", async move {
            let Ok(stream) = acceptor.accept(socket).await else { return };
            if stream.get_ref().1.peer_certificates().is_some() {
                script.note_credential("certificate");
            }
            let service = TowerToHyperService::new(IdentityServiceServer::new(script));
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        })));
    }
}

/// A connection, until it is dropped.
struct ConnectionTask(tokio::task::JoinHandle<()>);

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A user's folder of configuration.
pub(crate) struct User(TempDir);

impl User {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs gridctl without a terminal.
    pub(crate) async fn gridctl(&self, line: &str) -> Run {
        let mut command = clean("/usr/bin/setsid");
        command.arg("--wait").arg(env!("CARGO_BIN_EXE_gridctl"));
        command.args(line.split(' ')).env("XDG_CONFIG_HOME", self.path("config"));
        run(command).await
    }

    /// Writes a file that only the user can read; its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        path.display().to_string()
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let config = self.path("config");
        if config.exists() { files_below(&config) } else { Vec::new() }
    }
}

/// A token of that kind; for enrolment, with the pin of that broker.
pub(crate) fn new_token(kind: TokenKind, broker: Option<&SecureBroker>) -> String {
    let pin = broker.map(|broker| broker.authority.pin());
    NewToken::generate(kind, pin).expect("a token").text().to_owned()
}

/// The permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}
