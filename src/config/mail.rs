//! The settings of mail as said: how mails leave, to whom, and on what.
//!
//! Guarantees that each value is right by itself: addresses are addresses, zones are known, lists can
//! be taken apart again. Whether they go together is `post`'s to say.

use std::time::Duration;

use super::post;
use super::secret::Secret;
use crate::grid;
use crate::grid::settings::MAIL_WORDS;
use crate::show::escape::excerpt;

/// Most recipients.
const RECIPIENTS_MAX: usize = 16;

/// Longest mail address, in bytes (RFC 5321).
const ADDRESS_BYTES_MAX: usize = 254;

/// How the way to the mail server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS begins within SMTP, and must.
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None.
    Plain,
}

/// How mails leave, as said; an empty text is one that was not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// `HOST` or `HOST:PORT`; empty: there is no mail.
    pub server: String,
    /// How the way there is kept private.
    pub security: MailSecurity,
    /// Certificates that are trusted besides the system's.
    pub ca_file: String,
    /// Who logs in.
    pub user: String,
    /// With which password.
    pub password: Option<Secret>,
    /// Whether that may go unencrypted to another host.
    pub password_in_clear: bool,
    /// Whom mails are from.
    pub from: String,
    /// The name told to the server.
    pub hello: String,
    /// The server answers each step within that time.
    pub timeout: Duration,
    /// How many connections there are at most.
    pub connections: u64,
    /// What subjects begin with.
    pub grid: String,
    /// Who gets mail: `ADDRESS` or `ADDRESS ZONE`, with commas between.
    pub to: String,
    /// The time zone of those that have none of their own.
    pub zone: String,
    /// What mails, with commas between.
    pub on: String,
    /// How long a mail gathers what comes.
    pub gather: Duration,
}

impl Default for Mail {
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
            hello: none(),
            timeout: Duration::from_secs(60),
            connections: 4,
            grid: "grid".to_owned(),
            to: none(),
            zone: none(),
            on: "alert, start_failed, boot_timeout, hung, records_missing, disk_low".to_owned(),
            gather: grid::settings::Mail::default().gather,
        }
    }
}

impl Mail {
    /// Whether there is a mail server.
    pub fn is_configured(&self) -> bool {
        !self.server.is_empty()
    }

    /// The server's host, and its port if it was said.
    pub fn place(&self) -> (&str, Option<u16>) {
        match self.server.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host.trim_matches(['[', ']']), port.parse().ok())
            }
            Some(_) | None => (&self.server, None),
        }
    }

    /// Who gets mail, each once, with a zone if it has its own.
    pub fn recipients(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let all: Vec<_> = listed(&self.to).collect();
        let first = |address: &str| all.iter().position(|it| is_same_mailbox(it.0, address));
        let once = |(at, it): (usize, &(_, _))| (first(it.0) == Some(at)).then_some(*it);
        all.iter().enumerate().filter_map(once).collect::<Vec<_>>().into_iter()
    }

    /// What an operator should know of these settings, though they are allowed: a key, and what.
    pub fn warnings(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        let all_listed: Vec<_> = listed(&self.to).map(|it| it.0).collect();
        for (at, again) in all_listed.iter().enumerate() {
            if let Some(first) = all_listed[..at].iter().find(|it| is_same_mailbox(it, again)) {
                let what =
                    format!("`{again}` is the mailbox `{first}` again, and gets each mail once");
                all.push(("mail.to", what));
            }
        }
        let has_domain = self.hello.trim_end_matches('.').contains(['.', ':']);
        if self.is_configured() && !self.hello.is_empty() && !has_domain {
            let what = format!(
                "`{}` is no full host name, and many mail servers refuse such a one in EHLO; write \
                 one with its domain, such as broker.example.org, or leave it out",
                self.hello
            );
            all.push(("mail.hello", what));
        }
        all
    }

    /// What the core is told of it.
    pub fn rules(&self) -> Option<grid::settings::Mail> {
        let recipients = self.recipients().map(|(address, _)| address.into()).collect();
        let is_on = |word: &&'static str| parts(&self.on).any(|part| part == *word);
        let on = MAIL_WORDS.into_iter().filter(is_on).collect();
        let gather = self.gather;
        self.is_configured().then_some(grid::settings::Mail { recipients, on, gather })
    }
}

