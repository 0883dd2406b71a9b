//! Grid Broker: the event broker of a grid controller.

pub mod broker;
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod dashboard;
pub mod event_words;
pub mod exit_code;
pub mod grid;
pub mod grpc;
pub mod guru_meditation;
pub mod journal;
pub mod listener;
pub mod mail;
pub mod metrics;
pub mod ready_file;
pub mod report;
pub mod resources;
pub mod service_manager;
pub mod show;
pub mod sparing;
pub mod spool;
pub mod stderr;
pub mod stdout;
pub mod system_error;
pub mod tasks;
pub mod tracing_lines;
pub mod wire;

#[cfg(test)]
mod small_disk;
#[cfg(test)]
mod test_timeout;
