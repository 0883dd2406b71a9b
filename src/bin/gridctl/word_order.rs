//! Accepts noun and verb in either order: `list log` is `log list`, as in the vendor's tool.
//!
//! Guarantees that only existing pairs are swapped, and that nothing else changes; global flags may
//! come before and between. Takes nouns, verbs and flags from the clap commands.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// Puts the noun first.
pub(crate) fn noun_first(command: &Command, mut arguments: Vec<OsString>) -> Vec<OsString> {
    let mut words = positional_indexes(command, &arguments).into_iter();
    let Some(mut first) = words.next() else { return arguments };
    if arguments[first] == "help" {
        let Some(next) = words.next() else { return arguments };
        first = next;
    }
    let Some(second) = words.next() else { return arguments };
    let (verb, noun) = (arguments[first].to_str(), arguments[second].to_str());
    if let (Some(verb), Some(noun)) = (verb, noun)
        && command.find_subcommand(verb).is_none()
        && command.find_subcommand(noun).is_some_and(|noun| noun.find_subcommand(verb).is_some())
    {
        arguments.swap(first, second);
    }
    arguments
}

/// Indexes of the first three words that are neither flags nor their values. Stops at a flag that
/// is not global.
pub(crate) fn positional_indexes(command: &Command, arguments: &[OsString]) -> Vec<usize> {
    let mut indexes = Vec::new();
    let mut index = 1;
    while index < arguments.len() && indexes.len() < 3 {
        let Some(text) = arguments[index].to_str() else { break };
        if !text.starts_with('-') {
            indexes.push(index);
            index += 1;
            continue;
        }
        let Some(takes_next) = takes_next_argument(command, text) else { break };
        index += if takes_next { 2 } else { 1 };
    }
    indexes
}

/// Whether the value of a global flag is the next argument; `None` if the flag is not global.
fn takes_next_argument(command: &Command, text: &str) -> Option<bool> {
    let has_value = |it: &&Arg| matches!(it.get_action(), ArgAction::Set | ArgAction::Append);
    if let Some(flag) = text.strip_prefix("--").filter(|flag| !flag.is_empty()) {
        let name = flag.split('=').next().unwrap_or(flag);
        let is_named = |it: &&Arg| {
            it.get_long() == Some(name)
                || it.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
        };
        let known = command.get_arguments().find(is_named)?;
        return Some(has_value(&known) && !flag.contains('='));
    }
    // `-qo json`: in combined flags, the first one with a value takes the rest.
    let mut letters = text.strip_prefix('-')?.chars();
    let mut known = None;
    while let Some(letter) = letters.next() {
        let flag = command.get_arguments().find(|it| it.get_short() == Some(letter))?;
        known = Some(has_value(&flag) && letters.as_str().is_empty());
        if has_value(&flag) {
            break;
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::GridctlArgs;

    fn normalized(line: &str) -> String {
        let arguments = line.split(' ').map(OsString::from).collect();
        let turned = noun_first(&GridctlArgs::command(), arguments);
        turned.iter().map(|it| it.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn noun_and_verb_may_stand_in_either_order() {
        for (typed, meant) in [
            ("gridctl list log", "gridctl log list"),
            ("gridctl log list", "gridctl log list"),
            ("gridctl list log -f --since 2h", "gridctl log list -f --since 2h"),
            ("gridctl show appliance db1", "gridctl appliance show db1"),
            ("gridctl boot appliance list", "gridctl appliance boot list"),
            ("gridctl --broker h:1 --batch list log", "gridctl --broker h:1 --batch log list"),
            ("gridctl --output=json list log", "gridctl --output=json log list"),
            ("gridctl list --color never log", "gridctl log --color never list"),
            ("gridctl help list log", "gridctl help log list"),
        ] {
            assert_eq!(normalized(typed), meant);
        }
    }

    #[test]
    fn whatever_is_no_pair_stays_as_typed() {
        for typed in [
            "gridctl",
            "gridctl list",
            "gridctl status",
            "gridctl lsit log",
            "gridctl boot log",
            "gridctl --broker list log",
            "gridctl --nonsense list log",
            "gridctl -- list log",
            "gridctl appliance show log",
        ] {
            assert_eq!(normalized(typed), typed);
        }
    }
}
