//! Tests TLS.
