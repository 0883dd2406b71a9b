//! The sockets of systemd's notification protocol: the service's and our own service manager's.
//!
//! Guarantees that only a process that was given the socket's name finds it: its folder cannot be
//! listed, and the kernel's table of sockets (`/proc/net/unix`) does not show it. Any user who
//! knows it may send, since services change their user. The kernel closes received descriptors at
//! once, which is what `BARRIER=1` waits for. Does not know what notifications mean.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::Permissions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use grid_broker::show::escape;
use tokio::net::UnixDatagram;
use uuid::Uuid;

use crate::notify::notification::DATAGRAM_BYTES_MAX;

/// Datagrams queued for a service manager that does not read.
const DATAGRAMS_QUEUED_MAX: usize = 64;

/// The socket that a service notifies.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    folder: TempFolder,
    name: String,
    socket: UnixDatagram,
    /// The same socket: the runtime's `try_recv` finds only datagrams that it was notified of
    /// before.
    nonblocking: std::os::unix::net::UnixDatagram,
    datagram: Box<[u8]>,
}

/// A folder that is removed on drop.
#[derive(Debug)]
struct TempFolder(PathBuf);

impl Drop for TempFolder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

impl NotifySocket {
    /// Creates a socket in a folder of its own below `parent`, a folder for temporary files.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        let folder = TempFolder(parent.join(format!("vme-notify-{}", Uuid::new_v4())));
        std::fs::create_dir(&folder.0)?;
        let open = std::fs::File::open(&folder.0)?;
        let name = Uuid::new_v4().to_string();
        // Checks the length of the name, including its final NUL: otherwise the service could not
        // send, and we would not know.
        SocketAddr::from_pathname(folder.0.join(&name))?;
        // Through the descriptor: the kernel's table shows the path that was bound.
        let path = format!("/proc/self/fd/{}/{name}", open.as_raw_fd());
        let at_once = std::os::unix::net::UnixDatagram::bind(&path)?;
        at_once.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(at_once.try_clone()?)?;
        std::fs::set_permissions(folder.0.join(&name), Permissions::from_mode(0o666))?;
        std::fs::set_permissions(&folder.0, Permissions::from_mode(0o711))?;
        // One byte more reveals datagrams that are too long.
        let datagram = vec![0; DATAGRAM_BYTES_MAX + 1].into();
        Ok(Self { folder, name, socket, nonblocking: at_once, datagram })
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.0.join(&self.name)
    }

    /// The next datagram. May be dropped and called again.
    pub(crate) async fn recv(&mut self) -> &[u8] {
        loop {
            match self.socket.recv(&mut self.datagram).await {
                Ok(length) if length <= DATAGRAM_BYTES_MAX => return &self.datagram[..length],
                // Too long, as in systemd.
                Ok(_) => {}
                // Our own socket has no errors; if it has, nothing more is received.
                Err(_) => return std::future::pending().await,
            }
        }
    }

    /// A datagram that has already arrived.
    pub(crate) fn try_recv(&mut self) -> Option<&[u8]> {
        loop {
            match self.nonblocking.recv(&mut self.datagram) {
                Ok(length) if length <= DATAGRAM_BYTES_MAX => {
                    return Some(&self.datagram[..length]);
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Our own service manager. Nothing waits for it: a bounded number of datagrams that it does not
/// accept now is queued until it reads again.
#[derive(Debug, Default)]
pub(crate) struct ParentNotifier {
    socket: Option<(UnixDatagram, std::os::unix::net::UnixDatagram)>,
    queue: VecDeque<Vec<u8>>,
    /// It was reported that it does not read, or is gone.
    is_unresponsive: bool,
}

impl ParentNotifier {
    /// From `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    pub(crate) fn from_environment(socket: Option<&OsStr>) -> Self {
        let Some(name) = socket.filter(|name| !name.is_empty()) else { return Self::default() };
        match connect(name) {
            Ok(socket) => Self { socket: Some(socket), ..Self::default() },
            Err(error) => {
                let name = escape::excerpt(&name.to_string_lossy());
                crate::print_line(&format!("cannot forward to NOTIFY_SOCKET `{name}`: {error}"));
                Self::default()
            }
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Forwards a service's notification, at once or as soon as the manager reads.
    pub(crate) fn forward(&mut self, datagram: &[u8]) {
        if datagram.is_empty() || self.socket.is_none() {
            return;
        }
        if self.queue.len() == DATAGRAMS_QUEUED_MAX {
            // Drops the oldest status first; start and stop stay longest.
            let oldest =
                self.queue.iter().position(|datagram| !is_essential(datagram)).unwrap_or(0);
            drop(self.queue.remove(oldest));
        }
        self.queue.push_back(datagram.to_vec());
        self.flush();
    }

    /// Sends queued datagrams until the manager accepts no more.
    pub(crate) fn flush(&mut self) {
        while let (Some((_, socket)), Some(datagram)) = (&self.socket, self.queue.front()) {
            let sent = socket.send(datagram);
            if !self.finish_send(sent.map(|_| ())) {
                return;
            }
        }
    }

    /// Waits until queued datagrams can be sent, and sends them; waits for ever if none is queued.
    /// May be dropped and called again.
    pub(crate) async fn wait_writable(&mut self) {
        let (Some((socket, _)), Some(datagram)) = (&self.socket, self.queue.front()) else {
            return std::future::pending().await;
        };
        let sent = socket.send(datagram).await;
        self.finish_send(sent.map(|_| ()));
        self.flush();
    }

    /// Removes the first datagram after a send, successful or failed. `false`: it has to wait.
    fn finish_send(&mut self, sent: io::Result<()>) -> bool {
        let error = match sent {
            Ok(()) => {
                self.is_unresponsive = false;
                drop(self.queue.pop_front());
                return true;
            }
            Err(error) => error,
        };
        if !std::mem::replace(&mut self.is_unresponsive, true) {
            crate::print_line(&format!(
                "the service manager at NOTIFY_SOCKET does not listen: {error}"
            ));
        }
        let waits = error.kind() == io::ErrorKind::WouldBlock;
        if !waits {
            drop(self.queue.pop_front());
        }
        !waits
    }
}

/// Whether the datagram is about the start or the stop, which a service manager must not miss.
fn is_essential(datagram: &[u8]) -> bool {
    let lines = datagram.split(|byte| *byte == b'\n');
    lines.into_iter().any(|line| matches!(line, b"READY=1" | b"STOPPING=1" | b"RELOADING=1"))
}

/// Both are the same socket: one waits until it is writable, the other never waits.
fn connect(name: &OsStr) -> io::Result<(UnixDatagram, std::os::unix::net::UnixDatagram)> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    match name.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        [b'/', ..] => socket.connect(name)?,
        _ => return Err(io::Error::other("it is not a Unix socket")),
    }
    socket.set_nonblocking(true)?;
    Ok((UnixDatagram::from_std(socket.try_clone()?)?, socket))
}

/// The `WATCHDOG_USEC` for the service: our own, if it is meant for us and a manager receives the
/// service's notifications. `WATCHDOG_PID` names vme, so it is omitted.
pub(crate) fn watchdog_usec(
    time: Option<OsString>,
    pid: Option<&OsStr>,
    manager: &ParentNotifier,
) -> Option<OsString> {
    let own = std::process::id().to_string();
    let is_ours = pid.is_none_or(|pid| pid.is_empty() || pid == own.as_str());
    time.filter(|_| is_ours && manager.is_connected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn datagrams_arrive_unless_too_long() {
        runtime().block_on(async {
            let parent = tempfile::tempdir().unwrap();
            let mut inbox = NotifySocket::new(parent.path()).unwrap();
            let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
            for (length, fill) in [(DATAGRAM_BYTES_MAX + 1, b'x'), (DATAGRAM_BYTES_MAX, b'y')] {
                sender.send_to(&vec![fill; length], inbox.path()).unwrap();
            }
            assert_eq!(inbox.recv().await, vec![b'y'; DATAGRAM_BYTES_MAX]);
            assert_eq!(inbox.try_recv(), None);
            sender.send_to(b"READY=1", inbox.path()).unwrap();
            assert_eq!(inbox.try_recv(), Some(&b"READY=1"[..]));

            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&inbox.folder.0), mode(&inbox.path())), (0o711, 0o666));
            let known = std::fs::read_to_string("/proc/net/unix").unwrap();
            assert!(!known.contains("vme-notify-"), "{known}");
            drop(inbox);
            assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
        });
    }

    #[test]
    fn a_manager_is_a_path_or_an_abstract_name() {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("manager");
            let by_path = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
            let name = format!("vme-test-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            let by_name = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
            let at_name = OsString::from(format!("@{name}"));
            for (socket, name) in [(by_path, path.as_os_str()), (by_name, at_name.as_os_str())] {
                let mut manager = ParentNotifier::from_environment(Some(name));
                manager.forward(b"");
                manager.forward(b"READY=1\n");
                let mut received = [0; 20];
                let length = socket.recv(&mut received).unwrap();
                assert_eq!(&received[..length], b"READY=1\n");
            }
            for nobody in ["", "vsock:2:9999", "/nowhere/socket"] {
                assert!(!ParentNotifier::from_environment(Some(OsStr::new(nobody))).is_connected());
            }
        });
    }

    #[test]
    fn an_unresponsive_manager_blocks_nobody_and_learns_of_the_start_later() {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("manager");
            let deaf = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
            let mut manager = ParentNotifier::from_environment(Some(path.as_os_str()));
            manager.forward(b"READY=1\n");
            for number in 0..5_000 {
                manager.forward(format!("STATUS={number}\n").as_bytes());
                if number == 2_000 {
                    manager.forward(b"STOPPING=1\n");
                }
                assert!(manager.queue.len() <= DATAGRAMS_QUEUED_MAX);
            }
            assert!(!manager.queue.is_empty() && manager.is_unresponsive);
            deaf.set_nonblocking(true).unwrap();
            let mut received = Vec::new();
            while !manager.queue.is_empty() {
                let mut datagram = [0; 99];
                while let Ok(length) = deaf.recv(&mut datagram) {
                    received.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
                }
                manager.wait_writable().await;
            }
            let mut datagram = [0; 99];
            while let Ok(length) = deaf.recv(&mut datagram) {
                received.push(String::from_utf8_lossy(&datagram[..length]).into_owned());
            }
            assert_eq!(received[0], "READY=1\n");
            assert!(received.contains(&"STOPPING=1\n".to_owned()), "{received:?}");
            assert_eq!(received.last().unwrap(), "STATUS=4999\n");
        });
    }

    #[test]
    fn a_watchdog_is_forwarded_if_it_is_ours_and_a_manager_is_connected() {
        let (_runtime, nobody) = (runtime(), ParentNotifier::default());
        let time = || Some(OsString::from("30000000"));
        assert_eq!(watchdog_usec(time(), None, &nobody), None);
        let runtime = runtime();
        let _inside = runtime.enter();
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        socket.set_nonblocking(true).unwrap();
        let waiting = UnixDatagram::from_std(socket.try_clone().unwrap()).unwrap();
        let manager =
            ParentNotifier { socket: Some((waiting, socket)), ..ParentNotifier::default() };
        let own = std::process::id().to_string();
        assert_eq!(watchdog_usec(time(), Some(OsStr::new(&own)), &manager), time());
        assert_eq!(watchdog_usec(time(), None, &manager), time());
        assert_eq!(watchdog_usec(time(), Some(OsStr::new("1")), &manager), None);
        assert_eq!(watchdog_usec(None, None, &manager), None);
    }
}
