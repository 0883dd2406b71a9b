//! Formats an error of the operating system with advice on how to fix it.
//!
//! Guarantees that the system's message is always included (`Permission denied (os error 13)`), and
//! that the advice fits it: a missing permission does not send anybody to check a disk. Knows neither
//! the operation nor its object; the caller writes both before it.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// The system's message, followed by advice.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a>(pub &'a io::Error);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        match advice(error) {
            Some(advice) => write!(out, "{error}; {advice}"),
            None => write!(out, "{error}"),
        }
    }
}

/// Advice on an error; `None`: there is none beyond the system's message.
pub fn advice(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::ACCESS | Errno::PERM => {
            "check who owns it, its mode and those of the folders above (`ls -ld`), and as whom this \
             program runs"
        }
        Errno::NOENT => "check the path: it, or a folder above it, is not there",
        Errno::NOTDIR => "check the path: something above it is a file and no folder",
        Errno::ISDIR => "it is a folder; name a file",
        Errno::EXIST => "something is there already; move it away or choose another path",
        Errno::NOTEMPTY => "empty the folder or choose another",
        Errno::NAMETOOLONG => "choose a shorter path",
        Errno::LOOP => "its symbolic links lead in a circle",
        Errno::ROFS => {
            "the file system is mounted read-only; mount it for writing, or choose another"
        }
        Errno::NOSPC => "the disk is full; make room (`df`), or choose another",
        Errno::DQUOT => "the quota is used up; make room, or ask for more",
        Errno::FBIG => "the file would grow beyond the limit; raise it (`ulimit -f`, LimitFSIZE=)",
        Errno::MFILE => {
            "this program has as many open files as it may; raise the limit (`ulimit -n`, LimitNOFILE=)"
        }
        Errno::NFILE => "the whole system has too many open files (fs.file-max); close some",
        Errno::NOMEM => "the system has no memory left for it; free some, or raise the limit",
        Errno::AGAIN => {
            "the system gives no more of it now; check the limits of threads and processes (`ulimit \
             -u`, TasksMax=)"
        }
        Errno::IO => "the disk reports errors; see `dmesg`",
        Errno::STALE => "the network file system has lost it; mount it again",
        Errno::TXTBSY => "the program is being written or run; try again",
        Errno::BUSY => "something else uses it; end that first",
        Errno::NOEXEC => "it is not a program for this machine, and has no first line #!",
        Errno::ADDRINUSE => "another program listens there (`ss -tlnp` names it)",
        Errno::ADDRNOTAVAIL => "no interface of this host has that address (`ip addr` lists them)",
        Errno::AFNOSUPPORT => "this host does not support that kind of address; choose another",
        Errno::CONNREFUSED => "nothing listens there; check the address, and whether it runs",
        Errno::HOSTUNREACH | Errno::NETUNREACH => {
            "there is no route to that address; check the network"
        }
        Errno::TIMEDOUT => "nothing answers there; check the address and the firewall",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(errno: Errno) -> String {
        Explained(&io::Error::from(errno)).to_string()
    }

    #[test]
    fn the_systems_message_is_there_and_the_advice_fits_it() {
        for (errno, message, part) in [
            (Errno::ACCESS, "Permission denied (os error 13)", "who owns it"),
            (Errno::NOTDIR, "Not a directory (os error 20)", "is a file and no folder"),
            (Errno::ROFS, "Read-only file system (os error 30)", "mounted read-only"),
            (Errno::MFILE, "Too many open files (os error 24)", "LimitNOFILE="),
            (Errno::NOSPC, "No space left on device (os error 28)", "the disk is full"),
            (Errno::ADDRINUSE, "(os error 98)", "listens there"),
            (Errno::ADDRNOTAVAIL, "(os error 99)", "ip addr"),
        ] {
            let text = explained(errno);
            assert!(text.contains(part) && text.contains(message), "{text}");
            assert_eq!(text.contains("disk"), errno == Errno::NOSPC, "{text}");
        }
    }

    #[test]
    fn an_error_that_is_not_the_systems_is_unchanged() {
        assert_eq!(Explained(&io::Error::other("the end of it")).to_string(), "the end of it");
        assert_eq!(explained(Errno::DOM), io::Error::from(Errno::DOM).to_string());
    }
}
