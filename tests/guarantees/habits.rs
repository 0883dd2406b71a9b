//! What people type out of habit, from kubectl, docker, systemctl, journalctl, git and gh, does what
//! they mean, or is answered in words that help, against a real broker.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{Gridd, Run, clean, eventually, run};

/// A grid in which `db7` is the end of one name and `db1` of two.
pub(super) async fn grid() -> Gridd {
    let gridd = Gridd::with_config(
        "[class.default]\nbudget = \"unlimited\"\n[class.web]\nboot_timeout = \"1h\"\n",
    )
    .await;
    for name in ["shop:main.db1", "bank:main.db1", "shop:main.db7", "shop:main.web1"] {
        gridd.vme(name, 1, &["id=started_ok"]).await.done();
    }
    gridd.gridctl(&["appliance", "set", "shop:main.web1", "--class", "web"]).await.done();
    gridd.vme("shop:main.db7", 1, &["id=log", "msg=DNS is Slow", "severity=warn"]).await.done();
    // A repeat has no record of its own: its count makes a hole in the numbers that are listed.
    for _ in 0..3 {
        let alert = ["id=alert", "msg=disk sda is failing", "severity=error"];
        gridd.vme("shop:main.db7", 1, &alert).await.done();
    }
    eventually("a tally", async || {
        (!gridd.records(&["--kind", "tally"]).await.is_empty()).then_some(())
    })
    .await;
    gridd.vme("shop:main.db7", 1, &["id=log", "msg=the end"]).await.done();
    gridd
}

pub(super) fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().map(|word| word.trim_matches('\'')).collect()
}

const LEFT_OUT: &str = "only count events (kind tally) and are left out; --all shows every record";
const NO_MATCH: &str = "no record can match";

