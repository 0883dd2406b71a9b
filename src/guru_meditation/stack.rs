//! Formats the stack of a thread or task, with its facts.
//!
//! Guarantees the layout of oslo.reports: two lines per frame followed by an empty one, nothing
//! else. Other facts are in the outermost frame, where the thread or task began. Does not know how
//! stacks are captured.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::secret;
use super::text::{self, escape};

/// A stack with the facts of its thread or task.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    /// `Thread #12` or `Green Thread`.
    pub(super) title: String,
    /// Its origin, as a frame outside all others: the name of a thread, the location of a task.
    pub(super) origin: Frame,
    pub(super) facts: Map<String, Value>,
    /// Frames from the outermost to the innermost; further lists are further branches of a task.
    pub(super) branches: Vec<Vec<Frame>>,
    /// Why there is no stack, or how it is incomplete.
    pub(super) remark: Option<String>,
}

/// A frame of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(super) struct Frame {
    /// The source file, or without debug information the object: `/usr/lib/libc.so.6`.
    pub(super) filename: String,
    /// The line; without debug information the offset in the object: `0x8a0c4`.
    pub(super) line: String,
    pub(super) name: String,
    /// The text of the line, if the source is available.
    pub(super) code: Option<String>,
}

impl Stack {
    /// Masks secrets.
    pub(super) fn mask(&mut self) {
        for (key, value) in &mut self.facts {
            *value = secret::mask_value(key, value.take());
        }
        self.remark = self.remark.take().map(|remark| secret::mask(&remark));
    }

    /// Appends the layout of oslo.reports: two lines per frame, followed by an empty one. Other
    /// facts are in the outermost frame.
    pub(super) fn append_to(&self, out: &mut String) {
        out.push_str(&text::thread_heading(&self.title));
        out.push('\n');
        let first = self.branches.first().map(Vec::as_slice).unwrap_or_default();
        let known = self.known_facts();
        if first.is_empty() && known.is_empty() {
            out.push_str("No Traceback!\n\n");
        }
        if !known.is_empty() {
            Frame { code: Some(known), ..self.origin.clone() }.append_to(out, "");
        }
        first.iter().for_each(|frame| frame.append_to(out, ""));
        for other in self.branches.iter().skip(1) {
            let common = first.iter().zip(other).take_while(|(one, other)| one == other).count();
            // Starts at the last common frame.
            let mut frames = other[common.saturating_sub(1)..].iter();
            if let Some(frame) = frames.next() {
                frame.append_to(out, " (another branch)");
            }
            frames.for_each(|frame| frame.append_to(out, ""));
        }
    }

    /// Facts and remark on one line.
    fn known_facts(&self) -> String {
        let fact =
            |(key, value): (&String, &Value)| format!("{key} = {}", text::python_scalar(value));
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
    /// Appends the frame, with `mark` after its name, and an empty line.
    fn append_to(&self, out: &mut String, mark: &str) {
        let Self { filename, line, name, code } = self;
        let (filename, name) = (escape(filename), escape(name));
        // The line must be a number: an offset is written with the object.
        match line.parse::<u32>() {
            Ok(line) => append(out, format_args!("{filename}:{line} in {name}{mark}\n")),
            Err(_) => append(out, format_args!("{filename}+{line}:0 in {name}{mark}\n")),
        }
        match code {
            Some(code) => append(out, format_args!("    `{}`\n\n", escape(code))),
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
    fn branches_of_a_task_are_shown_from_where_they_diverge() {
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
