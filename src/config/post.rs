//! Validates the mail settings as a whole and builds [`SmtpConfig`] from them.
//!
//! Guarantees that a [`SmtpConfig`] is ready to use: addresses are addresses, time zones and
//! certificates were found, and a password is not sent in clear to another host unless that is
//! allowed. Opens the CA file and the system's certificates and zones; does not use the network.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::certificates;
use super::host_name::own_name;
use super::mail::{Mail, MailSecurity};
use super::secret::Secret;
use crate::show::escape::excerpt;

/// Longest name of a grid, in bytes, so that subjects have room for the text.
const GRID_BYTES_MAX: usize = 20;

/// The default port (RFC 6409, RFC 8314, RFC 5321).
fn port_of(security: MailSecurity) -> u16 {
    match security {
        MailSecurity::Starttls => 587,
        MailSecurity::Tls => 465,
        MailSecurity::Plain => 25,
    }
}

/// A contradiction between settings, or a missing one.
#[derive(Debug)]
pub struct Wrong {
    /// The keys involved, the one to change first: if one of them is invalid by itself, this error is
    /// not reported.
    pub(super) keys: &'static [&'static str],
    /// The error, and what to do.
    pub(super) text: String,
    /// Whether the value is missing.
    pub(super) is_missing: bool,
}

fn wrong(keys: &'static [&'static str], text: impl Into<String>) -> Wrong {
    Wrong { keys, text: text.into(), is_missing: false }
}

pub(super) fn missing(keys: &'static [&'static str], text: &str) -> Wrong {
    Wrong { keys, text: text.to_owned(), is_missing: true }
}

/// Validated SMTP configuration.
pub struct Post {
    pub(crate) server: String,
    pub(crate) port: u16,
    pub(crate) security: MailSecurity,
    /// `None` if the connection is not encrypted.
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(crate) login: Option<Login>,
    pub(crate) from: Mailbox,
    /// `None`: our own address on the connection to the server.
    pub(crate) hello: Option<ClientId>,
    pub(crate) timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) look: Look,
}

/// Credentials for SMTP AUTH.
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// The style of mails.
pub(crate) struct Look {
    /// The grid's name.
    pub(crate) grid: String,
    /// The time zone of recipients without one of their own.
    pub(crate) zone: TimeZone,
    /// Time zones by address.
    pub(crate) zones: BTreeMap<String, TimeZone>,
}

impl Look {
    /// The recipient's time zone.
    pub(crate) fn zone_of(&self, recipient: &str) -> &TimeZone {
        self.zones.get(recipient).unwrap_or(&self.zone)
    }
}

impl Post {
    /// Builds the configuration from the settings. Reads files.
    ///
    /// # Errors
    ///
    /// All contradictions, and the keys whose values are invalid by themselves.
    pub fn new(mail: &Mail) -> Result<Self, Vec<Wrong>> {
        let mut errors = Vec::new();
        let (server, port) = mail.place();
        let name = server_name(server).ok_or_else(|| wrong(&["mail.server"], "is not a host"));
        let name = kept(name, &mut errors);
        let tls = kept(tls(mail, name), &mut errors);
        let login = kept(login(mail), &mut errors);
        let from = kept(from(mail), &mut errors);
        let hello = hello(&mail.hello).map_err(|text| wrong(&["mail.hello"], text));
        let hello = kept(hello, &mut errors);
        let look = kept(look(mail), &mut errors);
        let connections = usize::try_from(mail.connections)
            .map_err(|_| wrong(&["mail.connections"], "is more than this machine can count"));
        let connections = kept(connections, &mut errors);
        let (Some(tls), Some(login), Some(from), Some(hello), Some(look), Some(connections)) =
            (tls, login, from, hello, look, connections)
        else {
            return Err(errors);
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            server: server.to_owned(),
            port: port.unwrap_or(port_of(mail.security)),
            security: mail.security,
            tls,
            login,
            from,
            hello,
            timeout: mail.timeout,
            connections,
            look,
        })
    }

    /// `HOST:PORT` of the server.
    pub(crate) fn place(&self) -> String {
        match self.server.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{}", self.server, self.port),
        }
    }
}

/// The text, if it is set.
fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The value, or `None` and one more error in the list.
fn kept<T>(value: Result<T, Wrong>, errors: &mut Vec<Wrong>) -> Option<T> {
    value.map_err(|error| errors.push(error)).ok()
}

