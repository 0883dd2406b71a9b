//! An identity service for tests, over a real connection: it keeps what it is asked for.
//!
//! Guarantees answers of the form of gridd's, with details. Checks no credential, but notes each. Tests of
//! the program include this file too, so it knows nothing of gridctl.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use grid_broker::clock::wall_now;
use grid_broker::contract::proto::*;
use grid_broker::contract::servers::identity_service_server::{
    IdentityService, IdentityServiceServer,
};
use grid_broker::grid::model::identity::CertificateGrant;
use grid_broker::grid::values::identity::{AdministratorName, Subject};
use grid_broker::identity::ca::{CertificateAuthority, random_serial};
use grid_broker::identity::request::CertificateRequest;

/// What was asked for, and whom the service refuses.
#[derive(Clone, Default)]
pub(crate) struct ScriptedIdentity {
    asked: Arc<Mutex<Vec<String>>>,
    credentials: Arc<Mutex<Vec<String>>>,
    refused: Arc<Mutex<Vec<(&'static str, Code)>>>,
    authority: Option<Arc<CertificateAuthority>>,
}

/// A refusal as gridd sends it.
fn refusal(code: Code, text: &str) -> Status {
    let details = ErrorDetails::with_error_info("SCRIPTED", "grid-broker", []);
    Status::with_error_details(code, text, details)
}

type ScriptedReply<T> = Result<Response<T>, Status>;

impl ScriptedIdentity {
    /// Refuses whatever concerns this name, or this call.
    pub(crate) fn refuse(self, what: &'static str, code: Code) -> Self {
        self.refused.lock().expect("no panic before").push((what, code));
        self
    }

    /// Signs certificates, of administrator `ann`.
    pub(crate) fn with_authority(self, authority: Arc<CertificateAuthority>) -> Self {
        Self { authority: Some(authority), ..self }
    }

    /// What it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic before").clone()
    }

    /// The values of the metadata `authorization` that it received.
    pub(crate) fn credentials(&self) -> Vec<String> {
        self.credentials.lock().expect("no panic before").clone()
    }

    /// Notes a credential that is not in the metadata.
    pub(crate) fn note_credential(&self, credential: &str) {
        self.credentials.lock().expect("no panic before").push(credential.to_owned());
    }

    /// Serves on loopback; the address.
    pub(crate) async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("valid in a test");
        let address = listener.local_addr().expect("valid in a test").to_string();
        let server = tonic::transport::Server::builder()
            .add_service(IdentityServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        drop(grid_broker::tasks::spawn("script", server));
        address
    }

    fn note<T>(&self, request: &Request<T>, call: &str, what: &str) -> Result<(), Status> {
        if let Some(value) = request.metadata().get("authorization") {
            self.credentials
                .lock()
                .expect("no panic before")
                .push(value.to_str().expect("valid in a test").to_owned());
        }
        self.asked
            .lock()
            .expect("no panic before")
            .push(format!("{call} {what}").trim_end().to_owned());
        let refused = self.refused.lock().expect("no panic before");
        match refused.iter().find(|(name, _)| *name == what || *name == call) {
            Some((name, code)) => Err(refusal(*code, &format!("{name} is refused"))),
            None => Ok(()),
        }
    }
}

fn token(number: usize, subject: token_info::Subject) -> TokenInfo {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    TokenInfo {
        id: format!("token{number:03}"),
        subject: Some(subject),
        created_at: at(1_795_183_330),
        created_by: "ann".to_owned(),
        expires_at: at(1_795_186_930),
        ..TokenInfo::default()
    }
}

#[tonic::async_trait]
impl IdentityService for ScriptedIdentity {
    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> ScriptedReply<WhoAmIResponse> {
        self.note(&request, "who_am_i", "")?;
        Ok(Response::new(WhoAmIResponse {
            kind: PrincipalKind::Administrator.into(),
            name: "ann".to_owned(),
            role: Role::Operator.into(),
            credential: CredentialKind::Token.into(),
            credential_id: "token000".to_owned(),
            expires_at: None,
            address: "127.0.0.1".to_owned(),
        }))
    }

