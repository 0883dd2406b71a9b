//! Who may use OpenStack's API: each credential in each way, Keystone's part, and locks.

use serde_json::{Value, json};

use crate::api::{Answer, Api, Headers, LATEST, LOWEST, TRIGGER, VERSION, send};
use crate::support::eventually;

const STRANGER: &str = "The request you have made requires authentication.";

/// `Basic`, of a name and a password.
fn basic(name: &str, password: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = format!("{name}:{password}");
    let mut coded = String::from("Basic ");
    for part in text.as_bytes().chunks(3) {
        let bits = part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - part.len()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            coded.push(if at > part.len() { '=' } else { char::from(digit) });
        }
    }
    coded
}

async fn log_in(api: &Api, body: &Value) -> Answer {
    let kind = [("content-type", "application/json")];
    let (place, body) = (("POST", "/v3/auth/tokens"), body.to_string());
    send(&api.gridd.http, place, &kind, body.as_bytes()).await
}

fn by_password(name: &str, password: &str) -> Value {
    let user = json!({"name": name, "password": password, "domain": {"name": "Default"}});
    let scope = json!({"project": {"name": "grid", "domain": {"name": "Default"}}});
    json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}})
}

fn by_application_credential(id: &str, secret: &str) -> Value {
    let credential = json!({"id": id, "secret": secret});
    let methods = ["application_credential"];
    json!({"auth": {"identity": {"methods": methods, "application_credential": credential}}})
}

#[track_caller]
fn is_refused(answer: &Answer) {
    let expected = json!({"error": {"code": 401, "title": "Unauthorized", "message": STRANGER}});
    assert_eq!((answer.status, answer.json()), (401, expected), "{answer:?}");
}

