//! Exchanges the enrolment token of an administrator for a certificate.
//!
//! Guarantees that the key is made here and stored before it is sent, so that an enrolment that broke
//! off can be repeated with the same token: the broker accepts only the same key again. Replaces no
//! credential: that is the caller's decision.

use grid_broker::client::TokenText;
use grid_broker::contract::proto::{EnrolRequest, IssuedCertificate};
use grid_broker::identity::certificate::CertificateFacts;
use grid_broker::identity::files;
use grid_broker::identity::key::{IdentityKey, KeyError};
use grid_broker::identity::pem::certificate_to_pem;

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
    Ok(store.store_new_chain(&chain_pem(reply.certificate, &key)?)?)
}

/// The issued certificate, then that of the authority, as PEM.
///
/// # Errors
///
/// If it is on another key than ours.
pub(crate) fn chain_pem(
    issued: Option<IssuedCertificate>,
    key: &IdentityKey,
) -> Result<String, CliError> {
    let issued = issued.ok_or(CliError::MissingField { field: "certificate" })?;
    let facts = CertificateFacts::parse(&issued.certificate).ok();
    if facts.is_none_or(|facts| facts.key != key.hash()) {
        let text = "the broker issued a certificate that is not on your key; it is not stored";
        return Err(CliError::Login(text.to_owned()));
    }
    let certificates = [&issued.certificate, &issued.authority].into_iter();
    Ok(certificates.filter(|der| !der.is_empty()).map(|der| certificate_to_pem(der)).collect())
}
