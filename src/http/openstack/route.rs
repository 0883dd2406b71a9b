//! Finds the operation that a request asks for, by the table of roles.
//!
//! Guarantees that an operation has a row in the table, and that paths are decoded after they are split.
//! Knows no caller.

use super::fault::Service;
use super::text::percent_decoded;
use crate::identity::roles::{self, Access};

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// The version document of compute.
    ComputeVersion,
    /// The same of the API before microversions.
    LegacyVersion,
    /// Names and ids of servers.
    Servers,
    /// Servers with all their fields.
    ServersDetail,
    /// One server.
    Server,
    /// An action of a server.
    ServerAction,
    /// What happened to a server.
    Actions,
    /// One of these, with its events.
    Action,
    /// Names and ids of flavors.
    Flavors,
    /// Flavors with all their fields.
    FlavorsDetail,
    /// One flavor.
    Flavor,
    /// The version document of identity.
    IdentityVersion,
    /// A login.
    Login,
    /// The validation of a token.
    Token,
    /// The version document of image.
    ImageVersions,
    /// Images.
    Images,
}

/// All operations, with the rows of the table of roles.
pub(super) const OPERATIONS: [(Operation, &str, &str); 16] = [
    (Operation::ComputeVersion, "GET", "/v2.1"),
    (Operation::LegacyVersion, "GET", "/v2"),
    (Operation::Servers, "GET", "/v2.1/servers"),
    (Operation::ServersDetail, "GET", "/v2.1/servers/detail"),
    (Operation::Server, "GET", "/v2.1/servers/{id}"),
    (Operation::ServerAction, "POST", "/v2.1/servers/{id}/action"),
    (Operation::Actions, "GET", "/v2.1/servers/{id}/os-instance-actions"),
    (Operation::Action, "GET", "/v2.1/servers/{id}/os-instance-actions/{request}"),
    (Operation::Flavors, "GET", "/v2.1/flavors"),
    (Operation::FlavorsDetail, "GET", "/v2.1/flavors/detail"),
    (Operation::Flavor, "GET", "/v2.1/flavors/{id}"),
    (Operation::IdentityVersion, "GET", "/v3"),
    (Operation::Login, "POST", "/v3/auth/tokens"),
    (Operation::Token, "GET", "/v3/auth/tokens"),
    (Operation::ImageVersions, "GET", "/image"),
    (Operation::Images, "GET", "/image/v2/images"),
];

/// An operation with what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The operation.
    pub(super) operation: Operation,
    /// Who may use it.
    pub(super) access: Access,
    /// The id of the project in the path.
    pub(super) project: Option<String>,
    /// The path as in the table: of `/v2.1`, without the project.
    pub(super) path: String,
    /// The parts of the path that the row has in braces, decoded.
    parts: Vec<String>,
}

impl Route {
    /// The operation at that path; `None`: there is none.
    pub(super) fn of(method: &str, path: &str) -> Option<Self> {
        let (path, project) = canonical(path);
        let (row, access) = roles::of_openstack(method, &path)?;
        let method = if method == "HEAD" { "GET" } else { method };
        let found = OPERATIONS.iter().find(|(_, of, it)| *of == method && *it == row);
        let (operation, _, _) = found?;
        let parts = path.split('/').zip(row.split('/'));
        let parts = parts.filter(|(_, expected)| expected.starts_with('{'));
        let parts = parts.map(|(part, _)| percent_decoded(part)).collect();
        Some(Self { operation: *operation, access, project, path, parts })
    }

    /// The first part of the path in braces: the id of what it is about.
    pub(super) fn id(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }

    /// The second one.
    pub(super) fn request(&self) -> &str {
        self.parts.get(1).map_or("", String::as_str)
    }
}

/// The service that has that path.
pub(super) fn service_of(path: &str) -> Option<Service> {
    match path.split('/').nth(1)? {
        "v2.1" => Some(Service::Compute),
        "v2" => Some(Service::LegacyCompute),
        "v3" => Some(Service::Identity),
        "image" => Some(Service::Image),
        _ => None,
    }
}

