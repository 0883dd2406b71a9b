//! Starts on a disk that is full or nearly full.

use super::*;

/// Fills the disk as a killed broker leaves it: `free` bytes, no ballast, a full commit log.
fn fill_disk_as_after_kill(dir: &Path, free: u64) {
    let data = dir.join("data");
    let _ = std::fs::remove_file(data.join("ballast"));
    let _ = std::fs::remove_file(data.join("alive"));
    let commits = std::fs::read_dir(data.join("commits")).expect("a folder");
    for file in commits.map(|entry| entry.expect("an entry").path()) {
        // As if its last commit had filled it.
        let bytes = std::fs::read(&file).expect("reads");
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        File::options().write(true).open(&file).expect("opens").set_len(end).expect("is shorter");
    }
    fill(dir, free);
}

#[test]
fn on_a_disk_without_any_room_the_broker_starts_reads_refuses_and_begins_once_there_is_room() {
    let name = "broker::tests::start_on_full_disk::on_a_disk_without_any_room_the_broker_starts_reads_refuses_and_\
                begins_once_there_is_room";
    on_small_disk(name, 128, |dir| {
        block_on(async {
            let first = started(small_journal(dir)).await;
            first
                .broker
                .submit_event(db1(), None, log_event("a"), 10)
                .await
                .expect("there is room");
            let durable = first.reader.durable();
            first.broker.stop().await.expect("stops");
            first.ended.await.expect("no panic").expect("stops cleanly");

            fill_disk_as_after_kill(dir, 0);
            let second = started(small_journal(dir)).await;
            let known = second.broker.query(|grid, _| grid.state().last()).await.expect("answers");
            assert_eq!((known, second.reader.durable()), (durable + 1, durable + 1));
            let refused = second.broker.submit_event(db1(), None, log_event("b"), 10).await;
            assert_eq!(refused.expect_err("the disk is full"), Unavailable::DiskLow);
            // A stop need not wait, and loses nothing.
            second.broker.stop().await.expect("stops");
            second.ended.await.expect("no panic").expect("stops cleanly");

            let third = started(small_journal(dir)).await;
            assert!(third.broker.disk_is_low());
            std::fs::remove_file(dir.join("filler")).expect("removes");
            wait_until("the start's records", async || third.reader.durable() > durable + 1).await;
            wait_until("room", async || !third.broker.disk_is_low()).await;
            third
                .broker
                .submit_event(db1(), None, log_event("c"), 10)
                .await
                .expect("there is room again");
            let starts =
                record_texts(&third).iter().filter(|it| it.contains(" started, term ")).count();
            assert_eq!(
                starts,
                2,
                "the start without room left no record: {:?}",
                record_texts(&third)
            );
        });
    });
}

#[test]
fn a_start_on_a_low_disk_renews_what_the_open_alert_says_of_it() {
    let name = "broker::tests::start_on_full_disk::a_start_on_a_low_disk_renews_what_the_open_alert_says_of_it";
    on_small_disk(name, 128, |dir| {
        block_on(async {
            let alert = |grid: &Grid, _| grid.state().finding(None, FindingKind::DiskLow).cloned();
            let first = started(small_journal(dir)).await;
            let filler = fill(dir, 20 << 20);
            wait_until("the alert", async || is_low(&first.broker).await).await;
            let before = first.broker.query(alert).await.expect("answers").expect("is open");
            first.broker.stop().await.expect("stops");
            first.ended.await.expect("no panic").expect("stops cleanly");
            std::fs::remove_file(filler).expect("removes");
            fill(dir, 10 << 20);
            let second = started(small_journal(dir)).await;
            let renewed = async || {
                let now = second.broker.query(alert).await.expect("answers").expect("is open");
                assert_eq!(now.since, before.since, "it is still the same alert");
                now.text != before.text
            };
            wait_until("the new text", renewed).await;
        });
    });
}
