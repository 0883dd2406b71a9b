//! Opens TLS connections to a broker: verifies its certificate, and shows ours.
//!
//! Guarantees TLS 1.2 or 1.3, that nothing is sent to a broker that is not verified, that certificate,
//! key and CA files are read at each connect, so that renewed ones are used without a restart, and that
//! the reason of each failure is kept as a sentence, also if the broker tells it only after the
//! handshake. Does not know what is sent over the connection.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tonic::codegen::Service;

use crate::client::CONNECT_TIMEOUT;
use crate::client::channel::BoxError;
use crate::client::diagnosis;
use crate::client::options::{BrokerAddress, ClientCredential, ConnectOptions, ServerTrust};
use crate::client::pin::PinVerifier;
use crate::client::security_failure::{LastFailure, SecurityFailure};
use crate::client::tls_failure::{self, ConnectionFacts, OwnCertificate};
use crate::grid::values::identity::KeyHash;
use crate::identity::certificate::CertificateFacts;
use crate::identity::certificate::hash_of_key;
use crate::identity::files;
use crate::system_error::Explained;

/// A handshake that only finds out what answers takes no longer than this.
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// HTTP/2, as TLS names it.
const HTTP2: &[u8] = b"h2";

/// Opens connections with the same options.
#[derive(Clone, Debug)]
pub(super) struct SecureConnector {
    options: Arc<ConnectOptions>,
    address: Arc<BrokerAddress>,
    last_failure: LastFailure,
}

impl SecureConnector {
    pub(super) fn new(
        options: ConnectOptions,
        address: BrokerAddress,
        last_failure: LastFailure,
    ) -> Self {
        Self { options: Arc::new(options), address: Arc::new(address), last_failure }
    }

    async fn connect(self) -> Result<TokioIo<SecureStream>, BoxError> {
        self.last_failure.set(None);
        let opened = self.open().await;
        if let Err(error) = &opened
            && let Some(failure) = error.downcast_ref::<SecurityFailure>()
        {
            self.last_failure.set(Some(failure.clone()));
        }
        opened.map(TokioIo::new)
    }

    async fn open(&self) -> Result<SecureStream, BoxError> {
        let (config, facts) = self.read_files()?;
        let authority = self.address.authority();
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        let socket = timeout(CONNECT_TIMEOUT, TcpStream::connect(&authority)).await;
        let socket = socket.map_err(|_| late())??;
        socket.set_nodelay(true)?;
        let host = ServerName::try_from(self.address.host.clone()).map_err(|_| {
            SecurityFailure::options(format!("{} has no valid host name", self.options.address))
        })?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(host, socket);
        let address = &self.options.address;
        let Ok(shaken) = timeout(CONNECT_TIMEOUT, handshake).await else {
            let silence = tls_failure::describe_silence(address, CONNECT_TIMEOUT.as_secs());
            return Err(SecurityFailure::server(silence).into());
        };
        let stream = match shaken {
            Ok(stream) => stream,
            Err(error) => return Err(self.explain_handshake(&facts, error).await),
        };
        if stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
            return Err(SecurityFailure::server(tls_failure::describe_no_http2(address)).into());
        }
        Ok(SecureStream { stream, facts, last_failure: self.last_failure.clone() })
    }

    async fn explain_handshake(&self, facts: &ConnectionFacts, error: io::Error) -> BoxError {
        if let Some(failure) = tls_failure::explain(facts, &error) {
            return failure.into();
        }
        // A gridd without TLS may end the connection without a word.
        if diagnosis::speaks_plain_http2(&self.address.authority()).await {
            let text = tls_failure::describe_no_tls(&self.options.address);
            return SecurityFailure::server(text).into();
        }
        io::Error::new(error.kind(), format!("the connection ended in the TLS handshake: {error}"))
            .into()
    }

    /// The configuration of this connection, and what is known of it.
    fn read_files(&self) -> Result<(ClientConfig, ConnectionFacts), SecurityFailure> {
        let options = &self.options;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| SecurityFailure::options(error.to_string()))?;
        let builder = match &options.trust {
            ServerTrust::ByAddress => builder.with_root_certificates(system_roots()?),
            ServerTrust::CaFile(path) => builder.with_root_certificates(read_roots(path)?),
            ServerTrust::Pin(pin) => builder.dangerous().with_custom_certificate_verifier(
                Arc::new(PinVerifier::new(*pin, provider.clone())),
            ),
        };
        let (mut config, own) = match &options.credential {
            ClientCredential::None | ClientCredential::Token(_) => {
                (builder.with_no_client_auth(), None)
            }
            ClientCredential::Certificate { certificate, key } => {
                let own = OwnFiles::read(certificate, key)?;
                own.check_key(&provider)?;
                let config = builder
                    .with_client_auth_cert(own.chain, own.key)
                    .map_err(|error| tls_failure::unusable_file(key, &error.to_string()))?;
                (config, Some(own.certificate))
            }
        };
        config.alpn_protocols = vec![HTTP2.to_vec()];
        let facts = ConnectionFacts {
            address: options.address.clone(),
            host: self.address.host.clone(),
            trust: options.trust.clone(),
            own,
        };
        Ok((config, facts))
    }
}

