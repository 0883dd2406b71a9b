//! Implements `IdentityService`: issues, lists and revokes credentials.
//!
//! Guarantees that a certificate is signed only after its grant is durable, that a token's text is in
//! one reply and nowhere else, and that every refusal of a stranger has a record. Decides nothing: the
//! core does.

mod issuing;
mod replies;

use issuing::{internal, issue, kind_of, parse_request};
use replies::{describe_caller, rejected};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Services, principal, status};
use crate::contract::decode::identity as decode;
use crate::contract::encode::identity as encode;
use crate::contract::proto::{
    CreateAdministratorRequest, CreateAdministratorResponse, CreateTokenRequest,
    CreateTokenResponse, EnrolRequest, EnrolResponse, ListAdministratorsRequest,
    ListAdministratorsResponse, ListKeysRequest, ListKeysResponse, ListTokensRequest,
    ListTokensResponse, RemoveAdministratorRequest, RemoveAdministratorResponse, RenewRequest,
    RenewResponse, RevokeApplianceRequest, RevokeApplianceResponse, RevokeTokenRequest,
    RevokeTokenResponse, RotateTokenRequest, RotateTokenResponse, SetAdministratorRequest,
    SetAdministratorResponse, WhoAmIRequest, WhoAmIResponse,
};
use crate::contract::servers::identity_service_server::IdentityService;
use crate::grid::decide::identity::IdentityRejection;
use crate::grid::log::identity::IdentityCommand;
use crate::grid::model::identity::Token;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{Role, TokenId};
use crate::identity::ca::random_serial;
use crate::identity::token::{self, NewToken, TokenKind};

