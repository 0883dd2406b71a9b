//! Remembers: what was appended here is there, once, after anything short of losing the disk.

mod commit_log;
mod disk;
mod error;
pub mod frame;
pub mod record;

pub use commit_log::Cut;
pub use error::JournalError;
pub use record::{EncodedRecord, Mark};
