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
use super::host_name::local_host_name;
use super::mail::{MailSecurity, MailSettings};
use super::mail_templates::MailTemplates;
use super::secret::Secret;
use crate::show::escape::excerpt;

/// Longest name of a grid, in bytes, so that subjects have room for the text.
const GRID_BYTES_MAX: usize = 20;

/// The default port (RFC 6409, RFC 8314, RFC 5321).
fn default_port(security: MailSecurity) -> u16 {
    match security {
        MailSecurity::Starttls => 587,
        MailSecurity::Tls => 465,
        MailSecurity::Plain => 25,
    }
}

/// A contradiction between settings, or a missing one.
#[derive(Debug)]
pub struct SmtpConfigError {
    /// The keys involved, the one to change first: if one of them is invalid by itself, this error is
    /// not reported.
    pub(super) keys: &'static [&'static str],
    /// The error, and what to do.
    pub(super) text: String,
    /// Whether the value is missing.
    pub(super) is_missing: bool,
}

fn invalid(keys: &'static [&'static str], text: impl Into<String>) -> SmtpConfigError {
    SmtpConfigError { keys, text: text.into(), is_missing: false }
}

pub(super) fn missing(keys: &'static [&'static str], text: &str) -> SmtpConfigError {
    SmtpConfigError { keys, text: text.to_owned(), is_missing: true }
}

/// Validated SMTP configuration.
pub struct SmtpConfig {
    pub(crate) server: String,
    pub(crate) port: u16,
    pub(crate) security: MailSecurity,
    /// `None` if the connection is not encrypted.
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(crate) login: Option<SmtpLogin>,
    pub(crate) from: Mailbox,
    /// `None`: our own address on the connection to the server.
    pub(crate) ehlo_name: Option<ClientId>,
    pub(crate) timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) style: MessageStyle,
}

/// Credentials for SMTP AUTH.
pub(crate) struct SmtpLogin {
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// The style of mails.
pub(crate) struct MessageStyle {
    /// The grid's name.
    pub(crate) grid: String,
    /// The time zone of recipients without one of their own.
    pub(crate) zone: TimeZone,
    /// Time zones by address.
    pub(crate) zones: BTreeMap<String, TimeZone>,
    /// The address of the pages in links; empty: there are no links.
    pub(crate) public_url: String,
    /// The administrator's templates; `None`: the plain form.
    pub(crate) templates: Option<MailTemplates>,
}

impl MessageStyle {
    /// The recipient's time zone.
    pub(crate) fn zone_of(&self, recipient: &str) -> &TimeZone {
        self.zones.get(recipient).unwrap_or(&self.zone)
    }
}

impl SmtpConfig {
    /// Builds the configuration from the settings. Reads files.
    ///
    /// # Errors
    ///
    /// All contradictions, and the keys whose values are invalid by themselves.
    pub fn new(mail: &MailSettings) -> Result<Self, Vec<SmtpConfigError>> {
        let mut errors = Vec::new();
        let (server, port) = mail.host_and_port();
        let name = server_name(server).ok_or_else(|| invalid(&["mail.server"], "is not a host"));
        let name = collect_error(name, &mut errors);
        let tls = collect_error(tls(mail, name), &mut errors);
        let login = collect_error(login(mail), &mut errors);
        let from = collect_error(from(mail), &mut errors);
        let hello = ehlo_name(&mail.ehlo_name).map_err(|text| invalid(&["mail.hello"], text));
        let hello = collect_error(hello, &mut errors);
        let look = collect_error(message_style(mail), &mut errors);
        let connections = usize::try_from(mail.connections)
            .map_err(|_| invalid(&["mail.connections"], "is more than this machine can count"));
        let connections = collect_error(connections, &mut errors);
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
            port: port.unwrap_or(default_port(mail.security)),
            security: mail.security,
            tls,
            login,
            from,
            ehlo_name: hello,
            timeout: mail.timeout,
            connections,
            style: look,
        })
    }

    /// `HOST:PORT` of the server.
    pub(crate) fn endpoint(&self) -> String {
        match self.server.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{}", self.server, self.port),
        }
    }
}

