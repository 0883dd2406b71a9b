//! Tests who is let in by which credential, and what every other caller is told.

mod administrators;
mod attempts;

use http::HeaderValue;
use tokio::sync::mpsc;

use super::*;
use crate::clock::wall_now;
use crate::grid::log::identity::IdentityEffect;
use crate::grid::model::identity::{Administrator, EnrolledKey, EnrolmentScope, EnrolmentTerms};
use crate::grid::values::identity::{KeyHash, Serial};
use crate::identity::token::NewToken;

const VIEWER: Option<Access> = Some(Access::Role(Role::Viewer));
const ADMIN: Option<Access> = Some(Access::Role(Role::Admin));
const APPLIANCE: Option<Access> = Some(Access::Appliance);

const KEY: KeyHash = KeyHash([1; 32]);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn db1() -> Subject {
    Subject::Appliance(ApplianceName::new("db1").expect("a name"))
}

fn ann() -> AdministratorName {
    AdministratorName::new("ann").expect("a name")
}

/// An authenticator, its credentials, and what it records.
struct Gate {
    authenticator: Authenticator,
    incidents: mpsc::Receiver<SecurityIncident>,
    address: IpAddr,
}

impl Gate {
    fn new(mode: AuthenticationMode) -> Self {
        let (incidents, received) = Incidents::new();
        let credentials = Credentials::new(Identities::default());
        let clock = Clock::start(wall_now(), Duration::ZERO);
        let authenticator = Authenticator::new(mode, credentials, incidents, clock);
        let address = "192.0.2.1".parse().expect("an address");
        Self { authenticator, incidents: received, address }
    }

    /// With administrator ann, who has the role.
    fn with(role: Role) -> Self {
        let gate = Self::new(AuthenticationMode::Required);
        gate.set_role(role);
        gate
    }

    fn apply(&self, change: IdentityEffect) {
        self.authenticator.credentials().apply(&[change]);
    }

    fn set_role(&self, role: Role) {
        let administrator = Administrator { role, created_at: Timestamp::EPOCH };
        self.apply(IdentityEffect::Administrator { name: ann(), administrator });
    }

    /// A token that the broker knows.
    fn token(&self, purpose: TokenPurpose, expires_at: Option<Timestamp>) -> NewToken {
        let kind = match &purpose {
            TokenPurpose::Access(Subject::Appliance(_)) => TokenKind::Appliance,
            TokenPurpose::Access(Subject::Administrator(_)) => TokenKind::Administrator,
            TokenPurpose::Enrolment(_) => TokenKind::Enrolment,
        };
        let pin = (kind == TokenKind::Enrolment).then_some(KEY);
        let new = NewToken::generate(kind, pin).expect("random bytes");
        self.store(&new, purpose, expires_at);
        new
    }

    fn store(&self, new: &NewToken, purpose: TokenPurpose, expires_at: Option<Timestamp>) {
        let token = Token {
            id: new.parsed.id,
            secret: new.parsed.secret,
            purpose,
            created_at: Timestamp::EPOCH,
            created_by: "ann".into(),
            expires_at,
            last_used_at: Some(wall_now()),
            uses: 0,
        };
        self.apply(IdentityEffect::Token { token });
    }

    /// Enrols db1 with that key.
    fn enrol(&self, subject: Subject, key: KeyHash) {
        let key = EnrolledKey {
            key,
            serial: Serial([0; 16]),
            enrolled_at: Timestamp::EPOCH,
            issued_at: Timestamp::EPOCH,
            expires_at: Timestamp::MAX,
            token: TokenId::new("aaaaaaaa").expect("an id"),
        };
        self.apply(IdentityEffect::Key { subject, key });
    }

    fn peer(&self, certificate: Option<&Arc<PeerCertificate>>) -> Peer {
        Peer { address: self.address, is_tls: true, certificate: certificate.cloned() }
    }

    fn call(&self, headers: &HeaderMap, access: Option<Access>) -> Result<Principal, Denied> {
        self.authenticator.authorize(&self.peer(None), headers, "Call", access)
    }

    fn by_token(&self, text: &str, access: Option<Access>) -> Result<Principal, Denied> {
        self.call(&bearer(text), access)
    }

    fn by_certificate(
        &self,
        certificate: &Arc<PeerCertificate>,
        access: Option<Access>,
    ) -> Result<Principal, Denied> {
        let peer = self.peer(Some(certificate));
        self.authenticator.authorize(&peer, &HeaderMap::new(), "Call", access)
    }

