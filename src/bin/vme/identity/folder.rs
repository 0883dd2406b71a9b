//! The folder with the identity of this host.
//!
//! ```text
//! STATE/identity/       0700
//!   key.pem             the private key, 0600
//!   certificate.pem     the certificate on it
//!   ca.pem              the certificate of the broker's authority
//!   broker.toml         address, pin, name, times
//! STATE/identity.new/   an enrolment that has not ended: its key
//! STATE/identity.old/   a replaced identity that is being removed
//! STATE/identity.lock   held by the one process that enrols or renews; changed at each try
//! ```
//!
//! Guarantees that `identity` appears complete, in one step. Does not know the broker.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use grid_broker::client::{BrokerAddress, ClientCredential};
use grid_broker::clock::wall_now;
use grid_broker::grid::values::id::is_valid_name;
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::grid::values::time::Timestamp;
use grid_broker::identity::IdentityFileError;
use grid_broker::identity::certificate::show_time;
use grid_broker::identity::files;
use grid_broker::identity::key::{IdentityKey, KeyError};
use grid_broker::system_error::Explained;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

const KEY_FILE: &str = "key.pem";
const CERTIFICATE_FILE: &str = "certificate.pem";
const AUTHORITY_FILE: &str = "ca.pem";
const BROKER_FILE: &str = "broker.toml";

/// A larger file is not ours, in bytes.
const BROKER_FILE_BYTES_MAX: u64 = 4 << 10;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    File(#[from] IdentityFileError),
    #[error("cannot {what} {}: {}", path.display(), Explained(source))]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has no valid `{name}`; enrol this host again (`vme enrol --force`)", path.display())]
    Invalid { path: PathBuf, name: &'static str },
    #[error(
        "{} is missing, so this host has no identity that can be used; enrol it again (`vme enrol \
         --force`)", path.display()
    )]
    Incomplete { path: PathBuf },
    #[error(
        "{} can be changed by another user, who could put another identity there; give it to the user of \
         vme, without access for others (chmod o-w)", path.display()
    )]
    Unsafe { path: PathBuf },
}

/// What `broker.toml` has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredIdentity {
    /// The address of the broker.
    pub(crate) address: String,
    /// The pin of its authority.
    pub(crate) pin: KeyHash,
    /// The name of this appliance.
    pub(crate) appliance: String,
    /// The id of the token that enrolled it.
    pub(crate) token: String,
    /// When the certificate was stored.
    pub(crate) issued_at: Timestamp,
    /// When it is to be renewed.
    pub(crate) renew_at: Timestamp,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

/// The folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentityFolder {
    path: PathBuf,
}

/// The right to change the folder; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct IdentityLock(File);

impl IdentityFolder {
    /// The folder below a state folder.
    pub(crate) fn of_state(state: &Path) -> Self {
        Self { path: state.join("identity") }
    }

    /// Refuses a state folder in which another user could plant an identity, or links.
    fn check_state_folder(&self) -> Result<(), IdentityError> {
        // One that is not there has no identity; who makes it reports what prevents that.
        let Some(Ok(found)) = self.path.parent().map(fs::metadata) else { return Ok(()) };
        let own = rustix::process::geteuid().as_raw();
        let is_ours = found.uid() == own || found.uid() == 0;
        if is_ours && found.mode() & 0o002 == 0 {
            return Ok(());
        }
        let path = self.path.parent().unwrap_or(&self.path).to_owned();
        Err(IdentityError::Unsafe { path })
    }

    /// The folder of an enrolment that has not ended.
    pub(crate) fn unfinished(&self) -> Self {
        Self { path: self.path.with_extension("new") }
    }

    /// Reads the identity; `None`: this host has none.
    ///
    /// # Errors
    ///
    /// When it is incomplete or cannot be read.
    pub(crate) fn load(&self) -> Result<Option<StoredIdentity>, IdentityError> {
        self.check_state_folder()?;
        let path = self.path.join(BROKER_FILE);
        let read = fs::metadata(&path).and_then(|found| match found.len() {
            ..=BROKER_FILE_BYTES_MAX => fs::read_to_string(&path),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large")),
        });
        let text = match read {
            Ok(text) => text,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.kind() == io::ErrorKind::NotADirectory =>
            {
                return match fs::symlink_metadata(&self.path) {
                    Ok(_) => Err(IdentityError::Incomplete { path }),
                    Err(_) => Ok(None),
                };
            }
            Err(source) => return Err(IdentityError::Io { what: "read", path, source }),
        };
        let stored = StoredIdentity::parse(&text);
        stored.map(Some).map_err(|name| IdentityError::Invalid { path, name })
    }

    /// The key; `None`: there is none.
    pub(crate) fn key(&self) -> Result<Option<IdentityKey>, IdentityError> {
        Ok(IdentityKey::read(&self.path.join(KEY_FILE))?)
    }

    /// The key, which is made and stored if there is none.
    pub(crate) fn make_key(&self) -> Result<IdentityKey, IdentityError> {
        files::create_private_folder(&self.path)?;
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let key = IdentityKey::generate()?;
        key.write(&self.path.join(KEY_FILE))?;
        Ok(key)
    }

