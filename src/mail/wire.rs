//! The stream between lettre and the socket: watches the session and replaces the socket for TLS.
//!
//! Guarantees that a server that sends without end is disconnected, that the transcript has every
//! line of a session and no password, and that lettre gets replies it can parse. The socket can be
//! taken away from lettre, so that TLS starts without any data received in clear.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::reply::Lines;
use crate::config::post::Login;
use crate::config::secret::HIDDEN;
use crate::show::escape::escape;

/// Most bytes of a reply. lettre limits lines only once they end, and parses a multiline reply anew
/// with each line.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Most lines of a transcript.
const LINES_MAX: usize = 200;

/// The greeting that lettre expects on a new connection, and gets from us after STARTTLS: there the
/// server sends none.
const GREETING: [u8; 9] = *b"220 TLS\r\n";

/// The socket to the server.
pub(super) enum Socket {
    /// Without encryption.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A watched socket. Clones watch the same one.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<Watched>>);

struct Watched {
    socket: Option<Socket>,
    peer: SocketAddr,
    own: Option<SocketAddr>,
    /// Rewrites the server's replies.
    replies: Lines,
    /// Bytes that lettre reads before those of the socket.
    ahead: VecDeque<u8>,
    /// Bytes read since the last write.
    unasked: usize,
    has_asked: bool,
    story: Story,
}

/// The transcript of a session, line by line.
#[derive(Default)]
struct Story {
    lines: Vec<String>,
    heard: Vec<u8>,
    /// Texts to redact: the password, and everything sent to authenticate.
    hidden: Vec<String>,
    logs_in: bool,
    /// While the mail itself is being sent: its bytes so far.
    mail_bytes: Option<usize>,
}

impl Wire {
    /// Watches a connection to `peer`.
    pub(super) fn new(socket: TcpStream, peer: SocketAddr, login: Option<&Login>) -> Self {
        let hidden = login.map(|it| it.password.expose().to_owned()).into_iter().collect();
        let story = Story { hidden, ..Story::default() };
        let watched = Watched {
            own: socket.local_addr().ok(),
            socket: Some(Socket::Plain(socket)),
            peer,
            replies: Lines::default(),
            ahead: VecDeque::new(),
            unasked: 0,
            has_asked: false,
            story,
        };
        Self(Arc::new(Mutex::new(watched)))
    }

    /// Takes the socket out; reads and writes after that fail with `NotConnected`.
    pub(super) fn take(&self) -> Option<Socket> {
        self.watched().socket.take()
    }

    /// Puts the socket back with TLS; `greets`: the server sent its greeting in clear.
    pub(super) fn put(&self, stream: TlsStream<TcpStream>, greets: bool) {
        let mut watched = self.watched();
        watched.story.note("the connection is encrypted from here on, the certificate is trusted");
        watched.socket = Some(Socket::Tls(Box::new(stream)));
        // Drop everything received in clear.
        watched.replies = Lines::default();
        watched.ahead = if greets { GREETING.into() } else { VecDeque::new() };
    }

    /// Our own address on the connection.
    pub(super) fn own_address(&self) -> Option<SocketAddr> {
        self.watched().own
    }

    /// Whether anything was sent: what the server sends before is its greeting.
    pub(super) fn has_asked(&self) -> bool {
        self.watched().has_asked
    }

    /// What follows is the mail itself, until the server replies.
    pub(super) fn mail_follows(&self) {
        self.watched().story.mail_bytes = Some(0);
    }

    /// `text` with its secrets redacted.
    pub(super) fn hide(&self, text: &str) -> String {
        self.watched().story.hide(text)
    }

    /// Adds a remark to the transcript.
    pub(super) fn note(&self, text: &str) {
        self.watched().story.note(text);
    }

    /// The transcript: `> ` is sent, `< ` is received, `* ` is a remark.
    pub(super) fn told(&self) -> Vec<String> {
        self.watched().story.lines.clone()
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// Processes bytes from the server.
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unasked += bytes.len();
        self.story.read(bytes);
        self.ahead.extend(self.replies.take(bytes));
        if self.unasked > ANSWER_BYTES_MAX {
            let limit = ANSWER_BYTES_MAX >> 10;
            return Err(io::Error::other(format!("the server's reply is longer than {limit} KiB")));
        }
        Ok(())
    }
}

impl Story {
    fn tell(&mut self, prefix: char, text: &str) {
        if self.lines.len() < LINES_MAX {
            let line = format!("{prefix} {}", escape(&self.hide(text)));
            self.lines.push(line);
        }
    }

