//! How what others wrote, and what the contract counts, is put into words for people and scripts.
//!
//! Guarantees one spelling everywhere: the same escapes, the same short words. Does not know
//! where it is printed.

pub mod escape;
pub mod nearest;
pub mod size;
pub mod terminal;
pub mod words;
