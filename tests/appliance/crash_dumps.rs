//! An agent tells whether its kernel is ready, crashes it by order and with leave only, and finds what
//! crashes left behind. The kernel is a folder.

use std::fs;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use grid_broker::client::connect;
use grid_broker::clock::wall_now;
use grid_broker::contract::proto::crash_dump_service_client::CrashDumpServiceClient;
use grid_broker::contract::proto::session_response::Message;
use grid_broker::contract::proto::{
    CheckCrashDumpRequest, CheckCrashDumpResponse, CommandResult, CrashDump, CrashDumpReadiness,
    CrashDumpTrigger, Event, Hello, ListCrashDumpsRequest, SessionRequest, Severity,
    TriggerCrashDumpRequest, session_request,
};
use grid_broker::grid::values::time::Timestamp;
use prost::Message as _;
use tonic::transport::Channel;

use super::host::{Ground, Host, UNLIMITED};
use crate::support::{Gridd, Hellos, Raw, eventually, holds, oracle};

const PANIC: &str = "Kernel panic - not syncing: sysrq triggered crash";

async fn gridd() -> Gridd {
    let driver = "\n[class.default.crash_dump]\ndriver = \"agent\"\ntimeout = \"30s\"\n";
    Gridd::with_config(&format!("{UNLIMITED}{driver}")).await
}

/// The broker's service for crash dumps.
struct Dumps(CrashDumpServiceClient<Channel>);

impl Dumps {
    async fn of(gridd: &Gridd) -> Self {
        Self(CrashDumpServiceClient::new(connect(&gridd.grpc).await.expect("it answers")))
    }

    async fn check(&mut self) -> CheckCrashDumpResponse {
        let request = CheckCrashDumpRequest { name: "db1".to_owned() };
        self.0.check_crash_dump(request).await.expect("a check").into_inner()
    }

    async fn trigger(&mut self) {
        let request = TriggerCrashDumpRequest { name: "db1".to_owned() };
        self.0.trigger_crash_dump(request).await.expect("triggered");
    }

    /// The newest one, when its driver is done.
    async fn done(&mut self, trigger: CrashDumpTrigger) -> CrashDump {
        eventually("the driver's end", async || {
            let request = ListCrashDumpsRequest { name: "db1".to_owned() };
            let listed = self.0.list_crash_dumps(request).await.expect("a list").into_inner();
            let newest = listed.crash_dumps.into_iter().next()?;
            let is_done = newest.trigger() != CrashDumpTrigger::Pending;
            is_done.then(|| assert_eq!(newest.trigger(), trigger, "{newest:?}"))?;
            Some(newest)
        })
        .await
    }
}

/// A folder in place of the kernel of `db1`, armed, with a crash kernel if `is_loaded`.
struct FakeKernel(PathBuf);

impl FakeKernel {
    fn new(ground: &Ground, is_loaded: bool) -> Self {
        let kernel = Self(ground.path("kernel"));
        for folder in ["proc/self/ns", "proc/sys/kernel", "sys/kernel"] {
            fs::create_dir_all(kernel.0.join(folder)).expect("a folder");
        }
        // The first namespace of a kernel: no container.
        symlink("pid:[4026531836]", kernel.0.join("proc/self/ns/pid")).expect("a link");
        kernel.write("proc/sys/kernel/unknown_nmi_panic", "1\n");
        kernel.write("sys/kernel/kexec_crash_loaded", if is_loaded { "1\n" } else { "0\n" });
        kernel.write("proc/sysrq-trigger", "");
        kernel
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.0.join(name), content).expect("written");
    }

    fn sysrq(&self) -> String {
        fs::read_to_string(self.0.join("proc/sysrq-trigger")).expect("the trigger")
    }
}

