//! The files of the broker's own CA in a backup, and what has to be said about them.
//!
//! Guarantees that key and certificate are told from others that do not belong together. The
//! server's own key and certificate are left out: the next start makes them again, with the names
//! that it needs then, and clients know the CA, not them. Does not know how a backup is stored.

use std::path::Path;

use super::ca::{AuthorityError, CERTIFICATE_FILE, KEY_FILE, belong_together};
use super::files;

/// The folder of the CA, within the data folder.
pub const FOLDER: &str = "ca";

/// The private key, by its name in a backup.
const PRIVATE_KEY: &str = "ca/ca.key";

/// What a backup gets of the authority.
#[derive(Debug, Default)]
pub struct AuthorityFiles {
    /// Names below the data folder, and contents. Empty if there is no authority.
    pub files: Vec<(String, Vec<u8>)>,
    /// Why they are not a whole authority.
    pub defect: Option<AuthorityError>,
}

/// Reads the authority's files in the data folder `data`, as far as they can be read. Blocks.
pub fn read(data: &Path) -> AuthorityFiles {
    let folder = data.join(FOLDER);
    let [key_path, path] = [KEY_FILE, CERTIFICATE_FILE].map(|name| folder.join(name));
    let mut found = AuthorityFiles::default();
    let (has_key, has_certificate) = (key_path.exists(), path.exists());
    if !has_key && !has_certificate {
        return found;
    }
    let parts = [
        (KEY_FILE, has_key.then(|| files::read_private(&key_path))),
        (CERTIFICATE_FILE, has_certificate.then(|| files::read(&path))),
    ];
    for (name, part) in parts {
        match part {
            Some(Ok(content)) => found.files.push((format!("{FOLDER}/{name}"), content)),
            Some(Err(error)) => found.defect = Some(error.into()),
            None => {
                let present = if has_key { KEY_FILE } else { CERTIFICATE_FILE };
                let folder = folder.clone();
                found.defect = Some(AuthorityError::Incomplete { folder, present, missing: name });
            }
        }
    }
    if let [(_, key), (_, certificate)] = &found.files[..]
        && !belong_together(key, certificate)
    {
        let why = format!("is not the certificate of the key in {KEY_FILE}").into();
        found.defect = Some(AuthorityError::Damaged { path, why });
    }
    found
}

/// What whoever has a backup must know: of the secret in it, from its names. `file` is the backup.
pub fn secret_note<'a>(
    file: &dyn std::fmt::Display,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    has_private_key(names).then(|| {
        format!(
            "{file} contains the private key of the broker's CA: keep it as secret as the data folder"
        )
    })
}

/// What whoever restores a backup must know, if keys are enrolled and their authority is not in it.
pub fn lost_note<'a>(
    enrolled_keys: usize,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let is_lost = enrolled_keys > 0 && !has_private_key(names);
    is_lost.then(|| {
        format!(
            "without the broker's CA, which signed for enrolled keys ({enrolled_keys}): before the \
             start, put the folder `{FOLDER}` of another backup into the data folder; if it is gone \
             for good, start once with --new-ca, and all that have certificates must enrol again"
        )
    })
}

/// Whether the private key of the authority is among the files of a backup.
pub fn has_private_key<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    names.into_iter().any(|name| name == PRIVATE_KEY)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use uuid::Uuid;

    use super::*;
    use crate::clock::wall_now;
    use crate::identity::ca::CertificateAuthority;

    fn names(found: &AuthorityFiles) -> Vec<&str> {
        found.files.iter().map(|(name, _)| &**name).collect()
    }

    fn make(data: &Path) -> CertificateAuthority {
        let folder = data.join(FOLDER);
        CertificateAuthority::open_or_create(&folder, Uuid::from_u128(7), wall_now()).unwrap()
    }

    #[test]
    fn a_backup_has_the_key_and_the_certificate_and_nothing_that_is_made_again() {
        let data = tempfile::tempdir().unwrap();
        let none = read(data.path());
        assert!(none.files.is_empty() && none.defect.is_none());
        let authority = make(data.path());
        authority.server_certificate(&["localhost".to_owned()].into(), wall_now()).unwrap();
        let found = read(data.path());
        assert!(found.defect.is_none(), "{found:?}");
        assert_eq!(names(&found), ["ca/ca.key", "ca/ca.pem"]);
        for (name, content) in &found.files {
            assert_eq!(*content, fs::read(data.path().join(name)).unwrap());
        }
        let note = secret_note(&"x", names(&found)).unwrap();
        assert!(note.starts_with("x contains the private key of the broker's CA: "), "{note}");
        assert_eq!(secret_note(&"x", ["ca/ca.pem"]), None);
        assert_eq!(lost_note(2, names(&found)), None);
        assert!(lost_note(2, ["ca/ca.pem"]).unwrap().contains("enrolled keys (2): "));
        assert_eq!(lost_note(0, []), None);
    }

    #[test]
    fn what_is_no_whole_authority_is_reported_and_the_rest_of_it_read() {
        let [data, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        make(data.path());
        make(other.path());
        let [key, certificate] =
            [KEY_FILE, CERTIFICATE_FILE].map(|it| data.path().join("ca").join(it));
        let whole = fs::read(&certificate).unwrap();
        fs::copy(other.path().join("ca").join(CERTIFICATE_FILE), &certificate).unwrap();
        let found = read(data.path());
        assert_eq!(found.files.len(), 2);
        let defect = found.defect.unwrap().to_string();
        assert!(defect.contains("ca.pem is not the certificate of the key in ca.key"), "{defect}");

        fs::write(&certificate, whole).unwrap();
        fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
        let found = read(data.path());
        assert_eq!(names(&found), ["ca/ca.pem"]);
        assert!(found.defect.unwrap().to_string().contains("(mode 644); `chmod go= "));

        fs::remove_file(&key).unwrap();
        let found = read(data.path());
        assert_eq!(names(&found), ["ca/ca.pem"]);
        let defect = found.defect.unwrap().to_string();
        assert!(defect.contains("has ca.pem, but ca.key is missing; restore it"), "{defect}");
    }
}
