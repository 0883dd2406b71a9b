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

use super::reply;
use crate::clock::monotonic_now;
use crate::config::mail::MailSecurity;
use crate::config::smtp::{SmtpConfig, SmtpLogin};
use crate::grid::model::mail_message::{Delivery, REPLY_BYTES_MAX};
use crate::grid::values::time::describe_duration;
use crate::mail::rejection;
use crate::mail::rejection::{RejectionScope, SmtpPhase};
use crate::mail::tls_failure;
use crate::mail::transport::{Socket, WatchedStream};
use crate::show::escape::escape;

/// Most addresses of the server's name that are tried; they share the timeout.
const ADDRESSES_MAX: usize = 4;

/// The factor by which the timeout of the end of a mail is longer than that of other steps: there
/// servers scan mails, and a timeout that is too short sends them twice.
const END_TIMEOUT_FACTOR: u32 = 5;

/// Longest part of a reply before a hint, in bytes.
const REPLY_BEFORE_HINT_BYTES_MAX: usize = 300;

/// Timeout of QUIT; nothing depends on its reply.
const QUIT_WITHIN: Duration = Duration::from_secs(2);

/// A mail as it is sent.
pub(super) struct OutgoingMessage {
    /// The envelope sender, for bounces.
    pub(super) from: Address,
    /// The envelope recipient.
    pub(super) to: Address,
    /// Headers and body, in ASCII.
    pub(super) bytes: Vec<u8>,
}

/// A step of the session, for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SmtpStep {
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

impl fmt::Display for SmtpStep {
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

impl SmtpStep {
    /// The phase to which a rejection at this step belongs.
    fn phase(self) -> SmtpPhase {
        match self {
            Self::Connect
            | Self::Greeting
            | Self::Ehlo
            | Self::Starttls
            | Self::Handshake
            | Self::Auth => SmtpPhase::Connection,
            Self::MailFrom => SmtpPhase::Sender,
            Self::RcptTo => SmtpPhase::Recipient,
            Self::Data => SmtpPhase::Data,
            Self::End => SmtpPhase::Content,
        }
    }
}

/// The step at which a session failed, and the reason.
#[derive(Debug)]
pub(super) struct SmtpFailure {
    step: SmtpStep,
    reason: String,
    /// The server rejects this mail permanently.
    is_permanent: bool,
}

impl SmtpFailure {
    fn new(step: SmtpStep, why: impl Into<String>) -> Self {
        Self { step, reason: why.into(), is_permanent: false }
    }

    fn from_smtp_error(step: SmtpStep, error: &Error, wire: &WatchedStream) -> Self {
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        if let Some(code) = error.status() {
            let (code, text) = reply::original_reply(&code.to_string(), &source);
            return Self::from_reply(step, &code, &wire.redact(&text), error.is_permanent());
        }
        let why = if is_disconnect(error) {
            "the server closed the connection".to_owned()
        } else if error.is_response() {
            "the server's reply is not SMTP".to_owned()
        } else {
            wire.redact(&source)
        };
        Self::new(step, why)
    }

    fn from_reply(step: SmtpStep, code: &str, text: &str, is_permanent: bool) -> Self {
        let reply = format!("{code} {}", text.trim());
        let reply = reply.trim_end();
        if !is_permanent {
            return Self::new(step, reply);
        }
        match (rejection::classify(step.phase(), code, text), rejection::hint(text)) {
            (RejectionScope::Message, _) => {
                Self { step, reason: reply.to_owned(), is_permanent: true }
            }
            (RejectionScope::Client, Some(hint)) => {
                let end = reply.floor_char_boundary(REPLY_BEFORE_HINT_BYTES_MAX);
                Self::new(step, format!("{}; {hint}", &reply[..end]))
            }
            (RejectionScope::Client, None) => Self::new(step, reply),
        }
    }

    /// Whether a reused connection may have ended meanwhile, so that a new one is worth trying.
    pub(super) fn is_stale_connection(&self) -> bool {
        self.step == SmtpStep::MailFrom && !self.reason.starts_with('5')
    }

