//! Tests the loading of certificates: every file that cannot be used, and reloads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::clock::wall_now;
use crate::identity::certificate::hash_of_key;
use crate::identity::name_pattern::NamePattern;

/// A folder with the files of an operator, which are all valid.
struct Operator {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca_key: KeyHash,
}

/// Parameters that are in force.
fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

impl Operator {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ca = params("ca.example");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca_key = hash_of_key(&rcgen::PublicKeyData::subject_public_key_info(&key));
        let pem = ca.self_signed(&key).expect("signed").pem();
        fs::write(folder.path().join("client-ca.pem"), pem).expect("written");
        let operator = Self { folder, issuer: Issuer::new(ca, key), ca_key };
        operator.write_pair(&params("broker.example"));
        operator
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
        let mode = PermissionsExt::from_mode(0o600);
        fs::set_permissions(self.path(name), mode).expect("a mode");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    /// Replaces the server's certificate and key; the chain has the CA.
    fn write_pair(&self, params: &CertificateParams) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        let ca = self.read("client-ca.pem");
        self.write("server.pem", &format!("{certificate}{ca}"));
        self.write("server.key", &key.serialize_pem());
    }

    fn files(&self) -> OperatorFiles {
        let pattern = NamePattern::new("{name}.vm.example").expect("a pattern");
        OperatorFiles {
            certificate: Some((self.path("server.pem"), self.path("server.key"))),
            client_ca: Some((self.path("client-ca.pem"), pattern)),
        }
    }

    fn authority(&self) -> Arc<CertificateAuthority> {
        let authority =
            CertificateAuthority::open_or_create(&self.path("ca"), Uuid::nil(), wall_now());
        Arc::new(authority.expect("an authority"))
    }

    fn loader(&self, files: OperatorFiles) -> TlsLoader {
        let plan = TlsPlan {
            files,
            names: ["localhost".to_owned()].into(),
            grpc_clients: ClientCertificates::Optional,
            http_clients: ClientCertificates::Off,
        };
        TlsLoader::new(plan, self.authority())
    }

    /// Why a start refuses these files. A check of the settings says the same.
    fn error(&self) -> String {
        let (files, now) = (self.files(), wall_now());
        let mut loader = self.loader(files.clone());
        let error = loader.load_first(now).expect_err("is refused").to_string();
        let checks = [files.check_certificate(now), files.check_client_ca(now)];
        let found: Vec<_> = checks.into_iter().filter_map(Result::err).collect();
        let [checked] = found.as_slice() else { panic!("a check finds {found:?}: {error}") };
        // Times are of another moment.
        let without_clock = |text: &str| text.split("this host's clock").next().map(str::to_owned);
        assert_eq!(without_clock(&checked.to_string()), without_clock(&error));
        error
    }
}

