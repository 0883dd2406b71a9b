//! `gridctl appliance crash-dump` and `crash-dumps`: triggers crash dumps, and shows what became of them.
//!
//! Guarantees that nothing is triggered before the broker said that it is possible and the full name
//! was typed, or `--yes` given; and that one command triggers one crash dump at most. Does not check
//! what is possible: the broker does.

mod error;
mod order;
#[cfg(test)]
mod scripted;
mod view;
mod wait;

use std::io::{self, Write};

use grid_broker::client::ClientError;
use grid_broker::contract::proto::{
    Appliance, CheckCrashDumpRequest, CheckCrashDumpResponse, CrashDump, GetApplianceRequest,
    ListCrashDumpsRequest, TriggerCrashDumpRequest,
};
use grid_broker::show::escape::escape;

pub(crate) use self::error::CrashDumpError;
use self::order::{DumpQuestion, RequestedDump};
pub(crate) use self::view::{found_fields, found_lines};
use crate::args::{CrashDumpArgs, CrashDumpsArgs};
use crate::connection::Connection;
use crate::error::CliError;
use crate::output::{ListWriter, OutputOptions};
use crate::{names, prompt};

/// Asks at the terminal. `None`: there is none.
pub(crate) async fn ask_at_terminal(question: String) -> Option<io::Result<String>> {
    let terminal = prompt::terminal()?;
    // Beside the connection, which must stay alive as long as the user thinks.
    let asked = grid_broker::tasks::spawn_blocking("question", move || terminal.ask(&question));
    Some(asked.await.unwrap_or_else(|ended| Err(io::Error::other(ended))))
}

/// Checks, asks, triggers and waits, as far as requested.
pub(crate) async fn run(
    broker: &Connection,
    arguments: &CrashDumpArgs,
    ask: impl AsyncFnOnce(String) -> Option<io::Result<String>>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let CrashDumpArgs { name, check, yes, wait } = arguments;
    let question = check_first(broker, name, look).await?;
    if *check {
        order::write_check(&question, look, out)?;
    }
    let problem = &question.check.problem;
    if !question.check.possible {
        return Err(CrashDumpError::NotPossible { problem: problem.clone() }.into());
    }
    if *check {
        return Ok(());
    }
    if *yes {
        for warning in question.warnings() {
            look.note(&format!("warning: {}", escape(&warning)));
        }
    } else {
        confirm(&question, ask, look).await?;
    }
    let name = &question.appliance.name;
    let order = trigger(broker, name).await?;
    let Some(within) = wait else {
        order::write_order(&order, look, out)?;
        look.note(&format!("what becomes of it: {}", follow_command(name, &order.request_id)));
        return Ok(());
    };
    if look.format.is_human_readable() {
        order::write_order(&order, look, out)?;
    }
    let waiter = wait::Waiter { broker, name, request_id: &order.request_id, within: *within };
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {
            let follow = follow_command(name, &order.request_id);
            Err(CrashDumpError::Interrupted { follow }.into())
        }
        ended = waiter.run(wait::POLL_INTERVAL, look, out) => ended,
    }
}

/// The command that shows what became of a crash dump.
fn follow_command(name: &str, request_id: &str) -> String {
    format!("gridctl appliance crash-dumps {name} {request_id}")
}

fn refuse_pattern(name: &str) -> Result<(), CrashDumpError> {
    match names::is_pattern(name) {
        true => Err(CrashDumpError::Pattern { pattern: name.to_owned() }),
        false => Ok(()),
    }
}

/// Finds the appliance, and what the broker says before.
async fn check_first(
    broker: &Connection,
    name: &str,
    look: &OutputOptions,
) -> Result<DumpQuestion, CliError> {
    refuse_pattern(name)?;
    let get = async |name: String| {
        let request = broker.unary(GetApplianceRequest { name: name.clone() });
        let appliance = broker.appliances().get_appliance(request).await?.into_inner().appliance;
        let request = broker.unary(CheckCrashDumpRequest { name });
        let check = broker.crash_dumps().check_crash_dump(request).await?.into_inner();
        Ok((appliance, check))
    };
    let (_, found) = names::call_with_name(broker, name, look, get).await?;
    let (appliance, check): (Option<Appliance>, CheckCrashDumpResponse) = found;
    let appliance = appliance.ok_or(CliError::MissingField { field: "appliance" })?;
    Ok(DumpQuestion { appliance, check })
}

