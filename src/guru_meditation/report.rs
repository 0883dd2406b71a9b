//! Assembles a report from its sections, in order.
//!
//! Guarantees that text and JSON have the same values, that JSON is one document, that sections
//! known to oslo.reports contain in the text only what it has and everything else comes at the end,
//! and that all sections together have a time limit and use only available memory: a section that
//! fails, hangs or lacks memory is marked, and the others are complete. Does not know what sections
//! contain.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::text::PLAIN_STYLE;
use super::{text, time};
use crate::guru_meditation::job_runner::{Job, JobResult, JobRunner};
use crate::guru_meditation::memory_check;
use crate::guru_meditation::section_builder::{SectionBuilder, SectionContent};

/// Time limit of all sections together, so that the report is written within 2 s.
const REPORT_TIMEOUT: Duration = Duration::from_millis(1_700);

/// The time that long sections leave to those after them.
const TIME_RESERVE: Duration = Duration::from_millis(250);

/// Default time limit of a section.
pub(super) const SECTION_TIMEOUT: Duration = Duration::from_millis(300);

const TITLE: &str = "Guru Meditation";

/// The sections of oslo.reports: in these the text contains nothing else.
const OSLO_SECTIONS: [&str; 5] =
    ["Package", "Threads", "Green Threads", "Processes", "Configuration"];

/// The last section of the text.
const DETAILS: &str = "Details";

/// The function that writes a section.
pub(super) type SectionWriter = Arc<dyn Fn(&SectionBuilder) + Send + Sync>;

/// A section before it is written.
#[derive(Clone)]
pub(super) struct ReportSection {
    pub(super) title: String,
    pub(super) timeout: Duration,
    pub(super) writer: SectionWriter,
    /// Prevents a second run while the first hangs.
    pub(super) guard: Job,
}

impl ReportSection {
    pub(super) fn new(
        title: &str,
        within: Duration,
        writer: impl Fn(&SectionBuilder) + Send + Sync + 'static,
    ) -> Self {
        let guard = Job::new(|| {});
        Self { title: title.to_owned(), timeout: within, writer: Arc::new(writer), guard }
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
    fn is_oslo_section(&self) -> bool {
        OSLO_SECTIONS.contains(&&*self.title)
    }

    /// Its details at the end of the text.
    fn details(&self) -> Map<String, Value> {
        let mut more = self.content.more();
        if let Some(remark) = self.remark.as_ref().filter(|_| self.is_oslo_section()) {
            more.insert("remark".to_owned(), json!(remark));
        }
        more
    }
}

/// A report.
#[derive(Debug)]
pub(super) struct GuruReport {
    pub(super) at: Timestamp,
    written: Vec<WrittenSection>,
}

impl GuruReport {
    /// Runs all sections.
    pub(super) fn write(sections: &[ReportSection], runner: &mut JobRunner) -> Self {
        let begun = time::monotonic_now();
        let at = time::wall_now();
        let mut written = Vec::with_capacity(sections.len());
        for section in sections {
            let left = REPORT_TIMEOUT.saturating_sub(begun.elapsed());
            // Long sections leave time to the others.
            let is_long = section.timeout > SECTION_TIMEOUT;
            let left = if is_long { left.saturating_sub(TIME_RESERVE) } else { left };
            written.push(section.write(left.min(section.timeout), runner));
        }
        Self { at, written }
    }

    /// As oslo.reports prints it, with an empty line at the end.
    pub(super) fn to_text(&self) -> String {
        let mut out = text::report_title(TITLE);
        let mut details = Map::new();
        for written in &self.written {
            let WrittenSection { title, content, remark } = written;
            out.push_str(&text::section_heading(title));
            out.push_str(&content.to_text());
            if let Some(remark) = remark.as_ref().filter(|_| !written.is_oslo_section()) {
                out.push_str(&format!("({})\n", text::escape(remark)));
            }
            let more = written.details();
            if !more.is_empty() {
                details.insert(title.clone(), Value::Object(more));
            }
        }
        if !details.is_empty() {
            out.push_str(&text::section_heading(DETAILS));
            out.push_str(&text::format_pairs(&details, PLAIN_STYLE));
        }
        out.push('\n');
        out
    }

    /// As one JSON object.
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
        json!({ "title": TITLE, "written": time::format_time(self.at), "sections": sections })
            .to_string()
    }
}

