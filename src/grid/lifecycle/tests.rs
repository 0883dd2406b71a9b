//! The table of the lifecycle, compared with what `step` does, and the rules of progress.

use super::*;

const SOURCE: &str = include_str!("../lifecycle.rs");

/// When each deadline of the states below is due, in seconds.
const DUE: u64 = 300;

fn at(seconds: u64) -> Timestamp {
    Timestamp::EPOCH.after(Duration::from_secs(seconds))
}

fn progress(percent: u32) -> Option<Progress> {
    Progress::new(percent)
}

fn report(percent: u32, text: &str) -> Report<'_> {
    Report { progress: progress(percent), text, next_report_within: None, repeated: false }
}

fn rules() -> ClassSettings {
    ClassSettings::default()
}

/// What `state` becomes by a report at `seconds`.
fn reports(state: &Lifecycle, report: Report<'_>, rules: &ClassSettings, seconds: u64) -> Step {
    step(state, &Stimulus::Maintenance(report), rules, at(0), at(seconds))
}

fn time_passes(state: &Lifecycle, rules: &ClassSettings, seconds: u64) -> Step {
    step(state, &Stimulus::Deadline, rules, at(0), at(seconds))
}

fn known(step: Step) -> (Maintenance, Marks) {
    let Step::Becomes(Lifecycle::Maintenance(known), marks) = step else {
        panic!("not in maintenance: {step:?}");
    };
    (*known, marks)
}

fn failed_by(step: Step) -> Failed {
    let Step::Becomes(Lifecycle::Failed(failed), Marks::NONE) = step else {
        panic!("not failed: {step:?}");
    };
    *failed
}

fn starting() -> Lifecycle {
    Lifecycle::Starting { deadline: Some(at(DUE)) }
}

