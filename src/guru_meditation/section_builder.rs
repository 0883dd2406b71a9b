//! Collects the content of a section, from which text and JSON are made.
//!
//! Guarantees that added content is in the report even if its section fails or hangs later, that
//! secrets known by name or form are masked, and that the size is limited. Content that
//! oslo.reports has no place for is separate, so that parsers of its layout can read these reports.
//! Does not know the sections.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::secret;
use super::stack::Stack;
use super::text::{self, CONFIGURATION_STYLE, PLAIN_STYLE, escape};

/// Maximum number of items in a section; further ones are counted.
const ITEMS_MAX: usize = 20_000;

/// The content of a section while it is written. Cheap to clone; all clones share one content.
#[derive(Clone, Debug, Default)]
pub struct SectionBuilder(Arc<Mutex<SectionContent>>);

#[derive(Clone, Debug, Default)]
pub(super) struct SectionContent {
    values: Map<String, Value>,
    /// Details that oslo.reports does not have in such a section.
    more: Map<String, Value>,
    settings: BTreeMap<String, BTreeMap<String, ReportedSetting>>,
    pub(super) stacks: Vec<Stack>,
    processes: Vec<ProcessLine>,
    left_out: usize,
    /// Why content is missing.
    pub(super) missing_reason: Option<String>,
}

/// A setting of the configuration.
#[derive(Clone, Debug, Serialize)]
struct ReportedSetting {
    value: Value,
    /// Flag, environment, file or default, as the program names it; may be empty.
    origin: String,
}

/// A process, shown as a line below its parent.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ProcessLine {
    pub(super) pid: i32,
    pub(super) parent_pid: i32,
    pub(super) username: String,
    pub(super) uid: u32,
    pub(super) state: String,
    pub(super) command: Vec<String>,
    /// Its depth below the reporting process.
    pub(super) depth: usize,
}

impl SectionBuilder {
    /// Adds a value; a second one with the same key replaces it.
    pub fn add(&self, key: impl Into<String>, value: impl Into<Value>) {
        let key = key.into();
        let value = secret::mask_value(&key, value.into());
        let mut content = self.lock_content();
        if content.values.len() < ITEMS_MAX {
            content.values.insert(key, value);
        } else {
            content.left_out += 1;
        }
    }

    /// Adds a value that oslo.reports does not have in this section: the text has it at its end.
    pub(super) fn add_detail(&self, key: impl Into<String>, value: impl Into<Value>) {
        let key = key.into();
        let value = secret::mask_value(&key, value.into());
        self.lock_content().more.insert(key, value);
    }

    /// Records that content is missing, and why.
    pub(super) fn mark_incomplete(&self, why: impl Into<String>) {
        self.lock_content().missing_reason.get_or_insert(why.into());
    }

    /// Adds a setting of a named group, with the origin of its value, if known.
    pub(super) fn add_setting(&self, group: &str, key: &str, value: Value, origin: &str) {
        let value = secret::mask_value(key, value);
        let mut content = self.lock_content();
        if content.settings.len() < ITEMS_MAX {
            let setting = ReportedSetting { value, origin: origin.to_owned() };
            content.settings.entry(group.to_owned()).or_default().insert(key.to_owned(), setting);
        } else {
            content.left_out += 1;
        }
    }

    /// Adds a stack; returns its index, for [`SectionBuilder::replace_stack`].
    pub(super) fn add_stack(&self, mut stack: Stack) -> Option<usize> {
        stack.mask();
        let mut content = self.lock_content();
        if content.stacks.len() < ITEMS_MAX {
            content.stacks.push(stack);
            Some(content.stacks.len() - 1)
        } else {
            content.left_out += 1;
            None
        }
    }

    /// Replaces a stack by a better one.
    pub(super) fn replace_stack(&self, at: usize, mut stack: Stack) {
        stack.mask();
        if let Some(there) = self.lock_content().stacks.get_mut(at) {
            *there = stack;
        }
    }

    pub(super) fn add_process(&self, process: ProcessLine) {
        let mut content = self.lock_content();
        if content.processes.len() < ITEMS_MAX {
            content.processes.push(process);
        } else {
            content.left_out += 1;
        }
    }

    /// A copy of the content so far.
    pub(super) fn snapshot(&self) -> SectionContent {
        self.lock_content().clone()
    }