    /// The client certificate for connections.
    pub(crate) fn credential(&self) -> ClientCredential {
        ClientCredential::Certificate {
            certificate: self.path.join(CERTIFICATE_FILE),
            key: self.path.join(KEY_FILE),
        }
    }

    /// Stores a certificate on the key. A crash in between leaves the new certificate with the old
    /// times: it is renewed once more.
    pub(crate) fn store(
        &self,
        certificate: &str,
        authority: &str,
        stored: &StoredIdentity,
    ) -> Result<(), IdentityError> {
        files::replace_file(&self.path.join(CERTIFICATE_FILE), certificate.as_bytes())?;
        files::replace_file(&self.path.join(AUTHORITY_FILE), authority.as_bytes())?;
        files::replace_file(&self.path.join(BROKER_FILE), stored.to_text().as_bytes())?;
        Ok(())
    }

    /// Takes the place of `other`, in one step.
    pub(crate) fn replace(self, other: &Self) -> Result<(), IdentityError> {
        let (from, to) = (&self.path, &other.path);
        match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
            // What was there is now in our place.
            Ok(()) => self.remove()?,
            Err(Errno::NOENT) => fs::rename(from, to).map_err(io_error("put in place", to))?,
            // A file system that cannot exchange two folders.
            Err(Errno::INVAL | Errno::NOSYS | Errno::XDEV) => {
                other.remove()?;
                fs::rename(from, to).map_err(io_error("put in place", to))?;
            }
            Err(errno) => return Err(io_error("put in place", to)(errno.into())),
        }
        Ok(files::sync_folder(to.parent().unwrap_or(to))?)
    }

    /// Removes the folder. It has another name before its files go, so that no part of it is taken for
    /// an enrolment that has not ended.
    pub(crate) fn remove(&self) -> Result<(), IdentityError> {
        let old = self.path.with_extension("old");
        match fs::remove_dir_all(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &old)(error));
            }
            Ok(()) | Err(_) => {}
        }
        fs::rename(&self.path, &old).map_err(io_error("move away", &self.path))?;
        fs::remove_dir_all(&old).map_err(io_error("remove", &old))
    }

    /// The right to change the folder; `None`: another process has it.
    pub(crate) fn try_lock(&self) -> Result<Option<IdentityLock>, IdentityError> {
        self.check_state_folder()?;
        let path = self.lock_path();
        let io = |source| IdentityError::Io { what: "lock", path: path.clone(), source };
        let mut options = File::options();
        let options = options.create(true).write(true).truncate(false).mode(0o600);
        // Never through a link that somebody else made.
        let options = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(IdentityLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }

    /// How long ago somebody last tried to enrol or renew; `None`: never, or the clock was changed.
    pub(crate) fn since_last_try(&self) -> Option<Duration> {
        let changed = fs::metadata(self.lock_path()).and_then(|found| found.modified()).ok()?;
        to_system_time(wall_now()).duration_since(changed).ok()
    }

    fn lock_path(&self) -> PathBuf {
        self.path.with_extension("lock")
    }
}

impl IdentityLock {
    /// Notes that a try begins now.
    pub(crate) fn note_try(&self) {
        // Without it the next try comes earlier.
        let _ = self.0.set_modified(to_system_time(wall_now()));
    }
}

impl StoredIdentity {
    /// The text of the file, which is TOML.
    fn to_text(&self) -> String {
        format!(
            "# Written by vme: the identity of this host. `vme enrol` makes a new one.\n\
             address = \"{}\"\npin = \"{}\"\nappliance = \"{}\"\ntoken = \"{}\"\nissued_at = \"{}\"\n\
             renew_at = \"{}\"\nexpires_at = \"{}\"\n",
            self.address,
            self.pin,
            self.appliance,
            self.token,
            show_time(self.issued_at),
            show_time(self.renew_at),
            show_time(self.expires_at)
        )
    }

    /// Reads the text. The error is the name of what is missing or invalid.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let value = |name: &'static str| {
            let value = text.lines().find_map(|line| {
                let (key, value) = line.split_once('=')?;
                let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
                (key.trim() == name).then(|| value.to_owned())
            });
            value.ok_or(name)
        };
        let time = |name: &'static str| -> Result<Timestamp, &'static str> {
            let time = value(name)?.parse::<jiff::Timestamp>().map_err(|_| name)?;
            Ok(Timestamp::from_micros(time.as_microsecond()))
        };
        let address = value("address")?;
        let appliance = value("appliance")?;
        Ok(Self {
            address: BrokerAddress::parse(&address).map(|_| address).map_err(|_| "address")?,
            pin: KeyHash::from_hex(&value("pin")?).ok_or("pin")?,
            appliance: Some(appliance).filter(|it| is_valid_name(it)).ok_or("appliance")?,
            token: value("token")?,
            issued_at: time("issued_at")?,
            renew_at: time("renew_at")?,
            expires_at: time("expires_at")?,
        })
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { what, path, source }
}

fn to_system_time(at: Timestamp) -> SystemTime {
    let micros = u64::try_from(at.as_micros()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}
