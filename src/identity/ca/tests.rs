//! Tests the authority: its files and their faults, and what it signs.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::clock::wall_now;
use crate::grid::values::id::ApplianceName;
use crate::grid::values::identity::{AdministratorName, Subject};
use crate::identity::certificate::NoSubject;

const DAY: Duration = Duration::from_secs(86_400);

const JOURNAL: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

fn open(folder: &Path) -> Result<CertificateAuthority, AuthorityError> {
    CertificateAuthority::open_or_create(folder, JOURNAL, wall_now())
}

fn authority() -> (TempDir, CertificateAuthority) {
    let outer = tempfile::tempdir().expect("a folder");
    let authority = open(&outer.path().join("ca")).expect("a new one");
    (outer, authority)
}

fn appliance(name: &str) -> Subject {
    Subject::Appliance(ApplianceName::new(name).expect("a name"))
}

fn grant(subject: Subject) -> CertificateGrant {
    let issued_at = wall_now();
    let expires_at = issued_at.after(30 * DAY);
    CertificateGrant { subject, serial: random_serial().expect("random"), issued_at, expires_at }
}

fn request_by(key: &KeyPair, params: &CertificateParams) -> CertificateRequest {
    let request = params.serialize_request(key).expect("a request");
    CertificateRequest::parse(request.der()).expect("is valid")
}

#[test]
fn an_authority_is_made_once_and_opened_afterwards() {
    let (outer, made) = authority();
    let folder = outer.path().join("ca");
    let mode = |name: &str| fs::metadata(folder.join(name)).expect("a file").permissions().mode();
    assert_eq!(mode(".") & 0o777, 0o700);
    assert_eq!(mode(KEY_FILE) & 0o777, 0o600);
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 2, "no temporary file is left");
    let opened = open(&folder).expect("it is there");
    assert_eq!(opened.pin(), made.pin());
    assert_eq!(opened.certificate_der(), made.certificate_der());
    let facts = CertificateFacts::parse(made.certificate_der()).expect("a certificate");
    assert!(facts.is_ca && facts.is_valid_at(wall_now().before(DAY / 25)));
    assert!(facts.is_valid_at(wall_now().after(3_650 * DAY)));
    let (_, parsed) = X509Certificate::from_der(made.certificate_der()).expect("a certificate");
    let limits = parsed.basic_constraints().expect("readable").expect("present");
    assert_eq!((limits.value.ca, limits.value.path_len_constraint), (true, Some(0)));
    assert!(limits.critical);
    let usage = parsed.key_usage().expect("readable").expect("present").value;
    assert!(usage.key_cert_sign() && !usage.crl_sign() && !usage.digital_signature());
    assert!(made.has_signed(made.certificate_der()));
}

#[test]
fn a_crash_at_any_step_of_making_it_leaves_what_the_next_start_completes() {
    let (outer, made) = authority();
    let folder = outer.path().join("ca");
    let [key, certificate] = [KEY_FILE, CERTIFICATE_FILE].map(|name| folder.join(name));
    // Before the key got its name.
    fs::rename(&key, files::temporary(&key)).expect("renamed");
    let completed = open(&folder).expect("is completed");
    assert_eq!(completed.pin(), made.pin(), "it is the same");
    assert!(key.exists() && !files::temporary(&key).exists());
    // Before any had its name: nobody has seen this authority.
    for path in [&key, &certificate] {
        fs::rename(path, files::temporary(path)).expect("renamed");
    }
    assert_ne!(open(&folder).expect("another").pin(), made.pin());
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 2);
    // With half a file: it never had its name.
    for name in [KEY_FILE, CERTIFICATE_FILE] {
        fs::remove_file(folder.join(name)).expect("removed");
    }
    fs::write(files::temporary(&key), "-----BEGIN PRIV").expect("written");
    open(&folder).expect("another");
}

