//! `gridd init`: writes the configuration and the units of a broker for a network.
//!
//! Guarantees that nothing is written if a file exists, unless it may be replaced; that the
//! configuration is valid; and that the user of the service can read the files, which hold no secret.
//! Starts and installs nothing.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode as ProcessExit;

use grid_broker::config;
use grid_broker::exit_code::ExitCode;
use grid_broker::journal::stream::{AtomicFile, FileError};
use grid_broker::listener::{AllowedHosts, InvalidHost};
use grid_broker::stdout;
use grid_broker::system_error::Explained;

use crate::arguments::{GriddArguments, InitArgs};

/// Mode of the files: the user `gridd` reads what root owns.
const FILE_MODE: u32 = 0o644;

/// Mode of the folder.
const FOLDER_MODE: u32 = 0o755;

/// The folder of the configuration in the units that are shipped.
const SHIPPED_FOLDER: &str = "/etc/gridd";

/// Where the units start the program.
const INSTALLED: &str = "/usr/bin/gridd";

/// What the units and the configuration use as data folder.
const DATA: &str = "/var/lib/gridd";

/// The begins of the lines of a unit that allow traffic on loopback only.
const LOOPBACK_RULES: [&str; 3] =
    ["# Traffic from this machine only", "IPAddressDeny=", "IPAddressAllow="];

/// The line of the backup's unit that allows it to reach gridd.
const ONLY_LOCALHOST: &str = "IPAddressAllow=localhost";

const SERVICE: &str = include_str!("../../../deploy/gridd.service");
const BACKUP_SERVICE: &str = include_str!("../../../deploy/gridd-backup.service");
const BACKUP_TIMER: &str = include_str!("../../../deploy/gridd-backup.timer");
const SYSUSERS: &str = include_str!("../../../deploy/gridd.sysusers");

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{0} has no effect on `gridd init`; edit gridd.toml after it")]
    Flag(&'static str),
    #[error("--dir {} has characters that a unit of systemd would need to quote", .0.display())]
    Folder(PathBuf),
    #[error("--host {0}")]
    Host(InvalidHost),
    #[error("exists: {}; nothing was written; --force replaces", .0.join(", "))]
    Exists(Vec<String>),
    #[error("cannot {what} {}: {}", path.display(), Explained(source))]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Write(#[from] FileError),
}

impl InitError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Flag(_) | Self::Folder(_) | Self::Host(_) | Self::Exists(_) => ExitCode::Usage,
            Self::Io { .. } | Self::Write(_) => ExitCode::Failed,
        }
    }
}

/// Runs the command.
pub(crate) fn run(command: &InitArgs, all: &GriddArguments) -> ProcessExit {
    match init(command, all) {
        Ok(text) => stdout::finish("gridd", stdout::write(&text), ExitCode::Done).into(),
        Err(error) => super::fail(&format!("init: {error}"), error.exit_code()),
    }
}

/// Writes the files; returns what to do next.
fn init(command: &InitArgs, all: &GriddArguments) -> Result<String, InitError> {
    if let Some(flag) = flag_without_effect(all) {
        return Err(InitError::Flag(flag));
    }
    let hosts = match command.host.as_slice() {
        [] => own_name().into_iter().collect(),
        given => given.to_vec(),
    };
    let hosts = hosts.join(", ");
    AllowedHosts::new(&hosts).map_err(InitError::Host)?;
    let dir = std::path::absolute(&command.dir).map_err(|source| InitError::Io {
        what: "find",
        path: command.dir.clone(),
        source,
    })?;
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if !dir.to_str().is_some_and(|text| text.chars().all(is_plain)) {
        return Err(InitError::Folder(dir));
    }
    let files = files(command, &dir, &hosts);
    let exists = |name: &&str| fs::symlink_metadata(dir.join(name)).is_ok();
    let existing: Vec<_> = files.iter().map(|(name, _)| *name).filter(exists).collect();
    if !existing.is_empty() && !command.force {
        let shown = existing.iter().map(|name| dir.join(name).display().to_string());
        return Err(InitError::Exists(shown.collect()));
    }
    create_folder(&dir)?;
    for (name, text) in &files {
        write_file(&dir.join(name), text, command.force)?;
    }
    Ok(describe_next(&dir, &hosts, &address_for_login(command)))
}

/// A flag that was given although nothing here uses it.
fn flag_without_effect(all: &GriddArguments) -> Option<&'static str> {
    let GriddArguments { data, grpc, http, tracing, tracing_format, .. } = all;
    let flags = [
        ("--data", data),
        ("--grpc", grpc),
        ("--http", http),
        ("--tracing", tracing),
        ("--tracing-format", tracing_format),
    ];
    flags.into_iter().find(|(_, value)| value.is_some()).map(|(flag, _)| flag)
}

/// The name of this host, if clients could use it.
fn own_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    let is_usable = name != "localhost" && AllowedHosts::new(&name).is_ok();
    is_usable.then_some(name).filter(|name| !name.is_empty())
}