/// An appliance with that kernel, which has started.
async fn started(ground: &Ground, gridd: &Gridd, kernel: &FakeKernel) -> Host {
    let mut host = Host::new(ground, "db1", 1, &gridd.grpc);
    host.environment.push(("VME_KERNEL_ROOT", kernel.0.clone().into()));
    host.says(&["id=started_ok"], 0).await;
    host
}

#[tokio::test]
async fn readiness_is_known_as_long_as_the_boot() {
    let (gridd, ground) = (gridd().await, Ground::new());
    let kernel = FakeKernel::new(&ground, false);
    let host = started(&ground, &gridd, &kernel).await;
    let mut dumps = Dumps::of(&gridd).await;
    let checked = dumps.check().await;
    assert!(!checked.possible && checked.problem.contains("no agent"), "{checked:?}");
    assert_eq!(checked.readiness, None);

    let agent = host.agent().await;
    agent.complains("is open").await;
    let checked = dumps.check().await;
    assert!(!checked.possible && checked.problem.contains("--allow-crash-dump"), "{checked:?}");
    let armed = CrashDumpReadiness { unknown_nmi_panic: true, ..CrashDumpReadiness::default() };
    assert_eq!(checked.readiness, Some(armed));
    assert!(checked.warnings.iter().any(|it| it.contains("kdump")), "{checked:?}");
    // The agent looks again, and tells.
    kernel.write("sys/kernel/kexec_crash_loaded", "1\n");
    let ready = CrashDumpReadiness { crash_kernel_loaded: true, ..armed };
    holds("the change", async || dumps.check().await.readiness == Some(ready)).await;

    drop(agent.interrupt().await);
    let checked = dumps.check().await;
    assert_eq!(checked.readiness, Some(ready), "its session has ended");
    assert!(checked.problem.contains("no agent"), "{checked:?}");
    let next = Host { boot: Some(uuid::Uuid::from_u128(2)), ..host };
    next.says(&["id=started_ok"], 0).await;
    assert_eq!(dumps.check().await.readiness, None, "another boot");
}

#[tokio::test]
async fn the_order_crashes_a_kernel_whose_agent_has_leave() {
    let (gridd, ground) = (gridd().await, Ground::new());
    let kernel = FakeKernel::new(&ground, true);
    let mut host = started(&ground, &gridd, &kernel).await;
    host.environment.push(("VME_ALLOW_CRASH_DUMP", "yes".into()));
    let agent = host.agent().await;
    agent.complains("the broker may order a crash dump").await;
    agent.complains("is open").await;
    let mut dumps = Dumps::of(&gridd).await;
    let checked = dumps.check().await;
    assert!(checked.possible && checked.driver == "agent", "{checked:?}");
    assert_eq!(checked.warnings, Vec::<String>::new());
    dumps.trigger().await;
    let dump = dumps.done(CrashDumpTrigger::Done).await;
    assert!(dump.output.contains("sysrq-trigger"), "{dump:?}");
    holds("the crash", async || kernel.sysrq() == "c").await;
    // This kernel lives on, and so does the agent.
    host.says(&["id=log", "msg=still here"], 0).await;
}

#[tokio::test]
async fn an_agent_that_cannot_refuses_with_the_reason() {
    let (gridd, ground) = (gridd().await, Ground::new());
    let kernel = FakeKernel::new(&ground, true);
    let mut host = started(&ground, &gridd, &kernel).await;
    host.environment.push(("VME_ALLOW_CRASH_DUMP", "yes".into()));
    let mut dumps = Dumps::of(&gridd).await;
    let agent = host.agent().await;
    agent.complains("is open").await;
    kernel.write(".dockerenv", "");
    dumps.trigger().await;
    let dump = dumps.done(CrashDumpTrigger::Failed).await;
    assert!(dump.detail.contains("its agent refused: it runs in a container"), "{dump:?}");
    drop(agent.interrupt().await);
    // One that knows so from the start says so, and does not offer it.
    let agent = host.agent().await;
    agent.complains("allowed, but not possible: it runs in a container").await;
    agent.complains("is open").await;
    let checked = dumps.check().await;
    assert!(!checked.possible && checked.problem.contains("may not crash it"), "{checked:?}");
    assert_eq!(kernel.sysrq(), "");
}

