//! vme, the appliance's event generator: says one event to the broker, and what became of it.
//!
//! Guarantees one line about the event (on stdout when the broker was content, else on stderr) and
//! the exit code that says the same. Does not know the broker's rules.

mod answer;
mod arguments;
mod boot;
mod call;
mod report;

use std::io::Write;

use clap::Parser;
use grid_broker::exit_code::ExitCode;
use grid_broker::guru_meditation;

use arguments::Arguments;
use call::Call;

fn main() -> std::process::ExitCode {
    // First of all: until then SIGUSR2 ends a process. Without reports it works all the same.
    if let Err(error) = guru_meditation::install(grid_broker::report::package("vme")) {
        tell(&format!("vme: {error}"));
    }
    let arguments = Arguments::parse();
    match Call::new(&arguments, &|name| std::env::var_os(name)) {
        Ok(call) => say(&call).into(),
        Err(wrong) => {
            for line in wrong.to_string().lines() {
                tell(&format!("vme: {line}"));
            }
            tell("vme: nothing was sent; `vme --help` shows how it is said");
            ExitCode::Usage.into()
        }
    }
}

fn say(call: &Call) -> ExitCode {
    for mending in &call.spoken.mendings {
        tell(&format!("vme: {mending}"));
    }
    let request = match call.request() {
        Ok((request, doubt)) => {
            if let Some(doubt) = doubt {
                tell(&format!("vme: {doubt}"));
            }
            request
        }
        Err(error) => {
            tell(&format!("vme: {error}"));
            return ExitCode::Failed;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&format!("vme: the system gives no event queue: {error}"));
            return ExitCode::Failed;
        }
    };
    let subject = format!("{} of {}", call.spoken.name, call.appliance);
    match runtime.block_on(report::report(&call.way, request)) {
        Ok(response) => {
            let answer = answer::Answer::new(&response);
            let line = format!("vme: {subject} {}", answer.words);
            match answer.exit_code {
                // Nobody reading is no reason to call a kept event lost.
                ExitCode::Done => drop(writeln!(std::io::stdout(), "{line}")),
                ExitCode::Failed
                | ExitCode::Usage
                | ExitCode::Refused
                | ExitCode::Suppressed
                | ExitCode::Spooled
                | ExitCode::Unavailable
                | ExitCode::NotFound => tell(&line),
            }
            answer.exit_code
        }
        Err(failure) => {
            let words = failure.to_string();
            let words: Vec<&str> = words.lines().map(str::trim).collect();
            tell(&format!("vme: {subject} not acknowledged: {}", words.join("; ")));
            failure.exit_code()
        }
    }
}

/// Tells on stderr; that nobody reads it changes nothing.
fn tell(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
