//! One conversation with the server, step by step, each in its time.
//!
//! Guarantees that no step lasts longer than it may, that a mail counts as sent only when the server
//! said so after its end, and that a mail is refused only by what the server says of its recipient or
//! its content, whatever step it says it at. What it says of us is the operator's to mend, and no mail
//! is lost for it. Knows nothing of orders.

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

/// Most addresses of the server's name that are tried; they share the time.
const ADDRESSES_MAX: usize = 4;

/// The end of a mail may take as many times longer as any other step: there servers look through
/// mails, and whoever gives up too early sends them twice.
const END_TIMES: u32 = 5;

/// As much of a reply is told before what to do about it, in bytes.
const HINTED_BYTES_MAX: usize = 300;

/// A farewell takes no longer; nothing depends on it.
const QUIT_WITHIN: Duration = Duration::from_secs(2);

/// A letter as it is handed over.
pub(super) struct Letter {
    /// From whom, for whatever goes back.
    pub(super) from: Address,
    /// To whom.
    pub(super) to: Address,
    /// Headers and body, ASCII.
    pub(super) bytes: Vec<u8>,
}

/// A step of the conversation, by which it is told where it ended.
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
    /// Where a server that refuses here refuses.
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

/// Where a conversation ended, and why.
#[derive(Debug)]
pub(super) struct Failure {
    step: Step,
    why: String,
    /// The server refuses this mail for good.
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
            "the server answers something that is no SMTP".to_owned()
        } else {
            wire.hide(&source)
        };
        Self::new(step, why)
    }

    fn of_code(step: Step, code: &str, text: &str, is_permanent: bool) -> Self {
        let said = format!("{code} {}", text.trim());
        let said = said.trim_end();
        if !is_permanent {
            return Self::new(step, said);
        }
        match (refusal::about(step.place(), code, text), refusal::hint(text)) {
            (About::Mail, _) => Self { step, why: said.to_owned(), is_final: true },
            (About::Us, Some(hint)) => {
                let end = said.floor_char_boundary(HINTED_BYTES_MAX);
                Self::new(step, format!("{}; {hint}", &said[..end]))
            }
            (About::Us, None) => Self::new(step, said),
        }
    }

    /// A connection kept from the mail before may have ended meanwhile; then another one is worth it.
    pub(super) fn is_of_an_old_connection(&self) -> bool {
        self.step == Step::MailFrom && !self.why.starts_with('5')
    }

    /// What the core is told.
    pub(super) fn delivery(&self, place: &str) -> Delivery {
        let words = shortened(&format!("{} at {}: {}", place, self.step, self.why));
        if self.is_final { Delivery::Refused(words) } else { Delivery::Deferred(words) }
    }
}

/// Whether the other side ended the connection, in order or not.
fn is_end(error: &Error) -> bool {
    let source = error.source();
    let kind = source.and_then(|it| it.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_cut = kind.is_some_and(|kind| {
        [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe]
            .contains(&kind)
    });
    is_cut || source.is_some_and(|it| it.to_string() == "incomplete response")
}

/// A reply or reason made harmless, and short enough to be kept.
pub(super) fn shortened(text: &str) -> Box<str> {
    let text = escape(text);
    match text.len() > REPLY_BYTES_MAX {
        true => format!("{}...", &text[..text.floor_char_boundary(REPLY_BYTES_MAX - 3)]).into(),
        false => text.into(),
    }
}

/// A connection that is ready for mails.
pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    wire: Wire,
    /// Mails brought by it.
    pub(super) mails: u32,
    /// When it was last used.
    pub(super) used_at: Instant,
}

/// How far a connection came, watched.
pub(super) struct Opened {
    /// The connection, or why there is none.
    pub(super) connection: Result<Connection, Failure>,
    /// What was said, if anything could be.
    pub(super) wire: Option<Wire>,
}