/// An agent of another make, in that boot of `db1`.
async fn other_agent(gridd: &Gridd, boot: u128) -> Raw {
    let mut agent = Raw::open(gridd, "db1").await;
    let capabilities = vec!["crash-dump".to_owned()];
    agent.hello(Hello { capabilities, ..Hellos::of(boot, 0) }).await;
    let welcome = agent.next().await.expect("a message");
    assert!(matches!(welcome, Some(Message::Welcome(_))), "{welcome:?}");
    agent
}

async fn answer(agent: &Raw, command_id: &str, done: bool, text: &str) {
    let (command_id, text) = (command_id.to_owned(), text.to_owned());
    let result = CommandResult { command_id, done, text };
    let message = Some(session_request::Message::CommandResult(result));
    agent.say(&SessionRequest { message }.encode_to_vec()).await;
}

/// The id of the command that the agent gets next.
async fn ordered(agent: &mut Raw) -> String {
    match agent.next().await {
        Ok(Some(Message::Command(command))) => command.command_id,
        other => panic!("a command was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn the_first_result_of_the_command_counts_and_is_confirmed() {
    let (gridd, ground) = (gridd().await, Ground::new());
    let kernel = FakeKernel::new(&ground, true);
    drop(started(&ground, &gridd, &kernel).await);
    let mut dumps = Dumps::of(&gridd).await;
    let mut agent = other_agent(&gridd, 1).await;
    dumps.trigger().await;
    let id = ordered(&mut agent).await;
    answer(&agent, "6f2c4a52-5f0a-4f0e-9d0c-3f7a1b9a8e11", false, "foreign").await;
    answer(&agent, "no id", false, "foreign").await;
    answer(&agent, &id, true, "here it goes").await;
    answer(&agent, &id, false, "second").await;
    match agent.next().await {
        Ok(Some(Message::Notice(notice))) => {
            assert_eq!(notice.reason, "RESULT_RECEIVED");
            assert!(notice.explanation.contains(&id), "{notice:?}");
        }
        other => panic!("a notice was expected, not {other:?}"),
    }
    let dump = dumps.done(CrashDumpTrigger::Done).await;
    assert_eq!(dump.output, "here it goes");
}

#[tokio::test]
async fn an_agent_that_ends_after_the_command_leaves_the_crash_unknown() {
    let (gridd, ground) = (gridd().await, Ground::new());
    let kernel = FakeKernel::new(&ground, true);
    drop(started(&ground, &gridd, &kernel).await);
    let mut dumps = Dumps::of(&gridd).await;
    // One of another boot is not the appliance's.
    let stale = other_agent(&gridd, 1).await;
    let mut host = Host::new(&ground, "db1", 2, &gridd.grpc);
    host.state = ground.path("other");
    host.says(&["id=started_ok"], 0).await;
    let checked = dumps.check().await;
    assert!(!checked.possible && checked.problem.contains("no agent"), "{checked:?}");
    let mut agent = other_agent(&gridd, 2).await;
    dumps.trigger().await;
    drop(ordered(&mut agent).await);
    drop(agent);
    let dump = dumps.done(CrashDumpTrigger::Unknown).await;
    assert!(dump.detail.contains("its session ended before it answered"), "{dump:?}");
    drop(stale);
}

/// A crash as Debian's kdump-tools leave it, a minute ago.
fn leave_crash(folder: &Path, stamp: &str, dump: &str) {
    let crash = folder.join(stamp);
    fs::create_dir_all(&crash).expect("a folder");
    let minute_ago = wall_now().before(Duration::from_secs(60)).since(Timestamp::EPOCH);
    let write = |name: String, content: &str, took: u64| {
        let path = crash.join(name);
        fs::write(&path, content).expect("written");
        let file = File::options().write(true).open(&path).expect("opened");
        let at = SystemTime::UNIX_EPOCH + minute_ago + Duration::from_secs(took);
        file.set_modified(at).expect("its time");
    };
    let log = format!("[    0.0] Linux version 6.1\n[   31.4] {PANIC}\n[   31.4] CPU: 0\n");
    write(format!("dmesg.{stamp}"), &log, 0);
    write(dump.to_owned(), "KDUMP   not really", 3);
}

/// The events with crash dumps that the broker has.
async fn found(gridd: &Gridd) -> Vec<Event> {
    let records = oracle::records(&gridd.grpc).await;
    oracle::events(&records, "db1").filter(|event| event.crash_dump.is_some()).cloned().collect()
}

#[tokio::test]
async fn a_dump_that_is_found_becomes_one_record() {
    let (mut gridd, ground) = (gridd().await, Ground::new());
    let kernel = FakeKernel::new(&ground, true);
    let mut host = started(&ground, &gridd, &kernel).await;
    let folder = ground.path("crash");
    host.environment.push(("VME_CRASH_DIR", folder.clone().into()));
    // The broker is away when it is found, and the agent is killed.
    gridd.kill().await;
    leave_crash(&folder, "202611301612", "dump.202611301612");
    let agent = host.agent().await;
    agent.complains("reported: crash dump ").await;
    assert_eq!(host.waiting(), 1);
    super::host::kill(agent);
    gridd.start_again().await;
    let agent = host.agent().await;
    host.rests().await;
    let events = found(&gridd).await;
    let [event] = &events[..] else { panic!("one event: {events:?}") };
    let path = folder.join("202611301612/dump.202611301612").display().to_string();
    assert_eq!(event.text, format!("crash dump {path}, 18 bytes, written in 3 s: {PANIC}"));
    assert_eq!((event.severity(), &*event.alert_key), (Severity::Error, "crash-dump"));
    let dump = event.crash_dump.as_ref().expect("a crash dump");
    assert_eq!((&dump.path, dump.bytes, dump.incomplete), (&path, 18, false));
    assert_eq!((&*dump.last_words, dump.took_ms), (PANIC, 3_000));
    assert!(dump.written_at.is_some());

    // An agent that is there finds it too, and neither tells it again.
    drop(agent.interrupt().await);
    leave_crash(&folder, "202611301700", "dump-incomplete");
    let agent = host.agent().await;
    agent.complains("is open").await;
    let file = folder.join("202611301700/dump-incomplete");
    fs::rename(file, folder.join("202611301700/dump.202611301700")).expect("renamed");
    drop(agent.interrupt().await);
    let agent = host.agent().await;
    agent.complains("reported: crash dump ").await;
    host.rests().await;
    let paths: Vec<_> =
        found(&gridd).await.into_iter().filter_map(|it| it.crash_dump).map(|it| it.path).collect();
    assert_eq!(paths, [path, folder.join("202611301700/dump.202611301700").display().to_string()]);
}

#[tokio::test]
async fn an_agent_that_is_told_not_to_look_finds_nothing() {
    let (gridd, ground) = (gridd().await, Ground::new());
    let kernel = FakeKernel::new(&ground, true);
    let mut host = started(&ground, &gridd, &kernel).await;
    let folder = ground.path("crash");
    leave_crash(&folder, "202611301612", "dump.202611301612");
    host.environment.push(("VME_CRASH_DIR", folder.into()));
    let agent = crate::support::Follower::start(host.vme(&["agent", "--crash-dir=none"]));
    agent.complains("is open").await;
    host.says(&["id=log", "msg=it serves"], 0).await;
    assert!(!host.state.join("crash-dumps").exists(), "nothing was looked for");
    drop(agent.interrupt().await);
    assert_eq!(found(&gridd).await, []);
}
