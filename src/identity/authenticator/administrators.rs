//! Authenticates administrators who present a token in the ways of OpenStack: as `X-Auth-Token`, by HTTP
//! basic, or in the body of a login.
//!
//! Guarantees the limits and records of every other call; that a name or id which is sent with a token
//! must be that of the token; and that appliances get in by none of these ways. Does not know HTTP.

use std::fmt;

use super::{
    AuthenticationMode, Authenticator, Denied, FREE_NAME_BYTES_MAX, UNNAMED_ADMINISTRATOR,
    owner_of_connection, owner_of_text,
};
use crate::grid::values::identity::{AdministratorName, Role};
use crate::identity::peer::{Caller, Credential, Peer, Principal};
use crate::identity::roles::Access;

/// What stands before the name in a token of a broker that trusts everybody.
const TRUSTED: &str = "trusted:";

/// A credential, as a request presents it.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// None: the certificate of the connection counts, if there is one.
    Nothing,
    /// The text of a token.
    Token {
        /// The text.
        text: &'a str,
        /// Whose it has to be: the name of an administrator, or the id of the token.
        owner: Option<&'a str>,
    },
    /// Something that is no credential.
    Unreadable,
}

/// Omits the text of the token.
impl fmt::Debug for Presented<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => out.write_str("Nothing"),
            Self::Token { owner, .. } => write!(out, "Token of {owner:?}"),
            Self::Unreadable => out.write_str("Unreadable"),
        }
    }
}

impl Authenticator {
    /// The administrator who requests `what`.
    ///
    /// # Errors
    ///
    /// Why nobody is authenticated; a record of it is on its way.
    pub fn authenticate(
        &self,
        peer: &Peer,
        presented: Presented<'_>,
        what: &str,
    ) -> Result<Principal, Denied> {
        let address = peer.address.to_canonical();
        if self.mode == AuthenticationMode::Off {
            let (caller, credential) = (trusted(presented), Credential::Loopback);
            return Ok(Principal { caller, credential, address });
        }
        let found = self.administrator(peer, presented);
        let (caller, credential) = found.inspect_err(|denied| {
            let who = match presented {
                Presented::Nothing => owner_of_connection(peer),
                Presented::Token { text, .. } => owner_of_text(text),
                Presented::Unreadable => "somebody with an unreadable credential".to_owned(),
            };
            self.refused(peer.address, who, what, denied.to_string(), None);
        })?;
        Ok(Principal { caller, credential, address })
    }

    /// Checks that an administrator has `access` to `what`.
    ///
    /// # Errors
    ///
    /// [`Denied::Forbidden`]; a record of it is on its way.
    pub fn permit(&self, principal: &Principal, access: Access, what: &str) -> Result<(), Denied> {
        if access.permits(&principal.caller) {
            return Ok(());
        }
        let denied = forbidden(&principal.caller, access);
        let (who, why) = (principal.caller.to_string(), denied.to_string());
        self.refused(principal.address, who, what, why, None);
        Err(denied)
    }

    /// The token that a login gives: the one that was sent. On a broker that trusts everybody, one
    /// that names the caller.
    pub fn subject_token(&self, presented: Presented<'_>, principal: &Principal) -> String {
        match (self.mode, presented, &principal.caller) {
            (AuthenticationMode::Required, Presented::Token { text, .. }, _) => text.to_owned(),
            (AuthenticationMode::Off, _, Caller::Administrator { name, .. })
                if AdministratorName::new(name).is_ok() =>
            {
                format!("{TRUSTED}{name}")
            }
            (_, _, _) => TRUSTED.to_owned(),
        }
    }

    fn administrator(
        &self,
        peer: &Peer,
        presented: Presented<'_>,
    ) -> Result<(Caller, Credential), Denied> {
        let address = peer.address.to_canonical();
        let needed = Access::Role(Role::Viewer);
        let found = match (presented, &peer.certificate) {
            (Presented::Unreadable, _) => return Err(Denied::BadHeader),
            (Presented::Token { text, owner }, _) => {
                let found = self.caller_by_text(address, text)?;
                self.check_owner(address, &found, owner)?;
                found
            }
            (Presented::Nothing, Some(certificate)) => {
                let caller = self.caller_by_certificate(certificate)?;
                (caller, Credential::Certificate(certificate.clone()))
            }
            (Presented::Nothing, None) => {
                return Err(Denied::NoCredential { needed: needed.describe() });
            }
        };
        match &found.0 {
            Caller::Administrator { .. } => Ok(found),
            Caller::Appliance(_) | Caller::Stranger => Err(forbidden(&found.0, needed)),
        }
    }

    /// Checks that a token is that of `owner`: of an administrator of that name, or of that id.
    fn check_owner(
        &self,
        address: std::net::IpAddr,
        (caller, credential): &(Caller, Credential),
        owner: Option<&str>,
    ) -> Result<(), Denied> {
        let Some(owner) = owner else { return Ok(()) };
        let is_named = matches!(caller, Caller::Administrator { name, .. } if **name == *owner);
        let id = match credential {
            Credential::Token { id, .. } => Some(*id),
            Credential::Loopback | Credential::Certificate(_) => None,
        };
        if is_named || id.is_some_and(|id| id.as_str() == owner) {
            return Ok(());
        }
        // Who guesses names for a token is counted as who guesses tokens.
        self.count_failure(address, id);
        Err(Denied::BadToken)
    }
}

fn forbidden(caller: &Caller, access: Access) -> Denied {
    Denied::Forbidden { caller: caller.to_string().into(), needed: access.describe() }
}

/// The caller on a broker that trusts everybody on loopback: by the name that is sent, if there is one.
fn trusted(presented: Presented<'_>) -> Caller {
    let name = match presented {
        Presented::Token { owner: Some(owner), .. } => owner.trim(),
        Presented::Token { text, owner: None } => text.strip_prefix(TRUSTED).unwrap_or_default(),
        Presented::Nothing | Presented::Unreadable => "",
    };
    let is_name = !name.is_empty() && !name.contains(char::is_control);
    let name = if is_name { name } else { UNNAMED_ADMINISTRATOR };
    let end = name.floor_char_boundary(FREE_NAME_BYTES_MAX);
    Caller::Administrator { name: name[..end].into(), role: Role::Admin }
}
