//! Restores, salvages and checks a journal that no broker has open, and verifies a backup.
//!
//! Guarantees that a folder which is read is not written, not even by sled. Does not know
//! the command line, nor how findings are printed.

mod check;
mod enrolled;
mod findings;
mod inventory;
mod lock;
mod restore;
mod salvage;
#[cfg(test)]
mod tests;
mod verify;

pub use self::check::{CheckFinding, CheckReport, check};
pub use self::restore::{RestoreError, Restored, restore};
pub use self::salvage::{SalvageError, Salvaged, salvage};
pub use self::verify::{Defect, Verified, VerifyError, verify};
pub use crate::journal::rescue::findings::Findings;
