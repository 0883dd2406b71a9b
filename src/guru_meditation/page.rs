//! What does a section say? Values and stacks, from which text and JSON are made alike.
//!
//! Guarantees that what was put on a page is there even if its section fails or hangs later on, and
//! that a page has a bound. Knows nothing of what is told.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::text::{self, CONFIGURATION, PLAIN, shown};

/// Most items on a page; what goes beyond is counted.
const ITEMS_MAX: usize = 20_000;

/// A page that a section writes. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Page(Arc<Mutex<Content>>);

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    values: Map<String, Value>,
    settings: BTreeMap<String, BTreeMap<String, Setting>>,
    pub(super) stacks: Vec<Stack>,
    processes: Vec<ProcessLine>,
    left_out: usize,
}

/// A setting of the configuration.
#[derive(Clone, Debug, Serialize)]
struct Setting {
    value: Value,
    /// Flag, environment, file or default, as the program says it; may be empty.
    origin: String,
}

/// A stack with what is known of its thread or task.
#[derive(Clone, Debug, Default)]
pub(super) struct Stack {
    /// `Thread #12` or `Green Thread`.
    pub(super) title: String,
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

/// A process as a line, below its parent.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ProcessLine {
    pub(super) pid: i32,
    pub(super) parent_pid: i32,
    pub(super) username: String,
    pub(super) uid: u32,
    pub(super) state: String,
    pub(super) command: Vec<String>,
    /// How far below the process that reports.
    pub(super) depth: usize,
}

impl Page {
    /// Says a value; a second one of the same key takes its place.
    pub fn put(&self, key: impl Into<String>, value: impl Into<Value>) {
        let mut content = self.content();
        if content.values.len() < ITEMS_MAX {
            content.values.insert(key.into(), value.into());
        } else {
            content.left_out += 1;
        }
    }

    /// Says a setting of a named group, and where its value came from, if that is known.
    pub(super) fn put_setting(&self, group: &str, key: &str, value: Value, origin: &str) {
        let mut content = self.content();
        if content.settings.len() < ITEMS_MAX {
            let setting = Setting { value, origin: origin.to_owned() };
            content.settings.entry(group.to_owned()).or_default().insert(key.to_owned(), setting);
        } else {
            content.left_out += 1;
        }
    }

    /// Puts a stack; gives its place, for [`Page::set_stack`].
    pub(super) fn put_stack(&self, stack: Stack) -> Option<usize> {
        let mut content = self.content();
        if content.stacks.len() < ITEMS_MAX {
            content.stacks.push(stack);
            Some(content.stacks.len() - 1)
        } else {
            content.left_out += 1;
            None
        }
    }

    /// Puts a better stack in the place of one.
    pub(super) fn set_stack(&self, at: usize, stack: Stack) {
        if let Some(there) = self.content().stacks.get_mut(at) {
            *there = stack;
        }
    }

    pub(super) fn put_process(&self, process: ProcessLine) {
        let mut content = self.content();
        if content.processes.len() < ITEMS_MAX {
            content.processes.push(process);
        } else {
            content.left_out += 1;
        }
    }

    /// What stands on it at this moment.
    pub(super) fn read(&self) -> Content {
        self.content().clone()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// As text, every line ended.
    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        for process in &self.processes {
            append(&mut out, format_args!("{}\n", process.line()));
        }
        if !self.processes.is_empty() {
            out.push('\n');
        }
        out.push_str(&text::pairs(&self.values, PLAIN));
        out.push_str(&text::pairs(&self.settings_as_text(), CONFIGURATION));
        for stack in &self.stacks {
            stack.append_to(&mut out);
        }
        if self.left_out > 0 {
            append(&mut out, format_args!("({} more are left out)\n", self.left_out));
        }
        out
    }

    /// `k = v (where from)`; a list keeps to itself.
    fn settings_as_text(&self) -> Map<String, Value> {
        let line = |Setting { value, origin }: &Setting| match value {
            Value::Array(_) | Value::Object(_) => value.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                match origin.as_str() {
                    "" => value.clone(),
                    origin => json!(format!("{} ({origin})", text::plain(value))),
                }
            }
        };
        let group = |settings: &BTreeMap<String, Setting>| {
            Value::Object(settings.iter().map(|(key, it)| (key.clone(), line(it))).collect())
        };
        self.settings.iter().map(|(name, settings)| (name.clone(), group(settings))).collect()
    }

    /// As JSON: an object that holds what is there.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
        if !self.values.is_empty() {
            put("values", Value::Object(self.values.clone()));
        }
        if !self.settings.is_empty() {
            put("groups", json!(self.settings));
        }
        if !self.processes.is_empty() {
            put("processes", json!(self.processes));
        }
        if !self.stacks.is_empty() {
            put("stacks", self.stacks.iter().map(Stack::to_json).collect());
        }
        if self.left_out > 0 {
            put("left_out", json!(self.left_out));
        }
        object
    }
}

