//! Manages the limits of the process (descriptors, threads, memory) and records their exhaustion.
//!
//! The limits are those of the process, so a shortage is recorded once for all of it. Guarantees that the
//! soft limit of descriptors is as high as the hard one, that connections get what remains beside a
//! reserve for the journal, mails, reports and probes, and that shortages are recorded in one place, which
//! the alert and `/readyz` read. Retries nothing itself.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;

use crate::clock::monotonic_now;

/// Descriptors reserved for what must not fail; with a limit that is too low for that, three of four.
const DESCRIPTORS_RESERVED: u64 = 64;

/// With fewer descriptors than this, gridd warns.
const DESCRIPTORS_LOW: u64 = 1_024;

/// Most connections to the gRPC port, whatever the limit of descriptors.
const GRPC_CONNECTIONS_MAX: u64 = 32_768;

/// Most connections to the HTTP port, for pages and probes.
const HTTP_CONNECTIONS_MAX: u64 = 256;

/// A shortage ends this long after its last failure.
const SHORTAGE_ENDS_AFTER: Duration = Duration::from_secs(15);

/// Connections that each listener may have at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// To the gRPC port.
    pub grpc: usize,
    /// To the HTTP port.
    pub http: usize,
    /// The descriptor limit is low: a smaller reserve and few connections.
    pub is_scarce: bool,
}

/// Raises the soft limit of descriptors to the hard one; returns the limit in effect.
pub fn raise_descriptor_limit() -> u64 {
    let limits = getrlimit(Resource::Nofile);
    let (soft, hard) = (limits.current.unwrap_or(u64::MAX), limits.maximum.unwrap_or(u64::MAX));
    if soft < hard {
        let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => return hard,
            Err(error) => {
                tracing::warn!(%error, soft, hard, "cannot raise the limit of open files");
            }
        }
    }
    soft
}

/// The connection limits for a number of descriptors.
pub fn connection_limits(descriptors: u64) -> ConnectionLimits {
    let all = descriptors.saturating_sub(DESCRIPTORS_RESERVED).max(descriptors / 4);
    let http = (all / 4).clamp(2, HTTP_CONNECTIONS_MAX);
    let grpc = all.saturating_sub(http).clamp(2, GRPC_CONNECTIONS_MAX);
    let count = |connections| usize::try_from(connections).unwrap_or(usize::MAX);
    let is_scarce = descriptors < DESCRIPTORS_LOW;
    ConnectionLimits { grpc: count(grpc), http: count(http), is_scarce }
}

/// Whether the system lacks a resource at the moment: the same call may succeed later.
pub fn is_temporary(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|it| [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN].contains(&it))
}

/// A resource that the system did not grant.
#[derive(Clone, Debug)]
struct Shortage {
    last_seen: Instant,
    text: Box<str>,
}

static SHORTAGE: Mutex<Option<Shortage>> = Mutex::new(None);

/// Records that `what` (verb and object) failed; `false` if not for lack of resources.
pub fn record_failure(what: &str, error: &io::Error) -> bool {
    let is_not_now = is_temporary(error);
    if is_not_now {
        set_shortage(format!("cannot {what}: {error}; retrying"));
    }
    is_not_now
}

/// Records that a listener refuses connections because its limit is reached.
pub fn record_connection_limit(listener: &str, open: usize) {
    set_shortage(format!(
        "connections to the {listener} port are refused: {open} are open, as many as the limit of open \
         files allows (LimitNOFILE, `ulimit -n`)"
    ));
}

fn set_shortage(sentence: String) {
    let shortage = Shortage { last_seen: monotonic_now(), text: sentence.into() };
    *SHORTAGE.lock().unwrap_or_else(PoisonError::into_inner) = Some(shortage);
}

/// The current shortage, in one sentence.
pub fn shortage() -> Option<Box<str>> {
    let shortage = SHORTAGE.lock().unwrap_or_else(PoisonError::into_inner);
    shortage
        .as_ref()
        .filter(|it| it.last_seen.elapsed() < SHORTAGE_ENDS_AFTER)
        .map(|it| it.text.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_the_descriptors_beyond_the_reserve() {
        for (descriptors, grpc, http, is_scarce) in [
            (8, 2, 2, true),
            (64, 12, 4, true),
            (256, 144, 48, true),
            (1_024, 720, 240, false),
            (20_000, 19_680, 256, false),
            (u64::MAX, 32_768, 256, false),
        ] {
            assert_eq!(
                connection_limits(descriptors),
                ConnectionLimits { grpc, http, is_scarce },
                "{descriptors}"
            );
        }
    }

    #[test]
    fn temporary_shortages_are_distinguished_from_failures() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOMEM, true),
            (Errno::AGAIN, true),
            (Errno::NOSPC, false),
            (Errno::IO, false),
            (Errno::ACCESS, false),
        ] {
            assert_eq!(is_temporary(&errno.into()), expected, "{errno:?}");
        }
    }
}
