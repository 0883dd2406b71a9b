//! Tests who gets the mails on alerts by the routes.

use super::driver::*;
use crate::grid::model::matcher::Matchers;
use crate::grid::model::route::{NotificationRoute, RouteReceivers};
use crate::grid::model::settings::{GridSettings, MAIL_TRIGGERS, MailPolicy};
use crate::grid::tests::urgent_mail::{SentMail, alert, deliver_until};
use crate::grid::values::event::Severity;

fn route(name: &str, matchers: &str, receivers: &[&str], continues: bool) -> NotificationRoute {
    let receivers = receivers.iter().map(|it| Box::from(*it)).collect();
    NotificationRoute {
        name: name.into(),
        matchers: Matchers::parse(matchers).expect("valid"),
        receivers: RouteReceivers::Listed(receivers),
        continues,
        quiet_hours: None,
    }
}

fn grid(recipients: &[&str], routes: Vec<NotificationRoute>) -> Timeline {
    let mail = MailPolicy {
        recipients: recipients.iter().map(|it| Box::from(*it)).collect(),
        triggers: MAIL_TRIGGERS.into_iter().collect(),
        ..MailPolicy::default()
    };
    let settings = GridSettings::default().with_mail(Some(mail)).with_routes(routes);
    let mut timeline = Timeline::empty(settings);
    timeline.add(DB1);
    timeline.hello(1);
    timeline.store(started_ok(1));
    timeline
}

fn receivers(sent: &[SentMail]) -> Vec<&str> {
    let mut all: Vec<_> = sent.iter().map(|it| &*it.mail.recipient).collect();
    all.sort_unstable();
    all
}

#[test]
fn an_alert_goes_to_the_receivers_of_its_routes() {
    let routes = vec![
        route("grave", "severity>=fatal", &["boss@example.org"], true),
        route("databases", "appliance=db*", &["dba@example.org"], false),
    ];
    for (severity, expected) in [
        (Severity::Error, vec!["dba@example.org"]),
        (Severity::Fatal, vec!["boss@example.org", "dba@example.org"]),
    ] {
        let (mut timeline, mut sent) = (grid(&["ops@example.org"], routes.clone()), Vec::new());
        timeline.store(alert(1, severity, "disk is gone"));
        deliver_until(&mut timeline, 40, &mut sent);
        assert_eq!(receivers(&sent), expected);
    }
}

#[test]
fn routes_alone_are_enough_and_without_any_receiver_nothing_is_queued() {
    let routes = vec![route("all", "severity>=debug", &["ops@example.org"], false)];
    for (routes, expected) in [(routes, vec!["ops@example.org"]), (Vec::new(), Vec::new())] {
        let (mut timeline, mut sent) = (grid(&[], routes), Vec::new());
        timeline.store(alert(1, Severity::Error, "disk is gone"));
        deliver_until(&mut timeline, 40, &mut sent);
        assert_eq!(receivers(&sent), expected);
    }
}

#[test]
fn who_was_told_of_a_fatal_alert_is_told_of_its_end() {
    let routes = vec![route("grave", "severity>=fatal", &["boss@example.org"], false)];
    let (mut timeline, mut sent) = (grid(&[], routes), Vec::new());
    timeline.store(alert(1, Severity::Fatal, "disk is gone"));
    deliver_until(&mut timeline, 40, &mut sent);
    let mut over = alert(1, Severity::Info, "disk is gone");
    over.0.event.is_resolved = true;
    timeline.store(over);
    deliver_until(&mut timeline, 2_000, &mut sent);
    assert_eq!(receivers(&sent), ["boss@example.org", "boss@example.org"]);
    assert!(sent[1].mail.notices[0].is_resolved);
}
