//! Determines the id and the uptime of this boot.
//!
//! Guarantees that all calls within one boot of a machine or container get the same id, and that
//! another boot gets another one: a UUID (version 5) over the kernel's boot id, the start time of
//! process 1 and the PID namespace, since a container shares its host's kernel boot id. If /proc
//! hides a part (`hidepid`), only lifecycle events carry the weaker id: a log line of an
//! unprivileged process must not look like a new boot. Does not know what a boot means.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use uuid::{Uuid, uuid};

/// Random, used by vme only. Another value would make every running boot look new.
const NAMESPACE: Uuid = uuid!("086fc84d-a624-4e95-9d51-d6a049f86441");

const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const PROCESS_1: &str = "/proc/1/stat";
const PID_NAMESPACE: &str = "/proc/self/ns/pid";

/// One boot, as far as it can be identified.
#[derive(Debug)]
pub(crate) enum BootIdentity {
    /// Named by the caller (`VME_BOOT_ID`). Its uptime is not the system's.
    Named(Uuid),
    /// Derived from the system.
    Detected {
        /// Its id.
        id: Uuid,
        /// When process 1 started, in clock ticks since the start of the kernel.
        start_ticks: u64,
    },
    /// A part is hidden, so the id is weaker: a restarted container may have it again.
    Weak {
        /// Its id from the readable parts.
        id: Uuid,
        /// The unreadable part.
        hidden: &'static str,
    },
    /// The system gives no id.
    Unknown(std::io::Error),
}

/// The boot id is derived from fewer parts than it should be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {hidden}, so the boot id is weaker; set VME_BOOT_ID to name the boot")]
pub(crate) struct WeakBootId {
    hidden: &'static str,
}

/// There is no boot id, and the event needs one.
#[derive(Debug, thiserror::Error)]
#[error("this boot has no id: cannot read {KERNEL_BOOT_ID} ({cause}); set VME_BOOT_ID to name it")]
pub(crate) struct NoBootId {
    cause: String,
}

impl BootIdentity {
    /// The boot in which this process runs.
    pub(crate) fn detect() -> Self {
        let kernel = match std::fs::read_to_string(KERNEL_BOOT_ID) {
            Ok(kernel) => kernel,
            Err(error) => return Self::Unknown(error),
        };
        let stat = std::fs::read(PROCESS_1).ok();
        let start = stat.as_deref().and_then(start_ticks);
        let namespace = rustix::fs::readlink(PID_NAMESPACE, Vec::new()).ok();
        let namespace = namespace.as_ref().map(|link| link.to_string_lossy());

        let id = derive_id(&kernel, start, namespace.as_deref());
        match (start, namespace) {
            (Some(start_ticks), Some(_)) => Self::Detected { id, start_ticks },
            (None, _) => Self::Weak { id, hidden: PROCESS_1 },
            (_, None) => Self::Weak { id, hidden: PID_NAMESPACE },
        }
    }

    /// The id that an event carries, and a warning if it is weak. A lifecycle event needs an id;
    /// other events carry none rather than a weak one.
    pub(crate) fn id(
        &self,
        is_lifecycle: bool,
    ) -> Result<(Option<Uuid>, Option<WeakBootId>), NoBootId> {
        match self {
            Self::Named(id) | Self::Detected { id, .. } => Ok((Some(*id), None)),
            Self::Weak { id, hidden } if is_lifecycle => {
                Ok((Some(*id), Some(WeakBootId { hidden })))
            }
            Self::Unknown(error) if is_lifecycle => Err(NoBootId { cause: error.to_string() }),
            Self::Weak { .. } | Self::Unknown(_) => Ok((None, None)),
        }
    }

    /// Its id, strong or weak; `None` if there is none.
    pub(crate) fn any_id(&self) -> Option<Uuid> {
        match self {
            Self::Named(id) | Self::Detected { id, .. } | Self::Weak { id, .. } => Some(*id),
            Self::Unknown(_) => None,
        }
    }

    /// The uptime of this boot in milliseconds. 0: unknown.
    pub(crate) fn uptime_ms(&self) -> u64 {
        match self {
            Self::Detected { start_ticks, .. } => uptime_ms(*start_ticks),
            Self::Named(_) | Self::Weak { .. } | Self::Unknown(_) => 0,
        }
    }
}

/// No part contains a newline, and a hidden part is empty: different parts never give the same
/// text.
fn derive_id(kernel: &str, start: Option<u64>, namespace: Option<&str>) -> Uuid {
    let start = start.map_or_else(String::new, |ticks| ticks.to_string());
    let parts = format!("{}\n{start}\n{}", kernel.trim(), namespace.unwrap_or_default());
    Uuid::new_v5(&NAMESPACE, parts.as_bytes())
}

/// Field 22 of `/proc/PID/stat`, in clock ticks since the kernel started. Field 2, the program's
/// name in parentheses, may contain anything, so counting begins after the last parenthesis.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    const BEHIND_NAME: usize = 22 - 3;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(BEHIND_NAME)?.parse().ok()
}

/// By the kernel's clock since boot, as in /proc/uptime. Containers often get a /proc/uptime that
/// counts from their own start, while /proc/1/stat stays the kernel's.
fn uptime_ms(start_ticks: u64) -> u64 {
    let since_boot = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
    let since_boot = u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX);
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let start = start_ticks.saturating_mul(1_000) / ticks_per_second;
    // 0 would mean unknown.
    since_boot.saturating_sub(start).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_process_1_is_parsed_whatever_its_name() {
        let rest = "S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2 3";
        for name in ["systemd", "a) b (c", ") S 0 1 1", ""] {
            assert_eq!(start_ticks(format!("1 ({name}) {rest}").as_bytes()), Some(4711), "{name}");
        }
        assert_eq!(start_ticks(b"1 (\xff) S 0 1"), None);
        assert_eq!(start_ticks(b""), None);
    }

    #[test]
    fn each_part_changes_the_boot_id() {
        let (kernel, namespace) = ("7d6e", Some("pid:[4026531836]"));
        let boot = derive_id(kernel, Some(7), namespace);
        assert_eq!(boot, derive_id("7d6e\n", Some(7), namespace));
        assert_ne!(boot, derive_id("7d6f", Some(7), namespace));
        assert_ne!(boot, derive_id(kernel, Some(8), namespace));
        assert_ne!(boot, derive_id(kernel, Some(7), Some("pid:[4026531837]")));
        assert_ne!(boot, derive_id(kernel, None, namespace));
        assert_eq!(boot.get_version_num(), 5);
    }

    #[test]
    fn this_boot_has_one_id_and_a_growing_uptime() {
        let (first, second) = (BootIdentity::detect(), BootIdentity::detect());
        assert_eq!(first.id(true).unwrap(), second.id(true).unwrap());
        assert!(first.uptime_ms() <= second.uptime_ms());
    }

    #[test]
    fn only_lifecycle_events_carry_a_weak_boot_id() {
        let boot = BootIdentity::Weak { id: Uuid::nil(), hidden: PROCESS_1 };
        assert_eq!(boot.id(false).unwrap(), (None, None));
        let (id, doubt) = boot.id(true).unwrap();
        assert_eq!((id, doubt.unwrap().hidden), (Some(Uuid::nil()), PROCESS_1));

        let unknown = BootIdentity::Unknown(std::io::ErrorKind::NotFound.into());
        assert_eq!(unknown.id(false).unwrap(), (None, None));
        assert!(unknown.id(true).unwrap_err().to_string().contains("VME_BOOT_ID"));
    }
}
