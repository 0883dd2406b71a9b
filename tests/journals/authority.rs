//! A restored broker has the CA of the one that was backed up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use grid_broker::clock::wall_now;
use grid_broker::grid::model::identity::CertificateGrant;
use grid_broker::grid::values::id::ApplianceName;
use grid_broker::grid::values::identity::Subject;
use grid_broker::identity::ca::{self, CertificateAuthority};
use grid_broker::identity::ca_backup;
use grid_broker::identity::request::CertificateRequest;
use grid_broker::journal::stream::Attachment;
use grid_broker::journal::{Journal, JournalSettings, rescue};
use rcgen::{CertificateParams, KeyPair};
use uuid::Uuid;

fn authority(data: &Path, journal: Uuid) -> CertificateAuthority {
    let folder = data.join(ca_backup::FOLDER);
    CertificateAuthority::open_or_create(&folder, journal, wall_now()).unwrap()
}

fn attachments(data: &Path) -> Vec<Attachment> {
    let found = ca_backup::read(data);
    assert!(found.defect.is_none(), "{found:?}");
    let attach = |(name, content): (String, _)| Attachment::new(&name, content).unwrap();
    found.files.into_iter().map(attach).collect()
}

fn certificate_of(authority: &CertificateAuthority) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap();
    let request = CertificateRequest::parse(request.der()).unwrap();
    let issued_at = wall_now();
    let grant = CertificateGrant {
        subject: Subject::Appliance(ApplianceName::new("shop:main.db1").unwrap()),
        serial: ca::random_serial().unwrap(),
        issued_at,
        expires_at: issued_at.after(Duration::from_secs(3_600)),
    };
    authority.sign(&grant, &request).unwrap().to_vec()
}

#[test]
fn a_broker_restored_from_a_backup_or_from_what_was_salvaged_has_the_same_ca() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let opened = Journal::open(&JournalSettings::new(&data)).unwrap();
    let identity = opened.journal.identity();
    let old = authority(&data, identity.journal);
    old.server_certificate(&["localhost".to_owned()].into(), wall_now()).unwrap();
    let certificate = certificate_of(&old);

    let attached = attachments(&data);
    let backed_up = opened.reader.back_up(identity, 1, &attached, Vec::new(), |_, _| Ok(()));
    let backup = backed_up.unwrap().0;
    opened.journal.close().unwrap();
    // Salvage needs something to save.
    crate::golden::start(&JournalSettings::new(&data)).unwrap();
    let (salvaged, _) = rescue::salvage(&data, &[], &attached, |_| {}, Vec::new()).unwrap();

    for (stream, name) in [(backup, "backup"), (salvaged, "salvaged")] {
        let (file, data) = (dir.path().join(name), dir.path().join(name).join("data"));
        let file = file.with_extension("stream");
        fs::write(&file, stream).unwrap();
        let restored = rescue::restore(&file, &data, |_| {}).unwrap();
        assert!(restored.is_intact(), "{restored:?}");
        let files = fs::read_dir(data.join("ca")).unwrap();
        let modes = files.map(|it| it.unwrap().metadata().unwrap().permissions().mode() & 0o777);
        assert_eq!(modes.collect::<Vec<_>>(), [0o600, 0o600], "the server's own are made again");
        ca::refuse_second(&data.join("ca"), 1, false).unwrap();
        let new = authority(&data, restored.identity.journal);
        assert_eq!((new.pin(), new.certificate_der()), (old.pin(), old.certificate_der()));
        assert!(new.has_signed(&certificate));
        new.server_certificate(&["localhost".to_owned()].into(), wall_now()).unwrap();
        assert!(data.join("ca/server.key").exists());
    }
    let stranger = authority(&dir.path().join("data"), identity.journal);
    fs::remove_dir_all(stranger.folder()).unwrap();
    let other = authority(&dir.path().join("data"), identity.journal);
    assert!(!other.has_signed(&certificate), "another CA would lock everybody out");
}