    /// The next record: who, and why.
    fn recorded(&mut self) -> Option<(String, String)> {
        match self.incidents.try_recv().ok()? {
            SecurityIncident::Refused(refusal) => Some((refusal.who.into(), refusal.why.into())),
            other @ (SecurityIncident::Accessed { .. }
            | SecurityIncident::TokenUsed { .. }
            | SecurityIncident::ServerCertificate { .. }) => panic!("no refusal: {other:?}"),
        }
    }
}

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    let all = all.iter().map(|(name, value)| {
        let name = http::HeaderName::from_static(name);
        (name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"))
    });
    all.collect()
}

fn bearer(text: &str) -> HeaderMap {
    headers(&[("authorization", &format!("Bearer {text}"))])
}

fn access_of_ann() -> TokenPurpose {
    TokenPurpose::Access(Subject::Administrator(ann()))
}

fn certificate(subject: Subject, key: KeyHash, is_own: bool) -> Arc<PeerCertificate> {
    let (issued_at, expires_at) =
        (wall_now().before(seconds(60)), wall_now().after(seconds(3_600)));
    let serial = "01".into();
    Arc::new(PeerCertificate { subject, key, serial, issued_at, expires_at, is_own })
}

fn administrator_principal(principal: Result<Principal, Denied>) -> (Box<str>, Role) {
    match principal.expect("is let in").caller {
        Caller::Administrator { name, role } => (name, role),
        other @ (Caller::Stranger | Caller::Appliance(_)) => panic!("no administrator: {other:?}"),
    }
}

