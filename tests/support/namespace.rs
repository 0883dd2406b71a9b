//! Network namespaces: another machine, as far as the network is concerned.
//!
//! Guarantees that namespace and link end with the test. Needs root and iproute2.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A network namespace with one link to ours.
pub(crate) struct Namespace {
    name: String,
    link: String,
    /// Our end.
    pub(crate) address: String,
}

impl Namespace {
    /// A new one. Needs root.
    pub(crate) fn new() -> Self {
        let process = std::process::id();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let (name, link) = (format!("vme-{process}-{number}"), format!("v{process}x{number}"));
        let net = format!("10.{}.{}", 64 + process / 250 % 180, process % 250);
        let block = 4 * (number % 60);
        let (ours, theirs) = (format!("{net}.{}", block + 1), format!("{net}.{}", block + 2));
        let namespace = Self { name: name.clone(), link: link.clone(), address: ours.clone() };
        let peer = format!("{link}p");
        ip(&["netns", "add", &name]);
        ip(&["link", "add", &link, "type", "veth", "peer", "name", &peer, "netns", &name]);
        ip(&["addr", "add", &format!("{ours}/30"), "dev", &link]);
        ip(&["link", "set", &link, "up"]);
        ip(&["-n", &name, "addr", "add", &format!("{theirs}/30"), "dev", &peer]);
        ip(&["-n", &name, "link", "set", &peer, "up"]);
        namespace
    }

    /// That command, within it.
    pub(crate) fn within(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        inside.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        inside.args(["netns", "exec", &self.name]).arg(command.get_program());
        inside.args(command.get_args());
        inside
    }

    /// Lets no packet pass.
    pub(crate) fn cut(&self) {
        ip(&["link", "set", &self.link, "down"]);
    }

    /// Lets packets pass again.
    pub(crate) fn mend(&self) {
        ip(&["link", "set", &self.link, "up"]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The link goes with it.
        for words in [["link", "del", &self.link], ["netns", "del", &self.name]] {
            let _ = Command::new("ip").args(words).output();
        }
    }
}

fn ip(words: &[&str]) {
    let ended = Command::new("ip").args(words).output();
    let ended = ended.expect("ip is needed for a network that is cut: install iproute2");
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "ip {words:?}: {complaint}; run as root, with CAP_NET_ADMIN");
}