/// The recipients as they stand in the list, one as often as it was said.
fn listed(list: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    parts(list).map(|part| match part.split_once(char::is_whitespace) {
        Some((address, zone)) => (address, Some(zone.trim())),
        None => (part, None),
    })
}

/// Whether mail to both goes to one mailbox: domains know no case, names before them may.
fn is_same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((one, at)), Some((other, at_other))) => {
            one == other && at.eq_ignore_ascii_case(at_other)
        }
        _ => one == other,
    }
}

fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// What a text may be, and how that is said.
#[derive(Debug)]
pub struct TextRule {
    /// As it goes on behind "is not".
    pub allowed: &'static str,
    /// What keeps it from being that, in words or none; `None`: it is.
    pub wrong: fn(&str) -> Option<String>,
}

/// No words, where the rule itself says enough.
fn unless(is_allowed: bool) -> Option<String> {
    (!is_allowed).then(String::new)
}

/// Any line.
pub static LINE: TextRule = TextRule {
    allowed: "one line of at most 1,000 bytes",
    wrong: |text| unless(text.len() <= 1_000 && !text.contains(char::is_control)),
};

/// An address that mails are from.
pub static FROM: TextRule = TextRule {
    allowed: "a mail address such as grid@example.org or \"Grid <grid@example.org>\", a domain of \
              other letters in its xn-- form",
    wrong: |text| unless(text.is_empty() || post::mailbox(text).is_some()),
};

/// A host's name.
pub static HELLO: TextRule = TextRule {
    allowed: "a host name (letters, digits, `.` and `-`), nor an address such as [192.0.2.7]",
    wrong: |text| unless(post::hello(text).is_ok()),
};

/// A grid's name.
pub static GRID: TextRule = TextRule {
    allowed: "a name of 1 to 20 letters, digits and `-`, the first a letter or digit",
    wrong: |text| unless(post::is_grid(text)),
};

/// A time zone.
pub static ZONE: TextRule = TextRule {
    allowed: "the name of a time zone such as Europe/Berlin",
    wrong: |text| (!text.is_empty()).then(|| post::zone(text).err()).flatten(),
};

/// A host with or without a port.
pub static SERVER: TextRule = TextRule {
    allowed: "a host such as smtp.example.org, or with a port: smtp.example.org:587",
    wrong: |text| unless(is_server(text)),
};

/// A list of recipients.
pub static RECIPIENTS: TextRule = TextRule {
    allowed: "a list of at most 16 mail addresses with commas between, each with a time zone or \
              without, none twice with different ones: \"anna@example.org Europe/Berlin, \
              ops@example.org\"",
    wrong: wrong_recipients,
};

/// A list of what mails.
pub static WORDS: TextRule = TextRule {
    allowed: "a list with commas between, of: alert, start_failed, boot_timeout, hung, stuck, \
              no_contact, two_machines, flapping, records_missing, disk_low, clock_differs",
    wrong: |text| unless(parts(text).all(|part| MAIL_WORDS.contains(&part))),
};

fn is_server(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let mail = Mail { server: text.to_owned(), ..Mail::default() };
    let (host, port) = mail.place();
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    let has_bad_port =
        host.len() < text.trim_matches(['[', ']']).len() && port.is_none_or(|it| it == 0);
    host.bytes().all(is_host) && !has_bad_port && post::server_name(host).is_some()
}

