//! Reads and keeps what a child program writes: its lines, its errors and the reason of a failed start.
//!
//! Guarantees bounded memory for each stream. Does not know the child's language.

pub(crate) mod error_line;
pub(crate) mod failure_reason;
pub(crate) mod line_splitter;
pub(crate) mod stderr_file;
pub(crate) mod tee;
