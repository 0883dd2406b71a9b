//! Writes certificates as PEM.
//!
//! Guarantees lines of 64 characters (RFC 7468). Does not check that it is a certificate; the TLS
//! library reads PEM.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes of a line, which are 64 digits.
const LINE_BYTES: usize = 48;

/// A certificate in DER as PEM.
pub fn certificate_to_pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in der.chunks(LINE_BYTES) {
        for group in line.chunks(3) {
            let byte = |at| u32::from(group.get(at).copied().unwrap_or_default());
            let number = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let digit = DIGITS[(number >> (18 - 6 * at) & 63) as usize];
                text.push(if at > group.len() { '=' } else { char::from(digit) });
            }
        }
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn every_length_reads_back() {
        for length in 0_u8..=200 {
            let der: Vec<u8> = (0..length).map(|at| at.wrapping_mul(37)).collect();
            let pem = certificate_to_pem(&der);
            assert!(pem.lines().all(|line| line.len() <= 64), "{pem}");
            let read = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
            assert_eq!(&*read, der, "{length}");
        }
        let expected = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(certificate_to_pem(&[0x30, 0]), expected);
    }
}
