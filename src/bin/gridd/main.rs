//! The program `gridd`, the broker.
//!
//! Guarantees one of the documented exit codes, and errors on stderr. Knows only how to start the
//! daemon and which module runs each command.

mod arguments;
mod check_config;
mod init;
mod journal;

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode as ProcessExit;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use clap::Parser;
use grid_broker::config::{self, Settings, SettingsSources};
use grid_broker::daemon::{
    self, DaemonError, Diagnostics, Endpoints, FirstAdministrator, Reload, StartOptions,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::guru_meditation::{self, Warnings};
use grid_broker::identity::authenticator::AuthenticationMode;
use grid_broker::system_error::Explained;
use grid_broker::{diagnostic_sections, stderr, stdout, tasks, tracing_lines};

use rustix::fs::Mode;

use arguments::{GriddArguments, GriddCommand};

/// How long to wait for the greeting, so that later output follows it.
const GREETING_TIMEOUT: Duration = Duration::from_millis(200);

fn main() -> ProcessExit {
    let _last_lines = stderr::init();
    // First, since before that SIGUSR2 ends the process.
    let reporter = match guru_meditation::install(diagnostic_sections::package("gridd")) {
        Ok(reporter) => reporter,
        Err(error) => {
            return fail(&format!("cannot install diagnostic reports: {error}"), ExitCode::Failed);
        }
    };
    // Files that gridd creates are private: the data folder, and everything in it.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let arguments = match GriddArguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return stdout::finish_with("gridd", &error).into(),
    };
    if let Some(GriddCommand::Init(command)) = &arguments.command {
        return init::run(command, &arguments);
    }
    let mut given = settings_sources(&arguments);
    if let Some(GriddCommand::CheckConfig(command)) = arguments.command {
        given.config = command.file.clone().or(given.config);
        return check_config::run(&command, &given);
    }
    if arguments.command.is_none() {
        reporter.announce_sections(&diagnostic_sections::SECTIONS);
    }
    let settings = match Settings::new(&given) {
        Ok(settings) => settings,
        Err(errors) => return fail(&errors.to_string(), ExitCode::Usage),
    };
    if let Some(GriddCommand::Journal(command)) = &arguments.command {
        return journal::run(command, &settings.journal.dir);
    }
    let warnings = Warnings::default();
    let filter_handle =
        tracing_lines::init(&settings.tracing, settings.tracing_format, warnings.clone());
    let filter_handle = match filter_handle {
        Ok(handle) => handle,
        Err(error) => return fail(&format!("tracing: {error}"), ExitCode::Usage),
    };
    let reload = Reload { sources: given, log_filter: filter_handle };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_name("worker").enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(
                &format!("cannot start the async runtime: {}", Explained(&error)),
                ExitCode::Failed,
            );
        }
    };
    let start = StartOptions { ready_file: arguments.ready_file, new_ca: arguments.new_ca };
    let diagnostics = Diagnostics { reporter, warnings };
    let whole = guru_meditation::trace_root("gridd", async move {
        daemon::run(settings, diagnostics, reload, start, print_greeting).await
    });
    let ended = runtime.block_on(whole);
    // A thread that hangs on a disk must not delay the exit; nothing it does is acknowledged yet.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::Done.into(),
        Err(error) => {
            let code = exit_code_of(&error);
            fail(&error.to_string(), code)
        }
    }
}

/// The exit code of what prevents a start, or ends it.
fn exit_code_of(error: &DaemonError) -> ExitCode {
    match error {
        DaemonError::Listen { .. } | DaemonError::ReadyFile(_) => ExitCode::Usage,
        DaemonError::Start(_)
        | DaemonError::FirstAdministrator(_)
        | DaemonError::Journal(_)
        | DaemonError::LoopDied
        | DaemonError::MailSenderDied
        | DaemonError::UncleanShutdown(_)
        | DaemonError::Signals(_)
        | DaemonError::Tls(_)
        | DaemonError::AckKey(_)
        | DaemonError::Services(_) => ExitCode::Failed,
    }
}

/// The settings from flags and environment; each flag is a key of the same name.
fn settings_sources(arguments: &GriddArguments) -> SettingsSources {
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
        environment: variables.map(|(name, value)| (to_lossy_string(&name), value)).collect(),
    }
}

fn to_lossy_string(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

fn fail(text: &str, code: ExitCode) -> ProcessExit {
    for line in text.lines() {
        stderr::write_line(&format!("gridd: {line}"));
    }
    code.into()
}

/// Prints three lines: the addresses, the data folder, and what to type next. An unread pipe does
/// not keep gridd from serving.
fn print_greeting(place: &Endpoints) {
    let Endpoints { grpc, data_dir, term, last_record, first_administrator, .. } = place;
    let version = env!("CARGO_PKG_VERSION");
    let lines = format!(
        "gridd {version}: events on {grpc} ({}), pages on {}\n\
         data in {}, start {term}, {last_record} records; {}\n\
         next: {}\n",
        if place.grpc_tls { "gRPC with TLS" } else { "gRPC" },
        place.pages(),
        data_dir.display(),
        trust_of(place),
        next_commands(place),
    );
    let lines = match first_administrator {
        Some(FirstAdministrator::Token(token)) => format!(
            "{lines}\nThe first administrator is `admin`. The token is shown this once; `gridctl login` asks \
             for it:\n\n  {}\n\n",
            token.text()
        ),
        Some(FirstAdministrator::File(_)) | None => lines,
    };
    // In its own thread: a pipe that nobody reads would block the broker.
    let (sender, receiver) = sync_channel(1);
    let greeting = move || {
        if let Err(error) = stdout::write(&lines) {
            tracing::warn!("{error}");
        }
        let _ = sender.send(());
    };
    if tasks::spawn_thread("greeting", greeting).is_ok() {
        let _ = receiver.recv_timeout(GREETING_TIMEOUT);
    }
}

/// Whom the broker trusts, and how clients know it.
/// What to type next.
fn next_commands(place: &Endpoints) -> String {
    let Endpoints { grpc, pin, authentication, .. } = place;
    let gridctl = command_for("gridctl");
    let broker = if *grpc == config::DEFAULT_GRPC_ADDRESS {
        String::new()
    } else {
        format!(" --broker {grpc}")
    };
    match (authentication, pin) {
        (AuthenticationMode::Off, _) => {
            let vme = command_for("vme");
            format!("{vme}{broker} id=started_ok   and   {gridctl}{broker} log list")
        }
        (AuthenticationMode::Required, Some(pin)) if place.grpc_tls => {
            format!("{gridctl} login {} --pin {pin}", reachable(*grpc))
        }
        (AuthenticationMode::Required, _) => format!("{gridctl} login {}", reachable(*grpc)),
    }
}

/// An address of this machine at which a listener on all addresses is reached.
fn reachable(at: SocketAddr) -> SocketAddr {
    let host = match at.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        specific @ (IpAddr::V4(_) | IpAddr::V6(_)) => specific,
    };
    SocketAddr::new(host, at.port())
}

fn trust_of(place: &Endpoints) -> String {
    let trust = match place.authentication {
        AuthenticationMode::Off => "trusts everyone on loopback",
        AuthenticationMode::Required => "callers need credentials",
    };
    match place.pin {
        Some(pin) => format!("{trust}; TLS pin {pin}"),
        None => trust.to_owned(),
    }
}

/// How the user can start another program: from PATH, from the folder of this one, or with cargo.
fn command_for(name: &str) -> String {
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
