//! What is open is shown as long as it is, to people and to scripts; without mail in the settings
//! whoever asks for mail is told so.

use serde_json::Value;

use crate::support::Gridd;

const NAME: &str = "shop:main.db1";

async fn alerts(gridd: &Gridd, words: &[&str]) -> Vec<Value> {
    let words = [&["alert"], words, &["--output", "json"]].concat();
    let json = gridd.gridctl(&words).await.done();
    // One matter that is asked for by its name is an object.
    let json: Value = serde_json::from_str(&json).expect("JSON");
    if json.is_object() {
        return vec![json];
    }
    json.as_array().expect("an array of open matters").clone()
}

#[tokio::test]
async fn a_failed_start_is_open_until_the_next_one() {
    let gridd = Gridd::start().await;
    let said = gridd.gridctl(&["alert", "list"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""));
    assert_eq!(said.stderr, "gridctl: no alerts are open\n");

    let reason = "msg=no disk \u{202e}\x1b[2J";
    gridd.vme(NAME, 1, &["id=start_failed", reason]).await.done();
    gridd.vme("shop:web", 1, &["id=started_ok"]).await.done();
    let table = gridd.gridctl(&["alert", "list"]).await.done();
    let row = table.lines().nth(1).expect("a row");
    assert!(row.trim_start().starts_with("1  error     open"), "{table}");
    assert!(row.contains("shop:main.db1"), "{table}");
    assert!(row.contains(r"no disk \u{202e}\x1b[2J"), "{table}");
    let listed = alerts(&gridd, &["list", "shop:*", "--severity", "error"]).await;
    let [alert] = listed.as_slice() else { panic!("one, not {listed:?}") };
    assert_eq!((&alert["appliance"], &alert["kind"]), (&NAME.into(), &"start_failed".into()));
    let shown = alerts(&gridd, &["show", NAME]).await;
    assert_eq!((&shown[0]["id"], &shown[0]["text"]), (&alert["id"], &alert["text"]));
    assert_eq!(shown[0]["steps"][0]["kind"], "opened");
    assert_eq!(alerts(&gridd, &["show", NAME, "start_failed"]).await, shown);
    assert_eq!(alerts(&gridd, &["show", "1"]).await, shown);
    assert!(alerts(&gridd, &["list", "--severity", "fatal"]).await.is_empty());
    assert!(alerts(&gridd, &["list", "--of-broker"]).await.is_empty());
    assert!(alerts(&gridd, &["list", "other*"]).await.is_empty());

    for (words, code, told) in [
        (
            &["show", NAME, "stuck"][..],
            7,
            "stuck of shop:main.db1 is not open; open alerts: start_failed",
        ),
        (&["show", "shop:web", "stuck"], 7, "stuck of shop:web is not open; open alerts: none"),
        (
            &["show", "-", "disk_low"],
            7,
            "disk_low of the broker itself is not open; open alerts: none",
        ),
        (&["show", "nobody"], 7, "there is no appliance nobody; `gridctl appliance list`"),
        (&["show", "shop:*"], 2, "name: 1 to 128 bytes of letters"),
        (&["show", "shop:web"], 0, "no alerts are open for shop:web"),
        (&["show", "-"], 0, "no alerts are open for the broker itself"),
    ] {
        let said = gridd.gridctl(&[&["alert"], words].concat()).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{words:?}");
        assert!(said.stderr.contains(told), "{words:?}: {}", said.stderr);
    }

    gridd.vme(NAME, 2, &["id=started_ok"]).await.done();
    assert!(alerts(&gridd, &["list"]).await.is_empty(), "it is over");
}

/// Mail to a server that is not there: what is decided is told all the same.
const MAIL: &str = "[mail]\nserver = \"127.0.0.1:9\"\nsecurity = \"plain\"\n\
                    from = \"grid@example.org\"\nto = \"ann@example.org\"\n";

