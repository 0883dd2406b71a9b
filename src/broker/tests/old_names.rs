//! Tests appliances whose names older brokers accepted and this one does not.

use super::*;
use crate::grid::record::Order;
use uuid::Uuid;

#[test]
fn an_old_name_is_read_from_the_journal_and_can_be_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = journal::Settings { low_water: 0, ..small(dir.path()) };
    let odd = ["-", ".", "::::", "--help"].map(|name| ApplianceName::kept(name).expect("was valid"));
    run(async {
        let started = started(journal.clone()).await;
        for (name, number) in odd.iter().zip(1..) {
            let order = Order::Add {
                name: name.clone(),
                uuid: Uuid::from_u128(number),
                class: None,
                overrides: settings::Overrides::default(),
            };
            started.broker.order("me", order).await.expect("answers").expect("added");
        }
        started.broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
    run(async {
        let started = started(journal).await;
        for name in odd {
            let asked = name.clone();
            let find = move |grid: &Grid, _| grid.state().find(&asked).is_some();
            assert!(started.broker.ask(find.clone()).await.expect("answers"), "{name}");
            let order = Order::Remove { name: name.clone() };
            started.broker.order("me", order).await.expect("answers").expect("removed");
            assert!(!started.broker.ask(find).await.expect("answers"), "{name}");
        }
        started.broker.stop().await.expect("stops");
        started.ended.await.expect("no panic").expect("stops cleanly");
    });
}
