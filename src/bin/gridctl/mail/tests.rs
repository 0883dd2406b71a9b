//! Tests how gridctl shows and changes queued mails over a real connection to a scripted broker.

use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use grid_broker::contract::proto::*;
use grid_broker::contract::servers::mail_service_server::{MailService, MailServiceServer};
use grid_broker::exit_code::ExitCode;

use super::*;
use crate::access::BrokerAccess;
use crate::args::{self, GridctlCommand};

/// Has mails 7 and 8 queued, one a page, and records the filters.
#[derive(Clone, Default)]
struct ScriptedMails {
    is_configured: bool,
    is_empty: bool,
    asked: Arc<Mutex<Vec<MailFilter>>>,
}

fn queued_mail(number: u64) -> Mail {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let notice = MailNotice {
        appliance: "shop:main.db1".to_owned(),
        kind: "start_failed".to_owned(),
        severity: Severity::Error.into(),
        at: at(1_795_183_330),
        text: "start of shop:main.db1 failed: no\x1b[2J disk".to_owned(),
        record_number: 12,
        resolved: false,
        repeats: 0,
        alert_id: 3,
        class: "db".to_owned(),
        open_since: at(1_795_183_320),
        count: 41,
        acknowledged: true,
    };
    Mail {
        number,
        recipient: "ops@example.org".to_owned(),
        state: MailState::Failed.into(),
        queued_since: at(1_795_183_330),
        removed_at: at(1_797_775_330),
        attempts: 3,
        last_reply: "550 no such\u{9b} user".to_owned(),
        notices: vec![notice],
        more_notices: 2,
        ..Mail::default()
    }
}

type MailRpcResult<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MailService for ScriptedMails {
    async fn list_mails(
        &self,
        request: Request<ListMailsRequest>,
    ) -> MailRpcResult<ListMailsResponse> {
        let request = request.into_inner();
        self.asked.lock().unwrap().push(request.filter.unwrap());
        let (mails, next) = match request.page_token.as_str() {
            _ if self.is_empty => (Vec::new(), ""),
            "" => (vec![queued_mail(7)], "8"),
            _ => (vec![queued_mail(8)], ""),
        };
        Ok(Response::new(ListMailsResponse {
            mails,
            next_page_token: next.to_owned(),
            configured: self.is_configured,
            recipients: 1,
        }))
    }

    async fn get_mail(&self, request: Request<GetMailRequest>) -> MailRpcResult<GetMailResponse> {
        Ok(Response::new(GetMailResponse { mail: Some(queued_mail(request.get_ref().number)) }))
    }

    async fn retry_mail(
        &self,
        request: Request<RetryMailRequest>,
    ) -> MailRpcResult<RetryMailResponse> {
        match request.get_ref().number {
            number @ 7..=8 => Ok(Response::new(RetryMailResponse {
                record_number: 40 + number,
                mail: None,
                configured: self.is_configured,
            })),
            number => Err(Status::not_found(format!("no mail {number} is queued"))),
        }
    }

    async fn drop_mail(
        &self,
        request: Request<DropMailRequest>,
    ) -> MailRpcResult<DropMailResponse> {
        let record_number = 40 + request.get_ref().number;
        Ok(Response::new(DropMailResponse { record_number }))
    }

    async fn test_mail(
        &self,
        request: Request<TestMailRequest>,
    ) -> MailRpcResult<TestMailResponse> {
        let accepted = request.get_ref().address == "ops@example.org";
        let last = if accepted { "250 taken" } else { "550 \x1b]0;pwned\x07 no" };
        let dialogue = vec!["220 mx".to_owned(), last.to_owned()];
        Ok(Response::new(TestMailResponse { accepted, dialogue }))
    }
}