#[tokio::test]
async fn each_credential_counts_in_each_way() {
    let api = Api::start().await;
    for name in ["press-1", "press-2", "press-3", "press-4", "press-5"] {
        api.runs(name, 1).await;
    }
    let api = api.required().await;
    let operator = api.administrator("otto", "operator").await;
    let viewer = api.administrator("vera", "viewer").await;
    let appliance = api.gridctl("token create --appliance press-5 --quiet").await.done();
    let appliance = appliance.trim();
    let mistyped = format!("{}AAAA", &operator[..operator.len() - 4]);
    let bearer = format!("Bearer {operator}");
    let (by_name, by_id) = (basic("otto", &operator), basic(&operator[4..12], &operator));
    let ways: [(&str, Headers<'_>); 4] = [
        ("press-1", &[("x-auth-token", &operator)]),
        ("press-2", &[("authorization", &by_name)]),
        ("press-3", &[("authorization", &by_id), ("x-auth-token", "notused")]),
        ("press-4", &[("authorization", &bearer)]),
    ];
    let strangers = [
        ("authorization", basic("vera", &operator)),
        ("authorization", basic("otto", &viewer)),
        ("authorization", basic("otto", "secret")),
        ("authorization", "Digest x".to_owned()),
        ("authorization", format!("Bearer {appliance}")),
        ("x-auth-token", appliance.to_owned()),
        ("x-auth-token", mistyped),
        ("x-auth-token", "notused".to_owned()),
        ("x-auth-token", String::new()),
    ];
    let id = api.id("press-5").await;
    is_refused(&api.act(&id, &[LOWEST], TRIGGER).await);
    for (name, value) in &strangers {
        let answer = api.act(&id, &[LOWEST, (name, value)], TRIGGER).await;
        is_refused(&answer);
        answer.request_id();
        let challenge = format!("Keystone uri=\"http://{}/v3\"", api.gridd.http);
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
        for path in ["/v2.1/servers", "/v2.1/nothing", "/v3/auth/tokens", "/image/v2/images"] {
            is_refused(&api.get(path, &[(name, value)]).await);
        }
    }
    assert_eq!(api.calls("press-5"), 0);
    for (name, headers) in ways {
        let id = api.id(name).await;
        let headers = [headers, &[LOWEST]].concat();
        assert_eq!(api.act(&id, &headers, TRIGGER).await.status, 202, "{name}");
        api.is_called(name, 1).await;
        let dumps = api.gridctl_json(&format!("appliance crash-dumps {name}")).await;
        assert_eq!(dumps[0]["by"], "otto", "{dumps}");
    }
    readers_read_and_do_nothing(&api, &viewer).await;
}

async fn readers_read_and_do_nothing(api: &Api, viewer: &str) {
    let token = ("x-auth-token", viewer);
    let id = api.id("press-1").await;
    for path in [
        "/v2.1/servers".to_owned(),
        "/v2.1/servers/detail".to_owned(),
        format!("/v2.1/servers/{id}"),
        format!("/v2.1/servers/{id}/os-instance-actions"),
        "/v2.1/flavors/detail".to_owned(),
        "/image/v2/images".to_owned(),
    ] {
        let read = api.get(&path, &[token, LATEST]).await;
        assert_eq!(read.status, 200, "{path}: {read:?}");
    }
    for (body, rule) in [
        (TRIGGER, "servers:trigger_crash_dump"),
        (r#"{"lock": null}"#, "os-lock-server:lock"),
        (r#"{"unlock": null}"#, "os-lock-server:unlock"),
    ] {
        let refused = api.act(&id, &[token, LOWEST], body).await;
        let message = format!("Policy doesn't allow os_compute_api:{rule} to be performed.");
        refused.is_fault(403, "forbidden", &message);
    }
    // What the event's host is, only admins see.
    let listed = api.get(&format!("/v2.1/servers/{id}/os-instance-actions"), &[token]).await.json();
    let request = listed["instanceActions"][0]["request_id"].as_str().expect("an id").to_owned();
    let path = format!("/v2.1/servers/{id}/os-instance-actions/{request}");
    let old = api.get(&path, &[token, (VERSION, "compute 2.50")]).await.json();
    assert!(old["instanceAction"].get("events").is_none(), "{old}");
    let new = api.get(&path, &[token, LATEST]).await.json();
    let event = &new["instanceAction"]["events"][0];
    assert!(event.get("details").is_some() && event.get("hostId").is_some(), "{new}");
    assert!(event.get("traceback").is_none() && event.get("host").is_none(), "{new}");
    let admin = api.admin();
    let all = api.get(&path, &[("x-auth-token", &admin), LATEST]).await.json();
    let event = &all["instanceAction"]["events"][0];
    assert!(event.get("traceback").is_some() && event.get("host").is_some(), "{all}");
}

#[tokio::test]
async fn a_login_gives_the_token_back_and_says_where_the_services_are() {
    let api = Api::start().await.required().await;
    let operator = api.administrator("otto", "operator").await;
    let viewer = api.administrator("vera", "viewer").await;
    let id = &operator[4..12];
    let mut unscoped = by_password("otto", &operator);
    unscoped["auth"].as_object_mut().expect("an object").remove("scope");
    let with_id = json!({"auth": {"identity": {"methods": ["password"], "password": {"user":
        {"id": "otto", "password": operator}}}}});
    let with_token =
        json!({"auth": {"identity": {"methods": ["token"], "token": {"id": operator}}}});
    for (body, method) in [
        (by_password("otto", &operator), "password"),
        (unscoped, "password"),
        (with_id, "password"),
        (by_application_credential(id, &operator), "application_credential"),
        (by_application_credential("otto", &operator), "application_credential"),
        (with_token, "token"),
    ] {
        let answer = log_in(&api, &body).await;
        assert_eq!(answer.status, 201, "{body}: {answer:?}");
        assert_eq!(answer.header("x-subject-token"), Some(operator.as_str()));
        let token = answer.json()["token"].clone();
        assert_eq!(token["methods"], json!([method]));
        is_of_otto(&api, &token);
    }
    for body in [
        by_password("otto", &viewer),
        by_password("vera", &operator),
        by_password("otto", "secret"),
        by_password("nobody", &operator),
        by_application_credential("vera", &operator),
        by_application_credential(&viewer[4..12], &operator),
    ] {
        is_refused(&log_in(&api, &body).await);
    }
    let mut elsewhere = by_password("otto", &operator);
    elsewhere["auth"]["scope"]["project"]["name"] = "demo".into();
    let answer = log_in(&api, &elsewhere).await;
    assert_eq!((answer.status, answer.header("x-subject-token")), (401, None), "{answer:?}");
    assert!(answer.text.contains("Could not find project: demo."), "{answer:?}");
    for body in [
        json!({}),
        json!([]),
        json!({"auth": {}}),
        json!({"auth": {"identity": {"methods": ["saml2"]}}}),
        json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "otto"}}}}}),
        json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}}}),
    ] {
        let answer = log_in(&api, &body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["title"]), (400, &"Bad Request".into()), "{body}");
    }
    tokens_are_validated(&api, &operator, &viewer).await;
}

