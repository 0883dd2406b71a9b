//! The names that complete a command line: of appliances, classes, mails, recipients and contexts.
//!
//! Guarantees to be done within a second, and that whatever goes wrong completes nothing and says
//! nothing: somebody is in the middle of typing. The generated completions of the shells ask by
//! `gridctl complete-names WORD...`, with all that is typed behind `gridctl` up to the cursor.

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, CommandFactory};

use grid_broker::wire::proto::{ApplianceFilter, ListAppliancesRequest, ListMailsRequest};

use crate::args::{Args, Place, as_meant};
use crate::broker::Broker;
use crate::context;
use crate::failure::Failure;
use crate::names;
use crate::order::places_of_words;

/// What the shells ask by.
pub(crate) const WORD: &str = "complete-names";

/// Longest time that somebody waits who presses Tab.
const TIME: Duration = Duration::from_secs(1);

/// Most names that are offered.
const NAMES_MAX: u32 = 200;

/// What can be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Appliance,
    Class,
    MailNumber,
    Recipient,
    Context,
}

/// What is typed, as far as it matters.
#[derive(Debug, Default)]
struct Typed {
    wanted: Option<Wanted>,
    broker: Option<String>,
    context: Option<String>,
}

/// Prints the names, one a line.
pub(crate) fn run(words: &[OsString], out: &mut dyn Write) {
    let words: Option<Vec<String>> = words.iter().map(|it| Some(it.to_str()?.to_owned())).collect();
    let Some(words) = words else { return };
    let Some((prefix, before)) = words.split_last() else { return };
    let typed = typed(before);
    let Some(wanted) = typed.wanted.filter(|_| !prefix.starts_with('-')) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let found = runtime.block_on(async {
        let found = tokio::time::timeout(TIME, found(wanted, &typed, prefix)).await;
        found.ok().and_then(Result::ok).unwrap_or_default()
    });
    for name in found {
        if writeln!(out, "{name}").is_err() {
            return;
        }
    }
    let _ = out.flush();
}

/// What is to be completed behind these words.
fn typed(before: &[String]) -> Typed {
    let mut root = Args::command();
    root.build();
    let line = std::iter::once("gridctl").chain(before.iter().map(String::as_str));
    let line: Vec<OsString> = line.map(OsString::from).collect();
    if let [group] = places_of_words(&root, &line)[..]
        && let Some(group) = line[group].to_str().and_then(|it| root.find_subcommand(it))
        && group.has_subcommands()
        && group.get_name() != "log"
    {
        // A verb is being typed, which the shell completes by itself.
        return Typed::default();
    }
    let (line, _) = as_meant(&root, line);
    let (mut command, mut path, mut positionals) = (&root, Vec::new(), 0);
    let mut typed = Typed::default();
    let mut line = line.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = line.next() {
        if let Some((flag, value)) = flag_of(command, word) {
            if !takes_value(flag) {
                continue;
            }
            match value.map(ToOwned::to_owned).or_else(|| line.next().map(ToOwned::to_owned)) {
                Some(value) if flag.get_id() == "broker" => typed.broker = Some(value),
                Some(value) if flag.get_id() == "context" => typed.context = Some(value),
                Some(_) => {}
                None => {
                    typed.wanted = wanted(flag, &path);
                    return typed;
                }
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
            path.push(below.get_name());
        } else {
            positionals += 1;
        }
    }
    let arguments: Vec<&Arg> = command.get_positionals().collect();
    // Behind the last there are more of it, if it takes several.
    let several = arguments.last().filter(|arg| matches!(arg.get_action(), ArgAction::Append));
    let next = arguments.get(positionals).or(several);
    typed.wanted = next.and_then(|arg| wanted(arg, &path));
    typed
}

fn takes_value(flag: &Arg) -> bool {
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append)
}

