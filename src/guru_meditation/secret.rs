//! Masks secrets in reports: values with secret names, credentials in URLs, and mail addresses.
//!
//! Guarantees that [`mask`] leaves no `user:password@` after `://`, no value after a name such as
//! `token=`, and of a mail address only its first letter and its domain. All content of a report
//! passes through it. Settings with a secret type are already masked; this is the second line of
//! defence. Does not know settings.

mod sentences;

use serde_json::Value;

/// Replacement of a secret.
pub(super) const MASK: &str = "***";

/// Parts of names whose values are secret.
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

/// Suffixes of names that concern a secret but hold none: its file, its lifetime.
const HARMLESS_SUFFIXES: [&str; 8] =
    ["_file", "_path", "_dir", "_in_clear", "_lifetime", "_ttl", "_timeout", "_length"];

/// Whether a setting or flag of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let is_about = HARMLESS_SUFFIXES.iter().any(|end| name.ends_with(end));
    !is_about && SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Whether a value is a Boolean, which is no secret whatever its name.
fn is_boolean(value: &str) -> bool {
    ["true", "false", "yes", "no", "none"].contains(&&*value.to_ascii_lowercase())
}

/// Masks a value for a report, by its key and its text.
pub(super) fn mask_value(key: &str, value: Value) -> Value {
    match value {
        Value::String(text) if is_secret_name(key) && !text.is_empty() && !is_boolean(&text) => {
            Value::from(MASK)
        }
        Value::String(text) => Value::from(mask(&text)),
        Value::Array(items) => items.into_iter().map(|item| mask_value(key, item)).collect(),
        Value::Object(pairs) => {
            let pair = |(key, value): (String, Value)| {
                let value = mask_value(&key, value);
                (key, value)
            };
            Value::Object(pairs.into_iter().map(pair).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Masks secrets and mail addresses in a text.
pub(super) fn mask(text: &str) -> String {
    sentences::mask_secrets(&mask_people(text))
}

/// Masks credentials in URLs, and mail addresses.
fn mask_people(text: &str) -> String {
    if !text.contains('@') {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        shown.push_str(&mask_addresses(before));
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
    shown.push_str(&mask_addresses(rest));
    shown
}

/// Turns `alice@example.org` into `a***@example.org`, anywhere in the text.
fn mask_addresses(text: &str) -> String {
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

/// Masks secrets in a command line: `--password x` and `--token=x` as well as URLs.
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
    fn user_and_password_in_urls_are_masked() {
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
    fn mail_addresses_are_masked() {
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
    fn secret_names_are_recognised() {
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
        assert_eq!(mask_value("", value), shown);
        assert_eq!(mask_value("", shown.clone()), shown, "what is masked stays so");
        assert_eq!(mask_value("password", json!("false")), json!("false"));
    }

    #[test]
    fn secrets_in_command_lines_are_masked() {
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
