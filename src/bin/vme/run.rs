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
use crate::child::{self, Running, Signals};
use crate::lines::LastLine;
use crate::output::{Passing, Stream};
use crate::reason;
use crate::start_file::StartFile;
use crate::start_script;
use crate::telling;
use crate::voice::Voice;

/// The vendor's path of the start script.
const SCRIPT: &str = "/etc/sysconfig/applogic_appliance";

/// What to run.
#[derive(Debug, PartialEq)]
enum Task {
    /// There is no script at the default path: the start is good.
    Nothing,
    /// This command line.
    Words(Vec<OsString>),
    /// A script that cannot be run, and why.
    Impossible(String),
}

/// Runs the command and reports the outcome of the start.
pub(crate) async fn run(arguments: RunArguments, voice: &Voice) -> ExitCode {
    let mut signals = Signals::listen();
    let outcome = match task(arguments, Path::new(SCRIPT)) {
        Task::Nothing => Ok(()),
        Task::Words(words) => start(&words, voice, &mut signals).await,
        Task::Impossible(why) => Err(reason::not_started(&why)),
    };
    telling::outcome(voice, outcome, &mut signals).await
}

fn task(arguments: RunArguments, usual_script: &Path) -> Task {
    if !arguments.command.is_empty() {
        return Task::Words(arguments.command);
    }
    let is_named = arguments.script.is_some();
    let script = arguments.script.unwrap_or_else(|| usual_script.to_owned());
    // The path itself, not a link's target: a dangling link is a missing script.
    let there = std::fs::symlink_metadata(&script);
    if !is_named && there.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Task::Nothing;
    }
    match start_script::words(script) {
        Ok(words) => Task::Words(words),
        Err(why) => Task::Impossible(why.to_string()),
    }
}

/// The summary and the copy of standard error.
struct Heard {
    last: LastLine,
    file: StartFile,
}

/// Runs the command line to its end; the error is the reason.
async fn start(words: &[OsString], voice: &Voice, signals: &mut Signals) -> Result<(), String> {
    let speaker = voice.speaker();
    let boot = speaker.boot.id(true).ok().and_then(|(boot, _)| boot);
    let file = StartFile::new(&speaker.state, boot);
    let heard = Arc::new(Mutex::new(Heard { last: LastLine::default(), file }));

    let mut command = child::command(words, speaker);
    command.stdin(Stdio::null());
    let hearing = Arc::clone(&heard);
    let stderr = Passing::of(&mut command, Stream::Stderr, move |piece| {
        let Some(piece) = piece else { return };
        let Heard { last, file } = &mut *hearing.lock().unwrap_or_else(PoisonError::into_inner);
        last.take(piece);
        if let Err(error) = file.take(piece) {
            crate::tell(&format!("cannot write {}: {}", file.path().display(), Explained(&error)));
        }
    });
    let stderr = stderr.map_err(|error| reason::not_started(&error))?;
    let (mut running, group) =
        Running::start(command).map_err(|error| reason::not_started(&error))?;
    let (end, asked) = running.wait_for_the_end(group, signals).await;
    if asked.is_some() {
        voice.hurry();
    }
    stderr.finish().await;

    let Heard { last, file } = &mut *heard.lock().unwrap_or_else(PoisonError::into_inner);
    let file = file.finish();
    if end.is_good() && asked.is_none() {
        return Ok(());
    }
    Err(reason::of_a_command(&last.words(), end, asked, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task_of(script: Option<&Path>, command: &[&str], usual: &Path) -> Task {
        let script = script.map(Path::to_owned);
        let command = command.iter().map(OsString::from).collect();
        task(RunArguments { script, command }, usual)
    }

    #[test]
    fn what_is_run_depends_on_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (there, missing) = (folder.path().join("script"), folder.path().join("missing"));
        std::fs::write(&there, "exit 0").unwrap();
        let sourced = |path: &Path| Task::Words(start_script::words(path.to_owned()).unwrap());
        assert_eq!(task_of(None, &[], &missing), Task::Nothing);
        assert_eq!(task_of(None, &[], &there), sourced(&there));
        assert_eq!(task_of(Some(&there), &[], &missing), sourced(&there));
        assert_eq!(task_of(None, &["true"], &there), Task::Words(vec!["true".into()]));
        for (script, why) in [(&missing, "does not exist"), (&folder.path().into(), "is a folder")]
        {
            let Task::Impossible(told) = task_of(Some(script), &[], &there) else {
                panic!("{script:?} is not a script");
            };
            assert!(told.ends_with(why), "{told}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&missing, &link).unwrap();
        let Task::Impossible(told) = task_of(None, &[], &link) else {
            panic!("a dangling link does not mean a start without a script");
        };
        assert!(told.ends_with("does not exist"), "{told}");
    }
}
