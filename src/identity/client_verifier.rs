//! Verifies the certificates of clients during the handshake: chain, owner, and whether it is
//! accepted now.
//!
//! Guarantees that a certificate is refused within the handshake, so that its client gets an alert;
//! that the reason in words and the certificate are known afterwards, since rustls keeps neither;
//! and that outside of [`observe`] no certificate is accepted. Does not know who may do what.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
};

use super::ca::CertificateAuthority;
use super::certificate::{CertificateFacts, NoSubject};
use super::name_pattern::{NamePattern, PatternMismatch};
use super::peer::PeerCertificate;

/// The function of a [`PeerCheck`].
type CheckFunction = dyn Fn(&PeerCertificate) -> Result<(), String> + Send + Sync;

/// Whether a valid certificate is accepted now: its owner is known, its key is the enrolled one, and
/// it is not revoked. An error says why not, for people. Cheap to clone.
#[derive(Clone)]
pub struct PeerCheck(Arc<CheckFunction>);

impl PeerCheck {
    /// A check by a function. It is called at every handshake, and must not block.
    pub fn new(
        check: impl Fn(&PeerCertificate) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(check))
    }

    /// Checks a certificate.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub fn check(&self, certificate: &PeerCertificate) -> Result<(), String> {
        (self.0)(certificate)
    }
}

/// Accepts every valid certificate.
impl Default for PeerCheck {
    fn default() -> Self {
        Self::new(|_| Ok(()))
    }
}

impl fmt::Debug for PeerCheck {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PeerCheck")
    }
}

/// What a handshake showed of the client.
#[derive(Clone, Debug, Default)]
pub struct ObservedHandshake {
    /// The client's certificate, whether it was accepted or not. Only after a successful handshake is
    /// it known that the client has its key.
    pub facts: Option<CertificateFacts>,
    /// Whose it is, if it was accepted.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Why a valid certificate was not accepted.
    pub refusal: Option<Box<str>>,
}

struct Observation {
    check: PeerCheck,
    seen: RefCell<ObservedHandshake>,
}

tokio::task_local! {
    static OBSERVATION: Observation;
}

/// Runs a handshake, and returns what it showed of the client.
pub async fn observe<F: Future>(check: PeerCheck, handshake: F) -> (F::Output, ObservedHandshake) {
    let observation = Observation { check, seen: RefCell::default() };
    let observed = async {
        let output = handshake.await;
        (output, OBSERVATION.with(|it| it.seen.take()))
    };
    OBSERVATION.scope(observation, observed).await
}

/// Verifies the certificates of clients.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    /// Verifies the chain, the time and the purpose.
    pub(super) chain: Arc<dyn ClientCertVerifier>,
    pub(super) authority: Arc<CertificateAuthority>,
    /// The names in certificates of the operator's CA, if there is one.
    pub(super) pattern: Option<NamePattern>,
}

impl ClientVerifier {
    /// Whose a certificate is, after its chain was verified.
    fn identify(
        &self,
        der: &CertificateDer<'_>,
        facts: &CertificateFacts,
    ) -> Result<PeerCertificate, NoSubject> {
        let is_own = self.authority.has_signed(der);
        let subject = match &self.pattern {
            _ if is_own => facts.own_subject(self.authority.journal())?,
            Some(pattern) => facts.subject_by(pattern)?,
            // Nobody else can have signed it.
            None => {
                let (pattern, found) = ("".into(), facts.listed_names());
                return Err(PatternMismatch::NoMatch { pattern, found }.into());
            }
        };
        // The serial numbers of the own CA are compared with what the state has.
        let serial =
            if is_own { format!("{:0>32}", facts.serial).into() } else { facts.serial.clone() };
        let (key, issued_at, expires_at) = (facts.key, facts.not_before, facts.not_after);
        Ok(PeerCertificate { subject, key, serial, issued_at, expires_at, is_own })
    }
}

/// A broker's CA that was made anew has the name of the old one, whose certificates have a wrong
/// signature then. To clients, that is the same as any other unknown CA.
fn without_bad_signature(error: Error) -> Error {
    if error == Error::InvalidCertificate(CertificateError::BadSignature) {
        Error::InvalidCertificate(CertificateError::UnknownIssuer)
    } else {
        error
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused =
            || Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let facts = CertificateFacts::parse(der);
        let verified = OBSERVATION.try_with(|observation| {
            let mut seen = observation.seen.borrow_mut();
            seen.facts = facts.as_ref().ok().cloned();
            let verified = self.chain.verify_client_cert(der, intermediates, now);
            let verified = verified.map_err(without_bad_signature)?;
            let owner = facts.map_err(NoSubject::from).and_then(|it| self.identify(der, &it));
            let owner = owner.map_err(|why| {
                seen.refusal = Some(why.to_string().into());
                refused()
            })?;
            observation.check.check(&owner).map_err(|why| {
                seen.refusal = Some(why.into());
                Error::InvalidCertificate(CertificateError::Revoked)
            })?;
            seen.certificate = Some(Arc::new(owner));
            Ok(verified)
        });
        verified.unwrap_or_else(|_| Err(refused()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
