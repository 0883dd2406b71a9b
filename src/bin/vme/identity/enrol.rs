//! `vme enrol`: exchanges a token for the identity of this host.
//!
//! Guarantees that the token is checked before anything is sent, that it is sent only to the broker
//! whose pin it contains, and that a broken-off enrolment can be repeated with the same token: the key
//! is made first, and kept. Does not know what the broker permits.

use std::path::Path;
use std::time::Duration;

use grid_broker::client::{
    BrokerAddress, ClientCredential, ClientError, ConnectOptions, ServerTrust, TokenText,
    TokenTextError,
};
use grid_broker::contract::proto::identity_service_client::IdentityServiceClient;
use grid_broker::contract::proto::{EnrolRequest, EnrolResponse};
use grid_broker::exit_code::ExitCode;
use grid_broker::grid::values::id::is_valid_name;
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::identity::certificate::show_time;
use grid_broker::identity::token::TokenKind;
use grid_broker::show::escape::excerpt;
use grid_broker::stdout;
use tokio::time::timeout;

use super::folder::{IdentityError, IdentityFolder, StoredIdentity};
use super::issued::{self, IssuedBy, NotAccepted};
use crate::agent::client::socket_path;
use crate::print_line;
use crate::sender::jitter;

/// Why this host is not enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    #[error(
        "give the token by --token-file FILE, or `-` for the standard input; as an argument other \
             users would see it"
    )]
    NoTokenFile,
    #[error(transparent)]
    Token(#[from] TokenTextError),
    #[error(
        "the token in {place} is {what}, and not for enrolment; `vme enrol` needs one that begins \
             with gbe_"
    )]
    OtherKind { place: String, what: &'static str },
    #[error("--name `{}` is not a name of an appliance: 1 to 128 letters, digits, `.`, `_`, `-` or `:`, \
             the first a letter or digit", excerpt(.0))]
    Name(String),
    #[error(
        "this host is already {} at {}, until {}; nothing was changed. Give --force to replace that \
         identity", .0.appliance, .0.address, show_time(.0.expires_at)
    )]
    Enrolled(Box<StoredIdentity>),
    #[error("another process enrols or renews this host now; try again when it has ended")]
    Busy,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    NotAccepted(#[from] NotAccepted),
    #[error("no reply from {address} within {} s; repeat the call with the same token", .within.as_secs_f32())]
    NoReply { address: String, within: Duration },
}

impl EnrolError {
    /// The matching exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoTokenFile | Self::Token(_) | Self::OtherKind { .. } | Self::Name(_) => {
                ExitCode::Usage
            }
            Self::Enrolled(_) | Self::NotAccepted(NotAccepted::Administrator(_)) => {
                ExitCode::Refused
            }
            Self::Client(error) => error.exit_code(),
            Self::NoReply { .. } | Self::Busy => ExitCode::Unavailable,
            Self::Identity(_) | Self::NotAccepted(NotAccepted::Malformed(_)) => ExitCode::Failed,
        }
    }
}

/// What the call says.
#[derive(Debug)]
pub(crate) struct Enrolment<'a> {
    /// The state folder.
    pub(crate) state: &'a Path,
    /// The file with the token; `-`: the standard input.
    pub(crate) token_file: Option<&'a Path>,
    /// The name, for a token that is valid for several.
    pub(crate) name: Option<&'a str>,
    /// An identity is replaced.
    pub(crate) is_forced: bool,
    /// The broker.
    pub(crate) address: &'a str,
    /// How long to wait for it.
    pub(crate) within: Duration,
}

/// Enrols this host, and prints who it is.
pub(crate) async fn run(enrolment: &Enrolment<'_>) -> ExitCode {
    match enrolment.enrol().await {
        Ok(stored) => {
            let line = format!(
                "vme: this host is {} at {} until {}\n",
                stored.appliance,
                stored.address,
                show_time(stored.expires_at)
            );
            let written = stdout::write(&line);
            if socket_path(enrolment.state).exists() {
                print_line("restart `vme agent`, so that it uses this identity");
            }
            stdout::finish("vme", written, ExitCode::Done)
        }
        Err(error) => {
            for line in error.to_string().lines() {
                print_line(line.trim());
            }
            error.exit_code()
        }
    }
}

