//! What can be done for a journal that no broker has open: restore, salvage, check; and for a backup: verify.
//!
//! Guarantees that a folder which is looked at is not written, not even by sled. It does not know
//! how it is asked nor how its findings are printed.

mod check;
mod findings;
mod inventory;
mod lock;
mod restore;
mod salvage;
#[cfg(test)]
mod tests;
mod verify;

pub use self::check::{CheckReport, Finding, check};
pub use self::restore::{RestoreError, Restored, restore};
pub use self::salvage::{SalvageError, Salvaged, salvage};
pub use self::verify::{Defect, Verified, VerifyError, verify};
pub use crate::journal::rescue::findings::Findings;
