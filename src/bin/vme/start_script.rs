//! Builds the command line of a start script: a shell that sources it, or its interpreter.
//!
//! ```text
//! no #! line, or #!/bin/sh     /bin/sh sources it, as in the vendor's kit
//! #! names another shell       that shell sources it, with the options of the line
//! #! names another program     that program runs it, as the kernel would
//! ```
//!
//! In a sourced script both `exit` and `return` set the outcome. Guarantees that a script which
//! cannot be run as its first line asks is rejected with a reason: no shell continues after a line
//! that it does not understand. Does not know what the script does.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use grid_broker::show::escape;

/// Sources a script without a `#!` line.
const SHELL: &str = "/bin/sh";

/// The shell's command: `$0` is the script's path, and there are no arguments.
const SOURCE: &str = ". \"$0\"";

/// Shells that support `.` and `-c`.
const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "yash", "zsh"];

/// How much of the beginning is read. The kernel reads 256 bytes of a `#!` line.
const HEAD_BYTES: u64 = 4_096;

/// Why a script cannot be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    /// It does not exist.
    #[error("the start script {0} does not exist")]
    NotFound(String),
    /// A shell that sources a folder prints nothing and exits with 0.
    #[error("the start script {0} is a folder")]
    Folder(String),
    /// A pipe or a socket could block the shell for ever.
    #[error("the start script {0} is not a file")]
    NotAFile(String),
    /// It cannot be read.
    #[error("cannot read the start script {script}: {error}")]
    Unreadable { script: String, error: io::Error },
    /// Nothing follows `#!`.
    #[error("the first line of the start script {0} is `#!` and names no interpreter")]
    NoInterpreter(String),
    /// The kernel would look for an interpreter whose name ends in a carriage return.
    #[error(
        "the lines of the start script {0} end with a carriage return, as on Windows, so its \
         interpreter would not understand them; `sed -i 's/\\r$//' {0}` fixes it"
    )]
    CarriageReturns(String),
    /// Its interpreter cannot run it.
    #[error("the start script {script} names the interpreter {interpreter}, which {why}")]
    Interpreter { script: String, interpreter: String, why: String },
    /// Not text that a shell can read.
    #[error("the start script {0} is text in UTF-16; UTF-8 is needed")]
    Utf16(String),
    /// It is a program, and not executable.
    #[error(
        "the start script {0} is a compiled program and not executable; `chmod +x {0}` fixes it"
    )]
    NotExecutable(String),
}

/// The command line that runs the script at `path`.
pub(crate) fn command_line(path: PathBuf) -> Result<Vec<OsString>, ScriptError> {
    let script = escape::excerpt(&path.to_string_lossy());
    // A path without a slash would be searched for in `PATH`.
    let has_folder = path.parent().is_some_and(|folder| !folder.as_os_str().is_empty());
    let path = if has_folder { path } else { Path::new(".").join(path) };
    let (head, is_executable) = read_head(&path, &script)?;
    if head.starts_with(b"\x7fELF") {
        let command_line = vec![path.into_os_string()];
        return if is_executable {
            Ok(command_line)
        } else {
            Err(ScriptError::NotExecutable(script))
        };
    }
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err(ScriptError::Utf16(script));
    }
    let Some(line) = shebang(&head) else {
        return Ok(source_command(&[SHELL.into()], path));
    };
    if line.ends_with(b"\r") {
        return Err(ScriptError::CarriageReturns(script));
    }
    let (interpreter, argument) = split_shebang(line);
    if interpreter.is_empty() {
        return Err(ScriptError::NoInterpreter(script));
    }
    if let Err(why) = check_interpreter(Path::new(interpreter)) {
        let interpreter = escape::excerpt(&interpreter.to_string_lossy());
        return Err(ScriptError::Interpreter { script, interpreter, why });
    }
    let mut command_line = vec![interpreter.to_owned()];
    if is_shell(interpreter, argument) {
        // `-` and `--` end the options, and `-c` is still to come.
        command_line.extend(argument.filter(|it| *it != "-" && *it != "--").map(OsStr::to_owned));
        return Ok(source_command(&command_line, path));
    }
    command_line.extend(argument.map(OsStr::to_owned));
    command_line.push(path.into_os_string());
    Ok(command_line)
}

