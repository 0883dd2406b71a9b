//! Executes commands on credentials, signs certificates, and records who is refused.
//!
//! Guarantees that a certificate is signed only after its grant is durable, and that a stranger who is
//! refused is counted and recorded. Decides nothing.

use tonic::Status;

use super::encode;
use super::replies::rejected;
use crate::broker::IdentityReceipt;
use crate::contract::encode_timestamp;
use crate::contract::proto::IssuedCertificate;
use crate::grid::decide::identity::{IdentityRejection, IdentityReply};
use crate::grid::log::identity::IdentityCommand;
use crate::grid::model::identity::{CertificateGrant, Token, TokenPurpose, appliance_of};
use crate::grid::values::identity::{KeyHash, Role, Subject, TokenId};
use crate::grpc::{Services, authorization, principal, status};
use crate::identity::authenticator::Authenticator;
use crate::identity::ca::CertificateAuthority;
use crate::identity::peer::{Caller, Credential, Principal};
use crate::identity::request::CertificateRequest;
use crate::identity::token::{NewToken, TokenKind};

impl Services {
    pub(in crate::grpc) fn authenticator(&self) -> Result<&Authenticator, Status> {
        let missing = || Status::internal("this gridd authenticates nobody: bug in gridd");
        self.authenticator.as_ref().ok_or_else(missing)
    }

    pub(in crate::grpc) fn allow_attempt(
        &self,
        caller: &Principal,
        token: Option<TokenId>,
    ) -> Result<(), Status> {
        let allowed = self.authenticator()?.allow_attempt(caller.address, token);
        allowed.map_err(|denied| authorization::status(&denied))
    }

    /// Counts and records what a stranger sent that cannot be used; returns its status.
    pub(in crate::grpc) fn refused_stranger(
        &self,
        caller: &Principal,
        what: &str,
        status: Status,
    ) -> Status {
        if let Some(authenticator) = &self.authenticator {
            authenticator.count_failure(caller.address, None);
            let (who, why) = (caller.caller.to_string(), status.message().to_owned());
            authenticator.refused(caller.address, who, what, why, None);
        }
        status
    }

    /// Refuses, with a record.
    pub(in crate::grpc) fn forbidden(&self, caller: &Principal, what: &str) -> Status {
        let status = principal::forbidden(caller);
        if let Some(authenticator) = &self.authenticator {
            let (who, why) = (caller.caller.to_string(), status.message().to_owned());
            authenticator.refused(caller.address, who, what, why, None);
        }
        status
    }

    /// A token changes itself, an administrator with the role admin changes all.
    pub(in crate::grpc) fn may_change_token(
        &self,
        caller: &Principal,
        id: TokenId,
    ) -> Result<Box<str>, Status> {
        let is_own = matches!(&caller.credential, Credential::Token { id: own, .. } if *own == id);
        let is_admin = matches!(&caller.caller, Caller::Administrator { role: Role::Admin, .. });
        if is_own || is_admin {
            Ok(caller.for_record())
        } else {
            Err(self.forbidden(caller, "a change of another token"))
        }
    }

    /// The CA that signs certificates of clients.
    pub(in crate::grpc) fn own_authority(&self) -> Result<&CertificateAuthority, Status> {
        self.authority.as_deref().ok_or_else(|| {
            status::precondition(
                "NO_AUTHORITY",
                "this broker issues no certificates: no listener of it has TLS (tls.mode)",
            )
        })
    }

    pub(in crate::grpc) fn new_token(&self, purpose: &TokenPurpose) -> Result<NewToken, Status> {
        let kind = kind_of(purpose);
        let pin = match kind {
            TokenKind::Administrator | TokenKind::Appliance => None,
            TokenKind::Enrolment => {
                self.own_authority()?;
                Some(self.pin().ok_or_else(|| {
                    let text = "an enrolment needs TLS, and no listener of this broker has it \
                                (tls.mode)";
                    status::precondition("NO_TLS", text)
                })?)
            }
        };
        NewToken::generate(kind, pin).map_err(|error| internal(&error))
    }

