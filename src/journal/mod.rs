//! The journal.
pub mod encoding;
