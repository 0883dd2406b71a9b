//! The program `gridctl`, the administrator's command line.
//!
//! Guarantees one of the documented exit codes, results on stdout and errors on stderr. Knows only
//! which module runs each command.

mod access;
mod admin;
mod alert;
mod alert_view;
mod appliance;
mod appliance_view;
mod args;
mod attention;
mod bench;
mod complete;
mod connection;
mod context;
mod crash_dump;
mod credentials;
mod csv;
mod duration;
mod enrol;
mod enrolment;
mod error;
mod fields;
mod follow;
mod generate;
mod journal;
mod json;
mod key;
mod log;
mod login;
mod mail;
mod mail_view;
mod nagios;
mod names;
mod names_file;
mod output;
mod private_file;
mod prompt;
mod record_view;
mod refusal;
mod removal;
mod renewal;
mod report;
#[cfg(test)]
mod scripted_identity;
mod server_probe;
mod status;
mod subject;
mod suggest;
mod table;
#[cfg(test)]
mod test_line;
mod time_arg;
mod token;
mod token_view;
mod udl;
mod verify;
mod version;
mod watch;
mod whoami;
mod word_order;

use std::cell::OnceCell;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};

use grid_broker::exit_code::ExitCode;
use grid_broker::guru_meditation;

use crate::access::BrokerAccess;
use crate::args::{
    ApplianceCommand, ApplianceNames, GlobalArgs, GridctlArgs, GridctlCommand, JournalCommand,
    StatusArgs,
};
use crate::connection::Connection;
use crate::error::CliError;
use crate::output::OutputOptions;

fn main() -> std::process::ExitCode {
    // First, since before that SIGUSR2 ends the process. Everything else works without reports.
    if let Err(error) =
        guru_meditation::install(grid_broker::diagnostic_sections::package("gridctl"))
    {
        print_note(&error.to_string());
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|it| it == complete::COMMAND) {
        complete::run(&arguments[2..], &mut io::stdout());
        return ExitCode::Done.into();
    }
    let is_check = is_plugin_check(&arguments);
    let ended = match args::parse(arguments) {
        Ok(args) => run(&args),
        Err(error) => print_clap_error(&error, is_check),
    };
    match ended {
        Ok(code) => code.into(),
        Err(failure) => {
            if !failure.is_closed_output() {
                print_note(&failure.to_string());
            }
            // A Nagios plugin that cannot determine the state is not critical.
            let code = failure.exit_code() as u8;
            let code =
                if is_check && code != 0 { nagios::NagiosStatus::Unknown as u8 } else { code };
            code.into()
        }
    }
}

/// Whether these are the arguments of a Nagios plugin, and not of another command with that flag. A
/// line that cannot be parsed counts, too.
fn is_plugin_check(arguments: &[OsString]) -> bool {
    let has = |word: &str| arguments.iter().any(|it| it == word);
    has("--check") && !["crash-dump", "crash_dump", "crashdump"].into_iter().any(has)
}

/// Prints the message of clap: help and version are results, everything else is a usage error.
fn print_clap_error(error: &clap::Error, is_check: bool) -> Result<u8, CliError> {
    if error.use_stderr() {
        if is_check {
            let mut out = io::stdout();
            writeln!(out, "{}", nagios::usage_error_line(&error.to_string()))?;
            return Ok(nagios::NagiosStatus::Unknown as u8);
        }
        // A closed stderr is no additional failure.
        let _ = error.print();
        return Ok(ExitCode::Usage as u8);
    }
    error.print()?;
    io::stdout().flush()?;
    Ok(ExitCode::Done as u8)
}