    fn note(&mut self, text: &str) {
        self.tell('*', text);
    }

    fn hide(&self, text: &str) -> String {
        let hidden = self.hidden.iter().filter(|it| !it.is_empty());
        hidden.fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
    }

    fn wrote(&mut self, bytes: &[u8]) {
        if let Some(count) = &mut self.mail_bytes {
            *count += bytes.len();
            return;
        }
        // lettre writes whole commands.
        for line in String::from_utf8_lossy(bytes).lines() {
            let secret = match line.strip_prefix("AUTH ") {
                Some(rest) => rest.split_once(' ').map(|(_, secret)| secret),
                None => self.logs_in.then_some(line),
            };
            self.hidden.extend(secret.map(str::to_owned));
            self.logs_in |= line.starts_with("AUTH ");
            self.tell('>', line);
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        if let Some(count) = self.mail_bytes.take() {
            self.note(&format!("the mail, {count} bytes"));
        }
        self.heard.extend_from_slice(bytes);
        while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.heard.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            self.logs_in &= line.starts_with("334");
            self.tell('<', line);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut watched = self.watched();
        let watched = &mut *watched;
        while watched.ahead.is_empty() {
            let mut piece = [0; 4_096];
            let mut piece = ReadBuf::new(&mut piece);
            let read = match &mut watched.socket {
                Some(Socket::Plain(socket)) => Pin::new(socket).poll_read(context, &mut piece),
                Some(Socket::Tls(socket)) => Pin::new(socket).poll_read(context, &mut piece),
                None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            };
            ready!(read)?;
            if piece.filled().is_empty() {
                watched.ahead.extend(watched.replies.end());
                break;
            }
            watched.take(piece.filled())?;
        }
        let count = into.remaining().min(watched.ahead.len());
        let (first, second) = watched.ahead.as_slices();
        let first = &first[..count.min(first.len())];
        into.put_slice(first);
        into.put_slice(&second[..count - first.len()]);
        watched.ahead.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut watched = self.watched();
        let written = match &mut watched.socket {
            Some(Socket::Plain(socket)) => Pin::new(socket).poll_write(context, bytes),
            Some(Socket::Tls(socket)) => Pin::new(socket).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        if let Poll::Ready(Ok(count)) = &written {
            watched.unasked = 0;
            watched.has_asked = true;
            let bytes = &bytes[..*count];
            // lettre writes whole commands.
            watched.replies.asked(&String::from_utf8_lossy(bytes));
            watched.story.wrote(bytes);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.watched().socket {
            Some(Socket::Plain(socket)) => Pin::new(socket).poll_flush(context),
            Some(Socket::Tls(socket)) => Pin::new(socket).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.watched().socket {
            Some(Socket::Plain(socket)) => Pin::new(socket).poll_shutdown(context),
            Some(Socket::Tls(socket)) => Pin::new(socket).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.watched().peer)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Wire({})", self.watched().peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_logs_in_is_told_whoever_says_it() {
        let mut story = Story { hidden: vec!["s3cr3t".to_owned()], ..Story::default() };
        story.wrote(b"AUTH PLAIN AGdyaWQAczNjcjN0\r\n");
        story.read(b"500 what is AUTH PLAIN AGdyaWQAczNjcjN0?\r\n");
        story.wrote(b"AUTH LOGIN\r\n");
        story.read(b"334 VXNlcm5hbWU6\r\n");
        story.wrote(b"Z3JpZA==\r\n");
        story.read(b"334 UGFzc3dvcmQ6\r\n");
        story.wrote(b"czNjcjN0\r\n");
        story.read(b"535 s3cr3t is wrong\x1b\r\n");
        story.wrote(b"QUIT\r\n");
        assert_eq!(
            story.lines,
            [
                "> AUTH PLAIN ***",
                "< 500 what is AUTH PLAIN ***?",
                "> AUTH LOGIN",
                "< 334 VXNlcm5hbWU6",
                "> ***",
                "< 334 UGFzc3dvcmQ6",
                "> ***",
                "< 535 *** is wrong\\x1b",
                "> QUIT",
            ]
        );
    }

    #[test]
    fn the_mail_itself_is_only_counted() {
        let mut story = Story::default();
        story.wrote(b"DATA\r\n");
        story.mail_bytes = Some(0);
        story.wrote(b"Subject: x\r\n");
        story.wrote(b"\r\n.\r\n");
        story.read(b"250 queued\r\n");
        assert_eq!(story.lines, ["> DATA", "* the mail, 17 bytes", "< 250 queued"]);
    }
}
