//! vme, the appliance's event generator: says events to the broker, and what became of them.
//!
//! Guarantees one line about an event (on stdout when the broker was content, else on stderr) and
//! the exit code that says the same. Does not know the broker's rules.

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
    // First of all: until then SIGUSR2 ends a process. Without reports it works all the same.
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
            one_event(speaker.map_err(|wrongs| wrongs.iter().map(line).collect()), &words).into()
        }
        Some(command) => match speaker {
            Ok(speaker) => carry_out(command, Voice::new(speaker)),
            Err(wrongs) => {
                refuse(&wrongs.iter().map(line).collect::<Vec<_>>(), "nothing was done").into()
            }
        },
    }
}

fn line(wrong: &impl ToString) -> String {
    wrong.to_string()
}

/// Says one event, unless something is wrong with the call; all that is wrong is told at once.
fn one_event(speaker: Result<Speaker, Vec<String>>, words: &[OsString]) -> ExitCode {
    match (speaker, event_words::parse(words)) {
        (Ok(speaker), Ok(spoken)) => in_runtime(say(&Voice::new(speaker), &spoken)),
        (speaker, spoken) => {
            let mut wrongs = speaker.err().unwrap_or_default();
            wrongs.extend(spoken.err().iter().flat_map(|it| it.0.iter().map(line)));
            refuse(&wrongs, "nothing was sent")
        }
    }
}

fn refuse(wrongs: &[String], outcome: &str) -> ExitCode {
    for wrong in wrongs {
        tell(wrong);
    }
    tell(&format!("{outcome}; `vme --help` shows how it is said"));
    ExitCode::Usage
}

/// Some commands end with the code of what they ran.
fn carry_out(command: Command, voice: Voice) -> std::process::ExitCode {
    match command {
        Command::Run(arguments) => in_runtime(run::run(arguments, &voice)).into(),
        Command::Maintain(arguments) => in_runtime(maintain::maintain(arguments, &voice)),
        Command::Notify(arguments) => in_runtime(notify::notify(arguments, &voice)),
        Command::Agent(_) => in_runtime::<ExitCode>(agent::run(voice.into_speaker())).into(),
        Command::Spool(SpoolArguments { json }) => status::run(voice.speaker(), json).into(),
        Command::Drain => in_runtime::<ExitCode>(drain::run(voice.speaker())).into(),
    }
}

async fn say(voice: &Voice, spoken: &Spoken) -> ExitCode {
    for mending in &spoken.mendings {
        tell(&mending.to_string());
    }
    let said = voice.say(spoken).await;
    match said.exit_code {
        ExitCode::Done => {
            let shown = stdout::write(&format!("vme: {}\n", said.line));
            return stdout::end("vme", shown, ExitCode::Done);
        }
        ExitCode::Failed
        | ExitCode::Usage
        | ExitCode::Refused
        | ExitCode::Suppressed
        | ExitCode::Spooled
        | ExitCode::Unavailable
        | ExitCode::NotFound
        | ExitCode::Damaged => tell(&said.line),
    }
    said.exit_code
}

/// Runs it on this thread.
pub(crate) fn in_runtime<T: From<ExitCode>>(work: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            child::endure_limits();
            work.await
        }),
        Err(error) => {
            tell(&format!("the system gives no event queue: {error}"));
            ExitCode::Failed.into()
        }
    }
}

/// Tells on stderr; that nobody reads it changes nothing, and holds nothing up.
pub(crate) fn tell(line: &str) {
    stderr::say(&format!("vme: {line}"));
}
