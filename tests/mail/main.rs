//! The courier against SMTP servers: one that misbehaves as told, and a real one.
//!
//! Guarantees of the courier: each order is answered once, in time, with the right word, whatever the
//! server does; and a real server takes and files what it brings.

mod end_to_end;
mod mail_sender;
mod postfix;
mod real_server;
mod refusals;
mod script;
mod server_behaviour;
#[path = "../support/mod.rs"]
mod support;
mod tls_trust;
