//! What can be typed, and what is answered to what cannot.

use super::*;

fn typed(line: &str) -> Result<Args, String> {
    read(line.split(' ').map(OsString::from).collect()).map_err(|error| error.to_string())
}

#[test]
fn the_commands_are_sound_and_each_helps_with_an_example() {
    fn check(command: &clap::Command) {
        if command.get_name() == "help" {
            return;
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example") && help.contains("\n  gridctl "), "{command}");
        assert!(command.get_about().is_some(), "{command}");
        command.get_subcommands().for_each(check);
    }
    Args::command().debug_assert();
    check(&Args::command());
}

#[test]
fn every_example_of_the_help_can_be_typed() {
    fn examples(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines = help.lines().filter(|line| line.starts_with("  gridctl "));
        found.extend(lines.map(|line| line.trim().replace('\'', "")));
        command.get_subcommands().for_each(|it| examples(it, found));
    }
    let mut found = Vec::new();
    examples(&Args::command(), &mut found);
    assert!(found.len() >= 10);
    for example in found {
        // What stands behind a pipe is another program's.
        let ours = example.split(" | ").next().unwrap_or(&example);
        typed(ours).unwrap();
    }
}

#[test]
fn global_flags_stand_before_or_after() {
    for line in [
        "gridctl --broker h:1 --output jsonl --utc --color never log list",
        "gridctl log list --broker h:1 --output jsonl --utc --color never",
        "gridctl log --broker h:1 list --output jsonl --utc --color never",
        "gridctl list --broker h:1 --utc log --output jsonl --color never",
    ] {
        let global = typed(line).unwrap().global;
        assert_eq!(global.broker, "h:1", "{line}");
        assert_eq!(global.format(), Format::Jsonl, "{line}");
        assert_eq!(global.color, Colour::Never, "{line}");
        assert!(global.utc, "{line}");
    }
    assert_eq!(typed("gridctl list log --batch").unwrap().global.format(), Format::Udl);
}

#[test]
fn what_cannot_be_meant_is_refused_in_words() {
    for (line, words) in [
        (
            "gridctl list",
            "list what? `gridctl log list`, `gridctl appliance list`, `gridctl alert list` or `gridctl mail list`",
        ),
        ("gridctl lgo list", "there is no command `lgo`; did you mean `gridctl log`?"),
        (
            "gridctl lsit log",
            "did you mean `gridctl log list`, `gridctl appliance list`, `gridctl alert list` or",
        ),
        ("gridctl backpu", "did you mean `gridctl journal backup`?"),
        ("gridctl stauts", "a similar subcommand exists: 'status'"),
        ("gridctl --output jsn status", "a similar value exists: 'json"),
        ("gridctl --color nevr status", "a similar value exists: 'never'"),
        ("gridctl appliance list --state runing", "a similar value exists: 'running'"),
        ("gridctl nonsense", "unrecognized subcommand 'nonsense'"),
        ("gridctl log lits", "a similar subcommand exists: 'list'"),
        ("gridctl list log --sinse 2h", "a similar argument exists: '--since'"),
        ("gridctl log list --severity waring", "a similar value exists: 'warn'"),
        ("gridctl log list --severity unspecified", "[possible values: debug, info,"),
        ("gridctl log list --since 90", "not a time; write an age"),
        ("gridctl log list --limit 200000", "200000 is not in 0..=100000"),
        ("gridctl log list -f --output json", "use --output jsonl"),
        ("gridctl log list -f --limit 1001", "1000 records at most"),
        ("gridctl log list -f --until 2h", "cannot be used with"),
        ("gridctl log list --all --limit 5", "cannot be used with"),
        ("gridctl --batch log list --output csv", "leave out --output"),
        ("gridctl --output udl log list", "[possible values: table, json, jsonl, csv]"),
        ("gridctl appliance set db1", "nothing to set"),
        ("gridctl retry 7", "retry what? `gridctl mail retry`"),
        ("gridctl mail retry", "<NUMBER>..."),
        ("gridctl mail show seven", "invalid digit found in string"),
        ("gridctl mail list --standing faild", "a similar value exists: 'failed'"),
        ("gridctl alert show db1 start_fail", "a similar value exists: 'start_failed'"),
        ("gridctl alert list db1 --of-broker", "cannot be used with"),
        ("gridctl appliance add db1 --boot-timeout 90", "not a duration; write"),
    ] {
        let answer = typed(line).unwrap_err();
        assert!(answer.contains(words), "{line}: {answer}");
    }
}

#[test]
fn an_appliances_own_limits_reach_the_broker_in_its_units() {
    let line =
        "gridctl set appliance db1 --managed false --boot-timeout 1h30m --reset boot-timeout";
    let Command::Appliance(ApplianceCommand::Set { named, own, reset }) =
        typed(line).unwrap().command
    else {
        panic!("not set")
    };
    assert_eq!(named.name, "db1");
    assert_eq!((own.managed, own.boot_timeout), (Some(false), Some(5_400_000)));
    assert_eq!(reset, ["boot_timeout"]);
}
