//! Defines the words of crash dumps: drivers, causes, and a dump that was found.
//!
//! Guarantees bounded texts, and stable names and numbers. Triggers nothing.

use std::time::Duration;

use super::time::Timestamp;

/// Longest path of a found dump, in bytes: PATH_MAX of Linux is 4,096, and a record has little room.
pub const DUMP_PATH_BYTES_MAX: usize = 1_024;

/// Longest last words of a kernel, in bytes. A panic message is at most 1,024; the first line says it.
pub const LAST_WORDS_BYTES_MAX: usize = 512;

/// How a crash dump is triggered. The numbers are stored: they never change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DumpDriver {
    /// Not at all: a crash dump is not supported.
    #[default]
    None = 1,
    /// An NMI by the QMP socket of QEMU.
    Qemu = 2,
    /// An NMI by `virsh inject-nmi`.
    Libvirt = 3,
    /// A diagnostic interrupt by `ipmitool chassis power diag`.
    Ipmi = 4,
    /// The appliance's own agent, by sysrq.
    Agent = 5,
    /// A program of the operator.
    Command = 6,
}

impl DumpDriver {
    /// All drivers.
    pub const ALL: [Self; 6] =
        [Self::None, Self::Qemu, Self::Libvirt, Self::Ipmi, Self::Agent, Self::Command];

    /// Its name, as users type and read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Qemu => "qemu",
            Self::Libvirt => "libvirt",
            Self::Ipmi => "ipmi",
            Self::Agent => "agent",
            Self::Command => "command",
        }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The driver of a number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| u32::from(it.number()) == number)
    }
}

/// Why a crash dump is requested. The numbers are stored: they never change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum DumpCause {
    /// An administrator requests it.
    #[default]
    Administrator = 1,
    /// The start is hung: evidence is taken before anybody restarts the appliance.
    Hung = 2,
    /// The start exceeded its boot timeout.
    BootTimeout = 3,
    /// The start made no progress.
    NoProgress = 4,
}

impl DumpCause {
    /// All causes.
    pub const ALL: [Self; 4] =
        [Self::Administrator, Self::Hung, Self::BootTimeout, Self::NoProgress];

    /// Its name, as users read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Hung => "hung",
            Self::BootTimeout => "boot_timeout",
            Self::NoProgress => "no_progress",
        }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The cause of a number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| u32::from(it.number()) == number)
    }
}

/// A crash dump that an appliance found. Its texts are hostile until escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundDump {
    /// Its path in the appliance, at most [`DUMP_PATH_BYTES_MAX`] bytes.
    pub path: Box<str>,
    /// Its size.
    pub bytes: u64,
    /// It was not written to its end.
    pub is_incomplete: bool,
    /// The kernel's last words, at most [`LAST_WORDS_BYTES_MAX`] bytes; empty: unknown.
    pub last_words: Box<str>,
    /// How long its writing took.
    pub took: Option<Duration>,
    /// When it was written, by the appliance's clock.
    pub written_at: Option<Timestamp>,
}
