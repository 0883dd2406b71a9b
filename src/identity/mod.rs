//! Creates and checks credentials: tokens, keys, certificates, and the broker's own CA.
//!
//! Guarantees that no secret is displayed, and that nothing in a certificate is taken from a request
//! but its public key. Decides nothing about credentials: the core decides, and the copy of its
//! decisions is here. What each role may do is the table in `roles`.

pub mod ack_link;
pub mod authenticator;
pub mod ca;
pub mod ca_backup;
pub mod certificate;
pub mod client_verifier;
pub mod credentials;
pub mod files;
pub mod incidents;
pub mod key;
pub mod limits;
pub mod name_pattern;
pub mod peer;
pub mod pem;
pub mod refusal;
pub mod request;
pub mod roles;
mod server_certificate;
pub mod server_tls;
pub mod token;

pub use self::files::IdentityFileError;
pub use self::server_certificate::ServerCertificate;
