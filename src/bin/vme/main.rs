//! vme, the appliance's event generator: sends events to the broker and reports their outcome.
//!
//! Guarantees one line per event (on stdout if the broker accepted it, else on stderr) and a
//! matching exit code. Does not know the broker's rules.

mod agent;
mod answer;
mod arguments;
mod boot;
mod child;
mod drain;
mod errno;
mod error_line;
mod fate;
mod lines;
mod maintain;
mod notification;
mod notify;
mod notify_socket;
mod output;
mod pacing;
mod patience;
mod progress_line;
mod reason;
mod report;
mod run;
mod sender;
mod service_start;
mod speaker;
mod start_file;
mod start_script;
mod status;
mod telling;
mod voice;

use std::ffi::OsString;

use clap::Parser;
use grid_broker::event_words::{self, Spoken};
use grid_broker::exit_code::ExitCode;
use grid_broker::{guru_meditation, stderr, stdout};

use arguments::{Arguments, Command, SpoolArguments};
use speaker::Speaker;
use voice::Voice;

fn main() -> std::process::ExitCode {
    let _last_lines = stderr::begin();
    // First of all: until then SIGUSR2 ends the process. vme also works without reports.
    if let Err(error) = guru_meditation::install(grid_broker::report::package("vme")) {
        tell(&error.to_string());
    }
    let Arguments { options, words, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(shown) => return stdout::end_by("vme", &shown).into(),
    };
    let speaker = Speaker::new(&options, &|name| std::env::var_os(name));
    match command {
        None => {
            one_event(speaker.map_err(|errors| errors.iter().map(line).collect()), &words).into()
        }
        Some(command) => match speaker {
            Ok(speaker) => carry_out(command, Voice::new(speaker)),
            Err(errors) => {
                refuse(&errors.iter().map(line).collect::<Vec<_>>(), "nothing was done").into()
            }
        },
    }
}

fn line(error: &impl ToString) -> String {
    error.to_string()
}

/// Sends one event. If the call has errors, reports all of them at once and sends nothing.
fn one_event(config: Result<Speaker, Vec<String>>, arguments: &[OsString]) -> ExitCode {
    match (config, event_words::parse(arguments)) {
        (Ok(config), Ok(command)) => in_runtime(say(&Voice::new(config), &command)),
        (config, command) => {
            let mut errors = config.err().unwrap_or_default();
            errors.extend(command.err().iter().flat_map(|it| it.0.iter().map(line)));
            refuse(&errors, "nothing was sent")
        }
    }
}

fn refuse(errors: &[String], outcome: &str) -> ExitCode {
    for error in errors {
        tell(error);
    }
    tell(&format!("{outcome}; see `vme --help`"));
    ExitCode::Usage
}

/// Runs a subcommand. Some end with the exit code of the command that they ran.
fn carry_out(command: Command, sender: Voice) -> std::process::ExitCode {
    match command {
        Command::Run(arguments) => in_runtime(run::run(arguments, &sender)).into(),
        Command::Maintain(arguments) => in_runtime(maintain::maintain(arguments, &sender)),
        Command::Notify(arguments) => in_runtime(notify::notify(arguments, &sender)),
        Command::Agent(_) => in_runtime::<ExitCode>(agent::run(sender.into_speaker())).into(),
        Command::Spool(SpoolArguments { json }) => status::run(sender.speaker(), json).into(),
        Command::Drain => in_runtime::<ExitCode>(drain::run(sender.speaker())).into(),
    }
}

async fn say(sender: &Voice, command: &Spoken) -> ExitCode {
    for correction in &command.mendings {
        tell(&correction.to_string());
    }
    let result = sender.say(command).await;
    match result.exit_code {
        ExitCode::Done => {
            let written = stdout::write(&format!("vme: {}\n", result.line));
            return stdout::end("vme", written, ExitCode::Done);
        }
        ExitCode::Failed
        | ExitCode::Usage
        | ExitCode::Refused
        | ExitCode::Suppressed
        | ExitCode::Spooled
        | ExitCode::Unavailable
        | ExitCode::NotFound
        | ExitCode::Damaged => tell(&result.line),
    }
    result.exit_code
}

/// Runs a future on this thread.
pub(crate) fn in_runtime<T: From<ExitCode>>(work: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            child::endure_limits();
            work.await
        }),
        Err(error) => {
            tell(&format!("cannot start the async runtime: {error}"));
            ExitCode::Failed.into()
        }
    }
}

/// Writes a line to stderr. A reader that does not read it changes and delays nothing.
pub(crate) fn tell(line: &str) {
    stderr::say(&format!("vme: {line}"));
}
