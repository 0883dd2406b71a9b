//! Settings are checked before they hold, told with where they are from, and read again on SIGHUP
//! without loss; the words of every mistake are in `src/config/tests/mistakes.txt`.

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Gridd, Run, clean, eventually, gridd_alone, lines, run};

fn write(gridd: &Gridd, text: &str) {
    std::fs::write(gridd.path("gridd.toml"), text).expect("the configuration");
}

/// What gridd traced so far, each line from its level on.
fn traced(gridd: &Gridd) -> Vec<String> {
    let text = std::fs::read_to_string(gridd.path("stderr")).expect("its stderr");
    let from_level = |line: &str| {
        let levels = ["ERROR", "WARN", "INFO"].into_iter().filter_map(|level| line.find(level));
        line[levels.min().unwrap_or(0)..].to_owned()
    };
    lines(&text).into_iter().map(from_level).collect()
}

/// SIGHUP, and what was traced from then on until `end` is in a line.
async fn reload(gridd: &Gridd, end: &str) -> Vec<String> {
    let before = traced(gridd).len();
    gridd.signal(Signal::HUP);
    eventually(&format!("`{end}` after SIGHUP"), async || {
        let mut new = traced(gridd).split_off(before);
        // On a busy machine the start's last words may come late.
        let begin = new.iter().position(|line| line.contains("SIGHUP")).unwrap_or(0);
        let new = new.split_off(begin);
        new.iter().any(|line| line.contains(end)).then_some(new)
    })
    .await
}

async fn settings_records(gridd: &Gridd) -> Vec<Value> {
    let records = gridd.records(&["--kind", "broker"]).await;
    records.into_iter().filter(|record| !record["settings"].is_null()).collect()
}

