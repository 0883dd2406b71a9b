//! The errors of OpenStack's API, line by line, and the order of its checks.

use serde_json::{Value, json};

use crate::api::{Answer, Api, LOWEST, TRIGGER, UNSUPPORTED, VERSION, send};
use crate::support::eventually;

const UNKNOWN: &str = "01234567-89ab-cdef-0123-456789abcdef";

/// A request of a crash dump, with everything that a check may refuse.
#[derive(Clone)]
struct Attempt<'a> {
    token: Option<&'a str>,
    version: &'a str,
    kind: &'a str,
    body: &'a str,
    project: &'a str,
    id: &'a str,
}

impl Attempt<'_> {
    async fn send(&self, api: &Api) -> Answer {
        let mut headers = vec![(VERSION, self.version), ("content-type", self.kind)];
        headers.extend(self.token.map(|token| ("x-auth-token", token)));
        let path = format!("/v2.1{}/servers/{}/action", self.project, self.id);
        send(&api.gridd.http, ("POST", &path), &headers, self.body.as_bytes()).await
    }
}

/// What a check refuses, and how.
type Spoil<'a> = (Box<dyn Fn(&mut Attempt<'a>) + 'a>, u16, &'a str, String);

#[tokio::test]
async fn checks_have_the_order_of_novas() {
    let api = Api::start().await;
    api.runs("none-1", 1).await;
    api.runs("none-2", 1).await;
    api.gridctl("appliance stop none-2").await.done();
    for name in ["none-3", "none-4", "none-5"] {
        api.gridctl(&format!("appliance add {name}")).await.done();
    }
    api.runs("none-6", 1).await;
    api.gridctl("appliance lock none-4").await.done();
    api.gridctl("appliance lock none-6").await.done();
    let api = api.required().await;
    let (operator, viewer) =
        (api.administrator("otto", "operator").await, api.administrator("vera", "viewer").await);
    let id = async |name: &str| api.id(name).await;
    let (running, stopped, new, locked, locked_running) = (
        id("none-1").await,
        id("none-2").await,
        id("none-3").await,
        id("none-4").await,
        id("none-6").await,
    );
    let own = api.get("/v2.1/servers", &[("x-auth-token", &operator)]).await;
    assert_eq!(own.status, 200);
    let ready = Attempt {
        token: Some(&operator),
        version: "compute 2.17",
        kind: "application/json",
        body: TRIGGER,
        project: "",
        id: &running,
    };
    let project = project_id(&api, &operator).await;
    let mismatch = format!(
        "Malformed request URL: URL's project_id 'abc-123' doesn't match Context's project_id \
         '{project}'"
    );
    let not_null = "Invalid input for field/attribute trigger_crash_dump. Value: not null. 'not null' \
                    is not of type 'null'";
    let policy = "Policy doesn't allow os_compute_api:servers:trigger_crash_dump to be performed.";
    let not_found = "The resource could not be found.";
    let state = |id: &str| {
        format!("Cannot 'trigger_crash_dump' instance {id} while it is in vm_state stopped")
    };
    // In the order of the contract's table.
    let rows: Vec<Spoil<'_>> = vec![
        (Box::new(|it| it.token = None), 401, "error", String::new()),
        (
            Box::new(|it| it.version = "compute 2.999"),
            406,
            "computeFault",
            "Version 2.999 is not supported by the API. Minimum is 2.1 and maximum is 2.84.".into(),
        ),
        (
            Box::new(|it| it.kind = "text/xml"),
            415,
            "badMediaType",
            "Unsupported Content-Type".into(),
        ),
        (Box::new(|it| it.body = "{}"), 400, "badRequest", "Malformed request body".into()),
        (Box::new(|it| it.body = "null"), 404, "itemNotFound", not_found.into()),
        (
            Box::new(|it| it.body = r#"{"crash": null}"#),
            400,
            "badRequest",
            "There is no such action: crash".into(),
        ),
        (Box::new(|it| it.project = "/abc-123"), 400, "badRequest", mismatch),
        (Box::new(|it| it.version = "compute 2.16"), 404, "itemNotFound", not_found.into()),
        (
            Box::new(|it| it.body = r#"{"trigger_crash_dump": "not null"}"#),
            400,
            "badRequest",
            not_null.into(),
        ),
        (
            Box::new(|it| it.id = UNKNOWN),
            404,
            "itemNotFound",
            format!("Instance {UNKNOWN} could not be found."),
        ),
        (Box::new(|it| it.token = Some(&viewer)), 403, "forbidden", policy.into()),
        (
            Box::new(|it| it.id = &locked),
            409,
            "conflictingRequest",
            format!("Instance {locked} is locked"),
        ),
        (
            Box::new(|it| it.id = &new),
            409,
            "conflictingRequest",
            format!("Instance {new} is not ready"),
        ),
        (Box::new(|it| it.id = &stopped), 409, "conflictingRequest", state(&stopped)),
        (Box::new(|_| {}), 400, "badRequest", UNSUPPORTED.to_owned()),
    ];
    // Before the limit of such records is reached.
    let refused = Attempt { token: Some(&viewer), ..ready.clone() }.send(&api).await;
    refused.is_fault(403, "forbidden", policy);
    for first in 0..rows.len() {
        for second in first..rows.len() {
            // What is checked first decides, whatever else is wrong.
            let mut attempt = ready.clone();
            rows[second].0(&mut attempt);
            rows[first].0(&mut attempt);
            let answer = attempt.send(&api).await;
            let (_, status, name, message) = &rows[first];
            if *status == 401 {
                is_unauthenticated(&api, &answer);
            } else {
                answer.is_fault(*status, name, message);
            }
        }
    }
    // Who passes locks meets the next check.
    let admin = api.admin();
    for (id, status, message) in [
        (&locked, 409, format!("Instance {locked} is not ready")),
        (&locked_running, 400, UNSUPPORTED.to_owned()),
    ] {
        let answer = Attempt { token: Some(&admin), id, ..ready.clone() }.send(&api).await;
        assert_eq!(answer.status, status);
        assert!(answer.text.contains(&message), "{answer:?}");
    }
    nothing_is_recorded(&api).await;
}

async fn project_id(api: &Api, token: &str) -> String {
    let listed = api.get("/v2.1/servers/detail", &[("x-auth-token", token)]).await.json();
    listed["servers"][0]["tenant_id"].as_str().expect("a project").to_owned()
}

#[track_caller]
fn is_unauthenticated(api: &Api, answer: &Answer) {
    let message = "The request you have made requires authentication.";
    let expected = json!({"error": {"code": 401, "title": "Unauthorized", "message": message}});
    assert_eq!((answer.status, answer.json()), (401, expected));
    let challenge = format!("Keystone uri=\"http://{}/v3\"", api.gridd.http);
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
    answer.has_version(None);
    answer.request_id();
}

/// No refusal left anything but the record of who was refused.
async fn nothing_is_recorded(api: &Api) {
    for number in 1..=6 {
        let name = format!("none-{number}");
        assert_eq!(api.calls(&name), 0);
        let listed = api.gridctl_json(&format!("appliance crash-dumps {name}")).await;
        assert_eq!(listed, Value::Array(Vec::new()), "{name}");
    }
    eventually("a record of the viewer's attempt", async || {
        let log = api.gridctl_json("log list --all --kind security").await.to_string();
        (log.contains("vera") && log.contains("trigger_crash_dump")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn each_body_has_novas_answer() {
    let api = Api::start().await;
    api.runs("none-1", 1).await;
    let id = api.id("none-1").await;
    let field = "Invalid input for field/attribute trigger_crash_dump. Value:";
    let malformed = (400, "badRequest", "Malformed request body".to_owned());
    let hidden = (404, "itemNotFound", "The resource could not be found.".to_owned());
    let unknown = |name: &str| (400, "badRequest", format!("There is no such action: {name}"));
    let invalid = |shown: &str, repr: &str| {
        (400, "badRequest", format!("{field} {shown}. {repr} is not of type 'null'"))
    };
    for (body, (status, name, message)) in [
        ("", malformed.clone()),
        ("{", malformed.clone()),
        ("crash", malformed.clone()),
        ("{}", malformed.clone()),
        (r#"{"trigger_crash_dump": null, "x": null}"#, malformed.clone()),
        (r#""trigger_crash_dump""#, malformed.clone()),
        ("null", hidden.clone()),
        ("17", hidden.clone()),
        (r#"["trigger_crash_dump"]"#, hidden.clone()),
        (r#"{"crash": null}"#, unknown("crash")),
        (r#"{"Trigger_crash_dump": null}"#, unknown("Trigger_crash_dump")),
        (r#"{"trigger_crash_dump": "x"}"#, invalid("x", "'x'")),
        (r#"{"trigger_crash_dump": "it's"}"#, invalid("it's", "\"it's\"")),
        (r#"{"trigger_crash_dump": {}}"#, invalid("{}", "{}")),
        (r#"{"trigger_crash_dump": []}"#, invalid("[]", "[]")),
        (r#"{"trigger_crash_dump": false}"#, invalid("False", "False")),
        (r#"{"trigger_crash_dump": 1}"#, invalid("1", "1")),
        (
            r#"{"trigger_crash_dump": {"b": [true, null, "x"], "a": 1.5}}"#,
            invalid("{'b': [True, None, 'x'], 'a': 1.5}", "{'b': [True, None, 'x'], 'a': 1.5}"),
        ),
        (r#"{"trigger_crash_dump": null, "trigger_crash_dump": 1}"#, invalid("1", "1")),
        (
            r#"{"trigger_crash_dump": 1, "trigger_crash_dump": null}"#,
            (400, "badRequest", UNSUPPORTED.to_owned()),
        ),
    ] {
        let answer = api.act(&id, &[LOWEST], body).await;
        answer.is_fault(status, name, &message);
        answer.has_version(Some("2.17"));
        let is_before_version =
            message.starts_with("Malformed") || message.contains("no such action");
        if is_before_version {
            api.act(&id, &[], body).await.is_fault(status, name, &message);
        }
    }
    for (kind, expected) in [
        ("application/xml", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 400),
        ("application/json;charset=utf-8", 400),
        ("application/vnd.openstack.compute+json", 400),
    ] {
        let path = format!("/v2.1/servers/{id}/action");
        let headers = [LOWEST, ("content-type", kind)];
        let answer = send(&api.gridd.http, ("POST", &path), &headers, TRIGGER.as_bytes()).await;
        assert_eq!(answer.status, expected, "{kind}: {answer:?}");
    }
    bodies_are_bounded(&api, &id).await;
}

async fn bodies_are_bounded(api: &Api, id: &str) {
    let of = |length: usize| format!("{{\"trigger_crash_dump\": {}null}}", " ".repeat(length - 28));
    let longest = api.act(id, &[LOWEST], &of(112 << 10)).await;
    longest.is_fault(400, "badRequest", UNSUPPORTED);
    let longer = api.act(id, &[LOWEST], &of((112 << 10) + 1)).await;
    longer.is_fault(413, "overLimit", "Request is too large.");
}

#[tokio::test]
async fn what_is_no_path_or_method_is_answered_as_by_webob() {
    let api = Api::start().await;
    api.runs("none-1", 1).await;
    let id = api.id("none-1").await;
    let action = format!("/v2.1/servers/{id}/action");
    let (server, slash, project) = (
        format!("/v2.1/servers/{id}"),
        format!("{action}/"),
        format!("/v2.1/grid/servers/{id}/action"),
    );
    for (method, path) in [
        ("POST", slash.as_str()),
        ("GET", &action),
        ("PUT", &action),
        ("DELETE", &server),
        ("POST", &server),
        ("POST", "/v2.1/servers"),
        ("GET", "/v2.1/servers/"),
        ("GET", "/v2.1/nothing"),
        ("GET", "/v2.1/servers/a/b"),
        ("POST", &project),
        ("GET", "/v2/nothing"),
        ("GET", "/image/v2/images/x"),
    ] {
        let answer = send(&api.gridd.http, (method, path), &[LOWEST], TRIGGER.as_bytes()).await;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["code"]),
            (404, &"404 Not Found".into()),
            "{method} {path}"
        );
        assert_eq!(body["title"], "Not Found");
        let message = body["message"].as_str().expect("a message");
        assert!(message.starts_with("The resource could not be found.<br"), "{message}");
        answer.has_version(None);
    }
    let other = api.get("/secret", &[]).await;
    assert_eq!((other.status, other.text.as_str()), (404, "there is no such page\n"));
    for (path, name) in [
        ("/v2.1/servers/none-1", "none-1"),
        ("/v2.1/servers/dryer%207", "dryer 7"),
        ("/v2.1/servers/a%2Fb", "a/b"),
        ("/v2.1/servers/00000000000000000000000000000000", "00000000000000000000000000000000"),
        ("/v2.1/servers/01234567-89ab-cdef-0123-456789abcdef", UNKNOWN),
        ("/v2.1/servers/none-1/os-instance-actions", "none-1"),
        ("/v2.1/servers/none-1/os-instance-actions/req-1", "none-1"),
    ] {
        let answer = api.get(path, &[]).await;
        let message = format!("Instance {name} could not be found.");
        answer.is_fault(404, "itemNotFound", &message);
        answer.has_version(Some("2.1"));
    }
    let by_name = api.act("none-1", &[LOWEST], TRIGGER).await;
    by_name.is_fault(404, "itemNotFound", "Instance none-1 could not be found.");
}

#[tokio::test]
async fn pages_of_other_origins_have_no_effect() {
    let api = Api::start().await;
    api.runs("press-1", 1).await;
    let id = api.id("press-1").await;
    let own = format!("http://{}", api.gridd.http);
    for headers in [
        &[("origin", "http://evil.example")][..],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("origin", "http://evil.example"), ("content-type", "text/plain")],
    ] {
        let all = [headers, &[LOWEST]].concat();
        let path = format!("/v2.1/servers/{id}/action");
        let answer = send(&api.gridd.http, ("POST", &path), &all, TRIGGER.as_bytes()).await;
        assert_eq!(answer.status, 403, "{headers:?}: {answer:?}");
        let login = send(&api.gridd.http, ("POST", "/v3/auth/tokens"), &all, b"{}").await;
        assert_eq!(login.status, 403, "{headers:?}: {login:?}");
        let read = api.get("/v2.1/servers", headers).await;
        read.is_fault(403, "forbidden", "A page of another origin cannot use this API.");
    }
    let path = format!("/v2.1/servers/{id}/action");
    let rebound = format!("POST {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n");
    let rebound =
        format!("{rebound}{VERSION}: compute 2.17\r\ncontent-length: 28\r\n\r\n{TRIGGER}");
    assert!(raw(&api.gridd.http, &rebound).await.starts_with("HTTP/1.1 421 "), "DNS rebinding");
    assert_eq!(api.calls("press-1"), 0);
    let ours = api.act(&id, &[LOWEST, ("origin", &own)], TRIGGER).await;
    assert_eq!(ours.status, 202, "{ours:?}");
}

async fn raw(address: &str, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    crate::support::soon("an answer", stream.read_to_string(&mut answer)).await.expect("reads");
    answer
}
