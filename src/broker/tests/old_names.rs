//! Tests appliances whose names older brokers accepted and this one does not.

use uuid::Uuid;

use super::*;
use crate::grid::log::command::AdminCommand;

#[test]
fn a_name_valid_only_in_old_releases_is_read_and_can_be_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal::JournalSettings { low_water: 0, ..small_journal(dir.path()) };
    let odd = ["-", ".", "::::", "--help"]
        .map(|name| ApplianceName::from_stored(name).expect("was valid"));
    block_on(async {
        let started = started(journal.clone()).await;
        for (name, number) in odd.iter().zip(1..) {
            let order = AdminCommand::Add {
                name: name.clone(),
                uuid: Uuid::from_u128(number),
                class: None,
                overrides: settings::Overrides::default(),
            };
            started.broker.command("me", order).await.expect("answers").expect("added");
        }
        started.broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
    block_on(async {
        let started = started(journal).await;
        for name in odd {
            let asked = name.clone();
            let find = move |grid: &Grid, _| grid.state().find(&asked).is_some();
            assert!(started.broker.query(find.clone()).await.expect("answers"), "{name}");
            let order = AdminCommand::Remove { name: name.clone() };
            started.broker.command("me", order).await.expect("answers").expect("removed");
            assert!(!started.broker.query(find).await.expect("answers"), "{name}");
        }
        started.broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
}
