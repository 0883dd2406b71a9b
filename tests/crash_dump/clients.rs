//! `openstack` without a login, against a broker that trusts loopback: every command about crash dumps.
//!
//! What is dumped is counted by the driver, and compared with what the broker keeps.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::openstack::{Client, Release};
use crate::recorded_driver::{BROKEN, Broker, COMPLAINT, UNSUPPORTED};

/// An appliance that was added and never ran.
const NEW: &str = "press-new";

/// An appliance that was stopped.
const STOPPED: &str = "press-stopped";

/// What the API says of an instance that dumps already.
fn busy(id: &str) -> String {
    format!("Cannot 'trigger_crash_dump' instance {id} while it is in task_state rebooting")
}

#[tokio::test]
async fn the_old_openstack_dumps_without_a_login() {
    dumps_without_a_login(Release::Old).await;
}

#[tokio::test]
async fn the_new_openstack_dumps_without_a_login() {
    dumps_without_a_login(Release::New).await;
}

async fn dumps_without_a_login(release: Release) {
    let broker = Broker::start(&["press-1", "press-2", "press-3", "press-4", STOPPED]).await;
    broker.gridctl(&format!("appliance add {NEW}")).await.done();
    broker.gridctl(&format!("appliance stop {STOPPED}")).await.done();
    let endpoint = broker.api("/v2.1");
    let login = ["--os-auth-type", "none", "--os-endpoint", &endpoint];
    // Without a catalog the new one has to be told which version of an API it never asks.
    let login = [login.as_slice(), &["--os-identity-api-version", "3"]].concat();
    let client = Client::new(&broker.gridd, release, &login);
    let ids = lists_them(&client).await;
    dumps_by_name_and_by_id(&broker, &client, &ids).await;
    dumps_several_until_one_is_refused(&broker, &client, &ids).await;
    tells_that_a_driver_failed(&broker, &client, &ids).await;
    is_told_what_is_wrong(&broker, &client, &ids).await;
    // An administrator's lock does not hold up those whom the broker trusts.
    client.silent("server lock --reason inventory press-4").await;
    let shown = client.json("server show press-4").await;
    assert_eq!((&shown["locked"], &shown["locked_reason"]), (&true.into(), &"inventory".into()));
    client.silent("server dump create press-4").await;
    client.silent("server unlock press-4").await;
    assert_eq!(client.json("server show press-4").await["locked"], false);
    broker.called("press-4", 1).await;
}

/// The ids by name, of all appliances.
async fn lists_them(client: &Client) -> BTreeMap<String, String> {
    let listed = client.json("server list").await;
    let mut status = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for server in listed.as_array().expect("an array") {
        let text = |field: &str| server[field].as_str().expect("a text").to_owned();
        status.insert(text("Name"), text("Status"));
        ids.insert(text("Name"), text("ID"));
    }
    let expected = [
        ("press-1", "ACTIVE"),
        ("press-2", "ACTIVE"),
        ("press-3", "ACTIVE"),
        ("press-4", "ACTIVE"),
        (BROKEN, "ACTIVE"),
        (NEW, "BUILD"),
        (STOPPED, "SHUTOFF"),
        (UNSUPPORTED, "ACTIVE"),
    ];
    let status: Vec<_> = status.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
    assert_eq!(status, expected);
    let filtered = client.openstack("server list --status SHUTOFF -f value -c Name").await.done();
    assert_eq!(filtered, format!("{STOPPED}\n"));
    let filtered = client.openstack("server list --name ss-[12] -f value -c Name").await.done();
    let mut names: Vec<_> = filtered.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["press-1", "press-2"], "Nova's filter is a regular expression");
    ids
}

async fn dumps_by_name_and_by_id(broker: &Broker, client: &Client, ids: &BTreeMap<String, String>) {
    let id = &ids["press-1"];
    client.silent("server dump create press-1").await;
    broker.becomes("press-1", "dumping").await;
    client.refused("server dump create press-1", 409, &busy(id)).await;
    broker.called("press-1", 1).await;
    let shown = client.json("server show press-1").await;
    assert_eq!((&shown["id"], &shown["status"]), (&id.as_str().into(), &"REBOOT".into()));
    assert_eq!(shown["OS-EXT-STS:task_state"], "rebooting", "{shown}");

    broker.boots("press-1", 2).await;
    assert_eq!(client.json(&format!("server show {id}")).await["status"], "ACTIVE");
    client.silent(&format!("server dump create {id}")).await;
    broker.called("press-1", 2).await;

    // All doors tell the same of both.
    let listed = client.json("server event list press-1").await;
    let listed = listed.as_array().expect("an array");
    let dumps = broker.dumps("press-1").await;
    let request_ids = |list: &[Value], field: &str| -> Vec<String> {
        list.iter().map(|it| it[field].as_str().expect("a request id").to_owned()).collect()
    };
    let (told, kept) = (request_ids(listed, "Request ID"), request_ids(&dumps, "request_id"));
    assert_eq!((told.len(), &told), (2, &kept), "newest first");
    assert!(listed.iter().all(|it| it["Action"] == "trigger_crash_dump"), "{listed:?}");
    assert!(listed.iter().all(|it| it["Server ID"] == id.as_str()), "{listed:?}");
    let event = event(client, "press-1", &told[1]).await;
    assert!(event.contains("compute_trigger_crash_dump") && event.contains("Success"), "{event}");
    pages_of_events(client, &told).await;
}

