//! What must not be told: passwords and tokens by the name they stand behind, user and password in
//! URLs, and the addresses of people.
//!
//! Guarantees that [`mask`] leaves no `user:password@` behind a `://`, nothing behind a name such as
//! `token=`, and of an address of mail only its first letter and its domain. Every page of a report
//! passes it. Settings that are secret by their type come masked already; this is the second line.

mod words;

use serde_json::Value;

/// What stands in the place of a secret.
pub(super) const MASK: &str = "***";

/// Parts of names whose values are nobody's business.
const SECRET_NAMES: [&str; 13] = [
    "passwor",
    "passwd",
    "kennwort",
    "secret",
    "token",
    "credential",
    "private_key",
    "api_key",
    "apikey",
    "access_key",
    "passphrase",
    "authorization",
    "cookie",
];

/// What ends names that are about a secret and hold none: its file, how long it lives.
const ABOUT_SECRETS: [&str; 8] =
    ["_file", "_path", "_dir", "_in_clear", "_lifetime", "_ttl", "_timeout", "_length"];

/// Whether a setting or flag of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let is_about = ABOUT_SECRETS.iter().any(|end| name.ends_with(end));
    !is_about && SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Whether a value is a truth, which is no secret whatever it is called.
fn is_truth(value: &str) -> bool {
    ["true", "false", "yes", "no", "none"].contains(&&*value.to_ascii_lowercase())
}

/// A value as a report may tell it under that key.
pub(super) fn masked(key: &str, value: Value) -> Value {
    match value {
        Value::String(text) if is_secret_name(key) && !text.is_empty() && !is_truth(&text) => {
            Value::from(MASK)
        }
        Value::String(text) => Value::from(mask(&text)),
        Value::Array(items) => items.into_iter().map(|item| masked(key, item)).collect(),
        Value::Object(pairs) => {
            let pair = |(key, value): (String, Value)| {
                let value = masked(&key, value);
                (key, value)
            };
            Value::Object(pairs.into_iter().map(pair).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// The text without secrets, and with addresses of people shortened.
pub(super) fn mask(text: &str) -> String {
    words::hidden(&without_people(text))
}

/// The text without user and password in URLs, and with addresses of people shortened.
fn without_people(text: &str) -> String {
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
        let harmless = ["grpc", "password_file", "secret-path", "retention.age", "tokio"];
        for name in harmless.into_iter().chain(["password_in_clear", "enrolment.token_lifetime"]) {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_are_masked_by_their_key_and_by_their_text() {
        use serde_json::json;
        let value = json!({
            "password": "x", "password_set": true, "tokens": ["a", "b"], "n": 1,
            "inner": {"api_key": "k", "url": "https://u:p@h/"}, "text": "to bob@example.org",
        });
        let shown = json!({
            "password": "***", "password_set": true, "tokens": ["***", "***"], "n": 1,
            "inner": {"api_key": "***", "url": "https://***@h/"}, "text": "to b***@example.org",
        });
        assert_eq!(masked("", value), shown);
        assert_eq!(masked("", shown.clone()), shown, "what is masked stays so");
        assert_eq!(masked("password", json!("false")), json!("false"));
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
