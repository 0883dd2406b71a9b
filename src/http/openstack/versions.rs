//! Builds the documents by which clients find out which APIs there are, in which versions.
//!
//! Guarantees that no more is advertised than is honoured. Needs no broker.

use http::StatusCode;
use serde_json::{Value, json};

use super::fault::ApiReply;
use super::microversion::Microversion;

/// When Nova's version 2.1 appeared; its documents say so.
const UPDATED: &str = "2013-07-23T11:33:21Z";

/// When version 2.0 did.
const LEGACY_UPDATED: &str = "2011-01-21T11:33:21Z";

/// The document of one version of compute.
pub(super) fn compute(base: &str) -> ApiReply {
    ApiReply::of(json!({"version": compute_version(base)}))
}

/// The document of the API before microversions.
pub(super) fn legacy(base: &str) -> ApiReply {
    ApiReply::of(json!({"version": legacy_version(base)}))
}

/// All versions of compute.
pub(super) fn all(base: &str) -> Value {
    json!({"versions": [legacy_version(base), compute_version(base)]})
}

/// The document of identity.
pub(super) fn identity(base: &str) -> ApiReply {
    ApiReply::of(json!({"version": {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{base}/v3/")}],
        "media-types": [media_type("identity-v3+json")],
    }}))
}

/// The versions of image, with the status that Glance has for them.
pub(super) fn image(base: &str) -> ApiReply {
    let links = json!([{"rel": "self", "href": format!("{base}/image/v2/")}]);
    let versions = json!({"versions": [{"id": "v2.9", "status": "CURRENT", "links": links}]});
    ApiReply::with(StatusCode::MULTIPLE_CHOICES, Some(versions))
}

fn compute_version(base: &str) -> Value {
    json!({
        "id": "v2.1",
        "status": "CURRENT",
        "version": Microversion::MAX.to_string(),
        "min_version": Microversion::MIN.to_string(),
        "updated": UPDATED,
        "links": [{"rel": "self", "href": format!("{base}/v2.1/")}],
        "media-types": [media_type("compute+json;version=2.1")],
    })
}

fn legacy_version(base: &str) -> Value {
    json!({
        "id": "v2.0",
        "status": "SUPPORTED",
        "version": "",
        "min_version": "",
        "updated": LEGACY_UPDATED,
        "links": [{"rel": "self", "href": format!("{base}/v2/")}],
        "media-types": [media_type("compute+json;version=2")],
    })
}

fn media_type(name: &str) -> Value {
    json!({"base": "application/json", "type": format!("application/vnd.openstack.{name}")})
}
