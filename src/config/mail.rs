//! The mail settings as configured: server, recipients, and which alerts are mailed.
//!
//! Guarantees that each single value is valid: addresses are addresses, zones are known, lists can be
//! split again. `smtp` checks whether they fit together.

use std::time::Duration;

use super::secret::Secret;
use crate::config::smtp;
use crate::grid;
use crate::grid::model::mail_message::WEBHOOK_PREFIX;
use crate::grid::model::settings::MAIL_TRIGGERS;
use crate::grid::values::id::{InvalidName, is_valid_name};
use crate::show::escape::excerpt;

/// Most recipients.
const RECIPIENTS_MAX: usize = 16;

/// Longest mail address, in bytes (RFC 5321).
const ADDRESS_BYTES_MAX: usize = 254;

/// The encryption of the connection to the mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS begins within SMTP, and is mandatory.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None.
    Plain,
}

/// The mail settings as configured; an empty text is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// `HOST` or `HOST:PORT`; empty: there is no mail.
    pub server: String,
    /// The encryption of the connection to it.
    pub security: MailSecurity,
    /// CA certificates that are trusted in addition to the system's.
    pub ca_file: String,
    /// The user name for SMTP AUTH.
    pub user: String,
    /// The password for SMTP AUTH.
    pub password: Option<Secret>,
    /// Whether the password may be sent unencrypted to another host.
    pub password_in_clear: bool,
    /// The sender of mails.
    pub from: String,
    /// The name in EHLO.
    pub ehlo_name: String,
    /// The timeout of each SMTP step.
    pub timeout: Duration,
    /// The most connections to the server.
    pub connections: u64,
    /// The name of the grid, in subjects.
    pub grid: String,
    /// The recipients: `ADDRESS` or `ADDRESS ZONE`, separated by commas.
    pub to: String,
    /// The time zone of recipients without one of their own.
    pub zone: String,
    /// The alert kinds that are mailed, separated by commas.
    pub on: String,
    /// How long a mail collects notices before it is sent.
    pub gather: Duration,
    /// The folder of templates of mails; empty: there are none.
    pub templates: String,
    /// The address of the pages in links of mails; empty: mails have no links.
    pub public_url: String,
}

impl Default for MailSettings {
    fn default() -> Self {
        let none = String::new;
        Self {
            server: none(),
            security: MailSecurity::Starttls,
            ca_file: none(),
            user: none(),
            password: None,
            password_in_clear: false,
            from: none(),
            ehlo_name: none(),
            timeout: Duration::from_secs(60),
            connections: 4,
            grid: "grid".to_owned(),
            to: none(),
            zone: none(),
            on: "alert, start_failed, boot_timeout, hung, stuck, no_contact, two_machines, \
                 flapping, events_lost, records_missing, disk_low, clock_differs, certificate_ending, \
                 token_reused, server_certificate, crash_dump"
                .to_owned(),
            gather: grid::model::settings::MailPolicy::default().group_wait,
            templates: none(),
            public_url: none(),
        }
    }
}

impl MailSettings {
    /// Whether a mail server is set.
    pub fn is_configured(&self) -> bool {
        !self.server.is_empty()
    }

    /// The server's host, and its port if it is set.
    pub fn host_and_port(&self) -> (&str, Option<u16>) {
        match self.server.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host.trim_matches(['[', ']']), port.parse().ok())
            }
            Some(_) | None => (&self.server, None),
        }
    }

    /// The recipients, each once, with the zone of those that have their own.
    pub fn recipients(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let all: Vec<_> = parse_recipients(&self.to).collect();
        let first = |address: &str| all.iter().position(|it| is_same_mailbox(it.0, address));
        let once = |(at, it): (usize, &(_, _))| (first(it.0) == Some(at)).then_some(*it);
        all.iter().enumerate().filter_map(once).collect::<Vec<_>>().into_iter()
    }

    /// Warnings about valid but risky settings: the key and the text.
    pub fn warnings(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        let all_listed: Vec<_> = parse_recipients(&self.to).map(|it| it.0).collect();
        for (at, duplicate) in all_listed.iter().enumerate() {
            if let Some(first) = all_listed[..at].iter().find(|it| is_same_mailbox(it, duplicate)) {
                let what = format!(
                    "`{duplicate}` is the same mailbox as `{first}` and gets each mail once"
                );
                all.push(("mail.to", what));
            }
        }
        let has_domain = self.ehlo_name.trim_end_matches('.').contains(['.', ':']);
        if self.is_configured() && !self.ehlo_name.is_empty() && !has_domain {
            let what = format!(
                "`{}` is not a fully qualified host name, and many mail servers reject that in EHLO; \
                 add the domain, such as broker.example.org, or leave it out",
                self.ehlo_name
            );
            all.push(("mail.hello", what));
        }
        all
    }

    /// The part of these settings that the core uses.
    pub fn notification_rules(&self) -> grid::model::settings::MailPolicy {
        // Addresses need a mail server; webhooks do not.
        let is_reachable = |it: &str| self.is_configured() || it.starts_with(WEBHOOK_PREFIX);
        let recipients = self.recipients().map(|(recipient, _)| recipient);
        let recipients: Vec<_> = recipients.filter(|it| is_reachable(it)).map(Into::into).collect();
        let is_on = |kind: &&'static str| list_items(&self.on).any(|part| part == *kind);
        let on = MAIL_TRIGGERS.into_iter().filter(is_on).collect();
        grid::model::settings::MailPolicy { recipients, triggers: on, group_wait: self.gather }
    }
}

