//! How do mails leave, as what, and in which time zone do they tell? Settings as said and as meant.
//!
//! Guarantees that a [`Post`] can be used as it stands: addresses are addresses, time zones and
//! certificates were found, and a password goes in clear to no other host unless that is asked for.
//! Opens the CA file and the system's certificates and zones; asks no network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::tls;
use crate::config::mail::{Mail, MailSecurity};
use crate::config::secret::Secret;
use crate::show::escape::excerpt;

/// A grid's name in subjects is not longer, in bytes, so that they have room for what happened.
const GRID_BYTES_MAX: usize = 20;

/// Most connections to the server at the same time.
const CONNECTIONS_MAX: usize = 32;

/// The port that is spoken on if nobody says otherwise (RFC 6409, RFC 8314, RFC 5321).
fn port_of(security: MailSecurity) -> u16 {
    match security {
        MailSecurity::Starttls => 587,
        MailSecurity::Tls => 465,
        MailSecurity::Plain => 25,
    }
}

/// How an address is said.
const ADDRESS: &str = "write grid@example.org, a domain of other letters in its xn-- form";

/// What is wrong with the settings: the key, and what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Mistake {
    /// The key, as in the configuration file.
    pub key: String,
    /// What is wrong, and what to do.
    pub what: String,
}

fn wrong<T>(key: impl Into<String>, what: impl Into<String>) -> Result<T, Mistake> {
    Err(Mistake { key: key.into(), what: what.into() })
}

/// How mails leave, as meant and checked.
pub struct Post {
    pub(super) server: String,
    pub(super) port: u16,
    pub(super) security: MailSecurity,
    /// There is one unless the way is plain.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) login: Option<Login>,
    pub(super) from: Mailbox,
    /// `None`: our address on the way to the server.
    pub(super) hello: Option<ClientId>,
    pub(super) timeout: Duration,
    pub(super) connections: usize,
    pub(super) look: Look,
}

/// Who logs in.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: Secret,
}

/// What mails look like.
pub(super) struct Look {
    /// The grid's name.
    pub(super) grid: String,
    /// The zone of recipients without one of their own.
    pub(super) zone: TimeZone,
    /// Zones by address.
    pub(super) zones: BTreeMap<String, TimeZone>,
}

impl Look {
    /// The recipient's time zone.
    pub(super) fn zone_of(&self, recipient: &str) -> &TimeZone {
        self.zones.get(recipient).unwrap_or(&self.zone)
    }
}

impl Post {
    /// Checks what was said. Reads files, so a task should let it run where blocking is allowed.
    ///
    /// # Errors
    ///
    /// [`Mistake`] names the first key that is wrong.
    pub fn new(mail: &Mail) -> Result<Self, Mistake> {
        let (server, port) = mail.place();
        let Ok(name) = ServerName::try_from(server.to_owned()) else {
            return wrong("mail.server", "not a host name or IP address");
        };
        let ca_file = said(&mail.ca_file).map(Path::new);
        let tls = match mail.security {
            MailSecurity::Starttls | MailSecurity::Tls => Some((tls::connector(ca_file)?, name)),
            MailSecurity::Plain if ca_file.is_some() => {
                return wrong("mail.ca_file", "says nothing while mail.security is `plain`");
            }
            MailSecurity::Plain => None,
        };
        let Some(connections) =
            usize::try_from(mail.connections).ok().filter(|it| (1..=CONNECTIONS_MAX).contains(it))
        else {
            let what = format!("1 to {CONNECTIONS_MAX} are allowed, not {}", mail.connections);
            return wrong("mail.connections", what);
        };
        if mail.timeout.is_zero() {
            return wrong("mail.timeout", "no server answers within no time");
        }
        Ok(Self {
            server: server.to_owned(),
            port: port.unwrap_or(port_of(mail.security)),
            security: mail.security,
            tls,
            login: login(mail)?,
            from: from(&mail.from)?,
            hello: hello(said(&mail.hello))?,
            timeout: mail.timeout,
            connections,
            look: look(mail)?,
        })
    }

    /// `HOST:PORT` of the server.
    pub(super) fn place(&self) -> String {
        match self.server.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => format!("{}:{}", self.server, self.port),
        }
    }
}

/// What was said, if anything was.
fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// A mail address as we can use it: ASCII, so that any server takes it.
pub(super) fn address(text: &str) -> Option<Address> {
    text.parse::<Address>().ok().filter(|_| text.is_ascii() && !text.contains(char::is_control))
}

