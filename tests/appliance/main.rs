//! What an appliance says arrives, once: the real vme, its agent and its drainer against a real
//! gridd, over kills, cuts, full disks, wrong clocks and copied machines.
//!
//! Each module proves one promise. Every loop has a bounded count; `GRID_APPLIANCE_KILLS` raises
//! that of the kills, and `GRID_SEED` replays a printed seed.

mod a_container_starts_again;
mod a_damaged_spool_stops_nobody;
mod a_full_disk_hinders_no_event;
mod an_agent_takes_over;
mod an_event_that_ends_streams_is_set_aside;
mod broker_away_at_boot;
mod calls_compared;
mod clocks_are_wrong;
mod fake_broker;
mod host;
mod killed_mid_stream;
mod network_cut;
mod nothing_said_is_lost;
mod relay;
#[path = "../support/mod.rs"]
mod support;
mod twenty_calls_at_once;
mod two_machines;
mod worker;
