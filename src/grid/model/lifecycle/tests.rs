//! Tests that `step` does what the table of the lifecycle says, and the rules of progress.

use super::*;

const SOURCE: &str = include_str!("../lifecycle.rs");

/// When each deadline of the states below is due, in seconds.
const BOOT_DEADLINE: u64 = 300;

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.after(Duration::from_secs(seconds))
}

fn progress(percent: u32) -> Option<Progress> {
    Progress::new(percent)
}

fn report(percent: u32, text: &str) -> ProgressReport<'_> {
    ProgressReport {
        progress: progress(percent),
        text,
        next_report_within: None,
        is_repeated: false,
    }
}

fn rules() -> ClassSettings {
    ClassSettings::default()
}

/// What `state` becomes by a report at `seconds`.
fn step_report(
    state: &Lifecycle,
    report: ProgressReport<'_>,
    rules: &ClassSettings,
    seconds: u64,
) -> StepResult {
    step(state, &LifecycleInput::Maintenance(report), rules, at(0), at(seconds))
}

fn step_deadline(state: &Lifecycle, rules: &ClassSettings, seconds: u64) -> StepResult {
    step(state, &LifecycleInput::Deadline, rules, at(0), at(seconds))
}

fn maintenance_of(step: StepResult) -> (Maintenance, RecordFlags) {
    let StepResult::Becomes(Lifecycle::Maintenance(known), flags) = step else {
        panic!("not in maintenance: {step:?}");
    };
    (*known, flags)
}

fn failure_of(step: StepResult) -> FailedStart {
    let StepResult::Becomes(Lifecycle::Failed(failed), RecordFlags::NONE) = step else {
        panic!("not failed: {step:?}");
    };
    *failed
}

fn starting() -> Lifecycle {
    Lifecycle::Starting { deadline: Some(at(BOOT_DEADLINE)) }
}

/// In maintenance at 34 % since second 10.
fn in_maintenance(rules: &ClassSettings) -> Lifecycle {
    let (known, _) = maintenance_of(step_report(&starting(), report(34, "checking"), rules, 10));
    Lifecycle::Maintenance(Box::new(known))
}

struct Variant {
    name: &'static str,
    state: Lifecycle,
    rules: ClassSettings,
}

fn variant(name: &'static str, state: Lifecycle) -> Variant {
    Variant { name, state, rules: rules() }
}

/// Every state with its variants; whatever can be due is due at [`BOOT_DEADLINE`] and not before.
fn variants() -> Vec<Variant> {
    let silent = Maintenance {
        progress: progress(34),
        best_progress: progress(34),
        text: "checking".into(),
        reported_at: at(240),
        report_deadline: at(BOOT_DEADLINE),
        progressed_at: at(10),
        stuck_at: Some(at(BOOT_DEADLINE + 1)),
        boot_deadline: Some(at(200)),
    };
    let stuck = Maintenance {
        report_deadline: at(BOOT_DEADLINE + 1),
        stuck_at: Some(at(BOOT_DEADLINE)),
        ..silent.clone()
    };
    let stuck = Lifecycle::Maintenance(Box::new(stuck));
    let limit = Duration::from_secs(60);
    let failed = |failure| {
        Lifecycle::Failed(Box::new(FailedStart { failure, reason: "".into(), last_report: None }))
    };
    let dumping = |is_alive, before: Lifecycle| {
        let (deadline, failed, before_since) = (at(BOOT_DEADLINE), before.failed().cloned(), at(5));
        Lifecycle::Dumping(Box::new(Dumping { deadline, failed, before_since, is_alive }))
    };
    let fails = ClassSettings { on_stuck: OnStuck::Fail, ..rules() };
    let unmanaged = ClassSettings { managed: false, ..rules() };
    vec![
        variant("idle", Lifecycle::Idle),
        variant("starting", starting()),
        variant("maintenance", Lifecycle::Maintenance(Box::new(silent))),
        variant("maintenance, stuck: warn", stuck.clone()),
        Variant { name: "maintenance, stuck: fail", state: stuck, rules: fails },
        variant("running", Lifecycle::Running),
        variant("failed, reported", failed(FailureCause::Reported)),
        variant("failed, boot_timeout", failed(FailureCause::BootTimeout { limit })),
        variant("failed, hung", failed(FailureCause::Hung { allowed_silence: limit })),
        variant("failed, no_progress", failed(FailureCause::NoProgress { unchanged_for: limit })),
        variant("failed, dump_timeout", failed(FailureCause::DumpTimeout)),
        variant("dumping", dumping(false, Lifecycle::Running)),
        Variant {
            name: "dumping, unmanaged",
            state: dumping(false, Lifecycle::Running),
            rules: unmanaged,
        },
        variant("dumping, failed", dumping(false, failed(FailureCause::Reported))),
        variant("dumping, alive", dumping(true, Lifecycle::Running)),
        variant("dumping, alive, failed", dumping(true, failed(FailureCause::Reported))),
    ]
}

