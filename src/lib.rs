//! Grid Broker: the event broker of a grid controller.

pub mod client;
pub mod clock;
pub mod exit_code;
pub mod grid;
pub mod journal;
pub mod tasks;
pub mod wire;
