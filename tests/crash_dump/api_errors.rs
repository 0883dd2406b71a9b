//! The errors of OpenStack's API, line by line, and what pages of others cannot do.

use crate::api::{Api, LOWEST, TRIGGER, UNSUPPORTED, VERSION, send};

const UNKNOWN: &str = "01234567-89ab-cdef-0123-456789abcdef";

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
