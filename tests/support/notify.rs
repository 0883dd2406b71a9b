//! A service manager's ear: the datagram socket that `NOTIFY_SOCKET` names.

use std::ffi::OsString;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::UnixDatagram;

use super::soon;

/// Longest word that is heard, in bytes.
const WORD_BYTES: usize = 4_096;

/// What a program under test tells its service manager.
pub(crate) struct Notified {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Notified {
    /// A socket of its own.
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("notify-").expect("a temporary folder");
        let socket = UnixDatagram::bind(folder.path().join("socket")).expect("a socket");
        Self { socket, folder }
    }

    /// The variables that name it, with a watchdog of so long.
    pub(crate) fn environment(&self, watchdog: Duration) -> Vec<(&'static str, OsString)> {
        vec![
            ("NOTIFY_SOCKET", self.folder.path().join("socket").into()),
            ("WATCHDOG_USEC", watchdog.as_micros().to_string().into()),
        ]
    }

    /// The next word.
    pub(crate) async fn next(&self) -> String {
        let mut word = [0; WORD_BYTES];
        let bytes = soon("a word", self.socket.recv(&mut word)).await.expect("a word");
        String::from_utf8(word[..bytes].to_vec()).expect("UTF-8")
    }

    /// The next word that has `part` in it.
    pub(crate) async fn heard(&self, part: &str) -> String {
        for _ in 0..1_000 {
            let word = self.next().await;
            if word.contains(part) {
                return word;
            }
        }
        panic!("no `{part}` among a thousand words");
    }

    /// What was said and not heard yet.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut word = [0; WORD_BYTES];
        while let Ok(bytes) = self.socket.try_recv(&mut word) {
            words.push(String::from_utf8(word[..bytes].to_vec()).expect("UTF-8"));
        }
        words
    }
}
