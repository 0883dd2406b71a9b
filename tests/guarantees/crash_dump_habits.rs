//! What people type about crash dumps triggers nothing by mistake, and is answered in words that help,
//! against a real broker.

use super::habits::{check, grid};
use crate::support::{Gridd, eventually};

#[tokio::test]
async fn crash_dumps_are_of_one_appliance_and_nothing_is_triggered_by_mistake() {
    let gridd = grid().await;
    check(
        &gridd,
        &[
            ("appliance crash-dumps db7", 0, &[], &["there was no crash dump of shop:main.db7"]),
            ("appliance crash-dumps db7 -o json", 0, &["[]"], &[]),
            ("appliance crash-dumps db7 req-1", 7, &[], &["has the request id `req-1`"]),
            ("appliance crash-dumps nosuch", 7, &[], &["there is no appliance nosuch"]),
            ("appliance crash-dumps 'db*'", 2, &[], &["db* is a pattern: name one appliance"]),
            (
                "appliance crash-dump db7 --check",
                3,
                &["appliance: shop:main.db7", "driver:    none"],
                &["no crash dump of shop:main.db7 is possible: "],
            ),
            (
                "appliance crash-dump db7 --yes --wait",
                3,
                &[],
                &["db7 is shop:main.db7", "no crash dump of shop:main.db7 is possible: "],
            ),
            ("appliance crash-dump 'db*' --yes", 2, &[], &["db* is a pattern: name one appliance"]),
            ("appliance crash-dump db1 --yes", 2, &[], &["is ambiguous"]),
            (
                "appliance crash-dump shop:main.db1,shop:main.db7 --yes",
                2,
                &[],
                &["name: 1 to 128 bytes"],
            ),
            ("appliance lock db7 --reason move", 0, &["locked:", ": \"move\""], &[]),
            ("appliance list db7", 0, &["[locked]"], &[]),
            ("appliance unlock 'shop:*'", 0, &["!locked"], &["shop:* matches "]),
            ("appliance lock", 2, &[], &["<APPLIANCE>"]),
        ],
    )
    .await;
    let ordered = gridd.records(&["--kind", "crash_dump"]).await;
    assert!(ordered.is_empty(), "{ordered:?}");
}

#[tokio::test]
async fn a_crash_dump_is_followed_from_its_order_to_the_output_of_its_driver() {
    let gridd = Gridd::with_config(
        "[class.default.crash_dump]\ndriver = \"command\"\nprogram = \"/bin/echo\"\n\
         arguments = [\"dumping\", \"{name}\"]\n",
    )
    .await;
    gridd.vme("shop:main.db7", 1, &["id=started_ok"]).await.done();
    check(
        &gridd,
        &[
            ("appliance crash-dump db7 --check", 0, &["driver:    command", "possible now"], &[]),
            (
                "appliance crash-dump db7 --yes",
                0,
                &["a crash dump of shop:main.db7 is requested: req-"],
                &["what becomes of it: gridctl appliance crash-dumps shop:main.db7 req-"],
            ),
            ("appliance crash-dump db7 --yes", 3, &[], &["shop:main.db7 is dumping"]),
            ("appliance list", 0, &["dumping"], &[]),
            ("status --check", 0, &["0 of 1 appliance running, 1 dumping"], &[]),
        ],
    )
    .await;
    eventually("the driver's end", async || {
        let listed = gridd.gridctl(&["appliance", "crash-dumps", "db7"]).await.done();
        listed.contains(" done ").then_some(())
    })
    .await;
    gridd.vme("shop:main.db7", 2, &["id=started_ok"]).await.done();
    check(
        &gridd,
        &[
            ("appliance crash-dumps db7", 0, &["new_boot"], &[]),
            (
                "appliance crash-dumps db7 req",
                0,
                &["output of command:\n    dumping shop:main.db7\n", "dump:        none was found"],
                &[],
            ),
            ("show db7", 0, &["last crash dump: ", "triggered by command; booted again"], &[]),
            ("log --kind crash-dump", 0, &["crash dump triggered by command"], &[]),
        ],
    )
    .await;
}
