//! Checks the generator and the judge themselves, so that a figure can be trusted.
//!
//! Guarantees that an oracle passes every row, that a thoughtless notifier does not, and that a seed gives
//! one timeline. Panics if not.

use std::collections::BTreeSet;

use crate::judge_seed;
use crate::notifiers::{one_mail_an_alert, oracle};
use crate::stories::{APPLIANCES, generate};
use crate::table::SeedFigures;
use crate::timeline::{DEAD_FROM, DEAD_UNTIL, LENGTH, MINUTE, SECOND, Timeline};

/// Checks everything; a second at the most.
pub(crate) fn all(seed: u64) {
    for seed in [seed, 1, 2, 3] {
        generator(seed);
    }
    judge(seed);
}

fn generator(seed: u64) {
    let (plain, probed) = (generate(seed, false), generate(seed, true));
    assert_eq!((plain.problems.len(), probed.problems.len()), (33, 44));
    assert_eq!(plain.problems.iter().filter(|it| it.ends_at.is_some()).count(), 28);
    assert_eq!(plain.problems.iter().filter(|it| it.is_in_outage()).count(), 6);
    assert_eq!(probed.problems.iter().filter(|it| it.is_probe).count(), 11);
    assert_eq!(plain.machines.len(), APPLIANCES);
    let names: BTreeSet<_> = plain.machines.iter().map(|it| &it.name).collect();
    assert_eq!(names.len(), APPLIANCES, "names are distinct");
    let alerts = plain.alert_count();
    assert!((6_200..7_000).contains(&alerts), "{alerts} alerts");
    assert!(plain.steps.is_sorted_by_key(|step| step.at));
    assert_eq!(
        format!("{:?}", generate(seed, true)),
        format!("{probed:?}"),
        "a seed is a timeline"
    );
    for problem in &probed.problems {
        let label = &problem.label;
        let end = problem.ends_at.unwrap_or(problem.detected_at);
        assert!(problem.detected_at <= end && end + MINUTE < LENGTH, "{label} ends in time");
        if problem.is_in_outage() {
            assert!(end + MINUTE < DEAD_UNTIL, "{label} ends in the outage");
        } else {
            let is_outside = |at| !(DEAD_FROM - MINUTE..DEAD_UNTIL + MINUTE).contains(&at);
            assert!(is_outside(problem.detected_at) && is_outside(end), "{label} is outside");
        }
        let is_in_order = |strand: &crate::timeline::Strand| {
            strand.open.iter().all(|(from, until)| until.is_none_or(|until| until >= *from))
        };
        assert!(problem.strands.iter().all(is_in_order), "{label}");
    }
    let steps = probed.steps.len();
    assert!(steps > plain.steps.len(), "probes are added, nothing else changes");
}

fn missed(figures: &SeedFigures) -> Vec<&'static str> {
    figures.rows().iter().filter(|row| !row.is_passed).map(|row| row.name).collect()
}

fn judge(seed: u64) {
    let perfect = judge_seed(seed, |timeline| (oracle(timeline), None));
    let details: Vec<_> = perfect.rows().into_iter().flat_map(|row| row.details).collect();
    assert_eq!(missed(&perfect), Vec::<&str>::new(), "an oracle passes all rows: {details:?}");

    let naive = judge_seed(seed, |timeline| (one_mail_an_alert(timeline), None));
    for row in ["mails", "ends told", "worst day", "mails on silenced work", "c: the slow disk"] {
        assert!(missed(&naive).contains(&row), "one mail an alert misses `{row}`");
    }

    let silent = judge_seed(seed, |_| (Vec::new(), None));
    assert_eq!(silent.probed.never_mailed.len(), 44, "silence is noticed");

    // Each damage to perfect mails is noticed in its row.
    type Damage = fn(&mut Vec<crate::mails::ArrivedMail>);
    let damages: [(&str, Damage); 6] = [
        ("first mail, fatal and error, max", |mails| {
            mails.iter_mut().for_each(|it| it.at += 2 * SECOND);
        }),
        ("ends told", |mails| mails.retain(|it| !it.mentions.iter().all(|it| it.is_resolved))),
        ("told as open though over", |mails| {
            let ends = mails.iter_mut().flat_map(|it| &mut it.mentions);
            ends.for_each(|it| it.is_resolved = false);
            mails.iter_mut().for_each(|it| it.at += MINUTE);
        }),
        ("largest mail", |mails| mails[3].bytes = 16_001),
        ("gravest not in subject, or not first", |mails| mails[3].subject = "one alert".to_owned()),
        ("after the server's return", |mails| {
            let owed =
                mails.iter_mut().filter(|it| it.queued_at < DEAD_UNTIL && it.at > DEAD_UNTIL);
            owed.for_each(|it| it.at += 60 * SECOND);
        }),
    ];
    for (row, damage) in damages {
        let harmed = |timeline: &Timeline| {
            let mut mails = oracle(timeline);
            damage(&mut mails);
            (mails, None)
        };
        assert!(missed(&judge_seed(seed, harmed)).contains(&row), "a damage is seen: {row}");
    }
}
