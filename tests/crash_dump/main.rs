//! Crash dumps end to end: the real gridd, gridctl and `vme agent` against machines that panic, and
//! against the clients of others.
//!
//! Modules of virtual machines prove that what the broker says of a dump is what happened in the
//! guest. Needs the packages that tests/run installs.

mod api;
mod api_actions;
mod api_errors;
mod api_login;
mod api_order;
mod api_servers;
mod api_versions;
mod bmc;
mod client_logins;
mod clients;
mod domain;
mod dump_by_other_drivers;
mod dump_by_qemu;
mod guest;
mod machine;
mod no_dump;
mod openstack;
mod recorded_driver;
mod service;
mod story;
#[path = "../support/mod.rs"]
mod support;
