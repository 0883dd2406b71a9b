//! The guarantees, each against the real programs.

mod harness;
mod the_story;
mod what_is_acknowledged_is_kept;