fn flag_of<'a, 'w>(command: &'a Command, word: &'w str) -> Option<(&'a Arg, Option<&'w str>)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let found = command.get_arguments().find(|it| it.get_long() == Some(name))?;
        return Some((found, value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    let found = command.get_arguments().find(|it| it.get_short() == Some(letter))?;
    Some((found, Some(letters.as_str()).filter(|rest| !rest.is_empty())))
}

fn wanted(arg: &Arg, path: &[&str]) -> Option<Wanted> {
    if arg.get_id() == "context" {
        return Some(Wanted::Context);
    }
    let name = arg.get_value_names()?.first()?;
    match (name.as_str(), path.first()) {
        ("APPLIANCE", _) => Some(Wanted::Appliance),
        ("CLASS", _) => Some(Wanted::Class),
        ("NUMBER", Some(&"mail")) => Some(Wanted::MailNumber),
        ("RECIPIENT", _) => Some(Wanted::Recipient),
        ("CONTEXT", _) => Some(Wanted::Context),
        _ => None,
    }
}

async fn found(wanted: Wanted, typed: &Typed, prefix: &str) -> Result<Vec<String>, Failure> {
    if wanted == Wanted::Context {
        return Ok(beginning(context::names(), prefix));
    }
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let place = match (&typed.broker, &typed.context) {
        (Some(address), _) => Place::Address(address.clone()),
        (None, Some(name)) => Place::Context(name.clone()),
        (None, None) => match (variable("GRID_BROKER"), variable("GRID_CONTEXT")) {
            (Some(address), _) => Place::Address(address),
            (None, Some(name)) => Place::Context(name),
            (None, None) => Place::Unsaid,
        },
    };
    let broker = Broker::connect(&context::address(&place)?, None).await?;
    let all = match wanted {
        Wanted::Appliance => {
            let begins = appliances(&broker, vec![format!("{prefix}*")]).await?;
            if !begins.is_empty() || prefix.is_empty() {
                return Ok(begins.into_iter().map(|(name, _)| name).collect());
            }
            // `db` begins the last part of `shop:main.db1`.
            let parts = vec![format!("*:{prefix}*"), format!("*.{prefix}*")];
            let parts = appliances(&broker, parts).await?;
            return Ok(parts.into_iter().map(|(name, _)| name).collect());
        }
        Wanted::Class => {
            appliances(&broker, Vec::new()).await?.into_iter().map(|(_, class)| class).collect()
        }
        Wanted::MailNumber | Wanted::Recipient => {
            let request = ListMailsRequest { page_size: NAMES_MAX, ..Default::default() };
            let page = broker.mails().list_mails(broker.question(request)).await?.into_inner();
            let mails = page.mails.into_iter().map(|mail| match wanted == Wanted::Recipient {
                true => mail.recipient,
                false => mail.number.to_string(),
            });
            mails.collect()
        }
        Wanted::Context => Vec::new(),
    };
    Ok(beginning(all, prefix))
}

/// Names and classes of appliances.
async fn appliances(
    broker: &Broker,
    patterns: Vec<String>,
) -> Result<Vec<(String, String)>, Failure> {
    if patterns.iter().any(|it| names::is_pattern(it.trim_matches('*'))) {
        return Ok(Vec::new());
    }
    let filter = Some(ApplianceFilter { names: patterns, ..ApplianceFilter::default() });
    let request = ListAppliancesRequest { filter, page_size: NAMES_MAX, ..Default::default() };
    let page = broker.appliances().list_appliances(broker.question(request)).await?.into_inner();
    Ok(page.appliances.into_iter().map(|it| (it.name, it.class)).collect())
}

fn beginning(mut names: Vec<String>, prefix: &str) -> Vec<String> {
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_known_by_the_place_of_the_cursor() {
        for (line, expected) in [
            ("appliance show", Some(Wanted::Appliance)),
            ("show", None),
            ("describe appliance", Some(Wanted::Appliance)),
            ("appliances stop db1", Some(Wanted::Appliance)),
            ("logs -f", Some(Wanted::Appliance)),
            ("log list --appliance", Some(Wanted::Appliance)),
            ("log list --since", None),
            ("log list --since 2h", Some(Wanted::Appliance)),
            ("appliance set db1 --class", Some(Wanted::Class)),
            ("appliance list --class", Some(Wanted::Class)),
            ("appliance add", None),
            ("alert show", Some(Wanted::Appliance)),
            ("alert show db1", None),
            ("mail show", Some(Wanted::MailNumber)),
            ("mail retry 1", Some(Wanted::MailNumber)),
            ("mail list", Some(Wanted::Recipient)),
            ("context use", Some(Wanted::Context)),
            ("--context", Some(Wanted::Context)),
            ("--broker h:1 appliance show", Some(Wanted::Appliance)),
            ("log show", None),
            ("status", Some(Wanted::Appliance)),
            ("appliance", None),
            ("logs", Some(Wanted::Appliance)),
            ("", None),
        ] {
            let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
            assert_eq!(typed(&words).wanted, expected, "{line}");
        }
        let words = ["--broker=h:1", "appliance", "show"].map(ToOwned::to_owned);
        assert_eq!(typed(&words).broker.as_deref(), Some("h:1"));
    }
}
