//! Checks a URL to which gridd sends requests, and builds from it all that a connection needs.
//!
//! Guarantees that a [`HttpTarget`] is ready to use: its URL has a host, its CA file was read, and its
//! credentials fit into a header. Uses no network.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::certificates;
use super::secret::Secret;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_000;

/// Where requests go, and how.
#[derive(Clone)]
pub struct HttpTarget {
    /// The host as it is looked up: a name or an address, without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// The host and port as the URL has them, for the header `Host` and for messages.
    pub(crate) authority: String,
    /// The path with its query. It may contain a secret, and is never shown.
    pub(crate) path: String,
    /// `None`: without encryption.
    pub(crate) tls: Option<(TlsConnector, ServerName<'static>)>,
    /// The header `Authorization`.
    pub(crate) authorization: Option<HeaderValue>,
}

/// What proves to the server who we are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HttpCredentials<'a> {
    /// Nothing.
    None,
    /// A token.
    Bearer(&'a Secret),
    /// A user and a password.
    Basic(&'a str, &'a Secret),
}

/// Omits path and credentials, which may be secret.
impl fmt::Debug for HttpTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HttpTarget").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// A URL in its parts.
struct UrlParts {
    is_https: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

/// Why `url` is none that requests can be sent to; never contains the URL.
pub(super) fn url_error(url: &str) -> Option<String> {
    parse(url).err().map(str::to_owned)
}

/// Whether what is sent there can be read on the way: no TLS, and another host.
pub(super) fn is_readable_on_the_way(url: &str) -> bool {
    parse(url).is_ok_and(|parts| {
        let is_local = parts.host.eq_ignore_ascii_case("localhost")
            || parts.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !parts.is_https && !is_local
    })
}

fn parse(url: &str) -> Result<UrlParts, &'static str> {
    if url.len() > URL_BYTES_MAX {
        return Err("it is longer than 2,000 bytes");
    }
    if url.contains('#') {
        return Err("a part after # is never sent to a server; leave it out");
    }
    if !url.contains("://") {
        return Err("it does not begin with http:// or https://");
    }
    let uri: Uri = url.parse().map_err(|_| "it contains something that no URL contains")?;
    let is_https = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) => return Err("only http and https are spoken"),
        None => return Err("it does not begin with http:// or https://"),
    };
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.as_str().contains('@') {
        return Err("credentials do not belong into it; use user and password_file, or token_file");
    }
    let host = authority.host().trim_matches(['[', ']']);
    if host.is_empty() {
        return Err("it names no host");
    }
    let has_port = authority.as_str().len() > authority.host().len();
    let port = match authority.port_u16() {
        Some(0) => return Err("there is no port 0"),
        Some(port) => port,
        None if has_port => return Err("its port is not a number from 1 to 65535"),
        None if is_https => 443,
        None => 80,
    };
    Ok(UrlParts {
        is_https,
        host: host.to_owned(),
        port,
        authority: authority.as_str().to_owned(),
        path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
    })
}

impl HttpTarget {
    /// Builds the target. Reads the CA file, and the system's certificates if there is TLS.
    ///
    /// # Errors
    ///
    /// The key that is wrong, `url`, `ca_file` or `token_file`, and why.
    pub(crate) fn new(
        url: &str,
        ca_file: &str,
        credentials: HttpCredentials<'_>,
    ) -> Result<Self, (&'static str, String)> {
        let parts = parse(url).map_err(|why| ("url", why.to_owned()))?;
        let ca_file = (!ca_file.is_empty()).then(|| Path::new(ca_file));
        let tls = if parts.is_https {
            let connector = certificates::tls_connector(ca_file).map_err(|why| ("ca_file", why))?;
            let name = ServerName::try_from(parts.host.clone());
            let name = name.map_err(|_| ("url", "its host is no name for TLS".to_owned()))?;
            Some((connector, name))
        } else if ca_file.is_some() {
            let why = "has no effect while the url begins with http://";
            return Err(("ca_file", why.to_owned()));
        } else {
            None
        };
        let authorization = authorization(credentials)?;
        let UrlParts { host, port, authority, path, .. } = parts;
        Ok(Self { host, port, authority, path, tls, authorization })
    }