#[test]
fn an_authority_with_a_missing_part_is_refused_and_not_made_anew() {
    for (missing, present) in [(KEY_FILE, CERTIFICATE_FILE), (CERTIFICATE_FILE, KEY_FILE)] {
        let (outer, _) = authority();
        let folder = outer.path().join("ca");
        fs::remove_file(folder.join(missing)).expect("removed");
        // The key of another authority does not complete it.
        if missing == KEY_FILE {
            let other = KeyPair::generate().expect("a key").serialize_pem();
            files::write_temporary(&folder.join(KEY_FILE), other.as_bytes()).expect("written");
        }
        let error = open(&folder).expect_err("is refused").to_string();
        let begin = format!(
            "the broker's CA is incomplete: {} has {present}, but {missing} is missing; restore it \
             from a backup, or move the folder away",
            folder.display()
        );
        assert!(error.starts_with(&begin), "{error}");
        assert!(!folder.join(missing).exists(), "nothing was made");
    }
}

#[test]
fn with_enrolled_keys_a_second_authority_is_made_only_if_asked_for() {
    let (outer, _) = authority();
    let folder = outer.path().join("ca");
    refuse_second(&folder, 3, false).expect("it is there");
    fs::remove_file(folder.join(KEY_FILE)).expect("removed");
    refuse_second(&folder, 3, false).expect("to be refused when it is opened");
    fs::remove_dir_all(&folder).expect("removed");
    let error = refuse_second(&folder, 3, false).expect_err("is lost").to_string();
    let begin = format!(
        "the broker's CA is missing: {} has neither ca.key nor ca.pem, and it signed for enrolled \
         keys (3); put the folder back from a backup",
        folder.display()
    );
    assert!(error.starts_with(&begin) && error.contains(" start once with --new-ca: "), "{error}");
    assert!(!folder.exists(), "nothing was made");
    refuse_second(&folder, 3, true).expect("was asked for");
    refuse_second(&folder, 0, false).expect("nobody needs the old one");
}

#[test]
fn damaged_foreign_open_and_ended_authorities_are_refused_in_words() {
    let other_key = KeyPair::generate().expect("a key").serialize_pem();
    let (other_outer, _) = authority();
    let other = fs::read_to_string(other_outer.path().join("ca").join(CERTIFICATE_FILE));
    let other = other.expect("a certificate");
    let leaf = CertificateParams::new(["a.example".to_owned()]).expect("names");
    let leaf = leaf.self_signed(&KeyPair::generate().expect("a key")).expect("signed").pem();
    for (name, content, words) in [
        (KEY_FILE, "garbage", "has no private key in PEM format"),
        (KEY_FILE, "", "has no private key in PEM format"),
        (KEY_FILE, other_key.as_str(), "is not the certificate of the key in ca.key"),
        (CERTIFICATE_FILE, "garbage", "has no certificate in PEM format"),
        (CERTIFICATE_FILE, other.as_str(), "is not the certificate of the key in ca.key"),
        (CERTIFICATE_FILE, leaf.as_str(), "is not the certificate of a broker's CA"),
        (
            CERTIFICATE_FILE,
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            "is not an X.509 certificate",
        ),
    ] {
        let (outer, _) = authority();
        let folder = outer.path().join("ca");
        fs::write(folder.join(name), content).expect("written");
        let error = open(&folder).expect_err("is refused").to_string();
        assert!(error.contains(words), "{name} {content}: {error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
    let (outer, made) = authority();
    let folder = outer.path().join("ca");
    let now = wall_now();
    let of = |journal, now| CertificateAuthority::open_or_create(&folder, journal, now);
    let error = of(Uuid::nil(), now).expect_err("of another journal").to_string();
    let words = format!("is of the journal {JOURNAL}, and this journal is {}", Uuid::nil());
    assert!(error.contains(&words), "{error}");
    for at in [now.before(DAY), made.expires_at().after(DAY)] {
        let error = of(JOURNAL, at).expect_err("is not in force").to_string();
        assert!(error.contains(&format!("this host's clock says {}", show_time(at))), "{error}");
    }
    let open_mode = PermissionsExt::from_mode(0o644);
    fs::set_permissions(folder.join(KEY_FILE), open_mode).expect("a mode");
    let error = of(JOURNAL, now).expect_err("others can read the key").to_string();
    assert!(error.ends_with("ca.key` fixes it") && error.contains("chmod go= "), "{error}");
}

#[test]
fn a_certificate_says_what_its_grant_says_and_nothing_of_the_request() {
    let (_outer, authority) = authority();
    let key = KeyPair::generate().expect("a key");
    let mut greedy = CertificateParams::new(["admin".to_owned()]).expect("names");
    let other = own_uri(JOURNAL, &appliance("another"));
    greedy.subject_alt_names.push(SanType::URI(other.try_into().expect("a URI")));
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    greedy.distinguished_name.push(DnType::CommonName, "admin");
    let request = request_by(&key, &greedy);
    let grant = grant(appliance("shop:main.db1"));
    let der = authority.sign(&grant, &request).expect("signed");
    let facts = CertificateFacts::parse(&der).expect("a certificate");
    assert!(!facts.is_ca && !facts.is_for_servers);
    assert_eq!(facts.uris, [own_uri(JOURNAL, &grant.subject).into()]);
    assert_eq!((facts.dns_names.len(), facts.addresses.len()), (0, 0));
    assert_eq!(facts.common_name.as_deref(), Some(LEAF_COMMON_NAME));
    assert_eq!(facts.key, request.key_hash());
    let seconds = |at: Timestamp| at.as_micros().div_euclid(1_000_000);
    assert_eq!(seconds(facts.not_before), seconds(grant.issued_at) - 3_600);
    assert_eq!(seconds(facts.not_after), seconds(grant.expires_at));
    let (_, parsed) = X509Certificate::from_der(&der).expect("a certificate");
    assert_eq!(parsed.raw_serial().iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte)), {
        u128::from_be_bytes(grant.serial.0)
    });
    let limits = parsed.basic_constraints().expect("readable").expect("present").value;
    assert_eq!((limits.ca, limits.path_len_constraint), (false, None));
    let purposes = parsed.extended_key_usage().expect("readable").expect("present").value;
    assert!(purposes.client_auth && !purposes.server_auth && !purposes.any);
    let usage = parsed.key_usage().expect("readable").expect("present").value;
    assert!(usage.digital_signature() && !usage.key_cert_sign());
    assert!(authority.has_signed(&der));
}

