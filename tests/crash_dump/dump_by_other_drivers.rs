//! The same guest crashes by its BMC, by its own agent, and by libvirt: the story is the same.

use super::bmc::{Bmc, USER};
use super::domain::Libvirt;
use super::machine::Plan;
use super::story;

const NMI: &str = "Kernel panic - not syncing: NMI: Not continuing";
const SYSRQ: &str = "Kernel panic - not syncing: sysrq triggered crash";

#[tokio::test]
async fn a_machine_that_dumped_by_its_bmc_dumps_again_by_its_agent() {
    let name = "twice";
    // The monitor need not be there yet.
    let folder = tempfile::TempDir::with_prefix("monitor-test-").expect("a temporary folder");
    let monitor = folder.path().join("qmp");
    let bmc = Bmc::start(&monitor).await;
    let config = format!(
        "{}[class.default.crash_dump]\ndriver = \"ipmi\"\nhost = \"127.0.0.1\"\nport = {}\n\
         user = \"{USER}\"\npassword_file = \"{}\"\n\
         [class.sysrq.budget]\nboots = {{ burst = 1, every = \"1d\" }}\n\
         [class.sysrq.crash_dump]\ndriver = \"agent\"\n",
        story::ONE_BOOT,
        bmc.port,
        bmc.password_file().display(),
    );
    let gridd = story::broker(&config).await;
    let plan = Plan { words: "guest.sysrq=on", ..Plan::good(name) };
    let machine = plan.start(&gridd, &monitor).await;
    let console = &machine.console;
    let first = story::booted(&gridd, name, console, 1).await;
    story::is_armed(&gridd, name).await;
    story::trigger(&gridd, name).await;
    let written = story::written(console, 1).await;
    let second = story::booted(&gridd, name, console, 2).await;
    let dump = story::tells(&gridd, name, [&first, &second], &written).await;
    assert_eq!(dump.driver, "ipmi");
    assert!(dump.found[0].last_words.contains(NMI), "{dump:?}");

    gridd.gridctl(&["appliance", "set", name, "--class", "sysrq"]).await.done();
    story::is_armed(&gridd, name).await;
    story::trigger(&gridd, name).await;
    let written = story::written(console, 2).await;
    let third = story::booted(&gridd, name, console, 3).await;
    let dump = story::tells(&gridd, name, [&second, &third], &written).await;
    assert_eq!(dump.driver, "agent");
    assert!(dump.found[0].last_words.contains(SYSRQ), "{dump:?}");
    assert_eq!(story::crash_dumps(&gridd, name).await.len(), 2);
    assert_eq!(story::started(&gridd, name).await, [first, second, third]);
}

#[tokio::test]
async fn a_domain_of_libvirt_dumps() {
    let name = "domain";
    let libvirt = Libvirt::start().await;
    let config = format!(
        "[class.default.crash_dump]\ndriver = \"libvirt\"\nuri = \"{}\"\ndomain = \"{{name}}\"\n",
        libvirt.uri
    );
    let gridd = story::broker(&config).await;
    let domain = libvirt.domain(&Plan::good(name), &gridd);
    let console = &domain.console;
    let first = story::booted(&gridd, name, console, 1).await;
    story::is_armed(&gridd, name).await;
    story::trigger(&gridd, name).await;
    let written = story::written(console, 1).await;
    let second = story::booted(&gridd, name, console, 2).await;
    let dump = story::tells(&gridd, name, [&first, &second], &written).await;
    assert_eq!(dump.driver, "libvirt");
    assert!(dump.found[0].last_words.contains(NMI), "{dump:?}");
}