#[tokio::test]
async fn an_alert_event_is_listed_acknowledged_and_resolved_and_each_step_is_explained() {
    let gridd = Gridd::with_config(MAIL).await;
    let text = "msg=no redundancy \x1b[2Jleft";
    gridd.vme(NAME, 1, &["id=alert", "severity=error", "key=raid1", text]).await.done();
    let listed = alerts(&gridd, &["list", "--key", "raid*", "--kind", "event"]).await;
    let [alert] = listed.as_slice() else { panic!("one, not {listed:?}") };
    assert_eq!((&alert["key"], &alert["state"]), (&"raid1".into(), &"open".into()));
    let check = gridd.gridctl(&["status", "--check"]).await;
    assert_eq!(check.code, Some(2), "an error is open: {check:?}");

    for (words, code, told) in [
        (
            &["ack", "db1"][..],
            2,
            "db1 is not the number of an alert; the open alerts of shop:main.db1 are 1 (event raid1)",
        ),
        (&["ack", "nobody"], 2, "nobody is not the number of an alert; `gridctl alert list` shows"),
        (
            &["resolve", "9"],
            7,
            "there is no alert 9; `gridctl alert list` shows those that are open",
        ),
        (&["unack", "1"], 3, "alert 1 is not acknowledged"),
        (&["ack", "1", "--until", "yesterday"], 3, "the end of the acknowledgement of alert 1 has"),
        (&["ack", "1", "--for", "0s"], 2, "expected more than 0s"),
        (&["show", "9"], 7, "there is no alert 9"),
    ] {
        let said = gridd.gridctl(&[&["alert"], words].concat()).await;
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{words:?}: {said:?}");
        assert!(said.stderr.contains(told), "{words:?}: {}", said.stderr);
    }
    let words = ["alert", "ack", "1", "--for", "2h", "--note", "disk is ordered"];
    let acked = gridd.gridctl(&words).await.done();
    assert!(
        acked.starts_with("alert 1 (raid1 of shop:main.db1) is acknowledged until 20"),
        "{acked}"
    );
    let check = gridd.gridctl(&["status", "--check"]).await;
    assert_eq!(check.code, Some(0), "somebody takes care of it: {check:?}");
    assert!(check.stdout.contains("no open alerts, 1 acknowledged"), "{check:?}");
    let status = gridd.gridctl(&["status"]).await.done();
    assert!(status.lines().any(|line| line.starts_with("acknowledged: 1 alert")), "{status}");
    let shown = alerts(&gridd, &["show", "1"]).await;
    assert_eq!(shown[0]["acknowledgement"]["note"], "disk is ordered");

    let over = ["id=alert", "key=raid1", "resolved=yes", "msg=rebuilt"];
    gridd.vme(NAME, 1, &over).await.done();
    assert!(alerts(&gridd, &["list"]).await.is_empty(), "it is over");
    let ended = alerts(&gridd, &["list", "--state", "resolved"]).await;
    assert_eq!(ended[0]["end_cause"], "appliance");

    assert_explained(&gridd, &alert["record_number"].to_string()).await;
}

/// Each step of alert 1 is explained, and the decisions of its record.
async fn assert_explained(gridd: &Gridd, number: &str) {
    let explained = gridd.gridctl(&["alert", "explain", "1"]).await.done();
    for expected in [
        "alert 1: error raid1 of shop:main.db1, resolved\n",
        "no redundancy \\x1b[2Jleft\n",
        " notified: it is new (record ",
        "    mail 1 to ann@example.org: ",
        " acknowledged by ",
        ": disk is ordered (record ",
        " not notified: somebody takes care of it (record ",
        " resolved: the appliance reported it (record ",
    ] {
        assert!(explained.contains(expected), "{expected:?} is missing:\n{explained}");
    }
    let explained = gridd.gridctl(&["log", "explain", number]).await.done();
    assert!(explained.contains("    alert 1 (raid1 of shop:main.db1)\n"), "{explained}");
    assert!(explained.contains("notified: it is new"), "{explained}");
    gridd.vme(NAME, 1, &["id=log", "msg=quiet"]).await.done();
    let newest = gridd.gridctl(&["log", "list", "--limit", "1", "--output", "json"]).await.done();
    let newest: Value = serde_json::from_str(&newest).expect("JSON");
    let number = newest[0]["number"].to_string();
    let explained = gridd.gridctl(&["log", "explain", &number]).await.done();
    assert!(
        explained.contains("no notification was decided on: it changes no alert"),
        "{explained}"
    );
    assert_eq!(gridd.gridctl(&["log", "explain", "9999"]).await.code, Some(7));
}

#[tokio::test]
async fn many_open_matters_are_listed_once_each_over_all_pages() {
    let gridd = Gridd::start().await;
    for number in 1..=3_u128 {
        gridd.vme(&format!("db{number}"), number, &["id=start_failed", "msg=x"]).await.done();
    }
    let mut client = gridd.alerts().await;
    let (mut names, mut page_token) = (Vec::new(), String::new());
    for _ in 0..4 {
        let request = grid_broker::contract::proto::ListAlertsRequest {
            filter: None,
            page_size: 1,
            page_token,
        };
        let page = client.list_alerts(request).await.expect("a page").into_inner();
        names.extend(page.alerts.into_iter().map(|it| it.appliance));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["db1", "db2", "db3"]);
}

