//! The section Processes: this process, its children, and what the system grants them.
//!
//! Guarantees that whatever can't be read is left out and the rest is there. Command lines are told
//! without their secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use procfs::process::{Limit, LimitValue, Process};
use serde_json::{Map, Value, json};

use super::secret;
use crate::guru_meditation::section_builder::{ProcessLine, SectionBuilder};

/// Most processes told, this one included.
const PROCESSES_MAX: usize = 100;

/// How far down children are followed.
const DEPTH_MAX: usize = 8;

/// Writes the section.
pub(super) fn add_section(page: &SectionBuilder) {
    let Ok(own) = Process::myself() else {
        page.mark_missing("/proc/self can't be read: is /proc mounted here?");
        return;
    };
    let users = users();
    let mut left = PROCESSES_MAX;
    put_tree(page, &own, 0, &users, &mut left);
    if let Ok(command) = own.cmdline() {
        page.add_more("command", secret::mask_arguments(&command).join(" "));
    }
    if let Ok(open) = own.fd_count() {
        page.add_more("descriptors", open);
    }
    if let Some(limits) = limits(&own) {
        page.add_more("limits", limits);
    }
    if let Ok(status) = own.status() {
        page.add_more("threads", status.threads);
        page.add_more("memory", memory(&status));
    }
    if let Ok(groups) = own.cgroups() {
        let paths: BTreeSet<_> = groups.0.into_iter().map(|group| group.pathname).collect();
        let paths: Vec<_> = paths.into_iter().collect();
        page.add_more("cgroup", paths);
    }
    for (key, value) in cgroup_limits(&own) {
        page.add_more(key, value);
    }
    if let Ok(score) = own.oom_score() {
        page.add_more("oom_score", score);
    }
}

fn put_tree(
    page: &SectionBuilder,
    process: &Process,
    depth: usize,
    users: &BTreeMap<u32, String>,
    left: &mut usize,
) {
    let Some(rest) = left.checked_sub(1) else { return };
    *left = rest;
    let Ok(status) = process.status() else { return };
    // `S (sleeping)` is told as `sleeping`.
    let state = status.state.split_once('(').map_or(&*status.state, |(_, state)| state);
    page.add_process(ProcessLine {
        pid: status.pid,
        parent_pid: status.ppid,
        username: users.get(&status.ruid).cloned().unwrap_or_else(|| "?".to_owned()),
        uid: status.ruid,
        state: state.trim_end_matches(')').to_owned(),
        command: secret::mask_arguments(&process.cmdline().unwrap_or_default()),
        depth,
    });
    if depth < DEPTH_MAX {
        for child in children(process) {
            put_tree(page, &child, depth + 1, users, left);
        }
    }
}

fn children(process: &Process) -> Vec<Process> {
    let tasks = process.tasks().into_iter().flatten().filter_map(Result::ok);
    let pids = tasks.filter_map(|task| task.children().ok()).flatten();
    let mut children: Vec<_> =
        pids.filter_map(|pid| Process::new(i32::try_from(pid).ok()?).ok()).collect();
    children.sort_by_key(Process::pid);
    children
}

fn limits(process: &Process) -> Option<Value> {
    let limits = process.limits().ok()?;
    let mut told = Map::new();
    let mut put = |key: &str, limit: Limit| {
        let both = format!("{} (at most {})", value(limit.soft_limit), value(limit.hard_limit));
        told.insert(key.to_owned(), json!(both));
    };
    put("address_space", limits.max_address_space);
    put("core_file", limits.max_core_file_size);
    put("locked_memory", limits.max_locked_memory);
    put("open_files", limits.max_open_files);
    put("processes", limits.max_processes);
    put("stack", limits.max_stack_size);
    Some(Value::Object(told))
}

fn value(limit: LimitValue) -> String {
    match limit {
        LimitValue::Unlimited => "unlimited".to_owned(),
        LimitValue::Value(value) => value.to_string(),
    }
}

fn memory(status: &procfs::process::Status) -> Value {
    let mut told = Map::new();
    let kinds = [
        ("resident_kib", status.vmrss),
        ("resident_anonymous_kib", status.rssanon),
        ("resident_peak_kib", status.vmhwm),
        ("swapped_kib", status.vmswap),
        ("virtual_kib", status.vmsize),
    ];
    for (key, kib) in kinds {
        if let Some(kib) = kib {
            told.insert(key.to_owned(), json!(kib));
        }
    }
    Value::Object(told)
}

/// Of the control group's own limits those that end a process or slow it down (version 2).
fn cgroup_limits(process: &Process) -> Vec<(String, String)> {
    let groups = process.cgroups().map(|groups| groups.0).unwrap_or_default();
    let Some(group) = groups.into_iter().find(|group| group.hierarchy == 0) else {
        return Vec::new();
    };
    let folder = format!("/sys/fs/cgroup{}", group.pathname);
    let read = |file: &str| {
        let text = fs::read_to_string(format!("{folder}/{file}")).ok()?;
        Some((format!("cgroup_{}", file.replace('.', "_")), text.trim().to_owned()))
    };
    ["cpu.max", "memory.current", "memory.max", "pids.current", "pids.max"]
        .into_iter()
        .filter_map(read)
        .collect()
}

/// Names of users by their number.
fn users() -> BTreeMap<u32, String> {
    let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        Some((number.parse().ok()?, name.to_owned()))
    };
    text.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_its_child_are_told() {
        let mut child =
            std::process::Command::new("sleep").arg("60").spawn().expect("sleep is there");
        let page = SectionBuilder::default();
        add_section(&page);
        let _ = child.kill();
        let _ = child.wait();
        let text = page.read().to_text();
        let own = format!("Process {} (under ", std::process::id());
        assert!(text.starts_with(&own), "{text}");
        let below =
            format!("\n    Process {} (under {}) [ run by: ", child.id(), std::process::id());
        assert!(text.contains(&below), "{text}");
        let more = Value::Object(page.read().more());
        assert!(more["descriptors"].is_number() && more["memory"]["resident_kib"].is_number());
        assert!(more["limits"]["open_files"].is_string(), "{more}");
    }
}
