//! Reads memory, descriptors, CPU time and written bytes of the process from `/proc/self`.
//!
//! Guarantees that values the system does not provide are left out. Does not know the broker.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// What the system reports about this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// Memory in RAM, in bytes.
    pub resident_bytes: Option<u64>,
    /// Open descriptors.
    pub fds: Option<u64>,
    /// How many it may open.
    pub fds_max: Option<u64>,
    /// CPU time spent, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Its threads.
    pub threads: Option<u64>,
    /// Bytes that it caused to be written to disks.
    pub written_bytes: Option<u64>,
}

impl ProcessStats {
    /// Reads the current values, from files that the kernel generates.
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let (cpu_seconds, threads) = parse_stat(&stat, rustix::param::clock_ticks_per_second());
        let pages = fs::read_to_string("/proc/self/statm").ok();
        let pages = pages.and_then(|statm| statm.split(' ').nth(1)?.parse::<u64>().ok());
        let fds = fs::read_dir("/proc/self/fd").ok().map(|found| found.count() as u64);
        Self {
            resident_bytes: pages.map(|pages| pages * rustix::param::page_size() as u64),
            // The folder itself was open while it was listed.
            fds: fds.map(|count| count.saturating_sub(1)),
            fds_max: getrlimit(Resource::Nofile).current,
            cpu_seconds,
            threads,
            written_bytes: fs::read_to_string("/proc/self/io").ok().and_then(|io| parse_io(&io)),
        }
    }

    /// CPU time spent, in microseconds.
    pub fn cpu_time_us(&self) -> Option<u64> {
        let time = self.cpu_seconds.and_then(|spent| Duration::try_from_secs_f64(spent).ok())?;
        u64::try_from(time.as_micros()).ok()
    }
}

/// The bytes that reach a disk: what is truncated before it was written counts, too.
fn parse_io(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

/// CPU time and threads; the name in parentheses may contain anything, so fields are counted after it.
fn parse_stat(stat: &str, ticks_per_second: u64) -> (Option<f64>, Option<u64>) {
    let Some((_, after_name)) = stat.rsplit_once(") ") else { return (None, None) };
    let fields: Vec<&str> = after_name.split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok());
    // proc_pid_stat(5): utime is field 14, stime 15, num_threads 20; the first here is 3.
    let ticks =
        number(11).zip(number(12)).map(|(user, system)| f64::from(user) + f64::from(system));
    let per_second = u32::try_from(ticks_per_second).unwrap_or(u32::MAX);
    (ticks.map(|ticks| ticks / f64::from(per_second)), number(17).map(u64::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_a_name_with_any_characters() {
        let stat = "7 (a) b) 1 (c) R 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 9 0 12345 1 1";
        assert_eq!(parse_stat(stat, 100), (Some(2.0), Some(9)));
        assert_eq!(parse_stat("", 100), (None, None));
    }

    #[test]
    fn written_bytes_are_those_of_disks() {
        let io = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 4096\n\
                  cancelled_write_bytes: 6\n";
        assert_eq!(parse_io(io), Some(4_096));
        assert_eq!(parse_io("wchar: 2\n"), None);
    }

    #[test]
    fn stats_of_this_process_are_read() {
        let process = ProcessStats::read();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 1 << 20), "{process:?}");
        assert!(process.fds.is_some_and(|fds| fds >= 3), "{process:?}");
        assert!(process.threads.is_some_and(|threads| threads >= 1), "{process:?}");
        assert!(process.cpu_time_us().is_some(), "{process:?}");
    }
}
