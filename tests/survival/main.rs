//! What was acknowledged survives: kills, power cuts, damaged files, failing calls.
//!
//! Each module proves one promise of RELIABILITY.md. Every loop has a bounded count and an
//! environment variable for more, and prints its seed; `GRID_SEED` replays it.

mod answers_compared;
mod broker;
mod client;
mod damaged_files;
mod disk;
mod failing_calls;
mod full_disk;
mod kills;
mod power_cut;
mod sealing_check;
mod shim;
mod slow_disk;
mod state_fold;
#[path = "../support/mod.rs"]
mod support;
mod workload;
