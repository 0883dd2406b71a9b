//! Finds this host's fully qualified name, which EHLO announces to mail servers.
//!
//! Guarantees a name with a domain, or none. Reads the system's node name and `/etc/hosts`; does not
//! use the network.

/// This host's fully qualified name, from the system or `/etc/hosts`.
pub(super) fn local_host_name() -> Option<String> {
    let own = rustix::system::uname();
    let own = own.nodename().to_str().ok()?;
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    full_name(own, &hosts)
}

fn full_name(own: &str, hosts: &str) -> Option<String> {
    let is_full = |name: &&str| {
        let name = name.trim_end_matches('.');
        name.contains('.') && !name.ends_with(".localdomain") && !name.starts_with("localhost.")
    };
    if is_full(&own) {
        return Some(own.to_owned());
    }
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    let mut names = lines.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
    let line = names.find(|names| names.contains(&own) && names.iter().any(is_full))?;
    let prefix = format!("{own}.");
    let of_own = line.iter().find(|name| is_full(name) && name.starts_with(&prefix));
    of_own.or_else(|| line.iter().find(|name| is_full(name))).map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_full_by_itself_or_by_the_table_of_hosts() {
        let hosts =
            "127.0.0.1 localhost\n# 192.0.2.1 vm.example.net vm\n127.0.1.1 vm.example.org vm\n";
        assert_eq!(full_name("vm", hosts).as_deref(), Some("vm.example.org"));
        assert_eq!(full_name("vm.example.com", hosts).as_deref(), Some("vm.example.com"));
        assert_eq!(full_name("vm", "127.0.0.1 vm localhost.localdomain"), None);
        assert_eq!(full_name("other", hosts), None);
    }
}
