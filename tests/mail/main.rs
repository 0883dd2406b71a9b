//! The courier against SMTP servers: one that misbehaves as told, and a real one.
//!
//! Guarantees of the courier: each order is answered once, in time, with the right word, whatever the
//! server does; and a real server takes and files what it brings.

mod mail_sender;
mod postfix;
mod script;
#[path = "../support/mod.rs"]
mod support;
mod the_whole_way;
mod what_a_real_server_files;
mod what_servers_do;
mod whom_a_server_refuses;
mod whom_tls_does_not_believe;
