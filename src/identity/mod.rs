//! Creates and checks credentials: tokens, keys, certificates, and the broker's own CA.
//!
//! Guarantees that no secret is displayed, and that nothing in a certificate is taken from a request
//! but its public key. Decides nothing about who may do what: the core decides, and `roles` has the
//! table.

pub mod peer;
pub mod token;