/// What is typed, how it ends, what is on stdout, what is on stderr.
pub(super) type Habit = (&'static str, i32, &'static [&'static str], &'static [&'static str]);

pub(super) async fn check(gridd: &Gridd, habits: &[Habit]) {
    for (line, code, shown, said) in habits {
        let Run { code: ended, stdout, stderr } = gridd.gridctl(&words(line)).await;
        let all = format!("gridctl {line}: {ended:?}\n{stdout}{stderr}");
        assert_eq!(ended, Some(*code), "{all}");
        for part in *shown {
            let (is_there, part) = part.strip_prefix('!').map_or((true, *part), |it| (false, it));
            assert_eq!(stdout.contains(part), is_there, "`{part}` in the output of {all}");
        }
        for part in *said {
            assert!(stderr.contains(part), "`{part}` in the errors of {all}");
        }
    }
}

#[tokio::test]
async fn what_reads_is_understood_as_it_is_meant() {
    let gridd = grid().await;
    check(
        &gridd,
        &[
            // A group alone lists.
            ("log", 0, &["number", "the end", "!tally"], &[LEFT_OUT]),
            ("logs", 0, &["the end"], &[]),
            ("log --all", 0, &["tally"], &[]),
            ("logs -n 1", 0, &["the end", "!Slow"], &["older records are left out; a larger"]),
            ("appliances", 0, &["shop:main.db7", "web"], &[]),
            ("alerts", 0, &[], &[]),
            ("mail", 0, &[], &["mail is not configured"]),
            ("journal", 0, &["records:", "size:"], &[]),
            // Names.
            ("logs db7", 0, &["Slow", "!bank"], &[]),
            ("log list --appliance db7", 0, &["Slow", "!bank"], &[]),
            ("log list --appliance shop:main.db7,shop:main.web1", 0, &["Slow", "web1"], &[]),
            ("logs db1", 2, &[], &["is ambiguous, it matches shop:main.db1, bank:main.db1"]),
            ("logs nosuch", 7, &[], &["there is no appliance nosuch"]),
            ("logs 'nosuch*'", 0, &[], &["no records match"]),
            ("show db7", 0, &["appliance:       shop:main.db7"], &[]),
            ("describe appliance db7", 0, &["appliance:       shop:main.db7"], &[]),
            ("get appliance db7 -o json", 0, &["{\"name\":\"shop:main.db7\""], &[]),
            ("get appliances", 0, &["shop:main.db1", "bank:main.db1"], &[]),
            ("status db7", 0, &["appliance:       shop:main.db7"], &[]),
            ("show db1", 2, &[], &["shop:main.db1, bank:main.db1"]),
            ("show db", 7, &[], &["similar names: shop:main.db1"]),
            ("show db7 web1", 0, &["shop:main.db7", "shop:main.web1"], &[]),
            ("appliance list db1", 0, &["shop:main.db1", "bank:main.db1", "!db7"], &[]),
            ("appliance list nosuch", 7, &[], &["there is no appliance nosuch"]),
            ("appliance list 'nosuch*'", 0, &[], &["no appliances match"]),
            ("appliance list --class web", 0, &["web1", "!db7"], &[]),
            ("appliance list --class 'w*,other'", 0, &["web1", "!db7"], &[]),
            ("appliance list --state running,failed", 0, &["db7"], &[]),
            (
                "appliance list -q --sort name",
                0,
                &["bank:main.db1\nshop:main.db1\nshop:main.db7\n"],
                &[],
            ),
            ("appliance list -q --sort name -r", 0, &["shop:main.db1\nbank:main.db1\n"], &[]),
            ("appliance list --no-headers", 0, &["!explanation"], &[]),
            ("appliance list -o csv --no-headers", 0, &["!name,uuid"], &[]),
            ("alert list nosuch", 7, &[], &["there is no appliance nosuch"]),
            ("alert show db7", 0, &["what:          disk sda is failing"], &[]),
            // Records.
            ("log show 1", 0, &["record:    1", "kind:      broker"], &[]),
            ("log get 1 -o json", 0, &["{\"number\":1,"], &[]),
            ("log show 1,2 -o json", 0, &["[\n{\"number\":1,"], &[]),
            ("log show 999999", 7, &[], &["there is no record 999999 yet"]),
            ("log --severity WARNING", 0, &["Slow", "!the end"], &[]),
            ("log --severity err", 0, &["failing", "!Slow"], &[]),
            ("log --kind alert,log", 0, &["failing", "Slow", "!session"], &[]),
            ("log --text 'slow'", 0, &["Slow", "!the end"], &[]),
            ("log --reverse -n 2 -q", 0, &["\n"], &[]),
            ("log -o wide", 0, &["number"], &[]),
            ("version", 0, &["gridctl 0.", "gridd   0."], &[]),
            ("version -o json", 0, &["{\"gridctl\":\"0.", "\"gridd\":\"0."], &[]),
            ("status -o json", 0, &["{\"version\""], &[]),
            ("status -o csv", 0, &["appliances,open_alerts", "\"\"state\"\":\"\"running\"\""], &[]),
            ("report -o json", 0, &["{"], &[]),
            ("report -o csv", 2, &[], &["there are no other formats"]),
        ],
    )
    .await;
    let report = gridd.gridctl(&["report", "--output", "json"]).await.done();
    assert!(serde_json::from_str::<Value>(&report).expect("JSON").is_object());
    let all = gridd.gridctl(&["log", "--all", "-o", "json"]).await.done();
    let all: Vec<Value> = serde_json::from_str(&all).expect("an array");
    for (place, record) in (1..).zip(&all) {
        assert_eq!(record["number"], place, "--all has no holes");
    }
}

#[tokio::test]
async fn times_are_understood_and_ranges_that_match_nothing_are_refused() {
    let gridd = grid().await;
    check(
        &gridd,
        &[
            ("log --since yesterday --until 9999-12-31", 0, &["the end"], &[]),
            ("log --since yesterday --until tomorrow", 0, &["the end"], &[]),
            ("log --since 2h", 0, &["the end"], &[]),
            ("log --since -2h", 0, &["the end"], &[]),
            ("log --since 1w", 0, &["the end"], &[]),
            ("log --since @1", 0, &["the end"], &[]),
            ("log --until now --since 1d", 0, &["the end"], &[]),
            ("log --since 1h --until 2h", 2, &[], &["is not before --until", NO_MATCH]),
            ("log --since tomorrow", 2, &[], &["is in the future (it is ", NO_MATCH]),
            ("log --since 9999-12-31", 2, &[], &[NO_MATCH]),
            ("log --until 1969-12-31", 2, &[], &["is before 1970", NO_MATCH]),
            ("log --limit 0", 2, &[], &["--limit 0 shows no records"]),
            ("log --since soon", 2, &[], &["not a time; write an age (90s, 2h, 1w,"]),
        ],
    )
    .await;
    let mut command = gridd.gridctl_command(&["log", "--since", "2 hours ago"]);
    command.env("TZ", "America/New_York");
    assert!(run(command).await.done().contains("the end"));
}

#[tokio::test]
async fn what_acts_says_on_which_and_never_on_what_was_not_meant() {
    let gridd = grid().await;
    check(
        &gridd,
        &[
            (
                "appliance boot db7",
                0,
                &["appliance:       shop:main.db7"],
                &["db7 is shop:main.db7"],
            ),
            ("appliance boot db1", 2, &[], &["is ambiguous"]),
            ("appliance stop nosuch", 7, &[], &["there is no appliance nosuch"]),
            (
                "appliance stop 'nosuch*'",
                7,
                &[],
                &["no appliance matches nosuch*; nothing was done"],
            ),
            (
                "appliance set 'shop:*' --boot-timeout 2h",
                0,
                &["db1", "db7", "web1", "!bank"],
                &["shop:* matches 3 appliances: shop:main.db1, shop:main.db7, shop:main.web1"],
            ),
            (
                "appliance set db7 --boot-timeout 13h",
                2,
                &[],
                &["--boot-timeout: is 13 h; 1 s to 12 h are"],
            ),
            (
                "appliance stop db7 nosuch web1",
                7,
                &["db7", "web1"],
                &["there is no appliance nosuch"],
            ),
            ("appliance stop -q web1", 0, &["!web1"], &[]),
            ("appliance unsuppress 'shop:*'", 7, &[], &["no appliance matches shop:*"]),
            ("appliance remove 'shop:*'", 2, &[], &["is a pattern: name each"]),
            ("appliance boot shop:main.db7 -o json", 0, &["{\"name\""], &[]),
            ("appliance boot shop:main.db7 shop:main.db1 -o json", 0, &["[\n{\"name\""], &[]),
            (
                "appliance rm web1",
                0,
                &["shop:main.web1 is removed (record "],
                &["web1 is shop:main.web1"],
            ),
            ("mail retry --all", 0, &[], &["nothing to retry"]),
            ("boot db7", 2, &[], &["`gridctl appliance boot`"]),
            // A question never leads to an act.
            ("top", 2, &[], &["there is no command `top`; `gridctl` has log, "]),
            (
                "alert ack db7",
                2,
                &[],
                &["db7 is not the number of an alert", "1 (event disk sda is failing)"],
            ),
            ("appliance shop db7", 2, &[], &["there is no command `appliance shop`"]),
            ("log --kind failed", 2, &[], &["a similar value exists: 'start_failed'"]),
            // Words of the command line, not of the contract.
            ("appliance list '[a'", 2, &[], &["the appliance: `[a` is not a pattern"]),
            ("mail show seven", 2, &[], &["expected a whole number"]),
        ],
    )
    .await;
    let named = gridd.gridctl(&["appliance", "list", "-q"]).await.done();
    assert!(named.contains("shop:main.db7") && !named.contains("web1"), "{named}");
}

#[tokio::test]
async fn monitoring_reads_one_line_and_four_exit_codes() {
    let mut gridd = grid().await;
    gridd.gridctl(&["alert", "resolve", "1"]).await.done();
    let ok = gridd.gridctl(&["status", "--check"]).await;
    assert_eq!((ok.code, ok.stderr.as_str()), (Some(0), ""), "{ok:?}");
    assert!(ok.stdout.starts_with("GRID OK - no open alerts, 4 of 4 appliances running | "));
    assert!(ok.stdout.contains(" running=4 failed=0 alerts=0 ") && ok.stdout.lines().count() == 1);
    gridd.vme("shop:main.db7", 2, &["id=start_failed", "msg=no | disk"]).await.done();
    let critical = gridd.gridctl(&["status", "--check"]).await;
    assert_eq!(critical.code, Some(2), "{critical:?}");
    assert!(critical.stdout.starts_with("GRID CRITICAL - 1 alert open, error: shop:main.db7 "));
    assert_eq!(critical.stdout.matches('|').count(), 1, "{critical:?}");
    let unknown = gridd.gridctl(&["status", "--check", "--nonsense"]).await;
    assert_eq!(unknown.code, Some(3), "{unknown:?}");
    assert!(unknown.stdout.starts_with("GRID UNKNOWN - unexpected argument"), "{unknown:?}");
    gridd.kill().await;
    let away = gridd.gridctl(&["status", "--check"]).await;
    assert_eq!(away.code, Some(2), "{away:?}");
    assert!(away.stdout.starts_with("GRID CRITICAL - no broker answers at "), "{away:?}");
    let version = gridd.gridctl(&["version"]).await;
    assert_eq!(version.code, Some(6));
    assert!(version.stdout.starts_with("gridctl 0."), "{version:?}");
}

#[tokio::test]
async fn contexts_name_brokers_and_flags_go_before_the_environment() {
    let (one, other) = (Gridd::start().await, Gridd::start().await);
    let file = one.path("config/gridctl/contexts.toml");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    let text = format!(
        "# ours\n[context.one]\nbroker = \"{}\"\n[context.other]\nbroker = \"{}\"\n",
        one.grpc, other.grpc
    );
    std::fs::write(&file, text).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    let typed = async |line: &str, environment: &[(&str, &str)]| {
        let mut command = clean(env!("CARGO_BIN_EXE_gridctl"));
        command.args(words(line)).env("XDG_CONFIG_HOME", one.path("config"));
        command.envs(environment.iter().copied());
        run(command).await
    };
    let list = typed("context", &[]).await.done();
    assert!(list.contains(&one.grpc) && !list.contains('*'), "{list}");
    assert_eq!(typed("context use nosuch", &[]).await.code, Some(7));
    typed("context use one", &[]).await.done();
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(text.starts_with("current = \"one\"\n# ours\n"), "{text}");
    let empty = [("GRID_BROKER", ""), ("GRID_CONTEXT", "")];
    let (one_is, other_is) = (one.grpc.as_str(), other.grpc.as_str());
    for (line, environment, at) in [
        ("version", &empty[..], one_is),
        ("--context other version", &[], other_is),
        ("version --context other", &[("GRID_BROKER", one_is)], other_is),
        ("version", &[("GRID_CONTEXT", "other")], other_is),
        ("version", &[("GRID_CONTEXT", "other"), ("GRID_BROKER", one_is)], one_is),
    ] {
        let said = typed(line, environment).await.done();
        assert!(said.contains(&format!(" at {at}\n")), "{line} {environment:?}: {said}");
    }
    let said = typed(&format!("--broker {other_is} version"), &[("GRID_CONTEXT", "one")]).await;
    assert!(said.done().contains(other_is));
    for (line, code, words) in [
        ("--context nosuch status", 2, "there is no context nosuch in "),
        ("--broker= status", 2, "--broker is empty"),
        ("--broker h:1 --context one status", 2, "use one of them"),
    ] {
        let said = typed(line, &[]).await;
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(said.stderr.contains(words), "{said:?}");
    }
    std::fs::write(&file, "[context.one]\nbrokr = \"x\"\n").expect("a file");
    let said = typed("status", &[]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("contexts.toml: line 2: unknown field `brokr`"), "{said:?}");
}

#[tokio::test]
async fn a_full_standard_output_is_noticed_by_every_command() {
    let gridd = grid().await;
    for line in [
        "log",
        "log -o json",
        "log -o csv",
        "log -q",
        "log show 1",
        "appliance",
        "show db7",
        "appliance boot shop:main.db7",
        "appliance set shop:main.db7 --managed true",
        "journal",
        "journal backup backup",
        "status",
        "status --check",
        "version",
        "report",
        "report -o json",
        "context show",
        "generate generated",
        "help",
        "--help",
        "log list --help",
        "--version",
    ] {
        let mut command = clean("/bin/sh");
        let script = "gridctl=$1; shift; exec \"$gridctl\" \"$@\" >/dev/full";
        command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_gridctl")]).args(words(line));
        command.env("GRID_BROKER", &gridd.grpc).env("HOME", gridd.path("home"));
        command.current_dir(gridd.path("."));
        let said = run(command).await;
        let code = if line.ends_with("--check") { 3 } else { 1 };
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{line}: {said:?}");
        let words = "gridctl: cannot write the output: No space left on device (os error 28)";
        assert!(said.stderr.contains(words), "{line}: {said:?}");
    }
}

#[tokio::test]
async fn a_shell_is_offered_the_names_that_the_broker_knows() {
    let gridd = grid().await;
    for (line, names) in [
        ("appliance show shop:", "shop:main.db1\nshop:main.db7\nshop:main.web1\n"),
        ("appliances stop we", "shop:main.web1\n"),
        ("logs -f bank", "bank:main.db1\n"),
        ("appliance set shop:main.db1 --class w", "web\n"),
        ("appliance add sh", ""),
        ("nonsense sh", ""),
    ] {
        let mut command = clean(env!("CARGO_BIN_EXE_gridctl"));
        command.arg("complete-names").args(words(line)).env("GRID_BROKER", &gridd.grpc);
        assert_eq!(run(command).await.done(), names, "{line}");
    }
    let mut away = clean(env!("CARGO_BIN_EXE_gridctl"));
    away.args(["complete-names", "show", "db"]).env("GRID_BROKER", "127.0.0.1:1");
    let said = run(away).await;
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""), "it says nothing");
    // The way of bash, in which a colon parts words: only what is behind it is replaced.
    let folder = gridd.path("generated");
    gridd.gridctl(&["generate", &folder.display().to_string()]).await.done();
    let ask = "source \"$1\"; COMP_WORDBREAKS=\"$COMP_WORDBREAKS:\"; COMP_LINE=\"$2\"; \
               COMP_POINT=${#COMP_LINE}; COMP_WORDS=($2); COMP_CWORD=3; how=$(complete -p gridctl); \
               how=${how#*-F }; \"${how%% *}\" gridctl main.w :; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut command = std::process::Command::new("bash");
    command.args(["--norc", "-c", ask, "bash"]);
    command.arg(folder.join("bash-completion/completions/gridctl"));
    command.arg("gridctl appliance show shop:main.w").env("GRID_BROKER", &gridd.grpc);
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_gridctl")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", programs.display()));
    assert_eq!(run(command).await.done(), "main.web1\n");
}
