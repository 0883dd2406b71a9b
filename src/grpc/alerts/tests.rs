//! Tests the service with a real broker whose appliances sent alert events.

use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::broker::{self, IncomingEvent, Started};
use crate::contract::proto::{
    AlertFilter, AlertKind, AlertState, ExplainRecordRequest, MailState, Severity,
};
use crate::contract::servers::grid_log_service_server::GridLogService;
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::model::settings::{GridSettings, MAIL_TRIGGERS, MailPolicy as MailSettings};
use crate::grid::values::event::{self, BoundedText, Event, EventBody};
use crate::grid::values::id::BootId;
use crate::grpc::principal::request_of_admin;
use crate::journal;
use crate::tasks;

/// A broker with mail to one recipient, without a mail sender.
async fn started(folder: &std::path::Path) -> (Started, Services) {
    let journal = journal::JournalSettings {
        low_water: 0,
        ..journal::JournalSettings::new(folder.join("data"))
    };
    let mail = MailSettings {
        recipients: vec!["ann@example.org".into()],
        triggers: MAIL_TRIGGERS.into(),
        ..MailSettings::default()
    };
    let grid = GridSettings::default().with_mail(Some(mail));
    let runtime = Handle::current();
    let starting = move || {
        broker::start(&journal, grid, AppliedSettings::default(), runtime).expect("it starts")
    };
    let started = tasks::spawn_blocking("start", starting).await.expect("no panic");
    let services = Services::new(&started, None, watch::channel(false).1);
    (started, services)
}

async fn send(started: &Started, name: &str, key: &str, severity: event::Severity, is_over: bool) {
    let event = Event {
        body: EventBody::Alert { counter: None },
        text: BoundedText::with_truncated("no \x1b[2Jredundancy", false),
        severity,
        event_time: None,
        uptime: None,
        spooled_at: None,
        is_repeated: false,
        dropped_before: Vec::new(),
        group_key: Some(key.into()),
        is_resolved: is_over,
        crash_dump: None,
    };
    let name = ApplianceName::new(name).expect("a name");
    let sent = IncomingEvent { boot: Some(BootId(Uuid::from_u128(1))), sequence: None, event };
    started.broker.submit_event(name, None, sent, 10).await.expect("is accepted");
}

