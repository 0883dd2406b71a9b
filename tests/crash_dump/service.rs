//! Crash dumps as the broker requests and records them, whatever the driver does: one at a time,
//! interrupted, failed, decided by the broker itself.
//!
//! The driver is a program that writes down that it was called.

use std::fmt::Write as _;

use grid_broker::contract::proto::crash_dump_service_client::CrashDumpServiceClient;
use grid_broker::contract::proto::{
    ApplianceState, CrashDump, CrashDumpEnd, CrashDumpTrigger, ListCrashDumpsRequest,
    LockApplianceRequest, RecordKind, TriggerCrashDumpRequest, TriggerCrashDumpResponse,
    UnlockApplianceRequest,
};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{Gridd, Setup, eventually, oracle, soon};

const NAME: &str = "press-1";

/// A broker whose driver notes the appliance, and then does `script`.
struct Press {
    gridd: Gridd,
}

impl Press {
    async fn start(script: &str, further: &str) -> Self {
        let folder = TempDir::with_prefix("gridd-test-").expect("a temporary folder");
        let calls = folder.path().join("calls");
        std::fs::write(&calls, "").expect("writes");
        let mut config = String::new();
        write!(
            config,
            "[class.default.crash_dump]\ndriver = \"command\"\nprogram = \"/bin/sh\"\n\
             arguments = ['-c', 'echo \"$0\" >>{}; {script}', '{{name}}']\n{further}",
            calls.display()
        )
        .expect("a text");
        Self { gridd: Setup::within(folder, &config).start().await }
    }

    async fn boots(&self, boot: u128) {
        self.gridd.vme(NAME, boot, &["id=started_ok"]).await.done();
    }

    fn calls(&self) -> usize {
        std::fs::read_to_string(self.gridd.path("calls")).expect("the calls").lines().count()
    }

    async fn client(&self) -> CrashDumpServiceClient<Channel> {
        CrashDumpServiceClient::new(self.gridd.channel().await)
    }