/// Connects, up to where mails can follow.
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
    let found = match timeout(post.timeout, lookup_host((post.server.as_str(), post.port))).await {
        Ok(Ok(found)) => found.take(ADDRESSES_MAX).collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(failed(format!("its name is not found: {error}"))),
        Err(_) => return Err(failed(too_long("its name", post.timeout))),
    };
    let share = post.timeout / u32::try_from(found.len().max(1)).unwrap_or(1);
    let mut why = "its name has no address".to_owned();
    for address in found {
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
                       if it speaks TLS from the first byte, \"plain\" if it has none";
            return Err(Failure::new(Step::Starttls, why));
        }
        answered(Step::Starttls, post.timeout, wire, smtp.command(Starttls)).await?;
        // What lettre has read ahead goes with it: nothing said in clear counts after this.
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
    let begun = AsyncSmtpConnection::connect_with_transport(stream, &name);
    match answered(Step::Ehlo, post.timeout, wire, begun).await {
        Err(failure) if !wire.has_asked() => Err(Failure { step: Step::Greeting, ..failure }),
        greeted => greeted,
    }
}

/// Our own address as a name, where this host has none that others know (RFC 5321, 4.1.4).
fn literal(own: SocketAddr) -> ClientId {
    match own.ip().to_canonical() {
        IpAddr::V4(address) => ClientId::Ipv4(address),
        IpAddr::V6(address) => ClientId::Ipv6(address),
    }
}

async fn encrypt(post: &Post, wire: &Wire, greeting_follows: bool) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(Step::Handshake, why);
    let (Some((tls, name)), Some(Socket::Plain(socket))) = (&post.tls, wire.take()) else {
        return Err(failed("there is nothing to encrypt".to_owned()));
    };
    match timeout(post.timeout, tls.connect(name.clone(), socket)).await {
        Ok(Ok(stream)) => {
            wire.put(stream, !greeting_follows);
            Ok(())
        }
        Ok(Err(error)) => Err(failed(handshake::in_words(&error, name, post.security))),
        Err(_) => Err(failed(too_long("an answer", post.timeout))),
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
    let said = smtp.auth(&mechanisms, &credentials);
    answered(Step::Auth, post.timeout, wire, said).await?;
    Ok(())
}

impl Connection {
    /// Hands one letter over: one transaction, one recipient.
    pub(super) async fn bring(&mut self, post: &Post, letter: &Letter) -> Result<String, Failure> {
        self.mails += 1;
        let (smtp, wire, within) = (&mut self.smtp, &self.wire, post.timeout);
        let mail = Mail::new(Some(letter.from.clone()), Vec::new());
        let said = answered(Step::MailFrom, within, wire, smtp.command(mail)).await?;
        expect(Step::MailFrom, Severity::PositiveCompletion, &said)?;
        let rcpt = Rcpt::new(letter.to.clone(), Vec::new());
        let said = answered(Step::RcptTo, within, wire, smtp.command(rcpt)).await?;
        expect(Step::RcptTo, Severity::PositiveCompletion, &said)?;
        let said = answered(Step::Data, within, wire, smtp.command(Data)).await?;
        // Else the mail would be taken for commands.
        expect(Step::Data, Severity::PositiveIntermediate, &said)?;
        wire.mail_follows();
        let said = smtp.message(&letter.bytes);
        let said = answered(Step::End, within.saturating_mul(END_TIMES), wire, said).await?;
        expect(Step::End, Severity::PositiveCompletion, &said)?;
        self.used_at = monotonic_now();
        Ok(format!("{} {}", said.code(), said.message().collect::<Vec<_>>().join(" ")))
    }

    /// Says farewell, for a moment.
    pub(super) async fn quit(mut self) {
        let _ = timeout(QUIT_WITHIN, self.smtp.quit()).await;
    }
}

fn expect(step: Step, severity: Severity, said: &Response) -> Result<(), Failure> {
    if said.code().severity == severity {
        return Ok(());
    }
    let why = format!("the server answers {} where that makes no sense", said.code());
    Err(Failure::new(step, why))
}

async fn answered<T>(
    step: Step,
    within: Duration,
    wire: &Wire,
    said: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    match timeout(within, said).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::of_server(step, &error, wire)),
        Err(_) => Err(Failure::new(step, too_long("an answer", within))),
    }
}

fn too_long(what: &str, within: Duration) -> String {
    format!("no answer: waited {} for {what}", in_words(within))
}