    /// The delivery result for the core.
    pub(super) fn delivery(&self, endpoint: &str) -> Delivery {
        let reply = truncated_reply(&format!("{} at {}: {}", endpoint, self.step, self.reason));
        match self.step {
            _ if self.is_permanent => Delivery::Refused(reply),
            SmtpStep::Connect => Delivery::Unreachable(reply),
            SmtpStep::Greeting
            | SmtpStep::Ehlo
            | SmtpStep::Starttls
            | SmtpStep::Handshake
            | SmtpStep::Auth
            | SmtpStep::MailFrom
            | SmtpStep::RcptTo
            | SmtpStep::Data
            | SmtpStep::End => Delivery::Deferred(reply),
        }
    }
}

/// Whether the server closed or reset the connection.
fn is_disconnect(error: &Error) -> bool {
    let source = error.source();
    let kind = source.and_then(|it| it.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_cut = kind.is_some_and(|kind| {
        [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe]
            .contains(&kind)
    });
    is_cut || source.is_some_and(|it| it.to_string() == "incomplete response")
}

/// A reply or reason, escaped, and truncated to what a record can store.
pub(super) fn truncated_reply(text: &str) -> Box<str> {
    let text = escape(text);
    match text.len() > REPLY_BYTES_MAX {
        true => format!("{}...", &text[..text.floor_char_boundary(REPLY_BYTES_MAX - 3)]).into(),
        false => text.into(),
    }
}

/// An SMTP connection that is ready for mails.
pub(super) struct SmtpConnection {
    smtp: AsyncSmtpConnection,
    stream: WatchedStream,
    /// Mails sent over it.
    pub(super) message_count: u32,
    /// When it was last used.
    pub(super) used_at: Instant,
}

/// The result of connecting, with its transcript.
pub(super) struct ConnectProgress {
    /// The connection, or the failure.
    pub(super) connection: Result<SmtpConnection, SmtpFailure>,
    /// The watched stream, if there was a TCP connection.
    pub(super) stream: Option<WatchedStream>,
}

/// Connects, encrypts and authenticates, so that mails can follow.
pub(super) async fn connect(post: &SmtpConfig) -> ConnectProgress {
    let (socket, peer) = match connect_tcp(post).await {
        Ok(reached) => reached,
        Err(failure) => return ConnectProgress { connection: Err(failure), stream: None },
    };
    let wire = WatchedStream::new(socket, peer, post.login.as_ref());
    wire.note(&format!("connected with {} ({peer})", post.endpoint()));
    let connection = start_session(post, &wire).await.map(|smtp| SmtpConnection {
        smtp,
        stream: wire.clone(),
        message_count: 0,
        used_at: monotonic_now(),
    });
    ConnectProgress { connection, stream: Some(wire) }
}

async fn connect_tcp(post: &SmtpConfig) -> Result<(TcpStream, SocketAddr), SmtpFailure> {
    let failed = |why: String| SmtpFailure::new(SmtpStep::Connect, why);
    let addresses =
        match timeout(post.timeout, lookup_host((post.server.as_str(), post.port))).await {
            Ok(Ok(resolved)) => resolved.take(ADDRESSES_MAX).collect::<Vec<_>>(),
            Ok(Err(error)) => return Err(failed(format!("host name lookup failed: {error}"))),
            Err(_) => return Err(failed(timed_out("host name lookup", post.timeout))),
        };
    let share = post.timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut why = "the host name has no address".to_owned();
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok((socket, address)),
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => why = timed_out("a connection", share),
        }
    }
    Err(failed(why))
}

async fn start_session(
    post: &SmtpConfig,
    wire: &WatchedStream,
) -> Result<AsyncSmtpConnection, SmtpFailure> {
    if post.security == MailSecurity::Tls {
        start_tls(post, wire, true).await?;
    }
    let mut smtp = send_ehlo(post, wire).await?;
    if post.security == MailSecurity::Starttls {
        if !smtp.server_info().supports_feature(Extension::StartTls) {
            let why = "the server does not offer it; nothing was sent. Set mail.security = \"tls\" \
                       if it expects TLS from the first byte, \"plain\" if it has no TLS";
            return Err(SmtpFailure::new(SmtpStep::Starttls, why));
        }
        await_reply(SmtpStep::Starttls, post.timeout, wire, smtp.command(Starttls)).await?;
        // This drops what lettre has read ahead: nothing received in clear counts after this.
        start_tls(post, wire, false).await?;
        smtp = send_ehlo(post, wire).await?;
    }
    if let Some(login) = &post.login {
        authenticate(post, wire, &mut smtp, login).await?;
    }
    Ok(smtp)
}

async fn send_ehlo(
    post: &SmtpConfig,
    wire: &WatchedStream,
) -> Result<AsyncSmtpConnection, SmtpFailure> {
    let name = match &post.ehlo_name {
        Some(name) => name.clone(),
        None => wire.own_address().map(address_literal).unwrap_or_default(),
    };
    let stream = Box::new(wire.clone());
    let connecting = AsyncSmtpConnection::connect_with_transport(stream, &name);
    match await_reply(SmtpStep::Ehlo, post.timeout, wire, connecting).await {
        Err(failure) if !wire.has_sent() => {
            Err(SmtpFailure { step: SmtpStep::Greeting, ..failure })
        }
        greeted => greeted,
    }
}

