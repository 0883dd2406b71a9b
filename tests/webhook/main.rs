//! Notifications by HTTP, with the real programs: a receiver of webhooks, a real Alertmanager, and a
//! watcher of heartbeats.
//!
//! Guarantees that an alert reaches its receiver over an outage, and that an Alertmanager shows what is
//! open, and nothing else.

mod alertmanager;
mod heartbeat;
mod receiver;
#[path = "../support/mod.rs"]
mod support;
mod webhooks;
