//! Logs in as Keystone does: an access token is the password, and the token that a login gives.
//!
//! Guarantees that a login gives no right that its credential does not have. Issues no token of its own.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::call::Project;
use super::credential::HeaderCredential;
use super::fault::{ApiReply, Fault};
use super::json::Json;
use super::moment;
use crate::grid::values::identity::Role;
use crate::grid::values::time::Timestamp;
use crate::identity::peer::{Caller, Credential, Principal};

/// For how long a token is said to be valid, if it has no end before: clients then log in again.
const TOKEN_VALID_FOR: Duration = Duration::from_secs(86_400);

/// A login, as its body has it.
pub(super) struct LoginRequest {
    /// The credential.
    pub(super) credential: HeaderCredential,
    /// How it is presented.
    method: &'static str,
    /// The name or id of the project, if one is wanted.
    project: Option<String>,
}

impl LoginRequest {
    /// The login of a body.
    ///
    /// # Errors
    ///
    /// 400 if there is none in it.
    pub(super) fn of(body: &[u8]) -> Result<Self, Fault> {
        let body = Json::parse(body).ok_or_else(|| malformed("JSON in the body"))?;
        let auth = body.get("auth").ok_or_else(|| malformed("auth in request body"))?;
        let identity = auth.get("identity").ok_or_else(|| malformed("identity in auth"))?;
        let has = |method: &str| match identity.get("methods") {
            Some(Json::Array(methods)) => methods.iter().any(|it| it.text() == Some(method)),
            _ => false,
        };
        let text = |path: &[&str]| identity.at(path).and_then(Json::text).map(str::to_owned);
        let (method, secret, owner) = if has("application_credential") {
            let of = |name| text(&["application_credential", name]);
            let user = |name| text(&["application_credential", "user", name]);
            ("application_credential", of("secret"), of("id").or(user("name")).or(user("id")))
        } else if has("password") {
            let of = |name| text(&["password", "user", name]);
            ("password", of("password"), of("name").or(of("id")))
        } else if has("token") {
            ("token", text(&["token", "id"]), None)
        } else {
            return Err(malformed("a known method in identity"));
        };
        let secret = secret.ok_or_else(|| malformed("a secret in identity"))?;
        if owner.is_none() && method != "token" {
            return Err(malformed("a user in identity"));
        }
        let project = ["id", "name"].map(|name| auth.at(&["scope", "project", name]));
        let project = project.into_iter().flatten().find_map(Json::text).map(str::to_owned);
        Ok(Self { credential: HeaderCredential::Token(secret, owner), method, project })
    }

    /// The answer to a caller who is authenticated.
    ///
    /// # Errors
    ///
    /// 401 for another project.
    pub(super) fn answer(
        &self,
        principal: &Principal,
        token: String,
        (base, project, now): (&str, &Project, Timestamp),
    ) -> Result<ApiReply, Fault> {
        if let Some(wanted) = self.project.as_ref().filter(|it| !project.is(it)) {
            let text = format!(
                "Could not find project: {wanted}. The project of this broker is {}.",
                project.name
            );
            return Err(Fault::new(StatusCode::UNAUTHORIZED, text));
        }
        let body = describe(principal, self.method, (base, project, now));
        Ok(ApiReply { token: Some(token), ..ApiReply::with(StatusCode::CREATED, Some(body)) })
    }
}

impl Project {
    /// Whether that is its id or name.
    fn is(&self, text: &str) -> bool {
        text == self.id || text == self.name
    }
}

fn malformed(missing: &str) -> Fault {
    Fault::bad_request(format!(
        "Expecting to find {missing}. The server could not comply with the request since it is either \
         malformed or otherwise incorrect. The client is assumed to be in error."
    ))
}

/// What a token says of its owner, and where the services are.
pub(super) fn describe(
    principal: &Principal,
    method: &str,
    (base, project, now): (&str, &Project, Timestamp),
) -> Value {
    let (name, role) = match &principal.caller {
        Caller::Administrator { name, role } => (name.to_string(), *role),
        Caller::Appliance(_) | Caller::Stranger => (String::new(), Role::Viewer),
    };
    let ends = match &principal.credential {
        Credential::Token { expires_at, .. } => *expires_at,
        Credential::Certificate(certificate) => Some(certificate.expires_at),
        Credential::Loopback => None,
    };
    let at_most = now.after(TOKEN_VALID_FOR);
    let domain = json!({"id": "default", "name": "Default"});
    let roles: Vec<_> = role_names(role).iter().map(|it| json!({"id": it, "name": it})).collect();
    let services =
        [("compute", "nova", "v2.1"), ("identity", "keystone", "v3"), ("image", "glance", "image")];
    let services: Vec<_> = services.map(|service| catalog_entry(base, service)).into();
    json!({"token": {
        "methods": [method],
        "user": {"id": name, "name": name, "domain": domain, "password_expires_at": null},
        "project": {"id": project.id, "name": project.name, "domain": domain},
        "is_domain": false,
        "roles": roles,
        "audit_ids": [],
        "issued_at": moment::of_token(now),
        "expires_at": moment::of_token(ends.map_or(at_most, |ends| ends.min(at_most))),
        "catalog": services,
    }})
}

/// A role in Keystone's names, with those that it includes.
fn role_names(role: Role) -> &'static [&'static str] {
    match role {
        Role::Admin => &["admin", "member", "reader"],
        Role::Operator => &["member", "reader"],
        Role::Viewer => &["reader"],
    }
}

fn catalog_entry(base: &str, (kind, name, path): (&str, &str, &str)) -> Value {
    let endpoint = |interface: &str| {
        json!({
            "id": format!("{name}-{interface}"),
            "interface": interface,
            "region": "RegionOne",
            "region_id": "RegionOne",
            "url": format!("{base}/{path}"),
        })
    };
    let endpoints = ["public", "internal", "admin"].map(endpoint);
    json!({"id": name, "type": kind, "name": name, "endpoints": endpoints})
}
