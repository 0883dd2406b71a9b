//! A report: its sections in order, each what it said or why it did not.
//!
//! Guarantees that text and JSON are made of the same values, that JSON is one document, that the text
//! has in oslo.reports' own sections what those have and all else at its end, and that all sections
//! together get a limited time and no memory that is not there: what fails, hangs or finds no room is
//! named and the rest is there.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::runner::{Ended, Runner, Work};
use super::text::PLAIN;
use super::{room, text, time};
use crate::guru_meditation::section_builder::{SectionBuilder, SectionContent};

/// All sections together get so long: the report is to come within 2 s.
const WITHIN: Duration = Duration::from_millis(1_700);

/// What sections that may take longer leave to those behind them.
const RESERVE: Duration = Duration::from_millis(250);

/// One section gets so long, unless it says otherwise.
pub(super) const SECTION_WITHIN: Duration = Duration::from_millis(300);

const TITLE: &str = "Guru Meditation";

/// The sections that oslo.reports has: in them the text says nothing else.
const OF_OSLO: [&str; 5] = ["Package", "Threads", "Green Threads", "Processes", "Configuration"];

/// The last section of the text.
const DETAILS: &str = "Details";

/// What writes a section.
pub(super) type Writer = Arc<dyn Fn(&SectionBuilder) + Send + Sync>;

/// A section before it is written.
#[derive(Clone)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) within: Duration,
    pub(super) writer: Writer,
    /// Guards against a second run while the first hangs.
    pub(super) guard: Work,
}

impl Section {
    pub(super) fn new(
        title: &str,
        within: Duration,
        writer: impl Fn(&SectionBuilder) + Send + Sync + 'static,
    ) -> Self {
        let guard = Work::new(|| {});
        Self { title: title.to_owned(), within, writer: Arc::new(writer), guard }
    }
}

/// A section that was written.
#[derive(Debug)]
struct WrittenSection {
    title: String,
    content: SectionContent,
    remark: Option<String>,
}

impl WrittenSection {
    fn is_of_oslo(&self) -> bool {
        OF_OSLO.contains(&&*self.title)
    }

    /// What is told of it at the end.
    fn more(&self) -> Map<String, Value> {
        let mut more = self.content.more();
        if let Some(remark) = self.remark.as_ref().filter(|_| self.is_of_oslo()) {
            more.insert("remark".to_owned(), json!(remark));
        }
        more
    }
}

/// A report.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) at: Timestamp,
    written: Vec<WrittenSection>,
}

impl Report {
    /// Runs all sections.
    pub(super) fn write(sections: &[Section], runner: &mut Runner) -> Self {
        let begun = time::monotonic();
        let at = time::wall();
        let mut written = Vec::with_capacity(sections.len());
        for section in sections {
            let left = WITHIN.saturating_sub(begun.elapsed());
            // Those that may take long leave something to the others.
            let is_long = section.within > SECTION_WITHIN;
            let left = if is_long { left.saturating_sub(RESERVE) } else { left };
            written.push(section.write(left.min(section.within), runner));
        }
        Self { at, written }
    }

    /// As oslo.reports prints it, with an empty line at the end.
    pub(super) fn to_text(&self) -> String {
        let mut out = text::title(TITLE);
        let mut details = Map::new();
        for written in &self.written {
            let WrittenSection { title, content, remark } = written;
            out.push_str(&text::heading(title));
            out.push_str(&content.to_text());
            if let Some(remark) = remark.as_ref().filter(|_| !written.is_of_oslo()) {
                out.push_str(&format!("({})\n", text::shown(remark)));
            }
            let more = written.more();
            if !more.is_empty() {
                details.insert(title.clone(), Value::Object(more));
            }
        }
        if !details.is_empty() {
            out.push_str(&text::heading(DETAILS));
            out.push_str(&text::pairs(&details, PLAIN));
        }
        out.push('\n');
        out
    }

    /// One object.
    pub(super) fn to_json(&self) -> String {
        let section = |written: &WrittenSection| {
            let mut object = written.content.to_json();
            object.insert("name".to_owned(), json!(written.title));
            object.insert("is_complete".to_owned(), json!(written.remark.is_none()));
            if let Some(remark) = &written.remark {
                object.insert("remark".to_owned(), json!(remark));
            }
            Value::Object(object)
        };
        let sections: Vec<_> = self.written.iter().map(section).collect();
        json!({ "title": TITLE, "written": time::told(self.at), "sections": sections }).to_string()
    }
}

