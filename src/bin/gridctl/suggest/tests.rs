//! Tests that no query leads to a change, whatever is typed.

use clap::CommandFactory;

use super::*;
use crate::args::{GridctlArgs, parse};

/// The paths of all commands.
fn paths() -> Vec<Vec<String>> {
    fn add(command: &Command, path: &[String], found: &mut Vec<Vec<String>>) {
        for below in command.get_subcommands().filter(|it| it.get_name() != "help") {
            let path = [path, &[below.get_name().to_owned()]].concat();
            found.push(path.clone());
            add(below, &path, found);
        }
    }
    let mut found = Vec::new();
    add(&GridctlArgs::command(), &[], &mut found);
    found
}

/// Words that people know from other tools and languages, and from grids.
const COMMON_WORDS: &str = "\
    top get put ack see tail head cat less grep find watch wait ps id info stat stats state text \
    shop shot step stops boots tests backups drops sets rest best boost root boom foot reset retire \
    entry reply copy logs log event events new old all any help start restart reload enable disable \
    kill pause up down run exec apply create describe edit diff fetch pull push check view inspect \
    open close add sub mute silence resolve dump trip crop prop trap test tests remote move rename \
    usage use user uses used generic generation general send resend status version failed running \
    not back pack hack lack black stack stick stock journalctl systemctl db db1 shop:main.db1 box \
    crash crashed crashes kdump panic core cores dumps dumped coredump unlocked locks seat sent said side site size last least least post cost most lost seen show shown shows";

#[test]
fn the_lists_of_reading_and_changing_commands_are_complete() {
    let paths = paths();
    for reading in READ_ONLY_COMMANDS {
        assert!(paths.iter().any(|path| path == reading), "{reading:?} is a command");
    }
    let acting: Vec<String> = paths
        .iter()
        .filter(|path| changes_something(&path.iter().map(String::as_str).collect::<Vec<_>>()))
        .map(|path| path.join(" "))
        .collect();
    assert_eq!(
        acting,
        [
            "log export",
            "appliance add",
            "appliance set",
            "appliance remove",
            "appliance boot",
            "appliance stop",
            "appliance unsuppress",
            "appliance crash-dump",
            "appliance lock",
            "appliance unlock",
            "appliance enrol",
            "appliance revoke",
            "alert ack",
            "alert unack",
            "alert resolve",
            "mail retry",
            "mail drop",
            "mail test",
            "journal backup",
            "token create",
            "token rotate",
            "token revoke",
            "admin create",
            "admin set",
            "admin remove",
            "login",
            "logout",
            "bench",
            "context use",
            "generate",
        ]
    );
}

#[test]
fn no_common_word_suggests_a_changing_command() {
    let groups = [
        "",
        "log ",
        "appliance ",
        "alert ",
        "mail ",
        "journal ",
        "token ",
        "key ",
        "admin ",
        "context ",
    ];
    let acting = paths();
    let acting = acting
        .iter()
        .filter(|path| changes_something(&path.iter().map(String::as_str).collect::<Vec<_>>()));
    let acting: Vec<String> = acting.map(|path| format!("`gridctl {}`", path.join(" "))).collect();
    for group in groups {
        for word in COMMON_WORDS.split_whitespace() {
            let line = format!("gridctl {group}{word}");
            let Err(error) = parse(line.split(' ').map(OsString::from).collect()) else { continue };
            let message = error.to_string();
            // A verb without its noun is answered with the full command.
            let suggested = message.split_once("did you mean").map_or("", |(_, it)| it);
            for command in &acting {
                assert!(!suggested.contains(command.as_str()), "{line}: {message}");
            }
        }
    }
}

#[test]
fn a_typo_is_recognised_and_another_word_is_not() {
    for (typed, known) in [
        ("sotp", "stop"),
        ("stp", "stop"),
        ("stopp", "stop"),
        ("bacup", "backup"),
        ("retyr", "retry"),
        ("unsupress", "unsuppress"),
        ("remvoe", "remove"),
    ] {
        assert!(is_typo(typed, known), "{typed} is {known}");
    }
    for (typed, known) in [
        ("top", "stop"),
        ("get", "set"),
        ("see", "set"),
        ("shop", "stop"),
        ("step", "stop"),
        ("text", "test"),
        ("boots", "boot"),
        ("backups", "backup"),
        ("ack", "backup"),
        ("back", "backup"),
        ("st", "stop"),
        ("stop", "stop"),
    ] {
        assert!(!is_typo(typed, known), "{typed} is not {known}");
    }
}

#[test]
fn harmless_commands_are_suggested_for_similar_words() {
    for (line, words) in [
        ("gridctl aplliance list", "did you mean `gridctl appliance`?"),
        ("gridctl jornal", "did you mean `gridctl journal`?"),
        ("gridctl appliance lits", "did you mean `gridctl appliance list`?"),
        ("gridctl appliance sotp db1", "did you mean `gridctl appliance stop`?"),
        ("gridctl appliance dump db1", "did you mean `gridctl appliance crash-dumps`?"),
        ("gridctl appliance crash db1", "did you mean `gridctl appliance crash-dumps`?"),
        ("gridctl appliance crsh-dump db1", "did you mean `gridctl appliance crash-dump`?"),
        ("gridctl dump db1", "did you mean `gridctl appliance crash-dumps`?"),
        ("gridctl crash-dump db1", "crash-dump what? `gridctl appliance crash-dump`"),
        ("gridctl lock db1", "lock what? `gridctl appliance lock`"),
        ("gridctl top", "there is no command `top`; `gridctl` has log, appliance, "),
        ("gridctl log list --kind failed", "a similar value exists: 'start_failed'"),
        ("gridctl journal backup --froce x", "a similar argument exists: '--force'"),
        ("gridctl stop", "stop what? `gridctl appliance stop`"),
    ] {
        let message = parse(line.split(' ').map(OsString::from).collect()).unwrap_err().to_string();
        assert!(message.contains(words), "{line}: {message}");
    }
    let error =
        parse(["gridctl", "journal", "backup", "--source", "x"].map(OsString::from).to_vec());
    assert!(!error.unwrap_err().to_string().contains("--force"));
}
