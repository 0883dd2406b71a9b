//! Writes Guru Meditation Reports: what a running program is doing, even when it is stuck.
//!
//! SIGUSR2 (or a touched file, or a call) writes a report of every thread with its stack, every
//! async task with the place where it waits, the processes, the configuration, and the sections
//! that the program registers, in the layout of OpenStack's oslo.reports or as JSON. Guarantees
//! that the report is written within about two seconds even if workers are blocked, a section hangs
//! or panics, or standard error is locked or full, and that the program keeps serving meanwhile.
//! Does not know the program that it runs in, and costs nothing between reports.
//!
//! ```text
//! SIGUSR2, file, panic, call --> thread gmr --> sections, one by one, in gmr-section --> output
//! ```
//!
//! Call [`install`] first in `main`: before it, SIGUSR2 ends the process.

mod error;
mod job_runner;
mod memory_check;
mod output;
mod package;
mod processes;
mod report;
mod reporter;
mod secret;
mod section_builder;
mod stack;
mod tasks;
mod text;
mod threads;
mod time;
mod trigger;
mod warnings;

pub use self::error::{InstallError, ReportError};
pub use self::output::LogDir;
pub use self::package::Package;
pub use self::reporter::{ReportEncoding, Reporter, install};
pub use self::tasks::{Traced, live_task_count, set_task_detail, trace_root, trace_task};
pub use self::warnings::Warnings;
pub use crate::guru_meditation::section_builder::SectionBuilder;