/// Asks for the full name.
async fn confirm(
    question: &DumpQuestion,
    ask: impl AsyncFnOnce(String) -> Option<io::Result<String>>,
    look: &OutputOptions,
) -> Result<(), CliError> {
    let name = question.appliance.name.clone();
    let Some(typed) = ask(question.text(look)).await else {
        return Err(CrashDumpError::NoTerminal { name }.into());
    };
    let typed = typed.map_err(CliError::Terminal)?;
    match typed == name {
        true => Ok(()),
        false => Err(CrashDumpError::NotConfirmed { typed, name }.into()),
    }
}

async fn trigger(broker: &Connection, name: &str) -> Result<RequestedDump, CliError> {
    let request = broker.unary(TriggerCrashDumpRequest { name: name.to_owned() });
    match broker.crash_dumps().trigger_crash_dump(request).await {
        Ok(reply) => Ok(RequestedDump::new(name, reply.into_inner())),
        Err(status) => {
            let is_unknown = error::is_outcome_unknown(status.code());
            let failure = CliError::from(ClientError::from_status(&broker.address, status));
            Err(match is_unknown {
                true => {
                    CrashDumpError::Unknown { name: name.to_owned(), failure: Box::new(failure) }
                        .into()
                }
                false => failure,
            })
        }
    }
}

/// Lists the crash dumps of an appliance, or shows one.
pub(crate) async fn list(
    broker: &Connection,
    arguments: &CrashDumpsArgs,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let CrashDumpsArgs { name, request } = arguments;
    refuse_pattern(name)?;
    let fetch = async |name: String| fetch(broker, name).await;
    let (name, dumps) = names::call_with_name(broker, name, look, fetch).await?;
    let Some(typed) = request else {
        let mut listing = ListWriter::new(out, look, view::view());
        listing.add(&dumps)?;
        let nothing = format!("there was no crash dump of {name}");
        return Ok(listing.finish(&nothing)?);
    };
    let dump = find_request(&name, typed, dumps)?;
    if !look.format.is_human_readable() {
        return Ok(ListWriter::write_one(out, look, view::view(), &dump)?);
    }
    for line in view::story_lines(&name, &dump, look) {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// The crash dumps of an appliance, the newest first.
async fn fetch(broker: &Connection, name: String) -> Result<Vec<CrashDump>, tonic::Status> {
    let request = broker.unary(ListCrashDumpsRequest { name });
    Ok(broker.crash_dumps().list_crash_dumps(request).await?.into_inner().crash_dumps)
}

/// The newest crash dump of an appliance, if there is one and the broker tells.
pub(crate) async fn last(broker: &Connection, name: &str) -> Option<CrashDump> {
    fetch(broker, name.to_owned()).await.ok()?.into_iter().next()
}

/// A crash dump in one line: when, by whom, and what became of it.
pub(crate) fn describe(dump: &CrashDump, look: &OutputOptions) -> String {
    let at = look.format_time(&dump.requested_at);
    format!("{at} by {}: {}", dump.by, dump.explanation)
}

/// Finds the crash dump whose request id is, or begins with, what was typed.
fn find_request(
    name: &str,
    typed: &str,
    dumps: Vec<CrashDump>,
) -> Result<CrashDump, CrashDumpError> {
    let (name, wanted) = (name.to_owned(), typed.trim().to_lowercase());
    let begins = |id: &str| {
        let id = id.to_lowercase();
        id.starts_with(&wanted) || id.strip_prefix("req-").is_some_and(|it| it.starts_with(&wanted))
    };
    let typed = typed.to_owned();
    let mut found = dumps.into_iter().filter(|it| !wanted.is_empty() && begins(&it.request_id));
    let Some(first) = found.next() else {
        return Err(CrashDumpError::NoSuchRequest { typed, name });
    };
    let mut others: Vec<_> = found.map(|it| it.request_id).collect();
    if others.is_empty() {
        return Ok(first);
    }
    others.insert(0, first.request_id);
    Err(CrashDumpError::AmbiguousRequest { typed, candidates: others })
}

#[cfg(test)]
mod story_tests;
#[cfg(test)]
mod tests;
