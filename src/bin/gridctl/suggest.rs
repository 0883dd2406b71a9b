//! What was probably meant by a command that is none?
//!
//! clap suggests what is near among the commands of one level. This adds what it cannot know: a verb
//! that needs its noun, with or without a slip in it, and slips too short for clap's measure. Every
//! other error stays as clap has it.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use grid_broker::show::escape::excerpt;
use grid_broker::show::nearest::nearest;

/// The error, in words that help more where there are such.
pub(crate) fn better(command: &mut Command, error: Error) -> Error {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let nouns = with_verb(command, typed);
    if !nouns.is_empty() {
        let words = format!("{typed} what? {}", one_of(&nouns));
        return command.error(ErrorKind::InvalidSubcommand, words);
    }
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return error;
    }
    let Some(meant) = meant(command, typed) else { return error };
    let words = format!("there is no command `{}`; did you mean {meant}?", excerpt(typed));
    command.error(ErrorKind::InvalidSubcommand, words)
}

/// The commands of that verb, each with its noun.
fn with_verb(command: &Command, verb: &str) -> Vec<String> {
    command
        .get_subcommands()
        .filter(|noun| noun.get_name() != "help" && noun.find_subcommand(verb).is_some())
        .map(|noun| format!("`gridctl {} {verb}`", noun.get_name()))
        .collect()
}

fn meant(command: &Command, typed: &str) -> Option<String> {
    let nouns: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    if let Some(noun) = nearest(typed, &nouns) {
        return Some(format!("`gridctl {noun}`"));
    }
    let verbs: Vec<&str> = command
        .get_subcommands()
        .flat_map(Command::get_subcommands)
        .map(Command::get_name)
        .collect();
    let verb = nearest(typed, &verbs)?;
    Some(one_of(&with_verb(command, verb)))
}

/// `a`, `a or b`, `a, b or c`.
fn one_of(commands: &[String]) -> String {
    match commands {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
