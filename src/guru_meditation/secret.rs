//! What must not be told: passwords by the name of their key, user and password in URLs, and the
//! addresses of people.
//!
//! Guarantees that [`mask`] leaves no `user:password@` behind a `://`, and of an address of mail only
//! its first letter and its domain. Settings that are secret by their type come masked already; this
//! is the second line, for command lines and for what slipped through.

/// What stands in the place of a secret.
pub(super) const MASK: &str = "***";

/// Parts of names whose values are nobody's business.
const SECRET_NAMES: [&str; 8] =
    ["password", "passwd", "secret", "token", "credential", "private_key", "api_key", "passphrase"];

/// Whether a setting or flag of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    // The path of a file with a secret is none.
    let is_place = ["_file", "_path", "_dir"].iter().any(|place| name.ends_with(place));
    !is_place && SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// The text without user and password in URLs, and with addresses of people shortened.
pub(super) fn mask(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        shown.push_str(&shortened(before));
        let authority = url.find(['/', '?', '#', ' ', '\n', '"', '\'']).unwrap_or(url.len());
        rest = match url[..authority].rfind('@') {
            Some(user) => {
                shown.push_str(MASK);
                shown.push('@');
                &url[user + 1..]
            }
            None => url,
        };
    }
    shown.push_str(&shortened(rest));
    shown
}

/// `alice@example.org` as `a***@example.org`, anywhere in the text.
fn shortened(text: &str) -> String {
    let is_of_name = |c: char| c.is_alphanumeric() || ".!#$%&*+-?^_{|}~".contains(c);
    let is_of_domain = |c: char| c.is_alphanumeric() || c == '.' || c == '-';
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let name = rest[..at].rfind(|c| !is_of_name(c));
        let begin =
            name.map_or(0, |last| last + rest[last..].chars().next().map_or(1, char::len_utf8));
        let is_address = begin < at && rest[at + 1..].starts_with(is_of_domain);
        if is_address {
            let first = rest[begin..].chars().next().map_or(begin, |c| begin + c.len_utf8());
            shown.push_str(&rest[..first]);
            shown.push_str(MASK);
        } else {
            shown.push_str(&rest[..at]);
        }
        shown.push('@');
        rest = &rest[at + 1..];
    }
    shown.push_str(rest);
    shown
}

/// A command line without its secrets: `--password x` and `--token=x` as well as URLs.
pub(super) fn mask_arguments(arguments: &[String]) -> Vec<String> {
    let mut hides_next = false;
    let mut shown = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        let is_secret = is_secret_name(name) && (name.starts_with('-') || value.is_some());
        shown.push(match value {
            Some(_) if is_secret => format!("{name}={MASK}"),
            None if hides_next && !name.starts_with('-') => MASK.to_owned(),
            Some(_) if hides_next => MASK.to_owned(),
            Some(_) | None => mask(argument),
        });
        hides_next = is_secret && value.is_none();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_user_and_password() {
        for (text, shown) in [
            ("smtp://user:pw@mail.example:25/x", "smtp://***@mail.example:25/x"),
            ("smtp://us@er:p@w@mail", "smtp://***@mail"),
            ("https://example.org/a@b", "https://example.org/a***@b"),
            ("two: http://a:b@c http://d/ end", "two: http://***@c http://d/ end"),
            ("no address @ all", "no address @ all"),
            ("plain", "plain"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }

    #[test]
    fn addresses_of_people_are_shortened() {
        for (text, shown) in [
            ("alice@example.org", "a***@example.org"),
            ("to <bob.b@example.org>, Ünal@x.de;", "to <b***@example.org>, Ü***@x.de;"),
            ("@home and at@", "@home and at@"),
            ("ä@ö", "ä***@ö"),
        ] {
            assert_eq!(mask(text), shown);
        }
    }

    #[test]
    fn names_tell_what_is_secret() {
        for name in ["password", "db.Password", "mail.api-key", "auth_token", "client_secret"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["grpc", "password_file", "secret-path", "retention.age", "tokio"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn command_lines_lose_their_secrets() {
        let shown = |words: &[&str]| {
            mask_arguments(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).join(" ")
        };
        assert_eq!(shown(&["x", "--password", "p", "--data", "d"]), "x --password *** --data d");
        assert_eq!(shown(&["x", "--token=p=q", "a=b"]), "x --token=*** a=b");
        assert_eq!(shown(&["x", "--password", "p=q", "y"]), "x --password *** y");
        assert_eq!(shown(&["x", "--password", "--data", "d"]), "x --password --data d");
        assert_eq!(shown(&["x", "password=p", "smtp://u:p@h"]), "x password=*** smtp://***@h");
    }
}