#[test]
fn valid_files_are_used_and_the_last_certificate_is_the_pin() {
    let operator = Operator::new();
    let configs = operator.loader(operator.files()).load_first(wall_now()).expect("is valid");
    assert_eq!(configs.pin, operator.ca_key);
    assert_eq!(configs.grpc.server.alpn_protocols, [b"h2".to_vec()]);
    assert_eq!(configs.http.server.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(configs.grpc.clients, ClientCertificates::Optional);
    for config in [&configs.grpc, &configs.http] {
        assert!(!config.server.session_storage.can_cache());
        assert_eq!(config.server.send_tls13_tickets, 0);
    }
    let own = operator.loader(OperatorFiles::default()).load_first(wall_now()).expect("is valid");
    assert_eq!(own.pin, operator.authority().pin());
    assert!(own.expires_at > wall_now().after(Duration::from_secs(89 * 86_400)));
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_in_words() {
    let with = |change: fn(&mut CertificateParams)| {
        let operator = Operator::new();
        let mut params = params("broker.example");
        change(&mut params);
        operator.write_pair(&params);
        operator.error()
    };
    let expired = with(|it| it.not_after = date_time_ymd(2024, 2, 3));
    let words =
        "is valid from 2020-01-01T00:00:00Z to 2024-02-03T00:00:00Z, and this host's clock says";
    assert!(expired.contains(words), "{expired}");
    let future = with(|it| it.not_before = date_time_ymd(2080, 1, 1));
    assert!(future.contains("is valid from 2080-01-01T00:00:00Z to 2090"), "{future}");
    let purpose = with(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    assert!(purpose.ends_with("is not for servers: it lacks the purpose serverAuth"), "{purpose}");
}

#[test]
fn files_that_are_missing_damaged_or_swapped_are_refused_in_words() {
    let other_key = KeyPair::generate().expect("a key").serialize_pem();
    let damaged = "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n";
    let no_der = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let leaf = params("not-a-ca.example");
    let leaf = leaf.self_signed(&KeyPair::generate().expect("a key")).expect("signed").pem();
    for (name, content, words) in [
        ("server.key", other_key.as_str(), "is not that of the first certificate in"),
        ("server.key", "garbage", "has no private key in PEM format"),
        ("server.key", "", "has no private key in PEM format"),
        ("server.key", leaf.as_str(), "has no private key in PEM format"),
        ("server.pem", "garbage", "has no certificate in PEM format"),
        ("server.pem", other_key.as_str(), "has no certificate in PEM format"),
        ("server.pem", damaged, "cannot be read"),
        ("server.pem", no_der, "is not an X.509 certificate"),
        ("client-ca.pem", "", "has no certificate in PEM format"),
        ("client-ca.pem", no_der, "is not an X.509 certificate"),
        ("client-ca.pem", leaf.as_str(), "has a certificate that is not a CA's"),
    ] {
        let operator = Operator::new();
        operator.write(name, content);
        let error = operator.error();
        assert!(error.contains(words) && error.contains(name), "{name} {content}: {error}");
        assert!(!error.contains(&other_key), "{error}");
        fs::remove_file(operator.path(name)).expect("removed");
        let error = operator.error();
        let begin = format!("cannot read {}: No such file", operator.path(name).display());
        assert!(error.starts_with(&begin), "{error}");
    }
    for mode in [0o640, 0o604, 0o644] {
        let operator = Operator::new();
        let path = operator.path("server.key");
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("a mode");
        let cure = format!("(mode {mode:03o}); `chmod go= {}` fixes it", path.display());
        let error = operator.error();
        assert!(error.ends_with(&cure), "{error}");
    }
}

#[test]
fn a_ca_of_clients_must_be_in_force() {
    let operator = Operator::new();
    let ca = |year| {
        let mut ca = params("old.example");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.not_after = date_time_ymd(year, 1, 1);
        ca.self_signed(&KeyPair::generate().expect("a key")).expect("signed").pem()
    };
    let ended = ca(2024);
    operator.write("client-ca.pem", &ended);
    let error = operator.error();
    assert!(error.contains("client-ca.pem is valid from 2020"), "{error}");
    for both in [format!("{}{ended}", ca(2080)), format!("{ended}{}", ca(2080))] {
        operator.write("client-ca.pem", &both);
        operator.loader(operator.files()).load_first(wall_now()).expect("one is in force");
    }
}

#[test]
fn only_changed_contents_are_loaded_and_a_bad_change_is_refused_until_it_is_repaired() {
    let operator = Operator::new();
    let mut loader = operator.loader(operator.files());
    let now = wall_now();
    let first = loader.load_first(now).expect("is valid");
    assert!(loader.load(now).expect("is valid").is_none(), "nothing has changed");
    // The same contents in another file, as Kubernetes swaps folders.
    fs::rename(operator.path("server.pem"), operator.path("moved")).expect("renamed");
    fs::copy(operator.path("moved"), operator.path("server.pem")).expect("copied");
    assert!(loader.load(now).expect("is valid").is_none());
    let key = operator.read("server.key");
    operator.write("server.key", "half");
    for _ in 0..2 {
        let error = loader.load(now).expect_err("is refused").to_string();
        assert!(error.contains("has no private key"), "{error}");
    }
    operator.write("server.key", &key);
    assert!(loader.load(now).expect("is valid").is_none(), "it is what is in use");
    operator.write_pair(&params("broker.example"));
    let second = loader.load(now).expect("is valid").expect("is new");
    assert_ne!(second.serial, first.serial);
    let ca = operator.read("client-ca.pem");
    operator.write("client-ca.pem", &format!("{ca}{ca}"));
    assert!(loader.load(now).expect("is valid").is_some(), "another CA of clients");
}

#[test]
fn the_brokers_own_certificate_is_renewed_by_a_reload() {
    let operator = Operator::new();
    let mut loader = operator.loader(OperatorFiles::default());
    let now = wall_now();
    let first = loader.load_first(now).expect("is made");
    assert!(loader.load(now).expect("is valid").is_none());
    let later = now.after(Duration::from_secs(61 * 86_400));
    let second = loader.load(later).expect("is valid").expect("is renewed");
    assert_ne!(second.serial, first.serial);
    assert_eq!(second.pin, first.pin);
}
