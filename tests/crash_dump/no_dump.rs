//! A crash dump that is triggered, and of which nothing or not all comes: a guest that is not armed, a
//! crash kernel without memory, a full disk. The broker tells each as it was.

use grid_broker::contract::proto::{ApplianceState, CrashDumpEnd, CrashDumpTrigger};

use super::machine::Plan;
use super::story;

const QEMU: &str = "\
[class.default.crash_dump]
driver = \"qemu\"
socket = \"FOLDER/{name}.qmp\"
";

#[tokio::test]
async fn a_guest_that_is_not_armed_goes_on_and_the_broker_says_so_before_and_after() {
    let name = "careless";
    let gridd = story::broker(&format!("[class.default]\ndump_timeout = \"30s\"\n{QEMU}")).await;
    let plan = Plan { words: "guest.nmi=off guest.log=on", ..Plan::good(name) };
    let machine = plan.start(&gridd, &story::monitor(&gridd, name)).await;
    let boot = story::booted(&gridd, name, &machine.console, 1).await;
    let check = story::checked(&gridd, name).await;
    assert!(check.possible, "the back end can: {check:?}");
    let [warning] = check.warnings.as_slice() else { panic!("one warning: {check:?}") };
    assert!(warning.contains("unknown_nmi_panic"), "{warning}");
    let said = story::trigger(&gridd, name).await;
    assert!(said.contains("unknown_nmi_panic"), "{said}");

    let dump =
        story::newest(&gridd, name, "it has ended", |it| it.end() != CrashDumpEnd::Unspecified);
    let dump = dump.await;
    assert_eq!(dump.trigger(), CrashDumpTrigger::Done, "QEMU took the NMI: {dump:?}");
    assert_eq!(dump.end(), CrashDumpEnd::NoEffect, "{dump:?}");
    assert!(dump.found.is_empty() && dump.next_boot_id.is_empty(), "{dump:?}");
    let appliance = gridd.appliance(name).await;
    assert_eq!(appliance.state(), ApplianceState::Running, "as it was: {appliance:?}");
    assert_eq!(appliance.boot_id, boot);
    assert_eq!(machine.console.count("guest: boot "), 1);
}

#[tokio::test]
async fn a_crash_kernel_that_lacks_memory_reboots_without_a_dump_and_the_broker_says_so() {
    let name = "narrow";
    let gridd = story::broker(&format!("{}{QEMU}", story::ONE_BOOT)).await;
    let plan = Plan { crashkernel: "64M", ..Plan::good(name) };
    let machine = plan.start(&gridd, &story::monitor(&gridd, name)).await;
    let first = story::booted(&gridd, name, &machine.console, 1).await;
    // Nothing tells before that the memory does not do.
    story::is_armed(&gridd, name).await;
    story::trigger(&gridd, name).await;
    let second = story::booted(&gridd, name, &machine.console, 2).await;
    let dump =
        story::newest(&gridd, name, "it has ended", |it| it.end() != CrashDumpEnd::Unspecified);
    let dump = dump.await;
    assert_eq!((dump.trigger(), dump.end()), (CrashDumpTrigger::Done, CrashDumpEnd::NewBoot));
    assert_eq!([dump.boot_id.as_str(), dump.next_boot_id.as_str()], [&first, &second]);
    assert_eq!(story::started(&gridd, name).await, [first, second]);
    story::checked(&gridd, name).await;
    let dumps = story::crash_dumps(&gridd, name).await;
    assert!(dumps[0].found.is_empty(), "{dumps:?}");
    assert!(dumps[0].explanation.contains("no dump was found"), "{dumps:?}");
    assert_eq!(machine.console.count("crash: "), 0, "its crash kernel did not get that far");
}

#[tokio::test]
async fn a_dump_that_the_disk_cut_short_is_told_as_incomplete_with_its_last_words() {
    let name = "full";
    let gridd = story::broker(QEMU).await;
    // The agent has its spool on it too.
    let plan = Plan { disk: "16M", ..Plan::good(name) };
    let machine = plan.start(&gridd, &story::monitor(&gridd, name)).await;
    story::booted(&gridd, name, &machine.console, 1).await;
    story::is_armed(&gridd, name).await;
    story::trigger(&gridd, name).await;
    machine.console.says("crash: dump failed", 1).await;
    story::booted(&gridd, name, &machine.console, 2).await;
    let dump = story::newest(&gridd, name, "one is found", |it| !it.found.is_empty()).await;
    let [found] = dump.found.as_slice() else { panic!("one: {dump:?}") };
    assert!(found.incomplete && found.path.ends_with("/dump-incomplete"), "{found:?}");
    assert!(found.bytes > 0 && found.bytes < 16 << 20, "{found:?}");
    assert!(found.last_words.contains("NMI: Not continuing"), "{found:?}");
    assert!(dump.explanation.contains("incomplete"), "{}", dump.explanation);
}