fn from(text: &str) -> Result<Mailbox, Mistake> {
    let mailbox = text.parse::<Mailbox>().ok();
    let is_plain = |it: &Mailbox| AsRef::<str>::as_ref(&it.email).is_ascii();
    let mailbox = mailbox.filter(|it| !text.contains(char::is_control) && is_plain(it));
    mailbox.ok_or_else(|| Mistake {
        key: "mail.from".to_owned(),
        what: format!("`{}` is no mail address; {ADDRESS}", excerpt(text)),
    })
}

fn login(mail: &Mail) -> Result<Option<Login>, Mistake> {
    let (user, password) = match (said(&mail.user), &mail.password) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return wrong("mail.password_file", "is needed, since mail.user is given");
        }
        (None, Some(_)) => return wrong("mail.user", "is needed, since there is a password"),
        (Some(user), Some(password)) => (user.to_owned(), password.clone()),
    };
    let is_clear = mail.security == MailSecurity::Plain && !is_loopback(mail.place().0);
    if is_clear && !mail.password_in_clear {
        let what = "the password would go to another host unencrypted; use `starttls` or `tls`, \
                    or set mail.password_in_clear = true if the way there is safe";
        return wrong("mail.security", what);
    }
    Ok(Some(Login { user, password }))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The name for EHLO: as it was said, else this host's full name. A name without a domain, which many
/// servers refuse, is only used if it is said.
fn hello(said: Option<&str>) -> Result<Option<ClientId>, Mistake> {
    let is_host = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        (1..=255).contains(&name.len()) && name.bytes().all(allowed)
    };
    let Some(said) = said else {
        return Ok(own_name().filter(|name| is_host(name)).map(ClientId::Domain));
    };
    let literal = said.trim_start_matches('[').trim_end_matches(']');
    let literal = literal.strip_prefix("IPv6:").unwrap_or(literal);
    match literal.parse() {
        Ok(IpAddr::V4(address)) => Ok(Some(ClientId::Ipv4(address))),
        Ok(IpAddr::V6(address)) => Ok(Some(ClientId::Ipv6(address))),
        Err(_) if is_host(said) => Ok(Some(ClientId::Domain(said.to_owned()))),
        Err(_) => wrong(
            "mail.hello",
            "not a host name (letters, digits, `.` and `-`), nor an address such as [192.0.2.7]",
        ),
    }
}

/// This host's full name, as the system or its table of hosts has it.
fn own_name() -> Option<String> {
    let own = rustix::system::uname();
    let own = own.nodename().to_str().ok()?;
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    full_name(own, &hosts)
}

fn full_name(own: &str, hosts: &str) -> Option<String> {
    let is_full = |name: &&str| {
        let name = name.trim_end_matches('.');
        name.contains('.') && !name.ends_with(".localdomain") && !name.starts_with("localhost.")
    };
    if is_full(&own) {
        return Some(own.to_owned());
    }
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut names = lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
    let line = names.find(|names| names.contains(&own) && names.iter().any(is_full))?;
    let begin = format!("{own}.");
    let of_own = line.iter().find(|name| is_full(name) && name.starts_with(&begin));
    of_own.or_else(|| line.iter().find(|name| is_full(name))).map(ToString::to_string)
}

fn look(mail: &Mail) -> Result<Look, Mistake> {
    let grid = mail.grid.clone();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_long_enough = (1..=GRID_BYTES_MAX).contains(&grid.len());
    if !is_long_enough || !grid.bytes().all(allowed) || grid.starts_with('-') {
        let what = format!(
            "1 to {GRID_BYTES_MAX} letters, digits and `-` are allowed, the first a letter or digit"
        );
        return wrong("mail.grid", what);
    }
    let common = said(&mail.zone).map(|name| zone("mail.zone", name)).transpose()?;
    let mut zones = BTreeMap::new();
    for (recipient, own) in mail.recipients() {
        if address(recipient).is_none() {
            return wrong("mail.to", format!("`{recipient}` is no mail address; {ADDRESS}"));
        }
        if let Some(name) = own {
            zones.insert(recipient.to_owned(), zone("mail.to", name)?);
        }
    }
    Ok(Look { grid, zone: common.unwrap_or_else(TimeZone::system), zones })
}