fn wrong_recipients(text: &str) -> Option<String> {
    let mail = Mail { to: text.to_owned(), ..Mail::default() };
    let count = mail.recipients().count();
    if count > RECIPIENTS_MAX {
        return Some(format!("there are {count}"));
    }
    let all: Vec<_> = listed(text).collect();
    all.iter().find_map(|(address, zone)| {
        let is_address = address.len() <= ADDRESS_BYTES_MAX && post::address(address).is_some();
        if !is_address {
            return Some(format!("`{}` is no mail address", excerpt(address)));
        }
        if all.iter().any(|it| it.1 != *zone && is_same_mailbox(it.0, address)) {
            return Some(format!("`{}` has two time zones", excerpt(address)));
        }
        zone.and_then(|zone| post::zone(zone).err())
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
            let mail = Mail { server: server.to_owned(), ..Mail::default() };
            assert_eq!(mail.place(), place);
            assert!(is_server(server), "{server}");
        }
        for wrong in ["a b", "smtp.example.org:", "smtp.example.org:x", "smtp.example.org:0", ":25"]
        {
            assert!(!is_server(wrong), "{wrong}");
        }
    }

    #[test]
    fn recipients_have_zones_or_none() {
        let to = "anna@example.org Europe/Berlin, ops@example.org,".to_owned();
        let mail = Mail { to, server: "localhost".to_owned(), ..Mail::default() };
        let expected = [("anna@example.org", Some("Europe/Berlin")), ("ops@example.org", None)];
        assert_eq!(mail.recipients().collect::<Vec<_>>(), expected);
        let rules = mail.rules().expect("there is mail");
        assert_eq!(rules.recipients.len(), 2);
        assert!(rules.on.contains("alert") && !rules.on.contains("stuck"));
        for wrong in ["anna", "anna@", "@b", "a@b@c", "a b@c d e", "a\n@b", "a@b c d"] {
            assert!(wrong_recipients(wrong).is_some(), "{wrong}");
        }
        let many: Vec<_> = (0..17).map(|number| format!("a{number}@b.c")).collect();
        assert_eq!(wrong_recipients(&many.join(",")).as_deref(), Some("there are 17"));
        let zone = wrong_recipients("a@b.c Mars/Base").expect("there is no such zone");
        assert!(zone.starts_with("`Mars/Base` is no time zone"), "{zone}");
    }

    #[test]
    fn who_is_said_twice_gets_each_mail_once_and_that_is_told() {
        let to =
            "ops@example.org, anna@example.org UTC, ops@EXAMPLE.org, Ops@example.org".to_owned();
        assert_eq!(wrong_recipients(&to), None);
        let mail = Mail { to, server: "localhost".to_owned(), ..Mail::default() };
        let rules = mail.rules().expect("there is mail");
        let expected = ["ops@example.org", "anna@example.org", "Ops@example.org"];
        assert_eq!(rules.recipients.iter().map(|it| &**it).collect::<Vec<_>>(), expected);
        let [(key, told)] = &mail.warnings()[..] else { panic!("{:?}", mail.warnings()) };
        assert_eq!(*key, "mail.to");
        assert!(told.starts_with("`ops@EXAMPLE.org` is the mailbox `ops@example.org`"), "{told}");
        // Which zone would hold?
        assert!(wrong_recipients("a@b.c UTC, a@B.c Europe/Berlin").is_some());
        assert!(wrong_recipients("a@b.c UTC, a@b.c").is_some());
    }

    #[test]
    fn a_name_for_ehlo_without_a_domain_is_warned_of() {
        let told = |hello: &str| {
            let (server, hello) = ("localhost".to_owned(), hello.to_owned());
            Mail { server, hello, ..Mail::default() }.warnings().len()
        };
        for (hello, warnings) in
            [("vm", 1), ("vm.", 1), ("vm.example.org", 0), ("[::1]", 0), ("192.0.2.7", 0), ("", 0)]
        {
            assert_eq!(told(hello), warnings, "{hello}");
        }
    }
}