/// A host, as in the names of certificates.
pub(super) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// Parses a mail address that we can use: ASCII, so that every server accepts it.
pub(crate) fn address(text: &str) -> Option<Address> {
    text.parse::<Address>().ok().filter(|_| text.is_ascii() && !text.contains(char::is_control))
}

/// Parses a sender: an address, or a name and an address.
pub(super) fn mailbox(text: &str) -> Option<Mailbox> {
    let mailbox = text.parse::<Mailbox>().ok();
    let is_plain = |it: &Mailbox| AsRef::<str>::as_ref(&it.email).is_ascii();
    mailbox.filter(|it| !text.contains(char::is_control) && is_plain(it))
}

fn from(mail: &Mail) -> Result<Mailbox, Wrong> {
    if mail.from.is_empty() {
        return Err(missing(&["mail.from", "mail.server"], "is needed where mail.server is given"));
    }
    mailbox(&mail.from).ok_or_else(|| wrong(&["mail.from"], "is not a mail address"))
}

/// The TLS part of the configuration; `None` without encryption.
fn tls(
    mail: &Mail,
    name: Option<ServerName<'static>>,
) -> Result<Option<(TlsConnector, ServerName<'static>)>, Wrong> {
    let ca_file = said(&mail.ca_file).map(Path::new);
    match mail.security {
        MailSecurity::Plain if ca_file.is_some() => Err(wrong(
            &["mail.ca_file", "mail.security"],
            "has no effect while mail.security is `plain`",
        )),
        MailSecurity::Plain => Ok(None),
        MailSecurity::Starttls | MailSecurity::Tls => {
            let connector = certificates::connector(ca_file);
            let connector = connector.map_err(|text| wrong(&["mail.ca_file"], text))?;
            Ok(name.map(|name| (connector, name)))
        }
    }
}

fn login(mail: &Mail) -> Result<Option<Login>, Wrong> {
    const LOGIN: &[&str] = &["mail.password_file", "mail.password", "mail.user"];
    const NOBODY: &[&str] = &["mail.user", "mail.password_file", "mail.password"];
    let (user, password) = match (said(&mail.user), &mail.password) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(missing(LOGIN, "is needed, since mail.user is given")),
        (None, Some(_)) => return Err(missing(NOBODY, "is needed, since there is a password")),
        (Some(user), Some(password)) => (user.to_owned(), password.clone()),
    };
    let is_clear = mail.security == MailSecurity::Plain && !is_loopback(mail.place().0);
    if is_clear && !mail.password_in_clear {
        return Err(wrong(
            &["mail.security", "mail.server", "mail.password_in_clear"],
            "the password would be sent to another host unencrypted; use `starttls` or `tls`, or \
             set mail.password_in_clear = true if the network to it is trusted",
        ));
    }
    Ok(Some(Login { user, password }))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The name for EHLO: as configured, else this host's fully qualified name. A name without a domain,
/// which many servers reject, is used only if it is configured.
pub(super) fn hello(text: &str) -> Result<Option<ClientId>, String> {
    let is_host = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        (1..=255).contains(&name.len()) && name.bytes().all(allowed)
    };
    let Some(name) = said(text) else {
        return Ok(own_name().filter(|name| is_host(name)).map(ClientId::Domain));
    };
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    let literal = literal.strip_prefix("IPv6:").unwrap_or(literal);
    match literal.parse() {
        Ok(IpAddr::V4(address)) => Ok(Some(ClientId::Ipv4(address))),
        Ok(IpAddr::V6(address)) => Ok(Some(ClientId::Ipv6(address))),
        Err(_) if is_host(name) => Ok(Some(ClientId::Domain(name.to_owned()))),
        Err(_) => Err("is neither a host name nor an address".to_owned()),
    }
}

/// Whether a name fits into subjects.
pub(super) fn is_grid(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_long_enough = (1..=GRID_BYTES_MAX).contains(&name.len());
    is_long_enough && name.bytes().all(allowed) && !name.starts_with('-')
}

fn look(mail: &Mail) -> Result<Look, Wrong> {
    let of_recipients = |text| wrong(&["mail.to"], text);
    let common = said(&mail.zone).map(zone).transpose();
    let common = common.map_err(|text| wrong(&["mail.zone"], text))?;
    let mut zones = BTreeMap::new();
    for (recipient, own) in mail.recipients() {
        if let Some(name) = own {
            zones.insert(recipient.to_owned(), zone(name).map_err(of_recipients)?);
        }
    }
    let zone = common.unwrap_or_else(TimeZone::system);
    Ok(Look { grid: mail.grid.clone(), zone, zones })
}

