//! Lists what each caller may do: one table for all methods of gRPC, all pages, and OpenStack's API.
//!
//! Guarantees that a method, page or operation that is not in the table is denied. Tests compare the
//! table with the contract, the pages and the operations, in both directions. Does not know who calls.

use crate::grid::values::identity::Role;
use crate::identity::peer::Caller;

/// Who may call a method, or read a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a credential too.
    Anyone,
    /// Everybody with a credential.
    Authenticated,
    /// Appliances.
    Appliance,
    /// Administrators with that role or a more powerful one.
    Role(Role),
    /// Appliances, about themselves, and administrators with that role.
    OwnOrRole(Role),
}

use Access::{Anyone, Appliance, Authenticated, OwnOrRole};
const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);
const ADMIN: Access = Access::Role(Role::Admin);

/// Who may call each method: service, method, access. Services without a package are of
/// `grid.events.v1`.
pub const METHODS: &[(&str, &str, Access)] = &[
    ("AlertService", "ListAlerts", VIEWER),
    ("AlertService", "GetAlert", VIEWER),
    ("AlertService", "AcknowledgeAlert", OPERATOR),
    ("AlertService", "UnacknowledgeAlert", OPERATOR),
    ("AlertService", "ResolveAlert", OPERATOR),
    ("AlertService", "ExplainAlert", VIEWER),
    ("ApplianceService", "ListAppliances", VIEWER),
    ("ApplianceService", "GetAppliance", OwnOrRole(Role::Viewer)),
    ("ApplianceService", "WatchAppliances", VIEWER),
    ("ApplianceService", "AddAppliance", ADMIN),
    ("ApplianceService", "SetAppliance", OPERATOR),
    ("ApplianceService", "RemoveAppliance", ADMIN),
    ("ApplianceService", "StartBoot", OPERATOR),
    ("ApplianceService", "StopAppliance", OPERATOR),
    ("ApplianceService", "UnsuppressAppliance", OPERATOR),
    ("ApplianceService", "LockAppliance", OPERATOR),
    ("ApplianceService", "UnlockAppliance", OPERATOR),
    ("BrokerService", "GetStatus", VIEWER),
    ("BrokerService", "GetReport", ADMIN),
    ("CrashDumpService", "CheckCrashDump", VIEWER),
    ("CrashDumpService", "TriggerCrashDump", OPERATOR),
    ("CrashDumpService", "ListCrashDumps", VIEWER),
    ("EventService", "Report", Appliance),
    ("EventService", "Session", Appliance),
    ("GridLogService", "ListRecords", VIEWER),
    ("GridLogService", "GetRecord", VIEWER),
    ("GridLogService", "TailRecords", VIEWER),
    ("GridLogService", "ExportRecords", VIEWER),
    ("GridLogService", "CountRecords", VIEWER),
    ("GridLogService", "ExplainRecord", VIEWER),
    ("IdentityService", "WhoAmI", Authenticated),
    ("IdentityService", "Enrol", Anyone),
    ("IdentityService", "Renew", Anyone),
    ("IdentityService", "CreateToken", ADMIN),
    ("IdentityService", "RotateToken", Authenticated),
    ("IdentityService", "RevokeToken", Authenticated),
    ("IdentityService", "ListTokens", ADMIN),
    ("IdentityService", "ListKeys", VIEWER),
    ("IdentityService", "RevokeAppliance", ADMIN),
    ("IdentityService", "CreateAdministrator", ADMIN),
    ("IdentityService", "SetAdministrator", ADMIN),
    ("IdentityService", "RemoveAdministrator", ADMIN),
    ("IdentityService", "ListAdministrators", ADMIN),
    ("JournalService", "BackUp", ADMIN),
    ("MailService", "ListMails", VIEWER),
    ("MailService", "GetMail", VIEWER),
    ("MailService", "RetryMail", OPERATOR),
    ("MailService", "DropMail", OPERATOR),
    ("MailService", "TestMail", ADMIN),
    ("grpc.health.v1.Health", "Check", Anyone),
    ("grpc.health.v1.Health", "Watch", Anyone),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", Authenticated),
];

/// The methods that reply by a stream, which ends when the credential of its caller does.
pub const STREAMS: &[(&str, &str)] = &[
    ("ApplianceService", "WatchAppliances"),
    ("EventService", "Session"),
    ("GridLogService", "ExportRecords"),
    ("GridLogService", "TailRecords"),
    ("JournalService", "BackUp"),
    ("grpc.health.v1.Health", "Watch"),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo"),
];

