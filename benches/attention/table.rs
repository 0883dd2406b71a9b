//! The rows of the table, each with its bar.
//!
//! Guarantees that a row is passed only if every seed passes it.

use crate::judge::{Figures, GATHER_AND_SEND};
use crate::timeline::{Millis, SECOND};

/// What the figures of one seed are made of: the timeline as it is, and with the fatal probes.
pub(crate) struct SeedFigures {
    pub(crate) seed: u64,
    pub(crate) plain: Figures,
    pub(crate) probed: Figures,
}

/// A row of the table for one seed.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) bar: &'static str,
    pub(crate) figure: String,
    pub(crate) is_passed: bool,
    /// What misses the bar.
    pub(crate) details: Vec<String>,
}

/// The most mails on each of these problems.
const STORIES: [(&str, usize); 3] = [("a", 8), ("c", 3), ("g", 6)];

/// The most mails on the power cut and what follows it.
const POWER_MAILS_MAX: usize = 6;

fn seconds(millis: Millis) -> String {
    format!("{:.1} s", millis as f64 / SECOND as f64)
}

fn row(name: &'static str, bar: &'static str, figure: String, is_passed: bool) -> Row {
    Row { name, bar, figure, is_passed, details: Vec::new() }
}

fn percentile(sorted: &[Millis], percent: usize) -> Millis {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or_default()
}

impl SeedFigures {
    /// The rows with a bar.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let (plain, probed) = (&self.plain, &self.probed);
        let mut rows = vec![row("mails", "<= 75", plain.mails.to_string(), plain.mails <= 75)];
        rows.push(self.never_mailed());
        rows.push(self.first_mails());
        rows.push(self.after_return());
        rows.push(self.ends());
        let wrong = plain.open_though_over.len();
        let told = row("told as open though over", "0", wrong.to_string(), wrong == 0);
        rows.push(Row { details: plain.open_though_over.clone(), ..told });
        let planned = format!("{}, left over {}", plain.planned_mails, plain.left_over_mails);
        let is_planned = plain.planned_mails == 0 && plain.left_over_mails == 1;
        rows.push(row("mails on silenced work", "0, left over once", planned, is_planned));
        rows.extend(self.stories());
        rows.push(row("worst day", "<= 20", plain.worst_day.to_string(), plain.worst_day <= 20));
        let largest = plain.largest.max(probed.largest);
        let kilobytes = format!("{:.1} kB", largest as f64 / 1_000.0);
        rows.push(row("largest mail", "<= 16 kB", kilobytes, largest <= 16_000));
        let hidden = probed.not_gravest.len() + plain.not_gravest.len();
        let gravest =
            row("gravest not in subject, or not first", "0", hidden.to_string(), hidden == 0);
        let lines = plain.not_gravest.iter().chain(&probed.not_gravest).cloned().collect();
        rows.push(Row { details: lines, ..gravest });
        let (kept, told) = (plain.held_back, plain.held_back_told);
        rows.push(row("held back, and told so", "all", format!("{told} of {kept}"), told == kept));
        rows
    }

    fn never_mailed(&self) -> Row {
        let probed = &self.probed;
        let never = probed.never_mailed.len();
        let figure = format!("{never} of {}", probed.problems);
        let whole = row("never mailed, with probes", "0", figure, never == 0);
        Row { details: probed.never_mailed.clone(), ..whole }
    }

    fn first_mails(&self) -> Row {
        let delays = &self.probed.grave_delays;
        let max = delays.last().map_or(Millis::MAX, |it| it.0);
        let late = delays.iter().filter(|it| it.0 > GATHER_AND_SEND);
        let details: Vec<_> =
            late.map(|(at, label)| format!("{label}: {}", seconds(*at))).collect();
        let whole = row(
            "first mail, fatal and error, max",
            "<= 31 s",
            format!("{} ({} late)", seconds(max), details.len()),
            max <= GATHER_AND_SEND,
        );
        Row { details, ..whole }
    }

    fn after_return(&self) -> Row {
        let plain = &self.plain;
        let delay = plain.return_delay.unwrap_or(Millis::MAX);
        let figure = match plain.return_delay {
            Some(delay) => format!("{}, {} mails", seconds(delay), plain.return_mails),
            None => "nothing came".to_owned(),
        };
        let is_passed = delay <= 60 * SECOND && plain.return_mails <= 2 && plain.is_return_sorted;
        row("after the server's return", "<= 60 s, 2 mails, gravest first", figure, is_passed)
    }

    fn ends(&self) -> Row {
        let (all, missing) = (self.plain.with_end, self.plain.ends_not_told.len());
        let figure = format!("{} of {all}", all - missing);
        let whole = row("ends told", "28 of 28", figure, missing == 0 && all == 28);
        Row { details: self.plain.ends_not_told.clone(), ..whole }
    }

    fn stories(&self) -> Vec<Row> {
        let of = |story: &str| self.plain.by_problem.get(story).copied().unwrap_or_default();
        let [a, c, g] = STORIES.map(|(story, _)| of(story));
        let power = self.plain.power_mails;
        vec![
            row("a: the flapping group", "<= 8", a.to_string(), a <= STORIES[0].1),
            row("b, b-fsck: the power cut", "<= 6", power.to_string(), power <= POWER_MAILS_MAX),
            row("c: the slow disk", "<= 3", c.to_string(), c <= STORIES[1].1),
            row("g: hung for three days", "<= 6", g.to_string(), g <= STORIES[2].1),
        ]
    }

    /// Figures without a bar.
    pub(crate) fn context(&self) -> String {
        let plain = &self.plain;
        let power = plain.power_cut_delay.map_or("never".to_owned(), seconds);
        let singles: usize =
            plain.by_problem.iter().filter(|it| it.0.starts_with('f')).map(|it| it.1).sum();
        format!(
            "delay p50 {}, p90 {}; power cut {power}; e {}, f {singles} mails",
            seconds(percentile(&plain.delays, 50)),
            seconds(percentile(&plain.delays, 90)),
            plain.by_problem.get("e").copied().unwrap_or_default(),
        )
    }
}

/// Prints a table: a row with a figure for each seed. Returns how many rows are passed, and how many there
/// are.
pub(crate) fn print(title: &str, seeds: &[SeedFigures], has_details: bool) -> (usize, usize) {
    let tables: Vec<_> = seeds.iter().map(SeedFigures::rows).collect();
    let Some(first) = tables.first() else { return (0, 0) };
    let heads: Vec<_> = seeds.iter().map(|it| format!("seed {}", it.seed)).collect();
    println!("\n{title}\n");
    println!("| figure | bar | | {} |", heads.join(" | "));
    println!("|---|---|---|{}", "---|".repeat(seeds.len()));
    let mut passed = 0;
    for (at, row) in first.iter().enumerate() {
        let is_passed = tables.iter().all(|table| table[at].is_passed);
        passed += usize::from(is_passed);
        let verdict = if is_passed { "PASS" } else { "MISSED" };
        let figures: Vec<_> = tables.iter().map(|table| table[at].figure.as_str()).collect();
        println!("| {} | {} | {verdict} | {} |", row.name, row.bar, figures.join(" | "));
    }
    println!();
    for (seed, table) in seeds.iter().zip(&tables) {
        println!("seed {}: {}", seed.seed, seed.context());
        for row in table.iter().filter(|row| has_details && !row.details.is_empty()) {
            println!("  {}:", row.name);
            row.details.iter().take(12).for_each(|line| println!("    {line}"));
            if row.details.len() > 12 {
                println!("    and {} more", row.details.len() - 12);
            }
        }
    }
    (passed, first.len())
}
