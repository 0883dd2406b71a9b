//! Whom we believe to be the SMTP server: TLS as a client, with the system's certificates.
//!
//! Guarantees that a connection is made only to a host whose certificate one of the system's or the
//! operator's own authorities has signed, in TLS 1.2 or later. Knows no SMTP.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::system_error::Explained;

/// Reads what is trusted.
pub(super) fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let mut trusted = RootCertStore::empty();
    // One of the system's that can't be read takes nothing from the others.
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        add(&mut trusted, path)?;
    }
    if trusted.is_empty() {
        let what = "this host trusts no certificate at all (package ca-certificates), so no server \
                    could be believed; name the CA of yours here";
        return Err(what.to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn add(trusted: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let place = path.display();
    let pem = std::fs::read(path)
        .map_err(|error| format!("can't read {place}: {}", Explained(&error)))?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let no_certificate = |why| format!("{place} holds what is no certificate: {why}");
        let certificate = certificate.map_err(|error| no_certificate(error.to_string()))?;
        trusted.add(certificate).map_err(|error| no_certificate(error.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(format!("{place} holds no certificate in PEM form")) }
}
