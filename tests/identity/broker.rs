//! A broker whose callers need credentials, with its first administrator.

#![allow(dead_code, reason = "tests and benches each use a part of it")]

use std::path::PathBuf;
use std::time::Duration;

use grid_broker::client::{
    BrokerChannel, ClientCredential, ConnectOptions, ServerTrust, TokenText,
};
use grid_broker::contract::proto;
use grid_broker::contract::proto::identity_service_client::IdentityServiceClient;
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::identity::token;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_parser::prelude::FromDer;

use crate::support::{Gridd, Run, Setup, clean, eventually, run, soon};

/// TLS by the own CA, although it listens on loopback.
const TLS: &str = "authentication = \"required\"\n[tls]\nmode = \"on\"\n";

/// A broker under test.
pub(crate) struct Broker {
    pub(crate) gridd: Gridd,
    /// The token of the first administrator.
    pub(crate) admin: TokenText,
    is_tls: bool,
}

impl Broker {
    /// With TLS, and these settings besides.
    pub(crate) async fn with_tls(more: &str) -> Self {
        Self::start(&format!("{TLS}{more}"), true).await
    }

    /// Without TLS, on loopback.
    pub(crate) async fn plain() -> Self {
        Self::start("authentication = \"required\"\n", false).await
    }

    async fn start(config: &str, is_tls: bool) -> Self {
        Self::of(Setup::new(config).start().await, is_tls)
    }

    /// As an operator starts it for a network: an address that is not loopback, and no setting.
    pub(crate) async fn on_network(address: &str) -> Self {
        Self::of(Setup::new("").host(address).start().await, true)
    }

    /// With TLS, and a CA of the operator for clients, whose certificate is `ca_pem`.
    pub(crate) async fn with_operator_ca(ca_pem: &str, names: &str) -> Self {
        let folder = tempfile::TempDir::with_prefix("gridd-test-").expect("a temporary folder");
        std::fs::write(folder.path().join("clients.pem"), ca_pem).expect("writes");
        let config = format!("{TLS}client_ca = \"clients.pem\"\nclient_names = \"{names}\"\n");
        Self::of(Setup::within(folder, &config).start().await, true)
    }

    /// Of another program, for benches.
    pub(crate) async fn of_program(program: PathBuf, config: &str, is_tls: bool) -> Self {
        let begin = if is_tls { TLS } else { "authentication = \"required\"\n" };
        // Keys of the top level stand before tables.
        let config = match config.split_once('[') {
            Some((top, tables)) => format!("{top}{begin}[{tables}"),
            None => format!("{config}{begin}"),
        };
        Self::of(Setup::new(&config).program(program).start().await, is_tls)
    }

    fn of(gridd: Gridd, is_tls: bool) -> Self {
        let file = gridd.data().join("admin-token");
        let admin = TokenText::read(&file).expect("the token of the first administrator");
        Self { gridd, admin, is_tls }
    }

    /// Whether it has TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The hash of the key of its CA.
    pub(crate) fn pin(&self) -> KeyHash {
        let pem = std::fs::read(self.gridd.data().join("ca/ca.pem")).expect("the CA");
        let der = CertificateDer::from_pem_slice(&pem).expect("a certificate");
        let (_, parsed) =
            x509_parser::certificate::X509Certificate::from_der(&der).expect("a certificate");
        grid_broker::identity::certificate::hash_of_key(parsed.public_key().raw)
    }

    /// How to connect with that credential.
    pub(crate) fn options(&self, credential: ClientCredential) -> ConnectOptions {
        let (address, trust) = match self.is_tls {
            true => (format!("https://{}", self.gridd.grpc), ServerTrust::Pin(self.pin())),
            false => (self.gridd.grpc.clone(), ServerTrust::ByAddress),
        };
        ConnectOptions { address, trust, credential }
    }

    /// A connection with that credential.
    pub(crate) async fn channel(&self, credential: ClientCredential) -> BrokerChannel {
        soon("a connection", self.options(credential).connect()).await.expect("connects")
    }

    /// The identity service for that credential.
    pub(crate) async fn identity(
        &self,
        credential: ClientCredential,
    ) -> IdentityServiceClient<BrokerChannel> {
        IdentityServiceClient::new(self.channel(credential).await)
    }

    /// The identity service for the first administrator.
    pub(crate) async fn as_admin(&self) -> IdentityServiceClient<BrokerChannel> {
        self.identity(ClientCredential::Token(self.admin.clone())).await
    }

