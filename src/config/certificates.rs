//! Builds the TLS client configuration for SMTP from CA certificates of the system and the operator.
//!
//! Guarantees that a connection is made only to a host whose certificate one of the system's or the
//! operator's own CAs has signed, with TLS 1.2 or later. Does not know SMTP.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::system_error::Explained;

/// Builds the connector. Reads the trusted certificates.
pub(super) fn tls_connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let mut trusted = RootCertStore::empty();
    // A system certificate that cannot be read does not affect the others.
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add_ca_file(&mut trusted, path)?;
    }
    if trusted.is_empty() {
        let what = "this host trusts no CA certificate (package ca-certificates), so no server can be \
                    verified; name the CA certificate of your mail server here";
        return Err(what.to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add_ca_file(trusted: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let shown_path = path.display();
    let pem = std::fs::read(path)
        .map_err(|error| format!("can't read {shown_path}: {}", Explained(&error)))?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let invalid = |why| format!("{shown_path} contains an invalid certificate: {why}");
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        trusted.add(certificate).map_err(|error| invalid(error.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(format!("{shown_path} contains no certificate in PEM format")) }
}