impl Stack {
    fn append_to(&self, out: &mut String) {
        out.push_str(&text::thread(&self.title));
        out.push_str(&text::pairs(&self.facts, PLAIN));
        out.push('\n');
        if let Some(remark) = &self.remark {
            append(out, format_args!("({})\n", shown(remark)));
        }
        let first = self.branches.first().map(Vec::as_slice).unwrap_or_default();
        if first.is_empty() && self.remark.is_none() {
            out.push_str("No Traceback!\n");
        }
        first.iter().for_each(|frame| frame.append_to(out));
        for other in self.branches.iter().skip(1) {
            let common = first.iter().zip(other).take_while(|(one, other)| one == other).count();
            let from = common.checked_sub(1).and_then(|at| other.get(at));
            let from = from.map_or("the beginning", |frame| frame.name.as_str());
            append(out, format_args!("(and also, from {} on)\n", shown(from)));
            other[common..].iter().for_each(|frame| frame.append_to(out));
        }
        out.push('\n');
    }

    fn to_json(&self) -> Value {
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
    fn append_to(&self, out: &mut String) {
        let Self { filename, line, name, code } = self;
        append(out, format_args!("{}:{line} in {}\n", shown(filename), shown(name)));
        match code {
            Some(code) => append(out, format_args!("    `{}`\n", shown(code))),
            None => out.push_str("    (source not found)\n"),
        }
    }
}

impl ProcessLine {
    fn line(&self) -> String {
        let Self { pid, parent_pid, username, uid, state, command: _, depth } = self;
        let indent = "    ".repeat(*depth);
        format!(
            "{indent}Process {pid} (under {parent_pid}) [ run by: {} ({uid}), state: {} ]",
            shown(username),
            shown(state)
        )
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
    fn a_thread_looks_as_oslo_has_it() {
        let page = Page::default();
        let outer = frame("/path/file.py", "1002", "_bootstrap", Some("self._bootstrap_inner()"));
        let inner = frame("/lib/libc.so.6", "0x12", "epoll_wait", None);
        let mut facts = Map::new();
        facts.insert("name".to_owned(), json!("worker"));
        let (title, branches) = ("Thread #12".to_owned(), vec![vec![outer, inner]]);
        page.put_stack(Stack { title, facts, branches, remark: None });
        page.put_stack(Stack { title: "Thread #13".to_owned(), ..Stack::default() });
        let expected = "\
------                         Thread #12                         ------
name = worker

/path/file.py:1002 in _bootstrap
    `self._bootstrap_inner()`
/lib/libc.so.6:0x12 in epoll_wait
    (source not found)

------                         Thread #13                         ------

No Traceback!

";
        assert_eq!(page.read().to_text(), expected);
        let json = Value::Object(page.read().to_json());
        let lines = &json["stacks"][0]["stack_traces"][0]["lines"];
        assert_eq!(lines[1]["name"], "epoll_wait");
        assert_eq!(lines[0]["code"], "self._bootstrap_inner()");
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
            "accept\n    (source not found)\n(and also, from serve on)\nc.rs:3 in stop\n    \
             (source not found)\n\n"
        ));
    }

    #[test]
    fn processes_come_before_values_and_settings() {
        let page = Page::default();
        page.put_setting("database", "connection", json!("***"), "");
        page.put_setting("default", "port", json!(25), "file mail.toml");
        page.put_setting("default", "b", json!(false), "default");
        page.put("threads", 3);
        for (pid, parent_pid, depth) in [(28282, 28278, 0), (28284, 28282, 1)] {
            let (username, state, command) = ("root".to_owned(), "running".to_owned(), Vec::new());
            page.put_process(ProcessLine {
                pid,
                parent_pid,
                username,
                uid: 0,
                state,
                command,
                depth,
            });
        }
        let expected = "\
Process 28282 (under 28278) [ run by: root (0), state: running ]
    Process 28284 (under 28282) [ run by: root (0), state: running ]

threads = 3

database: 
  connection = ***

default: 
  b = False (default)
  port = 25 (file mail.toml)
";
        assert_eq!(page.read().to_text(), expected);
        let json = Value::Object(page.read().to_json());
        let port = json!({"value": 25, "origin": "file mail.toml"});
        assert_eq!(json["groups"]["default"]["port"], port);
    }

    #[test]
    fn what_goes_beyond_the_bound_is_counted() {
        let page = Page::default();
        for number in 0..ITEMS_MAX + 7 {
            page.put(number.to_string(), number);
        }
        assert!(page.read().to_text().ends_with("(7 more are left out)\n"));
    }
}
