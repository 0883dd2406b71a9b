//! Tests properties that hold for any input.
//!
//! Random actions on three appliances: events of several boots and spools, sessions, commands,
//! time, a broker that restarts with other settings. The driver itself checks after each record
//! that numbers have no gaps, that times never fall, and that the state is the fold of the records.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::state::State;
use super::driver::*;
use crate::grid::log::alert_input::AlertCommand;
use crate::grid::log::command::AdminCommand;
use crate::grid::log::effect::{ApplianceEffect, Effect};
use crate::grid::log::identity::IdentityCommand;
use crate::grid::log::input::Input;
use crate::grid::log::record::Record;
use crate::grid::log::time_shift::TimeShift;
use crate::grid::log::wall_clock_change::WallClockChange;
use crate::grid::model::alert_group::ALERT_GROUPS_MAX;
use crate::grid::model::finding::FindingKind;
use crate::grid::model::lifecycle::Lifecycle;
use crate::grid::model::sequence_window::WINDOWS_MAX;
use crate::grid::model::settings::FLAPPING_FAILURES;
use crate::grid::state::appliance::{Appliance, PAST_BOOTS_MAX};
use crate::grid::tests::credential_properties::assert_credentials_are_sound;
use crate::grid::tests::random_actions::{SimulatedAction, actions, settings};
use crate::grid::tests::simulation::Simulation;
use crate::grid::tests::state_text::start_of;
use crate::grid::values::id::{ApplianceIndex, BootId};
use crate::grid::values::outcome::Outcome;
use crate::grid::values::record_flags::RecordFlags;
use crate::grid::values::time::{Offset, Timestamp};

/// The edges of the diagram, including the same state with other data where it says so.
fn is_edge(from: &Lifecycle, to: &Lifecycle, record: &Record, begins: bool) -> bool {
    use Lifecycle as L;
    let order =
        if let Input::Command { command, .. } = &record.input { Some(command) } else { None };
    if begins && matches!(to, L::Starting { .. } | L::Running) {
        return true;
    }
    if let Some(AdminCommand::Stop { .. }) = order {
        return matches!(to, L::Idle);
    }
    if let Some(AdminCommand::CrashDump { .. }) = order {
        return matches!((from, to), (L::Running | L::Failed(_), L::Dumping { .. }));
    }
    if let Input::CrashDump(_) = &record.input {
        return matches!((from, to), (L::Dumping(dumping), to) if dumping.state_before() == *to);
    }
    if let (L::Dumping(before), L::Dumping(after)) = (from, to) {
        return before.failed.is_some() && after.failed.is_none() || after.is_alive;
    }
    if let Some(AdminCommand::Set { .. }) = order {
        let starts_on = matches!(
            (from, to),
            (L::Starting { .. }, L::Starting { .. }) | (L::Maintenance(_), L::Maintenance(_))
        );
        let is_freed = from.is_start_pending() || matches!(from, L::Failed(_));
        return starts_on || is_freed && matches!(to, L::Running);
    }
    match (from, to) {
        (L::Starting { .. } | L::Maintenance(_), L::Running | L::Maintenance(_) | L::Failed(_))
        | (L::Failed(_), L::Running | L::Maintenance(_) | L::Failed(_))
        | (L::Dumping { .. }, L::Failed(_) | L::Running) => true,
        (L::Idle | L::Running | L::Dumping { .. }, _) => false,
        (L::Starting { .. } | L::Maintenance(_) | L::Failed(_), _) => begins,
    }
}

/// Whether the appliance reports otherwise than was assumed of its start.
fn is_corrected(appliance: &Appliance, record: &Record) -> bool {
    let mut was_assumed = appliance.boot.is_some_and(|boot| boot.is_assumed_running);
    record.effects.iter().any(|effect| {
        let Some(ApplianceEffect::Boot { boot }) = effect.of_appliance() else { return false };
        let is_corrected = was_assumed && !boot.is_assumed_running;
        was_assumed = boot.is_assumed_running;
        is_corrected
    })
}

