//! Tests what is answered before the broker has started, and to whom the front page is the versions.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::*;
use crate::identity::authenticator::AuthenticationMode;

/// The API of a broker that reads its journal.
fn starting(url: &str) -> Api {
    let ((_, served), (_, authenticator)) = (watch::channel(None), watch::channel(None));
    let mode = AuthenticationMode::Required;
    let authorization = PageAuthorization { mode, authenticator };
    Api { served, authorization, project: Arc::new(Project::new("grid")), url: url.into() }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
    let address = Ipv4Addr::LOCALHOST.into();
    let peer = Peer { address, is_tls: false, certificate: None };
    let mut request = http::Request::builder().method(method).uri(path).extension(peer);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

/// The status and body of an answer.
async fn answer(api: &Api, parts: &Parts) -> (u16, Value) {
    let service = service_of(parts.uri.path()).expect("a path of the API");
    let response = api.answer(service, parts, Body::empty()).await;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn a_broker_that_starts_has_documents_and_nothing_else() {
    let api = starting("");
    for (method, path, expected) in [
        ("GET", "/v2.1", 200),
        ("GET", "/v2.1/", 200),
        ("GET", "/v2", 200),
        ("GET", "/v3", 200),
        ("GET", "/image", 300),
        ("GET", "/v2.1/servers", 503),
        ("POST", "/v2.1/servers/x/action", 503),
        ("POST", "/v3/auth/tokens", 503),
        ("GET", "/v2.1/nothing", 503),
    ] {
        let (status, body) = answer(&api, &request(method, path, &[("host", "h")])).await;
        assert_eq!(status, expected, "{method} {path}: {body}");
    }
    let (_, body) = answer(&api, &request("GET", "/v2.1/servers", &[])).await;
    let text = "The broker is starting: its journal is being read.";
    assert_eq!(body, json!({"serviceUnavailable": {"code": 503, "message": text}}));
    let (_, body) = answer(&api, &request("POST", "/v3/auth/tokens", &[])).await;
    assert_eq!(body["error"]["title"], "Service Unavailable", "in the shape of Keystone: {body}");
}

#[tokio::test]
async fn addresses_are_those_of_the_request_or_of_the_settings() {
    let self_link = async |url: &str, headers: &[(&str, &str)]| {
        let (_, body) = answer(&starting(url), &request("GET", "/v2.1", headers)).await;
        body["version"]["links"][0]["href"].as_str().expect("an address").to_owned()
    };
    assert_eq!(self_link("", &[("host", "127.0.0.1:7480")]).await, "http://127.0.0.1:7480/v2.1/");
    assert_eq!(self_link("", &[]).await, "/v2.1/");
    let url = "https://broker.example/grid";
    assert_eq!(self_link(url, &[("host", "h")]).await, "https://broker.example/grid/v2.1/");
}

#[test]
fn the_front_page_is_the_versions_for_clients_that_read_json() {
    for (accept, expected) in [
        (&["application/json"][..], true),
        (&["application/json, */*;q=0.1"], true),
        (&["*/*"], false),
        (&[""], false),
        (&[], false),
        (&["text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"], false),
        (&["application/json", "text/html"], false),
    ] {
        let headers: Vec<_> = accept.iter().map(|value| ("accept", *value)).collect();
        assert_eq!(asks_for_versions(&request("GET", "/", &headers)), expected, "{accept:?}");
    }
    let json = [("accept", "application/json")];
    assert!(!asks_for_versions(&request("POST", "/", &json)));
    assert!(!asks_for_versions(&request("GET", "/metrics", &json)));
}

#[test]
fn the_id_of_a_project_follows_from_its_name() {
    let grid = Project::new("grid");
    assert_eq!(
        grid.id, "354c6f71b4ee567e87a26890242ca262",
        "it is stored by clients: never change it"
    );
    assert_ne!(grid.id, Project::new("grid2").id);
}

#[test]
fn bodies_of_other_types_are_refused() {
    for (kind, expected) in [
        ("application/json", true),
        ("application/json; charset=utf-8", true),
        ("application/vnd.openstack.compute+json", true),
        ("text/plain", true),
        ("", true),
        ("application/xml", false),
        ("application/x-www-form-urlencoded", false),
        ("text/html", false),
        ("json", false),
    ] {
        let parts = request("POST", "/v2.1/servers/x/action", &[("content-type", kind)]);
        assert_eq!(check_media_type(&parts.headers).is_ok(), expected, "{kind}");
    }
    assert!(check_media_type(&HeaderMap::new()).is_ok());
}
