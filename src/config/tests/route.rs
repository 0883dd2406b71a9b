//! Tests of routes: their order, their sources, what is reloaded, and what is warned of.

use super::*;
use crate::grid::model::matcher::AlertFacts;
use crate::grid::values::time::Timestamp;

const MAIL: &str = "mail.server = \"mail.example.org\"\nmail.from = \"grid@example.org\"\n\
                    mail.to = \"ops@example.org, boss@example.org\"\nmail.zone = \"UTC\"\n\
                    mail.security = \"plain\"\n";

/// Each receiver of an error of that appliance at 03:00, with its route and whether it waits.
fn targets(settings: &Settings, appliance: &str) -> Vec<String> {
    let facts = AlertFacts {
        appliance: Some(appliance),
        class: "default",
        kind: "event",
        key: "",
        severity: Severity::Error,
    };
    let night = Timestamp::from_micros(1_796_094_000_000_000);
    let row = |it: grid::model::route::RouteTarget| {
        let waits = if it.hold_until.is_some() { ", waits" } else { "" };
        format!("{} by {}{waits}", it.receiver, it.route)
    };
    settings.grid.routing().targets(&facts, night).into_iter().map(row).collect()
}

fn names(settings: &Settings) -> Vec<&str> {
    settings.grid.routing().routes().iter().map(|it| &*it.name).collect()
}

#[test]
fn without_routes_all_recipients_get_everything() {
    let (_file, given) = file(MAIL);
    let expected = ["ops@example.org by default", "boss@example.org by default"];
    assert_eq!(targets(&valid_settings(&given), "db1"), expected);
}

#[test]
fn routes_are_tried_in_the_order_of_the_file() {
    let text = format!(
        "{MAIL}[webhook.chat]\nurl = \"http://hooks.example\"\n\
         [route.z]\nmatchers = \"appliance=db*\"\nreceivers = \"webhook:chat, dba@example.org\"\n\
         continue = true\n\
         [route.m]\nmatchers = \"appliance=lab*\"\nmute = true\n\
         [route.a]\nquiet_hours = \"22:00-07:00; sun 00:00-24:00\"\nquiet_zone = \"UTC\"\n"
    );
    let (_file, mut given) = file(&text);
    given.environment =
        environment(&[("GRIDD_ROUTE__A__RECEIVERS", "default, a@example.org")]).environment;
    let settings = valid_settings(&given);
    assert_eq!(names(&settings), ["z", "m", "a"]);
    assert_eq!(
        targets(&settings, "db1"),
        [
            "webhook:chat by z",
            "dba@example.org by z",
            "ops@example.org by a, waits",
            "boss@example.org by a, waits",
            "a@example.org by a, waits",
        ]
    );
    assert_eq!(targets(&settings, "lab1"), [""; 0]);
    let shown = overridden(&settings);
    assert!(shown.contains(&"route.z.matchers = appliance=db* (9)".to_owned()), "{shown:?}");
    let receivers = "route.a.receivers = default, a@example.org (GRIDD_ROUTE__A__RECEIVERS)";
    assert!(shown.contains(&receivers.to_owned()), "{shown:?}");
}

#[test]
fn the_order_within_a_line_is_kept_and_those_of_the_environment_are_last() {
    let text = format!(
        "{MAIL}route = {{ z = {{ matchers = \"class=z\" }}, b = {{ matchers = \"class=b\" }} }}\n"
    );
    let (_file, mut given) = file(&text);
    given.environment = environment(&[
        ("GRIDD_ROUTE__C__MATCHERS", "class=c"),
        ("GRIDD_ROUTE__A__MATCHERS", "class=a"),
        ("GRIDD_ROUTE__B__MUTE", "true"),
    ])
    .environment;
    assert_eq!(names(&valid_settings(&given)), ["z", "b", "a", "c"]);
}

#[test]
fn a_class_that_is_not_there_is_warned_of() {
    let text = format!("{MAIL}[class.web]\n[route.r]\nmatchers = \"class=~web,wbe,x*\"\n");
    let (_file, given) = file(&text);
    let warnings = valid_settings(&given).warnings();
    let [warning] = warnings.as_slice() else { panic!("one warning: {warnings:?}") };
    assert_eq!(warning.key, "route.r.matchers");
    assert_eq!(warning.text, "there is no class wbe here; is it misspelt?");
}

#[test]
fn a_reload_applies_routes_and_new_recipients_at_once() {
    let (changed, given) = file(&format!("{MAIL}[route.old]\nmatchers = \"class=a\"\n"));
    let old = valid_settings(&given);
    let text = MAIL.replace(", boss@example.org", "")
        + "[route.new]\nmatchers = \"appliance=db*\"\nreceivers = \"default, dba@example.org\"\n";
    std::fs::write(changed.path(), text).expect("writes");
    let (effective, changes) = old.reload(valid_settings(&given)).expect("is consistent");
    assert_eq!(names(&effective), ["new"]);
    assert_eq!(targets(&effective, "db1"), ["ops@example.org by new", "dba@example.org by new"]);
    let keys: Vec<_> = changes.iter().map(|it| (&*it.key, it.after.is_some())).collect();
    for expected in [("route.new.matchers", true), ("route.old.matchers", false)] {
        assert!(keys.contains(&expected), "{keys:?}");
    }
    // The server that routes need applies after a restart only.
    let (_none, given) = file("");
    let without = valid_settings(&given);
    let (_some, given) = file(&format!("{MAIL}[route.db]\nreceivers = \"dba@example.org\"\n"));
    let errors = without.reload(valid_settings(&given)).expect_err("is inconsistent").to_string();
    assert!(
        errors.contains(
            "route.db.receivers: dba@example.org is a mail address, and needs mail.server"
        ),
        "{errors}"
    );
    assert!(errors.ends_with("keep their old values until then"), "{errors}");
}
