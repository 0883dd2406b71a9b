//! Crash dumps by OpenStack's API: what is accepted is done once, and its record tells what became of it.

use serde_json::{Value, json};

use crate::api::{Api, Headers, LATEST, LOWEST, TRIGGER, VERSION, send};

const LEGACY: &str = "x-openstack-nova-api-version";

#[tokio::test]
async fn what_is_accepted_is_done_once_however_it_is_sent() {
    let api = Api::start().await;
    api.runs("press-1", 1).await;
    let id = api.id("press-1").await;
    let project =
        api.get("/v2.1/servers/detail", &[]).await.json()["servers"][0]["tenant_id"].clone();
    let project = project.as_str().expect("an id").to_owned();
    let plain = format!("/v2.1/servers/{id}/action");
    let typed = [LOWEST, ("content-type", "application/json")];
    let twice = r#"{"trigger_crash_dump": 1, "trigger_crash_dump": null}"#;
    let variants: Vec<(String, Headers<'_>, &str)> = vec![
        (plain.clone(), &typed, TRIGGER),
        (plain.clone(), &[(LEGACY, "2.17")], TRIGGER),
        (plain.clone(), &[LATEST, ("accept", "application/xml")], TRIGGER),
        (plain.clone(), &[LOWEST, ("accept", "")], twice),
        (plain.clone(), &[LOWEST, ("content-type", "text/plain")], TRIGGER),
        (format!("{plain}?x=y&name=z"), &[LOWEST], " {\n\"trigger_crash_dump\" :null}\n"),
        (format!("/v2.1/{project}/servers/{}/action", id.to_uppercase()), &[LOWEST], TRIGGER),
        (plain.clone(), &[LOWEST, ("x-auth-token", "notused")], TRIGGER),
        (plain.clone(), &[LOWEST, ("x-openstack-request-id", "req-mine")], TRIGGER),
    ];
    for ((path, headers, body), number) in variants.iter().zip(1..) {
        api.runs("press-1", number).await;
        let count = usize::try_from(number).expect("a small number");
        assert_eq!(api.calls("press-1"), count - 1, "before {path} {headers:?}");
        let answer = send(&api.gridd.http, ("POST", path), headers, body.as_bytes()).await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{path} {headers:?} {body}");
        assert_eq!(answer.header("content-length"), Some("0"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let version = if headers.contains(&LATEST) { "2.84" } else { "2.17" };
        answer.has_version(Some(version));
        api.is_called("press-1", count).await;
        api.becomes("press-1", "dumping").await;
        // The id of the answer is the key of the record.
        let listed = api.get(&format!("/v2.1/servers/{id}/os-instance-actions"), &[]).await.json();
        assert_eq!(listed["instanceActions"][0]["request_id"], answer.request_id());
        assert_eq!(listed["instanceActions"].as_array().map(Vec::len), Some(count));
        let again = api.act(&id, &[LOWEST], TRIGGER).await;
        let message = format!(
            "Cannot 'trigger_crash_dump' instance {id} while it is in task_state rebooting"
        );
        again.is_fault(409, "conflictingRequest", &message);
    }
    assert_eq!(api.calls("press-1"), variants.len());
}

#[tokio::test]
async fn two_at_once_are_one_dump_and_one_conflict() {
    let api = Api::start().await;
    api.runs("press-1", 1).await;
    let id = api.id("press-1").await;
    let (one, other) =
        tokio::join!(api.act(&id, &[LOWEST], TRIGGER), api.act(&id, &[LOWEST], TRIGGER));
    let mut found = [one.status, other.status];
    found.sort_unstable();
    assert_eq!(found, [202, 409], "{one:?} {other:?}");
    api.is_called("press-1", 1).await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_a_whole_record() {
    use tokio::io::AsyncWriteExt;

    let api = Api::start().await;
    api.runs("press-1", 1).await;
    let id = api.id("press-1").await;
    let mut stream = tokio::net::TcpStream::connect(&api.gridd.http).await.expect("connects");
    let head = format!(
        "POST /v2.1/servers/{id}/action HTTP/1.1\r\nhost: {}\r\n{VERSION}: compute 2.17\r\n\
         content-length: {}\r\n\r\n{TRIGGER}",
        api.gridd.http,
        TRIGGER.len()
    );
    stream.write_all(head.as_bytes()).await.expect("writes");
    api.is_called("press-1", 1).await;
    drop(stream);
    api.becomes("press-1", "dumping").await;
    let request = one_request(&api, &id).await;
    let shown = crate::support::eventually("the driver's result", async || {
        let path = format!("/v2.1/servers/{id}/os-instance-actions/{request}");
        let shown = api.get(&path, &[LATEST]).await.json()["instanceAction"].clone();
        (shown["events"][0]["result"] != Value::Null).then_some(shown)
    });
    assert_eq!(shown.await["events"][0]["result"], "Success");
}

async fn one_request(api: &Api, id: &str) -> String {
    let listed = api.get(&format!("/v2.1/servers/{id}/os-instance-actions"), &[]).await.json();
    assert_eq!(listed["instanceActions"].as_array().map(Vec::len), Some(1));
    listed["instanceActions"][0]["request_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_record_has_the_fields_of_its_version() {
    let api = Api::start().await;
    api.runs("press-1", 1).await;
    let id = api.id("press-1").await;
    let answer = api.act(&id, &[LOWEST], TRIGGER).await;
    let request = answer.request_id();
    api.is_called("press-1", 1).await;
    let path = format!("/v2.1/servers/{id}/os-instance-actions/{request}");
    let show = async |version: &str| {
        let version = format!("compute {version}");
        api.get(&path, &[(VERSION, &version)]).await.json()["instanceAction"].clone()
    };
    crate::support::eventually("the driver's result", async || {
        (show("2.84").await["events"][0]["result"] == "Success").then_some(())
    })
    .await;
    let shown = show("2.17").await;
    for (field, expected) in [
        ("action", json!("trigger_crash_dump")),
        ("instance_uuid", json!(id)),
        ("request_id", json!(request)),
        ("user_id", json!("unnamed administrator")),
        ("message", Value::Null),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    let event = &shown["events"][0];
    assert_eq!(event["event"], "compute_trigger_crash_dump");
    for at in [&shown["start_time"], &event["start_time"], &event["finish_time"]] {
        let at = at.as_str().expect("a time");
        assert!(at.len() == 26 && at.as_bytes()[19] == b'.', "{at}");
    }
    for (field, before, since) in
        [("hostId", "2.61", "2.62"), ("host", "2.61", "2.62"), ("details", "2.83", "2.84")]
    {
        assert!(show(before).await["events"][0].get(field).is_none(), "{field} before {since}");
        assert!(show(since).await["events"][0].get(field).is_some(), "{field} from {since} on");
    }
    assert!(show("2.57").await.get("updated_at").is_none());
    assert!(show("2.58").await.get("updated_at").is_some());
    let details = show("2.84").await["events"][0]["details"].clone();
    assert_eq!(details, "triggered by command; no new boot yet");
    api.runs("press-1", 2).await;
    let details = show("2.84").await["events"][0]["details"].clone();
    assert!(details.as_str().expect("a text").contains("; booted again, "), "{details}");
    let unknown = api.get(&format!("{path}x"), &[]).await;
    unknown.is_fault(404, "itemNotFound", &format!("Action {request}x not found"));
}

#[tokio::test]
async fn a_driver_that_fails_is_told_in_the_record() {
    let api = Api::start().await;
    api.runs("broken", 1).await;
    let id = api.id("broken").await;
    let answer = api.act(&id, &[LOWEST], TRIGGER).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    api.is_called("broken", 1).await;
    api.becomes("broken", "running").await;
    let path = format!("/v2.1/servers/{id}/os-instance-actions/{}", answer.request_id());
    let shown = api.get(&path, &[LATEST]).await.json()["instanceAction"].clone();
    assert_eq!(shown["message"], "Error");
    let event = &shown["events"][0];
    assert_eq!(event["result"], "Error");
    assert!(event["details"].as_str().expect("a text").contains("no such domain"), "{event}");
    let server = api.get(&format!("/v2.1/servers/{id}"), &[]).await.json()["server"].clone();
    assert_eq!((&server["status"], server.get("fault")), (&"ACTIVE".into(), None));
}

#[tokio::test]
async fn a_back_end_that_cannot_differs_from_one_that_cannot_now() {
    let api = Api::start().await;
    api.runs("absent", 1).await;
    api.runs("silent", 1).await;
    // Its connections wait for somebody to accept them.
    let _silent = std::os::unix::net::UnixListener::bind(api.gridd.path("silent")).expect("binds");
    for (name, status, words) in [
        ("absent", 400, "Triggering crash dump is not supported: ".to_owned()),
        (
            "silent",
            409,
            format!("Cannot 'trigger_crash_dump' instance {} now: ", api.id("silent").await),
        ),
    ] {
        let id = api.id(name).await;
        let answer = api.act(&id, &[LOWEST], TRIGGER).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let body = answer.json();
        let fault = body.as_object().expect("an object").values().next().expect("a fault");
        let message = fault["message"].as_str().expect("a message");
        assert!(message.starts_with(&words) && message.len() > words.len(), "{message}");
        api.becomes(name, "running").await;
        let listed = api.get(&format!("/v2.1/servers/{id}/os-instance-actions"), &[]).await.json();
        assert_eq!(listed, json!({"instanceActions": []}), "{name}");
    }
}

#[tokio::test]
async fn records_have_pages_from_version_2_58_on() {
    let api = Api::start().await;
    let mut requests = Vec::new();
    for boot in 1..=3 {
        api.runs("press-1", boot).await;
        let id = api.id("press-1").await;
        requests.insert(0, api.act(&id, &[LOWEST], TRIGGER).await.request_id());
        api.becomes("press-1", "dumping").await;
    }
    let id = api.id("press-1").await;
    let path = format!("/v2.1/servers/{id}/os-instance-actions");
    let v58 = (VERSION, "compute 2.58");
    let list = async |query: &str, version: (&str, &str)| {
        let listed = api.get(&format!("{path}?{query}"), &[version]).await;
        let body = listed.json();
        let found = body["instanceActions"].as_array().unwrap_or_else(|| panic!("{listed:?}"));
        let ids: Vec<_> =
            found.iter().map(|it| it["request_id"].as_str().expect("an id").to_owned()).collect();
        (ids, body["links"][0]["href"].as_str().map(str::to_owned))
    };
    let old = list("limit=1", (VERSION, "compute 2.57")).await;
    assert_eq!(old, (requests.clone(), None), "older versions have one page");
    let (first, next) = list("limit=2", v58).await;
    assert_eq!(first, requests[..2]);
    let next = next.expect("a link");
    let query = next.split_once('?').expect("a query").1;
    assert_eq!(next, format!("http://{}{path}?{query}", api.gridd.http));
    assert_eq!(list(query, v58).await, (requests[2..].to_vec(), None));
    assert_eq!(list(&format!("marker={}", requests[2]), v58).await, (Vec::new(), None));
    assert_eq!(list("limit=3", v58).await, (requests.clone(), None));
    let since = "changes-since=2100-01-01T00:00:00Z";
    assert_eq!(list(since, v58).await.0, Vec::<String>::new());
    let before = "changes-before=2000-01-01T00:00:00Z";
    assert_eq!(list(before, v58).await.0, requests, "it is ignored below 2.66");
    assert_eq!(list(before, (VERSION, "compute 2.66")).await.0, Vec::<String>::new());
    for (query, message) in [
        ("marker=req-x", "Marker req-x could not be found.".to_owned()),
        (
            "limit=x",
            "Invalid input for query parameters limit. Value: x. 'x' does not match '^[0-9]*$'"
                .to_owned(),
        ),
        (
            "changes-since=2026-01-02&changes-before=2026-01-01",
            "The value of changes-since must be less than or equal to changes-before.".to_owned(),
        ),
    ] {
        let refused = api.get(&format!("{path}?{query}"), &[LATEST]).await;
        refused.is_fault(400, "badRequest", &message);
    }
}
