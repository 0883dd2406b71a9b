//! The story of a crash dump: a broker of guests, what it is asked, and what it tells.
//!
//! Guarantees that every wait has a deadline. Does not know how the guest crashes.

use std::path::{Path, PathBuf};

use grid_broker::contract::proto::crash_dump_service_client::CrashDumpServiceClient;
use grid_broker::contract::proto::{
    CheckCrashDumpRequest, CheckCrashDumpResponse, CrashDump, CrashDumpEnd, CrashDumpTrigger,
    ListCrashDumpsRequest, RecordKind,
};
use tempfile::TempDir;
use tonic::transport::Channel;

use super::machine::Console;
use crate::support::{Gridd, Setup, eventually, oracle, soon};

/// Where drivers find their programs.
const PROGRAMS: &str = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A boot limit that one boot uses up: a reboot that the broker ordered does not count.
pub(crate) const ONE_BOOT: &str = "[class.default.budget]\nboots = { burst = 1, every = \"1d\" }\n";

/// A broker of guests with that configuration, in which `FOLDER` is its folder. Their monitors are
/// there.
pub(crate) async fn broker(config: &str) -> Gridd {
    let folder = TempDir::with_prefix("gridd-test-").expect("a temporary folder");
    let config = config.replace("FOLDER", folder.path().to_str().expect("UTF-8"));
    let setup = Setup::within(folder, &config).host("127.0.0.1");
    setup.environment(vec![("PATH", PROGRAMS.into())]).start().await
}

/// The monitor of that appliance.
pub(crate) fn monitor(gridd: &Gridd, name: &str) -> PathBuf {
    gridd.path(&format!("{name}.qmp"))
}

/// A dump as its crash kernel reported it on the console.
pub(crate) struct WrittenDump {
    pub(crate) path: String,
    pub(crate) bytes: u64,
}

/// Waits for the dump number `count` of the guest.
pub(crate) async fn written(console: &Console, count: usize) -> WrittenDump {
    let said = console.says("crash: dump complete: ", count).await;
    let (bytes, path) = said.split_once(' ').expect("size and path");
    WrittenDump { path: path.to_owned(), bytes: bytes.parse().expect("a size") }
}

/// Waits until the guest is up for the time number `count`; gives its boot id.
pub(crate) async fn booted(gridd: &Gridd, name: &str, console: &Console, count: usize) -> String {
    console.says("guest: ready", count).await;
    gridd.appliance(name).await.boot_id
}

async fn client(gridd: &Gridd) -> CrashDumpServiceClient<Channel> {
    CrashDumpServiceClient::new(gridd.channel().await)
}

/// What speaks against a crash dump, once the agent of the current boot has told what it knows.
pub(crate) async fn checked(gridd: &Gridd, name: &str) -> CheckCrashDumpResponse {
    eventually("the agent tells whether a crash dump would work", async || {
        let request = CheckCrashDumpRequest { name: name.to_owned() };
        let answer = soon("the check", client(gridd).await.check_crash_dump(request)).await;
        let answer = answer.expect("an answer").into_inner();
        answer.readiness.is_some().then_some(answer)
    })
    .await
}

/// Waits until nothing speaks against a crash dump.
pub(crate) async fn is_armed(gridd: &Gridd, name: &str) {
    let check = checked(gridd, name).await;
    assert!(check.possible && check.warnings.is_empty(), "{check:?}");
}

/// Triggers a crash dump, as an administrator does; gives what gridctl says.
pub(crate) async fn trigger(gridd: &Gridd, name: &str) -> String {
    let run = gridd.gridctl(&["appliance", "crash-dump", name, "--yes"]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    format!("{}{}", run.stdout, run.stderr)
}

/// The crash dumps of an appliance, the newest first.
pub(crate) async fn crash_dumps(gridd: &Gridd, name: &str) -> Vec<CrashDump> {
    let request = ListCrashDumpsRequest { name: name.to_owned() };
    let answer = soon("the list", client(gridd).await.list_crash_dumps(request)).await;
    answer.expect("a list").into_inner().crash_dumps
}

/// Waits until the newest crash dump is so.
pub(crate) async fn newest(
    gridd: &Gridd,
    name: &str,
    what: &str,
    is_so: impl Fn(&CrashDump) -> bool,
) -> CrashDump {
    eventually(&format!("a crash dump of {name}: {what}"), async || {
        crash_dumps(gridd, name).await.into_iter().next().filter(&is_so)
    })
    .await
}

/// Waits until the broker knows of the dump that was written, and checks all it tells of it.
pub(crate) async fn tells(
    gridd: &Gridd,
    name: &str,
    boots: [&str; 2],
    written: &WrittenDump,
) -> CrashDump {
    let dump = newest(gridd, name, "one is found", |it| !it.found.is_empty()).await;
    assert_eq!(dump.trigger(), CrashDumpTrigger::Done, "{dump:?}");
    assert_eq!(dump.end(), CrashDumpEnd::NewBoot, "{dump:?}");
    assert_eq!([dump.boot_id.as_str(), dump.next_boot_id.as_str()], boots, "{dump:?}");
    assert_ne!(boots[0], boots[1], "it is another boot");
    assert!(dump.request_id.starts_with("req-"), "{dump:?}");
    assert_eq!(dump.found.len(), 1, "one crash, one dump: {dump:?}");
    let found = &dump.found[0];
    assert_eq!((&found.path, found.bytes), (&written.path, written.bytes), "{found:?}");
    assert!(!found.incomplete, "{found:?}");
    assert!(dump.explanation.contains(&written.path), "{}", dump.explanation);
    dump
}

/// What the records tell of that appliance's boots: each `started_ok` was accepted.
pub(crate) async fn started(gridd: &Gridd, name: &str) -> Vec<String> {
    let records = oracle::records(&gridd.grpc).await;
    let started = records.iter().filter(|it| it.appliance == name);
    let started = started.filter(|it| it.kind() == RecordKind::StartedOk);
    started.map(|it| it.boot_id.clone()).collect()
}

/// The kernel's messages within a dump on that disk.
pub(crate) fn messages(disk: &Path, dump: &WrittenDump) -> String {
    let folder = TempDir::new().expect("a temporary folder");
    let (copy, text) = (folder.path().join("dump"), folder.path().join("text"));
    let within = dump.path.strip_prefix("/var").expect("the disk is /var");
    let request = format!("dump {within} {}", copy.display());
    super::guest::done(
        std::process::Command::new("/usr/sbin/debugfs").args(["-R", &request]).arg(disk),
    );
    let length = std::fs::metadata(&copy).expect("the dump is on the disk").len();
    assert_eq!(length, dump.bytes, "{}", dump.path);
    super::guest::done(super::guest::makedumpfile().arg("--dump-dmesg").args([&copy, &text]));
    let text = std::fs::read(text).expect("the messages");
    String::from_utf8_lossy(&text).into_owned()
}
