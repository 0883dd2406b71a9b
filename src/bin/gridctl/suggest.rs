//! Suggests commands, flags and values for unknown words.
//!
//! Guarantees that a suggestion is similar to the typed word and no more harmful: a command or flag
//! that changes something is suggested only for a typo of its own name, never for another word. So
//! a query never leads to a change. Replaces clap's suggestions, which know neither. All commands
//! that are not in [`READ_ONLY_COMMANDS`] change something.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use grid_broker::show::escape::excerpt;
use grid_broker::show::suggest::suggest;

use crate::word_order::positional_indexes;

/// Commands that change nothing, neither in the broker nor in a file; a group without a verb lists.
const READ_ONLY_COMMANDS: &[&[&str]] = &[
    &["log"],
    &["log", "list"],
    &["log", "show"],
    &["log", "histogram"],
    &["log", "explain"],
    &["appliance"],
    &["appliance", "list"],
    &["appliance", "show"],
    &["appliance", "crash-dumps"],
    &["alert"],
    &["alert", "list"],
    &["alert", "show"],
    &["alert", "explain"],
    &["mail"],
    &["mail", "list"],
    &["mail", "show"],
    &["token"],
    &["token", "list"],
    &["key"],
    &["key", "list"],
    &["admin"],
    &["admin", "list"],
    &["whoami"],
    &["journal"],
    &["journal", "show"],
    &["journal", "verify"],
    &["context"],
    &["context", "list"],
    &["context", "show"],
    &["report"],
    &["status"],
    &["version"],
];

/// Flags that make a command do more.
const ACTING_FLAGS: [&str; 5] = ["force", "all", "replace", "revoke", "yes"];

/// The error with better and harmless suggestions.
pub(crate) fn with_suggestions(
    command: &mut Command,
    arguments: &[OsString],
    mut error: Error,
) -> Error {
    let kind = error.kind();
    if kind == ErrorKind::InvalidSubcommand {
        return no_such_command(command, arguments, error);
    }
    if kind == ErrorKind::InvalidValue {
        let typed = context_text(&error, ContextKind::InvalidValue);
        let valid = match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(valid)) => valid.clone(),
            _ => Vec::new(),
        };
        let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
        let near = typed.as_deref().and_then(|typed| suggest(typed, &valid));
        suggest_correction(&mut error, ContextKind::SuggestedValue, near);
    }
    if kind == ErrorKind::UnknownArgument {
        let typed = context_text(&error, ContextKind::InvalidArg).unwrap_or_default();
        let innermost_command = innermost_command(command, arguments).0;
        let flag = similar_flag(innermost_command, &typed).map(|flag| format!("--{flag}"));
        // clap's usage contains the flag that it would have suggested.
        let usage = ContextValue::StyledStr(innermost_command.clone().render_usage());
        error.insert(ContextKind::Usage, usage);
        suggest_correction(&mut error, ContextKind::SuggestedArg, flag.as_deref());
        error.remove(ContextKind::SuggestedSubcommand);
    }
    error
}

fn context_text(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    }
}

fn suggest_correction(error: &mut Error, kind: ContextKind, meant: Option<&str>) {
    error.remove(kind);
    if let Some(meant) = meant {
        error.insert(kind, ContextValue::String(meant.to_owned()));
    }
}

fn similar_flag(command: &Command, typed: &str) -> Option<String> {
    let typed = typed.trim_start_matches('-').split('=').next().unwrap_or_default();
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
    let flags: Vec<&str> = flags.filter_map(clap::Arg::get_long).collect();
    similar_safe(typed, &flags, |flag| ACTING_FLAGS.contains(&flag)).map(ToOwned::to_owned)
}

/// The most similar word that only reads, or a word that changes something and was mistyped.
fn similar_safe<'a>(
    typed: &str,
    words: &[&'a str],
    acts: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    if let Some(typo) = words.iter().find(|word| is_typo(typed, word)) {
        return Some(typo);
    }
    let reading: Vec<&str> = words.iter().copied().filter(|word| !acts(word)).collect();
    suggest(typed, &reading)
}

