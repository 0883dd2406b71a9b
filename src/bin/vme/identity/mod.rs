//! The identity of this host: its key, its certificate, and where they are valid.
//!
//! ```text
//! vme enrol:  key -> Enrol(token, request) -> check -> STATE/identity.new -> STATE/identity
//! renewal:    Renew(request by the same key) -> check -> certificate.pem, broker.toml
//! ```
//!
//! Guarantees that a folder `identity` is complete, and that a broken-off enrolment can be repeated with
//! the same key. Does not know events.

pub(crate) mod enrol;
pub(crate) mod folder;
mod issued;
pub(crate) mod renewal;
#[cfg(test)]
mod tests;