    async fn enrol(&self, request: Request<EnrolRequest>) -> ScriptedReply<EnrolResponse> {
        self.note(&request, "enrol", "")?;
        let Some(authority) = &self.authority else {
            return Err(refusal(Code::Unauthenticated, "the token is not valid"));
        };
        let request = request.into_inner();
        let key = CertificateRequest::parse(&request.certificate_request).expect("valid in a test");
        self.asked.lock().expect("no panic before").push(format!("key {}", key.key_hash()));
        let issued_at = wall_now();
        let grant = CertificateGrant {
            subject: Subject::Administrator(
                AdministratorName::new("ann").expect("valid in a test"),
            ),
            serial: random_serial().expect("valid in a test"),
            issued_at,
            expires_at: issued_at.after(Duration::from_secs(86_400)),
        };
        let certificate = authority.sign(&grant, &key).expect("valid in a test").to_vec();
        Ok(Response::new(EnrolResponse {
            certificate: Some(IssuedCertificate {
                kind: PrincipalKind::Administrator.into(),
                name: "ann".to_owned(),
                certificate,
                authority: authority.certificate_der().to_vec(),
                ..IssuedCertificate::default()
            }),
        }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> ScriptedReply<RenewResponse> {
        self.note(&request, "renew", "")?;
        Err(refusal(Code::Unauthenticated, "the key is not enrolled"))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> ScriptedReply<CreateTokenResponse> {
        let CreateTokenRequest { subject, valid_for } = request.get_ref().clone();
        let (what, subject, name) = match subject.expect("valid in a test") {
            create_token_request::Subject::Appliance(name) => {
                ("appliance", token_info::Subject::Appliance(name.clone()), name)
            }
            create_token_request::Subject::Administrator(name) => {
                ("administrator", token_info::Subject::Administrator(name.clone()), name)
            }
            create_token_request::Subject::Enrolment(terms) => {
                let name = match terms.subject.clone().expect("valid in a test") {
                    enrolment_terms::Subject::Appliance(name)
                    | enrolment_terms::Subject::Administrator(name)
                    | enrolment_terms::Subject::NamePattern(name) => name,
                };
                ("enrolment", token_info::Subject::Enrolment(terms), name)
            }
        };
        self.note(&request, &format!("create_token {what}"), &name)?;
        if let Some(valid_for) = valid_for {
            self.asked
                .lock()
                .expect("no panic before")
                .push(format!("valid for {} s", valid_for.seconds));
        }
        if let token_info::Subject::Enrolment(terms) = &subject {
            let EnrolmentTerms { class, count, replace, .. } = terms;
            let terms = format!("class `{class}` count {count} replace {replace}");
            self.asked.lock().expect("no panic before").push(terms);
        }
        let number = self.asked().iter().filter(|it| it.starts_with("create_token")).count();
        let text = format!("text-of-{name}");
        Ok(Response::new(CreateTokenResponse { token: text, info: Some(token(number, subject)) }))
    }

    async fn rotate_token(
        &self,
        request: Request<RotateTokenRequest>,
    ) -> ScriptedReply<RotateTokenResponse> {
        let id = request.get_ref().id.clone();
        self.note(&request, "rotate_token", &id)?;
        let info = TokenInfo { id, ..token(1, token_info::Subject::Appliance("db1".to_owned())) };
        let token = "new-text-of-db1".to_owned();
        Ok(Response::new(RotateTokenResponse { token, info: Some(info) }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> ScriptedReply<RevokeTokenResponse> {
        let id = request.get_ref().id.clone();
        self.note(&request, "revoke_token", &id)?;
        Ok(Response::new(RevokeTokenResponse { record_number: 17 }))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> ScriptedReply<ListTokensResponse> {
        self.note(&request, "list_tokens", "")?;
        let tokens = vec![
            token(1, token_info::Subject::Appliance("db1".to_owned())),
            token(2, token_info::Subject::Administrator("ann".to_owned())),
        ];
        Ok(Response::new(ListTokensResponse { tokens }))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> ScriptedReply<ListKeysResponse> {
        self.note(&request, "list_keys", "")?;
        let revoked = vec!["db9".to_owned()];
        Ok(Response::new(ListKeysResponse { keys: Vec::new(), revoked }))
    }

    async fn revoke_appliance(
        &self,
        request: Request<RevokeApplianceRequest>,
    ) -> ScriptedReply<RevokeApplianceResponse> {
        let name = request.get_ref().name.clone();
        self.note(&request, "revoke_appliance", &name)?;
        Ok(Response::new(RevokeApplianceResponse { record_number: 17 }))
    }

    async fn create_administrator(
        &self,
        request: Request<CreateAdministratorRequest>,
    ) -> ScriptedReply<CreateAdministratorResponse> {
        let CreateAdministratorRequest { name, role } = request.get_ref().clone();
        self.note(&request, "create_administrator", &name)?;
        self.asked.lock().expect("no panic before").push(format!("role {role}"));
        Ok(Response::new(CreateAdministratorResponse { record_number: 17 }))
    }

    async fn set_administrator(
        &self,
        request: Request<SetAdministratorRequest>,
    ) -> ScriptedReply<SetAdministratorResponse> {
        let SetAdministratorRequest { name, role } = request.get_ref().clone();
        self.note(&request, &format!("set_administrator role {role}"), &name)?;
        Ok(Response::new(SetAdministratorResponse { record_number: 17 }))
    }

    async fn remove_administrator(
        &self,
        request: Request<RemoveAdministratorRequest>,
    ) -> ScriptedReply<RemoveAdministratorResponse> {
        let name = request.get_ref().name.clone();
        self.note(&request, "remove_administrator", &name)?;
        Ok(Response::new(RemoveAdministratorResponse { record_number: 17 }))
    }

    async fn list_administrators(
        &self,
        request: Request<ListAdministratorsRequest>,
    ) -> ScriptedReply<ListAdministratorsResponse> {
        self.note(&request, "list_administrators", "")?;
        let administrators = vec![Administrator {
            name: "ann".to_owned(),
            role: Role::Operator.into(),
            created_at: Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 }),
        }];
        Ok(Response::new(ListAdministratorsResponse { administrators }))
    }
}
