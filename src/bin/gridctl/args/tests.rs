//! Tests which command lines are accepted, and how the others are answered.

use super::*;

fn parse_line(line: &str) -> Result<GridctlArgs, String> {
    parse(line.split(' ').map(OsString::from).collect()).map_err(|error| error.to_string())
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
    GridctlArgs::command().debug_assert();
    check(&GridctlArgs::command());
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
    examples(&GridctlArgs::command(), &mut found);
    assert!(found.len() >= 10);
    for example in found {
        // What follows a pipe belongs to another program, and what follows `>` to the shell.
        let ours = example.split(" | ").next().unwrap_or(&example);
        let ours = ours.split(" > ").next().unwrap_or(ours);
        parse_line(ours).unwrap();
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
        let global = parse_line(line).unwrap().global;
        assert_eq!(global.broker_choice, BrokerChoice::Address("h:1".to_owned()), "{line}");
        assert_eq!(global.format(), OutputFormat::Jsonl, "{line}");
        assert_eq!(global.color, ColourMode::Never, "{line}");
        assert!(global.utc, "{line}");
    }
    assert_eq!(parse_line("gridctl list log --batch").unwrap().global.format(), OutputFormat::Udl);
}

#[test]
fn invalid_lines_are_rejected_with_an_explanation() {
    for (line, words) in [
        (
            "gridctl list",
            "list what? `gridctl log list`, `gridctl appliance list`, `gridctl alert list`, `gridctl mail list`, `gridctl journal show`, `gridctl token list`, `gridctl key list`, `gridctl admin list` or `gridctl context list`",
        ),
        ("gridctl lgo list", "there is no command `lgo`; did you mean `gridctl log`?"),
        (
            "gridctl lsit log",
            "did you mean `gridctl log list`, `gridctl appliance list`, `gridctl alert list`, ",
        ),
        ("gridctl bakcup", "did you mean `gridctl journal backup`?"),
        ("gridctl stauts", "did you mean `gridctl status`?"),
        ("gridctl --output jsn status", "a similar value exists: 'json"),
        ("gridctl --color nevr status", "a similar value exists: 'never'"),
        ("gridctl appliance list --state runing", "a similar value exists: 'running'"),
        ("gridctl nonsense", "there is no command `nonsense`; `gridctl` has log, appliance, "),
        ("gridctl log lits", "did you mean `gridctl log list`?"),
        ("gridctl list log --sinse 2h", "a similar argument exists: '--since'"),
        ("gridctl log list --severity waring", "a similar value exists: 'warn'"),
        ("gridctl log list --severity unspecified", "[possible values: debug, info,"),
        ("gridctl log list --since 90", "not a time; write an age"),
        ("gridctl log list --limit 200000", "expected a whole number from 1 to 100000"),
        ("gridctl log list --limit many", "expected a whole number from 1 to 100000"),
        ("gridctl log list --limit 0", "--limit 0 shows no records"),
        ("gridctl log list --boot xyz", "expected a boot id, or at least the first 4 characters"),
        ("gridctl appliance list -w -o json", "use --output jsonl"),
        ("gridctl appliance crash-dump", "<APPLIANCE>"),
        ("gridctl appliance crash-dump db1 db2", "unexpected argument 'db2'"),
        ("gridctl appliance crash-dump db1 --wait 5m", "unexpected argument '5m'"),
        ("gridctl appliance crash-dump db1 --wait=5", "not a duration; write"),
        ("gridctl appliance crash-dump db1 --wait=0s", "wait more than 0s and at most 1d"),
        ("gridctl appliance crash-dump db1 --wait=25h", "wait more than 0s and at most 1d"),
        ("gridctl appliance crash-dump db1 --check --yes", "cannot be used with"),
        ("gridctl appliance crash-dump db1 --check --wait", "cannot be used with"),
        ("gridctl appliance crash-dumps", "<APPLIANCE>"),
        ("gridctl log list --kind crash-dmp", "a similar value exists: 'crash_dump'"),
        ("gridctl report -o csv", "there are no other formats"),
        ("gridctl --broker= status", "--broker is empty: use HOST:PORT"),
        ("gridctl --broker h:1 --context a status", "use one of them"),
        ("gridctl appliance list --sort size", "[possible values: name, state, since, class]"),
        ("gridctl log list -f --output json", "use --output jsonl"),
        ("gridctl log list -f --limit 1001", "at most 1000 records"),
        ("gridctl log list -f --until 2h", "cannot be used with"),
        ("gridctl log list --all --limit 5", "cannot be used with"),
        ("gridctl --batch log list --output csv", "remove --output"),
        ("gridctl --output udl log list", "[possible values: table, wide, json, jsonl, csv, name]"),
        ("gridctl appliance set db1", "nothing to set"),
        ("gridctl retry 7", "retry what? `gridctl mail retry`"),
        ("gridctl mail retry", "<NUMBER>..."),
        ("gridctl mail show seven", "expected a whole number, such as 12"),
        ("gridctl mail list --state faild", "a similar value exists: 'failed'"),
        ("gridctl alert show db1 start_fail", "a similar value exists: 'start_failed'"),
        ("gridctl alert list db1 --of-broker", "cannot be used with"),
        ("gridctl appliance add db1 --boot-timeout 90", "not a duration; write"),
    ] {
        let answer = parse_line(line).unwrap_err();
        assert!(answer.contains(words), "{line}: {answer}");
    }
}

