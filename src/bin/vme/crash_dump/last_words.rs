//! Finds the last words of a kernel in its log.
//!
//! Guarantees a bounded read from the end, and one line without control characters, whatever the log
//! contains. Does not know where logs are.

use std::fs::File;
use std::io;
use std::io::{Read, Seek, SeekFrom};

use grid_broker::grid::values::crash_dump::LAST_WORDS_BYTES_MAX;

/// How much of the end of a log is read: behind the panic come its stack and its modules.
const LOG_BYTES_READ_MAX: u64 = 256 << 10;

const PANIC: &str = "Kernel panic - not syncing";

/// What stands behind the words when the kernel repeats them in its last line.
const END_MARK: &str = "]---";

/// The last words in that log; empty: there are none.
pub(super) fn read(log: &mut File) -> io::Result<String> {
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_READ_MAX)))?;
    let mut tail = Vec::new();
    log.take(LOG_BYTES_READ_MAX).read_to_end(&mut tail)?;
    Ok(find(&String::from_utf8_lossy(&tail)))
}

fn find(log: &str) -> String {
    let Some(at) = log.rfind(PANIC) else { return String::new() };
    let line = log[at..].split(['\n', '\r']).next().unwrap_or_default();
    let line: String =
        line.chars().filter(|c| !c.is_control()).take(LAST_WORDS_BYTES_MAX).collect();
    let line = line.trim_end();
    let line = line.strip_suffix(END_MARK).unwrap_or(line).trim_end();
    line[..line.floor_char_boundary(LAST_WORDS_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_last_panic_counts() {
        let log = "[    1.0] Kernel panic - not syncing: of a log that was kept\n\
                   [   12.3] Kernel panic - not syncing: NMI: Not continuing\n\
                   [   12.3] CPU: 0 PID: 0 Comm: swapper/0\n";
        assert_eq!(find(log), "Kernel panic - not syncing: NMI: Not continuing");
        let repeated = format!("{log}[   12.4] ---[ end Kernel panic - not syncing: Fatal ]---\n");
        assert_eq!(find(&repeated), "Kernel panic - not syncing: Fatal");
        assert_eq!(find("[    1.0] Linux version 6.1.0\n"), "");
        assert_eq!(find(""), "");
        assert_eq!(find("Kernel panic - not syncing"), "Kernel panic - not syncing");
    }

    #[test]
    fn hostile_logs_give_one_short_line() {
        let long = format!("{PANIC}: {}", "\u{20ac}".repeat(9_999));
        let words = find(&long);
        assert!(words.len() <= LAST_WORDS_BYTES_MAX && words.len() > LAST_WORDS_BYTES_MAX - 3);
        assert_eq!(find(&format!("{PANIC}:\u{1b}[2J\0 a\tb\rc\nd")), format!("{PANIC}:[2J ab"));
    }

    #[test]
    fn only_the_end_of_a_log_is_read() {
        let mut file = tempfile::tempfile().unwrap();
        writeln!(file, "{PANIC}: too far from the end").unwrap();
        let filler = vec![b'x'; usize::try_from(LOG_BYTES_READ_MAX).unwrap()];
        file.write_all(&filler).unwrap();
        assert_eq!(read(&mut file).unwrap(), "");
        file.write_all(b"\xff\xfe Kernel panic - not syncing: \xff\n").unwrap();
        assert_eq!(read(&mut file).unwrap(), format!("{PANIC}: \u{fffd}"));
        // A cut within a character, and within a line.
        file.write_all("\u{20ac}".repeat(100_000).as_bytes()).unwrap();
        assert_eq!(read(&mut file).unwrap(), "");
    }
}