    /// A new token.
    pub(crate) async fn create_token(
        &self,
        subject: proto::create_token_request::Subject,
        valid_for: Option<Duration>,
    ) -> TokenText {
        let valid_for = valid_for.map(|it| it.try_into().expect("a duration"));
        let request = proto::CreateTokenRequest { subject: Some(subject), valid_for };
        let reply = self.as_admin().await.create_token(request).await.expect("is created");
        let reply = reply.into_inner();
        let text = TokenText::new(&reply.token).expect("a token");
        assert_eq!(reply.info.expect("what is stored").id, text.parsed().id.as_str());
        text
    }

    /// A token of an administrator who is created for it.
    pub(crate) async fn administrator(&self, name: &str, role: proto::Role) -> TokenText {
        let (name, role) = (name.to_owned(), role.into());
        let request = proto::CreateAdministratorRequest { name: name.clone(), role };
        self.as_admin().await.create_administrator(request).await.expect("is created");
        self.create_token(proto::create_token_request::Subject::Administrator(name), None).await
    }

    /// A token of an appliance that is added for it.
    pub(crate) async fn appliance(&self, name: &str) -> TokenText {
        self.add_appliance(name).await;
        let subject = proto::create_token_request::Subject::Appliance(name.to_owned());
        self.create_token(subject, None).await
    }

    /// Adds an appliance.
    pub(crate) async fn add_appliance(&self, name: &str) {
        let channel = self.channel(ClientCredential::Token(self.admin.clone())).await;
        let mut appliances = proto::appliance_service_client::ApplianceServiceClient::new(channel);
        let request = proto::AddApplianceRequest { name: name.to_owned(), ..Default::default() };
        appliances.add_appliance(request).await.expect("is added");
    }

    /// A token that enrols that appliance.
    pub(crate) async fn enrolment_token(&self, name: &str, replace: bool) -> TokenText {
        let subject = proto::enrolment_terms::Subject::Appliance(name.to_owned());
        let terms = proto::EnrolmentTerms { subject: Some(subject), replace, ..Default::default() };
        self.create_token(proto::create_token_request::Subject::Enrolment(terms), None).await
    }

    /// Runs `vme` with a state folder of that appliance's own.
    pub(crate) async fn vme(&self, name: &str, words: &[&str]) -> Run {
        let mut command = clean(env!("CARGO_BIN_EXE_vme"));
        command.env("VME_STATE", self.state(name)).args(words);
        run(command).await
    }

    /// The state folder of an appliance.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.gridd.path(&format!("state-{name}"))
    }

    /// Runs `vme enrol` with that token.
    pub(crate) async fn vme_enrol(&self, name: &str, token: &TokenText) -> Run {
        let file = self.gridd.path(&format!("token-{name}"));
        write_secret(&file, token.expose());
        let file = file.display().to_string();
        self.vme(name, &["enrol", "--token-file", &file, &self.gridd.grpc]).await
    }

    /// The texts of the records of that kind, oldest first.
    pub(crate) async fn records(&self, kind: proto::RecordKind) -> Vec<String> {
        let channel = self.channel(ClientCredential::Token(self.admin.clone())).await;
        let mut log = proto::grid_log_service_client::GridLogServiceClient::new(channel);
        let filter = proto::RecordFilter { kinds: vec![kind.into()], ..Default::default() };
        let request = proto::ListRecordsRequest {
            filter: Some(filter),
            page_size: 1_000,
            ..Default::default()
        };
        let page = log.list_records(request).await.expect("a page").into_inner();
        let mut records = page.records;
        records.sort_by_key(|record| record.number);
        records
            .into_iter()
            .map(|record| format!("{} {}", record.administrator, record.text))
            .collect()
    }

    /// Waits for a security record that contains all of `parts`.
    pub(crate) async fn security_record(&self, parts: &[&str]) -> String {
        let what = format!("a security record with {parts:?}");
        eventually(&what, async || {
            let records = self.records(proto::RecordKind::Security).await;
            records.into_iter().find(|record| parts.iter().all(|part| record.contains(part)))
        })
        .await
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_secret(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;

    std::fs::write(path, format!("{text}\n")).expect("writes");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("a mode");
}

/// The reason in the details of a status.
pub(crate) fn reason(status: &tonic::Status) -> String {
    use tonic_types::StatusExt;

    status.get_details_error_info().map_or_else(String::new, |info| info.reason)
}

/// A token of the right form that no broker has made.
pub(crate) fn forged(kind: token::TokenKind) -> TokenText {
    let pin = (kind == token::TokenKind::Enrolment).then_some(KeyHash([7; 32]));
    let token = token::NewToken::generate(kind, pin).expect("a token");
    TokenText::new(token.text()).expect("a token")
}
