//! The sockets of systemd's notification protocol: the one that a service speaks into, and the one of
//! our own service manager, if there is one.
//!
//! Guarantees that only who was told the socket's name can find it: its folder can't be listed, and
//! the kernel's table of sockets (`/proc/net/unix`) doesn't show it. Whoever knows it may be another
//! user, as services change theirs. Descriptors that come along are closed by the kernel at once,
//! which is what `BARRIER=1` waits for. Does not know what is said.

use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grid_broker::show::escape;
use tokio::net::UnixDatagram;
use uuid::Uuid;

use crate::notification::DATAGRAM_BYTES_MAX;

/// A service manager that does not read is waited for no longer.
const PASSED_ON_WITHIN: Duration = Duration::from_secs(5);

/// Where a service speaks.
#[derive(Debug)]
pub(crate) struct Inbox {
    folder: Folder,
    name: String,
    socket: UnixDatagram,
    /// The same: the runtime's own `try_recv` finds only what it was told of before.
    at_once: std::os::unix::net::UnixDatagram,
    datagram: Box<[u8]>,
}

/// A folder that goes with it.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl Inbox {
    /// Makes one in a folder of its own below `parent`, for temporary files.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        let folder = Folder(parent.join(format!("vme-notify-{}", Uuid::new_v4())));
        std::fs::create_dir(&folder.0)?;
        let open = std::fs::File::open(&folder.0)?;
        let name = Uuid::new_v4().to_string();
        // Else the service could not speak, and we would not know. With its end, which is a zero.
        SocketAddr::from_pathname(folder.0.join(&name))?;
        // By the descriptor: the kernel's table shows the path as it was bound.
        let path = format!("/proc/self/fd/{}/{name}", open.as_raw_fd());
        let at_once = std::os::unix::net::UnixDatagram::bind(&path)?;
        at_once.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(at_once.try_clone()?)?;
        std::fs::set_permissions(folder.0.join(&name), Permissions::from_mode(0o666))?;
        std::fs::set_permissions(&folder.0, Permissions::from_mode(0o711))?;
        // One byte more shows that it is too long.
        let datagram = vec![0; DATAGRAM_BYTES_MAX + 1].into();
        Ok(Self { folder, name, socket, at_once, datagram })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(crate) fn name(&self) -> PathBuf {
        self.folder.0.join(&self.name)
    }

    /// The next datagram. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> &[u8] {
        loop {
            match self.socket.recv(&mut self.datagram).await {
                Ok(length) if length <= DATAGRAM_BYTES_MAX => return &self.datagram[..length],
                // Too long, as systemd has it.
                Ok(_) => {}
                // Our own socket has no errors; if it has, nothing more is heard.
                Err(_) => return std::future::pending().await,
            }
        }
    }

    /// A datagram that has arrived already.
    pub(crate) fn waiting(&mut self) -> Option<&[u8]> {
        loop {
            match self.at_once.recv(&mut self.datagram) {
                Ok(length) if length <= DATAGRAM_BYTES_MAX => {
                    return Some(&self.datagram[..length]);
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Our own service manager.
#[derive(Debug)]
pub(crate) struct Manager(Option<UnixDatagram>);

impl Manager {
    /// As `NOTIFY_SOCKET` says: a path, or `@` and an abstract name.
    pub(crate) fn of_environment(socket: Option<&OsStr>) -> Self {
        let Some(name) = socket.filter(|name| !name.is_empty()) else { return Self(None) };
        match connect(name) {
            Ok(socket) => Self(Some(socket)),
            Err(error) => {
                let name = escape::excerpt(&name.to_string_lossy());
                crate::tell(&format!("nothing is passed on to NOTIFY_SOCKET `{name}`: {error}"));
                Self(None)
            }
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Passes on what a service says.
    pub(crate) async fn pass_on(&self, datagram: &[u8]) {
        let Some(socket) = self.0.as_ref().filter(|_| !datagram.is_empty()) else { return };
        let sent = tokio::time::timeout(PASSED_ON_WITHIN, socket.send(datagram)).await;
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if let Err(error) = sent {
            crate::tell(&format!("the service manager at NOTIFY_SOCKET does not listen: {error}"));
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    match name.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        [b'/', ..] => socket.connect(name)?,
        _ => return Err(io::Error::other("it is no Unix socket")),
    }
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

/// What of systemd's watchdog a service may know: the time, if it is meant for us, and if what
/// the service says gets to whoever watches. Its `WATCHDOG_PID` would be ours, and is left away.
pub(crate) fn watchdog(
    time: Option<OsString>,
    pid: Option<&OsStr>,
    manager: &Manager,
) -> Option<OsString> {
    let own = std::process::id().to_string();
    let is_ours = pid.is_none_or(|pid| pid.is_empty() || pid == own.as_str());
    time.filter(|_| is_ours && manager.is_there())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn what_is_sent_arrives_and_what_is_too_long_does_not() {
        runtime().block_on(async {
            let parent = tempfile::tempdir().unwrap();
            let mut inbox = Inbox::new(parent.path()).unwrap();
            let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
            for (length, fill) in [(DATAGRAM_BYTES_MAX + 1, b'x'), (DATAGRAM_BYTES_MAX, b'y')] {
                sender.send_to(&vec![fill; length], inbox.name()).unwrap();
            }
            assert_eq!(inbox.next().await, vec![b'y'; DATAGRAM_BYTES_MAX]);
            assert_eq!(inbox.waiting(), None);
            sender.send_to(b"READY=1", inbox.name()).unwrap();
            assert_eq!(inbox.waiting(), Some(&b"READY=1"[..]));

            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&inbox.folder.0), mode(&inbox.name())), (0o711, 0o666));
            let known = std::fs::read_to_string("/proc/net/unix").unwrap();
            assert!(!known.contains("vme-notify-"), "{known}");
            drop(inbox);
            assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        });
    }

    #[test]
    fn a_manager_is_a_path_or_an_abstract_name_and_nothing_else() {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("manager");
            let by_path = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
            let name = format!("vme-test-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            let by_name = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
            let at_name = OsString::from(format!("@{name}"));
            for (socket, name) in [(by_path, path.as_os_str()), (by_name, at_name.as_os_str())] {
                let manager = Manager::of_environment(Some(name));
                manager.pass_on(b"").await;
                manager.pass_on(b"READY=1\n").await;
                let mut heard = [0; 20];
                let length = socket.recv(&mut heard).unwrap();
                assert_eq!(&heard[..length], b"READY=1\n");
            }
            for nobody in ["", "vsock:2:9999", "/nowhere/socket"] {
                assert!(!Manager::of_environment(Some(OsStr::new(nobody))).is_there());
            }
        });
    }

    #[test]
    fn a_watchdog_is_passed_on_if_it_is_ours_and_somebody_listens() {
        let (_runtime, nobody) = (runtime(), Manager(None));
        let time = || Some(OsString::from("30000000"));
        assert_eq!(watchdog(time(), None, &nobody), None);
        let runtime = runtime();
        let _inside = runtime.enter();
        let manager = Manager(Some(UnixDatagram::unbound().unwrap()));
        let own = std::process::id().to_string();
        assert_eq!(watchdog(time(), Some(OsStr::new(&own)), &manager), time());
        assert_eq!(watchdog(time(), None, &manager), time());
        assert_eq!(watchdog(time(), Some(OsStr::new("1")), &manager), None);
        assert_eq!(watchdog(None, None, &manager), None);
    }
}