#[test]
fn a_broker_on_loopback_trusts_what_callers_say() {
    let mut gate = Gate::new(AuthenticationMode::Off);
    let call = |all: &[(&'static str, &str)]| gate.call(&headers(all), ADMIN);
    let ann = administrator_principal(call(&[(ADMINISTRATOR_METADATA, "Ann B.")]));
    assert_eq!(ann, ("Ann B.".into(), Role::Admin));
    let long = administrator_principal(call(&[(ADMINISTRATOR_METADATA, &"\u{e4}".repeat(99))]));
    assert_eq!(long.0.len(), UNNAMED_ADMINISTRATOR.len(), "other bytes than ASCII are no name");
    let long = administrator_principal(call(&[(ADMINISTRATOR_METADATA, &"x".repeat(99))]));
    assert_eq!(long.0.len(), FREE_NAME_BYTES_MAX);
    for nobody in [&[][..], &[(ADMINISTRATOR_METADATA, " ")]] {
        assert_eq!(&*administrator_principal(call(nobody)).0, UNNAMED_ADMINISTRATOR);
    }
    let token = call(&[("authorization", "Bearer nonsense")]);
    assert!(token.is_ok(), "a token that a client happens to have does no harm");
    let db1 = gate.call(&headers(&[(APPLIANCE_METADATA, "db1")]), APPLIANCE).expect("an appliance");
    assert_eq!(db1.caller.to_string(), "appliance db1");
    assert!(gate.authenticator.still_holds(&db1));
    let denied = gate.call(&headers(&[(APPLIANCE_METADATA, "a b")]), APPLIANCE);
    assert!(matches!(denied, Err(Denied::NotAName(_))), "{denied:?}");
    let denied = gate.call(&headers(&[(APPLIANCE_METADATA, "db1")]), ADMIN);
    assert!(matches!(denied, Err(Denied::Forbidden { .. })), "{denied:?}");
    assert_eq!(gate.recorded(), None, "what is trusted is not recorded when it is wrong");
}

#[test]
fn a_token_is_its_owner_with_the_role_of_now() {
    let gate = Gate::with(Role::Operator);
    let token = gate.token(access_of_ann(), None);
    let principal = gate.by_token(token.text(), VIEWER).expect("is let in");
    assert_eq!(&*principal.for_record(), "ann (operator) from 192.0.2.1");
    let of_db1 = gate.token(TokenPurpose::Access(db1()), Some(wall_now().after(seconds(60))));
    let principal = gate.by_token(of_db1.text(), APPLIANCE).expect("is let in");
    assert_eq!(&*principal.for_record(), "appliance db1 from 192.0.2.1");
    for scheme in ["bearer", "BEARER"] {
        let text = format!("{scheme} {}", of_db1.text());
        assert!(gate.call(&headers(&[("authorization", &text)]), APPLIANCE).is_ok(), "{scheme}");
    }
}

#[test]
fn whoever_may_not_is_told_why_and_leaves_a_record() {
    let mut gate = Gate::with(Role::Viewer);
    let viewer = gate.token(access_of_ann(), None);
    let enrolment =
        EnrolmentTerms { scope: EnrolmentScope::One(db1()), class: None, replace: false };
    let enrolment = gate.token(TokenPurpose::Enrolment(enrolment), None);
    let ended = gate.token(access_of_ann(), Some(wall_now()));
    let unknown = NewToken::generate(TokenKind::Administrator, None).expect("random bytes");
    let guessed = NewToken::with_id(TokenKind::Administrator, viewer.parsed.id, None);
    let guessed = guessed.expect("random bytes");
    let misspelt = format!("{}x", viewer.text());
    let needed = "an administrator with the role admin";
    let who = format!("token {}", viewer.parsed.id);
    let unreadable = "somebody with an unreadable token";
    let forbidden = Denied::Forbidden { caller: "ann (viewer)".into(), needed };
    let not_a_token = token::parse(&misspelt).map_err(Denied::NotAToken).expect_err("misspelt");
    let token = |text: &str| format!("Bearer {text}");
    for (header, who, denied, reason) in [
        (token(viewer.text()), &*who, forbidden, "ROLE"),
        (token(guessed.text()), &*who, Denied::BadToken, "TOKEN_INVALID"),
        (token(unknown.text()), "", Denied::BadToken, "TOKEN_INVALID"),
        (token(ended.text()), "", Denied::BadToken, "TOKEN_INVALID"),
        (token(enrolment.text()), "", Denied::EnrolmentToken, "ENROLMENT_TOKEN"),
        (token(&misspelt), unreadable, not_a_token, "NOT_A_TOKEN"),
        ("Basic YTpi".to_owned(), unreadable, Denied::BadHeader, "NOT_A_TOKEN"),
        (viewer.text().to_owned(), unreadable, Denied::BadHeader, "NOT_A_TOKEN"),
    ] {
        let found = gate.call(&headers(&[("authorization", &header)]), ADMIN).expect_err("no");
        assert_eq!((&found, found.reason()), (&denied, reason));
        let (said, why) = gate.recorded().expect("a record");
        assert!(said.starts_with(who), "{said}");
        assert_eq!(why, denied.to_string());
        assert!(!why.contains(&viewer.text()[13..30]), "no secret is recorded");
    }
    let nobody = gate.call(&HeaderMap::new(), ADMIN).expect_err("no");
    assert_eq!((&nobody, nobody.reason()), (&Denied::NoCredential { needed }, "NO_CREDENTIAL"));
    assert_eq!(gate.recorded().expect("a record").0, "somebody without a credential");
}

#[test]
fn what_is_in_no_table_is_for_nobody_and_what_is_for_anyone_asks_for_nothing() {
    let mut gate = Gate::with(Role::Admin);
    let token = gate.token(access_of_ann(), None);
    for headers in [bearer(token.text()), HeaderMap::new()] {
        let denied = gate.call(&headers, None).expect_err("is in no table");
        assert_eq!((&denied, denied.reason()), (&Denied::Unlisted, "UNLISTED"));
        assert!(gate.recorded().is_some());
    }
    let ended =
        PeerCertificate { expires_at: wall_now(), ..(*certificate(db1(), KEY, true)).clone() };
    let principal = gate.by_certificate(&Arc::new(ended), Some(Access::Anyone));
    assert_eq!(principal.expect("is let in").caller, Caller::Stranger);
    assert!(gate.by_token("nonsense", Some(Access::Anyone)).is_ok());
    assert_eq!(gate.recorded(), None);
}

#[test]
fn an_own_certificate_is_its_owner_while_its_key_is_enrolled() {
    let mut gate = Gate::with(Role::Operator);
    let of_db1 = certificate(db1(), KEY, true);
    let denied = gate.by_certificate(&of_db1, APPLIANCE).expect_err("is not enrolled");
    assert_eq!(denied, Denied::Certificate(CertificateProblem::Revoked(db1())));
    assert_eq!(denied.reason(), "CERTIFICATE_INVALID");
    assert_eq!(gate.recorded().expect("a record").0, "appliance db1");
    gate.enrol(db1(), KEY);
    let principal = gate.by_certificate(&of_db1, APPLIANCE).expect("is let in");
    assert_eq!(principal.caller.to_string(), "appliance db1");
    let ended = PeerCertificate { expires_at: wall_now(), ..(*of_db1).clone() };
    let denied = gate.by_certificate(&Arc::new(ended), APPLIANCE).expect_err("has ended");
    assert_eq!(denied, Denied::Certificate(CertificateProblem::Ended(db1())));
    assert!(gate.authenticator.still_holds(&principal));
    gate.enrol(db1(), KeyHash([2; 32]));
    assert!(!gate.authenticator.still_holds(&principal), "another key was enrolled");
    gate.enrol(db1(), KEY);
    gate.apply(IdentityEffect::KeyRemoved { subject: db1() });
    assert!(!gate.authenticator.still_holds(&principal), "it was revoked");
    let subject = Subject::Administrator(ann());
    gate.enrol(subject.clone(), KEY);
    let of_ann = certificate(subject, KEY, true);
    let operator = administrator_principal(gate.by_certificate(&of_ann, VIEWER));
    assert_eq!(operator, ("ann".into(), Role::Operator));
}

#[test]
fn a_certificate_of_another_authority_holds_by_its_name_until_that_is_revoked() {
    let gate = Gate::with(Role::Viewer);
    let of_db1 = certificate(db1(), KEY, false);
    let session = gate.by_certificate(&of_db1, APPLIANCE).expect("is let in");
    let name = ApplianceName::new("db1").expect("a name");
    gate.apply(IdentityEffect::ApplianceRevoked { name, at: wall_now() });
    let denied = gate.by_certificate(&of_db1, APPLIANCE).expect_err("is revoked");
    assert_eq!(denied, Denied::Certificate(CertificateProblem::Revoked(db1())));
    assert!(!gate.authenticator.still_holds(&session));
    let newer = PeerCertificate { issued_at: wall_now().after(seconds(1)), ..(*of_db1).clone() };
    assert!(gate.by_certificate(&Arc::new(newer), APPLIANCE).is_ok(), "a new one was issued");
    let of_ann = certificate(Subject::Administrator(ann()), KEY, false);
    let session = gate.by_certificate(&of_ann, VIEWER).expect("is let in");
    gate.set_role(Role::Operator);
    assert!(!gate.authenticator.still_holds(&session), "another role");
    gate.apply(IdentityEffect::AdministratorRemoved { name: ann() });
    let denied = gate.by_certificate(&of_ann, VIEWER).expect_err("is removed");
    let removed = CertificateProblem::Removed(Subject::Administrator(ann()));
    assert_eq!(denied, Denied::Certificate(removed));
}

#[test]
fn a_stream_by_token_ends_with_its_secret_its_owner_and_its_role() {
    let gate = Gate::with(Role::Operator);
    let open = |token: &NewToken| gate.by_token(token.text(), VIEWER).expect("is let in");
    let holds = |principal: &Principal| gate.authenticator.still_holds(principal);
    let token = gate.token(access_of_ann(), None);
    let session = open(&token);
    assert!(holds(&session));
    gate.set_role(Role::Admin);
    assert!(!holds(&session), "the role changed");
    let session = open(&token);
    let rotated = NewToken::with_id(TokenKind::Administrator, token.parsed.id, None);
    let rotated = rotated.expect("random bytes");
    gate.store(&rotated, access_of_ann(), None);
    assert!(!holds(&session), "the secret is another one");
    let session = open(&rotated);
    gate.apply(IdentityEffect::TokenRemoved { id: token.parsed.id });
    assert!(!holds(&session), "it was revoked");
    gate.store(&rotated, access_of_ann(), Some(wall_now().before(seconds(1))));
    assert!(!holds(&session), "it has ended");
    gate.store(&rotated, access_of_ann(), None);
    assert!(holds(&session));
    gate.apply(IdentityEffect::AdministratorRemoved { name: ann() });
    assert!(!holds(&session), "the administrator was removed");
}

#[test]
fn a_claimed_name_must_be_that_of_the_credential() {
    let mut gate = Gate::with(Role::Admin);
    let of_db1 = gate.token(TokenPurpose::Access(db1()), None);
    let of_ann = gate.token(access_of_ann(), None);
    let call = |gate: &Gate, token: &NewToken, claimed: &str| {
        let mut all = bearer(token.text());
        let claimed = HeaderValue::from_bytes(claimed.as_bytes()).expect("a value");
        all.insert(APPLIANCE_METADATA, claimed);
        gate.call(&all, Some(Access::Authenticated))
    };
    assert!(call(&gate, &of_db1, "db1").is_ok());
    for (token, is) in [(&of_db1, "appliance db1"), (&of_ann, "ann (admin)")] {
        for claimed in ["db2", "DB1", "db1 ", "", "d\u{e4}"] {
            let denied = call(&gate, token, claimed).expect_err("another name");
            assert_eq!(denied, Denied::OtherName { is: is.into(), claimed: claimed.into() });
            assert_eq!(denied.reason(), "OTHER_NAME");
        }
    }
    let denied = call(&gate, &of_db1, &"\u{e4}".repeat(4_000)).expect_err("another name");
    assert!(denied.to_string().len() < 300, "{denied}");
    assert!(gate.recorded().is_some());
    gate.enrol(db1(), KEY);
    let peer = gate.peer(Some(&certificate(db1(), KEY, true)));
    let other = headers(&[(APPLIANCE_METADATA, "db2")]);
    let denied = gate.authenticator.authorize(&peer, &other, "Call", APPLIANCE);
    assert!(matches!(denied, Err(Denied::OtherName { .. })), "{denied:?}");
}