fn zone(key: &str, name: &str) -> Result<TimeZone, Mistake> {
    TimeZone::get(name).or_else(|_| {
        let place = Path::new("/usr/share/zoneinfo");
        let what = if place.is_dir() || name == "UTC" {
            "write one as in /usr/share/zoneinfo, such as `Europe/Berlin`"
        } else {
            "time zones are not installed here (package tzdata); without them only `UTC` is known"
        };
        let what = format!("`{}` is no time zone; {what}", excerpt(name));
        wrong(key, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> Mail {
        Mail {
            server: "mail.example.org".to_owned(),
            from: "grid@example.org".to_owned(),
            security: MailSecurity::Plain,
            ..Mail::default()
        }
    }

    fn told(change: impl FnOnce(&mut Mail)) -> String {
        let mut mail = mail();
        change(&mut mail);
        Post::new(&mail).map_or_else(|mistake| mistake.to_string(), |post| post.place())
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
        let cases: [(Change, &str); 10] = [
            (|it| it.server = "a b".to_owned(), "mail.server: not a host name or IP address"),
            (
                |it| it.from = "g@x.org\nBcc: x@y.z".to_owned(),
                "mail.from: `g@x.org\\nBcc: x@y.z` is no",
            ),
            (
                |it| it.from = "grid@exämple.org".to_owned(),
                "mail.from: `grid@exämple.org` is no mail",
            ),
            (|it| it.to = "a@b.c, anna".to_owned(), "mail.to: `anna` is no mail address"),
            (|it| it.user = "a".to_owned(), "mail.password_file: is needed"),
            (|it| it.hello = "a b".to_owned(), "mail.hello: not a host name"),
            (|it| it.zone = "Mars/Base".to_owned(), "mail.zone: `Mars/Base` is no time zone"),
            (|it| it.connections = 33, "mail.connections: 1 to 32 are allowed, not 33"),
            (|it| it.grid = "a]".to_owned(), "mail.grid: 1 to 20 letters"),
            (|it| it.ca_file = "/x".to_owned(), "mail.ca_file: says nothing while"),
        ];
        for (change, said) in cases {
            let told = told(change);
            assert!(told.starts_with(said), "{told}");
        }
        let told = told(|it| {
            it.security = MailSecurity::Tls;
            it.ca_file = "/nowhere.pem".to_owned();
        });
        assert!(told.starts_with("mail.ca_file: can't read /nowhere.pem: No such"), "{told}");
    }

    #[test]
    fn a_password_goes_in_clear_to_loopback_or_if_that_is_asked_for() {
        let refused = told(with_login);
        assert!(
            refused.starts_with("mail.security: the password would go to another"),
            "{refused}"
        );
        for host in ["127.0.0.1:25", "[::1]:25", "LOCALHOST"] {
            let told = told(|it| {
                with_login(it);
                it.server = host.to_owned();
            });
            assert!(told.ends_with(":25"), "{told}");
        }
        let asked_for = told(|it| {
            with_login(it);
            it.password_in_clear = true;
        });
        assert_eq!(asked_for, "mail.example.org:25");
    }

    #[test]
    fn the_name_for_ehlo_is_a_full_one_or_an_address() {
        let hosts =
            "127.0.0.1 localhost\n# 192.0.2.1 vm.example.net vm\n127.0.1.1 vm.example.org vm\n";
        assert_eq!(full_name("vm", hosts).as_deref(), Some("vm.example.org"));
        assert_eq!(full_name("vm.example.com", hosts).as_deref(), Some("vm.example.com"));
        assert_eq!(full_name("vm", "127.0.0.1 vm localhost.localdomain"), None);
        assert_eq!(full_name("other", hosts), None);
        for (said, name) in [
            ("broker.example.org", "broker.example.org"),
            ("vm", "vm"),
            ("[192.0.2.7]", "[192.0.2.7]"),
            ("192.0.2.7", "[192.0.2.7]"),
            ("[IPv6:2001:db8::7]", "[IPv6:2001:db8::7]"),
        ] {
            let told = hello(Some(said)).expect("is right").map(|it| it.to_string());
            assert_eq!(told.as_deref(), Some(name));
        }
    }

    #[test]
    fn zones_are_by_recipient() {
        let mut mail = mail();
        mail.zone = "UTC".to_owned();
        mail.to = "a@example.org, b@example.org Europe/Berlin".to_owned();
        let post = Post::new(&mail).expect("is right");
        assert_eq!(post.look.zone_of("a@example.org").iana_name(), Some("UTC"));
        assert_eq!(post.look.zone_of("b@example.org").iana_name(), Some("Europe/Berlin"));
    }
}
