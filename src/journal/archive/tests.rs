//! Spans: what is sealed is whole, what is not is built again.
