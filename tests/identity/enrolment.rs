//! Enrolment, renewal, recovery and revocation with the real programs, and lifetimes of seconds.

use std::time::Duration;

use grid_broker::client::ClientCredential;
use grid_broker::contract::proto;
use grid_broker::identity::key::IdentityKey;
use tonic::Code;

use crate::broker::{Broker, reason};
use crate::support::{Follower, clean, eventually, holds};

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_enrols_and_reports_and_a_revocation_ends_it_at_once() {
    let broker = Broker::with_tls("").await;
    let token = broker.enrolment_token("db1", false).await;
    let enrolled = broker.vme_enrol("db1", &token).await;
    assert_eq!(enrolled.code, Some(0), "{enrolled:?}");
    let reported = broker.vme("db1", &["id=started_ok"]).await;
    assert!(reported.stdout.contains("started_ok of db1 is record"), "{reported:?}");

    assert_eq!(broker_status(&broker).await.trust, "certificates and tokens");

    // A session that goes on.
    let mut agent = clean(env!("CARGO_BIN_EXE_vme"));
    agent.env("VME_STATE", broker.state("db1")).arg("agent");
    let agent = Follower::start(agent);
    let is_in_session = async || {
        let status = broker_status(&broker).await;
        status.sessions == 1
    };
    holds("the agent has a session", is_in_session).await;
    let request = proto::RevokeApplianceRequest { name: "db1".to_owned() };
    broker.as_admin().await.revoke_appliance(request).await.expect("is revoked");
    holds("its session ended", async || broker_status(&broker).await.sessions == 0).await;
    broker.security_record(&["db1", "revoked"]).await;
    drop(agent);
    let refused = broker.vme("db1", &["--timeout=1s", "id=log", "msg=late"]).await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("revoked") || refused.stderr.contains("enrol"), "{refused:?}");

    // Enrolled again with another key, what was spooled arrives.
    std::fs::remove_dir_all(broker.state("db1").join("identity")).expect("its old identity");
    let token = broker.enrolment_token("db1", false).await;
    let enrolled = broker.vme_enrol("db1", &token).await;
    assert_eq!(enrolled.code, Some(0), "{enrolled:?}");
    let reported = broker.vme("db1", &["id=log", "msg=back"]).await;
    assert_eq!(reported.code, Some(0), "{reported:?}");
}

async fn broker_status(broker: &Broker) -> proto::GetStatusResponse {
    let channel = broker.channel(ClientCredential::Token(broker.admin.clone())).await;
    let mut client = proto::broker_service_client::BrokerServiceClient::new(channel);
    client.get_status(proto::GetStatusRequest {}).await.expect("a status").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_enrols_one_key_and_a_second_one_raises_an_alert() {
    let broker = Broker::with_tls("").await;
    let token = broker.enrolment_token("db1", false).await;
    let [own, other] = [(); 2].map(|()| IdentityKey::generate().expect("a key"));
    let enrol = async |key: &IdentityKey| {
        let request = proto::EnrolRequest {
            token: token.expose().to_owned(),
            certificate_request: key.certificate_request().expect("a request"),
            name: String::new(),
        };
        broker.identity(ClientCredential::None).await.enrol(request).await
    };
    let first = enrol(&own).await.expect("enrols").into_inner().certificate.expect("one");
    let again = enrol(&own).await.expect("again").into_inner().certificate.expect("one");
    assert_eq!((&first.name, first.expires_at), (&again.name, again.expires_at));
    let denied = enrol(&other).await.expect_err("another key");
    assert_eq!((denied.code(), reason(&denied).as_str()), (Code::Unauthenticated, "TOKEN_REUSED"));
    let channel = broker.channel(ClientCredential::Token(broker.admin.clone())).await;
    let mut alerts = proto::alert_service_client::AlertServiceClient::new(channel);
    let alert = eventually("an alert", async || {
        let list = alerts.list_alerts(proto::ListAlertsRequest::default()).await.expect("alerts");
        list.into_inner().alerts.into_iter().next()
    })
    .await;
    assert_eq!((alert.appliance.as_str(), alert.kind()), ("db1", proto::AlertKind::TokenReused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_by_any_call_and_recovers_after_its_end() {
    let broker = Broker::with_tls("[certificates]\nlifetime = \"24s\"\n").await;
    let token = broker.enrolment_token("db1", false).await;
    assert_eq!(broker.vme_enrol("db1", &token).await.code, Some(0));
    let serial = async || {
        let keys = broker.as_admin().await.list_keys(proto::ListKeysRequest {}).await;
        keys.expect("keys").into_inner().keys.pop().expect("one").serial
    };
    let first = serial().await;
    assert_eq!(broker.vme("db1", &["id=log", "msg=young"]).await.code, Some(0));
    assert_eq!(serial().await, first, "too young");
    // In the last third of its life.
    tokio::time::sleep(Duration::from_secs(17)).await;
    let reported = broker.vme("db1", &["id=log", "msg=old"]).await;
    assert_eq!(reported.code, Some(0), "{reported:?}");
    let second = serial().await;
    assert_ne!(second, first, "it was renewed");
    // After its end.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let reported = broker.vme("db1", &["id=log", "msg=recovered"]).await;
    assert_eq!(reported.code, Some(0), "{reported:?}");
    assert_ne!(serial().await, second, "it has recovered");
    broker.security_record(&["certificate renewed for appliance db1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_images_enrols_names_of_its_pattern_up_to_its_count() {
    let broker = Broker::with_tls("").await;
    let pattern = proto::enrolment_terms::Subject::NamePattern("web-*".to_owned());
    let terms = proto::EnrolmentTerms { subject: Some(pattern), count: 2, ..Default::default() };
    let subject = proto::create_token_request::Subject::Enrolment(terms);
    let token = broker.create_token(subject, Some(Duration::from_secs(86_400))).await;
    let enrol = async |name: &str| {
        let key = IdentityKey::generate().expect("a key");
        let request = proto::EnrolRequest {
            token: token.expose().to_owned(),
            certificate_request: key.certificate_request().expect("a request"),
            name: name.to_owned(),
        };
        broker.identity(ClientCredential::None).await.enrol(request).await
    };
    for (name, expected) in [
        ("", Err(Code::InvalidArgument)),
        ("db1", Err(Code::InvalidArgument)),
        ("web-1", Ok(())),
        ("web-1", Err(Code::FailedPrecondition)),
        ("web-2", Ok(())),
        ("web-3", Err(Code::Unauthenticated)),
    ] {
        let enrolled = enrol(name).await;
        assert_eq!(enrolled.as_ref().map(|_| ()).map_err(tonic::Status::code), expected, "{name}");
    }
}
