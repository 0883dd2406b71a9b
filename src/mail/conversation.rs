//! Runs one SMTP session, step by step, each step with a timeout.
//!
//! Guarantees that no step exceeds its timeout, that a mail counts as sent only after the server
//! accepted it after its end, and that a mail is refused only if the server rejects its recipient or
//! its content, at whatever step. If the server rejects us, the operator must fix that, and no mail
//! is lost. Does not know the jobs.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension};
use lettre::transport::smtp::response::{Response, Severity};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::refusal::{self, About, Place};
use super::wire::{Socket, Wire};
use super::{handshake, reply};
use crate::clock::monotonic_now;
use crate::config::mail::MailSecurity;
use crate::config::post::{Login, Post};
use crate::grid::mail::{Delivery, REPLY_BYTES_MAX};
use crate::grid::time::in_words;
use crate::show::escape::escape;

/// Most addresses of the server's name that are tried; they share the timeout.
const ADDRESSES_MAX: usize = 4;

/// The factor by which the timeout of the end of a mail is longer than that of other steps: there
/// servers scan mails, and a timeout that is too short sends them twice.
const END_TIMES: u32 = 5;

/// Longest part of a reply before a hint, in bytes.
const HINTED_BYTES_MAX: usize = 300;

/// Timeout of QUIT; nothing depends on its reply.
const QUIT_WITHIN: Duration = Duration::from_secs(2);

/// A mail as it is sent.
pub(super) struct Letter {
    /// The envelope sender, for bounces.
    pub(super) from: Address,
    /// The envelope recipient.
    pub(super) to: Address,
    /// Headers and body, in ASCII.
    pub(super) bytes: Vec<u8>,
}

/// A step of the session, for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connect,
    Greeting,
    Ehlo,
    Starttls,
    Handshake,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    End,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Connect => "connecting",
            Self::Greeting => "greeting",
            Self::Ehlo => "EHLO",
            Self::Starttls => "STARTTLS",
            Self::Handshake => "TLS handshake",
            Self::Auth => "AUTH",
            Self::MailFrom => "MAIL FROM",
            Self::RcptTo => "RCPT TO",
            Self::Data => "DATA",
            Self::End => "end of the mail",
        })
    }
}

impl Step {
    /// The phase to which a rejection at this step belongs.
    fn place(self) -> Place {
        match self {
            Self::Connect
            | Self::Greeting
            | Self::Ehlo
            | Self::Starttls
            | Self::Handshake
            | Self::Auth => Place::Connection,
            Self::MailFrom => Place::Sender,
            Self::RcptTo => Place::Recipient,
            Self::Data => Place::Data,
            Self::End => Place::Content,
        }
    }
}

/// The step at which a session failed, and the reason.
#[derive(Debug)]
pub(super) struct Failure {
    step: Step,
    why: String,
    /// The server rejects this mail permanently.
    is_final: bool,
}

impl Failure {
    fn new(step: Step, why: impl Into<String>) -> Self {
        Self { step, why: why.into(), is_final: false }
    }

    fn of_server(step: Step, error: &Error, wire: &Wire) -> Self {
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        if let Some(code) = error.status() {
            let (code, text) = reply::said(&code.to_string(), &source);
            return Self::of_code(step, &code, &wire.hide(&text), error.is_permanent());
        }
        let why = if is_end(error) {
            "the server closed the connection".to_owned()
        } else if error.is_response() {
            "the server's reply is not SMTP".to_owned()
        } else {
            wire.hide(&source)
        };
        Self::new(step, why)
    }

    fn of_code(step: Step, code: &str, text: &str, is_permanent: bool) -> Self {
        let reply = format!("{code} {}", text.trim());
        let reply = reply.trim_end();
        if !is_permanent {
            return Self::new(step, reply);
        }
        match (refusal::about(step.place(), code, text), refusal::hint(text)) {
            (About::Mail, _) => Self { step, why: reply.to_owned(), is_final: true },
            (About::Us, Some(hint)) => {
                let end = reply.floor_char_boundary(HINTED_BYTES_MAX);
                Self::new(step, format!("{}; {hint}", &reply[..end]))
            }
            (About::Us, None) => Self::new(step, reply),
        }
    }