/// Applies the records one by one and checks each change of state against the diagram.
fn assert_transitions_are_documented(records: &[Record]) {
    let mut state = State::default();
    for record in records {
        let begins = |effect: &Effect| {
            let Effect::Appliance { number, change: ApplianceEffect::Boot { boot } } = effect
            else {
                return None;
            };
            let appliance = state.appliance(*number)?;
            let is_over =
                matches!(appliance.lifecycle, Lifecycle::Idle | Lifecycle::Dumping { .. });
            let is_another = appliance.boot.is_none_or(|before| match (before.id, boot.id) {
                (None, Some(_)) => is_over,
                (_, None) => true,
                (before, after) => before != after,
            });
            is_another.then_some(*number)
        };
        let begun: BTreeSet<_> = record.effects.iter().filter_map(begins).collect();
        let mut now: BTreeMap<ApplianceIndex, Lifecycle> = BTreeMap::new();
        for effect in &record.effects {
            let Effect::Appliance {
                number,
                change: ApplianceEffect::Lifecycle { lifecycle, since },
            } = effect
            else {
                continue;
            };
            let begins = begun.contains(number) && !now.contains_key(number);
            let appliance = state.appliance(*number).expect("only the present have a start");
            let from = now.get(number).unwrap_or(&appliance.lifecycle);
            let is_corrected = is_corrected(appliance, record)
                && matches!(lifecycle, Lifecycle::Maintenance(_) | Lifecycle::Failed(_));
            let is_allowed = is_corrected || is_edge(from, lifecycle, record, begins);
            assert!(is_allowed, "{from:?} by {record:?}");
            let is_restored = record.flags.contains(RecordFlags::DUMP_NO_EFFECT)
                || matches!(record.input, Input::CrashDump(_));
            if let (Lifecycle::Dumping(dumping), true) = (from, is_restored) {
                assert_eq!(*since, dumping.before_since, "as before the dump: {record:?}");
            } else if from.as_str() != lifecycle.as_str() || begins {
                assert_eq!(*since, record.at, "since the change: {record:?}");
            } else {
                assert!(*since <= record.at);
            }
            now.insert(*number, lifecycle.clone());
        }
        let before = state.clone();
        state.replay(record);
        assert_change_is_allowed(&before, &state, record);
    }
}

/// A rejected event, or history, changes neither boot nor start, and no alert of a start.
fn assert_change_is_allowed(before: &State, after: &State, record: &Record) {
    let Input::Event(received) = &record.input else { return };
    for row in (1..before.next_number().0).map(ApplianceIndex) {
        let (old, new) = (before.appliance(row), after.appliance(row));
        if row != received.appliance {
            assert_eq!(old, new, "an event is about its own appliance");
            continue;
        }
        let (Some(old), Some(new)) = (old, new) else { continue };
        let is_other_boot = received.boot.is_some_and(|boot| new.boot_id() != Some(boot));
        if is_other_boot {
            // An event that is not stored has a record if it ends a loss of contact.
            let is_quiet = matches!(
                record.outcome,
                Outcome::OlderBoot | Outcome::Suppressed | Outcome::BelowThreshold
            );
            assert!(is_quiet, "{record:?}");
            assert_eq!((old.boot, &old.lifecycle), (new.boot, &new.lifecycle));
            assert_eq!((old.since, &old.past_boots), (new.since, &new.past_boots));
            assert_eq!(old.failed_starts, new.failed_starts);
        }
        if record.outcome == Outcome::Suppressed {
            assert_eq!(
                (old.boot, &old.lifecycle, old.since),
                (new.boot, &new.lifecycle, new.since)
            );
        }
        // An appliance first seen long after its start is running, though its event is rejected.
        if matches!(record.outcome, Outcome::Rejected(_)) && old.boot == new.boot {
            assert_eq!((quiet(&old.lifecycle), old.since), (quiet(&new.lifecycle), new.since));
        }
    }
}

/// The state without the sign of life that any event of the boot gives while a dump is taken.
fn quiet(lifecycle: &Lifecycle) -> Lifecycle {
    let mut lifecycle = lifecycle.clone();
    if let Lifecycle::Dumping(dumping) = &mut lifecycle {
        dumping.is_alive = false;
    }
    lifecycle
}

/// Memory is bounded, and open alerts fit the state they are about.
fn assert_is_sound(timeline: &Timeline) {
    let state = timeline.grid().state();
    for appliance in state.appliances() {
        assert!(appliance.past_boots.len() <= PAST_BOOTS_MAX);
        let distinct: BTreeSet<BootId> = appliance.past_boots.iter().copied().collect();
        assert_eq!(distinct.len(), appliance.past_boots.len());
        assert!(appliance.boot_id().is_none_or(|boot| !distinct.contains(&boot)));
        assert!(appliance.windows.values().len() <= WINDOWS_MAX);
        assert!(appliance.usage.alert_groups.len() <= ALERT_GROUPS_MAX);
        assert!(appliance.failed_starts.len() <= FLAPPING_FAILURES);
        assert!(appliance.failed_starts.is_sorted());
        let is_open = |kind| state.finding(Some(appliance.number), kind).is_some();
        let is_failed = appliance.lifecycle.failed().is_some();
        assert_eq!(is_open(FindingKind::StartFailed), is_failed);
        let is_stuck = matches!(&appliance.lifecycle, Lifecycle::Maintenance(known)
            if known.stuck_at.is_none());
        assert_eq!(is_open(FindingKind::Stuck), is_stuck);
        if appliance.lifecycle == Lifecycle::Idle {
            assert!(!is_open(FindingKind::NoContact) && !is_open(FindingKind::Flapping));
        }
        let deadline = appliance.lifecycle.deadline().filter(|it| *it < Timestamp::MAX);
        let wakes = deadline.is_none() || timeline.grid().poll_timeout().is_some();
        assert!(wakes, "a deadline is armed");
    }
    for (number, _, _) in state.findings() {
        let number = number.expect("nothing here is about the broker");
        assert!(state.appliance(number).is_some(), "the removed have nothing open");
    }
}