#[test]
fn a_name_is_read_back_by_its_own_broker_only() {
    let (_outer, authority) = authority();
    let request = request_by(&KeyPair::generate().expect("a key"), &CertificateParams::default());
    let administrator = AdministratorName::new("ann@example.org").expect("a name");
    for subject in
        [appliance("shop:main.db1"), appliance("a_b"), Subject::Administrator(administrator)]
    {
        let der = authority.sign(&grant(subject.clone()), &request).expect("signed");
        let facts = CertificateFacts::parse(&der).expect("a certificate");
        assert_eq!(facts.own_subject(JOURNAL), Ok(subject));
        let other = facts.own_subject(Uuid::nil()).expect_err("is another's");
        assert!(matches!(other, NoSubject::OtherBroker { .. }), "{other}");
    }
    let (_other_outer, other) = self::authority();
    let der = other.sign(&grant(appliance("a")), &request).expect("signed");
    assert!(!authority.has_signed(&der), "the same names, but another key");
}

#[test]
fn names_of_other_forms_name_nobody() {
    let (_outer, authority) = authority();
    let key = KeyPair::generate().expect("a key");
    let begin = format!("grid-broker://{JOURNAL}");
    let subject_of = |uris: &[&str], name: Option<&str>| {
        let now = wall_now();
        let times = (now, now.after(DAY));
        let mut params = parameters(random_serial().expect("random"), times);
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into().expect("a URI")));
        }
        if let Some(name) = name {
            params.subject_alt_names.push(SanType::DnsName(name.try_into().expect("a name")));
        }
        params.distinguished_name.push(DnType::CommonName, "db1");
        let der = authority.sign_parameters(&params, &key).expect("signed");
        CertificateFacts::parse(der.der()).expect("a certificate").own_subject(JOURNAL)
    };
    let db1 = format!("{begin}/appliance/db1");
    let db1 = db1.as_str();
    assert_eq!(subject_of(&[db1], None), Ok(appliance("db1")));
    for (uris, name) in [
        (&[][..], None),
        (&[], Some("db1")),
        (&[db1, db1], None),
        (&[db1, "https://a.example"], None),
        (&[db1], Some("db1")),
    ] {
        let error = subject_of(uris, name).expect_err("is nobody");
        assert!(matches!(error, NoSubject::NotOneName(_)), "{uris:?} {name:?}: {error}");
    }
    for (rest, is_form) in [
        ("", true),
        ("/appliance", true),
        ("/broker/db1", true),
        ("/Appliance/db1", true),
        ("/appliance/", false),
        ("/appliance/a/b", false),
        ("/appliance/-db1", false),
        ("/administrator/a:b", false),
        ("/appliance/db%31", false),
    ] {
        let error = subject_of(&[&format!("{begin}{rest}")], None).expect_err("is nobody");
        let is_unknown = matches!(error, NoSubject::UnknownForm(_));
        assert_eq!(is_unknown, is_form, "{rest}: {error}");
    }
    assert!(subject_of(&[&db1.replace("grid-", "")], None).is_err());
    assert!(subject_of(&[&db1.to_uppercase()], None).is_err());
}

