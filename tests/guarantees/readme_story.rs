//! An appliance's event becomes a durable record, and an administrator reads it: the README's
//! story, and how the grid log is followed meanwhile.

use serde_json::Value;

use crate::support::{Follower, Gridd, lines};

const DB1: &str = "shop:main.db1";

/// Short limits for one class, so that its starts could fail while the story is told.
const CONFIG: &str = "[class.default]\nboot_timeout = \"300s\"\nmaintenance_silence = \"60s\"\n";

fn texts(records: &[Value]) -> Vec<String> {
    let text = |record: &Value| {
        let of = |key: &str| record[key].as_str().unwrap_or("-").to_owned();
        format!("{} {}: {}", of("appliance"), of("kind"), of("text"))
    };
    records.iter().map(text).collect()
}

fn numbers<'a>(records: impl IntoIterator<Item = &'a Value>) -> Vec<u64> {
    records.into_iter().map(|record| record["number"].as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn an_appliance_starts_and_the_administrator_reads_why_it_took_so_long() {
    let gridd = Gridd::with_config(CONFIG).await;
    let said = gridd.vme(DB1, 1, &["id=maintenance", "msg=checking database", "progress=34"]).await;
    assert_eq!(said.done(), "vme: maintenance of shop:main.db1 is record 4\n");

    let shown = gridd.gridctl(&["appliance", "show", DB1]).await.done();
    let explanation = lines(&shown)[1].strip_prefix("explanation:").expect("the second line");
    let due = explanation
        .trim()
        .strip_prefix("maintenance 34 % \"checking database\", next report due in ")
        .expect("it explains the maintenance");
    let due: u64 = due.strip_suffix(" s").and_then(|due| due.parse().ok()).expect("seconds");
    assert!((30..=60).contains(&due), "{explanation}");

    for (words, answer) in [
        (&["id=started_ok"][..], "vme: started_ok of shop:main.db1 is record 5\n"),
        (&["id=log", "msg=SSL certificate loaded OK"], "vme: log of shop:main.db1 is record 6\n"),
        (
            &["id=alert", "msg=Corrupted database file detected", "severity=fatal"],
            "vme: alert of shop:main.db1 is record 7\n",
        ),
    ] {
        assert_eq!(gridd.vme(DB1, 1, words).await.done(), answer);
    }
    gridd.explained(DB1, "running since ").await;
    let records = gridd.records(&[]).await;
    assert_eq!(
        texts(&records)[2..],
        [
            "shop:main.db1 session: new appliance registered",
            "shop:main.db1 maintenance: checking database",
            "shop:main.db1 started_ok: ",
            "shop:main.db1 log: SSL certificate loaded OK",
            "shop:main.db1 alert: Corrupted database file detected",
        ]
    );
    assert_eq!(numbers(&records), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn each_filter_leaves_what_it_names() {
    let gridd = Gridd::start().await;
    let boot_of_web = uuid::Uuid::from_u128(0x7ab3_0000_0000_4000_8000_0000_0000_0001);
    for (name, boot, words) in [
        (DB1, 1, &["id=maintenance", "msg=Recovery of Tables", "progress=1"][..]),
        (DB1, 1, &["id=start_failed", "msg=no disk"]),
        ("shop:main.web1", boot_of_web.as_u128(), &["id=started_ok"]),
        ("shop:main.web1", boot_of_web.as_u128(), &["id=alert", "cnt_name=n", "cnt_value=4"]),
        (DB1, 1, &["id=log", "msg=wondering", "severity=warn"]),
    ] {
        gridd.vme(name, boot, words).await.done();
    }
    // 1 the start, 2 the settings, 3 db1 appears, 4, 5, 6 web1 appears, 7, 8, 9.
    for (filters, expected) in [
        (&["--appliance", "shop:*.web?"][..], &[6, 7, 8][..]),
        (&["--appliance", DB1, "--appliance", "shop:main.web1"], &[3, 4, 5, 6, 7, 8, 9]),
        (&["--kind", "start_failed", "--kind", "log"], &[5, 9]),
        (&["--kind", "broker"], &[1, 2]),
        (&["--severity", "error"], &[5, 8]),
        (&["--severity", "error", "--appliance", DB1, "--kind", "log"], &[]),
        (&["--text", "rEcovery of t"], &[4]),
        (&["--boot", "7ab3"], &[7, 8]),
        (&["--since", "1h", "--kind", "start_failed"], &[5]),
        (&["--until", "1h"], &[]),
        (&["--since", "2020-01-01T00:00:00Z", "--until", "2020-01-02T00:00:00Z"], &[]),
    ] {
        assert_eq!(numbers(&gridd.records(filters).await), expected, "{filters:?}");
    }
    let newest = gridd.gridctl(&["log", "list", "--limit", "2", "--output", "jsonl"]).await.done();
    let newest: Vec<Value> = lines(&newest).into_iter().map(parsed).collect();
    assert_eq!(numbers(&newest), [8, 9]);
    let words = ["log", "list", "-r", "--limit", "2", "--output", "jsonl"];
    let newest = gridd.gridctl(&words).await.done();
    let newest: Vec<Value> = lines(&newest).into_iter().map(parsed).collect();
    assert_eq!(numbers(&newest), [9, 8]);
}

#[tokio::test]
async fn a_follower_sees_every_record_once_and_in_order_over_restarts_of_the_broker() {
    let mut gridd = Gridd::start().await;
    gridd.vme(DB1, 1, &["id=log", "msg=before"]).await.done();
    let follow = ["log", "list", "-f", "--output", "jsonl", "--limit", "1000"];
    let mut follower = Follower::start(gridd.gridctl_command(&follow));
    follower.lines(4).await;
    for number in 0..5 {
        gridd.vme(DB1, 1, &["id=log", &format!("msg=first {number}")]).await.done();
    }
    follower.lines(9).await;

    gridd.kill().await;
    follower.complains("is unavailable").await;
    gridd.start_again().await;
    for number in 0..5 {
        gridd.vme(DB1, 1, &["id=log", &format!("msg=second {number}")]).await.done();
    }
    follower.lines(16).await;

    assert_eq!(gridd.terminate().await, Some(0));
    gridd.start_again().await;
    gridd.vme(DB1, 1, &["id=log", "msg=last"]).await.done();
    let all = gridd.records(&[]).await;
    follower.lines(all.len()).await;
    let ended = follower.interrupt().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let followed: Vec<Value> = lines(&ended.stdout).into_iter().map(parsed).collect();
    assert_eq!(followed, all);
    assert_eq!(numbers(&followed), (1..=numbers(&all).len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_follower_of_nothing_old_sees_only_what_comes() {
    let gridd = Gridd::start().await;
    gridd.vme(DB1, 1, &["id=log", "msg=old"]).await.done();
    let words = ["list", "log", "-f", "--limit", "1", "--kind", "log", "--output", "jsonl"];
    let mut follower = Follower::start(gridd.gridctl_command(&words));
    follower.lines(1).await;
    gridd.vme("other", 1, &["id=alert", "msg=not wanted"]).await.done();
    gridd.vme(DB1, 1, &["id=log", "msg=new"]).await.done();
    let seen = follower.lines(2).await;
    let seen: Vec<_> = seen.iter().map(|line| parsed(line)["text"].clone()).collect();
    assert_eq!(seen, ["old", "new"]);
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).expect("one object a line")
}