async fn pages_of_events(client: &Client, request_ids: &[String]) {
    let pages = [
        ("--limit 1".to_owned(), &request_ids[..1]),
        (format!("--marker {}", request_ids[0]), &request_ids[1..]),
        ("--changes-since 2100-01-01T00:00:00Z".to_owned(), &[]),
    ];
    for (words, expected) in pages {
        let listed = client.json(&format!("server event list {words} press-1")).await;
        let rows = listed.as_array().expect("an array").iter();
        let found: Vec<_> = rows.map(|row| row["Request ID"].as_str().expect("an id")).collect();
        assert_eq!(found, expected, "{words}");
    }
}

/// What `openstack server event show` prints.
async fn event(client: &Client, name: &str, request_id: &str) -> String {
    let shown = client.openstack(&format!("server event show {name} {request_id}")).await;
    assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{shown:?}");
    assert!(shown.stdout.contains(request_id), "{shown:?}");
    shown.stdout
}

async fn dumps_several_until_one_is_refused(
    broker: &Broker,
    client: &Client,
    ids: &BTreeMap<String, String>,
) {
    let line = format!("server dump create press-2 press-1 {}", ids["press-3"]);
    client.refused(&line, 409, &busy(&ids["press-1"])).await;
    broker.called("press-2", 1).await;
    // One after the other: this one had no turn.
    broker.called("press-3", 0).await;
    broker.boots("press-2", 2).await;
    client.silent(&format!("server dump create {} press-3", ids["press-2"])).await;
    broker.called("press-2", 2).await;
    broker.called("press-3", 1).await;
}

async fn tells_that_a_driver_failed(
    broker: &Broker,
    client: &Client,
    ids: &BTreeMap<String, String>,
) {
    client.silent(&format!("server dump create {BROKEN}")).await;
    broker.becomes(BROKEN, "running").await;
    broker.called(BROKEN, 1).await;
    let shown = client.json(&format!("server show {}", ids[BROKEN])).await;
    assert_eq!(shown["status"], "ACTIVE", "nothing happened to it");
    let listed = client.json(&format!("server event list --long {BROKEN}")).await;
    assert_eq!(listed[0]["Message"], "Error", "{listed}");
    let request_id = listed[0]["Request ID"].as_str().expect("a request id");
    let event = event(client, BROKEN, request_id).await;
    assert!(event.contains("Error") && event.contains(COMPLAINT), "{event}");
}

async fn is_told_what_is_wrong(broker: &Broker, client: &Client, ids: &BTreeMap<String, String>) {
    client.does_not_find("press-9").await;
    // No appliance can have such a name; a client sends it all the same.
    client.does_not_find("press 1").await;
    client.does_not_find("press-1/x?name=press-1").await;
    let line = format!("server dump create {UNSUPPORTED}");
    client.refused(&line, 400, "Triggering crash dump is not supported").await;
    let words = format!("Instance {} is not ready", ids[NEW]);
    client.refused(&format!("server dump create {NEW}"), 409, &words).await;
    let words = format!(
        "Cannot 'trigger_crash_dump' instance {} while it is in vm_state stopped",
        ids[STOPPED]
    );
    client.refused(&format!("server dump create {STOPPED}"), 409, &words).await;
    for name in [UNSUPPORTED, NEW, STOPPED] {
        broker.called(name, 0).await;
    }
    let listed = client.json(&format!("server event list {UNSUPPORTED}")).await;
    assert_eq!(listed, Value::Array(Vec::new()), "what is refused leaves no record");
    let shown = client.openstack("server event show press-2 req-unknown").await;
    assert!(shown.stderr.contains("Action req-unknown not found"), "{shown:?}");
    assert_eq!(shown.code, Some(1));
}
