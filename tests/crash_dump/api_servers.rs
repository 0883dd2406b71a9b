//! Servers and flavors by OpenStack's API: states, fields by version, filters and pages.

use serde_json::{Value, json};

use crate::api::{Answer, Api, LATEST, LOWEST, TRIGGER, UNSUPPORTED, VERSION};

/// The names in a list of servers.
fn names(listed: &Answer) -> Vec<String> {
    assert_eq!(listed.status, 200, "{listed:?}");
    let servers = listed.json()["servers"].as_array().expect("a list").clone();
    servers.iter().map(|it| it["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn each_state_has_novas_words_and_allows_a_dump_or_not() {
    let api = Api::start().await;
    for (name, events) in [
        ("none-1", &["id=started_ok"][..]),
        ("none-2", &["id=start_failed msg=broken disk"]),
        ("none-3", &["id=maintenance"]),
        ("none-4", &["id=started_ok"]),
    ] {
        for event in events {
            let words: Vec<_> = match event.split_once(' ') {
                Some((id, rest)) => vec![id, rest],
                None => vec![*event],
            };
            api.gridd.vme(name, 1, &words).await.done();
        }
    }
    api.gridctl("appliance stop none-4").await.done();
    api.gridctl("appliance add none-5").await.done();
    api.gridctl("appliance add none-6").await.done();
    api.gridctl("appliance boot none-6").await.done();
    api.runs("press-1", 1).await;
    let dumping = api.id("press-1").await;
    assert_eq!(api.act(&dumping, &[LOWEST], TRIGGER).await.status, 202);
    let while_in = |words: &str| (409, format!("while it is in {words}"));
    for (name, shown, (status, message)) in [
        ("none-1", ("ACTIVE", "active", None, 1), (400, UNSUPPORTED.to_owned())),
        ("none-2", ("ERROR", "error", None, 1), (400, UNSUPPORTED.to_owned())),
        ("none-3", ("BUILD", "building", Some("spawning"), 1), while_in("vm_state building")),
        ("none-4", ("SHUTOFF", "stopped", None, 4), while_in("vm_state stopped")),
        ("none-5", ("BUILD", "building", Some("scheduling"), 0), (409, "is not ready".to_owned())),
        ("none-6", ("BUILD", "building", Some("spawning"), 1), while_in("vm_state building")),
        ("press-1", ("REBOOT", "active", Some("rebooting"), 1), while_in("task_state rebooting")),
    ] {
        let id = api.id(name).await;
        let server = api.get(&format!("/v2.1/servers/{id}"), &[]).await.json()["server"].clone();
        let (word, vm_state, task_state, power_state) = shown;
        let found = ["vm_state", "task_state", "power_state"]
            .map(|field| server[format!("OS-EXT-STS:{field}")].clone());
        assert_eq!(server["status"], word, "{name}");
        assert_eq!(found, [json!(vm_state), json!(task_state), json!(power_state)], "{name}");
        let answer = api.act(&id, &[LOWEST], TRIGGER).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        let said = answer.text;
        assert!(said.contains(&message), "{name}: {said}");
        if status == 409 {
            assert!(said.contains(&format!("{id} ")), "{said}");
        }
    }
    let failed = api.get("/v2.1/servers/detail?status=error", &[]).await.json();
    let fault = &failed["servers"][0]["fault"];
    assert_eq!((&fault["code"], &fault["message"]), (&500.into(), &"reported: broken disk".into()));
}

#[tokio::test]
async fn fields_are_there_from_their_version_on() {
    let api = Api::start().await;
    api.runs("press-1", 1).await;
    let id = api.id("press-1").await;
    let show = async |version: &str| {
        let version = format!("compute {version}");
        let shown = api.get(&format!("/v2.1/servers/{id}"), &[(VERSION, &version)]).await;
        shown.json()["server"].clone()
    };
    for (field, before, since) in [
        ("locked", "2.8", "2.9"),
        ("description", "2.18", "2.19"),
        ("tags", "2.25", "2.26"),
        ("trusted_image_certificates", "2.62", "2.63"),
        ("server_groups", "2.70", "2.71"),
        ("locked_reason", "2.72", "2.73"),
    ] {
        assert!(show(before).await.get(field).is_none(), "{field} before {since}");
        assert!(show(since).await.get(field).is_some(), "{field} from {since} on");
    }
    let flavor = show("2.46").await["flavor"].clone();
    assert_eq!(flavor["id"], "default");
    let flavor = show("2.47").await["flavor"].clone();
    let whole = json!({
        "original_name": "default", "vcpus": 0, "ram": 0, "disk": 0, "ephemeral": 0, "swap": 0,
        "extra_specs": {},
    });
    assert_eq!(flavor, whole);
    let server = show("2.1").await;
    for (field, expected) in [
        ("id", json!(id)),
        ("name", json!("press-1")),
        ("image", json!("")),
        ("metadata", json!({})),
        ("addresses", json!({})),
        ("hostId", json!("")),
        ("user_id", json!("gridd")),
        ("OS-EXT-AZ:availability_zone", json!("")),
    ] {
        assert_eq!(server[field], expected, "{field}");
    }
    for field in ["created", "updated"] {
        let at = server[field].as_str().expect("a time");
        assert!(at.len() == 20 && at.starts_with("20") && at.ends_with('Z'), "{at}");
    }
    let self_link = format!("http://{}/v2.1/servers/{id}", api.gridd.http);
    assert_eq!(server["links"][0], json!({"rel": "self", "href": self_link}));
    let project = server["tenant_id"].as_str().expect("a project");
    assert!(project.len() == 32 && project.bytes().all(|it| it.is_ascii_hexdigit()), "{project}");
    let below = api.get(&format!("/v2.1/{project}/servers/{id}"), &[LATEST]).await;
    assert_eq!(below.json()["server"]["id"], json!(id));
    let other = api.get(&format!("/v2.1/abc/servers/{id}"), &[LATEST]).await;
    let message = format!(
        "Malformed request URL: URL's project_id 'abc' doesn't match Context's project_id '{project}'"
    );
    other.is_fault(400, "badRequest", &message);
    classes_are_flavors(&api).await;
}

async fn classes_are_flavors(api: &Api) {
    let listed = api.get("/v2.1/flavors/detail", &[]).await.json();
    let flavor = &listed["flavors"][0];
    let fields = ["id", "name", "vcpus", "swap"].map(|field| flavor[field].clone());
    assert_eq!(fields, [json!("default"), json!("default"), json!(0), json!("")]);
    assert!(flavor.get("description").is_none() && flavor.get("extra_specs").is_none());
    let shown = api.get("/v2.1/flavors/default", &[LATEST]).await.json();
    let flavor = &shown["flavor"];
    let fields = ["swap", "description", "extra_specs"].map(|field| flavor[field].clone());
    assert_eq!(fields, [json!(0), Value::Null, json!({})]);
    let listed = api.get("/v2.1/flavors", &[]).await.json();
    assert_eq!(listed["flavors"][0]["id"], "default");
    let missing = api.get("/v2.1/flavors/m1.tiny", &[]).await;
    missing.is_fault(404, "itemNotFound", "Flavor m1.tiny could not be found.");
}

#[tokio::test]
async fn lists_are_filtered_and_have_pages() {
    let api = Api::start().await;
    for name in ["press-1", "press-2", "press-10", "dryer-7"] {
        api.runs(name, 1).await;
    }
    api.gridctl("appliance stop press-2").await.done();
    api.gridctl("appliance lock dryer-7").await.done();
    let all = ["press-1", "press-2", "press-10", "dryer-7"];
    let project =
        api.get("/v2.1/servers/detail", &[]).await.json()["servers"][0]["tenant_id"].clone();
    let own = format!("project_id={}", project.as_str().expect("an id"));
    for (query, expected) in [
        ("", &all[..]),
        ("name=press-1", &["press-1", "press-10"]),
        ("name=%5Epress-1%24", &["press-1"]),
        ("name=^press-(2|10)$", &["press-2", "press-10"]),
        ("name=press+1", &[]),
        ("status=SHUTOFF", &["press-2"]),
        ("status=active&status=shutoff&name=2", &["press-2"]),
        ("status=NONSENSE", &[]),
        ("deleted=False", &all),
        ("deleted=True", &[]),
        ("flavor=default", &all),
        ("flavor=m1.tiny", &[]),
        ("ip=192.0.2.1", &[]),
        ("image=x", &[]),
        (&own, &all),
        ("tenant_id=0123", &[]),
        ("all_tenants=1", &all),
        ("changes-since=2100-01-01T00:00:00Z", &[]),
        ("changes-since=2020-01-01T00:00:00", &all),
        ("limit=0", &[]),
        ("limit=2", &all[..2]),
        ("limit=99999999999999999999", &all),
        ("locked=true", &all),
    ] {
        for path in ["servers", "servers/detail"] {
            let listed = api.get(&format!("/v2.1/{path}?{query}"), &[LOWEST]).await;
            assert_eq!(names(&listed), expected, "{path}?{query}");
        }
    }
    let locked = api.get("/v2.1/servers?locked=true", &[LATEST]).await;
    assert_eq!(names(&locked), ["dryer-7"]);
    let parameters = "Invalid input for query parameters";
    for (query, message) in [
        ("name=%5B", format!("{parameters} name. Value: [. '[' is not a 'regex'")),
        ("limit=abc", format!("{parameters} limit. Value: abc. 'abc' does not match '^[0-9]*$'")),
        ("limit=-1", format!("{parameters} limit. Value: -1. '-1' does not match '^[0-9]*$'")),
        ("marker=x", "marker [x] not found".to_owned()),
        (
            "changes-since=x",
            format!("{parameters} changes-since. Value: x. 'x' is not a 'date-time'"),
        ),
    ] {
        let refused = api.get(&format!("/v2.1/servers?{query}"), &[]).await;
        refused.is_fault(400, "badRequest", &message);
    }
    pages_follow_one_another(&api, &all).await;
}

async fn pages_follow_one_another(api: &Api, all: &[&str]) {
    let mut path = "/v2.1/servers/detail?limit=3&name=-".to_owned();
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = api.get(&path, &[LATEST]).await;
        found.extend(names(&page));
        pages += 1;
        let links = page.json()["servers_links"].clone();
        let Some(next) = links[0]["href"].as_str() else { break };
        assert_eq!(links[0]["rel"], "next");
        let host = format!("http://{}", api.gridd.http);
        next.strip_prefix(&host).expect("an address of the broker").clone_into(&mut path);
        assert!(pages < 5, "pages end");
    }
    assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>(), pages), (all.to_vec(), 2));
}
