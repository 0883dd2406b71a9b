//! `vme notify`: services that speak systemd's protocol tell the broker how their start goes. The real
//! ones are Debian's PostgreSQL and MariaDB; `tests/run` installs them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Follower, Gridd, Notified, Run, eventually, lines, run};

const BOOT: u128 = 7;
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A shell as the service; it says what it says by `systemd-notify`.
fn shell(text: &str) -> Vec<&str> {
    vec!["notify", "--", "/bin/sh", "-c", text]
}

fn vme(gridd: &Gridd, appliance: &str, words: &[&str]) -> Command {
    let mut command = gridd.vme_command(appliance, BOOT, words);
    command.env("PATH", PATH);
    command
}

/// The same, taking SIGINT as at a terminal: a shell has it ignored in what it runs in the
/// background, tests included.
fn interruptible(command: &Command) -> Command {
    let mut wrapped = Command::new("/usr/bin/env");
    wrapped.env_clear().stdin(Stdio::null());
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped.arg("--default-signal=INT").arg(command.get_program()).args(command.get_args());
    wrapped
}

/// Kind, text, percentage and promise in ms of every event of an appliance.
async fn told(gridd: &Gridd, appliance: &str) -> Vec<(String, String, u64, u64)> {
    let records = gridd.records(&["--appliance", appliance]).await;
    let events = records.iter().filter(|record| record["kind"] != "session");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let event = |it: &Value| {
        let (progress, promise) = (&it["event"]["progress"], &it["event"]["next_report_within_ms"]);
        (word(&it["kind"]), word(&it["text"]), number(progress), number(promise))
    };
    events.map(event).collect()
}

fn event(kind: &str, text: &str, progress: u64, promise: u64) -> (String, String, u64, u64) {
    (kind.to_owned(), text.to_owned(), progress, promise)
}

#[tokio::test]
async fn what_a_service_says_before_it_is_ready_is_told() {
    let gridd = Gridd::start().await;
    let text = "systemd-notify --status='Opening files'; systemd-notify --status='34 %'; sleep 2\n\
                systemd-notify --status='Replaying the log' EXTEND_TIMEOUT_USEC=20000000; sleep 2\n\
                systemd-notify --ready --status='Serving'\n\
                systemd-notify --status='95 %'; systemd-notify WATCHDOG=1; exit 5";
    let said = run(vme(&gridd, "db1", &shell(text))).await;
    assert_eq!(said.code, Some(5), "the service's own exit code");
    assert_eq!(lines(&said.stderr), ["vme: started_ok of db1 is record 6"]);
    let told = told(&gridd, "db1").await;
    let [first, second, third] = &told[..] else { panic!("three events: {told:?}") };
    assert_eq!(*first, event("maintenance", "Opening files", 34, 60_000));
    assert_eq!(second.1, "Replaying the log");
    assert!((1_000..=20_000).contains(&second.3), "the rest of the extension: {}", second.3);
    assert_eq!(*third, event("started_ok", "Serving", 0, 0));
}

#[tokio::test]
async fn a_long_extension_is_kept_alive_by_vme_itself() {
    let gridd = Gridd::start().await;
    let text = "systemd-notify --status='Recovering' EXTEND_TIMEOUT_USEC=25000000; sleep 60";
    let service = Follower::start(vme(&gridd, "db1", &shell(text)));
    let repeated = eventually("a repeat", async || {
        let records = gridd.records(&["--kind", "maintenance"]).await;
        records.into_iter().find(|record| record["event"]["repeated"] == true)
    })
    .await;
    let promise = repeated["event"]["next_report_within_ms"].as_u64().expect("a promise");
    assert!((1_000..=15_000).contains(&promise), "what is left of it: {promise}");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code, Some(143));
    let told = told(&gridd, "db1").await;
    let failed = event("start_failed", "Recovering (stopped by SIGTERM)", 0, 0);
    assert_eq!(told.last(), Some(&failed));
}