/// A third of proptest's number: a timeline has up to 120 actions, and the whole run must stay
/// short.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.div_ceil(3), ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_the_rules_hold(
        deeds in prop::collection::vec(actions(), 1..120),
        tallies_late in any::<bool>(),
    ) {
        let mut play = Simulation::new(tallies_late);
        for deed in deeds {
            play.run(deed);
            assert_is_sound(&play.timeline);
            assert_credentials_are_sound(&play.timeline);
        }
        // In the end all is quiet: all due timers have fired, and the grid is not busy for ever.
        while let Some((row, boot, session)) = play.sessions.pop() {
            play.timeline.close_session_of(row, boot, session);
        }
        play.timeline.advance_to(play.timeline.now.after(seconds(13 * 3_600)));
        play.run(SimulatedAction::Tally);
        assert_is_sound(&play.timeline);
        play.assert_counts();
        for appliance in play.timeline.grid().state().appliances() {
            let usage = &appliance.usage;
            prop_assert!(usage.suppression.is_none(), "{:?}", usage);
            prop_assert!(usage.alert_groups.iter().all(|key| key.repeats == 0), "{:?}", usage);
        }
        for appliance in play.timeline.grid().state().appliances() {
            let deadline = appliance.lifecycle.deadline();
            prop_assert!(deadline.is_none_or(|it| it > play.timeline.now), "{:?}", appliance);
        }
        assert_transitions_are_documented(&play.timeline.records);
    }

    #[test]
    fn a_checkpoint_at_any_point_and_the_records_after_it_give_the_state(
        deeds in prop::collection::vec(actions(), 1..60),
        cut in any::<prop::sample::Index>(),
        tallies_late in any::<bool>(),
    ) {
        let mut play = Simulation::new(tallies_late);
        for deed in deeds {
            play.run(deed);
        }
        play.run(SimulatedAction::Tally);
        let records = &play.timeline.records;
        let (head, tail) = records.split_at(cut.index(records.len() + 1));
        let mut state = State::default();
        head.iter().for_each(|record| drop(state.replay(record)));
        let mut state = State::from_effects(&state.to_effects(), state.last(), state.last_at());
        tail.iter().for_each(|record| drop(state.replay(record)));
        prop_assert_eq!(&state, play.timeline.grid().state());
        // A grid with other rules reaches the same state by the same records.
        let mut grid = super::super::Grid::new(State::default(), settings(3), at(0));
        records.iter().for_each(|record| grid.apply(record));
        prop_assert_eq!(grid.state(), play.timeline.grid().state());
    }

    #[test]
    fn a_clock_that_is_set_at_any_moment_changes_times_and_nothing_else(
        deeds in prop::collection::vec(actions(), 1..60),
        (set, years) in (any::<prop::sample::Index>(), -20i64..=20),
        tallies_late in any::<bool>(),
    ) {
        let by = Offset::from_micros(years * 365 * 86_400_000_000);
        // Event times come from the appliances' own clocks, which are not set here.
        let deeds: Vec<_> = deeds.into_iter().filter_map(without_event_times).collect();
        let (mut right, mut wrong) = (Simulation::new(tallies_late), Simulation::new(tallies_late));
        let set = set.index(deeds.len() + 1);
        for (at, deed) in deeds.into_iter().map(Some).chain([None]).enumerate() {
            if at == set {
                // What is overdue fires first. Timers are sorted by tenths of a second, anew after a
                // clock was set: there it would fire a tenth later.
                for play in [&mut right, &mut wrong] {
                    let soon = play.timeline.now.after(std::time::Duration::from_millis(200));
                    play.timeline.advance_to(soon);
                }
                right.timeline.handle(Input::WallClock(WallClockChange::Agrees));
                wrong.timeline.set_clock(by.as_micros() / 1_000_000);
            }
            let Some(deed) = deed else { break };
            right.run(deed.clone());
            wrong.run(deed);
        }
        right.run(SimulatedAction::Tally);
        wrong.run(SimulatedAction::Tally);
        let shapes = |play: &Simulation| -> Vec<_> {
            let records = play.timeline.records.iter();
            let kept = records.filter(|record| !matches!(record.input, Input::WallClock(_)));
            // An event without uptime or sequence is ordered by a clock, so that an older one of
            // the same boot may count as newer: the boots are compared below, single events are
            // not.
            let effects = |it: &Record| {
                it.effects.iter().filter(|it| !matches!(it.of_appliance(), Some(ApplianceEffect::Boot { .. }))).count()
            };
            kept.map(|it| (it.number, it.outcome, it.flags, effects(it))).collect()
        };
        prop_assert_eq!(shapes(&wrong), shapes(&right));
        let shift = TimeShift { by, from: Timestamp::MIN };
        let expected = right.timeline.grid().state().shifted(shift);
        let told = |state: &State| -> Vec<_> { state.to_effects().into_iter().map(without_newest_event).collect() };
        prop_assert_eq!(told(wrong.timeline.grid().state()), told(&expected));
        prop_assert_eq!(wrong.timeline.grid().state().lived_time(), expected.lived_time());
    }

    #[test]
    fn whatever_the_order_of_a_replay_the_newest_word_holds((words, live, order) in histories()) {
        let said = |at: usize| words[at].clone().with_uptime(seconds(10 * (at as u64 + 1)));
        let (mut told, mut replayed) = (Timeline::new(), Timeline::new());
        let _ = (told.hello(1), replayed.hello(1));
        (0..words.len()).for_each(|word| _ = told.receive(said(word)));
        (0..live).for_each(|word| _ = replayed.receive(said(word)));
        order.iter().for_each(|word| _ = replayed.receive(said(live + word).spooled(at(0))));
        prop_assert_eq!(start_of(replayed.db1()), start_of(told.db1()));
    }
}

