//! Segments: a sealed one is whole, another is rebuilt.
