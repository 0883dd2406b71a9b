//! The versions of OpenStack's API: how they are found, and how they are negotiated, line by line.

use serde_json::json;

use crate::api::{Answer, Api, Headers, LATEST, LOWEST, TRIGGER, UNSUPPORTED, VERSION, send};

const LEGACY: &str = "x-openstack-nova-api-version";

#[tokio::test]
async fn the_versions_are_found_in_every_way() {
    let api = Api::start().await;
    let address = api.gridd.http.clone();
    let json = ("accept", "application/json");
    for path in ["/v2.1", "/v2.1/", "/v2.1?x=y"] {
        let found = api.get(path, &[json, LOWEST]).await;
        assert_eq!(found.status, 200, "{found:?}");
        found.has_version(None);
        let version = &found.json()["version"];
        let facts = ["id", "status", "version", "min_version"].map(|field| version[field].clone());
        assert_eq!(facts, ["v2.1", "CURRENT", "2.84", "2.1"], "{found:?}");
        let links = json!([{"rel": "self", "href": format!("http://{address}/v2.1/")}]);
        assert_eq!(version["links"], links);
    }
    let legacy = api.get("/v2", &[]).await.json();
    assert_eq!(
        (&legacy["version"]["id"], &legacy["version"]["version"]),
        (&"v2.0".into(), &"".into())
    );
    let all = api.get("/", &[json]).await.json();
    let ids: Vec<_> =
        all["versions"].as_array().expect("a list").iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, ["v2.0", "v2.1"]);
    for accept in [&[][..], &[("accept", "*/*")], &[("accept", "text/html,application/json;q=0.9")]]
    {
        let page = api.get("/", accept).await;
        assert!(page.text.starts_with("gridd "), "the front page stays for others: {page:?}");
    }
    let identity = api.get("/v3", &[]).await;
    let version = &identity.json()["version"];
    assert_eq!((&version["id"], &version["status"]), (&"v3.14".into(), &"stable".into()));
    assert_eq!(version["links"][0]["href"], format!("http://{address}/v3/"));
    assert_eq!(api.get("/v3/", &[]).await.json(), identity.json());
    let image = api.get("/image", &[]).await;
    assert_eq!((image.status, &image.json()["versions"][0]["id"]), (300, &"v2.9".into()));
    let images = api.get("/image/v2/images?limit=1000", &[]).await;
    assert_eq!((images.status, images.json()), (200, json!({"images": []})));
}

#[tokio::test]
async fn versions_are_negotiated_line_by_line() {
    let api = Api::start().await;
    api.runs("none-1", 1).await;
    let id = api.id("none-1").await;
    // The version is there: the last check refuses.
    let reached = |answer: &Answer, version: &str| {
        answer.is_fault(400, "badRequest", UNSUPPORTED);
        answer.has_version(Some(version));
    };
    for (headers, version) in [
        (&[LOWEST][..], "2.17"),
        (&[(LEGACY, "2.17")], "2.17"),
        (&[(VERSION, "compute 2.17"), (LEGACY, "2.1")], "2.17"),
        (&[(VERSION, "COMPUTE 2.17")], "2.17"),
        (&[(VERSION, "identity 3.0, compute 2.18")], "2.18"),
        (&[(VERSION, "compute 2.1,compute 2.17")], "2.17"),
        (&[(VERSION, "compute 2.1"), (VERSION, "compute 2.17")], "2.17"),
        (&[LATEST], "2.84"),
        (&[(LEGACY, "latest")], "2.84"),
        (&[(VERSION, "compute 2.84")], "2.84"),
    ] {
        reached(&api.act(&id, headers, TRIGGER).await, version);
    }
    let hidden = |answer: &Answer, version: &str| {
        answer.is_fault(404, "itemNotFound", "The resource could not be found.");
        answer.has_version(Some(version));
    };
    for (headers, version) in [
        (&[][..], "2.1"),
        (&[(VERSION, "identity 3.0")], "2.1"),
        (&[(VERSION, "2.17")], "2.1"),
        (&[(VERSION, "compute")], "2.1"),
        (&[(VERSION, "compute 2.1")], "2.1"),
        (&[(VERSION, "compute 2.16")], "2.16"),
        (&[(VERSION, "compute 2.16"), (LEGACY, "2.17")], "2.16"),
        (&[(LEGACY, "2.16")], "2.16"),
    ] {
        hidden(&api.act(&id, headers, TRIGGER).await, version);
        hidden(&api.act(&id, headers, r#"{"trigger_crash_dump": 1}"#).await, version);
    }
    for text in ["LATEST", "abc", "2.017"] {
        let standard = format!("compute {text}");
        for headers in [[(VERSION, standard.as_str())], [(LEGACY, text)]] {
            let refused = api.act(&id, &headers, TRIGGER).await;
            let message = format!(
                "API Version String {text} is of invalid format. Must be of format \
                 MajorNum.MinorNum."
            );
            refused.is_fault(400, "badRequest", &message);
            refused.has_version(None);
        }
    }
    for text in ["2.0", "1.5", "2.85", "2.999"] {
        let refused = api.act(&id, &[(VERSION, &format!("compute {text}"))], TRIGGER).await;
        let message = format!(
            "Version {text} is not supported by the API. Minimum is 2.1 and maximum is 2.84."
        );
        refused.is_fault(406, "computeFault", &message);
        refused.has_version(Some(text));
    }
    the_api_before_microversions_ignores_them(&api, &id).await;
    assert_eq!(api.calls("none-1"), 0);
}

async fn the_api_before_microversions_ignores_them(api: &Api, id: &str) {
    let path = format!("/v2/servers/{id}/action");
    let all: [Headers<'_>; 3] = [&[LOWEST], &[(VERSION, "compute 2.999")], &[(LEGACY, "abc")]];
    for headers in all {
        let answer = send(&api.gridd.http, ("POST", &path), headers, TRIGGER.as_bytes()).await;
        answer.is_fault(404, "itemNotFound", "The resource could not be found.");
        answer.has_version(None);
    }
    let shown = api.get(&format!("/v2/servers/{id}"), &[LATEST]).await;
    shown.has_version(None);
    let server = &shown.json()["server"];
    assert_eq!((&server["name"], &server["locked"]), (&"none-1".into(), &json!(null)));
    let locked = send(&api.gridd.http, ("POST", &path), &[], br#"{"lock": null}"#).await;
    assert_eq!((locked.status, locked.text.as_str()), (202, ""), "{locked:?}");
}