impl Section {
    fn write(&self, within: Duration, runner: &mut Runner) -> WrittenSection {
        let page = SectionBuilder::default();
        let remark = if within.is_zero() {
            Some("not begun: the sections above used up the report's time".to_owned())
        } else if let Err(why) = room::for_section() {
            Some(format!("not begun, for want of memory: {why}"))
        } else {
            let (writer, sheet) = (Arc::clone(&self.writer), page.clone());
            let work = self.guard.with(move || writer(&sheet));
            match runner.run(&work, within) {
                Ended::Well => None,
                Ended::Panicked(words) => Some(format!("this section {words}")),
                Ended::TookTooLong(limit) => Some(format!(
                    "this section did not end within {}; above is what it had said",
                    time::lasting(limit)
                )),
                Ended::StillHangs => {
                    Some("this section still hangs since an earlier report".to_owned())
                }
                Ended::NoThread(why) => Some(format!("this section could not be run: {why}")),
            }
        };
        let content = page.read();
        let remark = remark.or_else(|| content.lack.clone());
        WrittenSection { title: self.title.clone(), content, remark }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(title: &str, writer: impl Fn(&SectionBuilder) + Send + Sync + 'static) -> Section {
        Section::new(title, Duration::from_millis(200), writer)
    }

    #[test]
    fn sections_that_panic_or_hang_are_named_and_the_rest_is_there() {
        let (hang, stop) = std::sync::mpsc::sync_channel::<()>(0);
        let stop = std::sync::Mutex::new(stop);
        let sections = [
            section("Good", |page| page.add("a", 1)),
            section("Panics", |page| {
                page.add("before", true);
                panic!("on {}", "purpose");
            }),
            section("Hangs", move |page| {
                page.add("before", true);
                let _ = stop.lock().unwrap_or_else(std::sync::PoisonError::into_inner).recv();
            }),
            section("Last", |page| page.add("z", json!(["b", "a"]))),
        ];
        let mut runner = Runner::new();
        let report = Report::write(&sections, &mut runner);
        let told = report.to_text();
        let expected = format!(
            "{}{}a = 1\n{}before = True\n(this section on purpose)\n{}before = True\n(this section \
             did not end within 0.200 s; above is what it had said)\n{}z = \n  a\n  b\n\n",
            text::title("Guru Meditation"),
            text::heading("Good"),
            text::heading("Panics"),
            text::heading("Hangs"),
            text::heading("Last"),
        );
        // The words of a panic come from the hook, where one is installed.
        assert_eq!(told, expected);
        let json: Value = serde_json::from_str(&report.to_json()).expect("one document");
        let names: Vec<_> =
            json["sections"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["Good", "Panics", "Hangs", "Last"]);
        assert_eq!(json["sections"][1]["is_complete"], false);
        assert_eq!(json["sections"][3]["values"]["z"], json!(["b", "a"]));

        let again = Report::write(&sections, &mut runner).to_text();
        assert!(again.contains("(this section still hangs since an earlier report)"), "{again}");
        assert!(again.contains("z = \n"), "{again}");
        drop(hang);
    }

    #[test]
    fn what_oslo_has_no_place_for_stands_at_the_end_of_the_text() {
        let sections = [
            section("Package", |page| {
                page.add("product", "gridd");
                page.add_more("commit", "c0ffee");
            }),
            section("Threads", |page| {
                page.add_more("threads", 1);
                let title = "Thread #1".to_owned();
                page.add_stack(crate::guru_meditation::stack::Stack {
                    title,
                    ..Default::default()
                });
                page.mark_missing("names are left out");
            }),
            section("Green Threads", |page| page.mark_missing("too late")),
            section("Own", |page| page.mark_missing("nothing is there")),
        ];
        let report = Report::write(&sections, &mut Runner::new());
        let told = report.to_text();
        let expected = format!(
            "{}{}product = gridd\n{}{}\nNo Traceback!\n\n{}{}(nothing is there)\n{}Green Threads = \n  \
             remark = too late\nPackage = \n  commit = c0ffee\nThreads = \n  remark = names are left out\n  threads = 1\n\n",
            text::title("Guru Meditation"),
            text::heading("Package"),
            text::heading("Threads"),
            text::thread("Thread #1"),
            text::heading("Green Threads"),
            text::heading("Own"),
            text::heading("Details"),
        );
        assert_eq!(told, expected);
        let json: Value = serde_json::from_str(&report.to_json()).expect("one document");
        assert_eq!(json["sections"][0]["values"], json!({"product": "gridd", "commit": "c0ffee"}));
        assert_eq!(json["sections"][1]["is_complete"], false);
    }

    #[test]
    fn all_sections_together_have_a_limit() {
        let hang = || std::thread::sleep(Duration::from_secs(60));
        let sections: Vec<_> = (0..20).map(|_| section("Hangs", move |_| hang())).collect();
        let told = Report::write(&sections, &mut Runner::new()).to_text();
        // 20 x 0.2 s would be longer than 1.7 s.
        assert!(told.contains("(not begun: the sections above used up the report's time)"));
    }
}
