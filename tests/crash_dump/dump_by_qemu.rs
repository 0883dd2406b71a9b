//! A guest that crashes by QEMU's monitor dumps, reboots, and the broker tells all of it.

use serde_json::Value;

use super::machine::Plan;
use super::story;

const QEMU: &str = "\
[class.default.crash_dump]
driver = \"qemu\"
socket = \"FOLDER/{name}.qmp\"
";

const PANIC: &str = "Kernel panic - not syncing: NMI: Not continuing";

#[tokio::test]
async fn an_nmi_leads_to_a_dump_that_the_next_boot_tells() {
    let name = "shop:main.db1";
    let gridd = story::broker(&format!("{}{QEMU}", story::ONE_BOOT)).await;
    let monitor = story::monitor(&gridd, name);
    let machine = Plan::good(name).start(&gridd, &monitor).await;
    let console = &machine.console;
    let first = story::booted(&gridd, name, console, 1).await;
    story::is_armed(&gridd, name).await;

    let said = story::trigger(&gridd, name).await;
    assert!(said.contains("req-"), "{said}");
    console.says("crash: starts", 1).await;
    // One at a time until the new boot: an NMI would end the crash kernel of some.
    let again = gridd.gridctl(&["appliance", "crash-dump", name, "--yes"]).await;
    assert_ne!(again.code, Some(0), "{again:?}");
    assert!(again.stderr.contains("is dumping"), "{again:?}");

    let written = story::written(console, 1).await;
    let second = story::booted(&gridd, name, console, 2).await;
    let dump = story::tells(&gridd, name, [&first, &second], &written).await;
    assert_eq!((dump.driver.as_str(), dump.cause.as_str()), ("qemu", "administrator"));
    assert!(dump.found[0].last_words.contains(PANIC), "{dump:?}");
    assert!(said.contains(&dump.request_id), "{said}");
    assert_eq!(story::started(&gridd, name).await, [first.clone(), second.clone()]);
    assert_eq!(story::crash_dumps(&gridd, name).await.len(), 1, "the second was none");
    let list = ["appliance", "crash-dumps", name, "--output", "json"];
    let listed = gridd.gridctl(&list).await.done();
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["request_id"], dump.request_id.as_str(), "{listed}");
    assert_eq!(listed[0]["explanation"], dump.explanation.as_str(), "{listed}");

    let (_folder, disk) = machine.into_disk();
    let messages = story::messages(&disk, &written);
    assert!(messages.contains(PANIC), "the dump is of that panic: {messages}");
}
