//! How do mails leave, as what, and in which time zone do they tell? Settings as said and as meant.
//!
//! Guarantees that a [`Post`] can be used as it stands: addresses are addresses, time zones and
//! certificates were found, and a password goes in clear to no other host unless that is asked for.
//! Opens the CA file and the system's certificates and zones; asks no network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::tls;
use crate::config::secret::Secret;

/// A grid's name in subjects is not longer, in bytes, so that they have room for what happened.
const GRID_BYTES_MAX: usize = 20;

/// Most connections to the server at the same time.
const CONNECTIONS_MAX: usize = 32;

/// How the way to the server is kept private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// TLS begins within SMTP; a server that does not offer it gets nothing.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None.
    Plain,
}

impl Security {
    /// The port it is spoken on if nobody says otherwise (RFC 6409, RFC 8314, RFC 5321).
    pub fn port(self) -> u16 {
        match self {
            Self::Starttls => 587,
            Self::Tls => 465,
            Self::Plain => 25,
        }
    }
}

/// How mails leave, as said. Each field is the key `mail.` and its name, if nothing else is said.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host of the SMTP server: a name or an IP address.
    pub server: String,
    /// Its port; `None`: the one of [`Settings::security`].
    pub port: Option<u16>,
    /// How the way there is kept private.
    pub security: Security,
    /// PEM certificates that are trusted besides the system's: a private CA.
    pub ca_file: Option<PathBuf>,
    /// Who logs in; `None`: nobody.
    pub user: Option<String>,
    /// With which password (`mail.password_file`).
    pub password: Option<Secret>,
    /// Whether a password may go unencrypted to another host.
    pub password_in_clear: bool,
    /// Whom mails are from: `grid@example.org` or `Grid <grid@example.org>`.
    pub from: String,
    /// The name told to the server in EHLO; `None`: the host's.
    pub hello: Option<String>,
    /// The server answers each step within that time.
    pub timeout: Duration,
    /// How many connections there are at most.
    pub connections: usize,
    /// What subjects begin with, in brackets: tells the mails of several grids apart.
    pub grid: String,
    /// The time zone of recipients that have none of their own, such as `Europe/Berlin`; `None`:
    /// the host's.
    pub zone: Option<String>,
    /// Time zones by the recipient's address (`mail.zones.ADDRESS`).
    pub zones: BTreeMap<String, String>,
}

impl Settings {
    /// By `server`, from `from`, and the defaults for all else.
    pub fn new(server: &str, from: &str) -> Self {
        Self {
            server: server.to_owned(),
            port: None,
            security: Security::default(),
            ca_file: None,
            user: None,
            password: None,
            password_in_clear: false,
            from: from.to_owned(),
            hello: None,
            timeout: Duration::from_mins(1),
            connections: 4,
            grid: "grid".to_owned(),
            zone: None,
            zones: BTreeMap::new(),
        }
    }
}

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
    pub(super) security: Security,
    /// There is one unless the way is plain.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) login: Option<Login>,
    pub(super) from: Mailbox,
    pub(super) hello: ClientId,
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
    pub fn new(settings: &Settings) -> Result<Self, Mistake> {
        let server = settings.server.trim();
        let Ok(name) = ServerName::try_from(server.to_owned()) else {
            return wrong("mail.server", "not a host name or IP address");
        };
        let tls = match settings.security {
            Security::Starttls | Security::Tls => {
                Some((tls::connector(settings.ca_file.as_deref())?, name))
            }
            Security::Plain if settings.ca_file.is_some() => {
                return wrong("mail.ca_file", "says nothing while mail.security is `plain`");
            }
            Security::Plain => None,
        };
        if !(1..=CONNECTIONS_MAX).contains(&settings.connections) {
            let what = format!("1 to {CONNECTIONS_MAX} are allowed, not {}", settings.connections);
            return wrong("mail.connections", what);
        }
        if settings.timeout.is_zero() {
            return wrong("mail.timeout", "no server answers within no time");
        }
        Ok(Self {
            server: server.to_owned(),
            port: settings.port.unwrap_or(settings.security.port()),
            security: settings.security,
            tls,
            login: login(settings)?,
            from: from(&settings.from)?,
            hello: hello(settings.hello.as_deref())?,
            timeout: settings.timeout,
            connections: settings.connections,
            look: look(settings)?,
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
        what:
            "not a mail address; write grid@example.org or \"Grid <grid@example.org>\", a domain \
               of other letters in its xn-- form"
                .to_owned(),
    })
}

