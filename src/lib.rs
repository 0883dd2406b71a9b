//! Grid Broker: the event broker of a grid controller.

pub mod client;
pub mod exit_code;
pub mod journal;
pub mod tasks;
pub mod wire;
