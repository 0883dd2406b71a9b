//! Lists and shows servers: the appliances.
//!
//! Guarantees that a field is there in the versions in which Nova has it, and that what a broker does not
//! know of an appliance is empty. Changes nothing.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value, json};

use super::call::{Call, View};
use super::fault::{ApiReply, Fault};
use super::{flavors, moment, state};
use crate::grid::model::lifecycle::{FailedStart, Lifecycle};
use crate::grid::state::appliance::Appliance;
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Timestamp;
use crate::show::escape::escape;

/// Most servers in one page: Nova's default of `max_limit`.
const PAGE_SERVERS_MAX: usize = 1_000;

/// Largest memory of a compiled pattern of names.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Filters on what no server here has: nothing matches them.
const NEVER_MATCHING: [&str; 8] =
    ["ip", "ip6", "image", "host", "node", "key_name", "tags", "tags-any"];

/// The user to whom servers belong: nobody has created them.
const OWNER: &str = "gridd";

/// Which servers a list has.
#[derive(Clone, Debug, Default)]
struct ServerFilter {
    name: Option<Regex>,
    status: Vec<String>,
    flavor: Option<String>,
    is_locked: Option<bool>,
    changes_since: Option<Timestamp>,
    matches_nothing: bool,
}

/// A page while it is gathered.
#[derive(Debug, Default)]
struct Page {
    servers: Vec<Value>,
    last: String,
    has_more: bool,
}

/// A list of servers: with all fields, or names and ids alone.
pub(super) async fn list(call: &Call, is_detailed: bool) -> Result<ApiReply, Fault> {
    let filter = ServerFilter::of(call)?;
    let limit = limit(call)?.unwrap_or(PAGE_SERVERS_MAX).min(PAGE_SERVERS_MAX);
    let from = first_after_marker(call).await?;
    let mut page = Page::default();
    if limit > 0 && !filter.matches_nothing {
        let view = Arc::clone(&call.view);
        page = call
            .examine(from, page, move |page, _, appliance| {
                if !filter.matches(appliance) {
                    return false;
                }
                if page.servers.len() == limit {
                    page.has_more = true;
                    return true;
                }
                let shown =
                    if is_detailed { full(&view, appliance) } else { brief(&view, appliance) };
                page.servers.push(shown);
                page.last = appliance.uuid.hyphenated().to_string();
                false
            })
            .await?;
    }
    let mut body = json!({"servers": page.servers});
    if page.has_more {
        let View { base, api, .. } = &*call.view;
        let path = if is_detailed { "servers/detail" } else { "servers" };
        let next = format!("{base}{api}/{path}?{}", call.query.with_marker(&page.last));
        body["servers_links"] = json!([{"rel": "next", "href": next}]);
    }
    Ok(ApiReply::of(body))
}

/// One server.
pub(super) async fn show(call: &Call) -> Result<ApiReply, Fault> {
    let server = call.server().await?;
    let (view, index) = (Arc::clone(&call.view), server.index);
    let shown = call.query(move |grid, _| {
        let mut server = full(&view, grid.state().appliance(index)?);
        if view.version.has(71) {
            server["server_groups"] = json!([]);
        }
        Some(server)
    });
    let gone = || Fault::not_found(format!("Instance {} could not be found.", server.id));
    Ok(ApiReply::of(json!({"server": shown.await?.ok_or_else(gone)?})))
}

impl ServerFilter {
    fn of(call: &Call) -> Result<Self, Fault> {
        let query = &call.query;
        let mut filter = Self::default();
        if let Some(pattern) = query.get("name") {
            let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
            let why = format!("'{pattern}' is not a 'regex'");
            filter.name = Some(built.map_err(|_| invalid_parameter("name", pattern, &why))?);
        }
        filter.status = query.all("status").map(str::to_uppercase).collect();
        filter.flavor = query.get("flavor").map(str::to_owned);
        if call.has(73) {
            filter.is_locked = query.get("locked").map(is_true);
        }
        if let Some(since) = query.get("changes-since") {
            filter.changes_since = Some(moment_of("changes-since", since)?);
        }
        let project = ["tenant_id", "project_id"].map(|name| query.get(name));
        let is_foreign = |id: &str| id != call.view.project.id;
        filter.matches_nothing = project.into_iter().flatten().any(is_foreign)
            // Removed appliances are not kept.
            || query.get("deleted").is_some_and(is_true)
            || NEVER_MATCHING.iter().any(|name| query.get(name).is_some());
        Ok(filter)
    }

    fn matches(&self, appliance: &Appliance) -> bool {
        let state = state::of(appliance);
        self.name.as_ref().is_none_or(|it| it.is_match(appliance.name.as_str()))
            && (self.status.is_empty() || self.status.iter().any(|it| it == state.status))
            && self.flavor.as_ref().is_none_or(|it| **it == *appliance.class)
            && self.is_locked.is_none_or(|it| it == appliance.lock.is_some())
            && self.changes_since.is_none_or(|since| updated_at(appliance) >= since)
    }
}

/// The `limit` of a query.
///
/// # Errors
///
/// 400 if it is no number.
pub(super) fn limit(call: &Call) -> Result<Option<usize>, Fault> {
    let Some(text) = call.query.get("limit") else { return Ok(None) };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let why = format!("'{text}' does not match '^[0-9]*$'");
        return Err(invalid_parameter("limit", text, &why));
    }
    Ok(Some(text.parse().unwrap_or(usize::MAX)))
}

