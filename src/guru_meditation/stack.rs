//! A stack of a thread or task, with what is known of it, as a section tells it.
//!
//! Guarantees the layout of oslo.reports: two lines a frame and an empty one behind it, nothing else.
//! What else is known stands in the outermost frame, which is where the thread or task began.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::secret;
use super::text::{self, shown};

/// A stack with what is known of its thread or task.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    /// `Thread #12` or `Green Thread`.
    pub(super) title: String,
    /// What it began from, as a frame outside all others: a thread's name, a task's place.
    pub(super) origin: Frame,
    pub(super) facts: Map<String, Value>,
    /// Each from the outermost frame to the innermost; further ones are further branches of a task.
    pub(super) branches: Vec<Vec<Frame>>,
    /// Why there is no stack, or what is wrong with it.
    pub(super) remark: Option<String>,
}

/// A function in a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(super) struct Frame {
    /// The source file, or without debug information the object: `/usr/lib/libc.so.6`.
    pub(super) filename: String,
    /// The line; without debug information the place within the object: `0x8a0c4`.
    pub(super) line: String,
    pub(super) name: String,
    /// The line's text, if the source is at hand.
    pub(super) code: Option<String>,
}

impl Stack {
    /// Hides what is secret.
    pub(super) fn mask(&mut self) {
        for (key, value) in &mut self.facts {
            *value = secret::masked(key, value.take());
        }
        self.remark = self.remark.take().map(|remark| secret::mask(&remark));
    }

    /// As oslo.reports has it: frames of two lines, an empty one behind each. What else is known
    /// stands in the outermost frame.
    pub(super) fn append_to(&self, out: &mut String) {
        out.push_str(&text::thread(&self.title));
        out.push('\n');
        let first = self.branches.first().map(Vec::as_slice).unwrap_or_default();
        let known = self.known();
        if first.is_empty() && known.is_empty() {
            out.push_str("No Traceback!\n\n");
        }
        if !known.is_empty() {
            Frame { code: Some(known), ..self.origin.clone() }.append_to(out, "");
        }
        first.iter().for_each(|frame| frame.append_to(out, ""));
        for other in self.branches.iter().skip(1) {
            let common = first.iter().zip(other).take_while(|(one, other)| one == other).count();
            // From the last common frame on.
            let mut frames = other[common.saturating_sub(1)..].iter();
            if let Some(frame) = frames.next() {
                frame.append_to(out, " (another branch)");
            }
            frames.for_each(|frame| frame.append_to(out, ""));
        }
    }

    /// Facts and remark on one line.
    fn known(&self) -> String {
        let fact = |(key, value): (&String, &Value)| format!("{key} = {}", text::plain(value));
        let facts = self.facts.iter().map(fact);
        let remark = self.remark.iter().map(|remark| format!("({remark})"));
        facts.chain(remark).collect::<Vec<_>>().join(", ").replace('\n', " ")
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Value {
        let mut object = self.facts.clone();
        object.insert("title".to_owned(), json!(self.title));
        let trace = |frames: &Vec<Frame>| json!({ "lines": frames });
        object.insert("stack_traces".to_owned(), self.branches.iter().map(trace).collect());
        if let Some(remark) = &self.remark {
            object.insert("remark".to_owned(), json!(remark));
        }
        Value::Object(object)
    }
}

impl Frame {
    /// With `mark` behind its name, and an empty line below.
    fn append_to(&self, out: &mut String, mark: &str) {
        let Self { filename, line, name, code } = self;
        let (filename, name) = (shown(filename), shown(name));
        // A line is a number: a place within an object stands with the object.
        match line.parse::<u32>() {
            Ok(line) => append(out, format_args!("{filename}:{line} in {name}{mark}\n")),
            Err(_) => append(out, format_args!("{filename}+{line}:0 in {name}{mark}\n")),
        }
        match code {
            Some(code) => append(out, format_args!("    `{}`\n\n", shown(code))),
            None => out.push_str("    (source not found)\n\n"),
        }
    }
}

fn append(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(filename: &str, line: &str, name: &str, code: Option<&str>) -> Frame {
        let (filename, line, name) = (filename.to_owned(), line.to_owned(), name.to_owned());
        Frame { filename, line, name, code: code.map(str::to_owned) }
    }

    #[test]
    fn a_task_that_waits_for_several_things_shows_each_from_where_they_part() {
        let common = frame("a.rs", "1", "serve", None);
        let (one, other) = (frame("b.rs", "2", "accept", None), frame("c.rs", "3", "stop", None));
        let branches = vec![vec![common.clone(), one], vec![common, other]];
        let stack = Stack { title: "Green Thread".to_owned(), branches, ..Stack::default() };
        let mut out = String::new();
        stack.append_to(&mut out);
        assert!(out.ends_with(
            "b.rs:2 in accept\n    (source not found)\n\na.rs:1 in serve (another branch)\n    (source \
             not found)\n\nc.rs:3 in stop\n    (source not found)\n\n"
        ));
    }
}
