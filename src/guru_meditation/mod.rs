//! Guru Meditation Reports: what a running program is doing, at any moment, even when it is stuck.
//!
//! SIGUSR2 (or a touched file, or a call) writes a report of every thread with its stack, every
//! async task with the place where it waits, the processes, the configuration, and whatever sections
//! the program registers; laid out as OpenStack's oslo.reports does it, or as JSON. Guarantees that
//! the report comes within about two seconds though workers are blocked, a section hangs or panics,
//! standard error is held or full, and that the program serves on meanwhile. It knows nothing of the
//! program it runs in, and costs it nothing while nobody asks.
//!
//! ```text
//! SIGUSR2, file, panic, call --> thread gmr --> sections, one by one, in gmr-section --> output
//! ```
//!
//! [`install`] comes first in `main`: before it, SIGUSR2 ends a process.

mod error;
mod output;
mod package;
mod processes;
mod report;
mod reporter;
mod room;
mod runner;
mod secret;
mod section_builder;
mod stack;
mod tasks;
mod text;
mod threads;
mod time;
mod trigger;
mod warnings;

pub use self::error::{InstallError, NoReport};
pub use self::output::LogDir;
pub use self::package::Package;
pub use self::reporter::{Format, Reporter, install};
pub use self::tasks::{Traced, alive, detail, root, spawned};
pub use self::warnings::Warnings;
pub use crate::guru_meditation::section_builder::SectionBuilder;
