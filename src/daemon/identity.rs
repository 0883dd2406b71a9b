//! Connects identity with the broker: authentication, records of incidents, the first administrator.
//!
//! Guarantees that a broker whose callers need credentials has an administrator from its first start
//! on, whose token is shown on a terminal or stored in a file of its own, and never in a log. Decides
//! nothing.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::broker::{BrokerHandle, Started, Unavailable};
use crate::grid::log::identity::{IdentityCommand, SecurityIncident};
use crate::grid::model::identity::TokenPurpose;
use crate::grid::values::identity::{AdministratorName, Role, Subject};
use crate::identity::authenticator::{AuthenticationMode, Authenticator};
use crate::identity::incidents::Incidents;
use crate::identity::token::{NewToken, NoRandom, TokenKind};
use crate::tasks;

/// The name of the first administrator.
const FIRST_ADMINISTRATOR: &str = "admin";

/// The file in the data folder with the first administrator's token.
const TOKEN_FILE: &str = "admin-token";

/// Who the records of the first administrator name.
const BY: &str = "gridd, at a start without an admin who could log in";

/// Why there is no first administrator.
#[derive(Debug, thiserror::Error)]
pub enum FirstAdministratorError {
    /// The broker accepts nothing.
    #[error("cannot create the first administrator: {0}")]
    Unavailable(#[from] Unavailable),
    /// The core rejected it.
    #[error("cannot create the first administrator: {0}")]
    Rejected(#[from] crate::grid::decide::identity::IdentityRejection),
    /// No randomness.
    #[error("cannot create the first administrator: {0}")]
    NoRandom(#[from] NoRandom),
    /// The file cannot be written.
    #[error("cannot write the first administrator's token to {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Authenticates callers of a started broker, and records incidents from now on.
pub(super) fn start(started: &Started, mode: AuthenticationMode) -> Authenticator {
    let (incidents, queue) = Incidents::new();
    drop(tasks::spawn("incidents", record_incidents(queue, started.broker.clone())));
    let clock = started.broker.clock().clone();
    Authenticator::new(mode, started.credentials.clone(), incidents, clock)
}

/// Passes incidents to the broker, until both are gone. On a full disk they are lost, and said.
async fn record_incidents(mut queue: mpsc::Receiver<SecurityIncident>, broker: BrokerHandle) {
    while let Some(incident) = queue.recv().await {
        if let Err(error) = broker.record_incident(incident).await {
            tracing::warn!(%error, "a security incident has no record");
        }
    }
}

/// Creates the first administrator, if callers need credentials and there is none.
///
/// # Errors
///
/// Why it cannot be created. Nothing was created, or its token is in the file.
pub(super) async fn first_administrator(
    authenticator: &Authenticator,
    broker: &BrokerHandle,
    data: &Path,
) -> Result<Option<FirstAdministrator>, FirstAdministratorError> {
    // An admin without any credential cannot log in: a new token lets its operator in again.
    let has_one = authenticator.credentials().read(|it| it.has_usable_admin(broker.now()));
    if authenticator.mode() == AuthenticationMode::Off || has_one {
        return Ok(None);
    }
    let Ok(name) = AdministratorName::new(FIRST_ADMINISTRATOR) else { return Ok(None) };
    let token = NewToken::generate(TokenKind::Administrator, None)?;
    // The file first: a token that nobody knows would lock everybody out.
    let file = match std::io::stdout().is_terminal() {
        true => None,
        false => Some(write_token(data, token.text())?),
    };
    let (name_of, role) = (name.clone(), Role::Admin);
    match authenticator.credentials().read(|it| it.administrator(&name)) {
        Some(known) if known.role == Role::Admin => {}
        Some(_) => {
            let command = IdentityCommand::SetAdministrator { name: name_of, role };
            broker.identity_command(BY, command).await??;
        }
        None => {
            let command = IdentityCommand::CreateAdministrator { name: name_of, role };
            broker.identity_command(BY, command).await??;
        }
    }
    let command = IdentityCommand::CreateToken {
        id: token.parsed.id,
        secret: token.parsed.secret,
        purpose: TokenPurpose::Access(Subject::Administrator(name)),
        valid_for: None,
        uuid: Uuid::new_v4(),
    };
    broker.identity_command(BY, command).await??;
    Ok(Some(match file {
        Some(path) => {
            tracing::warn!(
                "the first administrator is `{FIRST_ADMINISTRATOR}`; the token is in {}: log in with \
                 `gridctl login --token-file`, and delete the file",
                path.display()
            );
            FirstAdministrator::File(path)
        }
        None => FirstAdministrator::Token(token),
    }))
}

/// Where the token of the first administrator is.
#[derive(Clone, Debug)]
pub enum FirstAdministrator {
    /// To be shown on the terminal.
    Token(NewToken),
    /// In a file.
    File(PathBuf),
}

/// Stores the token in a file that only gridd's user can read; one of a start that was interrupted is
/// replaced.
fn write_token(data: &Path, token: &str) -> Result<PathBuf, FirstAdministratorError> {
    let path = data.join(TOKEN_FILE);
    let failed = |source| FirstAdministratorError::File { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(format!("{token}\n").as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(path)
}