#[test]
fn what_is_no_certificate_is_refused() {
    let (_outer, authority) = authority();
    let der = authority.certificate_der().to_vec();
    let longer = [&der[..], b"\0"].concat();
    for (bytes, error) in [
        (&b""[..], CertificateError::Malformed),
        (b"garbage", CertificateError::Malformed),
        (&der[..der.len() - 1], CertificateError::Malformed),
        (&longer, CertificateError::TrailingBytes),
    ] {
        assert_eq!(CertificateFacts::parse(bytes), Err(error));
    }
}

#[test]
fn the_brokers_own_certificate_is_renewed_before_its_end_and_for_other_names() {
    let (outer, authority) = authority();
    let now = wall_now();
    let names = |all: &[&str]| all.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let usual = names(&["localhost", "127.0.0.1", "::1", "broker.example"]);
    let first = authority.server_certificate(&usual, now).expect("signed");
    assert_eq!(first.chain[1], *authority.certificate_der());
    let facts = CertificateFacts::parse(&first.chain[0]).expect("a certificate");
    assert!(facts.is_for_servers && !facts.is_ca);
    assert!(facts.is_valid_at(now.after(89 * DAY)) && !facts.is_valid_at(now.after(91 * DAY)));
    assert_eq!((facts.dns_names.len(), facts.addresses.len()), (2, 2));
    let again = authority.server_certificate(&usual, now.after(59 * DAY)).expect("is there");
    assert_eq!(again.chain, first.chain, "it is not old enough");
    let renewed = authority.server_certificate(&usual, now.after(61 * DAY)).expect("renewed");
    assert_ne!(renewed.chain[0], first.chain[0]);
    assert_eq!(renewed.key, first.key);
    let other = names(&["localhost", "10.0.0.1"]);
    let other = authority.server_certificate(&other, now).expect("signed");
    let facts = CertificateFacts::parse(&other.chain[0]).expect("a certificate");
    assert_eq!(facts.addresses, ["10.0.0.1".parse::<std::net::IpAddr>().expect("an address")]);

    let folder = outer.path().join("ca");
    fs::write(folder.join("server.pem"), "garbage").expect("written");
    authority.server_certificate(&usual, now).expect("is made again");
    fs::remove_file(folder.join("server.key")).expect("removed");
    let with_new_key = authority.server_certificate(&usual, now).expect("is made again");
    assert_ne!(with_new_key.key, first.key);
    let open_mode = PermissionsExt::from_mode(0o640);
    fs::set_permissions(folder.join("server.key"), open_mode).expect("a mode");
    let error = authority.server_certificate(&usual, now).expect_err("others read the key");
    assert!(error.to_string().contains("(mode 640); `chmod go= "), "{error}");
}
