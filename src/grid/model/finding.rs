//! Defines findings: conditions of appliances and of the broker that the broker itself observes.
//!
//! Decides nothing. Alerts are what administrators see of them.

use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;

/// The kinds of findings, of appliances and of the broker itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// Its start failed.
    StartFailed,
    /// Its progress does not change.
    Stuck,
    /// It has lost contact.
    NoContact,
    /// Two machines use its name.
    NameConflict,
    /// It failed to start several times in a row.
    Flapping,
    /// Of the broker: acknowledged records can't be read.
    RecordsMissing,
    /// Of the broker: its disk is nearly full.
    DiskLow,
    /// Of the broker: mail is not delivered.
    MailFails,
    /// Of the broker: the wall clock and broker time differ.
    ClockDiffers,
    /// Of the broker: the system is out of descriptors, threads or memory.
    ResourcesShort,
    /// Its certificate ends soon, or has ended, and was not renewed.
    CertificateEnding,
    /// Its enrolment token was used with two keys.
    TokenReused,
    /// Of the broker: its server certificate ends soon, or cannot be loaded.
    ServerCertificate,
}

impl FindingKind {
    /// The first one, in their order.
    pub const FIRST: Self = Self::StartFailed;

    /// Its identifier, as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartFailed => "start_failed",
            Self::Stuck => "stuck",
            Self::NoContact => "no_contact",
            Self::NameConflict => "two_machines",
            Self::Flapping => "flapping",
            Self::RecordsMissing => "records_missing",
            Self::DiskLow => "disk_low",
            Self::MailFails => "mail_fails",
            Self::ClockDiffers => "clock_differs",
            Self::ResourcesShort => "resources_short",
            Self::CertificateEnding => "certificate_ending",
            Self::TokenReused => "token_reused",
            Self::ServerCertificate => "server_certificate",
        }
    }
}

/// An observed condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// When it was first observed.
    pub since: Timestamp,
    /// Its text, a sentence; may contain hostile text.
    pub text: Box<str>,
}
