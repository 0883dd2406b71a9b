//! Defines a crash dump of an appliance: from its request to the dump that was found; and locks.
//!
//! Guarantees bounded histories and texts. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::grid::values::crash_dump::{DumpCause, DumpDriver, FoundDump};
use crate::grid::values::id::BootId;
use crate::grid::values::time::Timestamp;

/// How many crash dumps of an appliance are kept, the newest.
pub const CRASH_DUMPS_MAX: usize = 16;

/// How many found dumps belong to one crash dump.
pub const FOUND_DUMPS_MAX: usize = 4;

/// Longest output of a driver that is kept, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 2_048;

/// Longest reason of a lock, in bytes (Nova's limit of `locked_reason`).
pub const LOCK_REASON_BYTES_MAX: usize = 255;

/// A crash dump of one appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashDump {
    /// Its request id.
    pub request: Uuid,
    /// Who requested it: the name of an administrator, or `gridd`.
    pub by: Box<str>,
    /// Why.
    pub cause: DumpCause,
    /// The driver.
    pub driver: DumpDriver,
    /// The boot that is dumped; `None`: unknown.
    pub boot: Option<BootId>,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// What the driver did.
    pub trigger: DumpTrigger,
    /// Why the driver failed, or what is to be known of it, as a sentence.
    pub detail: Box<str>,
    /// The output of the driver, at most [`OUTPUT_BYTES_MAX`] bytes. Hostile until escaped.
    pub output: Box<str>,
    /// When the last event of the appliance arrived before its next boot.
    pub last_event_at: Option<Timestamp>,
    /// How it ended, and when.
    pub end: Option<(DumpEnd, Timestamp)>,
    /// The dumps that were found, at most [`FOUND_DUMPS_MAX`].
    pub found: Vec<FoundDump>,
}

/// What the driver of a crash dump did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpTrigger {
    /// The broker decided it, and has not begun.
    Due,
    /// The driver is at work.
    Pending,
    /// The back end accepted it.
    Done {
        /// When.
        at: Timestamp,
    },
    /// It failed: nothing happened to the appliance, as far as is known.
    Failed {
        /// When.
        at: Timestamp,
    },
    /// It is unknown what the driver did: the broker was interrupted.
    Unknown {
        /// When that was noticed.
        at: Timestamp,
    },
}

impl DumpTrigger {
    /// When the driver was done.
    pub fn done_at(self) -> Option<Timestamp> {
        match self {
            Self::Due | Self::Pending => None,
            Self::Done { at } | Self::Failed { at } | Self::Unknown { at } => Some(at),
        }
    }

    /// The same with its time moved.
    #[must_use]
    pub fn map_time(self, moved: impl Fn(Timestamp) -> Timestamp) -> Self {
        match self {
            Self::Due | Self::Pending => self,
            Self::Done { at } => Self::Done { at: moved(at) },
            Self::Failed { at } => Self::Failed { at: moved(at) },
            Self::Unknown { at } => Self::Unknown { at: moved(at) },
        }
    }
}

/// How a crash dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpEnd {
    /// The appliance booted again.
    NewBoot {
        /// The boot; `None`: an orchestrator announced it.
        boot: Option<BootId>,
    },
    /// No boot followed until the deadline.
    NoBoot,
    /// The appliance went on in the same boot.
    NoEffect,
    /// It was never triggered.
    NotTriggered,
    /// The appliance was stopped meanwhile.
    Stopped,
}

impl CrashDump {
    /// Whether the appliance may still boot again because of it.
    pub fn awaits_boot(&self) -> bool {
        let is_triggered = match self.trigger {
            DumpTrigger::Pending | DumpTrigger::Done { .. } | DumpTrigger::Unknown { .. } => true,
            DumpTrigger::Due | DumpTrigger::Failed { .. } => false,
        };
        is_triggered && matches!(self.end, None | Some((DumpEnd::NoBoot, _)))
    }

    /// Whether a dump that the appliance finds in that boot may be this one.
    pub fn may_be_found_in(&self, boot: Option<BootId>) -> bool {
        let next = match self.end {
            Some((DumpEnd::NewBoot { boot }, _)) => boot,
            Some((
                DumpEnd::NoBoot | DumpEnd::NoEffect | DumpEnd::NotTriggered | DumpEnd::Stopped,
                _,
            ))
            | None => return false,
        };
        self.found.len() < FOUND_DUMPS_MAX && next == boot
    }
}

/// A lock: only the role admin may trigger a crash dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplianceLock {
    /// Who locked it.
    pub by: Box<str>,
    /// An admin did: only an admin unlocks it.
    pub is_by_admin: bool,
    /// Why, at most [`LOCK_REASON_BYTES_MAX`] bytes; empty: not given.
    pub reason: Box<str>,
    /// When.
    pub at: Timestamp,
}

/// How crash dumps of an appliance are triggered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashDumpSettings {
    /// The driver.
    pub driver: DumpDriver,
    /// How long the driver may take. 30 s: `ipmitool` needs 20 s to see that there is no BMC
    /// (crash-dump-vm.md, section 9).
    pub timeout: Duration,
    /// `qemu`: the path of the QMP socket. Here and below `{name}` and `{uuid}` are replaced.
    pub socket: String,
    /// `libvirt`: the URI of the connection.
    pub uri: String,
    /// `libvirt`: the domain.
    pub domain: String,
    /// `ipmi`: the host of the BMC.
    pub host: String,
    /// `ipmi`: the port of the BMC.
    pub port: u64,
    /// `ipmi`: the user.
    pub user: String,
    /// `ipmi`: the file with the password; empty: the environment has it.
    pub password_file: String,
    /// `command`: the path of the program.
    pub program: String,
    /// `command`: its arguments.
    pub arguments: Vec<String>,
    /// What follows when a start is hung.
    pub on_hung: AutomaticDump,
    /// What follows when a start exceeds its boot timeout.
    pub on_boot_timeout: AutomaticDump,
}

impl Default for CrashDumpSettings {
    fn default() -> Self {
        Self {
            driver: DumpDriver::None,
            timeout: Duration::from_secs(30),
            socket: String::new(),
            uri: "qemu:///system".to_owned(),
            domain: "{name}".to_owned(),
            host: String::new(),
            port: 623,
            user: String::new(),
            password_file: String::new(),
            program: String::new(),
            arguments: Vec::new(),
            on_hung: AutomaticDump::Off,
            on_boot_timeout: AutomaticDump::Off,
        }
    }
}

impl CrashDumpSettings {
    /// The driver that is to act because of that cause; `None`: nothing is to be done.
    pub fn driver_for(&self, cause: DumpCause) -> Option<DumpDriver> {
        let driver = match cause {
            DumpCause::Administrator => self.driver,
            DumpCause::Hung | DumpCause::NoProgress => self.on_hung.driver(self.driver)?,
            DumpCause::BootTimeout => self.on_boot_timeout.driver(self.driver)?,
        };
        (driver != DumpDriver::None).then_some(driver)
    }
}

/// What the broker does by itself when a start fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutomaticDump {
    /// Nothing.
    #[default]
    Off,
    /// A crash dump by the configured driver.
    Configured,
    /// A crash dump by this driver.
    By(DumpDriver),
}

impl AutomaticDump {
    fn driver(self, configured: DumpDriver) -> Option<DumpDriver> {
        match self {
            Self::Off => None,
            Self::Configured => Some(configured),
            Self::By(driver) => Some(driver),
        }
    }
}

/// Settings that are shared, so that rules are cheap to copy.
pub type SharedDumpSettings = Arc<CrashDumpSettings>;
