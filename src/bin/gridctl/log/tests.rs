//! Tests how gridctl reads the grid log over a real connection to a scripted broker.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use clap::Parser;
use prost::Message as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use grid_broker::client::ADMINISTRATOR_METADATA;
use grid_broker::contract::encoded::EncodedExport;
use grid_broker::contract::proto::tail_records_response::Message;
use grid_broker::contract::proto::{
    CountRecordsRequest, CountRecordsResponse, ExplainRecordRequest, ExplainRecordResponse,
    ExportRecordsRequest, ExportRecordsResponse, GetRecordResponse, GetReportRequest,
    GetReportResponse, GetStatusRequest, GetStatusResponse, RecordKind, TailRecordsRequest,
    TailRecordsResponse,
};
use grid_broker::contract::servers::broker_service_server::{BrokerService, BrokerServiceServer};
use grid_broker::contract::servers::grid_log_service_server::{
    GridLogService, GridLogServiceServer,
};

use super::*;
use crate::access::BrokerAccess;
use crate::args::{GridctlArgs, GridctlCommand, LogCommand, OutputFormat};

/// Replies to one request after the other, and records the requests.
#[derive(Clone, Default)]
pub(super) struct ScriptedGridLog(pub(super) Arc<Mutex<ScriptState>>);

#[derive(Default)]
pub(super) struct ScriptState {
    pub(super) pages: VecDeque<ListRecordsResponse>,
    tails: VecDeque<Vec<Result<TailRecordsResponse, Status>>>,
    pub(super) exports: VecDeque<Vec<Result<EncodedExport, Status>>>,
    listed: Vec<ListRecordsRequest>,
    pub(super) counts: VecDeque<CountRecordsResponse>,
    pub(super) counted: Vec<CountRecordsRequest>,
    tailed: Vec<TailRecordsRequest>,
    pub(super) exported: Vec<ExportRecordsRequest>,
    administrators: Vec<String>,
}

type Scripted<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;
type TailStream = Scripted<TailRecordsResponse>;

#[tonic::async_trait]
impl GridLogService for ScriptedGridLog {
    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let mut lines = self.0.lock().unwrap();
        let administrator = request.metadata().get(ADMINISTRATOR_METADATA).unwrap();
        lines.administrators.push(administrator.to_str().unwrap().to_owned());
        lines.listed.push(request.into_inner());
        lines.pages.pop_front().map(Response::new).ok_or_else(|| Status::invalid_argument("over"))
    }

    async fn count_records(
        &self,
        request: Request<CountRecordsRequest>,
    ) -> Result<Response<CountRecordsResponse>, Status> {
        let mut lines = self.0.lock().unwrap();
        lines.counted.push(request.into_inner());
        lines.counts.pop_front().map(Response::new).ok_or_else(|| Status::invalid_argument("over"))
    }

    async fn explain_record(
        &self,
        _request: Request<ExplainRecordRequest>,
    ) -> Result<Response<ExplainRecordResponse>, Status> {
        Err(Status::unimplemented("explain_record"))
    }

    async fn get_record(
        &self,
        request: Request<GetRecordRequest>,
    ) -> Result<Response<GetRecordResponse>, Status> {
        let record = Some(record(request.get_ref().number));
        Ok(Response::new(GetRecordResponse { record }))
    }

    type TailRecordsStream = TailStream;

    async fn tail_records(
        &self,
        request: Request<TailRecordsRequest>,
    ) -> Result<Response<TailStream>, Status> {
        let mut lines = self.0.lock().unwrap();
        lines.tailed.push(request.into_inner());
        match lines.tails.pop_front() {
            Some(messages) if messages.is_empty() => Err(Status::unavailable("starting")),
            Some(messages) => Ok(Response::new(tokio_stream::iter(messages))),
            None => Err(Status::invalid_argument("over")),
        }
    }

    type ExportRecordsStream = Scripted<EncodedExport>;

    async fn export_records(
        &self,
        request: Request<ExportRecordsRequest>,
    ) -> Result<Response<Self::ExportRecordsStream>, Status> {
        let mut lines = self.0.lock().unwrap();
        let request = request.into_inner();
        let first = first_exported(&request);
        lines.exported.push(request);
        match lines.exports.pop_front() {
            Some(messages) if messages.is_empty() => Err(Status::unavailable("starting")),
            Some(messages) => {
                let messages: Vec<_> = messages
                    .into_iter()
                    .map(|it| it.map(|part| without_before(first, part)))
                    .collect();
                Ok(Response::new(tokio_stream::iter(messages)))
            }
            None => Err(Status::unimplemented("over")),
        }
    }
}

