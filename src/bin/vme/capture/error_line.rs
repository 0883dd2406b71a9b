//! Guesses whether a line of output is an error message.
//!
//! Guarantees that only the choice of a reason depends on the guess. Does not know what the line's
//! program does.

/// Phrases of error messages, in lower case.
const ERROR_PHRASES: [&str; 34] = [
    "error",
    "exception",
    "fail",
    "fatal",
    "panic",
    "abort",
    "cannot",
    "can't",
    "can not",
    "could not",
    "couldn't",
    "unable",
    "denied",
    "refused",
    "not found",
    "no such",
    "not permitted",
    "invalid",
    "illegal",
    "missing",
    "unreachable",
    "no route",
    "timed out",
    "timeout",
    "corrupt",
    "segmentation fault",
    "core dumped",
    "out of memory",
    "no space left",
    "read-only file system",
    "already in use",
    "unknown",
    "unexpected",
    "broken pipe",
];

/// Phrases that deny an error.
const NO_ERROR_PHRASES: [&str; 7] =
    ["no error", "0 error", "without error", "errors: 0", "errors=0", "0 failed", "no failures"];

/// Levels below error at the beginning of a line.
const LOWER_LEVELS: [&str; 9] =
    ["warning", "warn", "info", "debug", "notice", "trace", "note", "hint", "w:"];

/// Whether the line looks like an error message.
pub(crate) fn looks_like_an_error(line: &str) -> bool {
    let line = line.trim();
    // A shell's trace (`set -x`), and a stack frame.
    let is_trace = line.starts_with('+') && line.trim_start_matches('+').starts_with(' ');
    let is_frame = line.starts_with("at ") && (line.contains('(') || line.contains(".rs:"))
        || line.starts_with("File \"");
    if is_trace || is_frame {
        return false;
    }
    let line = line.to_lowercase();
    let begin = line.trim_start_matches(|c: char| !c.is_alphabetic());
    let is_mild = LOWER_LEVELS.iter().any(|level| {
        let rest = begin.strip_prefix(level);
        rest.is_some_and(|it| !it.starts_with(char::is_alphanumeric))
    });
    // `2026-11-30 01:02:03 [WARN] ...`: the level follows as a word of its own.
    let is_levelled = ["[warn", "[info", "[debug", "[notice", " warn ", " info ", " debug "]
        .iter()
        .any(|level| line.contains(level));
    if is_mild || is_levelled || NO_ERROR_PHRASES.iter().any(|none| line.contains(none)) {
        return false;
    }
    ERROR_PHRASES.iter().any(|phrase| line.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_lines_are_distinguished_from_other_lines() {
        for error in [
            "Exception in thread \"main\" java.lang.IllegalStateException: cannot bind",
            "Caused by: java.net.BindException: Address already in use",
            "ValueError: no port",
            "panic: runtime error: index out of range [3] with length 3",
            "fatal error: all goroutines are asleep - deadlock!",
            "thread 'main' (7) panicked at src/main.rs:2:5:",
            "cat: /missing: No such file or directory",
            "sh: 1: fsk: not found",
            "Job for db.service failed because the control process exited with error code.",
            "[ERROR] could not open table space",
            "bind: Address already in use",
            "FATAL:  could not create lock file: No space left on device",
        ] {
            assert!(looks_like_an_error(error), "{error}");
        }
        for other in [
            "\t... 12 more",
            "    at org.example.ErrorHandler.run(ErrorHandler.java:12)",
            "+ false",
            "++ grep error log",
            "cleanup done",
            "WARNING: error log is not configured",
            "[WARN] could not resolve db2, using db1",
            "2026-11-30 01:02:03 INFO retry after error",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
            "check finished: 0 errors",
            "exit status 2",
            "See \"systemctl status db.service\" and \"journalctl -xeu db.service\" for details.",
        ] {
            assert!(!looks_like_an_error(other), "{other}");
        }
    }
}
