//! Holds the leaf types of the core: times, ids, events, flags, sentences.
//!
//! Imports nothing of the core outside this folder.

pub mod crash_dump;
pub mod event;
pub mod event_order;
pub mod id;
pub mod identity;
pub mod outcome;
pub mod record_flags;
pub mod sentence;
pub mod size;
pub mod time;
pub mod wording;