#[tokio::test]
async fn a_service_that_fails_says_why() {
    let gridd = Gridd::start().await;
    for (appliance, text, code, reason) in [
        (
            "errno",
            "systemd-notify --status='Opening files' ERRNO=28; echo disk full >&2; exit 1",
            1,
            "Opening files (ENOSPC, No space left on device",
        ),
        ("exit", "echo cannot listen >&2; exit 3", 3, "cannot listen (exit status 3)"),
        ("quiet", "exit 0", 0, "Failed to Start (exit status 0)"),
        ("stops", "systemd-notify STOPPING=1; exit 0", 0, "Failed to Start (stops before it was"),
        ("killed", "kill -KILL $$", 137, "Failed to Start (killed by SIGKILL)"),
    ] {
        let said = run(vme(&gridd, appliance, &shell(text))).await;
        assert_eq!(said.code, Some(code), "{appliance}: {said:?}");
        let told = told(&gridd, appliance).await;
        let [(kind, text, _, _)] = &told[..] else { panic!("one event: {told:?}") };
        assert_eq!(kind, "start_failed");
        assert!(text.starts_with(reason), "{text}");
    }
    let said = run(vme(&gridd, "none", &["notify", "--", "/nowhere/db"])).await;
    assert_eq!(said.code, Some(127), "{said:?}");
    let reason = "Failed to Start (/nowhere/db is not found)";
    assert_eq!(told(&gridd, "none").await, [event("start_failed", reason, 0, 0)]);
}

#[tokio::test]
async fn a_service_manager_above_hears_it_too() {
    let gridd = Gridd::start().await;
    let above = Notified::new();
    let text = "echo \"$WATCHDOG_USEC,$WATCHDOG_PID\"; systemd-notify --status=Opening\n\
                systemd-notify --ready MAINPID=$$; systemd-notify WATCHDOG=1; exec sleep 60";
    let mut command = vme(&gridd, "db1", &shell(text));
    command.envs(above.environment(std::time::Duration::from_secs(30)));
    let mut service = Follower::start(command);
    assert_eq!(service.lines(1).await, ["30000000,"]);
    for word in ["STATUS=Opening\n", "READY=1\n", "WATCHDOG=1\n"] {
        assert_eq!(above.next().await, word);
    }
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code, Some(143));
}

/// A folder that a service of another user can work in.
fn folder() -> TempDir {
    let folder = TempDir::with_prefix("service-").expect("a temporary folder");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).expect("its mode");
    folder
}

fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A program of Debian that must be there.
async fn tool(program: &Path, words: &[&str]) -> Run {
    assert!(
        program.exists(),
        "{} is needed (Debian's packages postgresql and mariadb-server): tests/run installs it",
        program.display()
    );
    let mut command = Command::new(program);
    command.args(words).env("PATH", PATH).stdin(Stdio::null());
    run(command).await
}

/// What makes a process that is root another user: it ends as the program does, as `su` does not.
fn as_user(user: &str) -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let set = [format!("--reuid={user}"), format!("--regid={user}")];
    let mut words = vec!["/usr/bin/setpriv".to_owned()];
    words.extend(set);
    words.push("--init-groups".to_owned());
    words
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Where the newest PostgreSQL of Debian has its programs.
fn postgres_programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).max();
    newest.expect("Debian's package postgresql is needed: tests/run installs it")
}

