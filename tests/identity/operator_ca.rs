//! Certificates of an operator's CA: names by a pattern, unknown names, revocation by name.

use std::time::Duration;

use grid_broker::client::ClientCredential;
use grid_broker::clock::wall_now;
use grid_broker::contract::proto;
use grid_broker::contract::proto::event::Kind;
use grid_broker::grid::values::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use tonic::{Code, Status};

use crate::broker::{Broker, reason, write_secret};
use crate::support::{event, eventually};

const NAMES: &str = "spiffe://corp.example/grid/{name}";

/// The CA of an operator.
struct OperatorCa(CertifiedIssuer<'static, KeyPair>);

impl OperatorCa {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    /// A certificate with these names, in files called `label`, in force since then.
    fn issue(
        &self,
        broker: &Broker,
        label: &str,
        uris: &[&str],
        since: Timestamp,
    ) -> ClientCredential {
        let mut params = CertificateParams::default();
        let uri = |uri: &&str| SanType::URI((*uri).try_into().expect("a URI"));
        params.subject_alt_names = uris.iter().map(uri).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let since = since.since(Timestamp::EPOCH);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + since;
        params.not_after = epoch + since + Duration::from_secs(3_600);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("is signed");
        let [file, key_file] =
            ["pem", "key"].map(|extension| broker.gridd.path(&format!("{label}.{extension}")));
        std::fs::write(&file, certificate.pem()).expect("writes");
        write_secret(&key_file, &key.serialize_pem());
        ClientCredential::Certificate { certificate: file, key: key_file }
    }
}

/// Reports one event.
async fn report(broker: &Broker, credential: &ClientCredential) -> Result<u64, Status> {
    let connected = broker.options(credential.clone()).connect().await;
    let channel = connected.map_err(|error| Status::unknown(error.to_string()))?;
    let mut client = proto::event_service_client::EventServiceClient::new(channel);
    let event = event(Kind::Log(proto::Log {}), 0, "hello");
    let request = proto::ReportRequest { event: Some(event), ..Default::default() };
    Ok(client.report(request).await?.into_inner().record_number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_operator_names_its_appliance_by_the_pattern() {
    let ca = OperatorCa::new();
    let broker = Broker::with_operator_ca(&ca.0.pem(), NAMES).await;
    broker.add_appliance("db1").await;
    let hour_ago = wall_now().before(Duration::from_secs(1_800));
    let issue = |label, uris: &[&str]| ca.issue(&broker, label, uris, hour_ago);
    let db1 = issue("db1", &["https://other.example/x", "spiffe://corp.example/grid/db1"]);
    assert!(report(&broker, &db1).await.expect("is accepted") > 0);

    let unknown = issue("unknown", &["spiffe://corp.example/grid/db2"]);
    let denied = report(&broker, &unknown).await.expect_err("nobody has added it");
    assert_eq!(
        (denied.code(), reason(&denied).as_str(), denied.message()),
        (
            Code::PermissionDenied,
            "UNKNOWN_APPLIANCE",
            "db2 is not known here: `gridctl appliance add db2` adds it"
        )
    );
    broker.security_record(&["db2", "not known here"]).await;

    for (label, uris) in [
        ("nobody", &["spiffe://corp.example/other/db1"][..]),
        ("two", &["spiffe://corp.example/grid/db1", "spiffe://corp.example/grid/db2"]),
        ("invalid", &["spiffe://corp.example/grid/-x"]),
    ] {
        let refused = report(&broker, &issue(label, uris)).await;
        assert!(refused.is_err(), "{label}: {refused:?}");
    }
    broker.security_record(&["TLS on the grpc port", "db1", "db2"]).await;

    // Another CA with the same names.
    let other =
        OperatorCa::new().issue(&broker, "other", &["spiffe://corp.example/grid/db1"], hour_ago);
    assert!(report(&broker, &other).await.is_err());
    assert!(report(&broker, &db1).await.is_ok(), "the good one still is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_by_name_refuses_older_certificates_and_no_newer_ones() {
    let ca = OperatorCa::new();
    let broker = Broker::with_operator_ca(&ca.0.pem(), NAMES).await;
    broker.add_appliance("db1").await;
    let uris = ["spiffe://corp.example/grid/db1"];
    let old = ca.issue(&broker, "old", &uris, wall_now().before(Duration::from_secs(600)));
    report(&broker, &old).await.expect("is accepted");
    let request = proto::RevokeApplianceRequest { name: "db1".to_owned() };
    broker.as_admin().await.revoke_appliance(request).await.expect("is revoked");
    assert!(report(&broker, &old).await.is_err(), "it was issued before");
    broker.security_record(&["db1", "revoked"]).await;
    // Certificates have whole seconds: one that begins after the revocation.
    let new = eventually("a certificate that is newer", async || {
        let since = wall_now();
        let new = ca.issue(&broker, "new", &uris, since);
        report(&broker, &new).await.ok()
    })
    .await;
    assert!(new > 0);
}
