//! Creates and checks credentials: tokens, keys, certificates, and the broker's own CA.
//!
//! Guarantees that no secret is displayed, and that nothing in a certificate is taken from a request
//! but its public key. Decides nothing about credentials: the core decides, and the copy of its
//! decisions is here. What each role may do is the table in `roles`.

pub mod authenticator;
pub mod credentials;
pub mod incidents;
pub mod key;
pub mod limits;
pub mod peer;
pub mod roles;
pub mod token;