/// The time in a query.
///
/// # Errors
///
/// 400 if it is none.
pub(super) fn moment_of(name: &str, text: &str) -> Result<Timestamp, Fault> {
    let why = format!("'{text}' is not a 'date-time'");
    moment::parse(text).ok_or_else(|| invalid_parameter(name, text, &why))
}

fn invalid_parameter(name: &str, value: &str, why: &str) -> Fault {
    Fault::bad_request(format!("Invalid input for query parameters {name}. Value: {value}. {why}"))
}

/// What OpenStack reads as true.
fn is_true(text: &str) -> bool {
    ["1", "t", "true", "on", "y", "yes"].contains(&text.trim().to_lowercase().as_str())
}

/// Where a page begins: behind the server of the marker.
async fn first_after_marker(call: &Call) -> Result<ApplianceIndex, Fault> {
    let Some(marker) = call.query.get("marker").map(str::to_owned) else {
        return Ok(ApplianceIndex(1));
    };
    let missing = Fault::bad_request(format!("marker [{marker}] not found"));
    let found = call.examine(ApplianceIndex(1), None, move |found, _, appliance| {
        if appliance.uuid.hyphenated().to_string() == marker.to_lowercase() {
            *found = Some(appliance.number);
        }
        found.is_some()
    });
    let ApplianceIndex(number) = found.await?.ok_or(missing)?;
    Ok(ApplianceIndex(number.saturating_add(1)))
}

/// Name and id of a server.
fn brief(view: &View, appliance: &Appliance) -> Value {
    let id = appliance.uuid.hyphenated().to_string();
    let View { base, api, .. } = view;
    json!({
        "id": id,
        "name": appliance.name.as_str(),
        "links": [
            {"rel": "self", "href": format!("{base}{api}/servers/{id}")},
            {"rel": "bookmark", "href": format!("{base}/servers/{id}")},
        ],
    })
}

/// A server with all its fields.
fn full(view: &View, appliance: &Appliance) -> Value {
    let mut server = brief(view, appliance);
    let state = state::of(appliance);
    let began_at = appliance.boot.map(|boot| boot.began_at);
    let fields = json!({
        "status": state.status,
        "tenant_id": view.project.id,
        "user_id": OWNER,
        "metadata": {},
        "hostId": "",
        "image": "",
        "flavor": flavors::of_server(view, &appliance.class),
        "created": moment::seconds(created_at(appliance)),
        "updated": moment::seconds(updated_at(appliance)),
        "addresses": {},
        "accessIPv4": "",
        "accessIPv6": "",
        "config_drive": "",
        "key_name": null,
        "OS-DCF:diskConfig": "MANUAL",
        "OS-EXT-AZ:availability_zone": "",
        "OS-EXT-STS:vm_state": state.vm_state,
        "OS-EXT-STS:task_state": state.task_state,
        "OS-EXT-STS:power_state": state.power_state,
        "OS-SRV-USG:launched_at": began_at.map(moment::micros),
        "OS-SRV-USG:terminated_at": null,
        "os-extended-volumes:volumes_attached": [],
    });
    let lock = appliance.lock.as_ref();
    let reason = lock.map(|lock| &*lock.reason).filter(|reason| !reason.is_empty());
    let of_versions = [
        (9, "locked", json!(lock.is_some())),
        (19, "description", Value::Null),
        (26, "tags", json!([])),
        (63, "trusted_image_certificates", Value::Null),
        (73, "locked_reason", json!(reason.map(escape))),
    ];
    let of_versions = of_versions.into_iter().filter(|(minor, _, _)| view.version.has(*minor));
    let of_versions = of_versions.map(|(_, name, value)| (name.to_owned(), value));
    let fault = fault(appliance).map(|fault| ("fault".to_owned(), fault));
    if let (Value::Object(server), Value::Object(fields)) = (&mut server, fields) {
        server.extend(fields.into_iter().chain(of_versions).chain(fault).collect::<Map<_, _>>());
    }
    server
}

/// Why a server has the status ERROR.
fn fault(appliance: &Appliance) -> Option<Value> {
    let Lifecycle::Failed(failed) = &appliance.lifecycle else { return None };
    let FailedStart { failure, reason, .. } = &**failed;
    let failure = failure.as_str();
    let message = match reason.is_empty() {
        true => failure.to_owned(),
        false => format!("{failure}: {}", escape(reason)),
    };
    Some(json!({"code": 500, "created": moment::seconds(appliance.since), "message": message}))
}

/// The first moment that is known of an appliance: its registration is not kept.
fn created_at(appliance: &Appliance) -> Timestamp {
    let failed = appliance.failed_starts.iter().copied();
    let began = appliance.boot.map(|boot| boot.began_at);
    let dumped = appliance.crash_dumps.iter().map(|dump| dump.requested_at);
    failed.chain(began).chain(dumped).min().unwrap_or(appliance.since)
}

/// When an appliance last changed, or was heard of.
fn updated_at(appliance: &Appliance) -> Timestamp {
    let locked = appliance.lock.as_ref().map(|lock| lock.at);
    let others = [Some(appliance.since), appliance.last_event_at, locked];
    others.into_iter().flatten().max().unwrap_or(Timestamp::EPOCH).max(created_at(appliance))
}
