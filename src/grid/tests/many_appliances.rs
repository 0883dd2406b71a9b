//! Tests fleets and queues of mails of the sizes that a large site has.
//!
//! `GRID_APPLIANCES` sets how many appliances the fleet has; a million need a release build.

use uuid::Uuid;

use super::super::Grid;
use super::super::MAILS_IN_FLIGHT_MAX;
use super::driver::*;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::input::{Input, SessionHello};
use crate::grid::log::record::Record;
use crate::grid::model::mail_message::{Delivery, DeliveryState};
use crate::grid::model::settings::{
    ClassSettings, DEFAULT_CLASS, GridSettings, MAIL_TRIGGERS, MailPolicy, Overrides, RateLimits,
};
use crate::grid::occurrence::Occurrence;
use crate::grid::state::State;
use crate::grid::values::event::{EventBody, Severity};
use crate::grid::values::id::{ApplianceIndex, SessionId};
use crate::grid::values::time::Timestamp;

pub(super) fn unlimited() -> ClassSettings {
    ClassSettings { rate_limits: RateLimits::UNLIMITED, ..ClassSettings::default() }
}

pub(super) fn fleet(settings: GridSettings, count: u32) -> Grid {
    let mut grid = Grid::new(State::default(), settings, at(0));
    for row in (1..=count).map(ApplianceIndex) {
        let (name, uuid) = (name(row), Uuid::from_u128(u128::from(row.0)));
        let command =
            AdminCommand::Add { name, uuid, class: None, overrides: Overrides::default() };
        let decision = grid.handle(Input::Command { by: "admin".into(), command }, at(0));
        assert!(decision.record.is_some(), "it is added");
    }
    grid
}

pub(super) fn hello(row: ApplianceIndex) -> Occurrence {
    Occurrence::SessionOpened(SessionHello {
        appliance: row,
        boot: boot(1),
        uptime: Some(seconds(0)),
        spool: None,
        acked_through: 0,
        is_transient: false,
        session: SessionId(u64::from(row.0)),
    })
}

/// Fires the timers until then; returns their records.
pub(super) fn advance(grid: &mut Grid, until: Timestamp) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some(now) = grid.poll_timeout().filter(|wake| *wake <= until) {
        for appliance in grid.due(now) {
            for decision in grid.handle_timeout(appliance, now) {
                records.extend(decision.record);
            }
        }
        while let Some(decision) = grid.handle_mail_timeout(now) {
            records.extend(decision.record);
        }
        assert!(grid.poll_timeout().is_none_or(|next| next > now), "time goes on");
    }
    records
}

#[test]
fn a_fleet_goes_on_while_a_snapshot_of_it_stays_as_it_was() {
    let count = std::env::var("GRID_APPLIANCES").map_or(20_000, |it| it.parse().expect("a number"));
    let mut grid = fleet(GridSettings::new([(DEFAULT_CLASS.to_owned(), unlimited())]), count);
    let say = |grid: &mut Grid, row: u32, sequence: u64| {
        let said = log(1).by(ApplianceIndex(row)).numbered(u64::from(row), sequence);
        let decision = grid.handle(Input::Event(Box::new(said.0)), at(sequence));
        assert!(decision.record.is_some(), "it is stored");
    };
    (1..=count).for_each(|row| say(&mut grid, row, 1));
    let (before, last) = (grid.state().clone(), grid.state().last());
    let snapshot = grid.state().snapshot();
    // Every third one changes, and one is new.
    (1..=count).step_by(3).for_each(|row| say(&mut grid, row, 2));
    let new = Input::Registered { name: name(ApplianceIndex(count + 1)), uuid: Uuid::max() };
    assert!(grid.handle(new, at(3)).record.is_some());

    assert_eq!((snapshot.last(), snapshot.last_at()), (last, at(1)));
    let mut restored = State::default();
    for effect in snapshot.into_effects().flatten() {
        restored.restore(&effect);
    }
    restored.set_last(last, at(1));
    assert!(restored == before, "a snapshot is the state at its time");
    assert!(restored != *grid.state(), "the state went on");
    for row in (1..=count + 1).map(ApplianceIndex) {
        assert_eq!(grid.state().find(&name(row)), Some(row));
        assert_eq!(restored.find(&name(row)), (row.0 <= count).then_some(row));
    }
}

#[test]
fn ten_thousand_queued_mails_and_alerts_are_no_quadratic_work() {
    const MAILS: u32 = 10_000;
    let of = |n: u32| format!("ops{n}@example.org").into();
    let mail = |recipients| MailPolicy {
        recipients,
        triggers: MAIL_TRIGGERS.into_iter().collect(),
        group_wait: seconds(1),
    };
    let settings = GridSettings::new([(DEFAULT_CLASS.to_owned(), unlimited())]);
    let mut grid = fleet(settings.clone().with_mail(Some(mail((0..MAILS).map(of).collect()))), 2);
    for row in [1, 2].map(ApplianceIndex) {
        grid.handle(hello(row), at(1));
        grid.handle(Input::Event(Box::new(started_ok(1).by(row).0)), at(1));
    }
    let alert = |grid: &mut Grid, text: &str, now| {
        let mut alert = new_event(1, EventBody::Alert { counter: None }, text);
        alert.0.event.severity = Severity::Error;
        grid.handle(Input::Event(Box::new(alert.0)), now)
    };
    // One alert to each recipient; then alerts to one of them.
    alert(&mut grid, "the first", at(2));
    assert_eq!(grid.state().outbox().mails().len(), MAILS as usize);
    let one = settings.with_mail(Some(mail(vec![of(0)])));
    let state = grid.state().clone();
    let mut grid = Grid::new(state, one, at(2));
    for n in 0..MAILS {
        // Digits make no other group.
        let letter = |place: u32| char::from(b"ghijkmnopqrstuvwxyz"[(n / place % 19) as usize]);
        let volume = [6_859, 361, 19, 1].map(letter).iter().collect::<String>();
        let text = format!("volume {volume} is degraded");
        let decision = alert(&mut grid, &text, at(2));
        assert!(decision.record.is_some(), "each is another alert");
    }
    let (mut delivered, mut now) = (0, at(4));
    while let Some(due) = grid.poll_timeout().filter(|_| grid.state().outbox().mails().len() > 0) {
        now = now.max(due);
        advance(&mut grid, now);
        let in_flight = grid.state().outbox().mails();
        let in_flight = in_flight.filter(|it| it.state == DeliveryState::InFlight);
        let under_way: Vec<_> = in_flight.map(|it| (it.number, it.attempts)).collect();
        assert!(under_way.len() <= MAILS_IN_FLIGHT_MAX, "{}", under_way.len());
        for (message, attempt) in under_way {
            let delivery = Delivery::Sent("250".into());
            grid.handle(Input::MailDelivery { message, attempt, delivery }, now);
            delivered += 1;
        }
    }
    assert!(delivered >= MAILS, "{delivered} were delivered");
    assert_eq!(grid.state().outbox().mails().len(), 0, "nothing is left");
}
