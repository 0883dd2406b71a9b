//! Does the actions of a server: triggers its crash dump, locks and unlocks it.
//!
//! Guarantees the order of Nova's checks (docs/openstack.md), that support is checked last of all, and
//! that a client which goes away leaves no request half done. Does not know how a crash dump is triggered.

use http::StatusCode;

use super::call::{Call, FoundServer};
use super::fault::{ApiReply, Fault, NOT_FOUND};
use super::json::Json;
use super::state;
use crate::crash_dump::{DumpRefusal, Requester};
use crate::grid::decide::CommandRejection;
use crate::grid::log::command::AdminCommand;
use crate::grid::model::crash_dump::LOCK_REASON_BYTES_MAX;
use crate::grid::values::crash_dump::DumpDriver;
use crate::identity::roles;

/// The action that triggers a crash dump.
pub(super) const TRIGGER: &str = "trigger_crash_dump";

/// What Nova says of a server without support.
const UNSUPPORTED: &str = "Triggering crash dump is not supported";

/// The first version that has [`TRIGGER`].
const TRIGGER_SINCE: u16 = 17;

/// The first version in which a lock has a reason.
const LOCK_REASON_SINCE: u16 = 73;

/// An action that is requested, with its value in the body.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Requested {
    /// A crash dump.
    Trigger(Json),
    /// A lock.
    Lock(Json),
    /// Its end.
    Unlock,
}

impl Requested {
    /// The action that a body requests.
    ///
    /// # Errors
    ///
    /// As Nova, which looks at the body before it knows its version.
    pub(super) fn of(body: &[u8]) -> Result<Self, Fault> {
        let malformed = || Fault::bad_request("Malformed request body");
        let (name, value) = match Json::parse(body).ok_or_else(malformed)? {
            Json::Object(entries) => match <[_; 1]>::try_from(entries) {
                Ok([entry]) => entry,
                Err(_) => return Err(malformed()),
            },
            // Nova asks each of these for its length, and then for its keys.
            Json::Array(values) if values.len() != 1 => return Err(malformed()),
            Json::Text(text) if text.chars().count() != 1 => return Err(malformed()),
            Json::Null
            | Json::Bool(_)
            | Json::Integer(_)
            | Json::Float(_)
            | Json::Array(_)
            | Json::Text(_) => return Err(Fault::not_found(NOT_FOUND)),
        };
        match name.as_str() {
            TRIGGER => Ok(Self::Trigger(value)),
            "lock" => Ok(Self::Lock(value)),
            "unlock" => Ok(Self::Unlock),
            _ => Err(Fault::bad_request(format!("There is no such action: {name}"))),
        }
    }

    /// Its name in the body.
    fn name(&self) -> &'static str {
        match self {
            Self::Trigger(_) => TRIGGER,
            Self::Lock(_) => "lock",
            Self::Unlock => "unlock",
        }
    }

    /// The name of Nova's rule who may have it.
    fn policy(&self) -> &'static str {
        match self {
            Self::Trigger(_) => "os_compute_api:servers:trigger_crash_dump",
            Self::Lock(_) => "os_compute_api:os-lock-server:lock",
            Self::Unlock => "os_compute_api:os-lock-server:unlock",
        }
    }

    /// Checks its value, and returns the reason of a lock.
    fn check_value(&self, call: &Call) -> Result<String, Fault> {
        match self {
            Self::Trigger(_) if !call.has(TRIGGER_SINCE) => Err(Fault::not_found(NOT_FOUND)),
            Self::Trigger(Json::Null) | Self::Unlock => Ok(String::new()),
            Self::Trigger(value) => {
                Err(invalid(TRIGGER, value, &format!("{} is not of type 'null'", value.repr())))
            }
            Self::Lock(value) if call.has(LOCK_REASON_SINCE) => lock_reason(value),
            Self::Lock(_) => Ok(String::new()),
        }
    }
}

/// Does what the body requests.
pub(super) async fn act(call: &Call, requested: &Requested) -> Result<ApiReply, Fault> {
    let reason = requested.check_value(call)?;
    let server = call.server().await?;
    permit(call, requested)?;
    // The credential may have been revoked while the body was on its way.
    if !call.authenticator.still_holds(&call.principal) {
        return Err(Fault::Unauthenticated);
    }
    match requested {
        Requested::Trigger(_) => trigger(call, server).await,
        Requested::Lock(_) => {
            let (name, reason, is_by_admin) = (server.name, reason.into(), call.is_admin());
            command(call, AdminCommand::Lock { name, reason, is_by_admin }, &server.id).await
        }
        Requested::Unlock => {
            let (name, is_by_admin) = (server.name, call.is_admin());
            command(call, AdminCommand::Unlock { name, is_by_admin }, &server.id).await
        }
    }
}

/// Checks that the caller may have the action.
fn permit(call: &Call, requested: &Requested) -> Result<(), Fault> {
    let what = format!("{} of {}", requested.name(), call.route.path);
    let is_permitted = roles::of_action(requested.name())
        .is_some_and(|access| call.authenticator.permit(&call.principal, access, &what).is_ok());
    if is_permitted { Ok(()) } else { Err(denied_by_policy(requested.policy())) }
}