/// The recipients of the list in its order, duplicates included.
fn parse_recipients(list: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    list_items(list).map(|part| match part.split_once(char::is_whitespace) {
        Some((address, zone)) => (address, Some(zone.trim())),
        None => (part, None),
    })
}

/// Whether both addresses are one mailbox: domains are case-insensitive, local parts may not be.
fn is_same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((one, at)), Some((other, at_other))) => {
            one == other && at.eq_ignore_ascii_case(at_other)
        }
        _ => one == other,
    }
}

fn list_items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// The rule for a text value, with its message.
#[derive(Debug)]
pub struct TextRule {
    /// What is allowed, to follow "is not".
    pub allowed: &'static str,
    /// Why a text is invalid, possibly an empty message; `None`: it is valid.
    pub error: fn(&str) -> Option<String>,
}

/// An empty message, where the rule itself is explanation enough.
fn error_unless(is_allowed: bool) -> Option<String> {
    (!is_allowed).then(String::new)
}

/// Any line.
pub static LINE: TextRule = TextRule {
    allowed: "one line of at most 1,000 bytes",
    error: |text| error_unless(text.len() <= 1_000 && !text.contains(char::is_control)),
};

/// A sender address.
pub static FROM: TextRule = TextRule {
    allowed: "a mail address such as grid@example.org or \"Grid <grid@example.org>\", a domain of \
              other letters in its xn-- form",
    error: |text| error_unless(text.is_empty() || smtp::parse_mailbox(text).is_some()),
};

/// A host's name.
pub static EHLO_NAME: TextRule = TextRule {
    allowed: "a host name (letters, digits, `.` and `-`), nor an address such as [192.0.2.7]",
    error: |text| error_unless(smtp::ehlo_name(text).is_ok()),
};

/// A grid's name.
pub static GRID_NAME: TextRule = TextRule {
    allowed: "a name of 1 to 20 letters, digits and `-`, the first a letter or digit",
    error: |text| error_unless(smtp::is_grid_name(text)),
};

/// A time zone.
pub static ZONE: TextRule = TextRule {
    allowed: "the name of a time zone such as Europe/Berlin",
    error: |text| (!text.is_empty()).then(|| smtp::parse_zone(text).err()).flatten(),
};

/// A host with or without a port.
pub static SERVER: TextRule = TextRule {
    allowed: "a host such as smtp.example.org, or with a port: smtp.example.org:587",
    error: |text| error_unless(is_valid_server(text)),
};

/// A list of recipients.
pub static RECIPIENTS: TextRule = TextRule {
    allowed: "a list of at most 16 mail addresses with commas between, each with a time zone or \
              without, none twice with different ones, or webhook:NAME: \"anna@example.org \
              Europe/Berlin, ops@example.org\"",
    error: recipients_error,
};

/// A list of alert kinds that are mailed.
pub static ALERT_KINDS: TextRule = TextRule {
    allowed: "a list with commas between, of: alert, start_failed, boot_timeout, hung, stuck, \
              no_contact, two_machines, flapping, suppression, events_lost, records_missing, disk_low, \
              clock_differs, certificate_ending, token_reused, server_certificate, crash_dump",
    error: |text| error_unless(list_items(text).all(|part| MAIL_TRIGGERS.contains(&part))),
};

fn is_valid_server(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let mail = MailSettings { server: text.to_owned(), ..MailSettings::default() };
    let (host, port) = mail.host_and_port();
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let has_bad_port =
        host.len() < text.trim_matches(['[', ']']).len() && port.is_none_or(|it| it == 0);
    host.bytes().all(is_host) && !has_bad_port && smtp::server_name(host).is_some()
}

/// Why the recipient `webhook:NAME ZONE` is invalid.
fn webhook_error(name: &str, zone: Option<&str>) -> Option<String> {
    if !is_valid_name(name) {
        return Some(format!(
            "`{WEBHOOK_PREFIX}{}` names no webhook: {InvalidName}",
            excerpt(name)
        ));
    }
    let why = "a webhook has no time zone: it gets times in UTC";
    zone.map(|_| format!("`{WEBHOOK_PREFIX}{name}` has one, but {why}"))
}