#[tonic::async_trait]
impl IdentityService for Services {
    async fn who_am_i(
        &self,
        request: Request<WhoAmIRequest>,
    ) -> Result<Response<WhoAmIResponse>, Status> {
        Ok(Response::new(describe_caller(principal::of(&request)?)))
    }

    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let caller = principal::of(&request)?.clone();
        let authority = self.own_authority()?;
        let EnrolRequest { token, certificate_request, name } = request.into_inner();
        let sent = token::parse(token.trim())
            .map_err(|error| status::invalid_field("token", error.to_string()));
        let sent = match sent {
            Ok(sent) => sent,
            Err(status) => return Err(self.refused_stranger(&caller, "Enrol", status)),
        };
        self.allow_attempt(&caller, Some(sent.id))?;
        let key = match parse_request(&certificate_request) {
            Ok(key) => key,
            Err(status) => return Err(self.refused_stranger(&caller, "Enrol", status)),
        };
        if sent.kind != TokenKind::Enrolment {
            let text = "gives access, but enrols nobody; enrolment tokens begin with gbe_";
            return Err(status::invalid_field("token", text));
        }
        let command = IdentityCommand::Enrol {
            token: sent.id,
            secret: sent.secret,
            key: key.key_hash(),
            serial: random_serial().map_err(|error| internal(&error))?,
            name: (!name.is_empty()).then(|| name.into()),
            uuid: Uuid::new_v4(),
        };
        let who = format!("token {}", sent.id);
        let grant = self.granted(&caller, (&who, Some(sent.id)), "Enrol", command).await?;
        let certificate = issue(authority, &grant, &key)?;
        Ok(Response::new(EnrolResponse { certificate: Some(certificate) }))
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        let caller = principal::of(&request)?.clone();
        let authority = self.own_authority()?;
        let key = match parse_request(&request.into_inner().certificate_request) {
            Ok(key) => key,
            Err(status) => return Err(self.refused_stranger(&caller, "Renew", status)),
        };
        // Others at the same address who fail must not keep an enrolled key from renewing.
        let identities = self.authenticator()?.credentials();
        if identities.read(|it| it.subject_of(key.key_hash()).is_none()) {
            self.allow_attempt(&caller, None)?;
        }
        let serial = random_serial().map_err(|error| internal(&error))?;
        let command = IdentityCommand::Renew { key: key.key_hash(), serial };
        let who = self.owner_of(key.key_hash());
        let grant = self.granted(&caller, (&who, None), "Renew", command).await?;
        let certificate = issue(authority, &grant, &key)?;
        Ok(Response::new(RenewResponse { certificate: Some(certificate) }))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let by = principal::administrator(&request)?;
        let (purpose, valid_for) =
            decode::new_token(request.into_inner()).map_err(status::invalid)?;
        let new = self.new_token(&purpose)?;
        let command = IdentityCommand::CreateToken {
            id: new.parsed.id,
            secret: new.parsed.secret,
            purpose,
            valid_for,
            uuid: Uuid::new_v4(),
        };
        let info = self.changed_token(&by, command).await?;
        Ok(Response::new(CreateTokenResponse {
            token: new.text().to_owned(),
            info: Some(encode::token(&info)),
        }))
    }

    async fn rotate_token(
        &self,
        request: Request<RotateTokenRequest>,
    ) -> Result<Response<RotateTokenResponse>, Status> {
        let caller = principal::of(&request)?.clone();
        let id = token_id(&request.into_inner().id)?;
        let by = self.may_change_token(&caller, id)?;
        let identities = self.authenticator()?.credentials();
        let purpose = identities.read(|it| it.token(id).map(|token| token.purpose.clone()));
        let purpose = purpose.ok_or_else(|| rejected(&IdentityRejection::NoToken { id }))?;
        let new =
            NewToken::with_id(kind_of(&purpose), id, None).map_err(|error| internal(&error))?;
        let command = IdentityCommand::RotateToken { id, secret: new.parsed.secret };
        let info = self.changed_token(&by, command).await?;
        Ok(Response::new(RotateTokenResponse {
            token: new.text().to_owned(),
            info: Some(encode::token(&info)),
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let caller = principal::of(&request)?.clone();
        let id = token_id(&request.into_inner().id)?;
        let by = self.may_change_token(&caller, id)?;
        let record_number = self.execute(&by, IdentityCommand::RevokeToken { id }).await?.record;
        Ok(Response::new(RevokeTokenResponse { record_number }))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        principal::administrator(&request)?;
        let identities = self.authenticator()?.credentials();
        let mut tokens: Vec<_> = identities.read(|it| it.tokens().cloned().collect::<Vec<Token>>());
        tokens.sort_by_key(|token| (token.created_at, token.id));
        let tokens = tokens.iter().map(encode::token).collect();
        Ok(Response::new(ListTokensResponse { tokens }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        principal::administrator(&request)?;
        let identities = self.authenticator()?.credentials();
        Ok(Response::new(identities.read(|it| ListKeysResponse {
            keys: it.keys().map(|(subject, key)| encode::key(subject, key)).collect(),
            revoked: it.revoked().map(ToString::to_string).collect(),
        })))
    }

    async fn revoke_appliance(
        &self,
        request: Request<RevokeApplianceRequest>,
    ) -> Result<Response<RevokeApplianceResponse>, Status> {
        let by = principal::administrator(&request)?;
        let name = ApplianceName::new(&request.into_inner().name)
            .map_err(|error| status::invalid_field("name", format!("is not a name: {error}")))?;
        let receipt = self.execute(&by, IdentityCommand::RevokeAppliance { name }).await?;
        Ok(Response::new(RevokeApplianceResponse { record_number: receipt.record }))
    }

    async fn create_administrator(
        &self,
        request: Request<CreateAdministratorRequest>,
    ) -> Result<Response<CreateAdministratorResponse>, Status> {
        let by = principal::administrator(&request)?;
        let CreateAdministratorRequest { name, role } = request.into_inner();
        let (name, role) = name_and_role(&name, role)?;
        let command = IdentityCommand::CreateAdministrator { name, role };
        let record_number = self.execute(&by, command).await?.record;
        Ok(Response::new(CreateAdministratorResponse { record_number }))
    }

    async fn set_administrator(
        &self,
        request: Request<SetAdministratorRequest>,
    ) -> Result<Response<SetAdministratorResponse>, Status> {
        let by = principal::administrator(&request)?;
        let SetAdministratorRequest { name, role } = request.into_inner();
        let (name, role) = name_and_role(&name, role)?;
        let command = IdentityCommand::SetAdministrator { name, role };
        let record_number = self.execute(&by, command).await?.record;
        Ok(Response::new(SetAdministratorResponse { record_number }))
    }

    async fn remove_administrator(
        &self,
        request: Request<RemoveAdministratorRequest>,
    ) -> Result<Response<RemoveAdministratorResponse>, Status> {
        let by = principal::administrator(&request)?;
        let name = decode::administrator("name", &request.into_inner().name)
            .map_err(|violation| status::invalid(vec![violation]))?;
        let command = IdentityCommand::RemoveAdministrator { name };
        let record_number = self.execute(&by, command).await?.record;
        Ok(Response::new(RemoveAdministratorResponse { record_number }))
    }

    async fn list_administrators(
        &self,
        request: Request<ListAdministratorsRequest>,
    ) -> Result<Response<ListAdministratorsResponse>, Status> {
        principal::administrator(&request)?;
        let identities = self.authenticator()?.credentials();
        let administrators = identities.read(|it| {
            it.administrators().map(|(name, it)| encode::administrator(name, it)).collect()
        });
        Ok(Response::new(ListAdministratorsResponse { administrators }))
    }
}

fn token_id(id: &str) -> Result<TokenId, Status> {
    decode::token_id(id).map_err(|violation| status::invalid(vec![violation]))
}

fn name_and_role(
    name: &str,
    role: i32,
) -> Result<(crate::grid::values::identity::AdministratorName, Role), Status> {
    match (decode::administrator("name", name), decode::role(role)) {
        (Ok(name), Ok(role)) => Ok((name, role)),
        (name, role) => {
            let violations = [name.err(), role.err()];
            Err(status::invalid(violations.into_iter().flatten().collect()))
        }
    }
}