/// The text, if it is set.
fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The value, or `None` and one more error in the list.
fn collect_error<T>(
    value: Result<T, SmtpConfigError>,
    errors: &mut Vec<SmtpConfigError>,
) -> Option<T> {
    value.map_err(|error| errors.push(error)).ok()
}

/// A host, as in the names of certificates.
pub(super) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// Parses a mail address that we can use: ASCII, so that every server accepts it.
pub(crate) fn parse_address(text: &str) -> Option<Address> {
    text.parse::<Address>().ok().filter(|_| text.is_ascii() && !text.contains(char::is_control))
}

/// Parses a sender: an address, or a name and an address.
pub(super) fn parse_mailbox(text: &str) -> Option<Mailbox> {
    let mailbox = text.parse::<Mailbox>().ok();
    let is_plain = |it: &Mailbox| AsRef::<str>::as_ref(&it.email).is_ascii();
    mailbox.filter(|it| !text.contains(char::is_control) && is_plain(it))
}

fn from(mail: &MailSettings) -> Result<Mailbox, SmtpConfigError> {
    if mail.from.is_empty() {
        return Err(missing(&["mail.from", "mail.server"], "is needed where mail.server is given"));
    }
    parse_mailbox(&mail.from).ok_or_else(|| invalid(&["mail.from"], "is not a mail address"))
}

/// The TLS part of the configuration; `None` without encryption.
fn tls(
    mail: &MailSettings,
    name: Option<ServerName<'static>>,
) -> Result<Option<(TlsConnector, ServerName<'static>)>, SmtpConfigError> {
    let ca_file = non_empty(&mail.ca_file).map(Path::new);
    match mail.security {
        MailSecurity::Plain if ca_file.is_some() => Err(invalid(
            &["mail.ca_file", "mail.security"],
            "has no effect while mail.security is `plain`",
        )),
        MailSecurity::Plain => Ok(None),
        MailSecurity::Starttls | MailSecurity::Tls => {
            let connector = certificates::tls_connector(ca_file);
            let connector = connector.map_err(|text| invalid(&["mail.ca_file"], text))?;
            Ok(name.map(|name| (connector, name)))
        }
    }
}

fn login(mail: &MailSettings) -> Result<Option<SmtpLogin>, SmtpConfigError> {
    const LOGIN: &[&str] = &["mail.password_file", "mail.password", "mail.user"];
    const NOBODY: &[&str] = &["mail.user", "mail.password_file", "mail.password"];
    let (user, password) = match (non_empty(&mail.user), &mail.password) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(missing(LOGIN, "is needed, since mail.user is given")),
        (None, Some(_)) => return Err(missing(NOBODY, "is needed, since there is a password")),
        (Some(user), Some(password)) => (user.to_owned(), password.clone()),
    };
    let is_clear = mail.security == MailSecurity::Plain && !is_loopback(mail.host_and_port().0);
    if is_clear && !mail.password_in_clear {
        return Err(invalid(
            &["mail.security", "mail.server", "mail.password_in_clear"],
            "the password would be sent to another host unencrypted; use `starttls` or `tls`, or \
             set mail.password_in_clear = true if the network to it is trusted",
        ));
    }
    Ok(Some(SmtpLogin { user, password }))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The name for EHLO: as configured, else this host's fully qualified name. A name without a domain,
/// which many servers reject, is used only if it is configured.
pub(super) fn ehlo_name(text: &str) -> Result<Option<ClientId>, String> {
    let is_host = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        (1..=255).contains(&name.len()) && name.bytes().all(allowed)
    };
    let Some(name) = non_empty(text) else {
        return Ok(local_host_name().filter(|name| is_host(name)).map(ClientId::Domain));
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
pub(super) fn is_grid_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_long_enough = (1..=GRID_BYTES_MAX).contains(&name.len());
    is_long_enough && name.bytes().all(allowed) && !name.starts_with('-')
}