fn login(settings: &Settings) -> Result<Option<Login>, Mistake> {
    let (user, password) = match (&settings.user, &settings.password) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return wrong("mail.password_file", "is needed, since mail.user is given");
        }
        (None, Some(_)) => return wrong("mail.user", "is needed, since there is a password"),
        (Some(user), Some(password)) => (user.clone(), password.clone()),
    };
    if user.is_empty() || user.contains(char::is_control) {
        return wrong("mail.user", "not a name to log in with");
    }
    let is_clear = settings.security == Security::Plain && !is_loopback(&settings.server);
    if is_clear && !settings.password_in_clear {
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

fn hello(said: Option<&str>) -> Result<ClientId, Mistake> {
    let is_host = |name: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
        (1..=255).contains(&name.len()) && name.bytes().all(allowed)
    };
    match said {
        Some(name) if is_host(name) => Ok(ClientId::Domain(name.to_owned())),
        Some(_) => wrong("mail.hello", "not a host name: letters, digits, `.` and `-`"),
        None => {
            let own = rustix::system::uname();
            let own = own.nodename().to_str().ok().filter(|name| is_host(name));
            Ok(own.map_or_else(ClientId::default, |name| ClientId::Domain(name.to_owned())))
        }
    }
}

fn look(settings: &Settings) -> Result<Look, Mistake> {
    let grid = settings.grid.clone();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !(1..=GRID_BYTES_MAX).contains(&grid.len()) || !grid.bytes().all(allowed) {
        let what = format!("1 to {GRID_BYTES_MAX} letters, digits and `-` are allowed");
        return wrong("mail.grid", what);
    }
    let named = settings.zone.as_deref().map(|name| zone("mail.zone".to_owned(), name));
    let zones = settings.zones.iter().map(|(address, name)| {
        Ok((address.clone(), zone(format!("mail.zones.\"{address}\""), name)?))
    });
    Ok(Look {
        grid,
        zone: named.transpose()?.unwrap_or_else(TimeZone::system),
        zones: zones.collect::<Result<_, _>>()?,
    })
}

fn zone(key: String, name: &str) -> Result<TimeZone, Mistake> {
    TimeZone::get(name).or_else(|_| {
        let place = Path::new("/usr/share/zoneinfo");
        let what = if place.is_dir() || name == "UTC" {
            "no such time zone; write one as in /usr/share/zoneinfo, such as `Europe/Berlin`"
        } else {
            "time zones are not installed here (package tzdata); without them only `UTC` is known"
        };
        wrong(key, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(change: impl FnOnce(&mut Settings)) -> String {
        let mut settings = Settings::new("mail.example.org", "grid@example.org");
        settings.security = Security::Plain;
        change(&mut settings);
        Post::new(&settings).map_or_else(|mistake| mistake.to_string(), |post| post.place())
    }

    fn with_login(settings: &mut Settings) {
        settings.user = Some("grid".to_owned());
        settings.password = Some(Secret::of_environment("A", "s3cr3t").expect("a secret"));
    }

    #[test]
    fn each_mistake_names_its_key_and_what_to_do() {
        assert_eq!(told(|_| {}), "mail.example.org:25");
        type Change = fn(&mut Settings);
        let cases: [(Change, &str); 9] = [
            (|it| it.server = "a b".to_owned(), "mail.server: not a host name or IP address"),
            (|it| it.from = "grid@example.org\nBcc: x@y.z".to_owned(), "mail.from: not a mail"),
            (|it| it.from = "grid@exämple.org".to_owned(), "mail.from: not a mail address"),
            (|it| it.user = Some("a".to_owned()), "mail.password_file: is needed"),
            (|it| it.hello = Some("a b".to_owned()), "mail.hello: not a host name"),
            (|it| it.zone = Some("Mars/Base".to_owned()), "mail.zone: no such time zone"),
            (|it| it.connections = 33, "mail.connections: 1 to 32 are allowed, not 33"),
            (|it| it.grid = "a]".to_owned(), "mail.grid: 1 to 20 letters"),
            (|it| it.ca_file = Some("/x".into()), "mail.ca_file: says nothing while"),
        ];
        for (change, said) in cases {
            let told = told(change);
            assert!(told.starts_with(said), "{told}");
        }
        let told = told(|it| {
            it.security = Security::Tls;
            it.ca_file = Some("/nowhere.pem".into());
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
        for host in ["127.0.0.1", "::1", "LOCALHOST"] {
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
    fn zones_are_by_recipient() {
        let mut settings = Settings::new("localhost", "grid@example.org");
        settings.security = Security::Plain;
        settings.zone = Some("UTC".to_owned());
        settings.zones = [("b@example.org".to_owned(), "Europe/Berlin".to_owned())].into();
        let post = Post::new(&settings).expect("is right");
        assert_eq!(post.look.zone_of("a@example.org").iana_name(), Some("UTC"));
        assert_eq!(post.look.zone_of("b@example.org").iana_name(), Some("Europe/Berlin"));
    }
}