    fn lock_content(&self) -> MutexGuard<'_, SectionContent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SectionContent {
    /// As text in complete lines, with only what oslo.reports has in such a section.
    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        for process in &self.processes {
            append(&mut out, format_args!("{}\n", process.line()));
        }
        if !self.processes.is_empty() {
            out.push('\n');
        }
        out.push_str(&text::format_pairs(&self.values, PLAIN_STYLE));
        out.push_str(&text::format_pairs(
            &self.settings(|it| it.value.clone()),
            CONFIGURATION_STYLE,
        ));
        for stack in &self.stacks {
            stack.append_to(&mut out);
        }
        if self.left_out > 0 && !self.is_oslo_layout() {
            append(&mut out, format_args!("({} more are left out)\n", self.left_out));
        }
        out
    }

    /// Whether the text may contain only what oslo.reports has.
    pub(super) fn is_oslo_layout(&self) -> bool {
        !(self.stacks.is_empty() && self.settings.is_empty() && self.processes.is_empty())
    }

    /// The details at the end of the text: everything that oslo.reports has no place for.
    pub(super) fn more(&self) -> Map<String, Value> {
        let mut more = self.more.clone();
        if self.left_out > 0 && self.is_oslo_layout() {
            more.insert("left_out".to_owned(), json!(self.left_out));
        }
        // The origins of values that are not defaults.
        let origin = |setting: &ReportedSetting| match setting.origin.as_str() {
            "" | "default" => Value::Null,
            origin => json!(origin),
        };
        for (group, origins) in self.settings(origin) {
            let Value::Object(mut origins) = origins else { continue };
            origins.retain(|_, origin| !origin.is_null());
            if !origins.is_empty() {
                more.insert(format!("origins of {group}"), Value::Object(origins));
            }
        }
        more
    }

    /// Maps each setting to a value, by group.
    fn settings(&self, of: impl Fn(&ReportedSetting) -> Value) -> Map<String, Value> {
        let group = |settings: &BTreeMap<String, ReportedSetting>| {
            Value::Object(settings.iter().map(|(key, it)| (key.clone(), of(it))).collect())
        };
        self.settings.iter().map(|(name, settings)| (name.clone(), group(settings))).collect()
    }

    /// As a JSON object.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
        if !(self.values.is_empty() && self.more.is_empty()) {
            let values = self.values.clone().into_iter().chain(self.more.clone());
            put("values", Value::Object(values.collect()));
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

impl ProcessLine {
    fn line(&self) -> String {
        let Self { pid, parent_pid, username, uid, state, command: _, depth } = self;
        let indent = "    ".repeat(*depth);
        format!(
            "{indent}Process {pid} (under {parent_pid}) [ run by: {} ({uid}), state: {} ]",
            escape(username),
            escape(state)
        )
    }
}

fn append(text: &mut String, piece: std::fmt::Arguments<'_>) {
    text.write_fmt(piece).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guru_meditation::stack::Frame;

    fn frame(filename: &str, line: &str, name: &str, code: Option<&str>) -> Frame {
        let (filename, line, name) = (filename.to_owned(), line.to_owned(), name.to_owned());
        Frame { filename, line, name, code: code.map(str::to_owned) }
    }

    #[test]
    fn a_thread_has_oslos_layout() {
        let page = SectionBuilder::default();
        let outer = frame("/path/file.py", "1002", "_bootstrap", Some("self._bootstrap_inner()"));
        let inner = frame("/lib/libc.so.6", "0x12", "epoll_wait", None);
        let mut facts = Map::new();
        facts.insert("name".to_owned(), json!("worker"));
        facts.insert("detail".to_owned(), json!("to bob@example.org\ntoken=x"));
        let (title, branches) = ("Thread #12".to_owned(), vec![vec![outer, inner]]);
        let origin = frame("/proc/7/task/12/comm", "1", "worker", None);
        let remark = Some("frames may be missing".to_owned());
        page.add_stack(Stack { title, origin, facts, branches, remark });
        page.add_stack(Stack { title: "Thread #13".to_owned(), ..Stack::default() });
        page.add_detail("threads", 2);
        let expected = "\
------                         Thread #12                         ------

/proc/7/task/12/comm:1 in worker
    `detail = to b***@example.org token=***, name = worker, (frames may be missing)`

/path/file.py:1002 in _bootstrap
    `self._bootstrap_inner()`

/lib/libc.so.6+0x12:0 in epoll_wait
    (source not found)

------                         Thread #13                         ------

No Traceback!

";
        assert_eq!(page.snapshot().to_text(), expected);
        assert_eq!(Value::Object(page.snapshot().more()), json!({"threads": 2}));
        let json = Value::Object(page.snapshot().to_json());
        let lines = &json["stacks"][0]["stack_traces"][0]["lines"];
        assert_eq!(lines[1]["name"], "epoll_wait");
        assert_eq!(lines[0]["code"], "self._bootstrap_inner()");
        assert_eq!(json["values"]["threads"], 2);
    }

    #[test]
    fn nothing_secret_is_on_a_page() {
        let page = SectionBuilder::default();
        page.add("newest", vec!["mail to bob@example.org waits: 535 token=abc at smtp://u:p@h/"]);
        page.add("api_key", "abc");
        page.add_setting("mail", "password", json!("abc"), "");
        page.add_setting("mail", "password_in_clear", json!("false"), "");
        let text = page.snapshot().to_text();
        let expected = "\
api_key = ***
newest = 
  mail to b***@example.org waits: 535 token=*** at smtp://***@h/

mail: 
  password = ***
  password_in_clear = false
";
        assert_eq!(text, expected);
    }

    #[test]
    fn processes_come_before_values_and_settings() {
        let page = SectionBuilder::default();
        page.add_setting("database", "connection", json!("***"), "");
        page.add_setting("default", "port", json!(25), "file mail.toml");
        page.add_setting("default", "b", json!(false), "default");
        page.add("threads", 3);
        for (pid, parent_pid, depth) in [(28282, 28278, 0), (28284, 28282, 1)] {
            let (username, state, command) = ("root".to_owned(), "running".to_owned(), Vec::new());
            page.add_process(ProcessLine {
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
  b = False
  port = 25
";
        assert_eq!(page.snapshot().to_text(), expected);
        let more = json!({"origins of default": {"port": "file mail.toml"}});
        assert_eq!(Value::Object(page.snapshot().more()), more);
        let json = Value::Object(page.snapshot().to_json());
        let port = json!({"value": 25, "origin": "file mail.toml"});
        assert_eq!(json["groups"]["default"]["port"], port);
    }

    #[test]
    fn items_beyond_the_limit_are_counted() {
        let page = SectionBuilder::default();
        for number in 0..ITEMS_MAX + 7 {
            page.add(number.to_string(), number);
        }
        assert!(page.snapshot().to_text().ends_with("(7 more are left out)\n"));
    }
}