/// The path as in the table, and the id of the project in it.
fn canonical(path: &str) -> (String, Option<String>) {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        // The document of a service, with a slash behind it or without one.
        [service, ""] => (format!("/{service}"), None),
        ["v2.1" | "v2", project, rest @ ..] if is_project(project) && !rest.is_empty() => {
            (format!("/v2.1/{}", rest.join("/")), Some((*project).to_owned()))
        }
        ["v2", rest @ ..] if !rest.is_empty() => (format!("/v2.1/{}", rest.join("/")), None),
        _ => (path.to_owned(), None),
    }
}

/// Whether Nova takes that part of a path for the id of a project.
fn is_project(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_operation_has_one_row_and_no_other_has() {
        let operations: BTreeSet<_> = OPERATIONS.iter().map(|(_, of, row)| (*of, *row)).collect();
        let rows: BTreeSet<_> = roles::OPENSTACK.iter().map(|(of, row, _)| (*of, *row)).collect();
        assert_eq!(operations, rows);
        assert_eq!(operations.len(), OPERATIONS.len(), "an operation has one row");
        for (at, (operation, method, row)) in OPERATIONS.iter().enumerate() {
            let others = &OPERATIONS[at + 1..];
            assert!(others.iter().all(|(other, _, _)| other != operation), "{operation:?}");
            let found = Route::of(method, &row.replace(['{', '}'], "")).expect("a route");
            assert_eq!(found.operation, *operation, "no row before hides it");
        }
    }

    #[test]
    fn paths_have_a_version_perhaps_a_project_and_parts() {
        let of = |method: &str, path: &str| {
            let route = Route::of(method, path)?;
            let project = route.project.clone().unwrap_or_default();
            Some((route.operation, project, route.id().to_owned(), route.request().to_owned()))
        };
        let found = |operation, project: &str, id: &str, request: &str| {
            Some((operation, project.to_owned(), id.to_owned(), request.to_owned()))
        };
        for (method, path, expected) in [
            ("GET", "/v2.1/", found(Operation::ComputeVersion, "", "", "")),
            ("HEAD", "/v2", found(Operation::LegacyVersion, "", "", "")),
            ("GET", "/v3/", found(Operation::IdentityVersion, "", "", "")),
            ("GET", "/v2/servers", found(Operation::Servers, "", "", "")),
            ("GET", "/v2.1/ab-1/servers", found(Operation::Servers, "ab-1", "", "")),
            ("GET", "/v2/ab/servers/x", found(Operation::Server, "ab", "x", "")),
            ("GET", "/v2.1/servers/a%2Fb%20c", found(Operation::Server, "", "a/b c", "")),
            ("GET", "/v2.1/servers/detail", found(Operation::ServersDetail, "", "", "")),
            (
                "GET",
                "/v2.1/servers/x/os-instance-actions/req-1",
                found(Operation::Action, "", "x", "req-1"),
            ),
            ("POST", "/v2.1/servers/x/action", found(Operation::ServerAction, "", "x", "")),
            ("POST", "/v2.1/servers/x/action/", None),
            ("GET", "/v2.1/servers/", None),
            ("GET", "/v2.1//servers", None),
            ("GET", "/v2.1/grid/servers", None),
            ("GET", "/v2.1/ab", None),
            ("GET", "/v2.1/ab/", None),
            ("DELETE", "/v2.1/servers/x", None),
            ("POST", "/v2.1/servers", None),
            ("GET", "/v3/users", None),
        ] {
            assert_eq!(of(method, path), expected, "{method} {path}");
        }
        assert_eq!(service_of("/v2/x"), Some(Service::LegacyCompute));
        for path in ["/", "/metrics", "/v2.2", "/v21", "v2.1", ""] {
            assert_eq!(service_of(path), None, "{path}");
        }
    }
}
