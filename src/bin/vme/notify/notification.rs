//! Parses the datagrams of systemd's notification protocol (`sd_notify(3)`, the receiving end).
//!
//! Guarantees that any bytes can be parsed: a line that is no assignment of the protocol is
//! forwarded and otherwise ignored. Does not know which start it is about.

use std::time::Duration;

use grid_broker::show::terminal;

use crate::notify::errno;

/// Longest accepted datagram, as in systemd.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 4_096;

/// Assignments that are not forwarded to our own service manager: it watches vme, not the service,
/// and received descriptors are closed by then.
const NOT_FORWARDED: [&[u8]; 6] =
    [b"MAINPID", b"FDSTORE", b"FDNAME", b"FDPOLL", b"BARRIER", b"NOTIFYACCESS"];

/// A service's notification about its start, and the part to forward.
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
    /// `BUSERROR=`, `VARLINKERROR=`
    pub(crate) bus_error: Option<String>,
    /// `EXTEND_TIMEOUT_USEC=`
    pub(crate) extension: Option<Duration>,
    /// The assignments for the service manager above us.
    pub(crate) forwarded: Vec<u8>,
}

/// Parses a datagram as systemd does: a NUL at the end belongs to a C string, one elsewhere
/// invalidates the datagram; of repeated assignments the first counts.
pub(crate) fn parse(datagram: &[u8]) -> Notification {
    let mut read = Notification::default();
    let text = datagram.strip_suffix(b"\0").unwrap_or(datagram);
    if text.contains(&0) {
        return read;
    }
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()) {
        if !NOT_FORWARDED.iter().any(|ours| line.starts_with(ours)) {
            read.forwarded.extend_from_slice(line);
            read.forwarded.push(b'\n');
        }
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let value = String::from_utf8_lossy(&line[at + 1..]);
        let text =
            || Some(terminal::strip_controls(&value).trim().to_owned()).filter(|it| !it.is_empty());
        match &line[..at] {
            b"READY" => read.is_ready |= value == "1",
            b"STOPPING" => read.is_stopping |= value == "1",
            b"STATUS" => read.status = read.status.take().or_else(text),
            b"ERRNO" => read.errno = read.errno.or_else(|| errno::parse(value.trim())),
            b"BUSERROR" | b"VARLINKERROR" => {
                read.bus_error = read.bus_error.take().or_else(text);
            }
            b"EXTEND_TIMEOUT_USEC" => {
                let time = || value.trim().parse().ok().map(Duration::from_micros);
                read.extension = read.extension.or_else(time);
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
    fn every_assignment_is_parsed() {
        let mariadb = parse(b"STATUS=To recover: 146 pages\nEXTEND_TIMEOUT_USEC=30000000\n");
        assert_eq!(mariadb.status.as_deref(), Some("To recover: 146 pages"));
        assert_eq!(mariadb.extension, Some(Duration::from_secs(30)));
        assert!(!mariadb.is_ready);
        let ready = parse(b"READY=1\nSTATUS=Taking your SQL requests now...\nMAINPID=7");
        assert!(ready.is_ready && !ready.is_stopping);
        assert_eq!(ready.forwarded, b"READY=1\nSTATUS=Taking your SQL requests now...\n");
        let failed = parse(b"ERRNO=28\nBUSERROR=org.example.Full\nSTOPPING=1");
        assert_eq!((failed.errno, failed.is_stopping), (Some(28), true));
        assert_eq!(failed.bus_error.as_deref(), Some("org.example.Full"));
    }

    #[test]
    fn other_assignments_are_forwarded_or_dropped() {
        for (datagram, passed_on) in [
            (&b"WATCHDOG=1"[..], &b"WATCHDOG=1\n"[..]),
            (b"X_OURS=1\nno assignment\n=\n", b"X_OURS=1\nno assignment\n=\n"),
            (b"BARRIER=1", b""),
            (b"FDSTORE=1\nFDNAME=x", b""),
            (b"MAINPIDFD=1", b""),
            (b"", b""),
        ] {
            let expected =
                Notification { forwarded: passed_on.to_vec(), ..Notification::default() };
            assert_eq!(parse(datagram), expected);
        }
        let odd = parse(b"READY=0\nERRNO=0\nERRNO=x\nSTATUS=\nEXTEND_TIMEOUT_USEC=-1\nBUSERROR=");
        assert_eq!(Notification { forwarded: Vec::new(), ..odd }, Notification::default());
        assert_eq!(parse(b"STATUS=\xff").status.as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn a_datagram_is_parsed_as_systemd_does() {
        for ready in
            [&b"READY=1\0"[..], b"READY=1\n\0", b"READY=1\r\n", b"\n\nREADY=1", b"X=\nREADY=1"]
        {
            let parsed = parse(ready);
            assert!(parsed.is_ready && parsed.forwarded.ends_with(b"READY=1\n"), "{ready:?}");
        }
        for other in [&b"READY=1 "[..], b"READY= 1", b"ready=1", b"READY", b" READY=1", b"READY=11"]
        {
            assert!(!parse(other).is_ready, "{other:?}");
        }
        assert_eq!(parse(b"READY=1\0STATUS=x\0"), Notification::default());
        let first =
            parse(b"STATUS=\x1b[1mone\x1b[0m\nSTATUS=two\nERRNO=ENOSPC\nVARLINKERROR=org.x.Y\0");
        assert_eq!(first.status.as_deref(), Some("one"));
        assert_eq!((first.errno, first.bus_error.as_deref()), (Some(28), Some("org.x.Y")));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&datagram).forwarded.len() <= datagram.len() + 1);
        }
    }
}
