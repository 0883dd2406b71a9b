//! TODO-DOC

mod error_line;
mod failure_reason;
mod line_splitter;
mod stderr_file;
mod tee;