/// In maintenance at 34 % since second 10.
fn in_maintenance(rules: &ClassSettings) -> Lifecycle {
    let (known, _) = known(reports(&starting(), report(34, "checking"), rules, 10));
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

/// Every state with its variants; whatever can be due is due at [`DUE`] and not before.
fn variants() -> Vec<Variant> {
    let silent = Maintenance {
        progress: progress(34),
        best: progress(34),
        text: "checking".into(),
        reported_at: at(240),
        promise: at(DUE),
        moved_at: at(10),
        stuck_at: Some(at(DUE + 1)),
        boot_deadline: Some(at(200)),
    };
    let stuck = Maintenance { promise: at(DUE + 1), stuck_at: Some(at(DUE)), ..silent.clone() };
    let stuck = Lifecycle::Maintenance(Box::new(stuck));
    let limit = Duration::from_secs(60);
    let failed = |failure| {
        Lifecycle::Failed(Box::new(Failed { failure, reason: "".into(), last_word: None }))
    };
    let dumping = Lifecycle::Dumping { deadline: at(DUE) };
    let fails = ClassSettings { on_stuck: OnStuck::Fail, ..rules() };
    let unmanaged = ClassSettings { managed: false, ..rules() };
    vec![
        variant("idle", Lifecycle::Idle),
        variant("starting", starting()),
        variant("maintenance", Lifecycle::Maintenance(Box::new(silent))),
        variant("maintenance, stuck: warn", stuck.clone()),
        Variant { name: "maintenance, stuck: fail", state: stuck, rules: fails },
        variant("running", Lifecycle::Running),
        variant("failed, reported", failed(Failure::Reported)),
        variant("failed, boot_timeout", failed(Failure::BootTimeout { limit })),
        variant("failed, hung", failed(Failure::Hung { promise: limit })),
        variant("failed, no_progress", failed(Failure::NoProgress { still_for: limit })),
        variant("failed, dump_timeout", failed(Failure::DumpTimeout)),
        variant("dumping", dumping.clone()),
        Variant { name: "dumping, unmanaged", state: dumping, rules: unmanaged },
    ]
}

fn stimuli() -> [(&'static str, Stimulus<'static>); 4] {
    [
        ("started_ok", Stimulus::StartedOk),
        ("start_failed", Stimulus::StartFailed { reason: "no disk" }),
        ("maintenance", Stimulus::Maintenance(report(40, "copying"))),
        ("deadline", Stimulus::Deadline),
    ]
}

/// The rows of the table in the module's words: state, stimulus, becomes, because.
fn documented() -> Vec<[&'static str; 4]> {
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

/// The two right columns that `step` yields.
fn yielded(variant: &Variant, stimulus: &Stimulus<'_>, now: Timestamp) -> (String, String) {
    match step(&variant.state, stimulus, &variant.rules, at(0), now) {
        Step::Becomes(Lifecycle::Failed(failed), marks) => {
            assert_eq!(marks, Marks::NONE);
            ("failed".into(), failed.failure.word().into())
        }
        Step::Becomes(next, marks) => {
            (next.word().into(), marks.words().collect::<Vec<_>>().join(" "))
        }
        Step::Stays => (variant.state.word().into(), "no change".into()),
        Step::Refused(refusal) => ("refused".into(), refusal.word().to_lowercase()),
        Step::Nothing => ("-".into(), String::new()),
    }
}

#[test]
fn the_documented_table_is_what_step_does() {
    let table = documented();
    let mut unused: Vec<_> = table.clone();
    for variant in variants() {
        for (word, stimulus) in stimuli() {
            let row_of = |state: &str| table.iter().find(|row| row[0] == state && row[1] == word);
            let row = row_of(variant.name)
                .or_else(|| row_of(variant.state.word()))
                .unwrap_or_else(|| panic!("{} and {word} are not in the table", variant.name));
            let (becomes, because) = yielded(&variant, &stimulus, at(DUE));
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
        let step = time_passes(&variant.state, &variant.rules, DUE - 1);
        assert_eq!(step, Step::Nothing, "{}", variant.name);
    }
}

#[test]
fn a_state_tells_the_deadline_at_which_step_gives_a_verdict() {
    for variant in variants() {
        let verdict = time_passes(&variant.state, &variant.rules, DUE) != Step::Nothing;
        let expected = verdict.then(|| at(DUE));
        assert_eq!(variant.state.deadline(), expected, "{}", variant.name);
    }
}

#[test]
fn a_start_without_a_deadline_never_times_out() {
    let state = Lifecycle::Starting { deadline: None };
    let step = step(&state, &Stimulus::Deadline, &rules(), at(0), Timestamp::MAX);
    assert_eq!(step, Step::Nothing);
}

#[test]
fn a_boot_timeout_says_how_long_the_start_had() {
    let limit = Duration::from_secs(DUE);
    let failed = failed_by(time_passes(&starting(), &rules(), DUE + 7));
    assert_eq!(failed.failure, Failure::BootTimeout { limit });
    assert_eq!(failed.last_word, None);
}

#[test]
fn progress_that_falls_is_kept_and_marked() {
    let state = in_maintenance(&rules());
    let (fallen, marks) = known(reports(&state, report(20, "checking"), &rules(), 20));
    assert_eq!((fallen.progress, fallen.best), (progress(20), progress(34)));
    assert!(marks.has(Marks::PROGRESS_FELL));
}

#[test]
fn progress_that_rises_below_its_best_has_not_moved() {
    let state = in_maintenance(&rules());
    let (fallen, _) = known(reports(&state, report(20, "checking"), &rules(), 20));
    assert_eq!(fallen.moved_at, at(10));
    let fallen = Lifecycle::Maintenance(Box::new(fallen));
    let (risen, marks) = known(reports(&fallen, report(30, "checking"), &rules(), 30));
    assert_eq!((risen.moved_at, marks), (at(10), Marks::NONE));
    let (best, _) = known(reports(&fallen, report(35, "checking"), &rules(), 40));
    assert_eq!(best.moved_at, at(40));
}

#[test]
fn a_lower_percentage_of_another_text_is_a_part_that_begins_anew() {
    let state = in_maintenance(&rules());
    let (part, marks) = known(reports(&state, report(20, "copying"), &rules(), 20));
    assert_eq!((part.best, part.moved_at), (progress(20), at(20)));
    assert!(marks.has(Marks::PROGRESS_FELL));
}

#[test]
fn a_new_text_is_progress_where_no_percentage_is_known() {
    let state = in_maintenance(&rules());
    let (still, _) = known(reports(&state, report(34, "copying"), &rules(), 50));
    assert_eq!((still.moved_at, &*still.text), (at(10), "copying"));
    let Lifecycle::Maintenance(mut state) = state else { panic!("it is in maintenance") };
    (state.progress, state.best) = (None, None);
    let state = Lifecycle::Maintenance(state);
    let said = |text| Report { progress: None, ..report(1, text) };
    let (moved, _) = known(reports(&state, said("copying"), &rules(), 50));
    assert_eq!((moved.moved_at, moved.stuck_at), (at(50), Some(at(50 + 900))));
    let (still, _) = known(reports(&state, said("| checking 7 s"), &rules(), 50));
    assert_eq!(still.moved_at, at(10));
}

#[test]
fn a_report_without_text_or_progress_keeps_what_was_said() {
    let silent = Report { progress: None, ..report(1, "") };
    let (kept, marks) = known(reports(&in_maintenance(&rules()), silent, &rules(), 50));
    assert_eq!((kept.progress, &*kept.text), (progress(34), "checking"));
    assert_eq!((kept.moved_at, kept.reported_at, marks), (at(10), at(50), Marks::NONE));
}

#[test]
fn what_is_repeated_is_contact_and_not_progress() {
    let state = in_maintenance(&rules());
    let again = Report { repeated: true, ..report(50, "copying") };
    let (repeated, _) = known(reports(&state, again, &rules(), 60));
    assert_eq!((repeated.reported_at, repeated.promise), (at(60), at(120)));
    assert_eq!((repeated.moved_at, repeated.stuck_at), (at(10), Some(at(910))));
    let repeated = Lifecycle::Maintenance(Box::new(repeated));
    let (anew, _) = known(reports(&repeated, report(50, "copying"), &rules(), 70));
    assert_eq!(anew.moved_at, at(70), "the same said anew is progress");
}

/// Reports the same every 30 s until `seconds`, then lets time pass.
fn stands_still(rules: &ClassSettings, seconds: u64) -> (Lifecycle, Step) {
    let mut state = in_maintenance(rules);
    for now in (30..=seconds).step_by(30) {
        let (next, _) = known(reports(&state, report(34, "checking"), rules, now));
        state = Lifecycle::Maintenance(Box::new(next));
    }
    let step = time_passes(&state, rules, seconds);
    (state, step)
}

#[test]
fn progress_that_does_not_move_for_15_min_is_stuck() {
    assert_eq!(stands_still(&rules(), 900).1, Step::Nothing);
    let (state, warned) = stands_still(&rules(), 930);
    assert_eq!(state.deadline(), Some(at(910)));
    let (stuck, marks) = known(warned);
    assert_eq!((stuck.stuck_at, stuck.moved_at, marks), (None, at(10), Marks::STUCK));
    let stuck = Lifecycle::Maintenance(Box::new(stuck));
    assert_eq!(time_passes(&stuck, &rules(), 940), Step::Nothing, "it is said once");
    assert_eq!(stuck.deadline(), Some(at(990)), "silence is judged on");
    let (moved, _) = known(reports(&stuck, report(35, "checking"), &rules(), 950));
    assert_eq!(moved.stuck_at, Some(at(950 + 900)));
}

#[test]
fn stuck_progress_fails_a_class_that_asks_for_it() {
    let rules = ClassSettings { on_stuck: OnStuck::Fail, ..rules() };
    let failed = failed_by(stands_still(&rules, 930).1);
    assert_eq!(failed.failure, Failure::NoProgress { still_for: Duration::from_secs(920) });
    assert_eq!(failed.last_word.map(|word| word.at), Some(at(930)));
}

#[test]
fn a_promise_is_cut_to_what_the_class_allows() {
    let promising = |seconds| {
        let within = Some(Duration::from_secs(seconds));
        let report = Report { next_report_within: within, ..report(1, "a") };
        let (known, marks) = known(reports(&starting(), report, &rules(), 100));
        (known.promise, marks)
    };
    assert_eq!(promising(20), (at(120), Marks::NONE));
    assert_eq!(promising(60), (at(160), Marks::NONE));
    assert_eq!(promising(61), (at(160), Marks::PROMISE_CUT));
    assert_eq!(promising(u64::MAX), (at(160), Marks::PROMISE_CUT));
    assert_eq!(promising(0), (at(101), Marks::NONE), "no promise is shorter than a second");
}

#[test]
fn who_promises_nothing_has_the_silence_of_the_class() {
    let rules = ClassSettings { maintenance_silence: Duration::from_secs(90), ..rules() };
    let (known, marks) = known(reports(&starting(), report(1, "a"), &rules, 100));
    assert_eq!((known.promise, marks), (at(190), Marks::NONE), "nothing promised, nothing cut");
}

#[test]
fn hung_waits_for_the_boot_deadline_where_the_class_asks_for_it() {
    let rules = ClassSettings { hung_waits_for_boot_deadline: true, ..rules() };
    let early = in_maintenance(&rules);
    assert_eq!(early.deadline(), Some(at(DUE)));
    assert_eq!(time_passes(&early, &rules, 299), Step::Nothing);
    failed_by(time_passes(&early, &rules, 300));
    let (late, _) = known(reports(&early, report(35, "a"), &rules, 290));
    assert_eq!(late.promise, at(350), "the promise holds if it lies behind the deadline");
}

#[test]
fn hung_waits_for_no_deadline_that_has_passed() {
    let rules = ClassSettings { hung_waits_for_boot_deadline: true, ..rules() };
    let Step::Becomes(failed, _) = time_passes(&starting(), &rules, 300) else {
        panic!("the boot deadline passed");
    };
    let (back, marks) = known(reports(&failed, report(1, "a"), &rules, 400));
    assert_eq!((back.promise, marks), (at(460), Marks::RECOVERED));
}

#[test]
fn a_hang_keeps_promise_and_last_words() {
    let failed = failed_by(time_passes(&in_maintenance(&rules()), &rules(), 71));
    assert_eq!(failed.failure, Failure::Hung { promise: Duration::from_secs(60) });
    let word = LastWord { text: "checking".into(), progress: progress(34), at: at(10) };
    assert_eq!(failed.last_word, Some(word));
}

#[test]
fn last_words_outlive_a_reason_that_comes_later() {
    let Step::Becomes(hung, _) = time_passes(&in_maintenance(&rules()), &rules(), 71) else {
        panic!("silence is a hang");
    };
    let told = Stimulus::StartFailed { reason: "no disk" };
    let failed = failed_by(step(&hung, &told, &rules(), at(0), at(80)));
    assert_eq!((failed.failure, &*failed.reason), (Failure::Reported, "no disk"));
    assert_eq!(failed.last_word.map(|word| word.at), Some(at(10)));
}

#[test]
fn every_deadline_of_a_state_is_moved_together() {
    let moved = in_maintenance(&rules()).with_deadlines(|it| it.after(Duration::from_secs(5)));
    let Lifecycle::Maintenance(known) = moved else { panic!("still in maintenance") };
    assert_eq!((known.promise, known.stuck_at), (at(75), Some(at(915))));
    assert_eq!(known.boot_deadline, Some(at(DUE + 5)));
    assert_eq!((known.reported_at, known.moved_at), (at(10), at(10)), "what was stays");
}
