//! A Guru Meditation Report as a test reads it.

use serde_json::Value;

/// The first line of every report's title.
const TITLE: &str = "====                        Guru Meditation                         ====";

/// A report in JSON.
pub(crate) struct Report(Value);

impl Report {
    /// Reads one. A task whose stack is told elsewhere gets it from there.
    pub(crate) fn read(json: &str) -> Self {
        let mut report: Value = serde_json::from_str(json).expect("JSON");
        let stacks = |section: &mut Value| section["stacks"].as_array_mut().map(std::mem::take);
        for section in report["sections"].as_array_mut().expect("sections") {
            let Some(mut all) = stacks(section) else { continue };
            for at in 0..all.len() {
                let same = all[at]["same_stack_as"].clone();
                let traces = all.iter().find(|it| !same.is_null() && it["id"] == same);
                if let Some(traces) = traces.map(|it| it["stack_traces"].clone()) {
                    all[at]["stack_traces"] = traces;
                }
            }
            section["stacks"] = all.into();
        }
        Self(report)
    }

    /// Whether every section came to its end. On a machine that is very busy the first report of a
    /// debug build may lack names; they are kept for the next one.
    pub(crate) fn is_complete(&self) -> bool {
        let sections = self.0["sections"].as_array().expect("sections");
        sections.iter().all(|section| section["is_complete"] == true)
    }

    /// The names of its sections.
    pub(crate) fn sections(&self) -> Vec<&str> {
        let sections = self.0["sections"].as_array().expect("sections");
        sections.iter().map(|it| it["name"].as_str().expect("a name")).collect()
    }

    /// A section by its name.
    pub(crate) fn section(&self, name: &str) -> &Value {
        let sections = self.0["sections"].as_array().expect("sections");
        sections.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{name} is there"))
    }

    /// The stacks of a section.
    pub(crate) fn stacks(&self, section: &str) -> &[Value] {
        self.section(section)["stacks"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The first stack of a section that has something by that value.
    pub(crate) fn stack(&self, section: &str, key: &str, value: &str) -> &Value {
        let found = self.stacks(section).iter().find(|stack| stack[key] == value);
        found.unwrap_or_else(|| panic!("no stack of {section} has {key} {value}: {:#}", self.0))
    }
}

/// The frames of a stack, `file in function` each, of all its branches.
pub(crate) fn frames(stack: &Value) -> Vec<String> {
    let traces = stack["stack_traces"].as_array().into_iter().flatten();
    let lines = traces.flat_map(|trace| trace["lines"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lines.map(|line| format!("{} in {}", text(&line["filename"]), text(&line["name"]))).collect()
}

/// Whether a frame has all these parts.
#[track_caller]
pub(crate) fn assert_frame(stack: &Value, parts: &[&str]) {
    let all = frames(stack);
    let found = all.iter().any(|frame| parts.iter().all(|part| frame.contains(part)));
    assert!(found, "no frame with {parts:?} in {stack:#}");
}

/// The whole reports in a text: each from its title to the empty line behind its last section.
pub(crate) fn whole_reports(text: &str) -> usize {
    let parts = text.split(TITLE).skip(1);
    parts.filter(|part| part.contains("====                            Warnings")).count()
}
