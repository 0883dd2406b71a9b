//! Tests how gridctl shows and changes alerts over a real connection to a scripted broker.

use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use grid_broker::contract::proto::*;
use grid_broker::contract::servers::alert_service_server::{AlertService, AlertServiceServer};

use super::*;
use crate::access::BrokerAccess;
use crate::args::{self, GridctlCommand};

/// Returns one alert a page, one of the broker and one of `db1`, and records the filters and commands.
#[derive(Clone, Default)]
struct ScriptedAlerts(Arc<Mutex<Vec<AlertFilter>>>, Arc<Mutex<Vec<String>>>);

fn open_alert(appliance: &str) -> OpenAlert {
    OpenAlert {
        appliance: appliance.to_owned(),
        kind: AlertKind::StartFailed.into(),
        severity: Severity::Error.into(),
        since: Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 }),
        text: "failed: no\x1b[2J disk, \u{202e}rm".to_owned(),
        id: if appliance.is_empty() { 1 } else { 2 },
        state: AlertState::Open.into(),
        key: "start_failed".to_owned(),
        last_seen: Some(prost_types::Timestamp { seconds: 1_795_183_390, nanos: 0 }),
        count: 3,
        record_number: 7,
        ..OpenAlert::default()
    }
}

/// An alert with what only replies about one alert have.
fn alert_with_history(id: u64) -> OpenAlert {
    let at = Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 });
    let step = |kind: &str, explanation: &str, by: &str| AlertHistoryStep {
        at,
        record_number: 7,
        kind: kind.to_owned(),
        explanation: explanation.to_owned(),
        by: by.to_owned(),
        note: String::new(),
    };
    let steps = vec![
        step("opened", "opened", ""),
        step("decided", "notified: it is new", ""),
        step("acknowledged", "acknowledged", "ann"),
    ];
    let acknowledgement = Some(AlertAcknowledgement {
        by: "ann".to_owned(),
        at,
        until: None,
        note: "on it".to_owned(),
    });
    OpenAlert {
        id,
        state: AlertState::Acknowledged.into(),
        acknowledgement,
        steps,
        ..open_alert("db1")
    }
}

type AlertRpcResult<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AlertService for ScriptedAlerts {
    async fn list_alerts(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> AlertRpcResult<ListAlertsResponse> {
        let request = request.into_inner();
        let filter = request.filter.unwrap();
        let alerts = match request.page_token.as_str() {
            "" if filter.severity_at_least == i32::from(Severity::Fatal) => Vec::new(),
            "" => vec![open_alert("")],
            _ => vec![open_alert("db1")],
        };
        let is_last = alerts.is_empty() || !request.page_token.is_empty() || filter.of_broker;
        let next_page_token = if is_last { "" } else { "p2" }.to_owned();
        self.0.lock().unwrap().push(filter);
        Ok(Response::new(ListAlertsResponse { alerts, next_page_token }))
    }

    async fn get_alert(
        &self,
        request: Request<GetAlertRequest>,
    ) -> AlertRpcResult<GetAlertResponse> {
        let request = request.into_inner();
        if request.id > 0 {
            let alert = Some(alert_with_history(request.id));
            return Ok(Response::new(GetAlertResponse { alert }));
        }
        assert_eq!(request.kind(), AlertKind::StartFailed);
        Ok(Response::new(GetAlertResponse { alert: Some(open_alert(&request.appliance)) }))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<AcknowledgeAlertRequest>,
    ) -> AlertRpcResult<AcknowledgeAlertResponse> {
        let request = request.into_inner();
        self.1.lock().unwrap().push(format!("ack {} {}", request.id, request.note));
        let alert = Some(alert_with_history(request.id));
        Ok(Response::new(AcknowledgeAlertResponse { record_number: 9, alert }))
    }

    async fn unacknowledge_alert(
        &self,
        request: Request<UnacknowledgeAlertRequest>,
    ) -> AlertRpcResult<UnacknowledgeAlertResponse> {
        let id = request.into_inner().id;
        if id == 3 {
            return Err(Status::failed_precondition("alert 3 is not acknowledged"));
        }
        let alert = Some(OpenAlert { id, ..open_alert("db1") });
        Ok(Response::new(UnacknowledgeAlertResponse { record_number: 9, alert }))
    }

    async fn resolve_alert(
        &self,
        request: Request<ResolveAlertRequest>,
    ) -> AlertRpcResult<ResolveAlertResponse> {
        let request = request.into_inner();
        self.1.lock().unwrap().push(format!("resolve {} {}", request.id, request.note));
        let alert = OpenAlert { state: AlertState::Resolved.into(), ..open_alert("db1") };
        let alert = Some(OpenAlert { id: request.id, ..alert });
        Ok(Response::new(ResolveAlertResponse { record_number: 9, alert }))
    }

    async fn explain_alert(
        &self,
        request: Request<ExplainAlertRequest>,
    ) -> AlertRpcResult<ExplainAlertResponse> {
        let at = Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 });
        let message = NotificationMessage {
            number: 5,
            receiver: "ann@example.org".to_owned(),
            state: MailState::Sent.into(),
            last_reply: "250 ok\x1b[2J".to_owned(),
            due: None,
            ended_at: at,
        };
        let decision = ExplainedDecision {
            record_number: 7,
            at,
            alert_id: 2,
            decision: Some(AlertDecision {
                reason: "new".to_owned(),
                explanation: "notified: it is new".to_owned(),
                notifies: true,
                silence_id: 0,
            }),
            receivers: vec!["ann@example.org".to_owned(), "pager".to_owned()],
            messages: vec![message],
            appliance: "db1".to_owned(),
            key: "start_failed".to_owned(),
        };
        let alert = Some(alert_with_history(request.into_inner().id));
        let trimmed = Vec::new();
        Ok(Response::new(ExplainAlertResponse { alert, decisions: vec![decision], trimmed }))
    }
}

