//! `gridctl`: the administrator's command line.
//!
//! Guarantees one of the documented exit codes, answers on stdout, words about failures on stderr.
//! Knows nothing of the commands beyond where each is done.

mod alert;
mod appliance;
mod args;
mod broker;
mod csv;
mod duration;
mod failure;
mod follow;
mod form;
mod generate;
mod journal;
mod json;
mod listing;
mod log;
mod mail;
mod order;
mod owed;
mod record;
mod report;
mod standing;
mod status;
mod suggest;
mod table;
mod udl;
mod when;

use std::io::{self, BufWriter, Write};

use grid_broker::exit_code::ExitCode;
use grid_broker::guru_meditation;

use crate::args::{Args, Command, LogCommand};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::listing::Look;

fn main() -> std::process::ExitCode {
    // First of all: until then SIGUSR2 ends a process. Without reports it works all the same.
    if let Err(error) = guru_meditation::install(grid_broker::report::package("gridctl")) {
        say(&error.to_string());
    }
    let args = match args::read(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    let code = match run(&args) {
        Ok(()) => ExitCode::Done,
        Err(failure) => {
            if !failure.is_closed_output() {
                say(&failure.to_string());
            }
            failure.exit_code()
        }
    };
    code.into()
}

fn run(args: &Args) -> Result<(), Failure> {
    let look = Look::new(&args.global);
    let mut out = BufWriter::new(io::stdout().lock());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    let login = broker::login_name();
    let broker = || Broker::connect(&args.global.broker, login.as_deref());
    let out = &mut out;
    runtime.block_on(async {
        match &args.command {
            Command::Log(LogCommand::List(list)) => {
                log::list(&broker().await?, list, &look, out).await
            }
            Command::Appliance(command) => {
                appliance::run(&broker().await?, command, &look, out).await
            }
            Command::Alert(command) => alert::run(&broker().await?, command, &look, out).await,
            Command::Mail(command) => mail::run(&broker().await?, command, &look, out).await,
            Command::Journal(command) => journal::run(&broker().await?, command, &look, out).await,
            Command::Report { json } => report::show(&broker().await?, *json, out).await,
            Command::Status => status::show(&broker().await?, &look, out).await,
            Command::Generate { folder } => generate::run(folder, out),
        }
    })
}

/// Says something to the person at the terminal. Nobody there to hear it is no failure.
fn say(words: &str) {
    let _ = writeln!(io::stderr(), "gridctl: {words}");
}