fn is_of_otto(api: &Api, token: &Value) {
    assert_eq!((&token["user"]["id"], &token["user"]["name"]), (&"otto".into(), &"otto".into()));
    assert_eq!(token["project"]["name"], "grid");
    let roles: Vec<_> =
        token["roles"].as_array().expect("roles").iter().map(|it| &it["name"]).collect();
    assert_eq!(roles, ["member", "reader"]);
    for field in ["issued_at", "expires_at"] {
        let at = token[field].as_str().expect("a time");
        assert!(at.len() == 27 && at.ends_with('Z'), "{at}");
    }
    let catalog = token["catalog"].as_array().expect("a catalog");
    let found: Vec<_> =
        catalog.iter().map(|it| (&it["type"], &it["endpoints"][0]["url"])).collect();
    let url = |path: &str| Value::String(format!("http://{}/{path}", api.gridd.http));
    let expected = [("compute", url("v2.1")), ("identity", url("v3")), ("image", url("image"))];
    let expected = expected.map(|(kind, url)| (Value::from(kind), url));
    assert_eq!(found, expected.iter().map(|(kind, url)| (kind, url)).collect::<Vec<_>>());
}

async fn tokens_are_validated(api: &Api, operator: &str, viewer: &str) {
    let path = "/v3/auth/tokens";
    let own = ("x-auth-token", viewer);
    let found = api.get(path, &[own, ("x-subject-token", operator)]).await;
    assert_eq!(found.status, 200, "{found:?}");
    assert_eq!(found.header("x-subject-token"), Some(operator));
    is_of_otto(api, &found.json()["token"]);
    for headers in [&[own, ("x-subject-token", "gba_x")][..], &[own]] {
        let unknown = api.get(path, headers).await;
        assert_eq!((unknown.status, &unknown.json()["error"]["code"]), (404, &404.into()));
    }
}

#[tokio::test]
async fn failed_attempts_are_limited_and_recorded() {
    let api = Api::start().await.required().await;
    let operator = api.administrator("otto", "operator").await;
    api.act("x", &[LOWEST], TRIGGER).await;
    eventually("a record of who had no credential", async || {
        let log = api.gridctl_json("log list --all --kind security").await.to_string();
        (log.contains("/v2.1/servers/x/action") && log.contains("no credential")).then_some(())
    })
    .await;
    // One token that another name presents: its limit is reached, whatever the way.
    let mut limited = None;
    for count in 0..40 {
        let answer = match count % 2 {
            0 => log_in(&api, &by_password("vera", &operator)).await,
            _ => api.get("/v2.1/servers", &[("authorization", &basic("vera", &operator))]).await,
        };
        if answer.status == 429 {
            limited = Some((count, answer));
            break;
        }
        is_refused(&answer);
    }
    let (count, answer) = limited.expect("a limit");
    assert_eq!(count, 30, "the limit of one token");
    assert_eq!(answer.header("retry-after"), Some("60"), "{answer:?}");
    let admin = api.admin();
    let other = api.get("/v2.1/servers", &[("x-auth-token", &admin)]).await;
    assert_eq!(other.status, 200, "another token is not concerned");
}