/// Whether `typed` is a typo of `known`: two adjacent letters swapped, one left out or one doubled,
/// except for the first. A different letter makes another word (`text` is not `test`, `shop` not
/// `stop`), and short words are all similar to each other.
fn is_typo(typed: &str, known: &str) -> bool {
    let typed: Vec<char> = typed.to_lowercase().replace('_', "-").chars().collect();
    let known: Vec<char> = known.chars().collect();
    if known.len() < 4 || typed.len() < 3 || typed[0] != known[0] {
        return false;
    }
    let without = |word: &[char], at: usize| [&word[..at], &word[at + 1..]].concat();
    let swapped = || {
        (1..known.len() - 1).any(|at| {
            let mut known = known.clone();
            known.swap(at, at + 1);
            known == typed
        })
    };
    let doubled =
        || (1..typed.len()).any(|at| typed[at] == typed[at - 1] && without(&typed, at) == known);
    typed != known
        && ((1..known.len()).any(|at| without(&known, at) == typed) || doubled() || swapped())
}

/// The innermost command that the words name, and its path.
fn innermost_command<'a>(
    command: &'a Command,
    arguments: &[OsString],
) -> (&'a Command, Vec<&'a str>) {
    let (mut found, mut path) = (command, Vec::new());
    for at in positional_indexes(command, arguments) {
        let Some(next) = arguments[at].to_str().and_then(|word| found.find_subcommand(word)) else {
            break;
        };
        found = next;
        path.push(next.get_name());
    }
    (found, path)
}

fn changes_something(path: &[&str]) -> bool {
    !READ_ONLY_COMMANDS.contains(&path)
}

fn no_such_command(command: &mut Command, arguments: &[OsString], error: Error) -> Error {
    let Some(typed) = context_text(&error, ContextKind::InvalidSubcommand) else { return error };
    let (within, path) = innermost_command(command, arguments);
    let nouns = commands_with_verb(command, &typed);
    if path.is_empty() && !nouns.is_empty() {
        let message = format!("{} what? {}", excerpt(&typed), join_alternatives(&nouns));
        return command.error(ErrorKind::InvalidSubcommand, message);
    }
    let unknown = [&path[..], &[&typed]].concat().join(" ");
    let meant = suggested_command(within, &path, &typed);
    let hint =
        meant.map_or_else(|| list_commands(within, &path), |it| format!("did you mean {it}?"));
    let message = format!("there is no command `{}`; {hint}", excerpt(&unknown));
    within.clone().error(ErrorKind::InvalidSubcommand, message)
}

fn visible_commands(command: &Command) -> Vec<&str> {
    let shown = command.get_subcommands().filter(|it| !it.is_hide_set());
    shown.map(Command::get_name).filter(|name| *name != "help").collect()
}

/// The commands with this verb, each with its noun.
fn commands_with_verb(command: &Command, verb: &str) -> Vec<String> {
    command
        .get_subcommands()
        .filter(|noun| noun.get_name() != "help")
        .filter_map(|noun| Some((noun.get_name(), noun.find_subcommand(verb)?.get_name())))
        .filter(|(_, verb)| *verb != "help")
        .map(|(noun, verb)| format!("`gridctl {noun} {verb}`"))
        .collect()
}

/// The most similar command, or those of the most similar verb.
fn suggested_command(within: &Command, path: &[&str], typed: &str) -> Option<String> {
    let command_acts = |name: &str| changes_something(&[path, &[name]].concat());
    if let Some(name) = similar_safe(typed, &visible_commands(within), command_acts) {
        let whole = [&["gridctl"], path, &[name]].concat().join(" ");
        return Some(format!("`{whole}`"));
    }
    if !path.is_empty() {
        return None;
    }
    let groups = within.get_subcommands();
    let pairs =
        groups.flat_map(|noun| visible_commands(noun).into_iter().map(|it| (noun.get_name(), it)));
    let pairs: Vec<(&str, &str)> = pairs.collect();
    let verbs: Vec<&str> = pairs.iter().map(|(_, verb)| *verb).collect();
    // A verb that changes something with any noun counts as changing.
    let verb_acts =
        |verb: &str| pairs.iter().any(|(noun, it)| *it == verb && changes_something(&[noun, it]));
    let verb = similar_safe(typed, &verbs, verb_acts)?;
    Some(join_alternatives(&commands_with_verb(within, verb)))
}

/// Lists the available commands.
fn list_commands(within: &Command, path: &[&str]) -> String {
    let owner = [&["gridctl"], path].concat().join(" ");
    let names: Vec<String> = visible_commands(within).into_iter().map(ToOwned::to_owned).collect();
    let names = names.split_last().map_or_else(String::new, |(last, others)| match others {
        [] => last.clone(),
        others => format!("{} and {last}", others.join(", ")),
    });
    format!("`{owner}` has {names}")
}

/// `a`, `a or b`, `a, b or c`.
fn join_alternatives(commands: &[String]) -> String {
    match commands {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests;
