//! Tests that new settings apply to later requests, and are recorded.

use uuid::Uuid;

use super::super::Reconfiguration;
use super::*;
use crate::grid::log::applied_settings::AppliedSetting;

fn applied_change(value: &str) -> AppliedSettings {
    let setting = AppliedSetting {
        key: "class.web".into(),
        value: Some(value.into()),
        origin: "gridd.toml:1".into(),
        previous: None,
    };
    AppliedSettings { settings: vec![setting], ..AppliedSettings::default() }
}

#[test]
fn new_settings_are_durable_when_confirmed_and_apply_to_later_events() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal::JournalSettings { low_water: 0, ..small_journal(dir.path()) };
    block_on(async {
        let started = started(journal.clone()).await;
        let broker = &started.broker;
        let web = ("web".to_owned(), settings::ClassSettings::default());
        let add = |name: &str| crate::grid::log::command::AdminCommand::Add {
            name: ApplianceName::new(name).expect("a name"),
            uuid: Uuid::from_u128(1),
            class: Some("web".into()),
            overrides: settings::Overrides::default(),
        };
        broker.command("me", add("a")).await.expect("answers").expect_err("no such class");
        let mut changes = broker.watch();
        let grid = settings::GridSettings::new([web]);
        let new = Reconfiguration {
            settings: grid,
            journal: journal.clone(),
            applied: applied_change("a class"),
        };
        let number = broker.reconfigure(new).await.expect("answers");
        assert_eq!((number, started.reader.durable()), (3, 3));
        assert!(
            matches!(changes.recv().await, Ok(ChangedAppliances::All)),
            "limits are shown again"
        );
        broker.command("me", add("a")).await.expect("answers").expect("there is the class");
        let texts = record_texts(&started);
        assert_eq!(texts[2], "settings changed: class.web = a class (gridd.toml:1)");
        broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
}

#[test]
fn a_new_low_water_mark_applies_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal::JournalSettings { low_water: 0, ..small_journal(dir.path()) };
    block_on(async {
        let started = started(journal.clone()).await;
        let with = |low_water| Reconfiguration {
            settings: settings::GridSettings::default(),
            journal: journal::JournalSettings { low_water, ..journal.clone() },
            applied: applied_change("x"),
        };
        started.broker.reconfigure(with(u64::MAX)).await.expect("answers");
        wait_until("the alert", async || is_low(&started.broker).await).await;
        let refused = started.broker.submit_event(db1(), None, log_event("b"), 10).await;
        assert_eq!(refused.expect_err("the disk is low"), Unavailable::DiskLow);
        // Settings are accepted on a full disk, since they may make room.
        started.broker.reconfigure(with(0)).await.expect("answers");
        wait_until("room", async || !is_low(&started.broker).await).await;
        started
            .broker
            .submit_event(db1(), None, log_event("c"), 10)
            .await
            .expect("there is room again");
    });
}
