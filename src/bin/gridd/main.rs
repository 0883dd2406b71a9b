//! gridd.

fn main() {}