/// What Nova says to somebody who may not do that.
pub(super) fn denied_by_policy(rule: &str) -> Fault {
    Fault::new(StatusCode::FORBIDDEN, format!("Policy doesn't allow {rule} to be performed."))
}

async fn trigger(call: &Call, server: FoundServer) -> Result<ApiReply, Fault> {
    let requester = Requester {
        name: call.caller_name(),
        by: call.principal.for_record(),
        is_admin: call.is_admin(),
    };
    match call.broker.crash_dumps.trigger(&requester, &server.name).await {
        Ok(receipt) => Ok(ApiReply { request: Some(receipt.request), ..ApiReply::accepted() }),
        Err(refusal) => Err(refused(call, &server, refusal).await?),
    }
}

/// What Nova says of a refusal.
///
/// # Errors
///
/// If the broker does not answer what is needed for it.
async fn refused(call: &Call, server: &FoundServer, refusal: DumpRefusal) -> Result<Fault, Fault> {
    let id = &server.id;
    Ok(match refusal {
        DumpRefusal::NotFound { .. } => {
            Fault::not_found(format!("Instance {id} could not be found."))
        }
        DumpRefusal::Locked { .. } => Fault::conflict(format!("Instance {id} is locked")),
        DumpRefusal::NeverBooted { .. } => Fault::conflict(format!("Instance {id} is not ready")),
        DumpRefusal::State { .. } => {
            let words = state_words(call, server).await?;
            Fault::conflict(format!("Cannot '{TRIGGER}' instance {id} while it is in {words}"))
        }
        DumpRefusal::Unsupported { why, .. } => {
            let message = match has_driver(call, server).await? {
                true => format!("{UNSUPPORTED}: {why}"),
                false => UNSUPPORTED.to_owned(),
            };
            Fault::bad_request(message)
        }
        DumpRefusal::NotNow { why, .. } => {
            Fault::conflict(format!("Cannot '{TRIGGER}' instance {id} now: {why}"))
        }
        DumpRefusal::Unavailable(reason) => reason.into(),
    })
}

/// Whether a driver is configured for the appliance.
async fn has_driver(call: &Call, server: &FoundServer) -> Result<bool, Fault> {
    let index = server.index;
    let driver = call.query(move |grid, _| {
        let appliance = grid.state().appliance(index)?;
        Some(grid.settings().crash_dump(&appliance.name, &appliance.class).driver)
    });
    Ok(driver.await?.is_some_and(|driver| driver != DumpDriver::None))
}

/// The state that does not allow a crash dump, as Nova names it: `vm_state stopped`.
async fn state_words(call: &Call, server: &FoundServer) -> Result<String, Fault> {
    let index = server.index;
    let found = call.query(move |grid, _| grid.state().appliance(index).map(state::of));
    let gone = || Fault::not_found(format!("Instance {} could not be found.", server.id));
    let state = found.await?.ok_or_else(gone)?;
    // Nova looks at the stable state first.
    Ok(match (state.vm_state, state.task_state) {
        ("active" | "error", Some(task)) => format!("task_state {task}"),
        (vm_state, _) => format!("vm_state {vm_state}"),
    })
}

async fn command(call: &Call, command: AdminCommand, id: &str) -> Result<ApiReply, Fault> {
    let is_unlock = matches!(&command, AdminCommand::Unlock { .. });
    let by = call.principal.for_record();
    match call.broker.broker.command(&by, command).await? {
        Ok(_) => Ok(ApiReply::accepted()),
        Err(CommandRejection::NotFound { .. }) => {
            Err(Fault::not_found(format!("Instance {id} could not be found.")))
        }
        Err(CommandRejection::LockedByAdmin { .. }) if is_unlock => {
            Err(denied_by_policy("os_compute_api:os-lock-server:unlock:unlock_override"))
        }
        // As Nova: it stays locked, as was requested, by whoever has locked it.
        Err(CommandRejection::LockedByAdmin { .. }) => Ok(ApiReply::accepted()),
        Err(
            rejection @ (CommandRejection::AlreadyExists { .. }
            | CommandRejection::UnknownClass { .. }
            | CommandRejection::Locked { .. }
            | CommandRejection::NeverBooted { .. }
            | CommandRejection::CannotDump { .. }
            | CommandRejection::NotSuppressed { .. }),
        ) => Err(Fault::conflict(rejection.to_string())),
    }
}

