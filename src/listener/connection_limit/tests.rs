//! Who gets a slot when there are few, and who is closed for it.

use super::*;
use crate::metrics::Connections;

fn limit_of(most: usize) -> ConnectionPermits {
    ConnectionPermits::new(most, Connections::default().open_gauge("http"))
}

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

#[tokio::test]
async fn one_address_cannot_take_all_slots() {
    let places = limit_of(8);
    let mut busy = Vec::new();
    for _ in 0..6 {
        let slot = Arc::new(places.acquire(address(1)).await.expect("a place"));
        busy.push(slot.begin_request());
    }
    assert_eq!(
        places.acquire(address(1)).await.expect_err("it has six of eight"),
        LimitReached::Address
    );
    let other = Arc::new(places.acquire(address(2)).await.expect("another has a place"));
    busy.push(other.begin_request());
    let last = Arc::new(places.acquire(address(3)).await.expect("the last"));
    busy.push(last.begin_request());
    let none = places.acquire(address(4)).await.expect_err("all are busy");
    assert_eq!(none, LimitReached::Total { open: 8 });
    drop((busy.pop(), last));
    places.acquire(address(4)).await.expect("one is free");
}

#[tokio::test]
async fn the_longest_idle_connection_is_closed_for_a_new_one() {
    let places = limit_of(4);
    let mut slots = Vec::new();
    for last in 1..=4 {
        slots.push(Arc::new(places.acquire(address(last)).await.expect("a place")));
    }
    // The first was busy in between, so the second has been idle longest.
    drop(slots[0].begin_request());
    let second = slots.remove(1);
    let leaving = async {
        second.close_requested().await;
        drop(second);
    };
    let (came, ()) = tokio::join!(places.acquire(address(9)), leaving);
    came.expect("its place");
    assert_eq!(slots.len(), 3);
}

#[tokio::test]
async fn peers_without_a_certificate_cannot_take_all_slots() {
    let places = limit_of(8);
    let mut slots = Vec::new();
    for last in 1..=7 {
        slots.push(Arc::new(places.acquire(address(last)).await.expect("a place")));
    }
    let mut busy: Vec<_> = slots[..6].iter().map(ConnectionSlot::begin_request).collect();
    for slot in &slots[..6] {
        slot.count_stranger().expect("six of eight");
        slot.count_stranger().expect("counted once");
    }
    assert_eq!(slots[6].count_stranger(), Err(LimitReached::Strangers), "all are busy");
    drop(busy.remove(2));
    slots[6].count_stranger().expect("an idle one is closed for it");
    slots[2].close_requested().await;
    drop((busy, slots));
    let slot = places.acquire(address(1)).await.expect("a place");
    slot.count_stranger().expect("all have ended");
    assert_eq!(slot.shared.lock_slots().strangers, 1);
}

#[tokio::test]
async fn one_address_has_an_eighth_of_all_slots_for_peers_without_a_certificate() {
    let places = limit_of(8 * (STRANGER_ADDRESS_MIN + 1));
    let mut slots = Vec::new();
    for _ in 0..=STRANGER_ADDRESS_MIN {
        let slot = Arc::new(places.acquire(address(1)).await.expect("a place"));
        slot.count_stranger().expect("within an eighth");
        slots.push(slot);
    }
    let next = places.acquire(address(1)).await.expect("a place");
    assert_eq!(next.count_stranger(), Err(LimitReached::Address));
    let other = places.acquire(address(2)).await.expect("a place");
    other.count_stranger().expect("another address");
    drop(slots.pop());
    next.count_stranger().expect("one has ended");
}

#[test]
fn a_network_of_ipv6_counts_as_one_address() {
    let of = |text: &str| address_key(text.parse().expect("an address"));
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1:2:3"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
}
