//! A real Postfix in a folder of its own, on loopback.
//!
//! Guarantees that it uses neither configuration, queue nor mailboxes of the system, asks for TLS and
//! login, files mails of `alice@example.org`, refuses `nobody@example.org`, and ends with the test.
//! Postfix lets only root start it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

use super::mail_sender::{PASSWORD, certify};
use crate::support::wait_for;

/// Whose the filed mails are: nobody's.
const OWNER: u32 = 65_534;

/// A Postfix at work.
pub(crate) struct Postfix {
    /// The port of loopback.
    pub(crate) port: u16,
    folder: TempDir,
    master: Child,
}

impl Postfix {
    /// Starts one, and waits until it listens.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// Starts one with further lines of `main.cf`, which go before those that are there.
    pub(crate) fn with(lines: &str) -> Self {
        assert!(getuid().is_root(), "Postfix can be started by root only: run this test as root");
        let folder = TempDir::with_prefix("postfix-test-").expect("a temporary folder");
        let port = free_port();
        prepare(folder.path(), port, lines);
        let etc = folder.path().join("etc");
        done(Command::new("postfix").arg("-c").arg(&etc).arg("check"));
        let daemons = said(Command::new("postconf").args(["-d", "-h", "daemon_directory"]));
        let master = Command::new(Path::new(daemons.trim()).join("master"))
            .arg("-c")
            .arg(&etc)
            // It stays this test's own child.
            .arg("-d")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Postfix starts");
        let postfix = Self { port, folder, master };
        wait_for("Postfix listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        postfix
    }

    /// Where its certificate lies.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    /// What it said, for a test that fails.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The mails filed for alice so far, in no order.
    pub(crate) fn filed(&self) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("mail/alice/new")) else {
            return Vec::new();
        };
        entries.map(|it| fs::read(it.expect("an entry").path()).expect("a mail")).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // On SIGTERM the master ends its own.
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        let _ = self.master.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

fn prepare(folder: &Path, port: u16, lines: &str) {
    use std::os::unix::fs::{PermissionsExt, chown};
    // Its processes are of other users.
    fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("a mode");
    for name in ["etc", "etc/sasl", "spool", "data", "mail"] {
        fs::create_dir(folder.join(name)).expect("a folder");
    }
    let made = certify(&folder.join("etc"));
    drop(made);
    let user = said(Command::new("id").args(["-u", "postfix"]));
    let user: u32 = user.trim().parse().expect("the user of Postfix");
    chown(folder.join("data"), Some(user), None).expect("an owner");
    chown(folder.join("mail"), Some(OWNER), Some(OWNER)).expect("an owner");

    let at = folder.display();
    let main = include_str!("postfix/main.cf").replace("FOLDER", &at.to_string());
    let main = format!("{}\n{lines}\n", main.replace("OWNER", &OWNER.to_string()));
    let master = include_str!("postfix/master.cf").replace("PORT", &port.to_string());
    let sasl = format!(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n\
         sasldb_path: {at}/etc/sasl/accounts\n"
    );
    for (name, text) in [("main.cf", main), ("master.cf", master), ("sasl/smtpd.conf", sasl)] {
        fs::write(folder.join("etc").join(name), text).expect("is written");
    }
    let accounts = folder.join("etc/sasl/accounts");
    let mut add = Command::new("saslpasswd2");
    add.args(["-p", "-c", "-u", "mail.test", "-f"]).arg(&accounts).arg("grid");
    let mut add = add.stdin(Stdio::piped()).spawn().expect("saslpasswd2 (package sasl2-bin)");
    let mut stdin = add.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, PASSWORD.as_bytes()).expect("takes the password");
    drop(stdin);
    assert!(add.wait().expect("ends").success(), "saslpasswd2 failed");
    chown(&accounts, Some(user), None).expect("an owner");
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn done(command: &mut Command) {
    said(command);
}