/// The names of all files, and their texts.
fn files(command: &InitArgs, dir: &Path, hosts: &str) -> [(&'static str, String); 5] {
    let folder = dir.display().to_string();
    [
        ("gridd.toml", configuration(command, hosts)),
        ("gridd.service", without_loopback_rules(SERVICE).replace(SHIPPED_FOLDER, &folder)),
        ("gridd-backup.service", backup_unit(command.listen)),
        ("gridd-backup.timer", BACKUP_TIMER.to_owned()),
        ("gridd.sysusers", SYSUSERS.to_owned()),
    ]
}

/// A unit without the lines that keep it on loopback.
fn without_loopback_rules(unit: &str) -> String {
    let is_rule = |line: &&str| LOOPBACK_RULES.iter().any(|begin| line.starts_with(begin));
    let lines = unit.lines().filter(|line| !is_rule(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The unit of the backup, which reaches gridd where it listens.
fn backup_unit(listen: IpAddr) -> String {
    if listen.is_unspecified() {
        return BACKUP_SERVICE.to_owned();
    }
    let broker = local_broker(listen);
    BACKUP_SERVICE
        .replace(ONLY_LOCALHOST, &format!("{ONLY_LOCALHOST} {listen}"))
        .replace("[Service]\n", &format!("[Service]\nEnvironment=GRID_BROKER={broker}\n"))
}

/// The address of the broker for programs on the same machine.
fn local_broker(listen: IpAddr) -> SocketAddr {
    let address = match listen {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    };
    SocketAddr::new(address, config::DEFAULT_GRPC_ADDRESS.port())
}

/// The address for the first login: as other machines see it, since gridctl tells them what to type.
fn address_for_login(command: &InitArgs) -> String {
    let port = config::DEFAULT_GRPC_ADDRESS.port();
    match command.host.first().map(|host| (host, host.parse::<IpAddr>())) {
        Some((_, Ok(address))) => SocketAddr::new(address, port).to_string(),
        Some((host, Err(_))) => format!("{host}:{port}"),
        None => local_broker(command.listen).to_string(),
    }
}

fn configuration(command: &InitArgs, hosts: &str) -> String {
    let listen = |port: SocketAddr| SocketAddr::new(command.listen, port.port());
    let (grpc, http) = (listen(config::DEFAULT_GRPC_ADDRESS), listen(config::DEFAULT_HTTP_ADDRESS));
    format!(
        r#"# Settings of gridd for a network, written by `gridd init`. What is not here has its default: the
# repository's config/gridd.toml has every key with its default, unit, limits and reason, and
# docs/deploying.md the steps. `gridd check-config FILE` checks this file. All below needs a restart.

# The grid log, the state of all appliances, and gridd's own CA (in `ca`). The unit says the same.
data = "{DATA}"

# Where gridd listens for appliances, gridctl and vme (gRPC), and for pages (HTTPS).
grpc = "{grpc}"
http = "{http}"

# Names and addresses by which clients reach gridd, with commas between: requests with other names are
# refused, and gridd's own certificate has these.
hosts = "{hosts}"

# Everybody needs a token or a certificate.
authentication = "required"

# TLS 1.2 and 1.3 on both listeners.
[tls]
mode = "on"

# Empty: gridd's own CA signs a certificate for gridd, and renews it. Otherwise PEM files; the user gridd
# must be able to read the key, others must not.
certificate = ""
key = ""

# A CA of yours for appliances besides gridd's own, and where their names are in its certificates:
# "spiffe://corp.example/grid/{{name}}" or "{{name}}.vm.example". Empty: gridd's own CA alone.
client_ca = ""
client_names = ""

# Certificates that gridd's own CA issues: they are renewed at two thirds of their life, and after their
# end the enrolled key may still renew for a while.
[certificates]
lifetime = "30d"
recover_within = "90d"
"#
    )
}

fn create_folder(dir: &Path) -> Result<(), InitError> {
    let io_error = |source| InitError::Io { what: "create", path: dir.to_owned(), source };
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(io_error)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(FOLDER_MODE)).map_err(io_error)
}

fn write_file(path: &Path, text: &str, replace: bool) -> Result<(), InitError> {
    let mut file = AtomicFile::create(path, replace)?;
    file.write_all(text.as_bytes()).map_err(|error| file.write_error(error))?;
    file.finish()?;
    // gridd's files are private by default, which these need not be.
    fs::set_permissions(path, fs::Permissions::from_mode(FILE_MODE))
        .map_err(|source| InitError::Io { what: "set the mode of", path: path.to_owned(), source })
}

/// What to do next, in order.
fn describe_next(dir: &Path, hosts: &str, broker: &str) -> String {
    let dir = dir.display();
    let names = if hosts.is_empty() {
        "clients reach gridd by its addresses; --host adds names".to_owned()
    } else {
        format!("clients reach gridd by its addresses and as {hosts}")
    };
    let own = std::env::current_exe().ok().filter(|own| own != Path::new(INSTALLED));
    let install = own.as_deref().and_then(Path::parent).map_or_else(String::new, |folder| {
        let folder = folder.display();
        format!("  install -m 755 {folder}/gridd {folder}/gridctl {folder}/vme /usr/bin/\n")
    });
    format!(
        "wrote gridd.toml, gridd.service, gridd-backup.service, gridd-backup.timer and gridd.sysusers in {dir}\n\
         {names}\n\
         next, as root:\n\
         {install}  \
           install -m 644 {dir}/gridd.sysusers /usr/lib/sysusers.d/gridd.conf && systemd-sysusers\n  \
           install -m 644 {dir}/gridd*.service {dir}/gridd-backup.timer /etc/systemd/system/\n  \
           systemctl daemon-reload && systemctl enable --now gridd\n\
         then log in as the first administrator, whose token is in a file of the data folder:\n  \
           gridctl login {broker} --ca-file {DATA}/ca/ca.pem --token-file {DATA}/admin-token\n  \
           rm {DATA}/admin-token\n\
         (a gridd that is started on a terminal shows the token there once instead)\n\
         and enrol the first appliance, with `vme enrol` there:\n  \
           gridctl appliance enrol NAME\n"
    )
}