/// Finds a time zone of the system.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let zoneinfo = Path::new("/usr/share/zoneinfo");
        let what = if zoneinfo.is_dir() || name == "UTC" {
            "write one as in /usr/share/zoneinfo, such as `Europe/Berlin`"
        } else {
            "time zones are not installed here (package tzdata); without them only `UTC` is known"
        };
        format!("`{}` is not a time zone; {what}", excerpt(name))
    })
}

/// Omits the values: a password is among them.
impl fmt::Debug for Post {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Post").field("place", &self.place()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> Mail {
        Mail {
            server: "mail.example.org".to_owned(),
            from: "grid@example.org".to_owned(),
            to: "anna@example.org".to_owned(),
            security: MailSecurity::Plain,
            ..Mail::default()
        }
    }

    fn told(change: impl FnOnce(&mut Mail)) -> String {
        let mut mail = mail();
        change(&mut mail);
        match Post::new(&mail) {
            Ok(post) => post.place(),
            Err(errors) => {
                let lines = errors.iter().map(|it| format!("{}: {}", it.keys[0], it.text));
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }

    fn with_login(mail: &mut Mail) {
        mail.user = "grid".to_owned();
        mail.password = Some(Secret::of_environment("A", "s3cr3t").expect("a secret"));
    }

    #[test]
    fn each_mistake_names_its_key_and_what_to_do() {
        type Change = fn(&mut Mail);
        assert_eq!(told(|_| {}), "mail.example.org:25");
        assert_eq!(told(|it| it.server = "[::1]:2525".to_owned()), "[::1]:2525");
        let cases: [(Change, &str); 4] = [
            (|it| it.from = String::new(), "mail.from: is needed where mail.server is given"),
            (|it| it.user = "a".to_owned(), "mail.password_file: is needed"),
            (|it| it.zone = "Mars/Base".to_owned(), "mail.zone: `Mars/Base` is not a time zone"),
            (|it| it.ca_file = "/x".to_owned(), "mail.ca_file: has no effect while"),
        ];
        for (change, expected) in cases {
            let outcome = told(change);
            assert!(outcome.starts_with(expected), "{outcome}");
        }
        let outcome = told(|it| {
            it.security = MailSecurity::Tls;
            it.ca_file = "/nowhere.pem".to_owned();
        });
        assert!(outcome.starts_with("mail.ca_file: can't read /nowhere.pem: No such"), "{outcome}");
        let outcome = told(|it| {
            it.from = String::new();
            it.user = "a".to_owned();
            it.ca_file = "/x".to_owned();
        });
        assert_eq!(outcome.lines().count(), 3, "all at once: {outcome}");
    }

    #[test]
    fn a_password_goes_in_clear_to_loopback_or_if_that_is_asked_for() {
        let rejected = told(with_login);
        assert!(
            rejected.starts_with("mail.security: the password would be sent to another"),
            "{rejected}"
        );
        for host in ["127.0.0.1:25", "[::1]:25", "LOCALHOST"] {
            let outcome = told(|it| {
                with_login(it);
                it.server = host.to_owned();
            });
            assert!(outcome.ends_with(":25"), "{outcome}");
        }
        let allowed = told(|it| {
            with_login(it);
            it.password_in_clear = true;
        });
        assert_eq!(allowed, "mail.example.org:25");
    }

    #[test]
    fn the_name_for_ehlo_is_a_full_one_or_an_address() {
        for (setting, name) in [
            ("broker.example.org", "broker.example.org"),
            ("vm", "vm"),
            ("[192.0.2.7]", "[192.0.2.7]"),
            ("192.0.2.7", "[192.0.2.7]"),
            ("[IPv6:2001:db8::7]", "[IPv6:2001:db8::7]"),
        ] {
            let client_id = hello(setting).expect("is valid").map(|it| it.to_string());
            assert_eq!(client_id.as_deref(), Some(name));
        }
    }

    #[test]
    fn zones_are_by_recipient() {
        let mut mail = mail();
        mail.zone = "UTC".to_owned();
        mail.to = "a@example.org, b@example.org Europe/Berlin".to_owned();
        let post = Post::new(&mail).expect("is valid");
        assert_eq!(post.look.zone_of("a@example.org").iana_name(), Some("UTC"));
        assert_eq!(post.look.zone_of("b@example.org").iana_name(), Some("Europe/Berlin"));
    }
}
