//! The guarantees, each against the real programs.

mod harness;
mod the_story;
