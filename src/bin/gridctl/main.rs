//! gridctl.

fn main() {}