    /// The same server at a path below that of the URL, unless the URL has that path already.
    pub(super) fn below(mut self, path: &str) -> Self {
        let own = self.path.split('?').next().unwrap_or_default().trim_end_matches('/');
        if own.ends_with(path) {
            self.path = own.to_owned();
        } else {
            self.path = format!("{own}{path}");
        }
        self
    }
}

fn authorization(
    credentials: HttpCredentials<'_>,
) -> Result<Option<HeaderValue>, (&'static str, String)> {
    let (key, text) = match credentials {
        HttpCredentials::None => return Ok(None),
        HttpCredentials::Bearer(token) => ("token_file", format!("Bearer {}", token.expose())),
        HttpCredentials::Basic(user, password) => {
            let pair = STANDARD.encode(format!("{user}:{}", password.expose()));
            ("password_file", format!("Basic {pair}"))
        }
    };
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| (key, "the secret has a character that no header can have".to_owned()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<HttpTarget, (&'static str, String)> {
        HttpTarget::new(url, "", HttpCredentials::None)
    }

    #[test]
    fn a_url_is_split_into_what_a_connection_needs() {
        for (url, host, port, authority, path) in [
            ("http://hooks.example", "hooks.example", 80, "hooks.example", "/"),
            ("http://127.0.0.1:9/a?b=c", "127.0.0.1", 9, "127.0.0.1:9", "/a?b=c"),
            ("http://[::1]:8080/x", "::1", 8080, "[::1]:8080", "/x"),
        ] {
            let target = target(url).expect(url);
            assert_eq!((&*target.host, target.port), (host, port), "{url}");
            assert_eq!((&*target.authority, &*target.path), (authority, path), "{url}");
        }
    }

    #[test]
    fn a_url_that_cannot_work_is_refused_and_not_repeated() {
        for (url, why) in [
            ("hooks.example/s3cr3t", "does not begin"),
            ("/s3cr3t", "does not begin"),
            ("ftp://hooks.example", "only http and https"),
            ("http://user:s3cr3t@hooks.example/", "credentials"),
            ("http://hooks.example:0/", "no port 0"),
            ("http://hooks.example/#s3cr3t", "after #"),
            ("http://a b/s3cr3t", "contains something"),
            ("http://", "contains something"),
        ] {
            let error = url_error(url).expect(url);
            assert!(error.contains(why) && !error.contains("s3cr3t"), "{url}: {error}");
        }
        let long = format!("http://a/{}", "x".repeat(URL_BYTES_MAX));
        assert!(url_error(&long).is_some() && url_error("https://hooks.example/a").is_none());
    }

    #[test]
    fn what_can_be_read_on_the_way_is_known() {
        for (url, expected) in [
            ("http://hooks.example/", true),
            ("https://hooks.example/", false),
            ("http://localhost/", false),
            ("http://127.0.0.1/", false),
            ("http://[::1]/", false),
            ("http://192.0.2.7/", true),
        ] {
            assert_eq!(is_readable_on_the_way(url), expected, "{url}");
        }
    }

    #[test]
    fn credentials_become_a_header_that_is_not_shown() {
        let secret = Secret::from_environment("A", "s3cr3t").expect("a secret");
        let header = authorization(HttpCredentials::Bearer(&secret)).expect("fits").expect("one");
        assert_eq!(header.as_bytes(), b"Bearer s3cr3t");
        assert!(!format!("{header:?}").contains("s3cr3t"));
        let header = authorization(HttpCredentials::Basic("anna", &secret)).expect("fits");
        assert_eq!(header.expect("one").as_bytes(), b"Basic YW5uYTpzM2NyM3Q=");
        let error = HttpTarget::new("http://a/", "/ca.pem", HttpCredentials::None);
        assert_eq!(error.expect_err("is refused").0, "ca_file");
    }

    #[test]
    fn a_path_is_added_once() {
        let below = |url: &str| target(url).expect(url).below("/api/v2/alerts").path;
        for url in ["http://a", "http://a/", "http://a/api/v2/alerts", "http://a/api/v2/alerts/"] {
            assert_eq!(below(url), "/api/v2/alerts", "{url}");
        }
        assert_eq!(below("http://a/alertmanager/"), "/alertmanager/api/v2/alerts");
    }
}
