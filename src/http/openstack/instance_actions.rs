//! Shows the crash dumps of an appliance as Nova's instance actions, the newest first.
//!
//! Guarantees that a request which was refused is not among them, and that what became of a crash dump
//! is in the details of its event. Changes nothing.

use serde_json::{Value, json};
use uuid::Uuid;

use super::actions::TRIGGER;
use super::call::{Call, FoundServer};
use super::fault::{ApiReply, Fault};
use super::{moment, servers};
use crate::grid::explain;
use crate::grid::model::crash_dump::{CrashDump, DumpTrigger};
use crate::grid::values::time::Timestamp;
use crate::show::escape::escape;

/// The name of the event, as Nova's compute host has it.
const EVENT: &str = "compute_trigger_crash_dump";

/// The first version with pages.
const PAGES_SINCE: u16 = 58;

/// The first version with `changes-before`.
const CHANGES_BEFORE_SINCE: u16 = 66;

/// The crash dumps of a server.
pub(super) async fn list(call: &Call) -> Result<ApiReply, Fault> {
    let server = call.server().await?;
    let dumps = crash_dumps(call, &server).await?;
    if !call.has(PAGES_SINCE) {
        let shown: Vec<_> = dumps.iter().map(|dump| action(call, &server, dump)).collect();
        return Ok(ApiReply::of(json!({"instanceActions": shown})));
    }
    let (since, before) = changes(call)?;
    let limit = servers::limit(call)?.unwrap_or(usize::MAX);
    let is_in = |dump: &&CrashDump| {
        let at = updated_at(dump);
        since.is_none_or(|since| at >= since) && before.is_none_or(|before| at <= before)
    };
    let mut matching: Vec<_> = dumps.iter().filter(is_in).collect();
    if let Some(marker) = call.query.get("marker") {
        let at = matching.iter().position(|dump| request_id(dump) == marker);
        let missing = || Fault::bad_request(format!("Marker {marker} could not be found."));
        matching.drain(..=at.ok_or_else(missing)?);
    }
    let page = &matching[..matching.len().min(limit)];
    let shown: Vec<_> = page.iter().map(|dump| action(call, &server, dump)).collect();
    let mut body = json!({"instanceActions": shown});
    if let Some(last) = page.last().filter(|_| page.len() < matching.len()) {
        let (base, api, id) = (&call.view.base, call.view.api, &server.id);
        let query = call.query.with_marker(&request_id(last));
        let next = format!("{base}{api}/servers/{id}/os-instance-actions?{query}");
        body["links"] = json!([{"rel": "next", "href": next}]);
    }
    Ok(ApiReply::of(body))
}

/// One of them, with its event.
pub(super) async fn show(call: &Call) -> Result<ApiReply, Fault> {
    let server = call.server().await?;
    let requested = call.route.request();
    let dumps = crash_dumps(call, &server).await?;
    let found = dumps.iter().find(|dump| request_id(dump) == requested);
    let missing = || Fault::not_found(format!("Action {requested} not found"));
    let dump = found.ok_or_else(missing)?;
    let mut shown = action(call, &server, dump);
    if call.is_admin() || call.has(51) {
        shown["events"] = json!([event(call, dump)]);
    }
    Ok(ApiReply::of(json!({"instanceAction": shown})))
}

/// A request id, as Nova writes it.
pub(super) fn with_prefix(request: Uuid) -> String {
    format!("req-{}", request.hyphenated())
}

fn request_id(dump: &CrashDump) -> String {
    with_prefix(dump.request)
}

async fn crash_dumps(call: &Call, server: &FoundServer) -> Result<Vec<CrashDump>, Fault> {
    let index = server.index;
    let found = call.query(move |grid, _| Some(grid.state().appliance(index)?.crash_dumps.clone()));
    let gone = || Fault::not_found(format!("Instance {} could not be found.", server.id));
    found.await?.ok_or_else(gone)
}

/// The times between which an action has changed.
fn changes(call: &Call) -> Result<(Option<Timestamp>, Option<Timestamp>), Fault> {
    let of = |name: &str| {
        let text = call.query.get(name);
        text.map(|text| servers::moment_of(name, text)).transpose()
    };
    let since = of("changes-since")?;
    let before = if call.has(CHANGES_BEFORE_SINCE) { of("changes-before")? } else { None };
    if since.zip(before).is_some_and(|(since, before)| since > before) {
        let text = "The value of changes-since must be less than or equal to changes-before.";
        return Err(Fault::bad_request(text));
    }
    Ok((since, before))
}

fn updated_at(dump: &CrashDump) -> Timestamp {
    let others = [dump.trigger.done_at(), dump.end.map(|(_, at)| at)];
    others.into_iter().flatten().fold(dump.requested_at, Timestamp::max)
}

fn has_failed(dump: &CrashDump) -> Option<bool> {
    match dump.trigger {
        DumpTrigger::Due | DumpTrigger::Pending => None,
        DumpTrigger::Done { .. } => Some(false),
        DumpTrigger::Failed { .. } | DumpTrigger::Unknown { .. } => Some(true),
    }
}

fn action(call: &Call, server: &FoundServer, dump: &CrashDump) -> Value {
    let message = has_failed(dump).filter(|failed| *failed).map(|_| "Error");
    let mut shown = json!({
        "action": TRIGGER,
        "instance_uuid": server.id,
        "request_id": request_id(dump),
        "user_id": &*dump.by,
        "project_id": call.view.project.id,
        "start_time": moment::micros(dump.requested_at),
        "message": message,
    });
    if call.has(PAGES_SINCE) {
        shown["updated_at"] = json!(moment::micros(updated_at(dump)));
    }
    shown
}

fn event(call: &Call, dump: &CrashDump) -> Value {
    let result = has_failed(dump).map(|failed| if failed { "Error" } else { "Success" });
    let mut shown = json!({
        "event": EVENT,
        "start_time": moment::micros(dump.requested_at),
        "finish_time": dump.trigger.done_at().map(moment::micros),
        "result": result,
    });
    if call.is_admin() {
        shown["traceback"] = Value::Null;
    }
    if call.has(62) {
        shown["hostId"] = json!("");
        if call.is_admin() {
            shown["host"] = json!("");
        }
    }
    if call.has(84) {
        shown["details"] = json!(details(dump));
    }
    shown
}

/// The whole story: what the driver did and printed, the next boot, and the dumps that were found.
fn details(dump: &CrashDump) -> String {
    let story = explain::crash_dump::describe(dump);
    let output = dump.output.trim();
    let text = match output.is_empty() || story.contains(output) {
        true => story,
        false => format!("{story}; output: {output}"),
    };
    escape(&text).into_owned()
}