#[tokio::test]
async fn without_mail_in_the_settings_nothing_is_owed_and_whoever_asks_is_told() {
    let gridd = Gridd::start().await;
    gridd.vme(NAME, 1, &["id=start_failed", "msg=no disk"]).await.done();
    let keys = "[mail] server and to in";
    let said = gridd.gridctl(&["mail", "list"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), ""));
    assert!(said.stderr.contains("mail is not configured, no mails are queued; set "), "{said:?}");
    assert!(said.stderr.contains(keys), "{said:?}");
    let said = gridd.gridctl(&["mail", "test", "ops@example.org"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (Some(3), ""), "{said:?}");
    assert!(said.stderr.contains("mail is not configured: [mail] server and to"), "{said:?}");
    let said = gridd.gridctl(&["mail", "test", "ops"]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("address: name@host of at most 254 bytes"), "{said:?}");
    for verb in ["show", "retry", "drop"] {
        let said = gridd.gridctl(&["mail", verb, "1"]).await;
        let told = "gridctl: no mail 1 is queued; `gridctl mail list` shows those that are\n";
        assert_eq!((said.code, said.stderr.as_str()), (Some(7), told), "{verb}");
    }
    let status = gridd.gridctl(&["status"]).await.done();
    assert!(status.lines().any(|line| line == "mail:       not configured"), "{status}");
}

#[tokio::test]
async fn what_is_owed_is_listed_and_dropped_by_order() {
    // Nobody is asked for a mail within the half minute in which it gathers.
    let config = "[mail]\nserver = \"127.0.0.1:9\"\nsecurity = \"plain\"\n\
                  from = \"grid@example.org\"\nto = \"ann@example.org, bob@example.org\"\n";
    let mut gridd = Gridd::with_config(config).await;
    let said = gridd.gridctl(&["mail", "list"]).await;
    assert_eq!(said.stderr, "gridctl: no mails are queued (2 recipients configured)\n");
    gridd.vme(NAME, 1, &["id=start_failed", "msg=no disk"]).await.done();
    gridd.kill().await;
    gridd.start_again().await;
    let list = async |words: &[&str]| {
        let words = [&["mail", "list", "--output", "json"], words].concat();
        let json = gridd.gridctl(&words).await.done();
        serde_json::from_str::<Vec<Value>>(&json).expect("an array of mails")
    };
    let queued = list(&[]).await;
    let to: Vec<_> = queued.iter().map(|mail| mail["recipient"].as_str()).collect();
    assert_eq!(to, [Some("ann@example.org"), Some("bob@example.org")]);
    let notice = &queued[0]["notices"][0];
    assert_eq!((&notice["appliance"], &notice["kind"]), (&NAME.into(), &"start_failed".into()));
    assert_eq!(list(&["bob@*", "--state", "waiting"]).await, queued[1..]);
    assert!(list(&["--state", "failed"]).await.is_empty());
    let shown = gridd.gridctl(&["mail", "show", "2"]).await.done();
    assert!(shown.contains("to:           bob@example.org\nstate:        waiting\n"), "{shown}");
    let status = gridd.gridctl(&["status"]).await.done();
    assert!(status.contains("mail:       2 queued, the oldest since 20"), "{status}");

    let mut command = gridd.gridctl_command(&["mail", "drop", "2"]);
    command.env("USER", "anna");
    let dropped = crate::support::run(command).await.done();
    assert!(dropped.starts_with("mail 2 is dropped (record "), "{dropped}");
    assert_eq!(list(&[]).await, queued[..1]);
    let told = gridd.records(&["--kind", "mail"]).await;
    let told = told.last().expect("the order");
    let text = "mail 2 to bob@example.org dropped";
    assert_eq!((&told["text"], &told["administrator"]), (&text.into(), &"anna".into()));
    let (_, _, page) = crate::page::page(&gridd.http, "/metrics").await;
    for line in ["gridd_mails_queued 1.0", "gridd_mails_failed 0.0"] {
        assert!(page.lines().any(|it| it == line), "{line}: {page}");
    }
    assert!(page.contains("\ngridd_mails_queued_since_timestamp_seconds "), "{page}");
}
