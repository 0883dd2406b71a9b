//! Identity, against the real programs: roles, tokens, enrolment, renewal, revocation, TLS.

mod broker;
mod clients;
mod enrolment;
mod frames;
mod gridctl;
mod h2_frames;
mod h2_held;
mod login;
mod login_at_a_terminal;
mod network;
mod operator_ca;
mod roles;
mod scripted_broker;
#[path = "../../src/bin/gridctl/scripted_identity.rs"]
mod scripted_identity;
#[path = "../support/mod.rs"]
mod support;
mod tls_files;
mod tokens;