    pub(in crate::grpc) async fn execute(
        &self,
        by: &str,
        command: IdentityCommand,
    ) -> Result<IdentityReceipt, Status> {
        let decided = self.broker.identity_command(by, command).await;
        decided.map_err(status::unavailable)?.map_err(|rejection| rejected(&rejection))
    }

    pub(in crate::grpc) async fn changed_token(
        &self,
        by: &str,
        command: IdentityCommand,
    ) -> Result<Token, Status> {
        match self.execute(by, command).await?.reply {
            IdentityReply::Token(token) => Ok(token),
            IdentityReply::Done | IdentityReply::Granted(_) => {
                Err(Status::internal("the command changed no token: bug in gridd"))
            }
        }
    }

    /// A grant for a stranger, whose refusals are recorded.
    pub(in crate::grpc) async fn granted(
        &self,
        caller: &Principal,
        (who, token): (&str, Option<TokenId>),
        what: &str,
        command: IdentityCommand,
    ) -> Result<CertificateGrant, Status> {
        let by = format!("{who} from {}", caller.address);
        let decided = self.broker.identity_command(&by, command).await;
        match decided.map_err(status::unavailable)? {
            Ok(IdentityReceipt { reply: IdentityReply::Granted(grant), .. }) => Ok(grant),
            Ok(_) => Err(Status::internal("the command granted nothing: bug in gridd")),
            Err(rejection) => {
                let reused = if let IdentityRejection::TokenReused { subject } = &rejection {
                    appliance_of(subject).cloned()
                } else {
                    None
                };
                let why = if let IdentityRejection::BadToken(problem) = &rejection {
                    problem.to_string()
                } else {
                    rejection.to_string()
                };
                self.authenticator()?.count_failure(caller.address, token);
                self.authenticator()?.refused(caller.address, who.to_owned(), what, why, reused);
                Err(rejected(&rejection))
            }
        }
    }

    /// Whose key it is, for a record.
    pub(in crate::grpc) fn owner_of(&self, key: KeyHash) -> String {
        let owner = self.authenticator.as_ref().and_then(|authenticator| {
            authenticator.credentials().read(|it| it.subject_of(key).map(ToString::to_string))
        });
        owner.unwrap_or_else(|| "an unknown key".to_owned())
    }
}

/// Signs the certificate of a durable grant.
pub(super) fn issue(
    authority: &CertificateAuthority,
    grant: &CertificateGrant,
    key: &CertificateRequest,
) -> Result<IssuedCertificate, Status> {
    let certificate = authority.sign(grant, key).map_err(|error| internal(&error))?;
    let life = grant.expires_at.since(grant.issued_at);
    Ok(IssuedCertificate {
        kind: encode::principal_kind(&grant.subject).into(),
        name: grant.subject.name().to_owned(),
        certificate: certificate.to_vec(),
        authority: authority.certificate_der().to_vec(),
        expires_at: Some(encode_timestamp(grant.expires_at)),
        renew_at: Some(encode_timestamp(grant.issued_at.after(life / 3 * 2))),
    })
}

pub(super) fn parse_request(der: &[u8]) -> Result<CertificateRequest, Status> {
    CertificateRequest::parse(der)
        .map_err(|error| status::invalid_field("certificate_request", error.to_string()))
}

pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!(error, "a credential could not be made");
    Status::internal(error.to_string())
}

pub(super) fn kind_of(purpose: &TokenPurpose) -> TokenKind {
    match purpose {
        TokenPurpose::Access(Subject::Appliance(_)) => TokenKind::Appliance,
        TokenPurpose::Access(Subject::Administrator(_)) => TokenKind::Administrator,
        TokenPurpose::Enrolment(_) => TokenKind::Enrolment,
    }
}
