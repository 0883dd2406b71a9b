//! Writes the section Processes: this process, its children and their limits.
//!
//! Guarantees that unreadable values are left out and the rest is present, and that secrets in
//! command lines are masked. Does not know which programs the processes run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use procfs::process::{Limit, LimitValue, Process};
use serde_json::{Map, Value, json};

use super::secret;
use crate::guru_meditation::section_builder::{ProcessLine, SectionBuilder};

/// Maximum number of processes listed, including this one.
const PROCESSES_MAX: usize = 100;

/// Maximum depth of children.
const DEPTH_MAX: usize = 8;

/// Writes the section.
pub(super) fn write(page: &SectionBuilder) {
    let Ok(own) = Process::myself() else {
        page.mark_incomplete("cannot read /proc/self: is /proc mounted?");
        return;
    };
    let users = user_names();
    let mut left = PROCESSES_MAX;
    add_tree(page, &own, 0, &users, &mut left);
    if let Ok(command) = own.cmdline() {
        page.add_detail("command", secret::mask_arguments(&command).join(" "));
    }
    if let Ok(open) = own.fd_count() {
        page.add_detail("descriptors", open);
    }
    if let Some(limits) = limits(&own) {
        page.add_detail("limits", limits);
    }
    if let Ok(status) = own.status() {
        page.add_detail("threads", status.threads);
        page.add_detail("memory", memory(&status));
    }
    if let Ok(groups) = own.cgroups() {
        let paths: BTreeSet<_> = groups.0.into_iter().map(|group| group.pathname).collect();
        let paths: Vec<_> = paths.into_iter().collect();
        page.add_detail("cgroup", paths);
    }
    for (key, value) in cgroup_limits(&own) {
        page.add_detail(key, value);
    }
    if let Ok(score) = own.oom_score() {
        page.add_detail("oom_score", score);
    }
}

fn add_tree(
    page: &SectionBuilder,
    process: &Process,
    depth: usize,
    users: &BTreeMap<u32, String>,
    left: &mut usize,
) {
    let Some(rest) = left.checked_sub(1) else { return };
    *left = rest;
    let Ok(status) = process.status() else { return };
    // `S (sleeping)` becomes `sleeping`.
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
            add_tree(page, &child, depth + 1, users, left);
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
    let mut values = Map::new();
    let mut put = |key: &str, limit: Limit| {
        let both = format!(
            "{} (at most {})",
            format_limit(limit.soft_limit),
            format_limit(limit.hard_limit)
        );
        values.insert(key.to_owned(), json!(both));
    };
    put("address_space", limits.max_address_space);
    put("core_file", limits.max_core_file_size);
    put("locked_memory", limits.max_locked_memory);
    put("open_files", limits.max_open_files);
    put("processes", limits.max_processes);
    put("stack", limits.max_stack_size);
    Some(Value::Object(values))
}

fn format_limit(limit: LimitValue) -> String {
    match limit {
        LimitValue::Unlimited => "unlimited".to_owned(),
        LimitValue::Value(value) => value.to_string(),
    }
}

fn memory(status: &procfs::process::Status) -> Value {
    let mut values = Map::new();
    let kinds = [
        ("resident_kib", status.vmrss),
        ("resident_anonymous_kib", status.rssanon),
        ("resident_peak_kib", status.vmhwm),
        ("swapped_kib", status.vmswap),
        ("virtual_kib", status.vmsize),
    ];
    for (key, kib) in kinds {
        if let Some(kib) = kib {
            values.insert(key.to_owned(), json!(kib));
        }
    }
    Value::Object(values)
}

/// The limits of the control group (version 2) that end or slow down a process.
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

/// Names of users by uid.
fn user_names() -> BTreeMap<u32, String> {
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
    fn this_process_and_its_child_are_listed() {
        let mut child =
            std::process::Command::new("sleep").arg("60").spawn().expect("sleep is there");
        let page = SectionBuilder::default();
        write(&page);
        let _ = child.kill();
        let _ = child.wait();
        let text = page.snapshot().to_text();
        let own = format!("Process {} (under ", std::process::id());
        assert!(text.starts_with(&own), "{text}");
        let below =
            format!("\n    Process {} (under {}) [ run by: ", child.id(), std::process::id());
        assert!(text.contains(&below), "{text}");
        let more = Value::Object(page.snapshot().more());
        assert!(more["descriptors"].is_number() && more["memory"]["resident_kib"].is_number());
        assert!(more["limits"]["open_files"].is_string(), "{more}");
    }
}
