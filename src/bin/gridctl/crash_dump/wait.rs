//! `gridctl appliance crash-dump --wait`: follows a crash dump until its story has ended.
//!
//! Guarantees that each step is printed once, also across restarts of the broker, and that the wait is
//! bounded. Triggers nothing.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use grid_broker::contract::proto::{CrashDump, CrashDumpEnd, CrashDumpTrigger};
use grid_broker::show::escape::escape;
use tokio::time::Instant;
use tonic::Code;

use super::view::{self, describe_found};
use super::{CrashDumpError, fetch, follow_command};
use crate::connection::Connection;
use crate::error::CliError;
use crate::follow::{Outage, transient_error};
use crate::output::{ListWriter, OutputOptions};

/// How often the broker is asked.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Waits for one crash dump.
#[derive(Debug)]
pub(super) struct Waiter<'a> {
    /// The broker.
    pub(super) broker: &'a Connection,
    /// The full name of the appliance.
    pub(super) name: &'a str,
    /// The crash dump.
    pub(super) request_id: &'a str,
    /// How long at most.
    pub(super) within: Duration,
}

impl Waiter<'_> {
    /// Waits and prints each step: on stdout for people, else on stderr, and then the object on stdout.
    ///
    /// # Errors
    ///
    /// If no complete dump was found, or it did not end in time.
    pub(super) async fn run(
        &self,
        interval: Duration,
        look: &OutputOptions,
        out: &mut dyn Write,
    ) -> Result<(), CliError> {
        let until = Instant::now() + self.within;
        let mut outage = Outage::new(self.broker, interval);
        let mut shown = BTreeSet::new();
        let (mut newest, mut is_first) = (None, true);
        loop {
            let fetched = fetch(self.broker, self.name.to_owned());
            let fetched = match std::mem::take(&mut is_first) {
                // However short the wait is, one reply is awaited.
                true => Ok(fetched.await),
                false => tokio::time::timeout_at(until, fetched).await,
            };
            match fetched {
                Ok(Ok(dumps)) => {
                    outage.clear();
                    let dump = dumps.into_iter().find(|it| it.request_id == self.request_id);
                    let Some(dump) = dump else { return Err(self.gone().into()) };
                    for step in steps(&dump, look) {
                        self.show_step(step, &mut shown, look, out)?;
                    }
                    let has_ended = has_ended(&dump);
                    newest = Some(dump);
                    if has_ended {
                        break;
                    }
                }
                Ok(Err(status)) if status.code() == Code::NotFound => {
                    return Err(self.gone().into());
                }
                Ok(Err(status)) => {
                    let why = transient_error(&self.broker.address, status)?;
                    if tokio::time::timeout_at(until, outage.wait(&why)).await.is_err() {
                        break;
                    }
                    continue;
                }
                Err(_) => break,
            }
            if Instant::now() + interval >= until {
                tokio::time::sleep_until(until).await;
                break;
            }
            tokio::time::sleep(interval).await;
        }
        let Some(dump) = newest else { return Err(self.not_ended().into()) };
        if !look.format.is_human_readable() {
            ListWriter::write_one(out, look, view::view(), &dump)?;
        }
        Ok(self.verdict(&dump)?)
    }

    fn show_step(
        &self,
        step: String,
        shown: &mut BTreeSet<String>,
        look: &OutputOptions,
        out: &mut dyn Write,
    ) -> Result<(), CliError> {
        if !shown.insert(step.clone()) {
            return Ok(());
        }
        if look.format.is_human_readable() {
            writeln!(out, "{}", escape(&step))?;
            out.flush()?;
        } else {
            look.note(&escape(&step));
        }
        Ok(())
    }

    fn gone(&self) -> CrashDumpError {
        let (name, request_id) = (self.name.to_owned(), self.request_id.to_owned());
        CrashDumpError::Gone { name, request_id }
    }

    /// Whether a complete dump was found, or why not.
    fn verdict(&self, dump: &CrashDump) -> Result<(), CrashDumpError> {
        let (name, within) = (self.name.to_owned(), self.within);
        let is_complete = dump.found.iter().any(|it| !it.incomplete);
        match CrashDumpEnd::try_from(dump.end) {
            Ok(CrashDumpEnd::NewBoot) if is_complete => Ok(()),
            Ok(CrashDumpEnd::NewBoot) if dump.found.is_empty() => {
                Err(CrashDumpError::NoneFound { name, within })
            }
            Ok(CrashDumpEnd::NewBoot) => Err(CrashDumpError::Incomplete { name }),
            Ok(
                CrashDumpEnd::NoBoot
                | CrashDumpEnd::NoEffect
                | CrashDumpEnd::NotTriggered
                | CrashDumpEnd::Stopped,
            ) => {
                let follow = follow_command(self.name, self.request_id);
                Err(CrashDumpError::Failed { explanation: dump.explanation.clone(), follow })
            }
            Ok(CrashDumpEnd::Unspecified) | Err(_) => Err(self.not_ended()),
        }
    }

    fn not_ended(&self) -> CrashDumpError {
        let follow = follow_command(self.name, self.request_id);
        CrashDumpError::NotEnded { within: self.within, follow }
    }
}