    /// Whether a reused connection may have ended meanwhile, so that a new one is worth trying.
    pub(super) fn is_of_an_old_connection(&self) -> bool {
        self.step == Step::MailFrom && !self.why.starts_with('5')
    }

    /// The delivery result for the core.
    pub(super) fn delivery(&self, endpoint: &str) -> Delivery {
        let reply = shortened(&format!("{} at {}: {}", endpoint, self.step, self.why));
        if self.is_final { Delivery::Refused(reply) } else { Delivery::Deferred(reply) }
    }
}

/// Whether the server closed or reset the connection.
fn is_end(error: &Error) -> bool {
    let source = error.source();
    let kind = source.and_then(|it| it.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_cut = kind.is_some_and(|kind| {
        [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe]
            .contains(&kind)
    });
    is_cut || source.is_some_and(|it| it.to_string() == "incomplete response")
}

/// A reply or reason, escaped, and truncated to what a record can store.
pub(super) fn shortened(text: &str) -> Box<str> {
    let text = escape(text);
    match text.len() > REPLY_BYTES_MAX {
        true => format!("{}...", &text[..text.floor_char_boundary(REPLY_BYTES_MAX - 3)]).into(),
        false => text.into(),
    }
}

/// An SMTP connection that is ready for mails.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    wire: Wire,
    /// Mails sent over it.
    pub(super) mails: u32,
    /// When it was last used.
    pub(super) used_at: Instant,
}

/// The result of connecting, with its transcript.
pub(super) struct Opened {
    /// The connection, or the failure.
    pub(super) connection: Result<Connection, Failure>,
    /// The watched stream, if there was a TCP connection.
    pub(super) wire: Option<Wire>,
}

/// Connects, encrypts and authenticates, so that mails can follow.
pub(super) async fn open(post: &Post) -> Opened {
    let (socket, peer) = match reach(post).await {
        Ok(reached) => reached,
        Err(failure) => return Opened { connection: Err(failure), wire: None },
    };
    let wire = Wire::new(socket, peer, post.login.as_ref());
    wire.note(&format!("connected with {} ({peer})", post.place()));
    let connection = greet(post, &wire).await.map(|smtp| Connection {
        smtp,
        wire: wire.clone(),
        mails: 0,
        used_at: monotonic_now(),
    });
    Opened { connection, wire: Some(wire) }
}

async fn reach(post: &Post) -> Result<(TcpStream, SocketAddr), Failure> {
    let failed = |why: String| Failure::new(Step::Connect, why);
    let addresses =
        match timeout(post.timeout, lookup_host((post.server.as_str(), post.port))).await {
            Ok(Ok(resolved)) => resolved.take(ADDRESSES_MAX).collect::<Vec<_>>(),
            Ok(Err(error)) => return Err(failed(format!("host name lookup failed: {error}"))),
            Err(_) => return Err(failed(too_long("host name lookup", post.timeout))),
        };
    let share = post.timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut why = "the host name has no address".to_owned();
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok((socket, address)),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = too_long("a connection", share),
        }
    }
    Err(failed(why))
}

async fn greet(post: &Post, wire: &Wire) -> Result<AsyncSmtpConnection, Failure> {
    if post.security == MailSecurity::Tls {
        encrypt(post, wire, true).await?;
    }
    let mut smtp = hello(post, wire).await?;
    if post.security == MailSecurity::Starttls {
        if !smtp.server_info().supports_feature(Extension::StartTls) {
            let why = "the server does not offer it; nothing was sent. Set mail.security = \"tls\" \
                       if it expects TLS from the first byte, \"plain\" if it has no TLS";
            return Err(Failure::new(Step::Starttls, why));
        }
        answered(Step::Starttls, post.timeout, wire, smtp.command(Starttls)).await?;
        // This drops what lettre has read ahead: nothing received in clear counts after this.
        encrypt(post, wire, false).await?;
        smtp = hello(post, wire).await?;
    }
    if let Some(login) = &post.login {
        log_in(post, wire, &mut smtp, login).await?;
    }
    Ok(smtp)
}

