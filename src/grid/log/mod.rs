//! Holds what the grid log consists of: records, their inputs and their effects.
//!
//! Guarantees absolute values in every effect. Knows no encoding.

pub mod alert_effect;
pub mod alert_input;
pub mod applied_settings;
pub mod command;
pub mod crash_dump;
pub mod effect;
pub mod identity;
pub mod input;
pub mod journal_incident;
pub mod record;
pub mod record_kind;
pub mod silence_input;
pub mod time_shift;
pub mod timer;
pub mod wall_clock_change;
