//! Rewrites command lines in the style of other tools before clap parses them.
//!
//! Noun and verb may be swapped (`list log`), a group without a verb lists (`log -f`), `get NAME`
//! shows, `logs NAME` lists its records, `show NAME` shows an appliance. Guarantees that no line is
//! rewritten into a command that changes something: such a verb must be typed as it is. Takes
//! nouns, verbs and flags from the clap commands.

use std::ffi::OsString;

use clap::Command as Clap;

use grid_broker::show::suggest::suggest;

use super::{
    AlertList, AlertVerb, ApplianceCommand, ApplianceList, ApplianceNames, GridctlCommand,
    LogCommand, LogList, MailList, MailSubcommand,
};
use crate::word_order::{noun_first, positional_indexes};

/// Verbs that show one thing of any kind; without a noun, an appliance.
const SHOW_VERBS: [&str; 4] = ["show", "describe", "inspect", "get"];

/// Returns the rewritten arguments, and whether their verb was `get`.
pub(crate) fn normalize(command: &Clap, arguments: Vec<OsString>) -> (Vec<OsString>, bool) {
    let mut arguments = with_implied_noun(command, noun_first(command, arguments));
    let words = positional_indexes(command, &arguments);
    let text = |index: Option<&usize>| index.and_then(|at| arguments[*at].to_str());
    let Some(group) = text(words.first()).and_then(|noun| command.find_subcommand(noun)) else {
        return (arguments, false);
    };
    let verb = text(words.get(1));
    let is_got = verb == Some("get");
    let is_help = group.get_name() == "help";
    if group.has_subcommands()
        && !is_help
        && !requests_help(&arguments)
        && is_list_implied(group, verb)
    {
        arguments.insert(words[0] + 1, "list".into());
    }
    (arguments, is_got)
}

/// Whether `list` is implied after the group's name. The word after `logs` is an appliance, as in
/// docker and kubectl, unless it looks like a mistyped verb.
fn is_list_implied(group: &Clap, verb: Option<&str>) -> bool {
    let Some(verb) = verb else { return true };
    let verbs: Vec<&str> = group.get_subcommands().map(Clap::get_name).collect();
    group.get_name() == "log"
        && verb != "help"
        && group.find_subcommand(verb).is_none()
        && suggest(verb, &verbs).is_none()
}

fn requests_help(arguments: &[OsString]) -> bool {
    arguments.iter().any(|it| it == "--help" || it == "-h")
}

/// Rewrites `show db1` as `appliance show db1`: a verb that shows, followed by a name.
fn with_implied_noun(command: &Clap, mut arguments: Vec<OsString>) -> Vec<OsString> {
    let words = positional_indexes(command, &arguments);
    let [verb, name, ..] = words[..] else { return arguments };
    let (Some(first), Some(name)) = (arguments[verb].to_str(), arguments[name].to_str()) else {
        return arguments;
    };
    let nouns: Vec<&str> = command.get_subcommands().map(Clap::get_name).collect();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
    let is_typo = suggest(name, &nouns).is_some() || command.find_subcommand(name).is_some();
    if SHOW_VERBS.contains(&first) && is_name && !is_typo {
        arguments.insert(verb, "appliance".into());
    }
    arguments
}

/// Resolves `get`: it lists, unless exactly one thing is named and there are no flags.
pub(super) fn resolve_get(command: GridctlCommand) -> GridctlCommand {
    match command {
        GridctlCommand::Appliance(ApplianceCommand::List(list)) if is_single_name(&list.names) => {
            let ApplianceList { names, state, class, suppressed, flags } = list;
            if state.is_empty() && class.is_empty() && !suppressed && flags == Default::default() {
                return GridctlCommand::Appliance(ApplianceCommand::Show(ApplianceNames { names }));
            }
            let list = ApplianceList { names, state, class, suppressed, flags };
            GridctlCommand::Appliance(ApplianceCommand::List(list))
        }
        GridctlCommand::Alert(AlertVerb::List(list))
            if is_single_name(&list.names)
                && *list == AlertList { names: list.names.clone(), ..AlertList::default() } =>
        {
            let subject = list.names.concat();
            GridctlCommand::Alert(AlertVerb::Show { subject, kind: None })
        }
        GridctlCommand::Mail(MailSubcommand::List(list)) => {
            match parse_numbers(&list.recipients)[..] {
                [number]
                    if list
                        == MailList {
                            recipients: list.recipients.clone(),
                            ..MailList::default()
                        } =>
                {
                    GridctlCommand::Mail(MailSubcommand::Show { number })
                }
                _ => GridctlCommand::Mail(MailSubcommand::List(list)),
            }
        }
        GridctlCommand::Log(LogCommand::List(list)) => resolve_get_records(list),
        other @ (GridctlCommand::Appliance(_)
        | GridctlCommand::Alert(_)
        | GridctlCommand::Mail(_)
        | GridctlCommand::Log(_)
        | GridctlCommand::Journal(_)
        | GridctlCommand::Token(_)
        | GridctlCommand::Key(_)
        | GridctlCommand::Admin(_)
        | GridctlCommand::Login(_)
        | GridctlCommand::Logout(_)
        | GridctlCommand::Whoami
        | GridctlCommand::Report { .. }
        | GridctlCommand::Status(_)
        | GridctlCommand::Version
        | GridctlCommand::Bench(_)
        | GridctlCommand::Context(_)
        | GridctlCommand::Generate { .. }) => other,
    }
}

fn resolve_get_records(list: Box<LogList>) -> GridctlCommand {
    let numbers = parse_numbers(&list.choice.names);
    if numbers.is_empty() {
        return GridctlCommand::Log(LogCommand::List(list));
    }
    GridctlCommand::Log(LogCommand::Show { numbers })
}

/// The words as numbers, if all of them are.
fn parse_numbers(words: &[String]) -> Vec<u64> {
    words.iter().map(|word| word.parse().ok()).collect::<Option<_>>().unwrap_or_default()
}

fn is_single_name(names: &[String]) -> bool {
    matches!(names, [one] if !crate::names::is_pattern(one))
}
