//! Error numbers of the system in words, and back.
//!
//! Guarantees words for every number. Knows the names of those only that services come across.

/// Names of error numbers.
const NAMED: [(i32, &str); 28] = [
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
pub(crate) fn words(errno: i32) -> String {
    let words = std::io::Error::from_raw_os_error(errno).to_string();
    let words = words.split(" (os error").next().unwrap_or_default();
    match NAMED.iter().find(|(number, _)| *number == errno) {
        Some((_, name)) => format!("{name}, {words}"),
        None => format!("errno {errno}, {words}"),
    }
}

/// The number that is written as one, or as its name.
pub(crate) fn number(word: &str) -> Option<i32> {
    let named = NAMED.iter().find(|(_, name)| *name == word).map(|(number, _)| *number);
    named.or_else(|| word.parse().ok()).filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_name_are_the_same() {
        for word in ["28", "ENOSPC"] {
            assert_eq!(number(word), Some(28));
        }
        assert_eq!(words(28), "ENOSPC, No space left on device");
        assert_eq!(words(4_095), "errno 4095, Unknown error 4095");
        for none in ["", "0", "-5", "x", "ENOTHING"] {
            assert_eq!(number(none), None, "{none}");
        }
    }
}
