//! The guarantees, each against the real programs.

mod the_code_map_is_true;
