//! The guarantees, each against the real programs.