/// Why a command that could not be started has no interpreter: its `#!` line may be the cause.
pub(crate) fn interpreter_error(program: &Path) -> Option<String> {
    let script = escape::excerpt(&program.to_string_lossy());
    let (head, _) = read_head(program, &script).ok()?;
    let line = shebang(&head)?;
    let (interpreter, _) = split_shebang(line);
    let why = check_interpreter(Path::new(interpreter)).err()?;
    let interpreter = escape::excerpt(&interpreter.to_string_lossy());
    Some(format!("{script} names the interpreter {interpreter}, which {why}"))
}

fn source_command(shell: &[OsString], path: PathBuf) -> Vec<OsString> {
    let command = [OsString::from("-c"), OsString::from(SOURCE), path.into_os_string()];
    shell.iter().cloned().chain(command).collect()
}

/// The beginning of the script, and whether it is executable.
fn read_head(path: &Path, script: &str) -> Result<(Vec<u8>, bool), ScriptError> {
    let script = script.to_owned();
    let unreadable = |error: io::Error, script: String| {
        let is_missing = error.kind() == ErrorKind::NotFound;
        if is_missing {
            ScriptError::NotFound(script)
        } else {
            ScriptError::Unreadable { script, error }
        }
    };
    // Before opening it: opening a pipe without a writer would block.
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return Err(unreadable(error, script)),
    };
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(ScriptError::Folder(script));
    }
    // A link to /dev/null is an empty script, which turns a check off.
    if kind.is_fifo() || kind.is_socket() || kind.is_block_device() {
        return Err(ScriptError::NotAFile(script));
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    match read {
        Ok(_) => Ok((head, metadata.permissions().mode() & 0o111 != 0)),
        Err(error) => Err(unreadable(error, script)),
    }
}

/// The text after `#!` in the first line. An editor of Windows may have put a byte order mark
/// before it.
fn shebang(head: &[u8]) -> Option<&[u8]> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let line = head.split(|byte| *byte == b'\n').next()?;
    line.strip_prefix(b"#!")
}

/// The interpreter and, as in the kernel, the rest as one argument.
fn split_shebang(line: &[u8]) -> (&OsStr, Option<&OsStr>) {
    let line = line.trim_ascii();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (interpreter, rest) = line.split_at(end);
    let rest = rest.trim_ascii();
    (OsStr::from_bytes(interpreter), (!rest.is_empty()).then_some(OsStr::from_bytes(rest)))
}

/// The error completes the sentence "the interpreter X, which".
fn check_interpreter(interpreter: &Path) -> Result<(), String> {
    // Without a slash it is searched in `PATH`.
    if interpreter.parent().is_none_or(|folder| folder.as_os_str().is_empty()) {
        return Ok(());
    }
    match std::fs::metadata(interpreter) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err("does not exist".to_owned()),
        Err(error) => Err(format!("cannot be examined: {error}")),
        Ok(metadata) if metadata.is_dir() => Err("is a folder".to_owned()),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            Err("is not executable".to_owned())
        }
        Ok(_) => Ok(()),
    }
}

