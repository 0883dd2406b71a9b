//! Tests a storm of starts: a site that boots at once.

use std::collections::BTreeMap;

use super::driver::*;
use super::many_appliances::{advance, fleet, hello, unlimited};
use crate::grid::log::effect::ApplianceEffect;
use crate::grid::log::input::Input;
use crate::grid::model::lifecycle::{FailureCause, Lifecycle};
use crate::grid::model::settings::{DEFAULT_CLASS, GridSettings};
use crate::grid::values::id::ApplianceIndex;
use crate::grid::values::time::Timestamp;

/// What an appliance of the storm does: of ten, one says nothing, and one that its start failed.
fn is_silent(row: u32) -> bool {
    row % 10 == 3
}

fn fails(row: u32) -> bool {
    row % 10 == 7
}

#[test]
fn a_hundred_thousand_starts_in_a_minute_have_each_its_own_verdict() {
    const STARTS: u32 = 100_000;
    let mut grid = fleet(GridSettings::new([(DEFAULT_CLASS.to_owned(), unlimited())]), STARTS);
    let micros = |row: u32| std::time::Duration::from_micros(u64::from(row) * 600);
    let began = |row: u32| at(10).after(micros(row));
    let mut verdicts = Vec::new();
    // Each reports 30 s after its start, while others still start.
    let mut steps: Vec<(Timestamp, u32, bool)> = (1..=STARTS)
        .flat_map(|row| [(began(row), row, true), (began(row).after(seconds(30)), row, false)])
        .collect();
    steps.sort_unstable();
    let mut second = at(0);
    for (now, row, starts) in steps {
        // Timers are looked at once a second: each look goes over the whole wheel.
        if now.since(second) >= seconds(1) {
            second = now;
            verdicts.extend(advance(&mut grid, now));
        }
        let row_number = ApplianceIndex(row);
        if starts {
            grid.handle(hello(row_number), now);
        } else if fails(row) {
            grid.handle(Input::Event(Box::new(start_failed(1, "no disk").by(row_number).0)), now);
        } else if !is_silent(row) {
            grid.handle(Input::Event(Box::new(started_ok(1).by(row_number).0)), now);
        }
    }
    assert!(verdicts.is_empty(), "nobody is judged before the deadline");
    verdicts.extend(advance(&mut grid, began(STARTS).after(seconds(400))));

    let judged: BTreeMap<u32, Timestamp> = verdicts
        .iter()
        .flat_map(|record| record.effects.iter().map(|effect| (record.at, effect)))
        .filter_map(|(at, effect)| match (effect.appliance(), effect.of_appliance()) {
            (Some(number), Some(ApplianceEffect::Lifecycle { .. })) => Some((number.0, at)),
            (_, _) => None,
        })
        .collect();
    let silent: Vec<u32> = (1..=STARTS).filter(|row| is_silent(*row)).collect();
    assert_eq!(judged.keys().copied().collect::<Vec<_>>(), silent, "no verdict too many");
    assert_eq!(verdicts.len(), silent.len(), "one each");
    for row in 1..=STARTS {
        let appliance = grid.state().appliance(ApplianceIndex(row)).expect("it is known");
        match &appliance.lifecycle {
            Lifecycle::Failed(failed) if is_silent(row) => {
                assert!(matches!(failed.failure, FailureCause::BootTimeout { .. }));
                let deadline = began(row).after(seconds(300));
                let late = judged[&row].since(deadline);
                assert!(judged[&row] >= deadline && late < seconds(2), "{row}: {late:?} late");
            }
            Lifecycle::Failed(failed) => {
                assert!(fails(row) && failed.failure == FailureCause::Reported, "{row}");
            }
            Lifecycle::Running => assert!(!fails(row) && !is_silent(row), "{row}"),
            other @ (Lifecycle::Idle
            | Lifecycle::Starting { .. }
            | Lifecycle::Maintenance(_)
            | Lifecycle::Dumping(_)) => panic!("{row} is {other:?}"),
        }
    }
}
