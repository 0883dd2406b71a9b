//! TODO-DOC

pub mod event;
pub mod event_order;
pub mod id;
pub mod record_flags;
pub mod sentence;
pub mod time;
pub mod wording;

