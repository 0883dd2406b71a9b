//! Negotiates the version of the compute API, as Nova does.
//!
//! Guarantees Nova's answer to every form of the two headers (docs/openstack.md). Does not know what a
//! version changes.

use std::fmt;

use http::{HeaderMap, HeaderValue};

/// The header of all OpenStack services.
pub(super) const HEADER: &str = "openstack-api-version";

/// The header of Nova's own.
pub(super) const LEGACY_HEADER: &str = "x-openstack-nova-api-version";

/// The name of the service in [`HEADER`].
const SERVICE: &str = "compute";

/// A version of the compute API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Microversion {
    major: u16,
    minor: u16,
}

impl Microversion {
    /// The lowest one that is supported, and that of requests without a version.
    pub(super) const MIN: Self = Self::new(1);

    /// The highest one that is supported: all its fields are there.
    pub(super) const MAX: Self = Self::new(84);

    /// Version 2 of the API with that minor number.
    pub(super) const fn new(minor: u16) -> Self {
        Self { major: 2, minor }
    }

    /// Whether it is at least version 2 with that minor number.
    pub(super) fn has(self, minor: u16) -> bool {
        self >= Self::new(minor)
    }
}

impl fmt::Display for Microversion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// Why there is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum VersionError {
    /// The text is not a version.
    #[error("API Version String {0} is of invalid format. Must be of format MajorNum.MinorNum.")]
    Invalid(String),
    /// The version is not supported.
    #[error(
        "Version {0} is not supported by the API. Minimum is {min} and maximum is {max}.",
        min = Microversion::MIN,
        max = Microversion::MAX
    )]
    Unsupported(String),
}

/// The version that a request asks for.
///
/// # Errors
///
/// [`VersionError`].
pub(super) fn negotiate(headers: &HeaderMap) -> Result<Microversion, VersionError> {
    let Some(text) = requested(headers) else { return Ok(Microversion::MIN) };
    if text == "latest" {
        return Ok(Microversion::MAX);
    }
    let is_number = |digits: &str| {
        let plain = digits == "0" || !digits.starts_with('0');
        !digits.is_empty() && plain && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts = text
        .split_once('.')
        .filter(|(major, minor)| is_number(major) && *major != "0" && is_number(minor));
    let Some((major, minor)) = parts else { return Err(VersionError::Invalid(text)) };
    // A number that does not fit is beyond the maximum.
    let version = major.parse().ok().zip(minor.parse().ok());
    let version = version.map(|(major, minor)| Microversion { major, minor });
    version
        .filter(|it| (Microversion::MIN..=Microversion::MAX).contains(it))
        .ok_or(VersionError::Unsupported(text))
}

/// The text of the version in the headers.
fn requested(headers: &HeaderMap) -> Option<String> {
    let standard = folded(headers, HEADER).and_then(|header| {
        // The last one counts.
        header.rsplit(',').find_map(|of_service| {
            let (service, version) = of_service.trim().split_once(char::is_whitespace)?;
            service.eq_ignore_ascii_case(SERVICE).then(|| version.trim().to_owned())
        })
    });
    standard.or_else(|| {
        let header = folded(headers, LEGACY_HEADER)?;
        header.rsplit(',').next().map(|last| last.trim().to_owned())
    })
}

/// All headers of that name as one.
fn folded(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let values: Vec<_> = headers.get_all(name).iter().map(text).collect();
    (!values.is_empty()).then(|| values.join(","))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn of(headers: &[(&str, &str)]) -> Result<String, VersionError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        negotiate(&map).map(|version| version.to_string())
    }

    #[test]
    fn the_new_header_wins_and_its_last_compute_counts() {
        for (headers, expected) in [
            (&[][..], "2.1"),
            (&[(HEADER, "identity 3.0")], "2.1"),
            (&[(HEADER, "2.17")], "2.1"),
            (&[(HEADER, "compute")], "2.1"),
            (&[(HEADER, "")], "2.1"),
            (&[(HEADER, "compute 2.17")], "2.17"),
            (&[(HEADER, "COMPUTE   2.17 ")], "2.17"),
            (&[(HEADER, "identity 3.0, compute 2.17")], "2.17"),
            (&[(HEADER, "compute 2.1,compute 2.17,identity 2.5")], "2.17"),
            (&[(HEADER, "compute 2.1"), (HEADER, "compute 2.17")], "2.17"),
            (&[(LEGACY_HEADER, "2.17")], "2.17"),
            (&[(LEGACY_HEADER, "2.1, 2.17")], "2.17"),
            (&[(HEADER, "compute 2.17"), (LEGACY_HEADER, "2.1")], "2.17"),
            (&[(HEADER, "compute 2.1"), (LEGACY_HEADER, "2.17")], "2.1"),
            (&[(HEADER, "identity 3.0"), (LEGACY_HEADER, "2.17")], "2.17"),
            (&[(HEADER, "compute latest")], "2.84"),
            (&[(LEGACY_HEADER, "latest")], "2.84"),
            (&[(HEADER, "compute 2.84")], "2.84"),
        ] {
            assert_eq!(of(headers), Ok(expected.to_owned()), "{headers:?}");
        }
    }

    #[test]
    fn what_is_no_version_differs_from_one_that_is_not_supported() {
        for text in ["LATEST", "abc", "2.017", "2", "2.", ".17", "02.17", "0.1", "2.1.7", "2.-1"] {
            let expected = Err(VersionError::Invalid(text.to_owned()));
            assert_eq!(of(&[(LEGACY_HEADER, text)]), expected);
            assert_eq!(of(&[(HEADER, &format!("compute {text}"))]), expected);
        }
        assert_eq!(of(&[(LEGACY_HEADER, "")]), Err(VersionError::Invalid(String::new())));
        for text in ["2.0", "1.5", "2.85", "2.999", "3.1", "99999999.1", "2.99999999"] {
            let expected = Err(VersionError::Unsupported(text.to_owned()));
            assert_eq!(of(&[(HEADER, &format!("compute {text}"))]), expected);
        }
        assert_eq!(
            VersionError::Unsupported("2.999".to_owned()).to_string(),
            "Version 2.999 is not supported by the API. Minimum is 2.1 and maximum is 2.84."
        );
        assert!(Microversion::new(17).has(17) && !Microversion::new(16).has(17));
    }
}