#[tokio::test]
async fn postgresql_tells_that_it_is_ready() {
    let (gridd, folder) = (Gridd::start().await, folder());
    let (programs, data) = (postgres_programs(), folder.path().join("data"));
    let initdb = text(&programs.join("initdb"));
    let made = [&as_user("postgres")[..], &[initdb, "--no-sync".to_owned(), text(&data)]].concat();
    let said = tool(Path::new(&made[0]), &strs(&made[1..])).await;
    assert_eq!(said.code, Some(0), "{said:?}");

    let server = [
        as_user("postgres"),
        vec![text(&programs.join("postgres")), "-D".to_owned(), text(&data)],
        vec!["-k".to_owned(), text(folder.path()), "-c".to_owned(), "listen_addresses=".to_owned()],
        // Its last checkpoint must not wait for a busy disk.
        vec!["-c".to_owned(), "fsync=off".to_owned()],
    ]
    .concat();
    let words = [&["notify", "--"], &strs(&server)[..]].concat();
    let _ends = PostgresData(data.clone());
    let service = Follower::start(interruptible(&vme(&gridd, "pg1", &words)));
    service.complains("vme: started_ok of pg1 is record 4").await;
    let socket = text(folder.path());
    let ask = ["-h", &socket, "-U", "postgres", "-Atc", "select 6 * 7", "postgres"];
    let psql = [&as_user("postgres")[..], &[text(&programs.join("psql"))]].concat();
    let psql = [&strs(&psql)[..], &ask].concat();
    assert_eq!(tool(Path::new(psql[0]), &psql[1..]).await.done(), "42\n");
    assert_eq!(told(&gridd, "pg1").await, [event("started_ok", "", 0, 0)]);

    service.signal(Signal::INT);
    assert_eq!(service.ended().await.code, Some(0), "a fast shutdown, as PostgreSQL has it");
    assert_eq!(told(&gridd, "pg1").await.len(), 1, "its end is no event of the start");

    // A second boot, on data that is damaged.
    std::fs::remove_file(data.join("global/pg_control")).expect("its most important file");
    let said = run(vme(&gridd, "pg2", &words)).await;
    assert_ne!(said.code, Some(0));
    let told = told(&gridd, "pg2").await;
    assert_eq!(told[0].0, "start_failed");
    assert!(told[0].1.contains("pg_control") && told[0].1.contains("exit status"), "{told:?}");
}

/// MariaDB in a folder, with little memory and a log in which much fits.
struct MariaDb {
    folder: TempDir,
    server: Vec<String>,
}

/// Ends a service whose test failed; else it has ended.
fn end_left(pid_file: &Path) {
    let pid = std::fs::read_to_string(pid_file).unwrap_or_default();
    let pid = pid.lines().next().and_then(|pid| pid.trim().parse().ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::KILL);
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if std::thread::panicking() {
            end_left(&self.folder.path().join("pid"));
        }
    }
}

/// PostgreSQL's folder.
struct PostgresData(PathBuf);

impl Drop for PostgresData {
    fn drop(&mut self) {
        if std::thread::panicking() {
            end_left(&self.0.join("postmaster.pid"));
        }
    }
}

impl MariaDb {
    async fn new() -> Self {
        let folder = folder();
        let at = |name: &str| text(&folder.path().join(name));
        let settings = format!(
            "[mariadbd]\ndatadir={}\nsocket={}\npid-file={}\nskip-networking\n\
             skip-grant-tables\nskip-log-bin\ninnodb_buffer_pool_size=16M\n\
             innodb_log_file_size=64M\ninnodb_flush_log_at_trx_commit=0\n\
             innodb_max_dirty_pages_pct=99\ninnodb_max_dirty_pages_pct_lwm=0\n",
            at("data"),
            at("sock"),
            at("pid")
        );
        std::fs::write(at("my.cnf"), settings).expect("its settings");
        let defaults = format!("--defaults-file={}", at("my.cnf"));
        let user = if as_user("mysql").is_empty() { None } else { Some("--user=mysql") };
        let method = "--auth-root-authentication-method=normal";
        let words = [&[&defaults, "--skip-test-db", method][..], user.as_slice()].concat();
        let said = tool(Path::new("/usr/bin/mariadb-install-db"), &words).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        let mut server = vec!["/usr/sbin/mariadbd".to_owned(), defaults];
        server.extend(user.map(ToOwned::to_owned));
        Self { folder, server }
    }

    fn start(&self, gridd: &Gridd, boot: u128) -> Follower {
        let words = [&["notify", "--"], &strs(&self.server)[..]].concat();
        let mut command = vme(gridd, "my1", &words);
        command.env("VME_BOOT_ID", uuid::Uuid::from_u128(boot).to_string());
        Follower::start(command)
    }

