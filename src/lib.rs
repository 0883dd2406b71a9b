//! Grid Broker: the event broker of a grid controller.

pub mod broker;
pub mod client;
pub mod clock;
pub mod codec;
pub mod config;
pub mod contract;
pub mod crash_dump;
pub mod daemon;
pub mod diagnostic_sections;
pub mod event_args;
pub mod exit_code;
pub mod grid;
pub mod grpc;
pub mod guru_meditation;
pub mod http;
pub mod identity;
pub mod journal;
pub mod listener;
pub mod log_limiter;
pub mod mail;
pub mod metrics;
pub mod process_stats;
pub mod ready_file;
pub mod resources;
pub mod service_manager;
pub mod show;
pub mod spool;
pub mod stderr;
pub mod stdout;
pub mod system_error;
pub mod tasks;
pub mod tracing_lines;
pub mod units;
pub mod webhook;

#[cfg(test)]
mod small_disk;
#[cfg(test)]
mod test_timeout;