async fn ids(services: &Services, filter: AlertFilter) -> Vec<u64> {
    let request = ListAlertsRequest { filter: Some(filter), ..ListAlertsRequest::default() };
    let page = services.list_alerts(request_of_admin(request)).await.expect("a page").into_inner();
    page.alerts.iter().map(|alert| alert.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_listed_by_filter_and_over_all_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let (started, services) = started(folder.path()).await;
    for (name, key) in [("db1", "raid1"), ("db2", "raid1"), ("web1", "smart")] {
        send(&started, name, key, event::Severity::Error, false).await;
    }
    send(&started, "web1", "smart", event::Severity::Error, true).await;
    let all = AlertFilter::default;
    assert_eq!(ids(&services, all()).await, [1, 2], "not what is resolved");
    for (filter, expected) in [
        (AlertFilter { states: vec![AlertState::Resolved.into()], ..all() }, vec![3]),
        (AlertFilter { appliances: vec!["db2".to_owned()], ..all() }, vec![2]),
        (AlertFilter { keys: vec!["raid*".to_owned()], ..all() }, vec![1, 2]),
        (AlertFilter { keys: vec!["smart".to_owned()], ..all() }, vec![]),
        (AlertFilter { kinds: vec![AlertKind::Hung.into()], ..all() }, vec![]),
        (AlertFilter { kinds: vec![AlertKind::Event.into()], ..all() }, vec![1, 2]),
        (AlertFilter { classes: vec!["def*".to_owned()], ..all() }, vec![1, 2]),
        (AlertFilter { classes: vec!["other".to_owned()], ..all() }, vec![]),
        (AlertFilter { of_broker: true, ..all() }, vec![]),
        (AlertFilter { severity_at_least: Severity::Fatal.into(), ..all() }, vec![]),
    ] {
        assert_eq!(ids(&services, filter.clone()).await, expected, "{filter:?}");
    }
    let request = ListAlertsRequest { page_size: 1, ..ListAlertsRequest::default() };
    let first = services.list_alerts(request_of_admin(request.clone())).await.expect("a page");
    let page_token = first.into_inner().next_page_token;
    let second = ListAlertsRequest { page_token, ..request };
    let second = services.list_alerts(request_of_admin(second)).await.expect("a page");
    assert_eq!(second.into_inner().alerts[0].id, 2);
    for (filter, field) in [
        (AlertFilter { states: vec![0], ..all() }, "filter.states[0]: is not an alert state"),
        (AlertFilter { kinds: vec![99], ..all() }, "filter.kinds[0]: is not an alert kind"),
    ] {
        let request = ListAlertsRequest { filter: Some(filter), ..Default::default() };
        let refused = services.list_alerts(request_of_admin(request)).await.expect_err("invalid");
        assert_eq!(refused.message(), field);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_change_an_alert_and_refusals_say_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let (started, services) = started(folder.path()).await;
    send(&started, "db1", "raid1", event::Severity::Error, false).await;
    let note = "disk is ordered".to_owned();
    let acknowledge = AcknowledgeAlertRequest { id: 1, until: None, note: note.clone() };
    let reply = services.acknowledge_alert(request_of_admin(acknowledge.clone())).await;
    let alert = reply.expect("is acknowledged").into_inner().alert.expect("the alert");
    assert_eq!(alert.state(), AlertState::Acknowledged);
    assert_eq!(alert.acknowledgement.expect("who").note, note);
    let long = AcknowledgeAlertRequest { note: "x".repeat(256), ..acknowledge.clone() };
    let past = prost_types::Timestamp { seconds: 1, nanos: 0 };
    let late = AcknowledgeAlertRequest { until: Some(past), ..acknowledge.clone() };
    let unknown = AcknowledgeAlertRequest { id: 9, ..acknowledge };
    for (request, expected) in [
        (long, "note: has 256 bytes; at most 255 are allowed"),
        (late, "the end of the acknowledgement of alert 1 has passed"),
        (unknown, "there is no alert 9; `gridctl alert list` shows those that are open"),
    ] {
        let refused = services.acknowledge_alert(request_of_admin(request)).await;
        assert_eq!(refused.expect_err("is refused").message(), expected);
    }
    let unacknowledge = UnacknowledgeAlertRequest { id: 1 };
    services.unacknowledge_alert(request_of_admin(unacknowledge)).await.expect("is withdrawn");
    let refused = services.unacknowledge_alert(request_of_admin(unacknowledge)).await;
    assert_eq!(refused.expect_err("is refused").message(), "alert 1 is not acknowledged");
    let resolve = ResolveAlertRequest { id: 1, note };
    let reply = services.resolve_alert(request_of_admin(resolve.clone())).await;
    let alert = reply.expect("is resolved").into_inner().alert.expect("the alert");
    assert_eq!((alert.state(), alert.end_cause.as_str()), (AlertState::Resolved, "administrator"));
    let refused = services.resolve_alert(request_of_admin(resolve)).await.expect_err("is over");
    assert_eq!(refused.message(), "alert 1 is over; `gridctl alert show 1` says since when");
    let request = GetAlertRequest { id: 1, ..GetAlertRequest::default() };
    let shown = services.get_alert(request_of_admin(request)).await.expect("the alert");
    let steps = shown.into_inner().alert.expect("the alert").steps;
    let kinds: Vec<_> = steps.iter().map(|step| step.kind.as_str()).collect();
    let expected = ["opened", "decided", "acknowledged", "decided", "unacknowledged"];
    assert_eq!(kinds[..5], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_told_as_kept_with_their_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let (started, services) = started(folder.path()).await;
    send(&started, "db1", "raid1", event::Severity::Error, false).await;
    let request = AcknowledgeAlertRequest { id: 1, ..AcknowledgeAlertRequest::default() };
    services.acknowledge_alert(request_of_admin(request)).await.expect("is acknowledged");
    let request = ExplainAlertRequest { id: 1 };
    let explained = services.explain_alert(request_of_admin(request)).await.expect("is explained");
    let explained = explained.into_inner();
    let reasons: Vec<_> = explained
        .decisions
        .iter()
        .map(|it| it.decision.as_ref().map_or("", |decision| &decision.reason))
        .collect();
    assert_eq!(reasons, ["new", "acknowledged"]);
    let first = &explained.decisions[0];
    assert_eq!((first.appliance.as_str(), first.key.as_str()), ("db1", "raid1"));
    assert_eq!(first.receivers, ["ann@example.org"]);
    let [message] = first.messages.as_slice() else { panic!("one, not {first:?}") };
    assert_eq!((message.number, message.receiver.as_str()), (1, "ann@example.org"));
    assert_eq!(message.state(), MailState::Waiting);
    assert!(explained.decisions[1].messages.is_empty(), "there is no notification");
    let number = first.record_number;
    let request = request_of_admin(ExplainRecordRequest { number });
    let record = services.explain_record(request).await.expect("is explained").into_inner();
    assert_eq!(record.decisions, explained.decisions[..1]);
    assert_eq!(record.record.expect("the record").number, number);
    let request = request_of_admin(ExplainRecordRequest { number: 99 });
    let refused = services.explain_record(request).await.expect_err("there is none");
    assert!(refused.message().starts_with("there is no record 99 yet"), "{refused}");
}
