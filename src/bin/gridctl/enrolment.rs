//! Exchanges the enrolment token of an administrator for a certificate.
//!
//! Guarantees that the key is made here and stored before it is sent, so that an enrolment that broke
//! off can be repeated with the same token: the broker accepts only the same key again. Replaces no
//! credential: that is the caller's decision.

use grid_broker::client::TokenText;
use grid_broker::contract::proto::{EnrolRequest, IssuedCertificate};
use grid_broker::identity::files;
use grid_broker::identity::key::{IdentityKey, KeyError};

use crate::access::BrokerAccess;
use crate::connection::Connection;
use crate::credentials::{AdministratorCredential, CredentialStore};
use crate::error::CliError;

/// Enrols a key; the certificate is stored beside the credential before.
///
/// # Errors
///
/// If no key can be made or stored, or the broker refuses.
pub(crate) async fn enrol(
    access: &BrokerAccess,
    store: &CredentialStore,
    token: &TokenText,
) -> Result<AdministratorCredential, CliError> {
    let path = store.new_key_path();
    let key = match IdentityKey::read(&path)? {
        Some(key) => key,
        None => {
            let key = IdentityKey::generate()?;
            if let Some(folder) = path.parent() {
                files::create_missing_folders(folder).map_err(KeyError::from)?;
            }
            key.write(&path)?;
            key
        }
    };
    let broker = Connection::connect(access).await?;
    let request = EnrolRequest {
        token: token.expose().to_owned(),
        certificate_request: key.certificate_request()?,
        name: String::new(),
    };
    let reply = broker.identity().enrol(broker.unary(request)).await?.into_inner();
    let issued = reply.certificate.ok_or(CliError::MissingField { field: "certificate" })?;
    Ok(store.store_new_chain(&chain_pem(&issued))?)
}

/// The certificate, then that of the authority.
pub(crate) fn chain_pem(issued: &IssuedCertificate) -> String {
    let certificates = [&issued.certificate, &issued.authority].into_iter();
    certificates.filter(|der| !der.is_empty()).map(|der| certificate_pem(der)).collect()
}

/// A certificate in PEM (RFC 7468).
fn certificate_pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    // Lines of 64 characters.
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            text.push_str(&base64_group(group));
        }
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// One to three bytes as four characters.
fn base64_group(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*bytes.get(at).unwrap_or(&0)));
    let digits = (0..4).map(|at| match at <= bytes.len() {
        true => char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]),
        false => '=',
    });
    digits.collect()
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn a_chain_in_pem_reads_back() {
        for length in [1_usize, 2, 3, 47, 48, 49, 500] {
            let der = |first: u8| (0..length).map(|at| first.wrapping_add(at as u8)).collect();
            let issued = IssuedCertificate {
                certificate: der(7),
                authority: der(250),
                ..IssuedCertificate::default()
            };
            let pem = chain_pem(&issued);
            assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            let read = read.unwrap();
            assert_eq!((&*read[0], &*read[1]), (&issued.certificate[..], &issued.authority[..]));
        }
    }
}
