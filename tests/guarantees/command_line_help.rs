//! Slips are recognised, man pages are sound, and completions complete, for all three programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Run, clean, run};

const GRIDD: &str = env!("CARGO_BIN_EXE_gridd");
const GRIDCTL: &str = env!("CARGO_BIN_EXE_gridctl");
const VME: &str = env!("CARGO_BIN_EXE_vme");

async fn typed(program: &str, line: &str) -> Run {
    let folder = TempDir::new().expect("a folder");
    let mut command = clean(program);
    command.args(line.split(' ')).current_dir(folder.path()).env("VME_APPLIANCE", "db1");
    run(command).await
}

#[tokio::test]
async fn unknown_commands_flags_and_values_suggest_the_nearest() {
    for (program, line, hint) in [
        (GRIDD, "jornal check", "a similar subcommand exists: 'journal'"),
        (GRIDD, "journal chek", "a similar subcommand exists: 'check'"),
        (GRIDD, "--confg gridd.toml", "a similar argument exists: '--config'"),
        (GRIDD, "--tracing-format jsn", "a similar value exists: 'json'"),
        (GRIDD, "--tracing inof", "\"inof\" is not a level, did you mean info?"),
        (GRIDCTL, "lgo list", "did you mean `gridctl log`?"),
        (GRIDCTL, "lsit log", "did you mean `gridctl log list`, `gridctl appliance list`, "),
        (GRIDCTL, "backup", "backup what? `gridctl journal backup`"),
        (GRIDCTL, "crash-dump db1", "crash-dump what? `gridctl appliance crash-dump`"),
        (GRIDCTL, "appliance dump db1", "did you mean `gridctl appliance crash-dumps`?"),
        (GRIDCTL, "appliance crash-dump db1 --chek", "a similar argument exists: '--check'"),
        (GRIDCTL, "mial list", "did you mean `gridctl mail`?"),
        (GRIDCTL, "alert show db1 stuk", "a similar value exists: 'stuck'"),
        (GRIDCTL, "stauts", "did you mean `gridctl status`?"),
        (GRIDCTL, "appliance shwo db1", "did you mean `gridctl appliance show`?"),
        (GRIDCTL, "--ouput json status", "a similar argument exists: '--output'"),
        (GRIDCTL, "--output jsn status", "a similar value exists: 'json'"),
        (GRIDCTL, "log list --severity eror", "a similar value exists: 'error'"),
        (VME, "--brokr localhost:7443 id=log", "a similar argument exists: '--broker'"),
        (VME, "statred_ok", "`statred_ok` is not name=value, did you mean `id=started_ok`;"),
        (VME, "id=statred_ok", "id=`statred_ok` is not an event, did you mean `started_ok`;"),
        (VME, "id=log mgs=x", "parameter `mgs` is unknown, did you mean `msg`;"),
        (VME, "id=log msg=x severity=eror", "is not a severity, did you mean `error`;"),
    ] {
        let said = typed(program, line).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{line}");
        assert!(said.stderr.contains(hint), "{line}: {}", said.stderr);
    }
}

/// Writes pages and completions; gives the folder and all files.
async fn generated() -> (TempDir, Vec<PathBuf>) {
    let folder = TempDir::new().expect("a folder");
    let mut command = clean(GRIDCTL);
    command.arg("generate").arg(folder.path()).env("GRID_BROKER", "127.0.0.1:1");
    let told = run(command).await.done();
    let files: Vec<PathBuf> = told.lines().map(PathBuf::from).collect();
    assert!(files.iter().all(|file| file.is_file()), "{told}");
    (folder, files)
}

fn is_below(file: &Path, part: &str) -> bool {
    file.display().to_string().contains(part)
}

#[tokio::test]
async fn man_pages_of_all_commands_are_written_without_a_warning() {
    let (_folder, files) = generated().await;
    let pages: Vec<_> = files.iter().filter(|file| is_below(file, "/man/")).collect();
    for name in [
        "gridd.8",
        "gridd-journal-check.8",
        "gridctl.1",
        "gridctl-log-list.1",
        "vme.1",
        "gridctl-appliance-crash-dump.1",
    ] {
        assert!(pages.iter().any(|page| page.ends_with(name)), "{name} is among {pages:?}");
    }
    for page in pages {
        let mut command = Command::new("groff");
        assert!(
            Command::new("groff").arg("--version").output().is_ok(),
            "groff (Debian's package groff-base) is needed: tests/run installs it"
        );
        command.args(["-man", "-ww", "-Tutf8", "-P", "-c"]).arg(page);
        let said = run(command).await;
        assert_eq!(said.stderr, "", "{}", page.display());
        let text = said.stdout.replace('\u{8}', "");
        assert!(text.contains("xample") && text.len() > 500, "{}: {text}", page.display());
    }
}

/// What bash offers for the last of these words.
async fn offered(files: &[PathBuf], words: &[&str]) -> Vec<String> {
    let name = format!("bash-completion/completions/{}", words[0]);
    let script = files.iter().find(|file| is_below(file, &name)).expect("completions for bash");
    // As bash does it: the function that was registered, with the words typed so far.
    let ask = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
               how=$(complete -p \"$1\"); how=${how#*-F }; \
               \"${how%% *}\" \"$1\" \"${!#}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
               printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", ask, "bash"]).arg(script).args(words);
    let offered = run(command).await.done();
    offered.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn bash_completes_commands_flags_and_values() {
    let (_folder, files) = generated().await;
    for (words, expected) in [
        (&["gridctl", "app"][..], &["appliance"][..]),
        (&["gridctl", "appliance", "s"], &["show", "set", "stop"]),
        (&["gridctl", "appliance", "cr"], &["crash-dump", "crash-dumps"]),
        (&["gridctl", "appliance", "crash-dump", "--w"], &["--wait"]),
        (&["gridctl", "log", "list", "--kind", "cr"], &["crash_dump"]),
        (&["gridctl", "mail", "re"], &["retry"]),
        (&["gridctl", "log", "list", "--sev"], &["--severity"]),
        (&["gridctl", "--output", "js"], &["json", "jsonl"]),
        (&["gridctl", "log", "list", "--severity", "w"], &["warn"]),
        (&["gridd", "jour"], &["journal"]),
        (&["gridd", "--tracing-format", ""], &["human", "json"]),
        (&["vme", "id=st"], &["id=started_ok", "id=start_failed"]),
        (&["vme", "--br"], &["--broker"]),
    ] {
        assert_eq!(offered(&files, words).await, expected, "{words:?}");
    }
    let of_bash: Vec<_> = files.iter().filter(|it| is_below(it, "/bash-completion/")).collect();
    assert_eq!(of_bash.len(), 3, "one for each program: {of_bash:?}");
    for file in of_bash {
        let mut command = Command::new("bash");
        command.arg("-n").arg(file);
        assert_eq!(run(command).await.done(), "", "{}", file.display());
    }
    for program in ["gridd", "gridctl", "vme"] {
        for (place, before, behind) in [("/zsh/", "_", ""), ("/fish/", "", ".fish")] {
            let name = format!("{before}{program}{behind}");
            let there = files.iter().any(|file| is_below(file, place) && file.ends_with(&name));
            assert!(there, "{place} {name}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_told_by_its_path() {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("man"), "in the way").expect("a file");
    let mut command = clean(GRIDCTL);
    command.arg("generate").arg(folder.path());
    let said = run(command).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    let path = folder.path().join("man/man8/gridd.8");
    let words = format!("gridctl: cannot write {}: Not a directory", path.display());
    assert!(said.stderr.starts_with(&words), "{}", said.stderr);
}