fn run(args: &GridctlArgs) -> Result<u8, CliError> {
    let look = OutputOptions::new(&args.global);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut runtime = match sender_threads(&args.command) {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    let runtime = runtime.enable_all().build().map_err(CliError::Runtime)?;
    let broker = ChosenBroker { args, look: &look, resolved: OnceCell::new() };
    let done = runtime.block_on(run_command(args, &broker, &look, &mut out));
    done.map_err(|failure| {
        let address = if let GridctlCommand::Login(login) = &args.command {
            login.address.clone()
        } else {
            match context::resolve_address(&args.global.broker_choice) {
                Ok(address) => address,
                Err(_) => return failure,
            }
        };
        runtime.block_on(refusal::explain(failure, &address, broker.resolved.get()))
    })
}

/// How many threads the runtime has: more than one only for a load test that asks for them.
fn sender_threads(command: &GridctlCommand) -> usize {
    if let GridctlCommand::Bench(bench) = command {
        return usize::try_from(bench.threads).unwrap_or(1);
    }
    1
}

/// The broker that flags, environment and contexts choose.
struct ChosenBroker<'a> {
    args: &'a GridctlArgs,
    look: &'a OutputOptions,
    /// Once: a token on stdin is read once.
    resolved: OnceCell<BrokerAccess>,
}

impl ChosenBroker<'_> {
    fn access(&self) -> Result<&BrokerAccess, CliError> {
        if let Some(access) = self.resolved.get() {
            return Ok(access);
        }
        let GlobalArgs { broker_choice, identity, .. } = &self.args.global;
        let access = BrokerAccess::resolve(broker_choice, identity, connection::login_name())?;
        Ok(self.resolved.get_or_init(|| access))
    }

    async fn connect(&self) -> Result<Connection, CliError> {
        let access = self.access()?;
        renewal::renew_if_due(access, self.look).await?;
        Connection::connect(access).await
    }
}

async fn run_command(
    args: &GridctlArgs,
    broker: &ChosenBroker<'_>,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    match &args.command {
        GridctlCommand::Log(command) => {
            log::run(&broker.connect().await?, command, look, out).await?
        }
        GridctlCommand::Appliance(command) => {
            appliance::run(&broker.connect().await?, command, look, out).await?;
        }
        GridctlCommand::Alert(command) => {
            alert::run(&broker.connect().await?, command, look, out).await?
        }
        GridctlCommand::Mail(command) => {
            mail::run(&broker.connect().await?, command, look, out).await?
        }
        GridctlCommand::Journal(JournalCommand::Verify { file }) => verify::run(file, look, out)?,
        GridctlCommand::Journal(command) => {
            journal::run(&broker.connect().await?, command, look, out).await?;
        }
        GridctlCommand::Token(command) => {
            token::run(&broker.connect().await?, command, look, out).await?;
        }
        GridctlCommand::Key(command) => {
            key::run(&broker.connect().await?, command, look, out).await?
        }
        GridctlCommand::Admin(command) => {
            admin::run(&broker.connect().await?, command, look, out).await?;
        }
        GridctlCommand::Login(arguments) => {
            login::login(arguments, &args.global.identity, look, out).await?;
        }
        GridctlCommand::Logout(arguments) => {
            login::logout(arguments, &args.global.broker_choice, look, out).await?;
        }
        GridctlCommand::Whoami => whoami::show(&broker.connect().await?, look, out).await?,
        GridctlCommand::Report { json } => {
            report::show(&broker.connect().await?, *json, look, out).await?
        }
        GridctlCommand::Status(StatusArgs { check: true, .. }) => {
            let address = context::resolve_address(&args.global.broker_choice).unwrap_or_default();
            return Ok(nagios::run(broker.connect().await, &address, out).await? as u8);
        }
        GridctlCommand::Status(StatusArgs { names, .. }) if !names.is_empty() => {
            let show = ApplianceCommand::Show(ApplianceNames { names: names.clone() });
            appliance::run(&broker.connect().await?, &show, look, out).await?;
        }
        GridctlCommand::Status(_) => status::show(&broker.connect().await?, look, out).await?,
        GridctlCommand::Version => version::show(broker.connect().await, look, out).await?,
        GridctlCommand::Bench(bench) => bench::run(broker.access()?, bench, look, out).await?,
        GridctlCommand::Context(command) => {
            context::run(command, &args.global.broker_choice, look, out)?
        }
        GridctlCommand::Generate { folder } => generate::run(folder, look, out)?,
    }
    Ok(ExitCode::Done as u8)
}

/// Prints a note or an error to stderr. A closed stderr is no failure.
fn print_note(text: &str) {
    let _ = writeln!(io::stderr(), "gridctl: {text}");
}