fn inputs() -> [(&'static str, LifecycleInput<'static>); 4] {
    [
        ("started_ok", LifecycleInput::StartedOk),
        ("start_failed", LifecycleInput::StartFailed { reason: "no disk" }),
        ("maintenance", LifecycleInput::Maintenance(report(40, "copying"))),
        ("deadline", LifecycleInput::Deadline),
    ]
}

/// The rows of the table in the module's docs: state, input, becomes, because.
fn documented_rows() -> Vec<[&'static str; 4]> {
    SOURCE
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .filter_map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            <[&str; 4]>::try_from(cells).ok()
        })
        .skip_while(|row| row[0] == "state")
        .collect()
}

/// The two right columns by `step`.
fn actual_row(
    variant: &Variant,
    stimulus: &LifecycleInput<'_>,
    now: Timestamp,
) -> (String, String) {
    match step(&variant.state, stimulus, &variant.rules, at(0), now) {
        StepResult::Becomes(Lifecycle::Failed(failed), RecordFlags::NONE) => {
            ("failed".into(), failed.failure.as_str().into())
        }
        StepResult::Becomes(next, flags) => {
            (next.as_str().into(), flags.labels().collect::<Vec<_>>().join(" "))
        }
        StepResult::Unchanged => (variant.state.as_str().into(), "no change".into()),
        StepResult::Refused(rejection) => ("refused".into(), rejection.as_str().to_lowercase()),
        StepResult::NotDue => ("-".into(), String::new()),
    }
}

#[test]
fn the_documented_table_is_what_step_does() {
    let table = documented_rows();
    let mut unused: Vec<_> = table.clone();
    for variant in variants() {
        for (word, stimulus) in inputs() {
            let row_named =
                |state: &str| table.iter().find(|row| row[0] == state && row[1] == word);
            let row = row_named(variant.name)
                .or_else(|| row_named(variant.state.as_str()))
                .unwrap_or_else(|| panic!("{} and {word} are not in the table", variant.name));
            let (becomes, because) = actual_row(&variant, &stimulus, at(BOOT_DEADLINE));
            assert_eq!((row[2], row[3]), (&*becomes, &*because), "{} and {word}", variant.name);
            unused.retain(|other| other != row);
        }
    }
    assert_eq!(unused, Vec::<[&str; 4]>::new(), "rows of states that do not exist");
    let pairs: std::collections::BTreeSet<_> = table.iter().map(|row| (row[0], row[1])).collect();
    assert_eq!(pairs.len(), table.len(), "each pair once");
}

#[test]
fn nothing_happens_before_a_deadline_is_due() {
    for variant in variants() {
        let step = step_deadline(&variant.state, &variant.rules, BOOT_DEADLINE - 1);
        assert_eq!(step, StepResult::NotDue, "{}", variant.name);
    }
}

#[test]
fn step_decides_at_the_deadline_of_the_state() {
    for variant in variants() {
        let verdict =
            step_deadline(&variant.state, &variant.rules, BOOT_DEADLINE) != StepResult::NotDue;
        let expected = verdict.then(|| at(BOOT_DEADLINE));
        assert_eq!(variant.state.deadline(), expected, "{}", variant.name);
    }
}

#[test]
fn a_start_without_a_deadline_never_times_out() {
    let state = Lifecycle::Starting { deadline: None };
    let step = step(&state, &LifecycleInput::Deadline, &rules(), at(0), Timestamp::MAX);
    assert_eq!(step, StepResult::NotDue);
}

#[test]
fn a_boot_timeout_contains_its_limit() {
    let limit = Duration::from_secs(BOOT_DEADLINE);
    let failed = failure_of(step_deadline(&starting(), &rules(), BOOT_DEADLINE + 7));
    assert_eq!(failed.failure, FailureCause::BootTimeout { limit });
    assert_eq!(failed.last_report, None);
}

#[test]
fn falling_progress_is_stored_and_flagged() {
    let state = in_maintenance(&rules());
    let (fallen, flags) = maintenance_of(step_report(&state, report(20, "checking"), &rules(), 20));
    assert_eq!((fallen.progress, fallen.best_progress), (progress(20), progress(34)));
    assert!(flags.contains(RecordFlags::PROGRESS_FELL));
}

