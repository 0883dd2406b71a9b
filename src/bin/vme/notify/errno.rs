//! Converts error numbers of the system to text and back.
//!
//! Guarantees a text for every number. Knows the names of those only that services run into.

/// Names of error numbers.
const NAMES: [(i32, &str); 28] = [
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::EIO, "EIO"),
    (libc::ENXIO, "ENXIO"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::ENODEV, "ENODEV"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EISDIR, "EISDIR"),
    (libc::EINVAL, "EINVAL"),
    (libc::ENFILE, "ENFILE"),
    (libc::EMFILE, "EMFILE"),
    (libc::EFBIG, "EFBIG"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EROFS, "EROFS"),
    (libc::EPIPE, "EPIPE"),
    (libc::EPROTO, "EPROTO"),
    (libc::EADDRINUSE, "EADDRINUSE"),
    (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (libc::ENETUNREACH, "ENETUNREACH"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::ETIMEDOUT, "ETIMEDOUT"),
    (libc::EDQUOT, "EDQUOT"),
];

/// `ENOSPC, No space left on device`
pub(crate) fn describe(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    match NAMES.iter().find(|(number, _)| *number == errno) {
        Some((_, name)) => format!("{name}, {text}"),
        None => format!("errno {errno}, {text}"),
    }
}

/// Parses a number or its name.
pub(crate) fn parse(text: &str) -> Option<i32> {
    let named = NAMES.iter().find(|(_, name)| *name == text).map(|(number, _)| *number);
    named.or_else(|| text.parse().ok()).filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_name_are_the_same() {
        for text in ["28", "ENOSPC"] {
            assert_eq!(parse(text), Some(28));
        }
        assert_eq!(describe(28), "ENOSPC, No space left on device");
        assert_eq!(describe(4_095), "errno 4095, Unknown error 4095");
        for none in ["", "0", "-5", "x", "ENOTHING"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
