//! `gridd`: the broker.

mod arguments;
mod check_config;
mod journal;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode as ProcessExit;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use clap::Parser;
use grid_broker::config::{self, Settings, SettingsSources};
use grid_broker::daemon::{self, DaemonError, Diagnostics, Endpoints, Reload};
use grid_broker::exit_code::ExitCode;
use grid_broker::guru_meditation::{self, Warnings};
use grid_broker::system_error::Explained;
use grid_broker::{diagnostic_sections, stderr, stdout, tasks, tracing_lines};

use rustix::fs::Mode;

use arguments::{GriddArguments, GriddCommand};

/// The greeting is waited for so long: what follows is seen behind it.
const BANNER_WITHIN: Duration = Duration::from_millis(200);

fn main() -> ProcessExit {
    let _last_lines = stderr::init();
    // First of all: until then SIGUSR2 ends a process.
    let reporter = match guru_meditation::install(diagnostic_sections::package("gridd")) {
        Ok(reporter) => reporter,
        Err(error) => return fail(&format!("no reports are possible: {error}"), ExitCode::Failed),
    };
    // What it makes is its own: the data folder, and all in it.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let arguments = match GriddArguments::try_parse() {
        Ok(arguments) => arguments,
        Err(shown) => return stdout::finish_with("gridd", &shown).into(),
    };
    let mut given = given(&arguments);
    if let Some(GriddCommand::CheckConfig(command)) = arguments.command {
        given.config = command.file.clone().or(given.config);
        return check_config::run(&command, &given);
    }
    if arguments.command.is_none() {
        reporter.announce(&diagnostic_sections::SECTIONS);
    }
    let settings = match Settings::new(&given) {
        Ok(settings) => settings,
        Err(mistakes) => return fail(&mistakes.to_string(), ExitCode::Usage),
    };
    if let Some(GriddCommand::Journal(command)) = &arguments.command {
        return journal::run(command, &settings.journal.dir);
    }
    let warnings = Warnings::default();
    let told = tracing_lines::init(&settings.tracing, settings.tracing_format, warnings.clone());
    let told = match told {
        Ok(told) => told,
        Err(error) => return fail(&format!("tracing: {error}"), ExitCode::Usage),
    };
    let reload = Reload { sources: given, log_filter: told };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_name("worker").enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&format!("no threads to be had: {}", Explained(&error)), ExitCode::Failed);
        }
    };
    let ready_file = arguments.ready_file;
    let telling = Diagnostics { reporter, warnings };
    let whole = guru_meditation::root("gridd", async move {
        daemon::run(settings, telling, reload, ready_file.as_deref(), print_banner).await
    });
    let ended = runtime.block_on(whole);
    // A thread that hangs on a disk must not hold up the end; nothing it does is promised yet.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::Done.into(),
        Err(error) => {
            let code = match &error {
                DaemonError::Listen { .. } | DaemonError::ReadyFile(_) => ExitCode::Usage,
                DaemonError::Start(_)
                | DaemonError::Journal(_)
                | DaemonError::LoopDied
                | DaemonError::MailSenderDied
                | DaemonError::UncleanShutdown(_)
                | DaemonError::Signals(_)
                | DaemonError::Services(_) => ExitCode::Failed,
            };
            fail(&error.to_string(), code)
        }
    }
}

/// What flags and environment say; each flag is a key of the same name.
fn given(arguments: &GriddArguments) -> SettingsSources {
    let GriddArguments { config, data, grpc, http, tracing, tracing_format, .. } = arguments;
    let flags = [
        ("data", data),
        ("grpc", grpc),
        ("http", http),
        ("tracing", tracing),
        ("tracing_format", tracing_format),
    ];
    let flags = flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
    let variables = std::env::vars_os();
    SettingsSources {
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
        stderr::write_line(&format!("gridd: {line}"));
    }
    code.into()
}

/// Three lines: where it listens, where its data lies, what to type next. Nobody reading them is no
/// reason not to serve.
fn print_banner(place: &Endpoints) {
    let Endpoints { grpc, http, data_dir: data, term, last_record } = place;
    let version = env!("CARGO_PKG_VERSION");
    let broker = if *grpc == config::DEFAULT_GRPC_ADDRESS {
        String::new()
    } else {
        format!(" --broker {grpc}")
    };
    let lines = format!(
        "gridd {version}: events on {grpc} (gRPC), pages on http://{http}\n\
         data in {}, start {term}, {last_record} records; trusts everyone on loopback\n\
         next: {}{broker} id=started_ok   and   {}{broker} log list\n",
        data.display(),
        command("vme"),
        command("gridctl"),
    );
    // By a thread of its own: a pipe that nobody reads would hold the broker up.
    let (tell, told) = sync_channel(1);
    let greeting = move || {
        if let Err(error) = stdout::write(&lines) {
            tracing::warn!("{error}");
        }
        let _ = tell.send(());
    };
    if tasks::spawn_thread("greeting", greeting).is_ok() {
        let _ = told.recv_timeout(BANNER_WITHIN);
    }
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
