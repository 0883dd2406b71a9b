//! The open matters as gridctl shows them over a real connection; the broker is a script.

use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use grid_broker::contract::proto::*;
use grid_broker::contract::servers::alert_service_server::{AlertService, AlertServiceServer};

use super::*;
use crate::args::{self, GridctlCommand};

/// Has a matter a page, one of the broker and one of `db1`, and keeps how it was asked.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Vec<AlertFilter>>>);

fn open(appliance: &str) -> OpenAlert {
    OpenAlert {
        appliance: appliance.to_owned(),
        matter: AlertMatter::StartFailed.into(),
        severity: Severity::Error.into(),
        since: Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 }),
        text: "failed: no\x1b[2J disk, \u{202e}rm".to_owned(),
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AlertService for Script {
    async fn list_alerts(&self, request: Request<ListAlertsRequest>) -> Answer<ListAlertsResponse> {
        let request = request.into_inner();
        let filter = request.filter.unwrap();
        let alerts = match request.page_token.as_str() {
            "" if filter.severity_at_least == i32::from(Severity::Fatal) => Vec::new(),
            "" => vec![open("")],
            _ => vec![open("db1")],
        };
        let is_last = alerts.is_empty() || !request.page_token.is_empty() || filter.of_broker;
        let next_page_token = if is_last { "" } else { "p2" }.to_owned();
        self.0.lock().unwrap().push(filter);
        Ok(Response::new(ListAlertsResponse { alerts, next_page_token }))
    }

    async fn get_alert(&self, request: Request<GetAlertRequest>) -> Answer<GetAlertResponse> {
        let request = request.into_inner();
        assert_eq!(request.matter(), AlertMatter::StartFailed);
        Ok(Response::new(GetAlertResponse { alert: Some(open(&request.appliance)) }))
    }
}

/// What a command line writes, and how it ends.
async fn typed(script: &Script, line: &str) -> (String, Result<(), CliError>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder()
        .add_service(AlertServiceServer::new(script.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    drop(grid_broker::tasks::spawn("script", server));
    let broker = Connection::connect(&address, None).await.unwrap();

    let args = args::read(line.split(' ').map(Into::into).collect()).unwrap();
    let GridctlCommand::Alert(command) = &args.command else { panic!("not of alerts") };
    let format = args.global.format();
    let look = OutputOptions { format, ..OutputOptions::plain() };
    let mut out = Vec::new();
    let ended = run(&broker, command, &look, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test]
async fn all_pages_make_one_list_and_hostile_text_is_harmless() {
    let script = Script::default();
    let (table, ended) = typed(&script, "gridctl list alert").await;
    ended.unwrap();
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[0].starts_with("appliance     matter        severity  since"), "{table}");
    assert!(rows[1].starts_with("-             start_failed  error     2026-11-20 14:02:10Z"));
    assert!(rows[2].ends_with(r"failed: no\x1b[2J disk, \u{202e}rm"), "{table}");
    let (json, _) = typed(&script, "gridctl alert list --output jsonl").await;
    let expected = concat!(
        r#"{"appliance":"db1","matter":"start_failed","severity":"error","#,
        r#""since":"2026-11-20T14:02:10Z","text":"failed: no\u001b[2J disk, \u202erm"}"#
    );
    assert_eq!(json.lines().nth(1), Some(expected));
}

#[tokio::test]
async fn what_is_typed_is_what_is_asked() {
    let script = Script::default();
    typed(&script, "gridctl alert list shop:* db? --severity fatal").await.1.unwrap();
    typed(&script, "gridctl alert list --of-broker").await.1.unwrap();
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
async fn one_matter_is_lines_and_the_broker_is_a_dash() {
    for (line, name) in [
        ("gridctl alert show db1 start_failed", "db1"),
        ("gridctl show alert - start_failed", "-"),
        ("gridctl alert show -", "-"),
    ] {
        let (shown, ended) = typed(&Script::default(), line).await;
        ended.unwrap();
        let expected = [
            &format!("appliance: {name}"),
            r"what:      failed: no\x1b[2J disk, \u{202e}rm",
            "matter:    start_failed",
            "severity:  error",
            "since:     2026-11-20 14:02:10Z",
        ];
        assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{line}");
    }
    let (udl, _) = typed(&Script::default(), "gridctl alert show db1 start_failed --batch").await;
    assert!(udl.starts_with("alert \"db1 start_failed\" {\n  appliance = db1\n"), "{udl}");
}
