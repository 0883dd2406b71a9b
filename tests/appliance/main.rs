//! What an appliance says arrives, once: the real vme, its agent and its drainer against a real
//! gridd, over kills, cuts, full disks, wrong clocks and copied machines.
//!
//! Each module proves one promise. Every loop has a bounded count; `GRID_APPLIANCE_KILLS` raises
//! that of the kills, and `GRID_SEED` replays a printed seed.

mod agent_takeover;
mod broker_away_at_boot;
mod calls_compared;
mod concurrent_calls;
mod container_restart;
mod crash_dumps;
mod damaged_spool;
mod fake_broker;
mod full_disk;
mod host;
mod kills;
mod network_cut;
mod quarantine;
mod relay;
mod spool_replay;
#[path = "../support/mod.rs"]
mod support;
mod two_machines;
mod worker;
mod wrong_clocks;
