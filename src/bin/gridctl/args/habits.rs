//! What is typed by habit, turned into what is meant, before clap reads it.
//!
//! Noun and verb may change places (`list log`), a group alone lists (`log -f`), `get NAME` shows,
//! `logs NAME` lists of it, `show NAME` shows an appliance. Guarantees that nothing is ever turned
//! into a command that acts: a verb that acts stands where and as it was typed. Knows nouns, verbs
//! and flags from the commands themselves.

use std::ffi::OsString;

use clap::Command as Clap;

use grid_broker::show::suggest::suggest;

use super::{
    AlertCommand, AlertList, ApplianceCommand, ApplianceList, GridctlCommand, LogCommand, LogList,
    MailList, MailSubcommand, NameArgs,
};
use crate::word_order::{noun_first, places_of_words};

/// Verbs that show one thing whatever it is; without a noun, an appliance.
const SHOW_VERBS: [&str; 4] = ["show", "describe", "inspect", "get"];

/// The arguments as they are meant, and whether their verb was `get`.
pub(crate) fn normalize(command: &Clap, arguments: Vec<OsString>) -> (Vec<OsString>, bool) {
    let mut arguments = with_noun(command, noun_first(command, arguments));
    let words = places_of_words(command, &arguments);
    let text = |place: Option<&usize>| place.and_then(|at| arguments[*at].to_str());
    let Some(group) = text(words.first()).and_then(|noun| command.find_subcommand(noun)) else {
        return (arguments, false);
    };
    let verb = text(words.get(1));
    let is_got = verb == Some("get");
    let is_help = group.get_name() == "help";
    if group.has_subcommands() && !is_help && !asks_for_help(&arguments) && lists(group, verb) {
        arguments.insert(words[0] + 1, "list".into());
    }
    (arguments, is_got)
}

/// Whether `list` is to be thought behind the group's name. What follows `logs` is an appliance, as
/// with docker and kubectl, unless it looks like a slip of a verb.
fn lists(group: &Clap, verb: Option<&str>) -> bool {
    let Some(verb) = verb else { return true };
    let verbs: Vec<&str> = group.get_subcommands().map(Clap::get_name).collect();
    group.get_name() == "log"
        && verb != "help"
        && group.find_subcommand(verb).is_none()
        && suggest(verb, &verbs).is_none()
}

fn asks_for_help(arguments: &[OsString]) -> bool {
    arguments.iter().any(|it| it == "--help" || it == "-h")
}

/// `show db1` as `appliance show db1`: a verb that shows, and a name behind it.
fn with_noun(command: &Clap, mut arguments: Vec<OsString>) -> Vec<OsString> {
    let words = places_of_words(command, &arguments);
    let [verb, name, ..] = words[..] else { return arguments };
    let (Some(first), Some(name)) = (arguments[verb].to_str(), arguments[name].to_str()) else {
        return arguments;
    };
    let nouns: Vec<&str> = command.get_subcommands().map(Clap::get_name).collect();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
    let is_slip = suggest(name, &nouns).is_some() || command.find_subcommand(name).is_some();
    if SHOW_VERBS.contains(&first) && is_name && !is_slip {
        arguments.insert(verb, "appliance".into());
    }
    arguments
}

/// What `get` means: the list, unless it names one thing and nothing else.
pub(super) fn got(command: GridctlCommand) -> GridctlCommand {
    match command {
        GridctlCommand::Appliance(ApplianceCommand::List(list)) if is_one(&list.names) => {
            let ApplianceList { names, state, class, suppressed, flags } = list;
            if state.is_empty() && class.is_empty() && !suppressed && flags == Default::default() {
                return GridctlCommand::Appliance(ApplianceCommand::Show(NameArgs { names }));
            }
            let list = ApplianceList { names, state, class, suppressed, flags };
            GridctlCommand::Appliance(ApplianceCommand::List(list))
        }
        GridctlCommand::Alert(AlertCommand::List(mut list))
            if is_one(&list.names)
                && list == AlertList { names: list.names.clone(), ..AlertList::default() } =>
        {
            let name = list.names.remove(0);
            GridctlCommand::Alert(AlertCommand::Show { name, matter: None })
        }
        GridctlCommand::Mail(MailSubcommand::List(list)) => match numbers(&list.recipients)[..] {
            [number]
                if list
                    == MailList { recipients: list.recipients.clone(), ..MailList::default() } =>
            {
                GridctlCommand::Mail(MailSubcommand::Show { number })
            }
            _ => GridctlCommand::Mail(MailSubcommand::List(list)),
        },
        GridctlCommand::Log(LogCommand::List(list)) => got_records(list),
        other @ (GridctlCommand::Appliance(_)
        | GridctlCommand::Alert(_)
        | GridctlCommand::Mail(_)
        | GridctlCommand::Log(_)
        | GridctlCommand::Journal(_)
        | GridctlCommand::Report { .. }
        | GridctlCommand::Status(_)
        | GridctlCommand::Version
        | GridctlCommand::Context(_)
        | GridctlCommand::Generate { .. }) => other,
    }
}

fn got_records(list: Box<LogList>) -> GridctlCommand {
    let numbers = numbers(&list.names);
    if numbers.is_empty() {
        return GridctlCommand::Log(LogCommand::List(list));
    }
    GridctlCommand::Log(LogCommand::Show { numbers })
}

/// The numbers, if all are.
fn numbers(words: &[String]) -> Vec<u64> {
    words.iter().map(|word| word.parse().ok()).collect::<Option<_>>().unwrap_or_default()
}

fn is_one(names: &[String]) -> bool {
    matches!(names, [one] if !crate::names::is_pattern(one))
}