impl Enrolment<'_> {
    /// Enrols this host.
    pub(crate) async fn enrol(&self) -> Result<StoredIdentity, EnrolError> {
        let (token, pin) = self.read_token()?;
        if let Some(name) = self.name.filter(|name| !is_valid_name(name)) {
            return Err(EnrolError::Name(name.to_owned()));
        }
        BrokerAddress::parse(self.address)?;
        let options = ConnectOptions {
            address: self.address.to_owned(),
            trust: ServerTrust::Pin(pin),
            credential: ClientCredential::None,
        };
        let options = options.checked()?;
        std::fs::create_dir_all(self.state).map_err(|source| IdentityError::Io {
            what: "make the folder",
            path: self.state.to_owned(),
            source,
        })?;
        let folder = IdentityFolder::of_state(self.state);
        let lock = folder.try_lock()?.ok_or(EnrolError::Busy)?;
        let token_id = token.parsed().id.as_str().to_owned();
        let source = self.folder_of_key(&folder, &token_id)?;
        let key = source.make_key()?;
        lock.note_try();
        let request = EnrolRequest {
            token: token.expose().to_owned(),
            certificate_request: key.certificate_request().map_err(IdentityError::from)?,
            name: self.name.unwrap_or_default().to_owned(),
        };
        let late = || EnrolError::NoReply { address: options.address.clone(), within: self.within };
        let called = timeout(self.within, call(&options, request)).await;
        let reply = called.unwrap_or_else(|_| Err(late()))?;
        let by = IssuedBy { address: &options.address, pin, token: &token_id };
        let checked = issued::check(reply.certificate, key.hash(), &by, jitter())?;
        source.store(&checked.certificate, &checked.authority, &checked.stored)?;
        if source != folder {
            source.replace(&folder)?;
        }
        Ok(checked.stored)
    }

    fn read_token(&self) -> Result<(TokenText, KeyHash), EnrolError> {
        let path = self.token_file.ok_or(EnrolError::NoTokenFile)?;
        let token = TokenText::read(path)?;
        let what = match (token.parsed().kind, token.parsed().pin) {
            (TokenKind::Enrolment, Some(pin)) => return Ok((token, pin)),
            (TokenKind::Enrolment, None) => "without a pin",
            (TokenKind::Appliance, _) => "an appliance's",
            (TokenKind::Administrator, _) => "an administrator's",
        };
        Err(EnrolError::OtherKind { place: path.display().to_string(), what })
    }

    /// Where the key is, or will be: in place if the same token has enrolled this host already, so that
    /// the call can be repeated after a reply that nobody saw.
    fn folder_of_key(
        &self,
        folder: &IdentityFolder,
        token: &str,
    ) -> Result<IdentityFolder, EnrolError> {
        match folder.load() {
            Ok(Some(stored)) if stored.token == token => Ok(folder.clone()),
            Ok(Some(stored)) if !self.is_forced => Err(EnrolError::Enrolled(Box::new(stored))),
            Err(error) if !self.is_forced => Err(error.into()),
            Ok(_) | Err(_) => {
                let unfinished = folder.unfinished();
                // One that another token completed, or a replaced identity: its key is not for this one.
                if let Ok(Some(stored)) = unfinished.load()
                    && stored.token != token
                {
                    unfinished.remove()?;
                }
                Ok(unfinished)
            }
        }
    }
}

async fn call(
    options: &ConnectOptions,
    request: EnrolRequest,
) -> Result<EnrolResponse, EnrolError> {
    let mut client = IdentityServiceClient::new(options.connect().await?);
    match client.enrol(request).await {
        Ok(reply) => Ok(reply.into_inner()),
        Err(status) => {
            let error = ClientError::from_status(&options.address, status);
            Err(error.diagnose().await.into())
        }
    }
}
