//! Defines the commands of administrators and orchestrators.
//!
//! Decides nothing.

use uuid::Uuid;

use crate::grid::model::settings::Overrides;
use crate::grid::values::crash_dump::{DumpCause, DumpDriver};
use crate::grid::values::id::ApplianceName;

/// The commands of administrators and orchestrators.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminCommand {
    /// Add an appliance.
    Add {
        /// Its name.
        name: ApplianceName,
        /// Its random UUID.
        uuid: Uuid,
        /// Its class; `None`: the default class.
        class: Option<Box<str>>,
        /// Its own settings.
        overrides: Overrides,
    },
    /// Change an appliance.
    Set {
        /// Its name.
        name: ApplianceName,
        /// Its class; `None`: unchanged.
        class: Option<Box<str>>,
        /// Its own settings; `None` in it: unchanged.
        overrides: Overrides,
        /// Which settings are reset to the class.
        reset: OverrideReset,
    },
    /// Remove an appliance.
    Remove {
        /// Its name.
        name: ApplianceName,
    },
    /// A boot begins now.
    StartBoot {
        /// The appliance's name.
        name: ApplianceName,
    },
    /// The appliance is stopped on purpose.
    Stop {
        /// The appliance's name.
        name: ApplianceName,
    },
    /// Request a crash dump of the appliance.
    CrashDump {
        /// The appliance's name.
        name: ApplianceName,
        /// The request.
        order: DumpOrder,
    },
    /// Lock the appliance.
    Lock {
        /// The appliance's name.
        name: ApplianceName,
        /// Why, at most 255 bytes; empty: not given.
        reason: Box<str>,
        /// The administrator has the role admin.
        is_by_admin: bool,
    },
    /// Unlock the appliance.
    Unlock {
        /// The appliance's name.
        name: ApplianceName,
        /// The administrator has the role admin.
        is_by_admin: bool,
    },
    /// The suppression of the appliance ends, and its rate limits are reset.
    Unsuppress {
        /// The appliance's name.
        name: ApplianceName,
    },
}

impl AdminCommand {
    /// What the record of the command says.
    pub fn done(&self) -> &'static str {
        match self {
            Self::Add { .. } => "appliance added",
            Self::Set { .. } => "appliance set",
            Self::Remove { .. } => "appliance removed",
            Self::StartBoot { .. } => "boot begins",
            Self::Stop { .. } => "appliance stopped",
            Self::CrashDump { .. } => "crash dump requested",
            Self::Lock { .. } => "appliance locked",
            Self::Unlock { .. } => "appliance unlocked",
            Self::Unsuppress { .. } => "suppression lifted, rate limits reset",
        }
    }

    /// The name of the appliance it is about.
    pub fn appliance_name(&self) -> &ApplianceName {
        match self {
            Self::Add { name, .. }
            | Self::Set { name, .. }
            | Self::Remove { name }
            | Self::StartBoot { name }
            | Self::Stop { name }
            | Self::CrashDump { name, .. }
            | Self::Lock { name, .. }
            | Self::Unlock { name, .. }
            | Self::Unsuppress { name } => name,
        }
    }
}

/// The request of a crash dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpOrder {
    /// Its random request id; that of [`CrashDump::request`] if the broker had decided it before.
    ///
    /// [`CrashDump::request`]: crate::grid::model::crash_dump::CrashDump::request
    pub request: Uuid,
    /// The administrator's name alone, or `gridd`.
    pub requester: Box<str>,
    /// The driver.
    pub driver: DumpDriver,
    /// Why.
    pub cause: DumpCause,
    /// The administrator passes locks.
    pub passes_lock: bool,
    /// The UUID of the appliance that was checked; `None`: whichever has the name.
    pub appliance: Option<Uuid>,
}

/// Which overrides are reset to the class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverrideReset {
    /// See [`Overrides::managed`].
    pub managed: bool,
    /// See [`Overrides::boot_timeout`].
    pub boot_timeout: bool,
    /// See [`Overrides::report_deadline`].
    pub maintenance_silence: bool,
}
