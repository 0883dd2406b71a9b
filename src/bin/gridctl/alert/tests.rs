//! Tests how gridctl shows open alerts over a real connection to a scripted broker.

use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use grid_broker::contract::proto::*;
use grid_broker::contract::servers::alert_service_server::{AlertService, AlertServiceServer};

use super::*;
use crate::access::BrokerAccess;
use crate::args::{self, GridctlCommand};

/// Returns one alert a page, one of the broker and one of `db1`, and records the filters.
#[derive(Clone, Default)]
struct ScriptedAlerts(Arc<Mutex<Vec<AlertFilter>>>);

fn open_alert(appliance: &str) -> OpenAlert {
    OpenAlert {
        appliance: appliance.to_owned(),
        kind: AlertKind::StartFailed.into(),
        severity: Severity::Error.into(),
        since: Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 }),
        text: "failed: no\x1b[2J disk, \u{202e}rm".to_owned(),
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
        assert_eq!(request.kind(), AlertKind::StartFailed);
        Ok(Response::new(GetAlertResponse { alert: Some(open_alert(&request.appliance)) }))
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
    assert!(rows[0].starts_with("appliance     kind          severity  since"), "{table}");
    assert!(rows[1].starts_with("-             start_failed  error     2026-11-20 14:02:10Z"));
    assert!(rows[2].ends_with(r"failed: no\x1b[2J disk, \u{202e}rm"), "{table}");
    let (json, _) = run_line(&script, "gridctl alert list --output jsonl").await;
    let expected = concat!(
        r#"{"appliance":"db1","kind":"start_failed","severity":"error","#,
        r#""since":"2026-11-20T14:02:10Z","text":"failed: no\u001b[2J disk, \u202erm"}"#
    );
    assert_eq!(json.lines().nth(1), Some(expected));
}

#[tokio::test]
async fn the_command_line_becomes_the_filter() {
    let script = ScriptedAlerts::default();
    run_line(&script, "gridctl alert list shop:* db? --severity fatal").await.1.unwrap();
    run_line(&script, "gridctl alert list --of-broker").await.1.unwrap();
    let severity_at_least = Severity::Fatal.into();
    let appliances = vec!["shop:*".to_owned(), "db?".to_owned()];
    assert_eq!(
        *script.0.lock().unwrap(),
        [
            AlertFilter { appliances, severity_at_least, of_broker: false },
            AlertFilter { of_broker: true, ..AlertFilter::default() },
        ]
    );
}

#[tokio::test]
async fn one_alert_is_lines_and_the_broker_is_a_dash() {
    for (line, name) in [
        ("gridctl alert show db1 start_failed", "db1"),
        ("gridctl show alert - start_failed", "-"),
        ("gridctl alert show -", "-"),
    ] {
        let (shown, ended) = run_line(&ScriptedAlerts::default(), line).await;
        ended.unwrap();
        let expected = [
            &format!("appliance: {name}"),
            r"what:      failed: no\x1b[2J disk, \u{202e}rm",
            "kind:      start_failed",
            "severity:  error",
            "since:     2026-11-20 14:02:10Z",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{line}");
    }
    let (udl, _) =
        run_line(&ScriptedAlerts::default(), "gridctl alert show db1 start_failed --batch").await;
    assert!(udl.starts_with("alert \"db1 start_failed\" {\n  appliance = db1\n"), "{udl}");
}
