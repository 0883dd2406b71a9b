//! An SMTP server that does what a test tells it, step by step.
//!
//! Guarantees that it keeps to SMTP but for the one step it was told of. It speaks STARTTLS and TLS by
//! a certificate of its own, and keeps what it was brought.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grid_broker::tasks;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::mail_sender::certify;

/// Where it does something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Greeting,
    Ehlo,
    Starttls,
    Handshake,
    Auth,
    Mail,
    Rcpt,
    Data,
    End,
}

/// What it does there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Says nothing any more.
    Hangs,
    /// Closes the connection.
    Dies,
    /// Says this, and goes on.
    Says(&'static str),
    /// Says these bytes, and goes on.
    SaysBytes(&'static [u8]),
    /// Says lines without end.
    Chatters,
    /// Says one line without end.
    Drones,
    /// Says a letter every 50 ms.
    Drips,
}

/// Whether TLS begins at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    Clear,
    Tls,
}

/// What one connection is to do other than a good server.
pub(crate) type Turn = Option<(At, Does)>;

/// The server. Turns are one per connection; the last one goes for all that follow.
pub(crate) struct Server {
    /// The port of loopback.
    pub(crate) port: u16,
    folder: TempDir,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    lines: Mutex<Vec<String>>,
    mails: Mutex<Vec<String>>,
}

impl Server {
    /// Starts one.
    pub(crate) async fn start(begins: Begins, turns: &[Turn]) -> Self {
        let folder = TempDir::with_prefix("smtp-test-").expect("a temporary folder");
        let acceptor = acceptor(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (seen, turns) = (Arc::new(Seen::default()), turns.to_vec());
        let server = Self { port, folder, seen: Arc::clone(&seen) };
        tasks::spawn("smtp server", async move {
            while let Ok((socket, _)) = listener.accept().await {
                let number = seen.connections.fetch_add(1, Ordering::SeqCst);
                let turn = *turns.get(number).or(turns.last()).unwrap_or(&None);
                let talk = serve(socket, begins, turn, acceptor.clone(), Arc::clone(&seen));
                tasks::spawn("smtp connection", talk);
            }
        });
        server
    }

    /// Where its certificate lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many there were at the same time.
    pub(crate) fn most_open(&self) -> usize {
        self.seen.most_open.load(Ordering::SeqCst)
    }

    /// The mails it took.
    pub(crate) fn mails(&self) -> Vec<String> {
        self.seen.mails.lock().expect("no panic").clone()
    }

    /// The commands it was given.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lines.lock().expect("no panic").clone()
    }
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let made = certify(folder);
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(
    socket: TcpStream,
    begins: Begins,
    turn: Turn,
    acceptor: TlsAcceptor,
    seen: Arc<Seen>,
) {
    let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most_open.fetch_max(open, Ordering::SeqCst);
    let mut talk = Talk { turn, seen: Arc::clone(&seen), greets: true, is_encrypted: false };
    let encrypt = async |socket: TcpStream| {
        if matches!(turn, Some((At::Handshake, Does::Hangs))) {
            std::future::pending::<()>().await;
        }
        let dies = matches!(turn, Some((At::Handshake, Does::Dies)));
        if dies { None } else { acceptor.accept(socket).await.ok() }
    };
    match begins {
        Begins::Tls => {
            talk.is_encrypted = true;
            if let Some(stream) = encrypt(socket).await {
                talk.run(BufReader::new(stream)).await;
            }
        }
        Begins::Clear => {
            if let Some(left) = talk.run(BufReader::new(socket)).await {
                (talk.greets, talk.is_encrypted) = (false, true);
                if let Some(stream) = encrypt(left.into_inner()).await {
                    talk.run(BufReader::new(stream)).await;
                }
            }
        }
    }
    seen.open.fetch_sub(1, Ordering::SeqCst);
}

struct Talk {
    turn: Turn,
    seen: Arc<Seen>,
    greets: bool,
    is_encrypted: bool,
}

impl Talk {
    /// Talks until the end, or until TLS is to begin: then gives the stream back.
    async fn run<S>(&mut self, mut stream: BufReader<S>) -> Option<BufReader<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.greets {
            self.say(&mut stream, At::Greeting, "220 mail.test ESMTP").await?;
        }
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            self.seen.lines.lock().expect("no panic").push(line.trim_end().to_owned());
            let verb = line.split([' ', '\r']).next().unwrap_or_default().to_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let more = if self.is_encrypted { "AUTH PLAIN LOGIN" } else { "STARTTLS" };
                    let said = format!("250-mail.test\r\n250-8BITMIME\r\n250 {more}");
                    self.say(&mut stream, At::Ehlo, &said).await?;
                }
                "STARTTLS" => {
                    self.say(&mut stream, At::Starttls, "220 go ahead").await?;
                    return Some(stream);
                }
                "AUTH" => self.say(&mut stream, At::Auth, "235 2.7.0 welcome").await?,
                "MAIL" => self.say(&mut stream, At::Mail, "250 2.1.0 ok").await?,
                "RCPT" => self.say(&mut stream, At::Rcpt, "250 2.1.5 ok").await?,
                "DATA" => {
                    self.say(&mut stream, At::Data, "354 go ahead").await?;
                    let mail = mail(&mut stream).await?;
                    self.seen.mails.lock().expect("no panic").push(mail);
                    self.say(&mut stream, At::End, "250 2.0.0 queued as 4711").await?;
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await.ok()?;
                    return None;
                }
                _ => stream.write_all(b"500 what?\r\n").await.ok()?,
            }
        }
    }

    /// Says `line`, or does at this step what it was told to; nothing: the connection ends.
    async fn say<S>(&mut self, stream: &mut BufReader<S>, at: At, line: &str) -> Option<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let does = self.turn.filter(|(where_to, _)| *where_to == at).map(|(_, does)| does);
        match does {
            None => stream.write_all(format!("{line}\r\n").as_bytes()).await.ok()?,
            Some(Does::Says(other)) => {
                stream.write_all(format!("{other}\r\n").as_bytes()).await.ok()?;
            }
            Some(Does::SaysBytes(bytes)) => stream.write_all(bytes).await.ok()?,
            Some(Does::Dies) => return None,
            // Until the other side has enough of it.
            Some(Does::Hangs) => {
                let mut nothing = String::new();
                stream.read_line(&mut nothing).await.ok()?;
                return None;
            }
            Some(Does::Chatters) => loop {
                stream.write_all(b"250-and another thing\r\n").await.ok()?;
            },
            Some(Does::Drones) => loop {
                stream.write_all(&[b'a'; 1_024]).await.ok()?;
            },
            Some(Does::Drips) => loop {
                stream.write_all(b"2").await.ok()?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            },
        }
        stream.flush().await.ok()
    }
}

/// What comes up to the lonely dot, with the dots of transparency taken away.
async fn mail<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.strip_prefix('.') {
            Some("\r\n") => return Some(mail),
            Some(rest) => mail.push_str(rest),
            None => mail.push_str(&line),
        }
    }
}