/// Whether nothing more is to come: after a new boot its agent may still find the dump.
fn has_ended(dump: &CrashDump) -> bool {
    match CrashDumpEnd::try_from(dump.end) {
        Ok(CrashDumpEnd::NewBoot) => !dump.found.is_empty(),
        Ok(
            CrashDumpEnd::NoBoot
            | CrashDumpEnd::NoEffect
            | CrashDumpEnd::NotTriggered
            | CrashDumpEnd::Stopped,
        ) => true,
        Ok(CrashDumpEnd::Unspecified) | Err(_) => false,
    }
}

/// The steps so far, in order; a step never changes.
fn steps(dump: &CrashDump, look: &OutputOptions) -> Vec<String> {
    let at = |time: &Option<_>, step: String| match look.format_time(time) {
        at if at.is_empty() => step,
        at => format!("{at} {step}"),
    };
    let with_detail = |text: String| match dump.detail.as_str() {
        "" => text,
        detail => format!("{text}: {detail}"),
    };
    let driver = &dump.driver;
    let mut steps = Vec::new();
    let trigger = match CrashDumpTrigger::try_from(dump.trigger) {
        Ok(CrashDumpTrigger::Done) => Some(with_detail(format!("triggered by {driver}"))),
        Ok(CrashDumpTrigger::Failed) => Some(with_detail(format!("{driver} failed"))),
        Ok(CrashDumpTrigger::Unknown) => {
            Some(with_detail(format!("it is unknown whether {driver} triggered it")))
        }
        Ok(CrashDumpTrigger::Due | CrashDumpTrigger::Pending | CrashDumpTrigger::Unspecified)
        | Err(_) => None,
    };
    steps.extend(trigger.map(|step| at(&dump.triggered_at, step)));
    let end = match CrashDumpEnd::try_from(dump.end) {
        Ok(CrashDumpEnd::NewBoot) => {
            Some("booted again; waiting until its agent tells of the dump")
        }
        Ok(CrashDumpEnd::NoBoot) => Some("no new boot until the deadline"),
        Ok(CrashDumpEnd::NoEffect) => Some("no effect: it goes on in the same boot"),
        Ok(CrashDumpEnd::Stopped) => Some("stopped by an administrator"),
        Ok(CrashDumpEnd::NotTriggered | CrashDumpEnd::Unspecified) | Err(_) => None,
    };
    steps.extend(end.map(|step| at(&dump.ended_at, step.to_owned())));
    for found in &dump.found {
        steps.push(format!("dump: {}", describe_found(found)));
        if !found.last_words.is_empty() {
            steps.push(format!("last words: {}", found.last_words));
        }
    }
    steps
}