/// Our own address as an address literal, for a host without a public name (RFC 5321, 4.1.4).
fn address_literal(own: SocketAddr) -> ClientId {
    match own.ip().to_canonical() {
        IpAddr::V4(address) => ClientId::Ipv4(address),
        IpAddr::V6(address) => ClientId::Ipv6(address),
    }
}

async fn start_tls(
    post: &SmtpConfig,
    wire: &WatchedStream,
    greeting_follows: bool,
) -> Result<(), SmtpFailure> {
    let failed = |why: String| SmtpFailure::new(SmtpStep::Handshake, why);
    let (Some((tls, name)), Some(Socket::Plain(socket))) = (&post.tls, wire.take_socket()) else {
        return Err(failed("there is no connection to encrypt".to_owned()));
    };
    match timeout(post.timeout, tls.connect(name.clone(), socket)).await {
        Ok(Ok(stream)) => {
            wire.put_tls(stream, !greeting_follows);
            Ok(())
        }
        Ok(Err(error)) => Err(failed(tls_failure::describe(&error, name, post.security))),
        Err(_) => Err(failed(timed_out("a reply", post.timeout))),
    }
}

async fn authenticate(
    post: &SmtpConfig,
    wire: &WatchedStream,
    smtp: &mut AsyncSmtpConnection,
    login: &SmtpLogin,
) -> Result<(), SmtpFailure> {
    let mechanisms = [Mechanism::Plain, Mechanism::Login];
    if smtp.server_info().get_auth_mechanism(&mechanisms).is_none() {
        let why = "the server offers no login by PLAIN or LOGIN here; nothing was sent";
        return Err(SmtpFailure::new(SmtpStep::Auth, why));
    }
    let credentials = Credentials::new(login.user.clone(), login.password.expose().to_owned());
    let reply = smtp.auth(&mechanisms, &credentials);
    await_reply(SmtpStep::Auth, post.timeout, wire, reply).await?;
    Ok(())
}

impl SmtpConnection {
    /// Sends one mail: one transaction, one recipient.
    pub(super) async fn deliver(
        &mut self,
        post: &SmtpConfig,
        message: &OutgoingMessage,
    ) -> Result<String, SmtpFailure> {
        self.message_count += 1;
        let (smtp, wire, within) = (&mut self.smtp, &self.stream, post.timeout);
        let mail = Mail::new(Some(message.from.clone()), Vec::new());
        let reply = await_reply(SmtpStep::MailFrom, within, wire, smtp.command(mail)).await?;
        check_severity(SmtpStep::MailFrom, Severity::PositiveCompletion, &reply)?;
        let rcpt = Rcpt::new(message.to.clone(), Vec::new());
        let reply = await_reply(SmtpStep::RcptTo, within, wire, smtp.command(rcpt)).await?;
        check_severity(SmtpStep::RcptTo, Severity::PositiveCompletion, &reply)?;
        let reply = await_reply(SmtpStep::Data, within, wire, smtp.command(Data)).await?;
        // Otherwise the server would read the mail as commands.
        check_severity(SmtpStep::Data, Severity::PositiveIntermediate, &reply)?;
        wire.begin_message();
        let sending = smtp.message(&message.bytes);
        let reply =
            await_reply(SmtpStep::End, within.saturating_mul(END_TIMEOUT_FACTOR), wire, sending)
                .await?;
        check_severity(SmtpStep::End, Severity::PositiveCompletion, &reply)?;
        self.used_at = monotonic_now();
        Ok(format!("{} {}", reply.code(), reply.message().collect::<Vec<_>>().join(" ")))
    }

    /// Sends QUIT and waits briefly for the reply.
    pub(super) async fn quit(mut self) {
        let _ = timeout(QUIT_WITHIN, self.smtp.quit()).await;
    }
}

fn check_severity(step: SmtpStep, severity: Severity, reply: &Response) -> Result<(), SmtpFailure> {
    if reply.code().severity == severity {
        return Ok(());
    }
    let why = format!("the server replies {}, which is not allowed here", reply.code());
    Err(SmtpFailure::new(step, why))
}

async fn await_reply<T>(
    step: SmtpStep,
    within: Duration,
    wire: &WatchedStream,
    exchange: impl Future<Output = Result<T, Error>>,
) -> Result<T, SmtpFailure> {
    match timeout(within, exchange).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(SmtpFailure::from_smtp_error(step, &error, wire)),
        Err(_) => Err(SmtpFailure::new(step, timed_out("a reply", within))),
    }
}

fn timed_out(what: &str, within: Duration) -> String {
    format!("no answer: waited {} for {what}", describe_duration(within))
}
