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

use super::reply::ReplyReader;
use crate::config::secret::REDACTED;
use crate::config::smtp::SmtpLogin;
use crate::show::escape::escape;

/// Most bytes of a reply. lettre limits lines only once they end, and parses a multiline reply anew
/// with each line.
const SERVER_REPLY_BYTES_MAX: usize = 16 << 10;

/// Most lines of a transcript.
const TRANSCRIPT_LINES_MAX: usize = 200;

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
pub(super) struct WatchedStream(Arc<Mutex<StreamState>>);

struct StreamState {
    socket: Option<Socket>,
    peer: SocketAddr,
    own: Option<SocketAddr>,
    /// Rewrites the server's replies.
    replies: ReplyReader,
    /// Bytes that lettre reads before those of the socket.
    read_buffer: VecDeque<u8>,
    /// Bytes read since the last write.
    unsolicited_bytes: usize,
    has_sent: bool,
    transcript: Transcript,
}

/// The transcript of a session, line by line.
#[derive(Default)]
struct Transcript {
    lines: Vec<String>,
    partial_line: Vec<u8>,
    /// Texts to redact: the password, and everything sent to authenticate.
    secrets: Vec<String>,
    is_authenticating: bool,
    /// While the mail itself is being sent: its bytes so far.
    mail_bytes: Option<usize>,
}

impl WatchedStream {
    /// Watches a connection to `peer`.
    pub(super) fn new(socket: TcpStream, peer: SocketAddr, login: Option<&SmtpLogin>) -> Self {
        let hidden = login.map(|it| it.password.expose().to_owned()).into_iter().collect();
        let story = Transcript { secrets: hidden, ..Transcript::default() };
        let watched = StreamState {
            own: socket.local_addr().ok(),
            socket: Some(Socket::Plain(socket)),
            peer,
            replies: ReplyReader::default(),
            read_buffer: VecDeque::new(),
            unsolicited_bytes: 0,
            has_sent: false,
            transcript: story,
        };
        Self(Arc::new(Mutex::new(watched)))
    }

    /// Takes the socket out; reads and writes after that fail with `NotConnected`.
    pub(super) fn take_socket(&self) -> Option<Socket> {
        self.lock_state().socket.take()
    }

    /// Puts the socket back with TLS; `greets`: the server sent its greeting in clear.
    pub(super) fn put_tls(&self, stream: TlsStream<TcpStream>, greets: bool) {
        let mut watched = self.lock_state();
        watched
            .transcript
            .note("the connection is encrypted from here on, the certificate is trusted");
        watched.socket = Some(Socket::Tls(Box::new(stream)));
        // Drop everything received in clear.
        watched.replies = ReplyReader::default();
        watched.read_buffer = if greets { GREETING.into() } else { VecDeque::new() };
    }

    /// Our own address on the connection.
    pub(super) fn own_address(&self) -> Option<SocketAddr> {
        self.lock_state().own
    }

    /// Whether anything was sent: what the server sends before is its greeting.
    pub(super) fn has_sent(&self) -> bool {
        self.lock_state().has_sent
    }

    /// What follows is the mail itself, until the server replies.
    pub(super) fn begin_message(&self) {
        self.lock_state().transcript.mail_bytes = Some(0);
    }

    /// `text` with its secrets redacted.
    pub(super) fn redact(&self, text: &str) -> String {
        self.lock_state().transcript.redact(text)
    }

    /// Adds a remark to the transcript.
    pub(super) fn note(&self, text: &str) {
        self.lock_state().transcript.note(text);
    }

    /// The transcript: `> ` is sent, `< ` is received, `* ` is a remark.
    pub(super) fn transcript(&self) -> Vec<String> {
        self.lock_state().transcript.lines.clone()
    }

    fn lock_state(&self) -> MutexGuard<'_, StreamState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamState {
    /// Processes bytes from the server.
    fn receive(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsolicited_bytes += bytes.len();
        self.transcript.record_read(bytes);
        self.read_buffer.extend(self.replies.feed(bytes));
        if self.unsolicited_bytes > SERVER_REPLY_BYTES_MAX {
            let limit = SERVER_REPLY_BYTES_MAX >> 10;
            return Err(io::Error::other(format!("the server's reply is longer than {limit} KiB")));
        }
        Ok(())
    }
}

impl Transcript {
    fn push_line(&mut self, prefix: char, text: &str) {
        if self.lines.len() < TRANSCRIPT_LINES_MAX {
            let line = format!("{prefix} {}", escape(&self.redact(text)));
            self.lines.push(line);
        }
    }

