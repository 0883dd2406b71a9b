//! `gridctl generate`: writes man pages and shell completions of gridd, gridctl and vme.
//!
//! Guarantees that they agree with `--help`: both are derived from the clap commands. gridctl
//! writes those of all three programs, to keep vme small. Needs no broker and reads no clock: the
//! same build writes the same files.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::args::GridctlArgs;
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::{Column, TableCell};

/// The command line of gridd.
#[path = "../gridd/arguments.rs"]
mod gridd;

mod name_completion;
/// The command line of vme.
#[path = "../vme/arguments.rs"]
mod vme;

/// The arguments of an event that a shell can complete; other values are the appliance's own.
const EVENT_ARGS: [&str; 16] = [
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

/// Shells, and where each finds completions below `/usr/share`.
const SHELLS: [(Shell, &str, &str, &str); 3] = [
    (Shell::Bash, "bash-completion/completions", "", ""),
    (Shell::Zsh, "zsh/site-functions", "_", ""),
    (Shell::Fish, "fish/vendor_completions.d", "", ".fish"),
];

/// The programs, each with its manual section.
fn programs() -> [(Command, &'static str); 3] {
    let vme = vme::VmeArguments::command().mut_arg("words", |arg| arg.hide(false));
    [(gridd::GriddArguments::command(), "8"), (GridctlArgs::command(), "1"), (vme, "1")]
}

/// Writes all files below `folder`, in the layout of `/usr/share`, and prints their paths.
pub(crate) fn run(
    folder: &Path,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    // Only paths, also for people.
    let look = OutputOptions {
        has_titles: look.has_titles && !look.format.is_human_readable(),
        terminal_width: None,
        ..look.clone()
    };
    let mut listing = ListWriter::new(out, &look, view());
    for (program, section) in programs() {
        for (name, text) in man_pages(&program, section) {
            let path = folder.join(format!("man/man{section}")).join(name);
            listing.add(&[write(path, &text)?])?;
        }
        for (shell, directory, prefix, suffix) in SHELLS {
            let name = program.get_name().to_owned();
            let path = folder.join(directory).join(format!("{prefix}{name}{suffix}"));
            let mut text = Vec::new();
            clap_complete::generate(
                shell,
                &mut with_event_values(&program),
                name.clone(),
                &mut text,
            );
            if name == "gridctl" {
                let script = String::from_utf8_lossy(&text).into_owned();
                text = name_completion::add_names(shell, script).into_bytes();
            }
            listing.add(&[write(path, &text)?])?;
        }
    }
    Ok(listing.finish("")?)
}

/// A written file: only its path, also for people.
fn view() -> ItemView<PathBuf> {
    let form = |path: &PathBuf| {
        let name = path.display().to_string();
        OutputObject { kind: "file", fields: vec![("file", (&name).into())], name }
    };
    let cells =
        |path: &PathBuf, _: &OutputOptions| vec![TableCell::new(&path.display().to_string())];
    ItemView { columns: COLUMNS, cells, to_object: form }
}

const COLUMNS: &[Column] =
    &[Column { title: "file", width_min: 0, is_right_aligned: false, drop_priority: 0 }];

/// The program, with the arguments of events as values where it accepts them.
fn with_event_values(program: &Command) -> Command {
    let program = program.clone();
    if program.get_arguments().any(|argument| argument.get_id() == "words") {
        let words = PossibleValuesParser::new(EVENT_ARGS);
        return program.mut_arg("words", |argument| argument.value_parser(words));
    }
    program
}

/// A page for the program and one for each of its commands: file names and texts.
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
    pages.push((page.get_filename(), render_page(command, &page)));
    for below in command.get_subcommands() {
        add_pages(below, section, pages);
    }
}

/// Renders a page as the crate does, except for the text below the options: examples and tables
/// keep their lines.
fn render_page(command: &Command, page: &clap_mangen::Man) -> Vec<u8> {
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
    fn the_completed_arguments_are_those_of_events() {
        use grid_broker::event_args::parse;
        for word in EVENT_ARGS.iter().filter(|word| !word.ends_with('=')) {
            let words: &[&str] = match *word {
                "id=log" | "id=start_failed" | "id=alert" | "id=maintenance" => &[word, "msg=x"],
                word if word.starts_with("severity=") => &["id=log", "msg=x", word],
                word => &[word],
            };
            parse(words).unwrap();
        }
    }
}
