//! Formats text of others and enum values of the contract for people and scripts.
//!
//! Guarantees one spelling everywhere: the same escapes, the same labels. Does not know where it is
//! printed.

pub mod count;
pub mod escape;
pub mod graph;
pub mod html;
pub mod labels;
pub mod suggest;
pub mod terminal;