async fn hello(post: &Post, wire: &Wire) -> Result<AsyncSmtpConnection, Failure> {
    let name = match &post.hello {
        Some(name) => name.clone(),
        None => wire.own_address().map(literal).unwrap_or_default(),
    };
    let stream = Box::new(wire.clone());
    let connecting = AsyncSmtpConnection::connect_with_transport(stream, &name);
    match answered(Step::Ehlo, post.timeout, wire, connecting).await {
        Err(failure) if !wire.has_asked() => Err(Failure { step: Step::Greeting, ..failure }),
        greeted => greeted,
    }
}

/// Our own address as an address literal, for a host without a public name (RFC 5321, 4.1.4).
fn literal(own: SocketAddr) -> ClientId {
    match own.ip().to_canonical() {
        IpAddr::V4(address) => ClientId::Ipv4(address),
        IpAddr::V6(address) => ClientId::Ipv6(address),
    }
}

async fn encrypt(post: &Post, wire: &Wire, greeting_follows: bool) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(Step::Handshake, why);
    let (Some((tls, name)), Some(Socket::Plain(socket))) = (&post.tls, wire.take()) else {
        return Err(failed("there is no connection to encrypt".to_owned()));
    };
    match timeout(post.timeout, tls.connect(name.clone(), socket)).await {
        Ok(Ok(stream)) => {
            wire.put(stream, !greeting_follows);
            Ok(())
        }
        Ok(Err(error)) => Err(failed(handshake::in_words(&error, name, post.security))),
        Err(_) => Err(failed(too_long("a reply", post.timeout))),
    }
}

async fn log_in(
    post: &Post,
    wire: &Wire,
    smtp: &mut AsyncSmtpConnection,
    login: &Login,
) -> Result<(), Failure> {
    let mechanisms = [Mechanism::Plain, Mechanism::Login];
    if smtp.server_info().get_auth_mechanism(&mechanisms).is_none() {
        let why = "the server offers no login by PLAIN or LOGIN here; nothing was sent";
        return Err(Failure::new(Step::Auth, why));
    }
    let credentials = Credentials::new(login.user.clone(), login.password.expose().to_owned());
    let reply = smtp.auth(&mechanisms, &credentials);
    answered(Step::Auth, post.timeout, wire, reply).await?;
    Ok(())
}

impl Connection {
    /// Sends one mail: one transaction, one recipient.
    pub(super) async fn bring(&mut self, post: &Post, message: &Letter) -> Result<String, Failure> {
        self.mails += 1;
        let (smtp, wire, within) = (&mut self.smtp, &self.wire, post.timeout);
        let mail = Mail::new(Some(message.from.clone()), Vec::new());
        let reply = answered(Step::MailFrom, within, wire, smtp.command(mail)).await?;
        expect(Step::MailFrom, Severity::PositiveCompletion, &reply)?;
        let rcpt = Rcpt::new(message.to.clone(), Vec::new());
        let reply = answered(Step::RcptTo, within, wire, smtp.command(rcpt)).await?;
        expect(Step::RcptTo, Severity::PositiveCompletion, &reply)?;
        let reply = answered(Step::Data, within, wire, smtp.command(Data)).await?;
        // Otherwise the server would read the mail as commands.
        expect(Step::Data, Severity::PositiveIntermediate, &reply)?;
        wire.mail_follows();
        let sending = smtp.message(&message.bytes);
        let reply = answered(Step::End, within.saturating_mul(END_TIMES), wire, sending).await?;
        expect(Step::End, Severity::PositiveCompletion, &reply)?;
        self.used_at = monotonic_now();
        Ok(format!("{} {}", reply.code(), reply.message().collect::<Vec<_>>().join(" ")))
    }

    /// Sends QUIT and waits briefly for the reply.
    pub(super) async fn quit(mut self) {
        let _ = timeout(QUIT_WITHIN, self.smtp.quit()).await;
    }
}

fn expect(step: Step, severity: Severity, reply: &Response) -> Result<(), Failure> {
    if reply.code().severity == severity {
        return Ok(());
    }
    let why = format!("the server replies {}, which is not allowed here", reply.code());
    Err(Failure::new(step, why))
}

async fn answered<T>(
    step: Step,
    within: Duration,
    wire: &Wire,
    exchange: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    match timeout(within, exchange).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(Failure::of_server(step, &error, wire)),
        Err(_) => Err(Failure::new(step, too_long("a reply", within))),
    }
}

fn too_long(what: &str, within: Duration) -> String {
    format!("no answer: waited {} for {what}", in_words(within))
}
