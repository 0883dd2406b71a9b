//! Reads the credential of a request, and where the request comes from.
//!
//! Guarantees that a token in `X-Auth-Token` counts before `Authorization`, and that a browser's page of
//! another origin is told apart. Checks no credential.

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use super::text::from_base64;
use crate::identity::authenticator::Presented;

/// The header with a token.
const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The header with the token that is to be validated.
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// The header by which a browser says where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What keystoneauth sends as a token if it was told to have none: the certificate may count then.
const NO_TOKEN: &str = "notused";

/// A credential, as the headers have it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum HeaderCredential {
    /// There is none.
    Nothing,
    /// A token, and whose it has to be.
    Token(String, Option<String>),
    /// Something else.
    Unreadable,
}

impl HeaderCredential {
    /// The credential of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let token = headers.get(TOKEN).map(|it| it.to_str().unwrap_or("?").trim());
        if let Some(token) = token.filter(|it| !it.is_empty() && *it != NO_TOKEN) {
            return Self::Token(token.to_owned(), None);
        }
        let Some(header) = headers.get(AUTHORIZATION) else { return Self::Nothing };
        let header = header.to_str().ok().and_then(|it| it.trim().split_once(' '));
        match header.map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest.trim())) {
            Some((scheme, token)) if scheme == "bearer" => Self::Token(token.to_owned(), None),
            Some((scheme, coded)) if scheme == "basic" => {
                basic(coded).map_or(Self::Unreadable, |(name, text)| Self::Token(text, Some(name)))
            }
            Some(_) | None => Self::Unreadable,
        }
    }

    /// The token that is to be validated.
    pub(super) fn of_subject(headers: &HeaderMap) -> Self {
        let token = headers.get(SUBJECT_TOKEN).and_then(|it| it.to_str().ok());
        token.map_or(Self::Unreadable, |token| Self::Token(token.trim().to_owned(), None))
    }

    /// The same, to be checked.
    pub(super) fn presented(&self) -> Presented<'_> {
        match self {
            Self::Nothing => Presented::Nothing,
            Self::Token(text, owner) => Presented::Token { text, owner: owner.as_deref() },
            Self::Unreadable => Presented::Unreadable,
        }
    }
}

/// Name and password of HTTP basic.
fn basic(coded: &str) -> Option<(String, String)> {
    let text = String::from_utf8(from_base64(coded)?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// The host that the client has asked for, with its port.
pub(super) fn host(request: &Parts) -> Option<&str> {
    let by_header = request.headers.get(HOST).and_then(|it| it.to_str().ok());
    by_header.or_else(|| request.uri.authority().map(|it| it.as_str()))
}

/// Whether a page of another origin sends the request: it reads and changes nothing here, whatever a
/// browser lets it see.
pub(super) fn is_foreign(request: &Parts) -> bool {
    let text = |name: HeaderName| request.headers.get(name).map(|it| it.to_str().unwrap_or("?"));
    match (text(FETCH_SITE), text(ORIGIN)) {
        (Some(site), _) => !matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => origin.split_once("://").map(|(_, named)| named) != host(request),
        // Not a browser.
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let builder = Request::get("/v2.1/servers");
        let with =
            |it: http::request::Builder, (name, value): &(&str, &str)| it.header(*name, *value);
        headers.iter().fold(builder, with).body(()).expect("a request").into_parts().0
    }

    #[test]
    fn the_token_counts_before_other_headers() {
        let token = |text: &str, owner: Option<&str>| {
            HeaderCredential::Token(text.to_owned(), owner.map(str::to_owned))
        };
        let basic = ("authorization", "Basic YW5uOnNlOmNyZXQ=");
        for (headers, expected) in [
            (&[][..], HeaderCredential::Nothing),
            (&[("x-auth-token", " a "), basic], token("a", None)),
            (&[("x-auth-token", "notused"), basic], token("se:cret", Some("ann"))),
            (&[("x-auth-token", "notused")], HeaderCredential::Nothing),
            (&[("x-auth-token", "")], HeaderCredential::Nothing),
            (&[("authorization", "bearer  a")], token("a", None)),
            (&[("authorization", "bAsIc Og==")], token("", Some(""))),
            (&[("authorization", "Basic YW5u")], HeaderCredential::Unreadable),
            (&[("authorization", "Basic !")], HeaderCredential::Unreadable),
            (&[("authorization", "Digest a")], HeaderCredential::Unreadable),
            (&[("authorization", "a")], HeaderCredential::Unreadable),
        ] {
            assert!(HeaderCredential::of(&parts(headers).headers) == expected, "{headers:?}");
        }
        let subject = HeaderCredential::of_subject(&parts(&[("x-subject-token", "a")]).headers);
        assert!(subject == token("a", None));
    }

    #[test]
    fn pages_of_other_origins_are_told_apart() {
        let host = ("host", "127.0.0.1:7480");
        for (headers, expected) in [
            (&[host][..], false),
            (&[host, ("origin", "http://127.0.0.1:7480")], false),
            (&[host, ("origin", "http://127.0.0.1:81")], true),
            (&[host, ("origin", "http://evil.example")], true),
            (&[host, ("origin", "null")], true),
            (&[host, ("sec-fetch-site", "none")], false),
            (&[host, ("sec-fetch-site", "same-origin")], false),
            (&[host, ("sec-fetch-site", "same-site")], true),
            (&[host, ("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:7480")], true),
        ] {
            assert_eq!(is_foreign(&parts(headers)), expected, "{headers:?}");
        }
    }
}
