//! `vme run`: runs the start script of the vendor's kit, or any command, and reports the outcome.
//!
//! Guarantees that each run sends exactly one of `started_ok` and `start_failed`, the latter with
//! the last line of standard error, and that a start which cannot be checked is a failed one. Does
//! not know what the script does.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use grid_broker::exit_code::ExitCode;
use grid_broker::system_error::Explained;

use crate::arguments::RunArguments;
use crate::capture::failure_reason;
use crate::capture::line_splitter::OutputSummarizer;
use crate::capture::stderr_file::StderrFile;
use crate::capture::tee::{OutputStream, TeeStream};
use crate::child::{self, RunningChild, SignalListener};
use crate::event_sender::EventSender;
use crate::report_task;
use crate::start_script;

/// The vendor's path of the start script.
const DEFAULT_SCRIPT: &str = "/etc/sysconfig/applogic_appliance";

/// What to run.
#[derive(Debug, PartialEq)]
enum StartTask {
    /// There is no script at the default path: the start is good.
    Nothing,
    /// This command line.
    Command(Vec<OsString>),
    /// A script that cannot be run, and why.
    Unrunnable(String),
}

/// Runs the command and reports the outcome of the start.
pub(crate) async fn run(arguments: RunArguments, sender: &EventSender) -> ExitCode {
    let mut signals = SignalListener::listen();
    let outcome = match choose_task(arguments, Path::new(DEFAULT_SCRIPT)) {
        StartTask::Nothing => Ok(()),
        StartTask::Command(command_line) => run_start(&command_line, sender, &mut signals).await,
        StartTask::Unrunnable(why) => Err(failure_reason::spawn_failure(&why)),
    };
    report_task::send_outcome(sender, outcome, &mut signals).await
}

fn choose_task(arguments: RunArguments, usual_script: &Path) -> StartTask {
    if !arguments.command.is_empty() {
        return StartTask::Command(arguments.command);
    }
    let is_named = arguments.script.is_some();
    let script = arguments.script.unwrap_or_else(|| usual_script.to_owned());
    // The path itself, not a link's target: a dangling link is a missing script.
    let found = std::fs::symlink_metadata(&script);
    if !is_named && found.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return StartTask::Nothing;
    }
    match start_script::command_line(script) {
        Ok(command_line) => StartTask::Command(command_line),
        Err(why) => StartTask::Unrunnable(why.to_string()),
    }
}

/// The summary and the copy of standard error.
struct StderrTail {
    summarizer: OutputSummarizer,
    file: StderrFile,
}

/// Runs the command line to its end; the error is the reason.
async fn run_start(
    command_line: &[OsString],
    sender: &EventSender,
    signals: &mut SignalListener,
) -> Result<(), String> {
    let config = sender.config();
    let boot = config.boot.id(true).ok().and_then(|(boot, _)| boot);
    let file = StderrFile::new(&config.state_folder, boot);
    let captured =
        Arc::new(Mutex::new(StderrTail { summarizer: OutputSummarizer::default(), file }));

    let mut command = child::child_command(command_line, config);
    command.stdin(Stdio::null());
    let shared = Arc::clone(&captured);
    let stderr = TeeStream::attach(&mut command, OutputStream::Stderr, move |chunk| {
        let Some(chunk) = chunk else { return };
        let StderrTail { summarizer, file } =
            &mut *shared.lock().unwrap_or_else(PoisonError::into_inner);
        summarizer.push(chunk);
        if let Err(error) = file.append(chunk) {
            crate::print_line(&format!(
                "cannot write {}: {}",
                file.path().display(),
                Explained(&error)
            ));
        }
    });
    let stderr = stderr.map_err(|error| failure_reason::spawn_failure(&error))?;
    let (mut running, group) =
        RunningChild::start(command).map_err(|error| failure_reason::spawn_failure(&error))?;
    let (end, stop_signal) = running.wait_forwarding_signals(group, signals).await;
    if stop_signal.is_some() {
        sender.shorten_deadline();
    }
    stderr.finish().await;

    let StderrTail { summarizer, file } =
        &mut *captured.lock().unwrap_or_else(PoisonError::into_inner);
    let file = file.sync();
    if end.is_success() && stop_signal.is_none() {
        return Ok(());
    }
    Err(failure_reason::command_failure(&summarizer.summary(), end, stop_signal, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task_for(script: Option<&Path>, command: &[&str], usual: &Path) -> StartTask {
        let script = script.map(Path::to_owned);
        let command = command.iter().map(OsString::from).collect();
        choose_task(RunArguments { script, command }, usual)
    }

    #[test]
    fn the_task_depends_on_options_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let (found, missing) = (folder.path().join("script"), folder.path().join("missing"));
        std::fs::write(&found, "exit 0").unwrap();
        let sourced =
            |path: &Path| StartTask::Command(start_script::command_line(path.to_owned()).unwrap());
        assert_eq!(task_for(None, &[], &missing), StartTask::Nothing);
        assert_eq!(task_for(None, &[], &found), sourced(&found));
        assert_eq!(task_for(Some(&found), &[], &missing), sourced(&found));
        assert_eq!(task_for(None, &["true"], &found), StartTask::Command(vec!["true".into()]));
        for (script, why) in [(&missing, "does not exist"), (&folder.path().into(), "is a folder")]
        {
            let StartTask::Unrunnable(text) = task_for(Some(script), &[], &found) else {
                panic!("{script:?} is not a script");
            };
            assert!(text.ends_with(why), "{text}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&missing, &link).unwrap();
        let StartTask::Unrunnable(text) = task_for(None, &[], &link) else {
            panic!("a dangling link does not mean a start without a script");
        };
        assert!(text.ends_with("does not exist"), "{text}");
    }
}