    async fn trigger(&self) -> Result<TriggerCrashDumpResponse, Status> {
        let request = TriggerCrashDumpRequest { name: NAME.to_owned() };
        let answer = soon("the answer", self.client().await.trigger_crash_dump(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    async fn dumps(&self) -> Vec<CrashDump> {
        let request = ListCrashDumpsRequest { name: NAME.to_owned() };
        let answer = soon("the list", self.client().await.list_crash_dumps(request)).await;
        answer.expect("a list").into_inner().crash_dumps
    }

    async fn newest(&self, what: &str, is_so: impl Fn(&CrashDump) -> bool) -> CrashDump {
        eventually(what, async || self.dumps().await.into_iter().next().filter(&is_so)).await
    }

    async fn state(&self) -> ApplianceState {
        self.gridd.appliance(NAME).await.state()
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("a reason").reason
}

#[tokio::test]
async fn of_many_triggers_at_once_one_is_a_dump_until_the_new_boot() {
    let press = Press::start("exit 0", "").await;
    press.boots(1).await;
    let attempts = at_once(&press).await;
    let accepted: Vec<_> = attempts.iter().filter_map(|it| it.as_ref().ok()).collect();
    assert_eq!(accepted.len(), 1, "{attempts:?}");
    for refused in attempts.iter().filter_map(|it| it.as_ref().err()) {
        assert_eq!((refused.code(), reason(refused).as_str()), (Code::FailedPrecondition, "STATE"));
    }
    let dump =
        press.newest("the driver is done", |it| it.trigger() == CrashDumpTrigger::Done).await;
    assert_eq!(dump.request_id, accepted[0].request_id);
    assert_eq!(press.calls(), 1);
    let later = press.trigger().await.expect_err("it is dumping");
    assert_eq!(reason(&later), "STATE");
    press.boots(2).await;
    let dump = press.newest("it ends", |it| it.end() == CrashDumpEnd::NewBoot).await;
    assert!(dump.next_boot_id.ends_with("2"), "{dump:?}");
    press.trigger().await.expect("another one");
    let records = oracle::records(&press.gridd.grpc).await;
    let request = records.iter().find(|it| it.number == accepted[0].record_number).expect("it");
    assert_eq!(request.kind(), RecordKind::Administrator);
    assert_eq!(request.state(), ApplianceState::Dumping);
    let triggered = records.iter().find(|it| it.kind() == RecordKind::CrashDump).expect("it");
    assert!(triggered.number > request.number && triggered.appliance == NAME, "{triggered:?}");
}

#[expect(clippy::disallowed_methods, reason = "tasks of the test's own")]
async fn at_once(press: &Press) -> Vec<Result<TriggerCrashDumpResponse, Status>> {
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let channel = press.gridd.channel().await;
        attempts.spawn(async move {
            let request = TriggerCrashDumpRequest { name: NAME.to_owned() };
            let answer = CrashDumpServiceClient::new(channel).trigger_crash_dump(request).await;
            answer.map(tonic::Response::into_inner)
        });
    }
    soon("all answers", attempts.join_all()).await
}

#[tokio::test]
async fn a_driver_that_fails_leaves_the_appliance_as_it_was() {
    let press = Press::start("echo no such domain >&2; exit 3", "").await;
    press.boots(1).await;
    press.trigger().await.expect("requested");
    let dump = press.newest("the driver failed", |it| it.end() == CrashDumpEnd::NotTriggered).await;
    assert_eq!(dump.trigger(), CrashDumpTrigger::Failed);
    assert!(dump.output.contains("no such domain"), "{dump:?}");
    assert_eq!(press.state().await, ApplianceState::Running);
    press.trigger().await.expect("it may be tried again");
}

#[tokio::test]
async fn a_broker_that_is_killed_does_not_claim_to_know_what_the_driver_did() {
    let mut press = Press::start("exec /bin/sleep 600", "timeout = \"5m\"\n").await;
    press.boots(1).await;
    press.trigger().await.expect("requested");
    eventually("the driver was called", async || (press.calls() == 1).then_some(())).await;
    press.gridd.kill().await;
    press.gridd.start_again().await;
    let dump = press.newest("that is known", |it| it.trigger() == CrashDumpTrigger::Unknown).await;
    assert!(dump.detail.contains("interrupted"), "{dump:?}");
    assert_eq!(press.state().await, ApplianceState::Dumping);
    assert_eq!(press.calls(), 1, "it is not repeated");
    press.boots(2).await;
    press.newest("it ends", |it| it.end() == CrashDumpEnd::NewBoot).await;
}

#[tokio::test]
async fn a_driver_without_an_end_is_ended_and_unknown() {
    let press = Press::start("exec /bin/sleep 600", "timeout = \"1s\"\n").await;
    press.boots(1).await;
    press.trigger().await.expect("requested");
    let dump = press.newest("the limit", |it| it.trigger() == CrashDumpTrigger::Unknown).await;
    assert_eq!(dump.end(), CrashDumpEnd::Unspecified);
    assert_eq!(press.state().await, ApplianceState::Dumping);
}

#[tokio::test]
async fn a_lock_is_refused_before_anything_else() {
    let press = Press::start("exit 0", "").await;
    press.boots(1).await;
    let mut appliances = press.gridd.appliances().await;
    let lock = LockApplianceRequest { name: NAME.to_owned(), reason: "a disk".to_owned() };
    let locked = appliances.lock_appliance(lock).await.expect("locked").into_inner();
    let lock = locked.appliance.expect("it").lock.expect("a lock");
    assert_eq!(lock.reason, "a disk");
    assert!(lock.by_admin, "everybody is an admin on loopback");
    let long = LockApplianceRequest { name: NAME.to_owned(), reason: "x".repeat(256) };
    let refused = appliances.lock_appliance(long).await.expect_err("too long");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let unlock = UnlockApplianceRequest { name: NAME.to_owned() };
    let unlocked = appliances.unlock_appliance(unlock).await.expect("unlocked").into_inner();
    assert!(unlocked.appliance.expect("it").lock.is_none());
}

#[tokio::test]
async fn a_hung_start_is_dumped_by_the_broker_itself_once_a_boot() {
    let folder = TempDir::with_prefix("gridd-test-").expect("a temporary folder");
    let calls = folder.path().join("calls");
    std::fs::write(&calls, "").expect("writes");
    let config = format!(
        "[class.default]\nmaintenance_silence = \"1s\"\n\
         [class.default.crash_dump]\non_hung = \"crash-dump\"\ndriver = \"command\"\n\
         program = \"/bin/sh\"\narguments = ['-c', 'echo \"$0\" >>{}; exit 1', '{{name}}']\n",
        calls.display()
    );
    let mut press = Press { gridd: Setup::within(folder, &config).start().await };
    press.gridd.vme(NAME, 1, &["id=maintenance", "progress=5", "text=checking"]).await.done();
    let dump = press.newest("it is tried", |it| it.end() == CrashDumpEnd::NotTriggered).await;
    assert_eq!((dump.by.as_str(), dump.cause.as_str()), ("gridd", "hung"));
    assert_eq!(press.state().await, ApplianceState::Failed);
    assert_eq!(press.gridd.appliance(NAME).await.failure, "hung");
    // It reports again, and hangs again: that is the same boot.
    press.gridd.vme(NAME, 1, &["id=maintenance", "progress=6", "text=checking"]).await.done();
    eventually("it is hung again", async || {
        (press.state().await == ApplianceState::Failed).then_some(())
    })
    .await;
    // What was decided before the stop would begin after the start.
    assert_eq!(press.gridd.terminate().await, Some(0));
    press.gridd.start_again().await;
    assert_eq!((press.calls(), press.dumps().await.len()), (1, 1));
}