#[tokio::test]
async fn a_start_leaves_a_record_of_what_is_not_default_and_where_it_is_from() {
    let gridd = Gridd::with_config("[retention]\nage = \"30d\"\n").await;
    let [record] = &settings_records(&gridd).await[..] else { panic!("one record") };
    assert_eq!((&record["number"], &record["severity"]), (&2.into(), &"info".into()));
    let settings = record["settings"]["settings"].as_array().expect("a list");
    let told: Vec<_> =
        settings.iter().map(|it| [&it["key"], &it["value"], &it["origin"]]).collect();
    let grpc = Value::from(gridd.grpc.rsplit_once(':').map(|(host, _)| format!("{host}:0")));
    assert_eq!(
        told,
        [
            [&"data".into(), &"data".into(), &"--data".into()],
            [&"grpc".into(), &grpc, &"--grpc".into()],
            [&"http".into(), &grpc, &"--http".into()],
            [&"retention.age".into(), &"30d".into(), &"gridd.toml:2".into()],
        ]
    );
    assert_eq!(record["settings"]["at_start"], true);
    let text = record["text"].as_str().expect("a text");
    assert!(text.ends_with("retention.age = 30d (gridd.toml:2)"), "{text}");
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_each_is_traced_with_its_line() {
    let gridd = Gridd::with_config("[class.web]\nboot_timeout = \"1h\"\n").await;
    write(&gridd, "ballast = \"8\"\n[class.web]\nboot_timeout = \"2h\"\nboot_time = \"2h\"\n");
    let told = reload(&gridd, "the settings stay").await;
    assert_eq!(
        told,
        [
            "INFO daemon::reload: SIGHUP: reloading the settings",
            "ERROR daemon::reload: gridd.toml:1: ballast: \"8\" is not a size of at \
             least 1MiB, such as 8MiB",
            "ERROR daemon::reload: gridd.toml:4: class.web.boot_time: there is no such \
             key; did you mean boot_timeout?",
            "ERROR daemon::reload: the settings stay unchanged: the new settings have the \
             errors above",
        ]
    );
    let added = gridd.gridctl(&["appliance", "add", "a", "--class", "web"]).await.done();
    assert!(added.contains("boot timeout:    1h"), "{added}");
    std::fs::remove_file(gridd.path("gridd.toml")).expect("removes");
    let told = reload(&gridd, "the settings stay").await;
    assert!(told[1].contains("gridd.toml: can't be read: No such file"), "{told:?}");
    assert_eq!(settings_records(&gridd).await.len(), 1, "that of the start");
}

#[tokio::test]
async fn what_can_change_does_and_what_needs_a_restart_is_named_and_stays() {
    let mut gridd = Gridd::with_config("[class.web]\nboot_timeout = \"1h\"\n").await;
    gridd.gridctl(&["appliance", "add", "a", "--class", "web"]).await.done();
    write(
        &gridd,
        "grpc = \"127.0.0.1:1\"\ntracing = \"warn\"\n[journal]\nspan = \"1MiB\"\n[retention]\n\
         age = \"40d\"\n[class.web]\nboot_timeout = \"2h\"\n[class.new]\n",
    );
    reload(&gridd, "class.new: no appliance").await;
    let shown = gridd.gridctl(&["appliance", "show", "a"]).await.done();
    assert!(shown.contains("boot timeout:    2h"), "{shown}");
    let record = settings_records(&gridd).await.pop().expect("a record");
    assert_eq!(
        record["text"],
        "settings changed: class.new = a class (gridd.toml:9), tracing = warn, was info \
         (gridd.toml:2), retention.age = 40d, was 90d (gridd.toml:6), class.web.boot_timeout = 2h, \
         was 1h (gridd.toml:8); settings that need a restart: journal.span = 1MiB, was 256MiB \
         (gridd.toml:4)",
        "the flag --grpc goes before the file"
    );
    let told = reload(&gridd, "journal.span").await;
    assert!(told[0].starts_with("WARN"), "the filter of tracing is another one: {told:?}");
    // A restart is all it needed.
    assert_eq!(gridd.terminate().await, Some(0));
    gridd.start_again().await;
    let record = settings_records(&gridd).await.pop().expect("a record");
    let text = record["text"].as_str().expect("a text");
    assert!(text.contains("journal.span = 1MiB (gridd.toml:4)"), "{text}");
    write(&gridd, "");
    reload(&gridd, "class.default applies to the appliances of this class (1)").await;
}

async fn check_config(words: &[&str], environment: &[(&str, &str)], folder: &TempDir) -> Run {
    let mut command = clean(env!("CARGO_BIN_EXE_gridd"));
    command.current_dir(folder.path()).arg("check-config").args(words);
    command.envs(environment.iter().copied());
    run(command).await
}

#[tokio::test]
async fn check_config_names_every_mistake_or_every_setting_and_touches_no_data() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("c.toml");
    std::fs::write(&file, "grpc = \"here\"\n[retentoin]\nage = \"1d\"\n").expect("writes");
    let said = check_config(&["c.toml"], &[("GRIDD_RETENTION_AGE", "1d")], &folder).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        lines(&said.stderr),
        [
            "c.toml:1: grpc: \"here\" is not an address with a port, such as 127.0.0.1:7443",
            "c.toml:2: retentoin: there is no such key; did you mean retention?",
            "GRIDD_RETENTION_AGE: there is no such setting; did you mean GRIDD_RETENTION__AGE?",
            "gridd: 3 errors; gridd will not start",
        ]
    );
    let said = check_config(&["--output", "json", "c.toml"], &[], &folder).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(2), ""));
    let told: Value = serde_json::from_str(&said.stdout).expect("an object");
    assert_eq!(told["errors"][1]["origin"], "c.toml:2");
    assert_eq!(told["errors"][1]["key"], "retentoin");
    assert_eq!(told["settings"], Value::Array(Vec::new()));

    std::fs::write(&file, "[class.web]\nboot_timeout = \"infinite\"\n").expect("writes");
    let environment = [("GRIDD_CONFIG", "c.toml"), ("GRIDD_RETENTION__AGE", "1d")];
    let said = check_config(&[], &environment, &folder).await;
    assert_eq!(said.code, Some(0));
    assert_eq!(
        said.stderr,
        "warning: c.toml:2: class.web.boot_timeout: infinite: a start that never ends is never \
         reported as failed\n"
    );
    let row = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<_> = lines(&said.stdout).into_iter().map(row).collect();
    for expected in [
        ["data", "./gridd-data", "default"],
        ["retention.age", "1d", "GRIDD_RETENTION__AGE"],
        ["class.web.boot_timeout", "infinite", "c.toml:2"],
        ["class.default.budget.log.burst", "25", "default"],
    ] {
        assert!(rows.contains(&expected.map(str::to_owned).to_vec()), "{expected:?}");
    }
    let flagged = ["--data", "of-flag", "check-config", "c.toml"];
    let said = gridd_alone(folder.path(), &flagged).await.done();
    assert!(said.contains("of-flag") && said.contains("--data"), "{said}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("reads").collect();
    assert_eq!(left.len(), 1, "the file alone: {left:?}");
}

#[tokio::test]
async fn a_class_that_nothing_uses_is_a_warning_of_a_start_once_there_are_appliances() {
    let mut gridd = Gridd::with_config("\n[class.web]\n[class.used]\n").await;
    gridd.gridctl(&["appliance", "add", "a"]).await.done();
    assert!(!gridd.stderr().contains("class.web"), "nobody could be of it: {}", gridd.stderr());
    assert_eq!(gridd.terminate().await, Some(0));
    gridd.start_again().await;
    let line = "WARN daemon::reload: gridd.toml:2: class.web: no appliance has this class; \
                `gridctl appliance set NAME --class web` assigns it";
    eventually("the warning", async || traced(&gridd).contains(&line.to_owned()).then_some(()))
        .await;
    gridd.gridctl(&["appliance", "add", "b", "--class", "used"]).await.done();
    write(&gridd, "[class.used]\n[class.other]\n");
    let told = reload(&gridd, "class.other: no appliance").await;
    assert!(!told.iter().any(|line| line.contains("class.used")), "{told:?}");
}