    fn note(&mut self, text: &str) {
        self.push_line('*', text);
    }

    fn redact(&self, text: &str) -> String {
        let hidden = self.secrets.iter().filter(|it| !it.is_empty());
        hidden.fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }

    fn record_write(&mut self, bytes: &[u8]) {
        if let Some(count) = &mut self.mail_bytes {
            *count += bytes.len();
            return;
        }
        // lettre writes whole commands.
        for line in String::from_utf8_lossy(bytes).lines() {
            let secret = match line.strip_prefix("AUTH ") {
                Some(rest) => rest.split_once(' ').map(|(_, secret)| secret),
                None => self.is_authenticating.then_some(line),
            };
            self.secrets.extend(secret.map(str::to_owned));
            self.is_authenticating |= line.starts_with("AUTH ");
            self.push_line('>', line);
        }
    }

    fn record_read(&mut self, bytes: &[u8]) {
        if let Some(count) = self.mail_bytes.take() {
            self.note(&format!("the mail, {count} bytes"));
        }
        self.partial_line.extend_from_slice(bytes);
        while let Some(end) = self.partial_line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.partial_line.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            self.is_authenticating &= line.starts_with("334");
            self.push_line('<', line);
        }
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut watched = self.lock_state();
        let watched = &mut *watched;
        while watched.read_buffer.is_empty() {
            let mut piece = [0; 4_096];
            let mut piece = ReadBuf::new(&mut piece);
            let read = match &mut watched.socket {
                Some(Socket::Plain(socket)) => Pin::new(socket).poll_read(context, &mut piece),
                Some(Socket::Tls(socket)) => Pin::new(socket).poll_read(context, &mut piece),
                None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            };
            ready!(read)?;
            if piece.filled().is_empty() {
                watched.read_buffer.extend(watched.replies.finish());
                break;
            }
            watched.receive(piece.filled())?;
        }
        let count = into.remaining().min(watched.read_buffer.len());
        let (first, second) = watched.read_buffer.as_slices();
        let first = &first[..count.min(first.len())];
        into.put_slice(first);
        into.put_slice(&second[..count - first.len()]);
        watched.read_buffer.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut watched = self.lock_state();
        let written = match &mut watched.socket {
            Some(Socket::Plain(socket)) => Pin::new(socket).poll_write(context, bytes),
            Some(Socket::Tls(socket)) => Pin::new(socket).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        if let Poll::Ready(Ok(count)) = &written {
            watched.unsolicited_bytes = 0;
            watched.has_sent = true;
            let bytes = &bytes[..*count];
            // lettre writes whole commands.
            watched.replies.command_sent(&String::from_utf8_lossy(bytes));
            watched.transcript.record_write(bytes);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.lock_state().socket {
            Some(Socket::Plain(socket)) => Pin::new(socket).poll_flush(context),
            Some(Socket::Tls(socket)) => Pin::new(socket).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.lock_state().socket {
            Some(Socket::Plain(socket)) => Pin::new(socket).poll_shutdown(context),
            Some(Socket::Tls(socket)) => Pin::new(socket).poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncTokioStream for WatchedStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.lock_state().peer)
    }
}

impl fmt::Debug for WatchedStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Wire({})", self.lock_state().peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_redacted_in_both_directions() {
        let mut story = Transcript { secrets: vec!["s3cr3t".to_owned()], ..Transcript::default() };
        story.record_write(b"AUTH PLAIN AGdyaWQAczNjcjN0\r\n");
        story.record_read(b"500 what is AUTH PLAIN AGdyaWQAczNjcjN0?\r\n");
        story.record_write(b"AUTH LOGIN\r\n");
        story.record_read(b"334 VXNlcm5hbWU6\r\n");
        story.record_write(b"Z3JpZA==\r\n");
        story.record_read(b"334 UGFzc3dvcmQ6\r\n");
        story.record_write(b"czNjcjN0\r\n");
        story.record_read(b"535 s3cr3t is wrong\x1b\r\n");
        story.record_write(b"QUIT\r\n");
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
    fn the_message_body_is_only_counted() {
        let mut story = Transcript::default();
        story.record_write(b"DATA\r\n");
        story.mail_bytes = Some(0);
        story.record_write(b"Subject: x\r\n");
        story.record_write(b"\r\n.\r\n");
        story.record_read(b"250 queued\r\n");
        assert_eq!(story.lines, ["> DATA", "* the mail, 17 bytes", "< 250 queued"]);
    }
}
