//! Tells whether there is memory for what a report is about to take.
//!
//! An allocation that fails ends the process, so a report asks first: guarantees that what it takes
//! leaves the program room under the limit of its address space, under that of its control group, and
//! on the machine. What can't be found out counts as room. Takes nothing itself.

#![expect(unsafe_code, reason = "memory is asked for by the system call itself")]

use std::fs;
use std::ptr;

use procfs::process::Process;

/// A section may take so much, in bytes, and the report's text.
const SECTION_BYTES: u64 = 24 << 20;

/// What is left to the program beside the names of functions, in bytes.
const REST_BYTES: u64 = 64 << 20;

/// One name more may take so much, in bytes.
const NAME_BYTES: u64 = 32 << 20;

/// Whether a section can be written.
pub(super) fn for_section() -> Result<(), String> {
    address_space(SECTION_BYTES)
}

/// Whether debug information can be read of a file that has so many bytes when it is decompressed: it is
/// mapped or copied, and its index takes about as much again.
pub(super) fn for_names(file_bytes: u64) -> Result<(), String> {
    address_space(file_bytes.saturating_mul(2).saturating_add(REST_BYTES))?;
    memory(file_bytes.saturating_add(REST_BYTES / 2))
}

/// Whether one more name can be looked up.
pub(super) fn for_name() -> Result<(), String> {
    address_space(NAME_BYTES)
}

/// Asks the kernel for so much, and gives it back untouched.
fn address_space(bytes: u64) -> Result<(), String> {
    let Ok(length) = usize::try_from(bytes) else { return Err("it is too much".to_owned()) };
    // SAFETY: a new mapping at an address of the kernel's choice, which nobody else knows, and which
    // is taken back before anything is read or written there.
    let refused = unsafe {
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let at = libc::mmap(ptr::null_mut(), length, access, flags, -1, 0);
        if at == libc::MAP_FAILED {
            Some(std::io::Error::last_os_error())
        } else {
            libc::munmap(at, length);
            None
        }
    };
    match refused {
        Some(error) => Err(format!(
            "{} MiB more can't be had ({error}); see the limit of the address space (ulimit -v)",
            bytes >> 20
        )),
        None => Ok(()),
    }
}

/// Whether the machine and the control group have so much.
fn memory(bytes: u64) -> Result<(), String> {
    let (machine, group) = (of_machine(), of_group());
    match [machine, group].into_iter().flatten().min() {
        Some(free) if free < bytes => {
            Err(format!("{} MiB of memory are free, {} are needed", free >> 20, bytes >> 20))
        }
        Some(_) | None => Ok(()),
    }
}

fn of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

/// Of the control group (version 2); what it has read of files goes when it is needed.
fn of_group() -> Option<u64> {
    let groups = Process::myself().and_then(|own| own.cgroups()).ok()?;
    let group = groups.0.into_iter().find(|group| group.hierarchy == 0)?;
    let read =
        |file: &str| fs::read_to_string(format!("/sys/fs/cgroup{}/{file}", group.pathname)).ok();
    let number = |text: String| text.trim().parse::<u64>().ok();
    let (most, now) =
        (read("memory.max").and_then(number)?, read("memory.current").and_then(number)?);
    let files = read("memory.stat").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("inactive_file "))?;
        line.trim().parse::<u64>().ok()
    });
    Some(most.saturating_sub(now.saturating_sub(files.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_machine_has_is_refused_in_words() {
        assert_eq!(for_section(), Ok(()));
        let why = for_names(1 << 50).expect_err("no machine has it");
        assert!(why.contains(" MiB more can't be had (") && why.contains("ulimit -v"), "{why}");
        let why = memory(1 << 50).expect_err("nor that");
        assert!(why.ends_with(" are needed"), "{why}");
    }
}