#[test]
fn progress_that_rises_below_its_best_has_not_moved() {
    let state = in_maintenance(&rules());
    let (fallen, _) = maintenance_of(step_report(&state, report(20, "checking"), &rules(), 20));
    assert_eq!(fallen.progressed_at, at(10));
    let fallen = Lifecycle::Maintenance(Box::new(fallen));
    let (risen, flags) = maintenance_of(step_report(&fallen, report(30, "checking"), &rules(), 30));
    assert_eq!((risen.progressed_at, flags), (at(10), RecordFlags::NONE));
    let (best, _) = maintenance_of(step_report(&fallen, report(35, "checking"), &rules(), 40));
    assert_eq!(best.progressed_at, at(40));
}

#[test]
fn a_lower_percentage_of_another_text_is_a_part_that_begins_anew() {
    let state = in_maintenance(&rules());
    let (part, flags) = maintenance_of(step_report(&state, report(20, "copying"), &rules(), 20));
    assert_eq!((part.best_progress, part.progressed_at), (progress(20), at(20)));
    assert!(flags.contains(RecordFlags::PROGRESS_FELL));
}

#[test]
fn a_new_text_is_progress_where_no_percentage_is_known() {
    let state = in_maintenance(&rules());
    let (still, _) = maintenance_of(step_report(&state, report(34, "copying"), &rules(), 50));
    assert_eq!((still.progressed_at, &*still.text), (at(10), "copying"));
    let Lifecycle::Maintenance(mut state) = state else { panic!("it is in maintenance") };
    (state.progress, state.best_progress) = (None, None);
    let state = Lifecycle::Maintenance(state);
    let said = |text| ProgressReport { progress: None, ..report(1, text) };
    let (moved, _) = maintenance_of(step_report(&state, said("copying"), &rules(), 50));
    assert_eq!((moved.progressed_at, moved.stuck_at), (at(50), Some(at(50 + 900))));
    let (still, _) = maintenance_of(step_report(&state, said("| checking 7 s"), &rules(), 50));
    assert_eq!(still.progressed_at, at(10));
}

#[test]
fn a_report_without_text_or_progress_keeps_the_values_before() {
    let silent = ProgressReport { progress: None, ..report(1, "") };
    let (kept, flags) =
        maintenance_of(step_report(&in_maintenance(&rules()), silent, &rules(), 50));
    assert_eq!((kept.progress, &*kept.text), (progress(34), "checking"));
    assert_eq!((kept.progressed_at, kept.reported_at, flags), (at(10), at(50), RecordFlags::NONE));
}

#[test]
fn what_is_repeated_is_contact_and_not_progress() {
    let state = in_maintenance(&rules());
    let again = ProgressReport { is_repeated: true, ..report(50, "copying") };
    let (repeated, _) = maintenance_of(step_report(&state, again, &rules(), 60));
    assert_eq!((repeated.reported_at, repeated.report_deadline), (at(60), at(120)));
    assert_eq!((repeated.progressed_at, repeated.stuck_at), (at(10), Some(at(910))));
    let repeated = Lifecycle::Maintenance(Box::new(repeated));
    let (anew, _) = maintenance_of(step_report(&repeated, report(50, "copying"), &rules(), 70));
    assert_eq!(anew.progressed_at, at(70), "the same said anew is progress");
}

/// Sends the same report every 30 s until `seconds`, then lets time pass.
fn step_without_progress(rules: &ClassSettings, seconds: u64) -> (Lifecycle, StepResult) {
    let mut state = in_maintenance(rules);
    for now in (30..=seconds).step_by(30) {
        let (next, _) = maintenance_of(step_report(&state, report(34, "checking"), rules, now));
        state = Lifecycle::Maintenance(Box::new(next));
    }
    let step = step_deadline(&state, rules, seconds);
    (state, step)
}

#[test]
fn progress_that_does_not_move_for_15_min_is_stuck() {
    assert_eq!(step_without_progress(&rules(), 900).1, StepResult::NotDue);
    let (state, warned) = step_without_progress(&rules(), 930);
    assert_eq!(state.deadline(), Some(at(910)));
    let (stuck, flags) = maintenance_of(warned);
    assert_eq!((stuck.stuck_at, stuck.progressed_at, flags), (None, at(10), RecordFlags::STUCK));
    let stuck = Lifecycle::Maintenance(Box::new(stuck));
    assert_eq!(step_deadline(&stuck, &rules(), 940), StepResult::NotDue, "it is said once");
    assert_eq!(stuck.deadline(), Some(at(990)), "silence is judged on");
    let (moved, _) = maintenance_of(step_report(&stuck, report(35, "checking"), &rules(), 950));
    assert_eq!(moved.stuck_at, Some(at(950 + 900)));
}