impl ReportSection {
    fn write(&self, within: Duration, runner: &mut JobRunner) -> WrittenSection {
        let page = SectionBuilder::default();
        let remark = if within.is_zero() {
            Some("skipped: the sections above used up the time of the report".to_owned())
        } else if let Err(why) = memory_check::for_section() {
            Some(format!("skipped, not enough memory: {why}"))
        } else {
            let (writer, shared) = (Arc::clone(&self.writer), page.clone());
            let work = self.guard.with_body(move || writer(&shared));
            match runner.run(&work, within) {
                JobResult::Completed => None,
                JobResult::Panicked(message) => Some(format!("this section {message}")),
                JobResult::TimedOut(limit) => Some(format!(
                    "this section did not end within {}; its content up to then is above",
                    time::format_duration(limit)
                )),
                JobResult::StillRunning => {
                    Some("this section has hung since an earlier report".to_owned())
                }
                JobResult::NoThread(why) => {
                    Some(format!("this section could not be started: {why}"))
                }
            }
        };
        let content = page.snapshot();
        let remark = remark.or_else(|| content.missing_reason.clone());
        WrittenSection { title: self.title.clone(), content, remark }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(
        title: &str,
        writer: impl Fn(&SectionBuilder) + Send + Sync + 'static,
    ) -> ReportSection {
        ReportSection::new(title, Duration::from_millis(200), writer)
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
        let mut runner = JobRunner::new();
        let report = GuruReport::write(&sections, &mut runner);
        let text = report.to_text();
        let expected = format!(
            "{}{}a = 1\n{}before = True\n(this section on purpose)\n{}before = True\n(this section \
             did not end within 0.200 s; its content up to then is above)\n{}z = \n  a\n  b\n\n",
            text::report_title("Guru Meditation"),
            text::section_heading("Good"),
            text::section_heading("Panics"),
            text::section_heading("Hangs"),
            text::section_heading("Last"),
        );
        // The message of a panic comes from the hook, if one is installed.
        assert_eq!(text, expected);
        let json: Value = serde_json::from_str(&report.to_json()).expect("one document");
        let names: Vec<_> =
            json["sections"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["Good", "Panics", "Hangs", "Last"]);
        assert_eq!(json["sections"][1]["is_complete"], false);
        assert_eq!(json["sections"][3]["values"]["z"], json!(["b", "a"]));

        let again = GuruReport::write(&sections, &mut runner).to_text();
        assert!(again.contains("(this section has hung since an earlier report)"), "{again}");
        assert!(again.contains("z = \n"), "{again}");
        drop(hang);
    }

    #[test]
    fn details_beyond_oslos_layout_come_at_the_end() {
        let sections = [
            section("Package", |page| {
                page.add("product", "gridd");
                page.add_detail("commit", "c0ffee");
            }),
            section("Threads", |page| {
                page.add_detail("threads", 1);
                let title = "Thread #1".to_owned();
                page.add_stack(crate::guru_meditation::stack::Stack {
                    title,
                    ..Default::default()
                });
                page.mark_incomplete("names are left out");
            }),
            section("Green Threads", |page| page.mark_incomplete("too late")),
            section("Own", |page| page.mark_incomplete("nothing is there")),
        ];
        let report = GuruReport::write(&sections, &mut JobRunner::new());
        let text = report.to_text();
        let expected = format!(
            "{}{}product = gridd\n{}{}\nNo Traceback!\n\n{}{}(nothing is there)\n{}Green Threads = \n  \
             remark = too late\nPackage = \n  commit = c0ffee\nThreads = \n  remark = names are left out\n  threads = 1\n\n",
            text::report_title("Guru Meditation"),
            text::section_heading("Package"),
            text::section_heading("Threads"),
            text::thread_heading("Thread #1"),
            text::section_heading("Green Threads"),
            text::section_heading("Own"),
            text::section_heading("Details"),
        );
        assert_eq!(text, expected);
        let json: Value = serde_json::from_str(&report.to_json()).expect("one document");
        assert_eq!(json["sections"][0]["values"], json!({"product": "gridd", "commit": "c0ffee"}));
        assert_eq!(json["sections"][1]["is_complete"], false);
    }

    #[test]
    fn all_sections_together_have_a_limit() {
        let hang = || std::thread::sleep(Duration::from_secs(60));
        let sections: Vec<_> = (0..20).map(|_| section("Hangs", move |_| hang())).collect();
        let text = GuruReport::write(&sections, &mut JobRunner::new()).to_text();
        // 20 x 0.2 s would be longer than 1.7 s.
        assert!(text.contains("(skipped: the sections above used up the time of the report)"));
    }
}