fn message_style(mail: &MailSettings) -> Result<MessageStyle, SmtpConfigError> {
    let of_recipients = |text| invalid(&["mail.to"], text);
    let common = non_empty(&mail.zone).map(parse_zone).transpose();
    let common = common.map_err(|text| invalid(&["mail.zone"], text))?;
    let mut zones = BTreeMap::new();
    for (recipient, name) in mail.recipients().filter_map(|(it, own)| Some((it, own?))) {
        zones.insert(recipient.to_owned(), parse_zone(name).map_err(of_recipients)?);
    }
    let zone = common.unwrap_or_else(TimeZone::system);
    let (grid, public_url) = (mail.grid.clone(), mail.public_url.clone());
    let templates = MailTemplates::configured(&mail.templates)
        .map_err(|why| invalid(&["mail.templates"], why.to_string()))?;
    Ok(MessageStyle { grid, zone, zones, public_url, templates })
}

/// Finds a time zone of the system.
pub(super) fn parse_zone(name: &str) -> Result<TimeZone, String> {
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
impl fmt::Debug for SmtpConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Post").field("place", &self.endpoint()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> MailSettings {
        MailSettings {
            server: "mail.example.org".to_owned(),
            from: "grid@example.org".to_owned(),
            to: "anna@example.org".to_owned(),
            security: MailSecurity::Plain,
            ..MailSettings::default()
        }
    }

    fn outcome_of(change: impl FnOnce(&mut MailSettings)) -> String {
        let mut mail = mail();
        change(&mut mail);
        match SmtpConfig::new(&mail) {
            Ok(post) => post.endpoint(),
            Err(errors) => {
                let lines = errors.iter().map(|it| format!("{}: {}", it.keys[0], it.text));
                lines.collect::<Vec<_>>().join("\n")
            }
        }
    }

    fn with_login(mail: &mut MailSettings) {
        mail.user = "grid".to_owned();
        mail.password = Some(Secret::from_environment("A", "s3cr3t").expect("a secret"));
    }

    #[test]
    fn each_error_names_its_key_and_what_to_do() {
        type Change = fn(&mut MailSettings);
        assert_eq!(outcome_of(|_| {}), "mail.example.org:25");
        assert_eq!(outcome_of(|it| it.server = "[::1]:2525".to_owned()), "[::1]:2525");
        let cases: [(Change, &str); 4] = [
            (|it| it.from = String::new(), "mail.from: is needed where mail.server is given"),
            (|it| it.user = "a".to_owned(), "mail.password_file: is needed"),
            (|it| it.zone = "Mars/Base".to_owned(), "mail.zone: `Mars/Base` is not a time zone"),
            (|it| it.ca_file = "/x".to_owned(), "mail.ca_file: has no effect while"),
        ];
        for (change, expected) in cases {
            let outcome = outcome_of(change);
            assert!(outcome.starts_with(expected), "{outcome}");
        }
        let outcome = outcome_of(|it| {
            it.security = MailSecurity::Tls;
            it.ca_file = "/nowhere.pem".to_owned();
        });
        assert!(outcome.starts_with("mail.ca_file: can't read /nowhere.pem: No such"), "{outcome}");
        let outcome = outcome_of(|it| {
            it.from = String::new();
            it.user = "a".to_owned();
            it.ca_file = "/x".to_owned();
        });
        assert_eq!(outcome.lines().count(), 3, "all at once: {outcome}");
    }

    #[test]
    fn a_password_is_sent_in_clear_only_to_loopback_or_if_allowed() {
        let rejected = outcome_of(with_login);
        assert!(
            rejected.starts_with("mail.security: the password would be sent to another"),
            "{rejected}"
        );
        for host in ["127.0.0.1:25", "[::1]:25", "LOCALHOST"] {
            let outcome = outcome_of(|it| {
                with_login(it);
                it.server = host.to_owned();
            });
            assert!(outcome.ends_with(":25"), "{outcome}");
        }
        let allowed = outcome_of(|it| {
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
            let client_id = ehlo_name(setting).expect("is valid").map(|it| it.to_string());
            assert_eq!(client_id.as_deref(), Some(name));
        }
    }

    #[test]
    fn zones_are_by_recipient() {
        let mut mail = mail();
        mail.zone = "UTC".to_owned();
        mail.to = "a@example.org, b@example.org Europe/Berlin".to_owned();
        let post = SmtpConfig::new(&mail).expect("is valid");
        assert_eq!(post.style.zone_of("a@example.org").iana_name(), Some("UTC"));
        assert_eq!(post.style.zone_of("b@example.org").iana_name(), Some("Europe/Berlin"));
    }
}
