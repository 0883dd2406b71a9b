//! Tests of enrolment and renewal with a small broker.
