//! What does a datagram of systemd's notification protocol say? `sd_notify(3)`, the receiving end.
//!
//! Guarantees that any bytes can be read: what is no assignment of the protocol is passed on and
//! means nothing here. Does not know which start it is about.

use std::time::Duration;

/// Longest datagram that is taken, as systemd has it.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 4_096;

/// What is not passed on to our own service manager: it watches vme, not the service below it, and
/// descriptors that came along are closed by then.
const OURS: [&[u8]; 6] =
    [b"MAINPID", b"FDSTORE", b"FDNAME", b"FDPOLL", b"BARRIER", b"NOTIFYACCESS"];

/// What a service says of its start, and what of it is passed on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Notification {
    /// `READY=1`
    pub(crate) is_ready: bool,
    /// `STOPPING=1`
    pub(crate) is_stopping: bool,
    /// `STATUS=`, unless it is empty.
    pub(crate) status: Option<String>,
    /// `ERRNO=`, unless it is 0.
    pub(crate) errno: Option<i32>,
    /// `BUSERROR=`
    pub(crate) bus_error: Option<String>,
    /// `EXTEND_TIMEOUT_USEC=`
    pub(crate) extended_by: Option<Duration>,
    /// The assignments that concern a service manager above us.
    pub(crate) passed_on: Vec<u8>,
}

/// Reads one.
pub(crate) fn read(datagram: &[u8]) -> Notification {
    let mut read = Notification::default();
    for line in datagram.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if !OURS.iter().any(|ours| line.starts_with(ours)) {
            read.passed_on.extend_from_slice(line);
            read.passed_on.push(b'\n');
        }
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let value = String::from_utf8_lossy(&line[at + 1..]);
        let value = value.trim();
        match &line[..at] {
            b"READY" => read.is_ready |= value == "1",
            b"STOPPING" => read.is_stopping |= value == "1",
            b"STATUS" if !value.is_empty() => read.status = Some(value.to_owned()),
            b"ERRNO" => read.errno = value.parse().ok().filter(|errno| *errno > 0),
            b"BUSERROR" if !value.is_empty() => read.bus_error = Some(value.to_owned()),
            b"EXTEND_TIMEOUT_USEC" => {
                read.extended_by = value.parse().ok().map(Duration::from_micros);
            }
            _ => {}
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_assignment_is_read() {
        let mariadb = read(b"STATUS=To recover: 146 pages\nEXTEND_TIMEOUT_USEC=30000000\n");
        assert_eq!(mariadb.status.as_deref(), Some("To recover: 146 pages"));
        assert_eq!(mariadb.extended_by, Some(Duration::from_secs(30)));
        assert!(!mariadb.is_ready);
        let ready = read(b"READY=1\nSTATUS=Taking your SQL requests now...\nMAINPID=7");
        assert!(ready.is_ready && !ready.is_stopping);
        assert_eq!(ready.passed_on, b"READY=1\nSTATUS=Taking your SQL requests now...\n");
        let failed = read(b"ERRNO=28\nBUSERROR=org.example.Full\nSTOPPING=1");
        assert_eq!((failed.errno, failed.is_stopping), (Some(28), true));
        assert_eq!(failed.bus_error.as_deref(), Some("org.example.Full"));
    }

    #[test]
    fn what_says_nothing_of_the_start_is_passed_on_or_dropped() {
        for (datagram, passed_on) in [
            (&b"WATCHDOG=1"[..], &b"WATCHDOG=1\n"[..]),
            (b"X_OURS=1\nno assignment\n=\n", b"X_OURS=1\nno assignment\n=\n"),
            (b"BARRIER=1", b""),
            (b"FDSTORE=1\nFDNAME=x", b""),
            (b"MAINPIDFD=1", b""),
            (b"", b""),
        ] {
            let expected =
                Notification { passed_on: passed_on.to_vec(), ..Notification::default() };
            assert_eq!(read(datagram), expected);
        }
        let odd = read(b"READY=0\nERRNO=0\nERRNO=x\nSTATUS=\nEXTEND_TIMEOUT_USEC=-1\nBUSERROR=");
        assert_eq!(Notification { passed_on: Vec::new(), ..odd }, Notification::default());
        assert_eq!(read(b"STATUS=\xff").status.as_deref(), Some("\u{fffd}"));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&datagram).passed_on.len() <= datagram.len() + 1);
        }
    }
}
