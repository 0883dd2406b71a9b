//! Suggests what was probably meant by a word that is none.
//!
//! Guarantees that a suggestion is near what was typed and no more harmful: every command and flag
//! either only reads or acts, and what acts is suggested for a slip of the finger in its own name
//! alone, never for another word. So no question leads to an act. Replaces clap's measure, which
//! knows neither. Which commands act is told by [`READING`]: what is not in it acts.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use grid_broker::show::escape::excerpt;
use grid_broker::show::suggest::suggest;

use crate::word_order::places_of_words;

/// Commands that change nothing, neither at the broker nor in a file; groups alone list.
const READING: &[&[&str]] = &[
    &["log"],
    &["log", "list"],
    &["log", "show"],
    &["appliance"],
    &["appliance", "list"],
    &["appliance", "show"],
    &["alert"],
    &["alert", "list"],
    &["alert", "show"],
    &["mail"],
    &["mail", "list"],
    &["mail", "show"],
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
const ACTING_FLAGS: [&str; 2] = ["force", "all"];

/// The error, with suggestions that help more and do no harm.
pub(crate) fn better(command: &mut Command, arguments: &[OsString], mut error: Error) -> Error {
    let kind = error.kind();
    if kind == ErrorKind::InvalidSubcommand {
        return no_such_command(command, arguments, error);
    }
    if kind == ErrorKind::InvalidValue {
        let typed = text_of(&error, ContextKind::InvalidValue);
        let valid = match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(valid)) => valid.clone(),
            _ => Vec::new(),
        };
        let valid: Vec<&str> = valid.iter().map(String::as_str).collect();
        let near = typed.as_deref().and_then(|typed| suggest(typed, &valid));
        suggest_correction(&mut error, ContextKind::SuggestedValue, near);
    }
    if kind == ErrorKind::UnknownArgument {
        let typed = text_of(&error, ContextKind::InvalidArg).unwrap_or_default();
        let asked = innermost(command, arguments).0;
        let flag = near_flag(asked, &typed).map(|flag| format!("--{flag}"));
        // clap's usage has the flag that it would have suggested.
        let usage = ContextValue::StyledStr(asked.clone().render_usage());
        error.insert(ContextKind::Usage, usage);
        suggest_correction(&mut error, ContextKind::SuggestedArg, flag.as_deref());
        error.remove(ContextKind::SuggestedSubcommand);
    }
    error
}

fn text_of(error: &Error, kind: ContextKind) -> Option<String> {
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

fn near_flag(command: &Command, typed: &str) -> Option<String> {
    let typed = typed.trim_start_matches('-').split('=').next().unwrap_or_default();
    let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
    let flags: Vec<&str> = flags.filter_map(clap::Arg::get_long).collect();
    near(typed, &flags, |flag| ACTING_FLAGS.contains(&flag)).map(ToOwned::to_owned)
}

/// The nearest of the words that only read, or that which acts and was mistyped.
fn near<'a>(typed: &str, words: &[&'a str], acts: impl Fn(&str) -> bool) -> Option<&'a str> {
    if let Some(slip) = words.iter().find(|word| is_slip(typed, word)) {
        return Some(slip);
    }
    let reading: Vec<&str> = words.iter().copied().filter(|word| !acts(word)).collect();
    suggest(typed, &reading)
}

/// Whether `typed` is `known` with two neighbouring letters changed over, one left out or one
/// doubled, but for the first: slips of the finger. Another letter in the place of one makes another
/// word (`text` is not `test`, `shop` not `stop`), and short words are all near each other.
fn is_slip(typed: &str, known: &str) -> bool {
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

/// The command that the words lead to, and its path.
fn innermost<'a>(command: &'a Command, arguments: &[OsString]) -> (&'a Command, Vec<&'a str>) {
    let (mut found, mut path) = (command, Vec::new());
    for at in places_of_words(command, arguments) {
        let Some(next) = arguments[at].to_str().and_then(|word| found.find_subcommand(word)) else {
            break;
        };
        found = next;
        path.push(next.get_name());
    }
    (found, path)
}

fn acts(path: &[&str]) -> bool {
    !READING.contains(&path)
}

fn no_such_command(command: &mut Command, arguments: &[OsString], error: Error) -> Error {
    let Some(typed) = text_of(&error, ContextKind::InvalidSubcommand) else { return error };
    let (within, path) = innermost(command, arguments);
    let nouns = with_verb(command, &typed);
    if path.is_empty() && !nouns.is_empty() {
        let words = format!("{} what? {}", excerpt(&typed), one_of(&nouns));
        return command.error(ErrorKind::InvalidSubcommand, words);
    }
    let asked = [&path[..], &[&typed]].concat().join(" ");
    let meant = meant(within, &path, &typed);
    let hint = meant.map_or_else(|| all(within, &path), |it| format!("did you mean {it}?"));
    let words = format!("there is no command `{}`; {hint}", excerpt(&asked));
    within.clone().error(ErrorKind::InvalidSubcommand, words)
}

fn commands(command: &Command) -> Vec<&str> {
    let shown = command.get_subcommands().filter(|it| !it.is_hide_set());
    shown.map(Command::get_name).filter(|name| *name != "help").collect()
}

/// The commands of that verb, each with its noun.
fn with_verb(command: &Command, verb: &str) -> Vec<String> {
    command
        .get_subcommands()
        .filter(|noun| noun.get_name() != "help")
        .filter_map(|noun| Some((noun.get_name(), noun.find_subcommand(verb)?.get_name())))
        .filter(|(_, verb)| *verb != "help")
        .map(|(noun, verb)| format!("`gridctl {noun} {verb}`"))
        .collect()
}

/// The command that was meant, or those of a verb that was.
fn meant(within: &Command, path: &[&str], typed: &str) -> Option<String> {
    let command_acts = |name: &str| acts(&[path, &[name]].concat());
    if let Some(name) = near(typed, &commands(within), command_acts) {
        let whole = [&["gridctl"], path, &[name]].concat().join(" ");
        return Some(format!("`{whole}`"));
    }
    if !path.is_empty() {
        return None;
    }
    let groups = within.get_subcommands();
    let pairs = groups.flat_map(|noun| commands(noun).into_iter().map(|it| (noun.get_name(), it)));
    let pairs: Vec<(&str, &str)> = pairs.collect();
    let verbs: Vec<&str> = pairs.iter().map(|(_, verb)| *verb).collect();
    // A verb that acts with any noun acts.
    let verb_acts = |verb: &str| pairs.iter().any(|(noun, it)| *it == verb && acts(&[noun, it]));
    let verb = near(typed, &verbs, verb_acts)?;
    Some(one_of(&with_verb(within, verb)))
}

/// Which commands there are.
fn all(within: &Command, path: &[&str]) -> String {
    let owner = [&["gridctl"], path].concat().join(" ");
    let names: Vec<String> = commands(within).into_iter().map(ToOwned::to_owned).collect();
    let names = names.split_last().map_or_else(String::new, |(last, others)| match others {
        [] => last.clone(),
        others => format!("{} and {last}", others.join(", ")),
    });
    format!("`{owner}` has {names}")
}

/// `a`, `a or b`, `a, b or c`.
fn one_of(commands: &[String]) -> String {
    match commands {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests;
