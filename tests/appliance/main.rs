//! What an appliance says arrives, once: the real vme, its agent and its drainer against a real
//! gridd, over kills, cuts, full disks, wrong clocks and copied machines.
//!
//! Each module proves one promise. Every loop has a bounded count; `GRID_APPLIANCE_KILLS` raises
//! that of the kills, and `GRID_SEED` replays a printed seed.

#[allow(dead_code, unused_imports, reason = "shared with the guarantees, which use all of it")]
#[path = "../guarantees/harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "shared with the survival tests, which use all of it")]
#[path = "../survival/support.rs"]
mod support;

#[allow(clippy::unwrap_used, reason = "shared with the library's own tests")]
#[path = "../../src/small_disk.rs"]
mod small_disk;

mod a_container_starts_again;
mod a_damaged_spool_stops_nobody;
mod a_full_disk_hinders_no_event;
mod an_agent_takes_over;
mod an_event_that_ends_streams_is_set_aside;
mod broker_away_at_boot;
mod clocks_are_wrong;
mod fake_broker;
mod host;
mod killed_mid_stream;
mod network_cut;
mod nothing_said_is_lost;
mod oracle;
mod relay;
mod twenty_calls_at_once;
mod two_machines;
mod worker;