#[tonic::async_trait]
impl BrokerService for ScriptedGridLog {
    async fn get_status(
        &self,
        _: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse { last_record: 4, ..GetStatusResponse::default() }))
    }

    async fn get_report(
        &self,
        _: Request<GetReportRequest>,
    ) -> Result<Response<GetReportResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

/// Where an export begins, as a real broker decides it; cursors are `behind NUMBER`.
fn first_exported(request: &ExportRecordsRequest) -> u64 {
    let behind = request.cursor.strip_prefix("behind ").and_then(|number| number.parse().ok());
    if request.first > 0 { request.first } else { behind.map_or(1, |number: u64| number + 1) }
}

/// The part of an export without the records before `first`.
fn without_before(first: u64, part: EncodedExport) -> EncodedExport {
    let mut message = ExportRecordsResponse::decode(part.bytes).unwrap();
    message.records.retain(|record| record.number >= first);
    EncodedExport { bytes: message.encode_to_vec().into() }
}

impl ScriptedGridLog {
    pub(super) async fn serve(&self) -> Connection {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tonic::transport::Server::builder()
            .add_service(GridLogServiceServer::new(self.clone()))
            .add_service(BrokerServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        drop(grid_broker::tasks::spawn("script", server));
        Connection::connect(&BrokerAccess {
            login: Some("ann".to_owned()),
            ..BrokerAccess::plain(&address)
        })
        .await
        .unwrap()
    }
}

pub(super) fn record(number: u64) -> Record {
    let kind = RecordKind::Log as i32;
    let text = format!("line {number}\x1b[2J");
    Record { number, kind, text, appliance: "db1".to_owned(), ..Record::default() }
}

pub(super) fn page(numbers: &[u64], missing: &[(u64, u64)], next: &str) -> ListRecordsResponse {
    ListRecordsResponse {
        records: numbers.iter().map(|number| record(*number)).collect(),
        next_page_token: next.to_owned(),
        missing: missing
            .iter()
            .map(|&(first, last)| Missing { first, last, trimmed: false })
            .collect(),
        scan: None,
    }
}

fn record_message(number: u64) -> Result<TailRecordsResponse, Status> {
    let message = Some(Message::Record(record(number)));
    Ok(TailRecordsResponse { message, cursor: format!("behind {number}"), behind: 0 })
}

/// Returns what `gridctl log list` prints with these flags, and its result.
async fn run_list(
    broker: &Connection,
    flags: &[&str],
    format: OutputFormat,
) -> (String, Result<(), CliError>) {
    let args = GridctlArgs::parse_from(["gridctl", "log", "list"].iter().chain(flags));
    let GridctlCommand::Log(LogCommand::List(wanted)) = args.command else {
        panic!("not log list")
    };
    let look = OutputOptions { format, ..OutputOptions::plain() };
    let mut out = Vec::new();
    let ended = list(broker, &wanted, &look, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

pub(super) fn numbers(jsonl: &str) -> Vec<u64> {
    let number = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["number"].as_u64();
    jsonl.lines().map(|line| number(line).unwrap()).collect()
}

#[tokio::test]
async fn the_newest_are_shown_oldest_first_with_gaps_in_their_place() {
    let script = ScriptedGridLog::default();
    script.0.lock().unwrap().pages = VecDeque::from([
        page(&[20, 19], &[(12, 17)], "p2"),
        page(&[], &[(12, 17)], "p3"),
        page(&[18, 11, 10], &[(12, 17)], "p4"),
    ]);
    let broker = script.serve().await;
    let (table, ended) =
        run_list(&broker, &["--limit", "4", "--text", "line"], OutputFormat::Table).await;
    ended.unwrap();
    assert_eq!(
        table,
        "number  received UTC    appliance  kind         severity  what\n    \
             11                  db1        log                    line 11\\x1b[2J\n\
         records 12 to 17 are missing\n    \
             18                  db1        log                    line 18\\x1b[2J\n    \
             19                  db1        log                    line 19\\x1b[2J\n    \
             20                  db1        log                    line 20\\x1b[2J\n"
    );
    let lines = script.0.lock().unwrap();
    let requests: Vec<_> = lines
        .listed
        .iter()
        .map(|it| (it.page_size, it.page_token.as_str(), it.newest_first))
        .collect();
    assert_eq!(requests, [(4, "", true), (2, "p2", true), (2, "p3", true)]);
    assert_eq!(lines.listed[0].filter.as_ref().unwrap().text, "line");
    assert_eq!(lines.administrators, ["ann", "ann", "ann"]);
}

#[tokio::test]
async fn json_is_one_array_over_all_pages() {
    let script = ScriptedGridLog::default();
    script.0.lock().unwrap().pages = VecDeque::from([page(&[1], &[], "p2"), page(&[2], &[], "")]);
    let broker = script.serve().await;
    let (json, ended) = run_list(&broker, &["--all"], OutputFormat::Json).await;
    ended.unwrap();
    let array: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(array.len(), 2);
    assert_eq!(array[1]["text"], "line 2\x1b[2J");
    assert!(!script.0.lock().unwrap().listed[0].newest_first);
}

#[tokio::test]
async fn an_empty_list_is_complete_in_each_format() {
    for (format, whole) in [
        (OutputFormat::Table, ""),
        (OutputFormat::Json, "[]\n"),
        (OutputFormat::Jsonl, ""),
        (
            OutputFormat::Csv,
            "number,received_at,kind,severity,appliance,boot_id,text,state,outcome,reason,\
             explanation,administrator,event,flags,settings\n",
        ),
        (OutputFormat::Udl, ""),
    ] {
        let script = ScriptedGridLog::default();
        script.0.lock().unwrap().pages = VecDeque::from([page(&[], &[], "")]);
        let broker = script.serve().await;
        let (output, ended) = run_list(&broker, &["-r"], format).await;
        ended.unwrap();
        assert_eq!(output, whole, "{format:?}");
    }
}

/// Follows with 1 ms between attempts until the script ends.
async fn run_follow(script: &ScriptedGridLog, history: u32) -> Vec<u64> {
    let broker = script.serve().await;
    let look = OutputOptions { format: OutputFormat::Jsonl, ..OutputOptions::plain() };
    let mut out = Vec::new();
    let mut listing = ListWriter::new(&mut out, &look, record_view::view());
    let mut tail = LogTail::start(&broker, RecordFilter::default(), history).await.unwrap();
    let ended = tail.run(&mut listing, std::time::Duration::from_millis(1)).await;
    assert_eq!(ended.unwrap_err().to_string(), "over");
    numbers(&String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn a_tail_resumes_after_its_last_record_without_gap_or_repeat() {
    let script = ScriptedGridLog::default();
    script.0.lock().unwrap().tails = VecDeque::from([
        vec![record_message(7), record_message(8), Err(Status::unavailable("stopping"))],
        vec![],
        vec![],
        vec![record_message(8), record_message(9)],
        vec![record_message(10), Err(Status::internal("h2 broke"))],
    ]);
    assert_eq!(run_follow(&script, 2).await, [7, 8, 9, 10]);
    let lines = script.0.lock().unwrap();
    let requests: Vec<_> = lines.tailed.iter().map(|it| (it.history, it.cursor.as_str())).collect();
    assert_eq!(
        requests,
        [
            (2, ""),
            (0, "behind 8"),
            (0, "behind 8"),
            (0, "behind 8"),
            (0, "behind 9"),
            (0, "behind 10")
        ]
    );
}

#[tokio::test]
async fn before_the_first_record_a_tail_asks_for_all_it_may_have_missed() {
    let script = ScriptedGridLog::default();
    script.0.lock().unwrap().tails = VecDeque::from([
        vec![Err(Status::unavailable("stopping"))],
        vec![record_message(3), record_message(4), record_message(5)],
    ]);
    assert_eq!(run_follow(&script, 2).await, [3, 4, 5]);
    assert_eq!(script.0.lock().unwrap().tailed[1].history, 1000);
}

#[tokio::test]
async fn a_tail_without_history_shows_only_what_is_new() {
    let script = ScriptedGridLog::default();
    script.0.lock().unwrap().tails = VecDeque::from([
        vec![Err(Status::unavailable("stopping"))],
        vec![record_message(3), record_message(4), record_message(5)],
    ]);
    assert_eq!(run_follow(&script, 0).await, [5]);
}

#[tokio::test]
async fn a_first_attempt_that_fails_is_reported_at_once() {
    let script = ScriptedGridLog::default();
    script.0.lock().unwrap().tails = VecDeque::from([vec![]]);
    let (_, ended) = {
        let broker = script.serve().await;
        run_list(&broker, &["-f"], OutputFormat::Jsonl).await
    };
    let failure = ended.unwrap_err();
    assert_eq!(failure.to_string(), "starting");
    assert_eq!(failure.exit_code(), grid_broker::exit_code::ExitCode::Unavailable);
}

#[test]
fn trimmed_records_are_not_called_missing() {
    let note = |first, last, trimmed| describe_missing(Missing { first, last, trimmed });
    assert_eq!(note(1, 20, true), "records 1 to 20 were trimmed");
    assert_eq!(note(1, 1, true), "record 1 was trimmed");
    assert_eq!(note(4, 5, false), "records 4 to 5 are missing");
}