/// The reason in the value of a lock.
fn lock_reason(value: &Json) -> Result<String, Fault> {
    let entries = match value {
        Json::Null => return Ok(String::new()),
        Json::Object(entries) => entries,
        Json::Bool(_) | Json::Integer(_) | Json::Float(_) | Json::Text(_) | Json::Array(_) => {
            let why = format!("{} is not of type 'object', 'null'", value.repr());
            return Err(invalid("lock", value, &why));
        }
    };
    let is_unexpected = |(key, _): &&(String, Json)| key != "locked_reason";
    let unexpected: Vec<_> = entries.iter().filter(is_unexpected).collect();
    if !unexpected.is_empty() {
        let keys: Vec<_> =
            unexpected.iter().map(|(key, _)| Json::Text(key.clone()).repr()).collect();
        let verb = if keys.len() == 1 { "was" } else { "were" };
        let keys = keys.join(", ");
        let why = format!("Additional properties are not allowed ({keys} {verb} unexpected)");
        return Err(invalid("lock", value, &why));
    }
    let Some(reason) = value.get("locked_reason") else { return Ok(String::new()) };
    let refuse =
        |why: &str| Err(invalid("locked_reason", reason, &format!("{} {why}", reason.repr())));
    match reason.text() {
        None => refuse("is not of type 'string'"),
        Some("") => refuse("is too short"),
        // Nova counts characters: some that it accepts are too long for a record.
        Some(text) if text.len() > LOCK_REASON_BYTES_MAX => refuse("is too long"),
        Some(text) => Ok(text.to_owned()),
    }
}

/// What Nova says of a value that its schema does not allow.
fn invalid(field: &str, value: &Json, why: &str) -> Fault {
    let value = value.shown();
    Fault::bad_request(format!("Invalid input for field/attribute {field}. Value: {value}. {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_one_action() {
        let malformed = || Err(Fault::bad_request("Malformed request body"));
        let hidden = || Err(Fault::not_found(NOT_FOUND));
        let unknown =
            |name: &str| Err(Fault::bad_request(format!("There is no such action: {name}")));
        for (body, expected) in [
            (r#"{"trigger_crash_dump": null}"#, Ok(Requested::Trigger(Json::Null))),
            (
                r#"{"trigger_crash_dump": 1, "trigger_crash_dump": null}"#,
                Ok(Requested::Trigger(Json::Null)),
            ),
            (
                r#"{"trigger_crash_dump": null, "trigger_crash_dump": 1}"#,
                Ok(Requested::Trigger(Json::Integer(1))),
            ),
            (r#"{"lock": null}"#, Ok(Requested::Lock(Json::Null))),
            (r#"{"unlock": {}}"#, Ok(Requested::Unlock)),
            ("", malformed()),
            ("crash", malformed()),
            ("{}", malformed()),
            (r#"{"trigger_crash_dump": null, "lock": null}"#, malformed()),
            (r#""trigger_crash_dump""#, malformed()),
            (r#""""#, malformed()),
            ("[]", malformed()),
            ("[1, 2]", malformed()),
            ("null", hidden()),
            ("17", hidden()),
            ("1.5", hidden()),
            ("true", hidden()),
            (r#"["trigger_crash_dump"]"#, hidden()),
            (r#""x""#, hidden()),
            (r#"{"crash": null}"#, unknown("crash")),
            (r#"{"reboot": {"type": "HARD"}}"#, unknown("reboot")),
            (r#"{"": null}"#, unknown("")),
        ] {
            assert_eq!(Requested::of(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn each_action_has_a_row_in_the_table_of_roles() {
        for (name, _) in roles::ACTIONS {
            let requested = Requested::of(format!("{{\"{name}\": null}}").as_bytes());
            assert_eq!(requested.expect("an action").name(), *name);
        }
        assert_eq!(roles::ACTIONS.len(), 3, "each variant has a row");
    }

    #[test]
    fn a_lock_may_have_a_reason() {
        let of = |text: &str| {
            let found = lock_reason(&Json::parse(text.as_bytes()).expect("JSON"));
            found.map_err(|fault| match fault {
                Fault::Refused { message, .. } => message,
                other @ (Fault::Unauthenticated | Fault::TooManyFailures | Fault::Unrouted) => {
                    panic!("{other:?}")
                }
            })
        };
        assert_eq!(of("null"), Ok(String::new()));
        assert_eq!(of("{}"), Ok(String::new()));
        assert_eq!(of(r#"{"locked_reason": "audit"}"#), Ok("audit".to_owned()));
        let longest = "x".repeat(LOCK_REASON_BYTES_MAX);
        assert_eq!(of(&format!("{{\"locked_reason\": \"{longest}\"}}")), Ok(longest.clone()));
        let field = "Invalid input for field/attribute";
        for (text, expected) in [
            ("1".to_owned(), format!("{field} lock. Value: 1. 1 is not of type 'object', 'null'")),
            (
                r#"{"reason": "a"}"#.to_owned(),
                format!(
                    "{field} lock. Value: {{'reason': 'a'}}. Additional properties are not allowed \
                     ('reason' was unexpected)"
                ),
            ),
            (
                r#"{"locked_reason": null}"#.to_owned(),
                format!("{field} locked_reason. Value: None. None is not of type 'string'"),
            ),
            (
                r#"{"locked_reason": ""}"#.to_owned(),
                format!("{field} locked_reason. Value: . '' is too short"),
            ),
            (
                format!("{{\"locked_reason\": \"{longest}y\"}}"),
                format!("{field} locked_reason. Value: {longest}y. '{longest}y' is too long"),
            ),
        ] {
            assert_eq!(of(&text), Err(expected), "{text}");
        }
    }
}
