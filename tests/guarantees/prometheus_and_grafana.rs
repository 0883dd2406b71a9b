//! The alert rules and the dashboard in `deploy/` are right by Prometheus' own tool, ask for metrics that
//! gridd has, and the runbook says what to do for each of them.

use std::collections::BTreeSet;
use std::process::Command;

use grid_broker::contract::proto::AlertKind;
use serde_json::Value;
use tempfile::TempDir;

use crate::metrics::{SOMETIMES, series};
use crate::starts::DEADLINE_CLASSES;
use crate::support::{Gridd, run};

const RULES: &str = include_str!("../../deploy/prometheus/gridd.rules.yml");
const DASHBOARD: &str = include_str!("../../deploy/grafana/gridd.json");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// Runs promtool, which must be content; gives what it said.
async fn promtool(words: &[&str]) -> String {
    assert!(
        Command::new("promtool").arg("--version").output().is_ok(),
        "promtool (Debian's package prometheus) is needed: tests/run installs it"
    );
    let mut command = Command::new("promtool");
    command.args(words);
    let said = run(command).await;
    assert_eq!(said.code, Some(0), "promtool {words:?}: {said:?}");
    said.stdout
}

/// The queries of the dashboard, with a time in place of what Grafana puts there.
fn queries() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(ToOwned::to_owned));
                fields.values().for_each(|field| collect(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    collect(&serde_json::from_str(DASHBOARD).expect("JSON"), &mut found);
    assert!(found.len() > 20, "{found:?}");
    found.iter().map(|query| query.replace("$__rate_interval", "5m")).collect()
}

/// The metrics that a text names.
fn metrics(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    words.filter(|word| word.starts_with("gridd_") || word.starts_with("process_")).collect()
}

/// The names of the alert rules.
fn alerts() -> Vec<&'static str> {
    let rules = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let rules: Vec<_> = rules.collect();
    assert!(rules.len() > 5, "the rules are found: {rules:?}");
    rules
}

#[tokio::test]
async fn promtool_takes_the_rules_and_each_fires_when_it_should() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");
    let rules = format!("{folder}/gridd.rules.yml");
    let said = promtool(&["check", "rules", &rules]).await;
    assert!(said.contains(&format!("{} rules found", alerts().len())), "{said}");
    let tests = format!("{folder}/gridd.rules.test.yml");
    promtool(&["test", "rules", &tests]).await;
    let text = std::fs::read_to_string(tests).expect("the tests of the rules");
    for alert in alerts() {
        assert!(text.contains(&format!("alertname: {alert}\n")), "{alert} is never seen to fire");
    }
}

#[tokio::test]
async fn every_query_of_the_dashboard_is_one() {
    let folder = TempDir::new().expect("a folder");
    let rule = |(number, query): (usize, String)| {
        format!("      - record: query:{number}\n        expr: {}\n", Value::from(query))
    };
    let rules: String = queries().into_iter().enumerate().map(rule).collect();
    let path = folder.path().join("queries.yml").display().to_string();
    let text = format!("groups:\n  - name: queries\n    rules:\n{rules}");
    std::fs::write(&path, text).expect("the queries");
    promtool(&["check", "rules", &path]).await;
}

#[tokio::test]
async fn every_metric_that_is_asked_for_is_on_the_page() {
    let gridd = Gridd::with_config(DEADLINE_CLASSES).await;
    gridd.gridctl(&["appliance", "add", "late"]).await.done();
    gridd.gridctl(&["appliance", "boot", "late"]).await.done();
    gridd.explained("late", "failed").await;
    gridd.vme("db1", 1, &["id=log", "msg=x"]).await.done();
    assert_eq!(gridd.gridctl(&["appliance", "show", "nobody"]).await.code, Some(7));
    let told = series(&gridd).await;
    let told = told.keys().map(|series| series.split('{').next().unwrap_or(series));
    let told: BTreeSet<&str> = told.chain(SOMETIMES).collect();
    let queries = queries().join("\n");
    for (asks, text) in [("the rules", RULES), ("the dashboard", &queries)] {
        let asked = metrics(text);
        let unknown: Vec<_> = asked.difference(&told).collect();
        assert!(unknown.is_empty(), "{asks} ask for {unknown:?}, which gridd does not have");
        assert!(asked.len() > 10, "{asked:?}");
    }
    let kinds: Vec<_> = RULES.split("gridd_alerts_open{kind=\"").skip(1).collect();
    assert!(!kinds.is_empty(), "the rules name alert kinds");
    for part in kinds {
        let word = part.split('"').next().expect("a word");
        let name = format!("ALERT_KIND_{}", word.to_uppercase());
        assert!(AlertKind::from_str_name(&name).is_some(), "there is no alert kind {word}");
    }
}

#[test]
fn the_runbook_has_every_alert_rule_and_every_alert_kind() {
    for alert in alerts() {
        assert!(RUNBOOK.contains(&format!("`{alert}`")), "docs/runbook.md lacks {alert}");
    }
    let kinds: Vec<_> = (1..100).filter_map(|it| AlertKind::try_from(it).ok()).collect();
    assert!(kinds.len() > 5, "the alert kinds are found: {kinds:?}");
    for kind in kinds {
        let name = kind.as_str_name().to_lowercase();
        let word = name.strip_prefix("alert_kind_").expect("the contract's prefix");
        assert!(RUNBOOK.contains(&format!("`{word}`")), "docs/runbook.md lacks {word}");
    }
    for code in 0..=7 {
        assert!(
            RUNBOOK.contains(&format!("\n| {code} | ")),
            "docs/runbook.md lacks exit code {code}"
        );
    }
}