#[test]
fn an_appliances_own_limits_reach_the_broker_in_its_units() {
    let line =
        "gridctl set appliance db1 --managed false --boot-timeout 1h30m --reset boot-timeout";
    let GridctlCommand::Appliance(ApplianceCommand::Set { names, own, reset }) =
        parse_line(line).unwrap().command
    else {
        panic!("not set")
    };
    assert_eq!(names.names, ["db1"]);
    assert_eq!((own.managed, own.boot_timeout), (Some(false), Some(5_400_000)));
    assert_eq!(reset, ["boot_timeout"]);
}

/// Both lines of a pair mean the same.
#[test]
fn forms_of_other_tools_are_understood() {
    for (typed_so, means) in [
        ("gridctl log", "gridctl log list"),
        ("gridctl logs", "gridctl log list"),
        ("gridctl logs -f", "gridctl log list --follow"),
        ("gridctl logs db7", "gridctl log list db7"),
        ("gridctl logs -f db7", "gridctl log list db7 --follow"),
        ("gridctl logs db7 --tail 5", "gridctl log list db7 --limit 5"),
        ("gridctl -o json log", "gridctl log list --output json"),
        ("gridctl -ojson log", "gridctl log list --output json"),
        ("gridctl -qo json log", "gridctl log list --quiet --output json"),
        ("gridctl events -n 5 -r", "gridctl log list --limit 5 --newest-first"),
        ("gridctl log --reverse", "gridctl log list --newest-first"),
        (
            "gridctl log -S 2h -U 1h -p err",
            "gridctl log list --since 2h --until 1h --severity error",
        ),
        ("gridctl log -u db7 -g disk", "gridctl log list --appliance db7 --text disk"),
        ("gridctl log --severity WARN", "gridctl log list --severity warn"),
        ("gridctl log --severity warning", "gridctl log list --severity warn"),
        ("gridctl log --severity Information", "gridctl log list --severity info"),
        ("gridctl log --kind log,alert", "gridctl log list --kind log --kind alert"),
        ("gridctl log --kind START-FAILED", "gridctl log list --kind start_failed"),
        ("gridctl log get 17", "gridctl log show 17"),
        ("gridctl log describe 17,18", "gridctl log show 17 18"),
        ("gridctl appliance", "gridctl appliance list"),
        ("gridctl appliances -w", "gridctl appliance list --watch"),
        ("gridctl get appliances", "gridctl appliance list"),
        ("gridctl get appliance db7", "gridctl appliance show db7"),
        ("gridctl appliance get db*", "gridctl appliance list db*"),
        ("gridctl describe appliance db7", "gridctl appliance show db7"),
        ("gridctl appliance inspect db7", "gridctl appliance show db7"),
        ("gridctl show db7", "gridctl appliance show db7"),
        ("gridctl describe db7", "gridctl appliance show db7"),
        ("gridctl ls appliances", "gridctl appliance list"),
        (
            "gridctl appliance ls --state failed,starting",
            "gridctl appliance list --state failed --state starting",
        ),
        ("gridctl appliance rm db7", "gridctl appliance remove db7"),
        ("gridctl crash-dump appliance db7", "gridctl appliance crash-dump db7"),
        ("gridctl appliance crash_dump db7", "gridctl appliance crash-dump db7"),
        ("gridctl appliance crashdump db7", "gridctl appliance crash-dump db7"),
        ("gridctl appliance dumps db7", "gridctl appliance crash-dumps db7"),
        ("gridctl appliance crash-dump db7 --wait", "gridctl appliance crash-dump db7 --wait=20m"),
        ("gridctl log --kind crash-dump", "gridctl log list --kind crash_dump"),
        ("gridctl alert", "gridctl alert list"),
        ("gridctl alerts --severity err", "gridctl alert list --severity error"),
        ("gridctl alert get db7", "gridctl alert show db7"),
        ("gridctl mail", "gridctl mail list"),
        ("gridctl mails -q", "gridctl mail list --quiet"),
        ("gridctl mail get 12", "gridctl mail show 12"),
        ("gridctl journal", "gridctl journal show"),
        ("gridctl journal ls", "gridctl journal show"),
        ("gridctl context", "gridctl context list"),
        ("gridctl list log", "gridctl log list"),
        ("gridctl help log list", "gridctl log list --help"),
        ("gridctl help log", "gridctl log --help"),
    ] {
        let parsed = |line: &str| format!("{:?}", parse_line(line));
        assert_eq!(parsed(typed_so), parsed(means), "{typed_so}");
    }
}

#[test]
fn ambiguous_lines_stay_errors() {
    for line in ["gridctl show", "gridctl show 12", "gridctl boot db7", "gridctl appliance db7"] {
        assert!(parse_line(line).is_err(), "{line}");
    }
    for line in ["gridctl log --help", "gridctl help", "gridctl log help list"] {
        assert!(parse_line(line).unwrap_err().contains("Usage: gridctl"), "{line}");
    }
}
