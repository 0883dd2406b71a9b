//! vme.

fn main() {}
