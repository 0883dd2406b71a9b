//! Reads certificate requests (PKCS#10).
//!
//! Guarantees that the requester holds the private key, since the request's signature is verified,
//! and takes nothing but the public key: whatever names, purposes or rights a request asks for are
//! ignored. Does not know who asks.

use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::FromDer;

use super::certificate::hash_of_key;
use crate::grid::values::identity::KeyHash;

/// Largest request, in bytes: one of a P-256 key has 200.
pub const REQUEST_BYTES_MAX: usize = 8 << 10;

/// A verified request for a certificate: the public key of who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    key: SubjectPublicKeyInfo,
    hash: KeyHash,
}

/// Why a certificate request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// It is too large.
    #[error("the certificate request has {0} bytes; at most {REQUEST_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// It is none.
    #[error("this is not a certificate request (PKCS#10 in DER)")]
    Malformed,
    /// Another key has signed it, or it was changed.
    #[error("the signature of the certificate request does not fit its public key")]
    WrongSignature,
    /// The key is of a kind that is not supported.
    #[error("the key of the certificate request is not an ECDSA key on the curve P-256")]
    UnsupportedKey,
}

impl CertificateRequest {
    /// Reads and verifies a request in DER.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, InvalidRequest> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(InvalidRequest::TooLarge(der.len()));
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| InvalidRequest::Malformed)?;
        if !rest.is_empty() {
            return Err(InvalidRequest::Malformed);
        }
        let info = &request.certification_request_info.subject_pki;
        let curve = info.algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
        if info.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
            return Err(InvalidRequest::UnsupportedKey);
        }
        request.verify_signature().map_err(|_| InvalidRequest::WrongSignature)?;
        let key = SubjectPublicKeyInfo::from_der(info.raw);
        let key = key.map_err(|_| InvalidRequest::UnsupportedKey)?;
        Ok(Self { key, hash: hash_of_key(info.raw) })
    }

    /// The hash of the public key.
    pub fn key_hash(&self) -> KeyHash {
        self.hash
    }

    /// The public key.
    pub(super) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData};

    use super::*;

    fn request_of(key: &KeyPair) -> Vec<u8> {
        let request = CertificateParams::default().serialize_request(key).expect("a request");
        request.der().to_vec()
    }

    #[test]
    fn a_request_gives_the_hash_of_its_key_alone() {
        let key = KeyPair::generate().expect("a key");
        let request = CertificateRequest::parse(&request_of(&key)).expect("a request");
        assert_eq!(request.key_hash(), hash_of_key(&key.subject_public_key_info()));
    }

    #[test]
    fn what_is_changed_cut_or_garbage_is_refused_in_words() {
        let key = KeyPair::generate().expect("a key");
        let valid = request_of(&key);
        let mut signed_by_another = valid.clone();
        *signed_by_another.last_mut().expect("a byte") ^= 1;
        let at = valid.windows(8).position(|it| it == &key.der_bytes()[..8]).expect("the key");
        let mut other_key = valid.clone();
        other_key[at + 40] ^= 1;
        for changed in [&signed_by_another, &other_key] {
            assert_eq!(CertificateRequest::parse(changed), Err(InvalidRequest::WrongSignature));
        }
        let longer = [&valid[..], b"\0"].concat();
        for garbage in [&b""[..], b"garbage", &valid[..valid.len() - 1], &longer, &[0x30; 4_000]] {
            assert_eq!(CertificateRequest::parse(garbage), Err(InvalidRequest::Malformed));
        }
        let large = vec![0x30; REQUEST_BYTES_MAX + 1];
        assert_eq!(CertificateRequest::parse(&large), Err(InvalidRequest::TooLarge(8_193)));
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for kind in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let key = KeyPair::generate_for(kind).expect("a key");
            let parsed = CertificateRequest::parse(&request_of(&key));
            assert_eq!(parsed, Err(InvalidRequest::UnsupportedKey));
        }
    }
}
