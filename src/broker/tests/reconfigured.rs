//! Tests that new settings apply to later requests, and are recorded.

use super::super::Reconfiguration;
use super::*;
use uuid::Uuid;

use crate::grid::in_force::SettingIs;

fn changed(value: &str) -> SettingsInForce {
    let setting = SettingIs {
        key: "class.web".into(),
        value: Some(value.into()),
        origin: "gridd.toml:1".into(),
        before: None,
    };
    SettingsInForce { settings: vec![setting], ..SettingsInForce::default() }
}

#[test]
fn new_settings_are_durable_when_they_are_answered_and_hold_for_what_comes_then() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal::Settings { low_water: 0, ..small(dir.path()) };
    run(async {
        let started = started(journal.clone()).await;
        let broker = &started.broker;
        let web = ("web".to_owned(), settings::ClassSettings::default());
        let add = |name: &str| crate::grid::record::Order::Add {
            name: ApplianceName::new(name).expect("a name"),
            uuid: Uuid::from_u128(1),
            class: Some("web".into()),
            overrides: settings::Overrides::default(),
        };
        broker.order("me", add("a")).await.expect("answers").expect_err("no such class");
        let mut changes = broker.watch();
        let grid = settings::Settings::new([web]);
        let new = Reconfiguration { grid, journal: journal.clone(), record: changed("a class") };
        let number = broker.reconfigure(new).await.expect("answers");
        assert_eq!((number, started.reader.durable()), (3, 3));
        assert!(matches!(changes.recv().await, Ok(Changed::All)), "limits are shown again");
        broker.order("me", add("a")).await.expect("answers").expect("there is the class");
        let texts = texts(&started);
        assert_eq!(texts[2], "settings changed: class.web = a class (gridd.toml:1)");
        broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
}

#[test]
fn another_low_water_mark_holds_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal::Settings { low_water: 0, ..small(dir.path()) };
    run(async {
        let started = started(journal.clone()).await;
        let with = |low_water| Reconfiguration {
            grid: settings::Settings::default(),
            journal: journal::Settings { low_water, ..journal.clone() },
            record: changed("x"),
        };
        started.broker.reconfigure(with(u64::MAX)).await.expect("answers");
        until("the alert", async || is_low(&started.broker).await).await;
        let refused = started.broker.report(db1(), None, a_log("b"), 10).await;
        assert_eq!(refused.expect_err("the disk is low"), Unavailable::DiskLow);
        // Settings are accepted on a full disk, since they may make room.
        started.broker.reconfigure(with(0)).await.expect("answers");
        until("room", async || !is_low(&started.broker).await).await;
        started.broker.report(db1(), None, a_log("c"), 10).await.expect("there is room again");
    });
}
