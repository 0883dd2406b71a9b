//! Clients of OpenStack from PyPI, unmodified, as tests/run installs them.
//!
//! Guarantees that nothing of the environment reaches them but what is named here, and that what they
//! print of a refusal is compared whole. Does not know what is asked.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{Gridd, Run, clean, run};

/// The variable that names the folder with a virtual environment of each release.
const CLIENTS: &str = "GRID_TEST_OPENSTACK";

/// The highest version of the API that all of them speak.
const VERSION: &str = "2.84";

/// Clients of one time: tests/python has their versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// `openstack` acts through python-novaclient, and has to be told the version.
    Old,
    /// `openstack` acts through openstacksdk, and asks for the version.
    New,
}

/// Clients with the words of a login.
#[derive(Clone)]
pub(crate) struct Client {
    release: Release,
    login: Vec<String>,
    home: PathBuf,
}

impl Release {
    /// A program of its virtual environment, not yet started.
    pub(crate) fn command(self, program: &str) -> Command {
        let folder = std::env::var_os(CLIENTS).unwrap_or_else(|| {
            panic!("{CLIENTS} names no folder with clients: tests/run makes one and runs all tests")
        });
        let release = match self {
            Self::Old => "old",
            Self::New => "new",
        };
        let mut command = clean(PathBuf::from(folder).join(release).join("bin").join(program));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// What `openstack` prints of a refusal of the API, without what differs each time.
    fn refusal(self, status: u16, message: &str) -> String {
        match self {
            Self::Old => format!("{message} (HTTP {status}) (Request-ID: ...)"),
            Self::New => {
                let name = match status {
                    400 => "BadRequestException",
                    403 => "ForbiddenException",
                    404 => "NotFoundException",
                    409 => "ConflictException",
                    _ => "HttpException",
                };
                format!("{name}: {status}: Client Error for url: ..., {message}")
            }
        }
    }

    /// What `openstack` says of a server that it does not find.
    fn not_found(self, name: &str) -> String {
        match self {
            Self::Old => format!("No server with a name or ID of '{name}' exists."),
            Self::New => format!("No Server found for {name}"),
        }
    }
}

impl Client {
    /// Clients that log in by these words.
    pub(crate) fn new(gridd: &Gridd, release: Release, login: &[&str]) -> Self {
        let login = login.iter().map(|&word| word.to_owned()).collect();
        // No file of a user who runs the tests.
        Self { release, login, home: gridd.folder().to_owned() }
    }

    /// The same for a user with that home, whose files they read.
    pub(crate) fn at_home(self, home: PathBuf) -> Self {
        Self { home, ..self }
    }

    /// Runs `openstack` with words that blanks part.
    pub(crate) async fn openstack(&self, line: &str) -> Run {
        self.openstack_words(&line.split(' ').collect::<Vec<_>>()).await
    }

    /// Runs `openstack`.
    pub(crate) async fn openstack_words(&self, words: &[&str]) -> Run {
        let mut command = self.command("openstack");
        if self.release == Release::Old {
            command.args(["--os-compute-api-version", VERSION]);
        }
        command.args(words);
        run(command).await
    }

    /// Runs `openstack`, which has to print JSON.
    pub(crate) async fn json(&self, line: &str) -> Value {
        let said = self.openstack(&format!("{line} -f json")).await;
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{line}: {said:?}");
        serde_json::from_str(&said.stdout).expect("JSON")
    }

    /// Runs `openstack`, which has to succeed silently.
    pub(crate) async fn silent(&self, line: &str) {
        let said = self.openstack(line).await;
        let (stdout, stderr) = (said.stdout.as_str(), said.stderr.as_str());
        assert_eq!((said.code, stdout, stderr), (Some(0), "", ""), "{line}");
    }

    /// Runs `openstack`, which the API has to refuse, and nothing else is said.
    pub(crate) async fn refused(&self, line: &str, status: u16, message: &str) {
        let said = self.openstack(line).await;
        let words = without_what_differs(&said.stderr);
        let expected = format!("{}\n", self.release.refusal(status, message));
        assert_eq!((said.code, words), (Some(1), expected), "{line}: {said:?}");
        assert_eq!(said.stdout, "", "{line}");
    }

    /// Runs `openstack server dump create`, which finds no server of that name.
    pub(crate) async fn does_not_find(&self, name: &str) {
        let said = self.openstack_words(&["server", "dump", "create", name]).await;
        let expected = format!("{}\n", self.release.not_found(name));
        assert_eq!((said.code, said.stderr), (Some(1), expected));
    }

    /// Runs `nova`.
    pub(crate) async fn nova(&self, line: &str) -> Run {
        let mut command = self.command("nova");
        command.args(line.split(' '));
        run(command).await
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.release.command(program);
        command.env("HOME", &self.home).args(&self.login);
        command
    }
}

/// The text without addresses and request ids.
fn without_what_differs(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.find(')') {
        Some(end) if word.starts_with("req-") => {
            assert_eq!(end, "req-".len() + 36, "a request id: {text}");
            format!("...{}", &word[end..])
        }
        None if word.starts_with("http") && word.ends_with(',') => "...,".to_owned(),
        Some(_) | None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
