//! vme, the appliance's event generator: sends events to the broker and reports their outcome.
//!
//! Guarantees one line per event (on stdout if the broker accepted it, else on stderr) and a
//! matching exit code. Does not know the broker's rules.

mod agent;
mod appliance_access;
mod arguments;
mod boot;
pub mod capture;
mod child;
mod config;
mod crash_dump;
mod drain;
mod event_sender;
mod identity;
mod maintain;
mod notify;
mod outcome;
mod outcome_text;
mod pacing;
mod progress_line;
mod report_task;
mod run;
mod sender;
mod spool_command;
mod start_script;
mod stop_deadline;
mod unary;

use std::ffi::OsString;

use clap::Parser;
use grid_broker::event_args;
use grid_broker::event_args::EventCommand;
use grid_broker::exit_code::ExitCode;
use grid_broker::{guru_meditation, stderr, stdout};

use crate::config::{ClientConfig, Environment};
use crate::crash_dump::CrashDumpConfig;
use crate::event_sender::EventSender;
use crate::identity::enrol::Enrolment;
use crate::identity::renewal;
use arguments::{
    AgentArguments, EnrolArguments, Options, SpoolArguments, VmeArguments, VmeCommand,
};

fn main() -> std::process::ExitCode {
    let _last_lines = stderr::init();
    // First of all: until then SIGUSR2 ends the process. vme also works without reports.
    if let Err(error) = guru_meditation::install(grid_broker::diagnostic_sections::package("vme")) {
        print_line(&error.to_string());
    }
    let VmeArguments { options, words, command } = match VmeArguments::try_parse() {
        Ok(arguments) => arguments,
        Err(shown) => return stdout::finish_with("vme", &shown).into(),
    };
    let environment = |name: &str| std::env::var_os(name);
    // It is about the identity, which the configuration of the other commands is made of.
    if let Some(VmeCommand::Enrol(arguments)) = &command {
        return enrol(&options, arguments, &environment).into();
    }
    let config = ClientConfig::new(&options, &environment);
    match command {
        None => {
            send_one_event(config.map_err(|errors| errors.iter().map(to_line).collect()), &words)
                .into()
        }
        Some(command) => match config {
            Ok(config) => run_command(command, EventSender::new(config)),
            Err(errors) => report_usage_errors(
                &errors.iter().map(to_line).collect::<Vec<_>>(),
                "nothing was done",
            )
            .into(),
        },
    }
}

/// Enrols this host.
fn enrol(options: &Options, arguments: &EnrolArguments, environment: Environment) -> ExitCode {
    let state = config::parse_state_folder(options, environment);
    let timeout = config::parse_timeout(options);
    let (state, within) = match (state, timeout) {
        (Ok(state), Ok(within)) => (state, within),
        (state, timeout) => {
            let errors = state.err().into_iter().chain(timeout.err());
            let errors: Vec<_> = errors.map(|error| to_line(&error)).collect();
            return report_usage_errors(&errors, "nothing was done");
        }
    };
    let token_file = config::given_token_file(options, environment);
    let name = arguments.name.clone().or_else(|| config::given_name(options, environment));
    in_runtime::<ExitCode>(identity::enrol::run(&Enrolment {
        state: &state,
        token_file: token_file.as_deref(),
        name: name.as_deref(),
        is_forced: arguments.force,
        address: &arguments.address,
        within,
    }))
}

fn to_line(error: &impl ToString) -> String {
    error.to_string()
}

/// Sends one event. If the call has errors, reports all of them at once and sends nothing.
fn send_one_event(config: Result<ClientConfig, Vec<String>>, arguments: &[OsString]) -> ExitCode {
    match (config, event_args::parse(arguments)) {
        (Ok(config), Ok(command)) => {
            let sender = EventSender::new(config);
            in_runtime(and_renew(&sender, send_event(&sender, &command)))
        }
        (config, command) => {
            let mut errors = config.err().unwrap_or_default();
            errors.extend(command.err().iter().flat_map(|it| it.0.iter().map(to_line)));
            report_usage_errors(&errors, "nothing was sent")
        }
    }
}

fn report_usage_errors(errors: &[String], outcome: &str) -> ExitCode {
    for error in errors {
        print_line(error);
    }
    print_line(&format!("{outcome}; see `vme --help`"));
    ExitCode::Usage
}

/// Runs a subcommand. Some end with the exit code of the command that they ran.
fn run_command(command: VmeCommand, sender: EventSender) -> std::process::ExitCode {
    match command {
        VmeCommand::Run(arguments) => {
            in_runtime(and_renew(&sender, run::run(arguments, &sender))).into()
        }
        VmeCommand::Maintain(arguments) => {
            in_runtime(and_renew(&sender, maintain::maintain(arguments, &sender)))
        }
        VmeCommand::Notify(arguments) => {
            in_runtime(and_renew(&sender, notify::notify(arguments, &sender)))
        }
        VmeCommand::Agent(arguments) => run_agent(&arguments, sender).into(),
        VmeCommand::Spool(SpoolArguments { json }) => {
            spool_command::run(sender.config(), json).into()
        }
        VmeCommand::Enrol(_) => unreachable!("it needs no configuration"),
        VmeCommand::Drain => in_runtime::<ExitCode>(drain::run(sender.config())).into(),
    }
}

fn run_agent(arguments: &AgentArguments, sender: EventSender) -> ExitCode {
    match CrashDumpConfig::new(arguments, &|name| std::env::var_os(name)) {
        Ok(crash_dumps) => in_runtime(agent::run(sender.into_config(), crash_dumps)),
        Err(errors) => {
            report_usage_errors(&errors.iter().map(to_line).collect::<Vec<_>>(), "nothing was done")
        }
    }
}

/// Does the work of a call, and renews the certificate after it, if that is due. An agent renews it
/// itself.
async fn and_renew<T>(sender: &EventSender, work: impl Future<Output = T>) -> T {
    let done = work.await;
    if let Some(folder) = sender.config().target.access.identity_folder() {
        renewal::renew_after_call(folder).await;
    }
    done
}

async fn send_event(sender: &EventSender, command: &EventCommand) -> ExitCode {
    for correction in &command.corrections {
        print_line(&correction.to_string());
    }
    let result = sender.send(command).await;
    match result.exit_code {
        ExitCode::Done => {
            let written = stdout::write(&format!("vme: {}\n", result.line));
            return stdout::finish("vme", written, ExitCode::Done);
        }
        ExitCode::Failed
        | ExitCode::Usage
        | ExitCode::Refused
        | ExitCode::Suppressed
        | ExitCode::Spooled
        | ExitCode::Unavailable
        | ExitCode::NotFound
        | ExitCode::Damaged => print_line(&result.line),
    }
    result.exit_code
}

/// Runs a future on this thread.
pub(crate) fn in_runtime<T: From<ExitCode>>(work: impl Future<Output = T>) -> T {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(async {
            child::survive_limit_signals();
            work.await
        }),
        Err(error) => {
            print_line(&format!("cannot start the async runtime: {error}"));
            ExitCode::Failed.into()
        }
    }
}

/// Writes a line to stderr. A reader that does not read it changes and delays nothing.
pub(crate) fn print_line(line: &str) {
    stderr::write_line(&format!("vme: {line}"));
}