/// Returns what a command line prints, and its result.
async fn run_line(script: &ScriptedAlerts, line: &str) -> (String, Result<(), CliError>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder()
        .add_service(AlertServiceServer::new(script.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    drop(grid_broker::tasks::spawn("script", server));
    let broker = Connection::connect(&BrokerAccess::plain(&address)).await.unwrap();

    let args = args::parse(line.split(' ').map(Into::into).collect()).unwrap();
    let GridctlCommand::Alert(command) = &args.command else { panic!("not of alerts") };
    let format = args.global.format();
    let look = OutputOptions { format, ..OutputOptions::plain() };
    let mut out = Vec::new();
    let ended = run(&broker, command, &look, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test]
async fn all_pages_make_one_list_and_hostile_text_is_harmless() {
    let script = ScriptedAlerts::default();
    let (table, ended) = run_line(&script, "gridctl list alert").await;
    ended.unwrap();
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].starts_with("id  severity  state         appliance     kind"), "{table}");
    assert!(
        rows[1].starts_with(" 1  error     open          -             start_failed"),
        "{table}"
    );
    assert!(rows[2].ends_with(r"failed: no\x1b[2J disk, \u{202e}rm"), "{table}");
    let (json, _) = run_line(&script, "gridctl alert list --output jsonl").await;
    let expected = concat!(
        r#"{"appliance":"db1","kind":"start_failed","severity":"error","#,
        r#""since":"2026-11-20T14:02:10Z","text":"failed: no\u001b[2J disk, \u202erm","#,
        r#""id":2,"state":"open","key":"start_failed","last_seen":"2026-11-20T14:03:10Z","count":3,"#,
        r#""reopenings":0,"acknowledgement":null,"ended_at":null,"end_cause":"","notified":null,"#,
        r#""decision":null,"closes_at":null,"class":"","record_number":7,"steps":[],"#,
        r#""next_decision_at":null}"#
    );
    assert_eq!(json.lines().nth(1), Some(expected));
}

#[tokio::test]
async fn the_command_line_becomes_the_filter() {
    let script = ScriptedAlerts::default();
    run_line(&script, "gridctl alert list shop:* db? --severity fatal").await.1.unwrap();
    run_line(&script, "gridctl alert list --of-broker").await.1.unwrap();
    let line =
        "gridctl alert list --state Open,acked --kind boot-timeout,event --class db* --key raid?";
    run_line(&script, line).await.1.unwrap();
    let severity_at_least = Severity::Fatal.into();
    let appliances = vec!["shop:*".to_owned(), "db?".to_owned()];
    // Each page asks with the same filter.
    let mut sent = script.0.lock().unwrap().clone();
    sent.dedup();
    assert_eq!(
        sent,
        [
            AlertFilter { appliances, severity_at_least, ..AlertFilter::default() },
            AlertFilter { of_broker: true, ..AlertFilter::default() },
            AlertFilter {
                states: vec![AlertState::Open.into(), AlertState::Acknowledged.into()],
                kinds: vec![AlertKind::BootTimeout.into(), AlertKind::Event.into()],
                classes: vec!["db*".to_owned()],
                keys: vec!["raid?".to_owned()],
                ..AlertFilter::default()
            },
        ]
    );
}

#[tokio::test]
async fn one_alert_is_lines_and_the_broker_is_a_dash() {
    for (line, name, id) in [
        ("gridctl alert show db1 start_failed", "db1", 2),
        ("gridctl show alert - start_failed", "-", 1),
    ] {
        let (shown, ended) = run_line(&ScriptedAlerts::default(), line).await;
        ended.unwrap();
        let expected = [
            &format!("alert:     {id}"),
            &format!("appliance: {name}"),
            r"what:      failed: no\x1b[2J disk, \u{202e}rm",
            "kind:      start_failed",
            "key:       start_failed",
            "severity:  error",
            "state:     open",
            "since:     2026-11-20 14:02:10Z",
            "last seen: 2026-11-20 14:03:10Z",
            "count:     3",
            "record:    7",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{line}");
    }
    let (udl, _) =
        run_line(&ScriptedAlerts::default(), "gridctl alert show db1 start_failed --batch").await;
    assert!(udl.starts_with("alert 2 {\n") || udl.starts_with("alert \"2\" {\n"), "{udl}");
}

#[tokio::test]
async fn a_number_shows_that_alert_with_its_history() {
    let (shown, ended) = run_line(&ScriptedAlerts::default(), "gridctl alert show 12").await;
    ended.unwrap();
    assert!(shown.starts_with("alert:        12\n"), "{shown}");
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines.contains(&"acknowledged: by ann at 2026-11-20 14:02:10Z: on it"), "{shown}");
    let last = "history:      2026-11-20 14:02:10Z acknowledged by ann (record 7)";
    assert_eq!(lines.last(), Some(&last), "{shown}");
    let (shown, _) = run_line(&ScriptedAlerts::default(), "gridctl alert show 12,13").await;
    assert!(shown.contains("\n\nalert:        13\n"), "{shown}");
    // That of the broker is shown with its history, too.
    let (shown, _) = run_line(&ScriptedAlerts::default(), "gridctl alert show -").await;
    assert!(shown.contains("history: "), "{shown}");
}

#[tokio::test]
async fn several_alerts_are_changed_one_by_one() {
    let script = ScriptedAlerts::default();
    let (said, ended) = run_line(&script, "gridctl alert ack 12 13,12 --note why").await;
    ended.unwrap();
    let ack = |id: u64| {
        format!("alert {id} (start_failed of db1) is acknowledged until it is over (record 9)\n")
    };
    assert_eq!(said, format!("{}{}", ack(12), ack(13)));
    let (said, ended) = run_line(&script, "gridctl alert resolve 14 --output jsonl").await;
    ended.unwrap();
    assert_eq!(said, "{\"id\":14,\"record_number\":9,\"state\":\"resolved\"}\n");
    assert_eq!(*script.1.lock().unwrap(), ["ack 12 why", "ack 13 why", "resolve 14 "]);
    let (said, ended) = run_line(&script, "gridctl alert unack 2 3 4").await;
    assert_eq!(said, "alert 2 (start_failed of db1) is not acknowledged any more (record 9)\n");
    assert!(ended.unwrap_err().to_string().contains("alert 3 is not acknowledged"));
}

#[tokio::test]
async fn an_explanation_has_each_decision_with_its_messages() {
    let script = ScriptedAlerts::default();
    let (said, ended) = run_line(&script, "gridctl alert explain 12").await;
    ended.unwrap();
    let expected = [
        "alert 12: error start_failed of db1, acknowledged",
        r"    failed: no\x1b[2J disk, \u{202e}rm",
        "2026-11-20 14:02:10Z opened (record 7)",
        "2026-11-20 14:02:10Z notified: it is new (record 7)",
        r"    mail 5 to ann@example.org: sent at 2026-11-20 14:02:10Z, last reply: 250 ok\x1b[2J",
        "    to pager",
        "2026-11-20 14:02:10Z acknowledged by ann (record 7)",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let (json, _) = run_line(&script, "gridctl alert explain 12 --output json").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["decisions"][0]["messages"][0]["state"], "sent");
    assert_eq!(json["decisions"][0]["decision"]["reason"], "new");
}
