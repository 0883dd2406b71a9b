//! Looks at the certificates of a broker that nobody has recognised yet.
//!
//! Guarantees that nothing is sent but the beginning of a TLS handshake, which is broken off as soon as
//! the certificates are here. What it returns is a claim: only a connection that verifies the pin
//! proves that the broker has the key.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};

use grid_broker::client::{BrokerAddress, ClientError};
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::identity::certificate::CertificateFacts;

/// Longest wait for the certificates.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerAnswer {
    /// A server with TLS: the hash of the public key of the last certificate that it sent.
    Tls(KeyHash),
    /// A server without TLS, or none that could be looked at.
    NoTls,
}

/// Looks at what answers at this address.
///
/// # Errors
///
/// If the address is invalid, or nothing answers there.
pub(crate) async fn look_at(address: &str) -> Result<ServerAnswer, ClientError> {
    let parsed = BrokerAddress::parse(address)?;
    let unreachable =
        |reason: String| ClientError::Unreachable { address: address.to_owned(), reason };
    let opened = TcpStream::connect((parsed.host.as_str(), parsed.port));
    let stream = timeout(PROBE_WITHIN, opened)
        .await
        .map_err(|_| unreachable("no connection in time".to_owned()))?
        .map_err(|error| unreachable(error.to_string()))?;
    let seen = Arc::new(Verifier::default());
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unreachable(error.to_string()))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::clone(&seen) as Arc<_>);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let host = ServerName::try_from(parsed.host)
        .map_err(|_| ClientError::Address { address: address.to_owned() })?;
    // The verifier always ends the handshake.
    let _ = timeout(PROBE_WITHIN, TlsConnector::from(Arc::new(config)).connect(host, stream)).await;
    let authority = seen.authority.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ok(authority.map_or(ServerAnswer::NoTls, ServerAnswer::Tls))
}

/// Keeps the hash of the last certificate's key, and accepts none.
#[derive(Debug, Default)]
struct Verifier {
    authority: Mutex<Option<KeyHash>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let last = intermediates.last().unwrap_or(end_entity);
        let key = CertificateFacts::parse(last).ok().map(|facts| facts.key);
        *self.authority.lock().unwrap_or_else(PoisonError::into_inner) = key;
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only looked at".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only looked at".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