impl Service<http::Uri> for SecureConnector {
    type Response = TokioIo<SecureStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<SecureStream>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// Whether a server at `host_and_port` speaks TLS: it shows a certificate, which is not looked at, or
/// ends the handshake by an alert.
pub(super) async fn speaks_tls(host_and_port: &str) -> bool {
    let provider = Arc::new(ring::default_provider());
    let nobody = PinVerifier::new(KeyHash([0; 32]), provider.clone());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let Ok(builder) = config else { return false };
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(nobody))
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP2.to_vec()];
    let host = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
    let shaken = async {
        let socket = TcpStream::connect(host_and_port).await.ok()?;
        TlsConnector::from(Arc::new(config)).connect(host, socket).await.err()
    };
    let Ok(Some(error)) = timeout(PROBE_WITHIN, shaken).await else { return false };
    let error = error.get_ref().and_then(|it| it.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)))
}

/// Our own certificate and key, as read.
struct OwnFiles {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    certificate: OwnCertificate,
    key_path: std::path::PathBuf,
}

impl OwnFiles {
    fn read(certificate: &Path, key: &Path) -> Result<Self, SecurityFailure> {
        let chain = read_certificates(certificate)?;
        let facts = chain.first().and_then(|first| CertificateFacts::parse(first).ok());
        let facts = facts
            .ok_or_else(|| tls_failure::unusable_file(certificate, "has an invalid certificate"))?;
        let pem = files::read_private(key)
            .map_err(|error| SecurityFailure::options(error.to_string()))?;
        let private_key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            tls_failure::unusable_file(key, "contains no private key in PEM format")
        })?;
        let certificate = OwnCertificate { path: certificate.to_owned(), facts };
        Ok(Self { chain, key: private_key, certificate, key_path: key.to_owned() })
    }

    fn check_key(&self, provider: &CryptoProvider) -> Result<(), SecurityFailure> {
        let key = provider.key_provider.load_private_key(self.key.clone_key()).map_err(|_| {
            tls_failure::unusable_file(&self.key_path, "has a key of a kind that is not supported")
        })?;
        let public_key = key.public_key().map(|it| hash_of_key(&it));
        match public_key.is_none_or(|hash| hash == self.certificate.facts.key) {
            true => Ok(()),
            false => Err(SecurityFailure::options(format!(
                "the key {} does not belong to the certificate {}; put the two of a pair there",
                self.key_path.display(),
                self.certificate.path.display()
            ))),
        }
    }
}

fn system_roots() -> Result<RootCertStore, SecurityFailure> {
    let mut roots = RootCertStore::empty();
    // A certificate that cannot be read does not affect the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(SecurityFailure::options(
            "this host trusts no CA (package ca-certificates), so no broker can be verified; give the \
             broker's CA file or pin",
        )),
    }
}

fn read_roots(path: &Path) -> Result<RootCertStore, SecurityFailure> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|error| {
            tls_failure::unusable_file(path, &format!("has an invalid certificate: {error}"))
        })?;
    }
    Ok(roots)
}

/// All certificates of a PEM file: one at least.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecurityFailure> {
    let pem = std::fs::read(path).map_err(|error| {
        let (path, error) = (path.display(), Explained(&error));
        SecurityFailure::options(format!("can't read the certificate {path}: {error}"))
    })?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| {
        tls_failure::unusable_file(path, &format!("has an invalid certificate: {error}"))
    })?;
    match certificates.is_empty() {
        false => Ok(certificates),
        true => Err(tls_failure::unusable_file(path, "contains no certificate in PEM format")),
    }
}

/// A TLS connection that keeps the reason if it fails.
#[derive(Debug)]
pub(super) struct SecureStream {
    stream: TlsStream<TcpStream>,
    facts: ConnectionFacts,
    last_failure: LastFailure,
}

impl SecureStream {
    fn keep_reason(&self, error: &io::Error) {
        if let Some(failure) = tls_failure::explain(&self.facts, error) {
            self.last_failure.set(Some(failure));
        }
    }

    /// Writing failed: the broker may have said why before it closed the connection.
    fn look_for_reason(&mut self, context: &mut Context<'_>) {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_read(context, &mut buffer)
        {
            self.keep_reason(&error);
        }
    }

    fn after_write<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &written {
            let is_of_tls = error.get_ref().is_some_and(|it| it.is::<rustls::Error>());
            if is_of_tls {
                self.keep_reason(error);
            } else {
                self.look_for_reason(context);
            }
        }
        written
    }
}

impl AsyncRead for SecureStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Poll::Ready(Err(error)) = &read {
            self.keep_reason(error);
        }
        read
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.after_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.after_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.after_write(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
