//! Verifies a broker's certificate by the hash of a public key: that of its CA, or its own.
//!
//! Guarantees that the broker has the pinned key, or a certificate that the pinned CA has signed for a
//! server and that is in force now. The CA of a broker signs server certificates for that broker only, so
//! its name does not matter; below any other CA the server's name is compared.

use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use crate::grid::values::identity::KeyHash;
use crate::grid::values::time::Timestamp;
use crate::identity::certificate::CertificateFacts;

/// No certificate of the server has the pinned key.
#[derive(Debug, thiserror::Error)]
#[error("the pin does not match")]
pub(super) struct PinMismatch {
    /// The hash of the key of the last certificate that the server sent.
    pub(super) found: KeyHash,
}

/// A verifier for one pin.
#[derive(Debug)]
pub(super) struct PinVerifier {
    pin: KeyHash,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    pub(super) fn new(pin: KeyHash, provider: Arc<CryptoProvider>) -> Self {
        Self { pin, provider }
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        (intermediates, server_name): (&[CertificateDer<'_>], &ServerName<'_>),
        now: UnixTime,
    ) -> Result<(), Error> {
        let facts = parse(end_entity)?;
        if facts.key == self.pin {
            check_validity(&facts, now)?;
            let purpose = CertificateError::InvalidPurpose;
            return if facts.is_for_servers { Ok(()) } else { Err(purpose.into()) };
        }
        let mut last = facts.key;
        for certificate in intermediates {
            // Only the pinned certificate is trusted, so the others need not be readable.
            let Ok(facts) = CertificateFacts::parse(certificate) else { continue };
            last = facts.key;
            if facts.key != self.pin {
                continue;
            }
            if !facts.is_ca {
                return Err(CertificateError::UnknownIssuer.into());
            }
            check_validity(&facts, now)?;
            let mut trusted = RootCertStore::empty();
            trusted.add(certificate.clone().into_owned())?;
            let parsed = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &trusted,
                intermediates,
                now,
                algorithms,
            )?;
            return match facts.is_of_broker_ca() {
                true => Ok(()),
                // Another CA signs for many servers: only the name tells which one this is.
                false => verify_server_name(&parsed, server_name),
            };
        }
        let mismatch = OtherError(Arc::new(PinMismatch { found: last }));
        Err(CertificateError::Other(mismatch).into())
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify_chain(end_entity, (intermediates, server_name), now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn parse(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, Error> {
    CertificateFacts::parse(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

/// The library checks the certificates below a trusted one only.
fn check_validity(facts: &CertificateFacts, now: UnixTime) -> Result<(), Error> {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let at = |time: Timestamp| {
        let seconds = time.as_micros().max(0).unsigned_abs() / 1_000_000;
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    };
    let now_micros = Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    if now_micros < facts.not_before {
        let not_before = at(facts.not_before);
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now_micros > facts.not_after {
        let not_after = at(facts.not_after);
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    Ok(())
}