/// Who may use each page: method, path, access. A part in braces stands for any text.
pub const PAGES: &[(&str, &str, Access)] = &[
    ("GET", "/", Anyone),
    // The signed token in the path is the credential.
    ("GET", "/ack/{token}", Anyone),
    ("POST", "/ack/{token}", Anyone),
    ("GET", "/livez", Anyone),
    ("GET", "/metrics", VIEWER),
    ("GET", "/readyz", Anyone),
];

/// Who may use each operation of OpenStack's API: method, path, access.
///
/// A part in braces stands for any text; the first row that matches counts. Paths below `/v2.1` are those below `/v2` too, and may have
/// the id of the project behind that.
pub const OPENSTACK: &[(&str, &str, Access)] = &[
    ("GET", "/v2.1", Anyone),
    ("GET", "/v2", Anyone),
    ("GET", "/v2.1/servers", VIEWER),
    ("GET", "/v2.1/servers/detail", VIEWER),
    ("GET", "/v2.1/servers/{id}", VIEWER),
    ("POST", "/v2.1/servers/{id}/action", VIEWER),
    ("GET", "/v2.1/servers/{id}/os-instance-actions", VIEWER),
    ("GET", "/v2.1/servers/{id}/os-instance-actions/{request}", VIEWER),
    ("GET", "/v2.1/flavors", VIEWER),
    ("GET", "/v2.1/flavors/detail", VIEWER),
    ("GET", "/v2.1/flavors/{id}", VIEWER),
    ("GET", "/v3", Anyone),
    ("POST", "/v3/auth/tokens", Anyone),
    ("GET", "/v3/auth/tokens", VIEWER),
    ("GET", "/image", Anyone),
    ("GET", "/image/v2/images", VIEWER),
];

/// Who may have each action of a server, by its name in the body.
pub const ACTIONS: &[(&str, Access)] =
    &[("trigger_crash_dump", OPERATOR), ("lock", OPERATOR), ("unlock", OPERATOR)];

/// Who may call the method at that path; `None`: there is no such method.
pub fn of_call(path: &str) -> Option<Access> {
    let (service, method) = parts(path)?;
    let found = METHODS.iter().find(|(of, name, _)| *of == service && *name == method);
    found.map(|(_, _, access)| *access)
}

/// Whether the method at that path replies by a stream.
pub fn is_stream(path: &str) -> bool {
    parts(path).is_some_and(|called| STREAMS.contains(&called))
}

/// Service and method, as the table names them.
fn parts(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    Some((service.strip_prefix("grid.events.v1.").unwrap_or(service), method))
}

/// Who may read the page at that path; `None`: there is no such page. HEAD is as GET.
pub fn of_page(method: &str, path: &str) -> Option<Access> {
    let method = if method == "HEAD" { "GET" } else { method };
    let found = PAGES.iter().find(|(of, page, _)| *of == method && is_of_row(path, page));
    found.map(|(_, _, access)| *access)
}

/// The methods of the page at that path, as a header names them; empty: there is no such page.
pub fn methods_of_page(path: &str) -> String {
    let rows = PAGES.iter().filter(|(_, page, _)| is_of_row(path, page));
    let named = rows.map(|(method, _, _)| if *method == "GET" { "GET, HEAD" } else { method });
    named.collect::<Vec<_>>().join(", ")
}

/// The path of the operation's row, and who may use it; `None`: there is no such operation. HEAD is as
/// GET.
pub fn of_openstack(method: &str, path: &str) -> Option<(&'static str, Access)> {
    let method = if method == "HEAD" { "GET" } else { method };
    let found = OPENSTACK.iter().find(|(of, row, _)| *of == method && is_of_row(path, row));
    found.map(|(_, row, access)| (*row, *access))
}

/// Who may have the action of that name; `None`: there is no such action.
pub fn of_action(name: &str) -> Option<Access> {
    ACTIONS.iter().find(|(of, _)| *of == name).map(|(_, access)| *access)
}

/// Whether the path has the parts of the row; a part in braces is any text but an empty one.
fn is_of_row(path: &str, row: &str) -> bool {
    let mut parts = path.split('/');
    let is_same = row.split('/').all(|expected| {
        let part = parts.next();
        if expected.starts_with('{') {
            part.is_some_and(|it| !it.is_empty())
        } else {
            part == Some(expected)
        }
    });
    is_same && parts.next().is_none()
}

