//! Identity, against the real programs: roles, tokens, enrolment, renewal, revocation, TLS.

mod broker;
mod enrolment;
mod roles;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