#[test]
fn stuck_progress_fails_a_class_that_asks_for_it() {
    let rules = ClassSettings { on_stuck: OnStuck::Fail, ..rules() };
    let failed = failure_of(step_without_progress(&rules, 930).1);
    assert_eq!(
        failed.failure,
        FailureCause::NoProgress { unchanged_for: Duration::from_secs(920) }
    );
    assert_eq!(failed.last_report.map(|word| word.at), Some(at(930)));
}

#[test]
fn a_report_interval_is_limited_by_the_class() {
    let promising = |seconds| {
        let within = Some(Duration::from_secs(seconds));
        let report = ProgressReport { next_report_within: within, ..report(1, "a") };
        let (known, flags) = maintenance_of(step_report(&starting(), report, &rules(), 100));
        (known.report_deadline, flags)
    };
    assert_eq!(promising(20), (at(120), RecordFlags::NONE));
    assert_eq!(promising(60), (at(160), RecordFlags::NONE));
    assert_eq!(promising(61), (at(160), RecordFlags::PROMISE_CUT));
    assert_eq!(promising(u64::MAX), (at(160), RecordFlags::PROMISE_CUT));
    assert_eq!(promising(0), (at(101), RecordFlags::NONE), "no promise is shorter than a second");
}

#[test]
fn without_a_report_interval_the_silence_of_the_class_applies() {
    let rules = ClassSettings { report_deadline: Duration::from_secs(90), ..rules() };
    let (known, flags) = maintenance_of(step_report(&starting(), report(1, "a"), &rules, 100));
    assert_eq!(
        (known.report_deadline, flags),
        (at(190), RecordFlags::NONE),
        "nothing promised, nothing cut"
    );
}

#[test]
fn hung_waits_for_the_boot_deadline_where_the_class_asks_for_it() {
    let rules = ClassSettings { hung_waits_for_boot_deadline: true, ..rules() };
    let early = in_maintenance(&rules);
    assert_eq!(early.deadline(), Some(at(BOOT_DEADLINE)));
    assert_eq!(step_deadline(&early, &rules, 299), StepResult::NotDue);
    failure_of(step_deadline(&early, &rules, 300));
    let (late, _) = maintenance_of(step_report(&early, report(35, "a"), &rules, 290));
    assert_eq!(late.report_deadline, at(350), "the promise holds if it lies behind the deadline");
}

#[test]
fn hung_waits_for_no_deadline_that_has_passed() {
    let rules = ClassSettings { hung_waits_for_boot_deadline: true, ..rules() };
    let StepResult::Becomes(failed, _) = step_deadline(&starting(), &rules, 300) else {
        panic!("the boot deadline passed");
    };
    let (back, flags) = maintenance_of(step_report(&failed, report(1, "a"), &rules, 400));
    assert_eq!((back.report_deadline, flags), (at(460), RecordFlags::RECOVERED));
}

#[test]
fn a_hang_has_its_allowed_silence_and_last_report() {
    let failed = failure_of(step_deadline(&in_maintenance(&rules()), &rules(), 71));
    assert_eq!(failed.failure, FailureCause::Hung { allowed_silence: Duration::from_secs(60) });
    let word = LastReport { text: "checking".into(), progress: progress(34), at: at(10) };
    assert_eq!(failed.last_report, Some(word));
}

#[test]
fn the_last_report_outlives_a_later_reason() {
    let StepResult::Becomes(hung, _) = step_deadline(&in_maintenance(&rules()), &rules(), 71)
    else {
        panic!("silence is a hang");
    };
    let told = LifecycleInput::StartFailed { reason: "no disk" };
    let failed = failure_of(step(&hung, &told, &rules(), at(0), at(80)));
    assert_eq!((failed.failure, &*failed.reason), (FailureCause::Reported, "no disk"));
    assert_eq!(failed.last_report.map(|word| word.at), Some(at(10)));
}

#[test]
fn every_deadline_of_a_state_is_moved_together() {
    let moved = in_maintenance(&rules()).map_deadlines(|it| it.after(Duration::from_secs(5)));
    let Lifecycle::Maintenance(known) = moved else { panic!("still in maintenance") };
    assert_eq!((known.report_deadline, known.stuck_at), (at(75), Some(at(915))));
    assert_eq!(known.boot_deadline, Some(at(BOOT_DEADLINE + 5)));
    assert_eq!((known.reported_at, known.progressed_at), (at(10), at(10)), "what was stays");
}
