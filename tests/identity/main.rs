//! Identity, against the real programs: roles, tokens, enrolment, renewal, revocation, TLS.

mod broker;
mod clients;
mod enrolment;
mod login;
mod network;
mod roles;
#[path = "../../src/bin/gridctl/scripted_identity.rs"]
mod scripted_identity;
#[path = "../support/mod.rs"]
mod support;
mod tls_files;
mod tokens;
