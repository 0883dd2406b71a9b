//! Holds the host names by which requests may address the broker.
//!
//! Whoever controls a name in public DNS can point it at us, and a browser then takes their page for
//! ours (DNS rebinding). Guarantees that a name counts only if nobody can do that: an IP address,
//! `localhost` and what is below it, and the names that the settings declare. Compares the whole parsed
//! host. Looks nothing up.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// Most names that can be declared.
const NAMES_MAX: usize = 64;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 253;

/// The names by which we may be called, besides those that are always right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(BTreeSet<String>);

/// Why a name can't be declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// It is none.
    #[error(
        "\"{0}\" is not a host's name such as broker.example: letters, digits, `-`, `_` and dots, no port"
    )]
    Name(String),
    /// There are too many.
    #[error("has {0} names; at most {NAMES_MAX} are allowed")]
    TooMany(usize),
}

impl AllowedHosts {
    /// Names, separated by commas.
    ///
    /// # Errors
    ///
    /// The first that is no name of a host, or that there are too many.
    pub fn new(text: &str) -> Result<Self, InvalidHost> {
        let mut names = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let is_right = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let plain = plain(name);
            if plain.is_empty() || plain.len() > NAME_BYTES_MAX || !plain.chars().all(is_right) {
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

    /// Whether `authority`, with or without a port, is a right name of ours.
    pub(super) fn allows(&self, authority: &str) -> bool {
        let Some(host) = host(authority) else { return false };
        if let Some(address) = host.strip_prefix('[') {
            return address.strip_suffix(']').is_some_and(|it| it.parse::<Ipv6Addr>().is_ok());
        }
        let host = plain(host);
        host.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.0.contains(&host)
    }
}

/// As names are compared: in lower case, without the dot of the root.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// What stands before the port; `None` if that can't be told.
fn host(authority: &str) -> Option<&str> {
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
    fn addresses_and_localhost_are_right_and_other_names_are_not() {
        let hosts = AllowedHosts::default();
        for right in [
            "127.0.0.1",
            "127.0.0.1:7443",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:7480",
            "localhost",
            "LocalHost.:7480",
            "gridd.localhost:1",
        ] {
            assert!(hosts.allows(right), "{right}");
        }
        for wrong in [
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
            assert!(!hosts.allows(wrong), "{wrong}");
        }
    }

    #[test]
    fn declared_names_are_right_as_a_whole() {
        let hosts = AllowedHosts::new("Broker.example, grid_1.internal.").expect("names");
        for right in ["broker.example:7480", "BROKER.EXAMPLE.", "grid_1.internal"] {
            assert!(hosts.allows(right), "{right}");
        }
        for wrong in ["a.broker.example", "broker.example.evil.example", "broker"] {
            assert!(!hosts.allows(wrong), "{wrong}");
        }
        for wrong in ["broker.example:80", "http://a", "a b", "*.example"] {
            assert!(AllowedHosts::new(wrong).is_err(), "{wrong}");
        }
        assert_eq!(AllowedHosts::new(" "), Ok(AllowedHosts::default()));
    }
}