/// Returns what a command line prints, and its result.
async fn run_line(script: &ScriptedMails, line: &str) -> (String, Result<(), CliError>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder()
        .add_service(MailServiceServer::new(script.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    drop(grid_broker::tasks::spawn("script", server));
    let broker = Connection::connect(&BrokerAccess::plain(&address)).await.unwrap();

    let args = args::parse(line.split(' ').map(Into::into).collect()).unwrap();
    let GridctlCommand::Mail(command) = &args.command else { panic!("not of mails") };
    let format = args.global.format();
    let look = OutputOptions { format, ..OutputOptions::plain() };
    let mut out = Vec::new();
    let ended = run(&broker, command, &look, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

fn configured() -> ScriptedMails {
    ScriptedMails { is_configured: true, ..ScriptedMails::default() }
}

#[tokio::test]
async fn all_pages_make_one_list_and_hostile_replies_are_harmless() {
    let (table, ended) = run_line(&configured(), "gridctl list mail").await;
    ended.unwrap();
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[1].starts_with("     7  ops@example.org  failed"), "{table}");
    let what = r"550 no such\u{9b} user: start of shop:main.db1 failed: no\x1b[2J disk, and 2 more";
    assert!(rows[2].ends_with(what), "{table}");
    let (json, _) = run_line(&configured(), "gridctl mail list --output jsonl").await;
    let expected = concat!(
        r#"{"number":7,"recipient":"ops@example.org","state":"failed","#,
        r#""queued_since":"2026-11-20T14:02:10Z","due":null,"attempts":3,"#,
        r#""last_reply":"550 no such\u009b user","notices":[{"appliance":"shop:main.db1","#,
        r#""kind":"start_failed","severity":"error","at":"2026-11-20T14:02:10Z","#,
        r#""text":"start of shop:main.db1 failed: no\u001b[2J disk","record_number":12,"#,
        r#""resolved":false,"repeats":0,"alert_id":3,"class":"db","#,
        r#""open_since":"2026-11-20T14:02:00Z","count":41,"acknowledged":true}],"#,
        r#""more_notices":2,"#,
        r#""removed_at":"2026-12-20T14:02:10Z","briefs":[],"ended_at":null,"#,
        r#""record_number":0,"joined":0,"summary":null}"#
    );
    assert_eq!(json.lines().next(), Some(expected));
}

#[tokio::test]
async fn listing_mails_that_are_not_tried_says_so() {
    let (table, ended) = run_line(&ScriptedMails::default(), "gridctl mail list").await;
    ended.unwrap();
    let note = "mail is not configured: queued mails are not sent until it is; set [mail] server \
                and to in gridd's settings";
    assert_eq!(table.lines().last(), Some(note));
    let nothing = ScriptedMails { is_empty: true, ..ScriptedMails::default() };
    let (json, ended) = run_line(&nothing, "gridctl mail list --output json").await;
    ended.unwrap();
    assert_eq!(json, "[]\n");
}

#[tokio::test]
async fn the_command_line_becomes_the_filter() {
    let script = configured();
    let line = "gridctl mail list *@example.org --state failed --state under_way";
    run_line(&script, line).await.1.unwrap();
    let expected = MailFilter {
        recipients: vec!["*@example.org".to_owned()],
        states: vec![MailState::Failed.into(), MailState::UnderWay.into()],
    };
    assert_eq!(script.asked.lock().unwrap()[0], expected);
}

#[tokio::test]
async fn one_mail_is_lines() {
    let (shown, ended) = run_line(&configured(), "gridctl mail show 7").await;
    ended.unwrap();
    let expected = [
        "mail:         7",
        "to:           ops@example.org",
        "state:        failed",
        "queued since: 2026-11-20 14:02:10Z",
        "deleted at:   2026-12-20 14:02:10Z",
        "attempts:     3",
        r"last reply:   550 no such\u{9b} user",
        r"contains:     2026-11-20 14:02:10Z error shop:main.db1 start_failed: start of shop:main.db1 failed: no\x1b[2J disk (record 12, alert 3, class db, open since 2026-11-20 14:02:00Z, reported 41 times in all, acknowledged)",
        "and:          2 more",
    ];
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_summary_is_shown_as_one() {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let of = |appliance: &str, count| AlertsOfAppliance { appliance: appliance.to_owned(), count };
    let error = AlertsOfSeverity { severity: Severity::Error.into(), count: 58 };
    let fatal = AlertsOfSeverity { severity: Severity::Fatal.into(), count: 2 };
    let summary = MailSummary {
        alerts: 60,
        first_at: at(1_795_183_330),
        last_at: at(1_795_183_390),
        appliances: vec![of("db1", 57), of("db2", 3)],
        severities: vec![error, fatal],
    };
    let mail = Mail { last_reply: String::new(), summary: Some(summary), ..queued_mail(7) };
    let look = OutputOptions::plain();
    let lines = crate::mail_view::detail_lines(&mail, &look);
    for line in [
        "summary:      60 older alerts of 2 appliances",
        "first at:     2026-11-20 14:02:10Z",
        "last at:      2026-11-20 14:03:10Z",
        "by severity:  error 58, fatal 2",
        "by appliance: db1 57, db2 3",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line} is not in {lines:#?}");
    }
    let shape = crate::mail_view::view();
    let json = crate::json::object(&(shape.to_object)(&mail)).unwrap();
    let summary = concat!(
        r#""summary":{"alerts":60,"first_at":"2026-11-20T14:02:10Z","#,
        r#""last_at":"2026-11-20T14:03:10Z","#,
        r#""appliances":[{"appliance":"db1","count":57},{"appliance":"db2","count":3}],"#,
        r#""severities":[{"severity":"error","count":58},{"severity":"fatal","count":2}]}}"#
    );
    assert!(json.ends_with(summary), "{json}");
}

#[tokio::test]
async fn an_action_names_its_record_and_what_was_done_before_a_rejection() {
    for (line, shown) in [
        (
            "gridctl mail retry 7 8",
            "mail 7 is retried now (record 47)\nmail 8 is retried now (record 48)\n",
        ),
        ("gridctl drop mail 7", "mail 7 is dropped (record 47)\n"),
        ("gridctl mail drop 7 --output jsonl", "{\"number\":7,\"record_number\":47}\n"),
    ] {
        let (output, ended) = run_line(&configured(), line).await;
        ended.unwrap();
        assert_eq!(output, shown, "{line}");
    }
    let (output, ended) = run_line(&configured(), "gridctl mail retry 7 9 8").await;
    let failure = ended.unwrap_err();
    assert_eq!(output, "mail 7 is retried now (record 47)\n");
    assert_eq!(failure.to_string(), "no mail 9 is queued");
    assert_eq!(failure.exit_code(), ExitCode::NotFound);
    let (output, _) = run_line(&ScriptedMails::default(), "gridctl mail retry 7").await;
    assert!(output.starts_with("mail 7 is sent once mail is configured; set [mail]"), "{output}");
}

#[tokio::test]
async fn a_test_prints_the_dialogue_and_ends_as_the_server_does() {
    let (output, ended) = run_line(&configured(), "gridctl mail test ops@example.org").await;
    ended.unwrap();
    assert_eq!(
        output,
        "220 mx\n250 taken\nthe mail server accepted the mail for ops@example.org\n"
    );
    let (output, ended) = run_line(&configured(), "gridctl mail test who@example.org").await;
    let failure = ended.unwrap_err();
    assert_eq!(output, "220 mx\n550 \\x1b]0;pwned\\x07 no\n");
    assert_eq!(
        failure.to_string(),
        "the mail server did not accept the mail for who@example.org: see the dialogue"
    );
    assert_eq!(failure.exit_code(), ExitCode::Failed);
    let (json, _) =
        run_line(&configured(), "gridctl mail test ops@example.org --output json").await;
    assert_eq!(json, "{\"accepted\":true,\"dialogue\":[\"220 mx\",\"250 taken\"]}\n");
}
