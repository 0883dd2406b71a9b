//! What reaches the person on duty: drives the pure core through 14 days in told time, and judges its mails.
//!
//! ```text
//! cargo bench --bench attention                      six seeds, the table with its bars
//! cargo bench --bench attention -- --seed 7 --details
//! cargo bench --bench attention -- --seed 7 --trace a
//! cargo bench --bench attention -- --baselines       one mail an alert, and an oracle, too
//! benches/attention/live/run.py                      the same timelines live: see live/README.md
//! cargo test --bench attention                       checks the generator and the judge
//! ```
//!
//! README.md in this folder tells what is measured. The exit code is 0 whatever the figures are; it is
//! another only if the generator or the judge contradicts itself.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]
#![expect(clippy::cast_precision_loss, reason = "figures are printed with one digit")]

mod arrival;
mod checks;
mod judge;
mod live;
mod mails;
mod notifiers;
mod random;
mod stories;
mod table;
mod timeline;
mod told_time;

use std::collections::BTreeMap;

use grid_broker::grid::model::settings::MAIL_TRIGGERS;

use crate::judge::Judged;
use crate::mails::ArrivedMail;
use crate::table::SeedFigures;
use crate::timeline::{Timeline, clock};
use crate::told_time::CoreRun;

/// The seeds of a run; 7 is that of `attention.md`, with another generator.
const SEEDS: [u64; 6] = [7, 11, 23, 42, 101, 2_026];

/// What the command line asks for.
#[derive(Default)]
struct Options {
    seeds: Vec<u64>,
    trace: Option<String>,
    has_details: bool,
    has_baselines: bool,
    mails_all_kinds: bool,
    is_bench: bool,
}

impl Options {
    fn new(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => options.is_bench = true,
                "--details" => options.has_details = true,
                "--baselines" => options.has_baselines = true,
                "--all-kinds" => options.mails_all_kinds = true,
                "--trace" => options.trace = words.next(),
                "--seed" => {
                    let seed = words.next().unwrap_or_default();
                    let seed =
                        seed.parse().map_err(|_| format!("--seed {seed} is not a number"))?;
                    options.seeds.push(seed);
                }
                // Words of `cargo test`.
                _ => {}
            }
        }
        if options.seeds.is_empty() {
            options.seeds = SEEDS.to_vec();
        }
        Ok(options)
    }

    fn triggers(&self) -> Vec<&'static str> {
        if self.mails_all_kinds { MAIL_TRIGGERS.to_vec() } else { told_time::shipped_triggers() }
    }
}

/// The figures of a notifier that answers a timeline with mails.
fn judge_seed(
    seed: u64,
    notifier: impl Fn(&Timeline) -> (Vec<ArrivedMail>, Option<BTreeMap<String, u64>>),
) -> SeedFigures {
    let [plain, probed] = [false, true].map(|has_probes| {
        let timeline = stories::generate(seed, has_probes);
        let (mails, held_back) = notifier(&timeline);
        let judged = Judged { timeline: &timeline, mails: &mails, held_back: held_back.as_ref() };
        judged.figures()
    });
    SeedFigures { seed, plain, probed }
}

fn judge_core(seed: u64, triggers: &[&'static str]) -> SeedFigures {
    judge_seed(seed, |timeline| {
        let CoreRun { mails, suppressed, .. } = told_time::run(timeline, triggers);
        (mails, Some(suppressed))
    })
}

/// Prints the mails of a story, and what was decided on its alerts.
fn trace(seed: u64, story: &str, triggers: &[&'static str]) {
    let has_probes = story.starts_with("probe");
    let timeline = stories::generate(seed, has_probes);
    let problems: Vec<_> = timeline
        .problems
        .iter()
        .filter(|it| it.is_of(story) || has_probes && it.label.starts_with(story))
        .collect();
    for problem in &problems {
        let end = problem.ends_at.map_or("-".to_owned(), clock);
        let (label, severity) = (&problem.label, problem.severity.as_str());
        println!("{label}: {severity}, detected {}, over {end}", clock(problem.detected_at));
    }
    let planned: Vec<_> = timeline.planned.iter().filter(|_| story == "h").collect();
    let machines: Vec<_> = problems
        .iter()
        .flat_map(|it| it.strands.iter().map(|strand| strand.machine))
        .chain(planned.iter().flat_map(|it| it.machines.iter().copied()))
        .map(|machine| timeline.machines[machine].name.as_str())
        .collect();
    let run = told_time::run(&timeline, triggers);
    println!("\nmails (of {}, {} records):", run.mails.len(), run.records);
    for mail in &run.mails {
        let its: Vec<_> =
            mail.mentions.iter().filter(|it| machines.contains(&it.name.as_str())).collect();
        if its.is_empty() {
            continue;
        }
        println!("{}  {}", clock(mail.at), mail.subject);
        println!(
            "    queued {}, {} bytes, {} of {} notices",
            clock(mail.queued_at),
            mail.bytes,
            its.len(),
            mail.mentions.len()
        );
        for it in its.iter().take(8) {
            let (severity, name, topic) = (it.severity.as_str(), &it.name, &it.topic);
            println!("    {severity} {name} [{topic}] {}: {}", it.reason, it.text);
        }
        if its.len() > 8 {
            println!("    and {} more", its.len() - 8);
        }
    }
    println!("\ndecisions (the first 200):");
    let decisions = run.decisions.iter().filter(|it| machines.contains(&it.1.as_str()));
    for (at, name, key, reason) in decisions.take(200) {
        println!("{}  {name} [{key}] {reason}", clock(*at));
    }
}

fn main() {
    let words: Vec<_> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "live") {
        if let Err(error) = live::run(&words[1..]) {
            println!("{error}");
            std::process::exit(2);
        }
        return;
    }
    let options = match Options::new(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(text) => {
            println!("{text}");
            std::process::exit(2);
        }
    };
    checks::all(options.seeds[0]);
    if !options.is_bench {
        println!("attention: the generator and the judge hold");
        return;
    }
    let triggers = options.triggers();
    if let Some(story) = &options.trace {
        trace(options.seeds[0], story, &triggers);
        return;
    }
    if options.has_baselines {
        let naive = |timeline: &Timeline| (notifiers::one_mail_an_alert(timeline), None);
        let figures: Vec<_> = options.seeds.iter().map(|seed| judge_seed(*seed, naive)).collect();
        table::print("one mail an alert", &figures, options.has_details);
        let oracle = |timeline: &Timeline| (notifiers::oracle(timeline), None);
        let figures: Vec<_> = options.seeds.iter().map(|seed| judge_seed(*seed, oracle)).collect();
        table::print("an oracle", &figures, options.has_details);
    }
    let figures: Vec<_> = options.seeds.iter().map(|seed| judge_core(*seed, &triggers)).collect();
    let kinds = if options.mails_all_kinds { "all kinds mailed" } else { "mail.on as shipped" };
    let title = format!("gridd's core in told time, {kinds}");
    let (passed, rows) = table::print(&title, &figures, options.has_details);
    println!("{passed} of {rows} rows passed by all of {} seeds", figures.len());
}
