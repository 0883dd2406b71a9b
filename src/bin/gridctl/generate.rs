//! `gridctl generate`: man pages and shell completions of gridd, gridctl and vme.
//!
//! They are made of the command lines themselves, so they cannot say anything else than `--help`.
//! gridctl does it for all three, to keep vme small. Asks no broker, and reads no clock: the same
//! build writes the same files.

mod names;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::args::GridctlArgs;
use crate::error::CliError;
use crate::fields::FieldObject;
use crate::output::{ListWriter, OutputOptions, View};
use crate::table::{Column, TableCell};

/// What gridd takes.
#[path = "../gridd/arguments.rs"]
mod gridd;

/// What vme takes.
#[path = "../vme/arguments.rs"]
mod vme;

/// The words of an event that a shell can complete; what is said behind them is the appliance's.
const EVENT_WORDS: [&str; 16] = [
    "id=started_ok",
    "id=start_failed",
    "id=maintenance",
    "id=log",
    "id=alert",
    "msg=",
    "severity=debug",
    "severity=info",
    "severity=warn",
    "severity=error",
    "severity=fatal",
    "progress=",
    "cnt_name=",
    "cnt_value=",
    "next_report_within=",
    "text=",
];

/// Shells, and where each looks for a command's completions below `/usr/share`.
const SHELLS: [(Shell, &str, &str, &str); 3] = [
    (Shell::Bash, "bash-completion/completions", "", ""),
    (Shell::Zsh, "zsh/site-functions", "_", ""),
    (Shell::Fish, "fish/vendor_completions.d", "", ".fish"),
];

/// The programs, and the section of the manual that each is in.
fn programs() -> [(Command, &'static str); 3] {
    let vme = vme::VmeArguments::command().mut_arg("words", |arg| arg.hide(false));
    [(gridd::GriddArguments::command(), "8"), (GridctlArgs::command(), "1"), (vme, "1")]
}

/// Writes all of them below `folder`, as they belong below `/usr/share`, and tells which.
pub(crate) fn run(
    folder: &Path,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    // Paths alone, for people too.
    let look = OutputOptions {
        titles: look.titles && !look.format.is_for_people(),
        screen: None,
        ..look.clone()
    };
    let mut listing = ListWriter::new(out, &look, shape());
    for (program, section) in programs() {
        for (name, text) in man_pages(&program, section) {
            let path = folder.join(format!("man/man{section}")).join(name);
            listing.add(&[write(path, &text)?])?;
        }
        for (shell, place, before, behind) in SHELLS {
            let name = program.get_name().to_owned();
            let path = folder.join(place).join(format!("{before}{name}{behind}"));
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut completable(&program), name.clone(), &mut text);
            if name == "gridctl" {
                let script = String::from_utf8_lossy(&text).into_owned();
                text = names::with_names(shell, script).into_bytes();
            }
            listing.add(&[write(path, &text)?])?;
        }
    }
    Ok(listing.finish("")?)
}

/// A file that was written: its path alone, for people too.
fn shape() -> View<PathBuf> {
    let form = |path: &PathBuf| {
        let name = path.display().to_string();
        FieldObject { entity: "file", fields: vec![("file", (&name).into())], name }
    };
    let cells =
        |path: &PathBuf, _: &OutputOptions| vec![TableCell::new(&path.display().to_string())];
    View { columns: FILES, cells, object: form }
}

const FILES: &[Column] = &[Column { title: "file", least: 0, to_the_right: false, drop: 0 }];

/// The program with the words of events as values, where it takes them.
fn completable(program: &Command) -> Command {
    let program = program.clone();
    if program.get_arguments().any(|argument| argument.get_id() == "words") {
        let words = PossibleValuesParser::new(EVENT_WORDS);
        return program.mut_arg("words", |argument| argument.value_parser(words));
    }
    program
}

/// A page for the program and one for each of its commands: their files' names, their texts.
fn man_pages(program: &Command, section: &str) -> Vec<(String, Vec<u8>)> {
    let mut program = program.clone().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add_pages(&program, section, &mut pages);
    pages
}

fn add_pages(command: &Command, section: &str, pages: &mut Vec<(String, Vec<u8>)>) {
    let version = concat!("Grid Broker ", env!("CARGO_PKG_VERSION"));
    let page = clap_mangen::Man::new(command.clone())
        .section(section)
        .source(version)
        .manual("Grid Broker");
    pages.push((page.get_filename(), rendered(command, &page)));
    for below in command.get_subcommands() {
        add_pages(below, section, pages);
    }
}

/// As the crate renders a page, but for what stands below the options: examples and tables keep
/// their lines.
fn rendered(command: &Command, page: &clap_mangen::Man) -> Vec<u8> {
    let mut text = Vec::new();
    let parts = [
        clap_mangen::Man::render_title,
        clap_mangen::Man::render_name_section,
        clap_mangen::Man::render_synopsis_section,
        clap_mangen::Man::render_description_section,
        clap_mangen::Man::render_options_section,
    ];
    for part in parts {
        // Writing to memory does not fail.
        let _ = part(page, &mut text);
    }
    if command.has_subcommands() {
        let _ = page.render_subcommands_section(&mut text);
    }
    if let Some(notes) = command.get_after_help() {
        text.extend_from_slice(b".SH \"NOTES AND EXAMPLES\"\n.nf\n");
        for line in notes.to_string().lines() {
            let line = line.replace('\\', "\\e").replace('-', "\\-");
            let begin = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
            text.extend_from_slice(format!("{begin}{line}\n").as_bytes());
        }
        text.extend_from_slice(b".fi\n");
    }
    text
}

fn write(path: PathBuf, text: &[u8]) -> Result<PathBuf, CliError> {
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&path, text));
    match written {
        Ok(()) => Ok(path),
        Err(source) => Err(CliError::Generate { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(program: &str, command: &Command, checked: &mut u32) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let example = format!("\n  {program} ");
        assert!(
            help.contains("Example")
                && (help.contains(&example) || help.contains(example.trim_end())),
            "`{program} {}` has no example: {help}",
            command.get_name()
        );
        assert!(command.get_about().is_some(), "`{program} {}`", command.get_name());
        *checked += 1;
        for below in command.get_subcommands().filter(|it| it.get_name() != "help") {
            check(program, below, checked);
        }
    }

    #[test]
    fn every_command_of_every_program_helps_with_an_example() {
        let mut checked = 0;
        for (program, _) in programs() {
            program.clone().debug_assert();
            let name = program.get_name().to_owned();
            check(&name, &program, &mut checked);
        }
        assert!(checked >= 20, "{checked} commands");
    }

    #[test]
    fn the_words_that_a_shell_completes_are_those_of_events() {
        use grid_broker::event_args::parse;
        for word in EVENT_WORDS.iter().filter(|word| !word.ends_with('=')) {
            let words: &[&str] = match *word {
                "id=log" | "id=start_failed" | "id=alert" | "id=maintenance" => &[word, "msg=x"],
                word if word.starts_with("severity=") => &["id=log", "msg=x", word],
                word => &[word],
            };
            parse(words).unwrap();
        }
    }
}
