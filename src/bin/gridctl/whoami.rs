//! `gridctl whoami`: who one is for the broker, with which role and credential.
//!
//! Guarantees that the answer is the broker's. Reads no credential.

use std::io::Write;

use grid_broker::contract::proto::{CredentialKind, PrincipalKind, WhoAmIRequest, WhoAmIResponse};
use grid_broker::show::labels;

use crate::appliance_view::pair_lines;
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::CellStyle;

/// The caller and the broker that said so.
#[derive(Debug, Default)]
struct CallerAtBroker {
    caller: WhoAmIResponse,
    broker: String,
}

/// Asks the broker who the caller is.
///
/// # Errors
///
/// If the broker refuses, or cannot be reached.
pub(crate) async fn ask(broker: &Connection) -> Result<WhoAmIResponse, CliError> {
    Ok(broker.identity().who_am_i(broker.unary(WhoAmIRequest {})).await?.into_inner())
}

/// Shows who the caller is.
pub(crate) async fn show(
    broker: &Connection,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let caller = ask(broker).await?;
    let shown = CallerAtBroker { caller, broker: broker.address.clone() };
    if !look.format.is_human_readable() {
        return Ok(ListWriter::write_one(out, look, view(), &shown)?);
    }
    for line in detail_lines(&shown, look) {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// The caller in words: `ann, administrator with the role operator`.
pub(crate) fn describe(caller: &WhoAmIResponse) -> String {
    let kind = labels::principal_kind(caller.kind).unwrap_or_else(|| "somebody".to_owned());
    let name = if caller.name.is_empty() { "nobody in particular" } else { &caller.name };
    match labels::role(caller.role) {
        Some(role) if caller.kind == PrincipalKind::Administrator as i32 => {
            format!("{name}, {kind} with the role {role}")
        }
        Some(_) | None => format!("{name}, {kind}"),
    }
}

/// The credential in words: `token aB3dE6gH`.
pub(crate) fn describe_credential(caller: &WhoAmIResponse) -> String {
    match CredentialKind::try_from(caller.credential) {
        Ok(CredentialKind::Loopback) => "none: this broker trusts everybody on loopback".to_owned(),
        Ok(CredentialKind::Token) => format!("token {}", caller.credential_id),
        Ok(CredentialKind::Certificate) => format!("certificate {}", caller.credential_id),
        Ok(CredentialKind::Unspecified) | Err(_) => {
            labels::credential_kind(caller.credential).unwrap_or_default()
        }
    }
}

fn detail_lines(shown: &CallerAtBroker, look: &OutputOptions) -> Vec<String> {
    let CallerAtBroker { caller, broker } = shown;
    let is_loopback = caller.credential == CredentialKind::Loopback as i32;
    let valid = match look.format_time(&caller.expires_at) {
        at if at.is_empty() && is_loopback => String::new(),
        at if at.is_empty() => "until it is revoked".to_owned(),
        at => format!("until {at}"),
    };
    let pairs = [
        ("who", describe(caller)),
        ("credential", describe_credential(caller)),
        ("valid", valid),
        ("seen from", caller.address.clone()),
        ("broker", broker.clone()),
    ];
    pair_lines(&pairs, |key| if key == "who" { CellStyle::Bold } else { CellStyle::None }, look)
}

fn view() -> ItemView<CallerAtBroker> {
    let to_object = |shown: &CallerAtBroker| {
        let WhoAmIResponse { kind, name, role, credential, credential_id, expires_at, address } =
            &shown.caller;
        let fields = vec![
            ("kind", labels::principal_kind(*kind).into()),
            ("name", name.into()),
            ("role", labels::role(*role).into()),
            ("credential", labels::credential_kind(*credential).into()),
            ("credential_id", credential_id.into()),
            ("expires_at", expires_at.into()),
            ("address", address.into()),
            ("broker", (&shown.broker).into()),
        ];
        OutputObject { kind: "caller", name: name.clone(), fields }
    };
    ItemView { columns: &[], cells: |_, _| Vec::new(), to_object }
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::Role;

    use super::*;
    use crate::json;

    fn ann() -> CallerAtBroker {
        let caller = WhoAmIResponse {
            kind: PrincipalKind::Administrator.into(),
            name: "ann".to_owned(),
            role: Role::Operator.into(),
            credential: CredentialKind::Token.into(),
            credential_id: "aB3dE6gH".to_owned(),
            expires_at: Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 }),
            address: "10.0.0.5".to_owned(),
        };
        CallerAtBroker { caller, broker: "grid:7443".to_owned() }
    }

    #[test]
    fn a_caller_is_shown_with_role_and_credential() {
        let expected = [
            "who:        ann, administrator with the role operator",
            "credential: token aB3dE6gH",
            "valid:      until 2026-11-20 14:02:10Z",
            "seen from:  10.0.0.5",
            "broker:     grid:7443",
        ];
        assert_eq!(detail_lines(&ann(), &OutputOptions::plain()), expected);
        assert_eq!(
            json::object(&(view().to_object)(&ann())).unwrap(),
            concat!(
                r#"{"kind":"administrator","name":"ann","role":"operator","credential":"token","#,
                r#""credential_id":"aB3dE6gH","expires_at":"2026-11-20T14:02:10Z","#,
                r#""address":"10.0.0.5","broker":"grid:7443"}"#
            )
        );
    }

    #[test]
    fn on_loopback_nobody_needs_a_credential() {
        let caller = WhoAmIResponse {
            kind: PrincipalKind::Administrator.into(),
            name: "ann".to_owned(),
            role: Role::Admin.into(),
            credential: CredentialKind::Loopback.into(),
            address: "127.0.0.1".to_owned(),
            ..WhoAmIResponse::default()
        };
        let shown = CallerAtBroker { caller, broker: "127.0.0.1:7443".to_owned() };
        let lines = detail_lines(&shown, &OutputOptions::plain());
        assert_eq!(lines[1], "credential: none: this broker trusts everybody on loopback");
        assert!(!lines.iter().any(|line| line.starts_with("valid:")), "{lines:?}");
    }
}