#[tokio::test]
async fn locks_hold_up_operators_and_not_admins() {
    let api = Api::start().await;
    api.runs("press-1", 1).await;
    let api = api.required().await;
    let operator = api.administrator("otto", "operator").await;
    let admin = api.admin();
    let (operator, admin) = (("x-auth-token", operator.as_str()), ("x-auth-token", admin.as_str()));
    let id = api.id("press-1").await;
    let locked = async || {
        let shown = api.get(&format!("/v2.1/servers/{id}"), &[operator, LATEST]).await.json();
        (shown["server"]["locked"].clone(), shown["server"]["locked_reason"].clone())
    };
    assert_eq!(locked().await, (json!(false), Value::Null));
    let accepted = async |headers: Headers<'_>, body: &str| {
        let answer = api.act(&id, headers, body).await;
        assert_eq!((answer.status, answer.text.as_str()), (202, ""), "{body}: {answer:?}");
    };
    accepted(&[operator, LATEST], r#"{"lock": {"locked_reason": "audit"}}"#).await;
    assert_eq!(locked().await, (json!(true), json!("audit")));
    let refused = api.act(&id, &[operator, LOWEST], TRIGGER).await;
    refused.is_fault(409, "conflictingRequest", &format!("Instance {id} is locked"));
    accepted(&[operator], r#"{"unlock": null}"#).await;
    accepted(&[operator], r#"{"unlock": null}"#).await;
    assert_eq!(locked().await, (json!(false), Value::Null));
    accepted(&[admin], r#"{"lock": null}"#).await;
    let refused = api.act(&id, &[operator], r#"{"unlock": null}"#).await;
    let rule = "os_compute_api:os-lock-server:unlock:unlock_override";
    refused.is_fault(403, "forbidden", &format!("Policy doesn't allow {rule} to be performed."));
    accepted(&[operator, LATEST], r#"{"lock": {"locked_reason": "mine"}}"#).await;
    assert_eq!(locked().await, (json!(true), Value::Null), "the admin's lock stays");
    for (body, words) in [
        (r#"{"lock": 1}"#, "1 is not of type 'object', 'null'"),
        (r#"{"lock": {"x": 1}}"#, "Additional properties are not allowed ('x' was unexpected)"),
        (r#"{"lock": {"locked_reason": ""}}"#, "'' is too short"),
    ] {
        let refused = api.act(&id, &[admin, LATEST], body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        let message = refused.json()["badRequest"]["message"].clone();
        assert!(message.as_str().expect("a text").ends_with(words), "{message}");
        accepted(&[admin, (VERSION, "compute 2.72")], body).await;
    }
    assert_eq!(api.calls("press-1"), 0);
    accepted(&[admin, LOWEST], TRIGGER).await;
    api.is_called("press-1", 1).await;
}

#[tokio::test]
async fn a_broker_that_trusts_everybody_takes_any_credential() {
    let api = Api::start().await;
    let answer = log_in(&api, &by_password("grid", "secret")).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let token = answer.header("x-subject-token").expect("a token").to_owned();
    for (headers, by, boot) in [
        (&[][..], "unnamed administrator", 1),
        (&[("x-auth-token", "notused")], "unnamed administrator", 2),
        (&[("x-auth-token", "gba_nonsense")], "unnamed administrator", 3),
        (&[("authorization", &basic("ann", "secret"))], "ann", 4),
        (&[("x-auth-token", token.as_str())], "grid", 5),
    ] {
        api.runs("press-1", boot).await;
        let id = api.id("press-1").await;
        let headers = [headers, &[LOWEST]].concat();
        assert_eq!(api.act(&id, &headers, TRIGGER).await.status, 202, "{headers:?}");
        api.becomes("press-1", "dumping").await;
        let listed = api.get(&format!("/v2.1/servers/{id}/os-instance-actions"), &[]).await.json();
        assert_eq!(listed["instanceActions"][0]["user_id"], by, "{headers:?}");
    }
}
