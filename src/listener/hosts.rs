//! The host names that requests may use.
//!
//! Whoever controls a name in public DNS can point it at this machine, and a browser then takes
//! their page for gridd's (DNS rebinding). Guarantees that only names without that risk are
//! allowed: IP addresses, `localhost` and names below it, and the names in the settings. Compares
//! the whole parsed host. Does not use DNS.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// Maximum number of names in the settings.
const NAMES_MAX: usize = 64;

/// Maximum length of a name, in bytes.
const NAME_BYTES_MAX: usize = 253;

/// The allowed names (and addresses) from the settings, besides those that are always allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(BTreeSet<String>);

/// Why a name is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// Not a host name.
    #[error(
        "\"{0}\" is not a host name such as broker.example: letters, digits, `-`, `_` and dots, no port"
    )]
    Name(String),
    /// Too many names.
    #[error("has {0} names; at most {NAMES_MAX} are allowed")]
    TooMany(usize),
}

impl AllowedHosts {
    /// Parses names, separated by commas.
    ///
    /// # Errors
    ///
    /// The first invalid name, or that there are too many.
    pub fn new(text: &str) -> Result<Self, InvalidHost> {
        let mut names = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let plain = normalize(name);
            // They are always allowed, and belong into the broker's own certificate.
            if let Ok(address) = plain.trim_matches(['[', ']']).parse::<IpAddr>() {
                names.insert(address.to_string());
                continue;
            }
            if plain.is_empty() || plain.len() > NAME_BYTES_MAX || !plain.chars().all(is_allowed) {
                return Err(InvalidHost::Name(name.chars().take(80).collect()));
            }
            names.insert(plain);
        }
        if names.len() > NAMES_MAX {
            Err(InvalidHost::TooMany(names.len()))
        } else {
            Ok(Self(names))
        }
    }

    /// The names, and addresses without brackets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether `authority`, with or without a port, is an allowed name.
    pub(super) fn allows(&self, authority: &str) -> bool {
        let Some(host) = host_part(authority) else { return false };
        if let Some(address) = host.strip_prefix('[') {
            return address.strip_suffix(']').is_some_and(|it| it.parse::<Ipv6Addr>().is_ok());
        }
        let host = normalize(host);
        host.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.0.contains(&host)
    }
}

/// Normalizes a name for comparison: lower case, without a trailing dot.
fn normalize(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The part before the port; `None` if it is ambiguous.
fn host_part(authority: &str) -> Option<&str> {
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let end = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[end..].split_once(':') {
        Some((rest, port)) if is_port(port) => Some(&authority[..end + rest.len()]),
        Some(_) => None,
        None => Some(authority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_allowed_and_other_names_are_not() {
        let hosts = AllowedHosts::default();
        for valid in [
            "127.0.0.1",
            "127.0.0.1:7443",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:7480",
            "localhost",
            "LocalHost.:7480",
            "gridd.localhost:1",
        ] {
            assert!(hosts.allows(valid), "{valid}");
        }
        for invalid in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example:7443",
            "evil-localhost",
            "127.0.0.1.evil.example",
            "somebody@127.0.0.1",
            "127.0.0.1:80:80",
            "[::1",
            "[::1]x",
            "[evil.example]",
            "127.0.0.1, evil.example",
        ] {
            assert!(!hosts.allows(invalid), "{invalid}");
        }
    }

    #[test]
    fn declared_names_are_allowed_only_whole() {
        let hosts = AllowedHosts::new("Broker.example, grid_1.internal.").expect("names");
        for valid in ["broker.example:7480", "BROKER.EXAMPLE.", "grid_1.internal"] {
            assert!(hosts.allows(valid), "{valid}");
        }
        for invalid in ["a.broker.example", "broker.example.evil.example", "broker"] {
            assert!(!hosts.allows(invalid), "{invalid}");
        }
        for invalid in ["broker.example:80", "http://a", "a b", "*.example"] {
            assert!(AllowedHosts::new(invalid).is_err(), "{invalid}");
        }
        assert_eq!(AllowedHosts::new(" "), Ok(AllowedHosts::default()));
        let addresses = AllowedHosts::new("10.1.2.3, [2001:DB8::1], ::1, a.").expect("addresses");
        assert_eq!(addresses.names().collect::<Vec<_>>(), ["10.1.2.3", "2001:db8::1", "::1", "a"]);
    }
}