    /// A client that runs this SQL.
    fn client(&self, sql: &str) -> Command {
        let mut command = Command::new("/usr/bin/mariadb");
        let socket = text(&self.folder.path().join("sock"));
        command.args(["--no-defaults", "-N", "-S", &socket, "-e", sql]).stdin(Stdio::null());
        command
    }

    fn pid(&self) -> Pid {
        let pid = std::fs::read_to_string(self.folder.path().join("pid")).expect("its number");
        Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process")
    }
}

#[tokio::test]
async fn mariadb_tells_of_its_recovery_after_kill_9() {
    let (gridd, mariadb) = (Gridd::start().await, MariaDb::new().await);
    let service = mariadb.start(&gridd, 1);
    service.complains("vme: started_ok of my1 is record 4").await;
    let table = "create database t; use t; create table t.a (n int primary key, k int, v varchar(255), \
                 index (k), index (v)) engine=innodb; \
                 insert into t.a select seq, seq * 7919 % 100003, sha2(seq, 512) \
                 from seq_1_to_20000; commit";
    assert_eq!(run(mariadb.client(table)).await.done(), "");
    // Killed in the middle of writes: their pages are in its memory and in its log only.
    let writes = "update t.a set v = reverse(v), k = k + 1";
    let mut writer = mariadb.client(writes).stderr(Stdio::null()).spawn().expect("a client");
    eventually("the writes are under way", async || {
        let listed = run(mariadb.client("show processlist")).await.done();
        listed.contains(writes).then_some(())
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    kill_process(mariadb.pid(), Signal::KILL).expect("kill -9");
    assert_eq!(service.ended().await.code, Some(128 + 9));
    drop(writer.wait());

    let service = mariadb.start(&gridd, 2);
    eventually("the second start", async || {
        (told(&gridd, "my1").await.iter().filter(|it| it.0 == "started_ok").count() == 2)
            .then_some(())
    })
    .await;
    let counted = run(mariadb.client("select count(*) from t.a")).await;
    assert_eq!(counted.done(), "20000\n");
    service.signal(Signal::TERM);
    assert_eq!(service.ended().await.code, Some(0));

    let told = told(&gridd, "my1").await;
    let ready = event("started_ok", "Taking your SQL requests now...", 0, 0);
    assert_eq!((told.first(), told.last()), (Some(&ready), Some(&ready)), "{told:?}");
    let [_, reports @ .., _] = &told[..] else { panic!("a recovery: {told:?}") };
    assert!(!reports.is_empty(), "nothing was to be recovered");
    for (kind, text, _, promise) in reports {
        assert_eq!(kind, "maintenance");
        assert!(text.starts_with("To recover: ") && text.ends_with(" pages"), "{text}");
        assert!((1..=30_000).contains(promise), "{promise}");
    }
}

#[tokio::test]
async fn a_service_in_c_sends_the_zero_at_the_end_of_its_word() {
    let gridd = Gridd::start().await;
    let say = "use Socket; socket(S, PF_UNIX, SOCK_DGRAM, 0); \
               send(S, \"READY=1\\nSTATUS=up\\0\", 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})) or exit 3";
    let said = run(vme(&gridd, "db1", &["notify", "--", "/usr/bin/perl", "-e", say])).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(told(&gridd, "db1").await, [event("started_ok", "up", 0, 0)]);
}

#[tokio::test]
async fn a_service_manager_that_does_not_read_holds_no_service_up() {
    let gridd = Gridd::start().await;
    let above = Notified::new();
    // Far more than a socket takes that nobody reads.
    let text =
        "for word in $(seq 60); do systemd-notify --status=at$word; done; systemd-notify --ready";
    let mut command = vme(&gridd, "db1", &shell(text));
    command.envs(above.environment(std::time::Duration::from_secs(30)));
    let said = run(command).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(told(&gridd, "db1").await, [event("started_ok", "", 0, 0)]);
    assert_eq!(said.stderr.matches("does not listen").count(), 1, "told once: {}", said.stderr);
    assert!(!above.waiting().is_empty());
}
