//! `gridd`: the broker.

#![expect(clippy::print_stderr, reason = "a program speaks to its user")]

mod check_config;
mod journal;

use std::ffi::OsStr;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode as ProcessExit;

use clap::{Parser, Subcommand};
use grid_broker::config::{self, Given, Settings};
use grid_broker::daemon::{self, DaemonError, Place, Telling};
use grid_broker::exit_code::ExitCode;
use grid_broker::{guru_meditation, report};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Layer};

const EXAMPLES: &str = "\
Examples:
  gridd
  gridd --config /etc/gridd.toml --data /var/lib/gridd
  gridd --grpc 127.0.0.1:0 --http 127.0.0.1:0 --ready-file /run/gridd/ready.json

  gridd check-config /etc/gridd.toml
  gridd journal check --data /var/lib/gridd

Exit codes: 0 stopped as asked, 1 something broke, 2 wrong usage or configuration.
SIGHUP reads the file again: what can change at once does, the rest is named.
It stops in good order on SIGTERM and Ctrl-C; what was acknowledged is durable at any moment.";

/// The event broker of a grid controller: takes the events of appliances, knows how their starts
/// stand, keeps the grid log.
#[derive(Debug, Parser)]
#[command(name = "gridd", version, after_help = EXAMPLES)]
struct Arguments {
    /// Settings; config/gridd.toml has every key with its default and reason
    #[arg(long, global = true, value_name = "FILE", env = "GRIDD_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder [default: ./gridd-data] [env: GRIDD_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Where appliances and administrators are heard [default: 127.0.0.1:7443] [env: GRIDD_GRPC]
    #[arg(long, value_name = "ADDR")]
    grpc: Option<String>,
    /// Where pages are served [default: 127.0.0.1:7480] [env: GRIDD_HTTP]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Write the addresses really bound there, as JSON, once it serves
    #[arg(long, value_name = "FILE", env = "GRIDD_READY_FILE")]
    ready_file: Option<PathBuf>,
    /// What gridd tells of itself on standard error: error, warn, info, debug, trace
    /// [default: info] [env: GRIDD_TRACING]
    #[arg(long, value_name = "FILTER")]
    tracing: Option<String>,
    /// What to do in place of running the broker.
    #[command(subcommand)]
    command: Option<Command>,
}

/// What `gridd` does besides being the broker.
#[derive(Debug, Subcommand)]
enum Command {
    /// Say whether the configuration is right, and which settings would hold
    #[command(after_help = check_config::HELP)]
    CheckConfig(check_config::Arguments),
    /// Look after a data folder that no broker is at work in: check, salvage, restore
    #[command(subcommand, after_help = journal::HELP)]
    Journal(journal::Command),
}

fn main() -> ProcessExit {
    // First of all: until then SIGUSR2 ends a process.
    let reporter = match guru_meditation::install(report::package("gridd")) {
        Ok(reporter) => reporter,
        Err(error) => return fail(&format!("no reports are possible: {error}"), ExitCode::Failed),
    };
    let arguments = Arguments::parse();
    let mut given = given(&arguments);
    if let Some(Command::CheckConfig(command)) = arguments.command {
        given.config = command.file.clone().or(given.config);
        return check_config::run(&command, &given);
    }
    let settings = match Settings::new(&given) {
        Ok(settings) => settings,
        Err(mistakes) => return fail(&mistakes.to_string(), ExitCode::Usage),
    };
    if let Some(Command::Journal(command)) = &arguments.command {
        return journal::run(command, &settings.journal.dir);
    }
    let filter = match EnvFilter::try_new(&settings.tracing) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("tracing: {error}"), ExitCode::Usage),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let warnings = guru_meditation::Warnings::default();
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(warnings.clone().with_filter(LevelFilter::WARN))
        .init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_name("worker").enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no threads to be had: {error}"), ExitCode::Failed),
    };
    let ready_file = arguments.ready_file;
    let telling = Telling { reporter, warnings };
    let whole = guru_meditation::root("gridd", async move {
        daemon::run(settings, telling, ready_file.as_deref(), greet).await
    });
    match runtime.block_on(whole) {
        Ok(()) => ExitCode::Done.into(),
        Err(error) => {
            let code = match &error {
                DaemonError::Listen { .. } | DaemonError::ReadyFile { .. } => ExitCode::Usage,
                DaemonError::Start(_)
                | DaemonError::Journal(_)
                | DaemonError::LoopDied
                | DaemonError::NoOrderlyStop(_)
                | DaemonError::Signals(_)
                | DaemonError::Services(_) => ExitCode::Failed,
            };
            fail(&error.to_string(), code)
        }
    }
}

/// What flags and environment say; each flag is a key of the same name.
fn given(arguments: &Arguments) -> Given {
    let Arguments { config, data, grpc, http, tracing, .. } = arguments;
    let flags = [("data", data), ("grpc", grpc), ("http", http), ("tracing", tracing)];
    let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
    let variables = std::env::vars_os();
    Given {
        config: config.clone(),
        flags: flags.collect(),
        environment: variables.map(|(name, value)| (lossy(&name), value)).collect(),
    }
}

fn lossy(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

fn fail(text: &str, code: ExitCode) -> ProcessExit {
    for line in text.lines() {
        eprintln!("gridd: {line}");
    }
    code.into()
}

/// Three lines: where it listens, where its data lies, what to type next. Nobody reading them is no
/// reason not to serve.
fn greet(place: &Place) {
    let Place { grpc, http, data, term, last_record } = place;
    let version = env!("CARGO_PKG_VERSION");
    let broker =
        if *grpc == config::DEFAULT_GRPC { String::new() } else { format!(" --broker {grpc}") };
    let lines = format!(
        "gridd {version}: events on {grpc} (gRPC), pages on http://{http}\n\
         data in {}, start {term}, {last_record} records; trusts everyone on loopback\n\
         next: {}{broker} id=started_ok   and   {}{broker} log list\n",
        data.display(),
        command("vme"),
        command("gridctl"),
    );
    let mut out = std::io::stdout();
    drop(out.write_all(lines.as_bytes()).and_then(|()| out.flush()));
}

/// How the user can start a program of ours: from the path, beside this one, or by cargo.
fn command(name: &str) -> String {
    let is_there = |folder: &Path| folder.join(name).is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|folder| is_there(&folder)) {
        return name.to_owned();
    }
    let own = std::env::current_exe().ok();
    match own.as_deref().and_then(Path::parent) {
        Some(folder) if is_there(folder) => {
            let here = std::env::current_dir().unwrap_or_default();
            folder.strip_prefix(&here).unwrap_or(folder).join(name).display().to_string()
        }
        Some(folder) if folder.ends_with("release") => {
            format!("cargo run -q --release --bin {name} --")
        }
        Some(_) | None => format!("cargo run -q --bin {name} --"),
    }
}
