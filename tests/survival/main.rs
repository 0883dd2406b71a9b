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
mod fold_is_equal;
mod full_disk;
mod killed_at_any_moment;
mod power_cut;
mod sealing_check;
mod shim;
mod slow_disk;
#[path = "../support/mod.rs"]
mod support;
mod workload;