/// The same without times and uptimes: after a clock jumped ahead they are no longer certain.
fn without_event_times(deed: SimulatedAction) -> Option<SimulatedAction> {
    match deed {
        SimulatedAction::Report(mut said) => {
            let event = &mut said.0.event;
            event.uptime = None;
            let tells = event.event_time.is_some() || event.spooled_at.is_some();
            (!tells && event.dropped_before.is_empty()).then_some(SimulatedAction::Report(said))
        }
        SimulatedAction::Hello { row, boot, .. } => {
            Some(SimulatedAction::Hello { row, boot, uptime: None })
        }
        // Times of certificates are not shifted, nor ends that an administrator gave.
        SimulatedAction::Silence(_)
        | SimulatedAction::Alert(_, AlertCommand::Acknowledge { .. })
        | SimulatedAction::Identity(
            IdentityCommand::Enrol { .. } | IdentityCommand::Renew { .. },
        ) => None,
        other @ (SimulatedAction::Resend
        | SimulatedAction::Flood(_)
        | SimulatedAction::Tally
        | SimulatedAction::CloseSession(_)
        | SimulatedAction::Command(_)
        | SimulatedAction::Alert(..)
        | SimulatedAction::DumpReport(..)
        | SimulatedAction::Identity(_)
        | SimulatedAction::Security(_)
        | SimulatedAction::Wait(_)
        | SimulatedAction::Pause(_)
        | SimulatedAction::Restart(..)) => Some(other),
    }
}

/// An effect without the time of an event (by the appliance's clock, or on receipt), and without
/// how early a boot may have begun.
fn without_newest_event(effect: Effect) -> Effect {
    let Effect::Appliance { number, change: ApplianceEffect::Boot { mut boot } } = effect else {
        return effect;
    };
    (boot.newest_event, boot.earliest_began_at) = (None, boot.began_at);
    ApplianceEffect::Boot { boot }.of(number)
}

/// The events of a start in order, how many of them were live, and an order of the rest.
fn histories() -> impl Strategy<Value = (Vec<EventBuilder>, usize, Vec<usize>)> {
    let ends = prop_oneof![
        Just(vec![]),
        Just(vec![started_ok(1)]),
        Just(vec![start_failed(1, "x")]),
        Just(vec![start_failed(1, "x"), started_ok(1)]),
    ];
    let reports = prop::collection::vec((1u32..=100, "[a-c]"), 0..6);
    let words = (reports, ends).prop_map(|(reports, end)| {
        let reports = reports.iter().map(|(percent, text)| maintenance(1, *percent, text));
        reports.chain(end).collect::<Vec<_>>()
    });
    words.prop_flat_map(|words| (0..=words.len(), Just(words))).prop_flat_map(|(live, words)| {
        let rest = Just((0..words.len() - live).collect::<Vec<_>>()).prop_shuffle();
        (Just(words), Just(live), rest)
    })
}
