//! Explains why the broker refuses a caller: who one is, and how to log in.
//!
//! Guarantees that the broker's own words come first, and that explaining takes one call at most.
//! Shows no credential.

use std::time::Duration;

use tokio::time::timeout;
use tonic::Code;

use crate::access::{BrokerAccess, CredentialOrigin};
use crate::connection::Connection;
use crate::error::CliError;
use crate::whoami;

/// Asking who one is takes no longer than this.
const ASK_WITHIN: Duration = Duration::from_secs(2);

/// Adds to a failure what is known of its cause: what answers at `address`, or why the caller was
/// refused.
pub(crate) async fn explain(
    failure: CliError,
    address: &str,
    access: Option<&BrokerAccess>,
) -> CliError {
    let options = access.and_then(|access| access.options().ok());
    let failure = failure.diagnose(options.as_ref().map_or(address, |it| &it.address)).await;
    let Some(code) = failure.status_code().filter(|_| failure.is_refused_caller()) else {
        return failure;
    };
    let Some(access) = access else { return failure };
    let hint = if code == Code::PermissionDenied {
        not_permitted(access).await
    } else {
        not_accepted(access)
    };
    CliError::Refused { failure: Box::new(failure), hint }
}

/// Who the caller is, whose role is too low.
async fn not_permitted(access: &BrokerAccess) -> String {
    let asked = async {
        let broker = Connection::connect(access).await.ok()?;
        whoami::ask(&broker).await.ok()
    };
    let other = format!("`gridctl login {}` logs in as somebody else", access.address);
    match timeout(ASK_WITHIN, asked).await.ok().flatten() {
        Some(caller) => {
            let (who, credential) =
                (whoami::describe(&caller), whoami::describe_credential(&caller));
            format!("you are {who} ({credential}); {other}")
        }
        None => other,
    }
}

/// Which credential the broker did not accept.
fn not_accepted(access: &BrokerAccess) -> String {
    let login = format!("gridctl login {}", access.address);
    match &access.origin {
        CredentialOrigin::None => {
            format!("no credential was sent, since you are not logged in there: {login}")
        }
        CredentialOrigin::File(path) => {
            format!(
                "the token in {} was sent: it is revoked, has ended, or is another broker's",
                path.display()
            )
        }
        CredentialOrigin::Context(name) => format!(
            "the credential of context {name} was sent: it is revoked, has ended, or is another \
             broker's; log in again: {login}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_was_sent_and_how_to_log_in() {
        let mut access = BrokerAccess::plain("h:1");
        for (origin, words) in [
            (
                CredentialOrigin::None,
                "no credential was sent, since you are not logged in there: gridctl login h:1",
            ),
            (
                CredentialOrigin::File("t.token".into()),
                "the token in t.token was sent: it is revoked",
            ),
            (
                CredentialOrigin::Context("a".to_owned()),
                "of context a was sent: it is revoked, has ended, or is another broker's; log in again: gridctl login h:1",
            ),
        ] {
            access.origin = origin;
            assert!(not_accepted(&access).contains(words), "{}", not_accepted(&access));
        }
    }
}
