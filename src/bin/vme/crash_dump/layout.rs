//! Tells by its name what a file beside a crash dump is.
//!
//! Knows the names of Debian's kdump-tools (`dump.STAMP`, `dmesg.STAMP`, `dump-incomplete`,
//! `vmcore-incomplete`, `vmcore.STAMP`), of RHEL's kdump (`vmcore`, `vmcore-dmesg.txt`), and of scripts
//! that write `vmcore.part` first. Guarantees that notes beside a dump, such as `kexec_cmd` and
//! `kdump_lock`, are no dumps. Opens nothing.

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileRole {
    /// A crash dump.
    Dump,
    /// A crash dump that was not written to its end.
    Incomplete,
    /// The kernel's log.
    KernelLog,
    /// None of these.
    Other,
}

/// By that name.
pub(super) fn role(name: &[u8]) -> FileRole {
    let is_unfinished =
        [&b"incomplete"[..], b".part", b".tmp"].iter().any(|end| name.ends_with(end));
    if name == b"dmesg.txt" || name.starts_with(b"dmesg.") || name.starts_with(b"vmcore-dmesg") {
        return FileRole::KernelLog;
    }
    let is_dump = name == b"vmcore"
        || [&b"dump."[..], b"vmcore."].iter().any(|begin| name.starts_with(begin));
    match (is_dump, is_unfinished) {
        (true, false) => FileRole::Dump,
        (true, true) => FileRole::Incomplete,
        (false, true) if name.starts_with(b"dump-") || name.starts_with(b"vmcore-") => {
            FileRole::Incomplete
        }
        (false, _) => FileRole::Other,
    }
}

/// What comes behind the first point: the same for the files of one crash.
pub(super) fn stamp(name: &[u8]) -> &[u8] {
    name.iter().position(|byte| *byte == b'.').map_or(&[], |at| &name[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_known_layouts() {
        for (name, expected) in [
            ("dump.202611301612", FileRole::Dump),
            ("vmcore.202611301612", FileRole::Dump),
            ("vmcore", FileRole::Dump),
            ("vmcore.flat", FileRole::Dump),
            ("dump-incomplete", FileRole::Incomplete),
            ("vmcore-incomplete", FileRole::Incomplete),
            ("vmcore.part", FileRole::Incomplete),
            ("dump.202611301612.part", FileRole::Incomplete),
            ("dmesg.202611301612", FileRole::KernelLog),
            ("dmesg.txt", FileRole::KernelLog),
            ("vmcore-dmesg.txt", FileRole::KernelLog),
            ("vmcore-dmesg-incomplete.txt", FileRole::KernelLog),
            ("kexec_cmd", FileRole::Other),
            ("kdump_lock", FileRole::Other),
            ("kexec-dmesg.log", FileRole::Other),
            ("linux-image-6.1.0.crash", FileRole::Other),
            ("dump", FileRole::Other),
            ("dump-notes", FileRole::Other),
            ("upload.part", FileRole::Other),
            ("", FileRole::Other),
        ] {
            assert_eq!(role(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(role(b"vmcore.\xff\n"), FileRole::Dump);
        assert_eq!(stamp(b"dump.2026.1"), b"2026.1");
        assert_eq!(stamp(b"vmcore"), b"");
    }
}