impl Access {
    /// Whether that caller has it.
    pub fn permits(self, caller: &Caller) -> bool {
        match (self, caller) {
            (Self::Anyone, _) => true,
            (_, Caller::Stranger) => false,
            (Self::Authenticated, _) => true,
            (Self::Appliance | Self::OwnOrRole(_), Caller::Appliance(_)) => true,
            (Self::Appliance, Caller::Administrator { .. }) => false,
            (Self::Role(needed) | Self::OwnOrRole(needed), Caller::Administrator { role, .. }) => {
                *role >= needed
            }
            (Self::Role(_), Caller::Appliance(_)) => false,
        }
    }

    /// Who is needed, for texts: `the role operator`.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Anyone => "nothing",
            Self::Authenticated => "a credential",
            Self::Appliance => "an appliance's credential",
            Self::Role(Role::Viewer) | Self::OwnOrRole(Role::Viewer) => {
                "an administrator with the role viewer, operator or admin"
            }
            Self::Role(Role::Operator) | Self::OwnOrRole(Role::Operator) => {
                "an administrator with the role operator or admin"
            }
            Self::Role(Role::Admin) | Self::OwnOrRole(Role::Admin) => {
                "an administrator with the role admin"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::values::id::ApplianceName;

    fn callers() -> [Caller; 5] {
        let administrator = |role| Caller::Administrator { name: "ann".into(), role };
        [
            Caller::Stranger,
            Caller::Appliance(ApplianceName::new("db1").expect("a name")),
            administrator(Role::Viewer),
            administrator(Role::Operator),
            administrator(Role::Admin),
        ]
    }

    #[test]
    fn each_kind_of_access_permits_its_callers() {
        for (access, expected) in [
            (Anyone, [true, true, true, true, true]),
            (Authenticated, [false, true, true, true, true]),
            (Appliance, [false, true, false, false, false]),
            (VIEWER, [false, false, true, true, true]),
            (OPERATOR, [false, false, false, true, true]),
            (ADMIN, [false, false, false, false, true]),
            (OwnOrRole(Role::Viewer), [false, true, true, true, true]),
            (OwnOrRole(Role::Operator), [false, true, false, true, true]),
        ] {
            assert_eq!(callers().map(|caller| access.permits(&caller)), expected, "{access:?}");
        }
    }

    #[test]
    fn paths_with_parameters_match_whole_parts() {
        let row = |method, path| of_openstack(method, path).map(|(row, _)| row);
        assert_eq!(row("GET", "/v2.1/servers/detail"), Some("/v2.1/servers/detail"));
        assert_eq!(row("HEAD", "/v2.1/servers/detail2"), Some("/v2.1/servers/{id}"));
        let action = "/v2.1/servers/%2F/action";
        assert_eq!(of_openstack("POST", action), Some(("/v2.1/servers/{id}/action", VIEWER)));
        for (method, path) in [
            ("GET", "/v2.1/servers/"),
            ("GET", "/v2.1/servers//action"),
            ("POST", "/v2.1/servers//action"),
            ("POST", "/v2.1/servers/a/action/"),
            ("POST", "/v2.1/servers"),
            ("GET", "v2.1/servers"),
            ("GET", "/v2.1/server"),
            ("GET", ""),
        ] {
            assert_eq!(row(method, path), None, "{method} {path}");
        }
        assert_eq!(of_action("trigger_crash_dump"), Some(OPERATOR));
        assert_eq!(of_action("reboot"), None);
    }

    #[test]
    fn an_unknown_method_or_page_has_no_access() {
        assert_eq!(of_call("/grid.events.v1.EventService/Report"), Some(Appliance));
        assert_eq!(of_page("HEAD", "/metrics"), Some(VIEWER));
        for path in ["", "/", "/grid.events.v1.EventService/Rep", "/x.EventService/Report", "/a"] {
            assert_eq!(of_call(path), None, "{path}");
        }
        for (method, path) in [
            ("POST", "/metrics"),
            ("GET", "/metrics/"),
            ("GET", "/x"),
            ("GET", "/ack"),
            ("GET", "/ack/"),
            ("GET", "/ack/a/b"),
            ("PUT", "/ack/a"),
        ] {
            assert_eq!(of_page(method, path), None, "{method} {path}");
        }
        assert_eq!([of_page("HEAD", "/ack/a"), of_page("POST", "/ack/a")], [Some(Anyone); 2]);
        assert_eq!(methods_of_page("/ack/a"), "GET, HEAD, POST");
        assert_eq!([methods_of_page("/"), methods_of_page("/x")], ["GET, HEAD", ""]);
    }
}
