//! Checks whether enough memory is available before a report allocates it.
//!
//! A failed allocation ends the process. Guarantees that the memory of a report leaves the program
//! a reserve within the limit of its address space, that of its control group, and that of the
//! machine. An unknown limit counts as enough. Does not allocate memory itself.

#![expect(unsafe_code, reason = "memory is asked for by the system call itself")]

use std::fs;
use std::ptr;

use procfs::process::Process;

/// Memory that a section and the report's text may use, in bytes.
const SECTION_BYTES: u64 = 24 << 20;

/// Reserve of the program beside the symbols, in bytes.
const PROGRAM_RESERVE_BYTES: u64 = 64 << 20;

/// Memory that one more symbol may use, in bytes.
const NAME_BYTES: u64 = 32 << 20;

/// Whether a section can be written.
pub(super) fn for_section() -> Result<(), String> {
    check_address_space(SECTION_BYTES)
}

/// Whether debug information can be read of a file that has so many bytes when it is decompressed: it is
/// mapped or copied, and its index takes about as much again.
pub(super) fn for_names(file_bytes: u64) -> Result<(), String> {
    check_address_space(file_bytes.saturating_mul(2).saturating_add(PROGRAM_RESERVE_BYTES))?;
    check_memory(file_bytes.saturating_add(PROGRAM_RESERVE_BYTES / 2))
}

/// Whether one more symbol can be resolved.
pub(super) fn for_name() -> Result<(), String> {
    check_address_space(NAME_BYTES)
}

/// Maps this much memory, and unmaps it untouched.
fn check_address_space(bytes: u64) -> Result<(), String> {
    let Ok(length) = usize::try_from(bytes) else { return Err("the size is too large".to_owned()) };
    // SAFETY: a new mapping at an address of the kernel's choice, which nobody else knows, and
    // which is taken back before anything is read or written there.
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
            "cannot map {} MiB more ({error}); see the limit of the address space (ulimit -v)",
            bytes >> 20
        )),
        None => Ok(()),
    }
}

/// Whether the machine and the control group have this much memory.
fn check_memory(bytes: u64) -> Result<(), String> {
    let (machine, group) = (machine_available(), cgroup_available());
    match [machine, group].into_iter().flatten().min() {
        Some(free) if free < bytes => {
            Err(format!("{} MiB of memory are free, {} are needed", free >> 20, bytes >> 20))
        }
        Some(_) | None => Ok(()),
    }
}

fn machine_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

/// Available memory of the control group (version 2); its inactive file cache counts as available.
fn cgroup_available() -> Option<u64> {
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
    fn impossible_amounts_are_rejected_with_a_reason() {
        assert_eq!(for_section(), Ok(()));
        let why = for_names(1 << 50).expect_err("no machine has it");
        assert!(why.contains("cannot map ") && why.contains("ulimit -v"), "{why}");
        let why = check_memory(1 << 50).expect_err("nor that");
        assert!(why.ends_with(" are needed"), "{why}");
    }
}