/// Whether it is a shell that supports `.`, also through `env`.
fn is_shell(interpreter: &OsStr, argument: Option<&OsStr>) -> bool {
    let base = |program: &[u8]| {
        let program = OsString::from_vec(program.to_owned());
        Path::new(&program).file_name().map(|name| name.to_string_lossy().into_owned())
    };
    let mut name = base(interpreter.as_bytes());
    if name.as_deref() == Some("env") {
        let command_line = argument.map(OsStr::as_bytes).unwrap_or_default();
        let mut command_line = command_line.split(|byte| byte.is_ascii_whitespace()).map(|word| {
            // `-Sbash` is `-S bash`.
            word.strip_prefix(b"-S").unwrap_or(word)
        });
        let program = command_line
            .find(|word| !word.is_empty() && !word.starts_with(b"-") && !word.contains(&b'='));
        name = program.and_then(base);
    }
    name.is_some_and(|name| SHELLS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command_line_of(content: &[u8], mode: u32) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("check");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let shown = |word: &OsString| match word == path.as_os_str() {
            true => "PATH".to_owned(),
            false => word.to_string_lossy().into_owned(),
        };
        let path_shown = path.display().to_string();
        command_line(path.clone())
            .map(|command_line| command_line.iter().map(shown).collect())
            .map_err(|error| error.to_string().replace(&path_shown, "PATH"))
    }

    #[test]
    fn the_first_line_selects_the_interpreter() {
        let source = ["-c", SOURCE, "PATH"];
        for (content, by) in [
            ("", &["/bin/sh"][..]),
            ("exit 0", &["/bin/sh"]),
            ("exit 0\r\n", &["/bin/sh"]),
            ("# !/bin/bash\n", &["/bin/sh"]),
            ("\n#!/bin/bash\n", &["/bin/sh"]),
            ("#!/bin/sh\nexit 0", &["/bin/sh"]),
            ("#!/bin/sh -\nexit 0", &["/bin/sh"]),
            ("#! /bin/sh --\nexit 0", &["/bin/sh"]),
            ("#!/bin/bash", &["/bin/bash"]),
            ("#!/bin/bash -e -u\n", &["/bin/bash", "-e -u"]),
            ("#!\t/bin/bash\t-eu \n", &["/bin/bash", "-eu"]),
            ("\u{feff}#!/bin/bash\n", &["/bin/bash"]),
            ("#!/usr/bin/env bash\n", &["/usr/bin/env", "bash"]),
            ("#!/usr/bin/env -S bash -eu\n", &["/usr/bin/env", "-S bash -eu"]),
            ("#!/usr/bin/env -S LC_ALL=C bash\n", &["/usr/bin/env", "-S LC_ALL=C bash"]),
            ("#!/usr/bin/env -Sbash\n", &["/usr/bin/env", "-Sbash"]),
        ] {
            let by: Vec<&str> = by.iter().chain(&source).copied().collect();
            assert_eq!(command_line_of(content.as_bytes(), 0o644).unwrap(), by, "{content:?}");
        }
        for (content, expected) in [
            ("#!/usr/bin/env python3\n", &["/usr/bin/env", "python3", "PATH"][..]),
            ("#!/usr/bin/env -S perl -w\n", &["/usr/bin/env", "-S perl -w", "PATH"]),
            ("#!/bin/true\n", &["/bin/true", "PATH"]),
            ("#!/bin/sed -nf\n", &["/bin/sed", "-nf", "PATH"]),
            ("#!awk -f\n", &["awk", "-f", "PATH"]),
        ] {
            assert_eq!(
                command_line_of(content.as_bytes(), 0o644).unwrap(),
                expected,
                "{content:?}"
            );
        }
        assert_eq!(command_line_of(b"\x7fELF...", 0o755).unwrap(), ["PATH"]);
    }

    #[test]
    fn an_unrunnable_script_is_rejected_with_a_reason() {
        for (content, why) in [
            (&b"#!\nexit 0"[..], "the first line of the start script PATH is `#!` and names no"),
            (b"#!/nowhere/sh -e\n", "names the interpreter /nowhere/sh, which does not exist"),
            (b"#!/etc/passwd\n", "names the interpreter /etc/passwd, which is not executable"),
            (b"#!/etc\n", "names the interpreter /etc, which is a folder"),
            (b"#!/bin/bash\r\nexit 0\r\n", "end with a carriage return, as on Windows"),
            (b"#!/usr/bin/env bash\r\n", "`sed -i 's/\\r$//' PATH` fixes it"),
            (b"\xff\xfe#\0!\0", "is text in UTF-16"),
            (b"\x7fELF...", "is a compiled program and not executable"),
        ] {
            let text = command_line_of(content, 0o644).unwrap_err();
            assert!(text.contains(why), "{text}");
        }
        for (path, why) in [
            ("/nowhere/script", "the start script /nowhere/script does not exist"),
            ("/etc", "the start script /etc is a folder"),
            (
                "/etc/passwd/x",
                "cannot read the start script /etc/passwd/x: Not a directory (os error 20)",
            ),
        ] {
            let text = command_line(path.into()).unwrap_err().to_string();
            assert!(text.ends_with(why), "{text}");
        }
    }

    #[test]
    fn a_link_to_nothing_is_an_empty_script() {
        let command_line = command_line("/dev/null".into()).unwrap();
        assert_eq!(command_line, ["/bin/sh", "-c", SOURCE, "/dev/null"]);
    }

    #[test]
    fn a_script_without_a_folder_is_not_searched_in_path() {
        let text = command_line("-no-such-script".into()).unwrap_err().to_string();
        assert_eq!(text, "the start script -no-such-script does not exist");
        let folder = std::env::current_dir().unwrap();
        assert!(folder.join("Cargo.toml").exists());
        assert_eq!(command_line("Cargo.toml".into()).unwrap().last().unwrap(), "./Cargo.toml");
    }
}