fn recipients_error(text: &str) -> Option<String> {
    let mail = MailSettings { to: text.to_owned(), ..MailSettings::default() };
    let count = mail.recipients().count();
    if count > RECIPIENTS_MAX {
        return Some(format!("there are {count}"));
    }
    let all: Vec<_> = parse_recipients(text).collect();
    all.iter().find_map(|(address, zone)| {
        if let Some(name) = address.strip_prefix(WEBHOOK_PREFIX) {
            return webhook_error(name, *zone);
        }
        let is_address =
            address.len() <= ADDRESS_BYTES_MAX && smtp::parse_address(address).is_some();
        if !is_address {
            return Some(format!("`{}` is not a mail address", excerpt(address)));
        }
        if all.iter().any(|it| it.1 != *zone && is_same_mailbox(it.0, address)) {
            return Some(format!("`{}` has two time zones", excerpt(address)));
        }
        zone.and_then(|zone| smtp::parse_zone(zone).err())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_port_or_none() {
        for (server, place) in [
            ("smtp.example.org", ("smtp.example.org", None)),
            ("smtp.example.org:2525", ("smtp.example.org", Some(2525))),
            ("[::1]:25", ("::1", Some(25))),
            ("::1", ("::1", None)),
        ] {
            let mail = MailSettings { server: server.to_owned(), ..MailSettings::default() };
            assert_eq!(mail.host_and_port(), place);
            assert!(is_valid_server(server), "{server}");
        }
        for invalid in
            ["a b", "smtp.example.org:", "smtp.example.org:x", "smtp.example.org:0", ":25"]
        {
            assert!(!is_valid_server(invalid), "{invalid}");
        }
    }

    #[test]
    fn recipients_have_zones_or_none() {
        let to = "anna@example.org Europe/Berlin, ops@example.org,".to_owned();
        let mail = MailSettings { to, server: "localhost".to_owned(), ..MailSettings::default() };
        let expected = [("anna@example.org", Some("Europe/Berlin")), ("ops@example.org", None)];
        assert_eq!(mail.recipients().collect::<Vec<_>>(), expected);
        let rules = mail.notification_rules();
        assert_eq!(rules.recipients.len(), 2);
        assert!(rules.triggers.contains("alert") && !rules.triggers.contains("suppression"));
        for invalid in ["anna", "anna@", "@b", "a@b@c", "a b@c d e", "a\n@b", "a@b c d"] {
            assert!(recipients_error(invalid).is_some(), "{invalid}");
        }
        let many: Vec<_> = (0..17).map(|number| format!("a{number}@b.c")).collect();
        assert_eq!(recipients_error(&many.join(",")).as_deref(), Some("there are 17"));
        let zone = recipients_error("a@b.c Mars/Base").expect("there is no such zone");
        assert!(zone.starts_with("`Mars/Base` is not a time zone"), "{zone}");
    }

    #[test]
    fn a_duplicate_recipient_gets_each_mail_once_and_is_warned_of() {
        let to =
            "ops@example.org, anna@example.org UTC, ops@EXAMPLE.org, Ops@example.org".to_owned();
        assert_eq!(recipients_error(&to), None);
        let mail = MailSettings { to, server: "localhost".to_owned(), ..MailSettings::default() };
        let rules = mail.notification_rules();
        let expected = ["ops@example.org", "anna@example.org", "Ops@example.org"];
        assert_eq!(rules.recipients.iter().map(|it| &**it).collect::<Vec<_>>(), expected);
        let [(key, warning)] = &mail.warnings()[..] else { panic!("{:?}", mail.warnings()) };
        assert_eq!(*key, "mail.to");
        assert!(
            warning.starts_with("`ops@EXAMPLE.org` is the same mailbox as `ops@example.org`"),
            "{warning}"
        );
        // It would be ambiguous which zone applies.
        assert!(recipients_error("a@b.c UTC, a@B.c Europe/Berlin").is_some());
        assert!(recipients_error("a@b.c UTC, a@b.c").is_some());
    }

    #[test]
    fn a_name_for_ehlo_without_a_domain_is_warned_of() {
        let warning_count = |hello: &str| {
            let (server, hello) = ("localhost".to_owned(), hello.to_owned());
            MailSettings { server, ehlo_name: hello, ..MailSettings::default() }.warnings().len()
        };
        for (hello, warnings) in
            [("vm", 1), ("vm.", 1), ("vm.example.org", 0), ("[::1]", 0), ("192.0.2.7", 0), ("", 0)]
        {
            assert_eq!(warning_count(hello), warnings, "{hello}");
        }
    }
}
