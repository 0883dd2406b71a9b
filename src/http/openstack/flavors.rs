//! Shows classes as flavors.
//!
//! Guarantees that sizes, which no class has, are 0. Changes nothing.

use serde_json::{Value, json};

use super::call::{Call, View};
use super::fault::{ApiReply, Fault};
use super::text::percent_encoded;

/// All classes, with all fields or names and ids alone.
pub(super) async fn list(call: &Call, is_detailed: bool) -> Result<ApiReply, Fault> {
    let names = class_names(call).await?;
    let show =
        |name: &String| if is_detailed { full(&call.view, name) } else { brief(&call.view, name) };
    Ok(ApiReply::of(json!({"flavors": names.iter().map(show).collect::<Vec<_>>()})))
}

/// One class.
pub(super) async fn show(call: &Call) -> Result<ApiReply, Fault> {
    let id = call.route.id();
    let names = class_names(call).await?;
    let found = names.iter().find(|name| *name == id);
    let found =
        found.ok_or_else(|| Fault::not_found(format!("Flavor {id} could not be found.")))?;
    Ok(ApiReply::of(json!({"flavor": full(&call.view, found)})))
}

/// The flavor of a server: whole from version 2.47 on.
pub(super) fn of_server(view: &View, class: &str) -> Value {
    if view.version.has(47) {
        return json!({
            "original_name": class,
            "vcpus": 0,
            "ram": 0,
            "disk": 0,
            "ephemeral": 0,
            "swap": 0,
            "extra_specs": {},
        });
    }
    let href = format!("{}/flavors/{}", view.base, percent_encoded(class));
    json!({"id": class, "links": [{"rel": "bookmark", "href": href}]})
}

async fn class_names(call: &Call) -> Result<Vec<String>, Fault> {
    call.query(|grid, _| grid.settings().class_names().map(str::to_owned).collect()).await
}

fn brief(view: &View, class: &str) -> Value {
    let (View { base, api, .. }, part) = (view, percent_encoded(class));
    let mut flavor = json!({
        "id": class,
        "name": class,
        "links": [
            {"rel": "self", "href": format!("{base}{api}/flavors/{part}")},
            {"rel": "bookmark", "href": format!("{base}/flavors/{part}")},
        ],
    });
    if view.version.has(55) {
        flavor["description"] = Value::Null;
    }
    flavor
}

fn full(view: &View, class: &str) -> Value {
    let mut flavor = brief(view, class);
    for (name, value) in [
        ("vcpus", json!(0)),
        ("ram", json!(0)),
        ("disk", json!(0)),
        ("OS-FLV-EXT-DATA:ephemeral", json!(0)),
        ("OS-FLV-DISABLED:disabled", json!(false)),
        ("os-flavor-access:is_public", json!(true)),
        ("rxtx_factor", json!(1.0)),
    ] {
        flavor[name] = value;
    }
    flavor["swap"] = if view.version.has(75) { json!(0) } else { json!("") };
    if view.version.has(61) {
        flavor["extra_specs"] = json!({});
    }
    flavor
}
