//! The mails as gridctl shows and steers them over a real connection; the broker is a script.

use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use grid_broker::contract::proto::*;
use grid_broker::contract::servers::mail_service_server::{MailService, MailServiceServer};
use grid_broker::exit_code::ExitCode;

use super::*;
use crate::args::{self, GridctlCommand};

/// Owes mails 7 and 8, a page each, and keeps how it was asked.
#[derive(Clone, Default)]
struct Script {
    is_configured: bool,
    is_empty: bool,
    asked: Arc<Mutex<Vec<MailFilter>>>,
}

fn owed(number: u64) -> Mail {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let notice = MailNotice {
        appliance: "shop:main.db1".to_owned(),
        matter: "start_failed".to_owned(),
        severity: Severity::Error.into(),
        at: at(1_795_183_330),
        text: "start of shop:main.db1 failed: no\x1b[2J disk".to_owned(),
        record_number: 12,
        resolved: false,
        again: 0,
    };
    Mail {
        number,
        recipient: "ops@example.org".to_owned(),
        standing: MailStanding::Failed.into(),
        owed_since: at(1_795_183_330),
        removed_at: at(1_797_775_330),
        attempts: 3,
        last_reply: "550 no such\u{9b} user".to_owned(),
        notices: vec![notice],
        more_notices: 2,
        ..Mail::default()
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl MailService for Script {
    async fn list_mails(&self, request: Request<ListMailsRequest>) -> Answer<ListMailsResponse> {
        let request = request.into_inner();
        self.asked.lock().unwrap().push(request.filter.unwrap());
        let (mails, next) = match request.page_token.as_str() {
            _ if self.is_empty => (Vec::new(), ""),
            "" => (vec![owed(7)], "8"),
            _ => (vec![owed(8)], ""),
        };
        Ok(Response::new(ListMailsResponse {
            mails,
            next_page_token: next.to_owned(),
            configured: self.is_configured,
            recipients: 1,
        }))
    }

    async fn get_mail(&self, request: Request<GetMailRequest>) -> Answer<GetMailResponse> {
        Ok(Response::new(GetMailResponse { mail: Some(owed(request.get_ref().number)) }))
    }

    async fn retry_mail(&self, request: Request<RetryMailRequest>) -> Answer<RetryMailResponse> {
        match request.get_ref().number {
            number @ 7..=8 => Ok(Response::new(RetryMailResponse {
                record_number: 40 + number,
                mail: None,
                configured: self.is_configured,
            })),
            number => Err(Status::not_found(format!("no mail {number} is owed"))),
        }
    }

    async fn drop_mail(&self, request: Request<DropMailRequest>) -> Answer<DropMailResponse> {
        let record_number = 40 + request.get_ref().number;
        Ok(Response::new(DropMailResponse { record_number }))
    }

    async fn test_mail(&self, request: Request<TestMailRequest>) -> Answer<TestMailResponse> {
        let accepted = request.get_ref().address == "ops@example.org";
        let last = if accepted { "250 taken" } else { "550 \x1b]0;pwned\x07 no" };
        let dialogue = vec!["220 mx".to_owned(), last.to_owned()];
        Ok(Response::new(TestMailResponse { accepted, dialogue }))
    }
}

/// What a command line writes, and how it ends.
async fn typed(script: &Script, line: &str) -> (String, Result<(), CliError>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tonic::transport::Server::builder()
        .add_service(MailServiceServer::new(script.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    drop(grid_broker::tasks::spawn("script", server));
    let broker = Connection::connect(&address, None).await.unwrap();

    let args = args::read(line.split(' ').map(Into::into).collect()).unwrap();
    let GridctlCommand::Mail(command) = &args.command else { panic!("not of mails") };
    let format = args.global.format();
    let look = OutputOptions { format, ..OutputOptions::plain() };
    let mut out = Vec::new();
    let ended = run(&broker, command, &look, &mut out).await;
    (String::from_utf8(out).unwrap(), ended)
}

fn configured() -> Script {
    Script { is_configured: true, ..Script::default() }
}

#[tokio::test]
async fn all_pages_make_one_list_and_hostile_replies_are_harmless() {
    let (table, ended) = typed(&configured(), "gridctl list mail").await;
    ended.unwrap();
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[1].starts_with("     7  ops@example.org  failed"), "{table}");
    let what = r"550 no such\u{9b} user: start of shop:main.db1 failed: no\x1b[2J disk, and 2 more";
    assert!(rows[2].ends_with(what), "{table}");
    let (json, _) = typed(&configured(), "gridctl mail list --output jsonl").await;
    let expected = concat!(
        r#"{"number":7,"recipient":"ops@example.org","standing":"failed","#,
        r#""owed_since":"2026-11-20T14:02:10Z","due":null,"attempts":3,"#,
        r#""last_reply":"550 no such\u009b user","notices":[{"appliance":"shop:main.db1","#,
        r#""matter":"start_failed","severity":"error","at":"2026-11-20T14:02:10Z","#,
        r#""text":"start of shop:main.db1 failed: no\u001b[2J disk","record_number":12,"#,
        r#""resolved":false,"again":0}],"more_notices":2,"#,
        r#""removed_at":"2026-12-20T14:02:10Z","briefs":[],"ended_at":null,"#,
        r#""record_number":0,"joined":0,"summary":null}"#
    );
    assert_eq!(json.lines().next(), Some(expected));
}

#[tokio::test]
async fn whoever_lists_what_is_not_tried_is_told_so() {
    let (table, ended) = typed(&Script::default(), "gridctl mail list").await;
    ended.unwrap();
    let told = "mail is not configured: what waits is not tried until it is; [mail] server and to \
                in gridd's settings configure it";
    assert_eq!(table.lines().last(), Some(told));
    let nothing = Script { is_empty: true, ..Script::default() };
    let (json, ended) = typed(&nothing, "gridctl mail list --output json").await;
    ended.unwrap();
    assert_eq!(json, "[]\n");
}

#[tokio::test]
async fn what_is_typed_is_what_is_asked() {
    let script = configured();
    let line = "gridctl mail list *@example.org --standing failed --standing under_way";
    typed(&script, line).await.1.unwrap();
    let expected = MailFilter {
        recipients: vec!["*@example.org".to_owned()],
        standings: vec![MailStanding::Failed.into(), MailStanding::UnderWay.into()],
    };
    assert_eq!(script.asked.lock().unwrap()[0], expected);
}

#[tokio::test]
async fn one_mail_is_lines() {
    let (shown, ended) = typed(&configured(), "gridctl mail show 7").await;
    ended.unwrap();
    let expected = [
        "mail:         7",
        "to:           ops@example.org",
        "standing:     failed",
        "owed since:   2026-11-20 14:02:10Z",
        "forgotten at: 2026-12-20 14:02:10Z",
        "attempts:     3",
        r"last reply:   550 no such\u{9b} user",
        r"tells of:     2026-11-20 14:02:10Z error shop:main.db1 start_failed: start of shop:main.db1 failed: no\x1b[2J disk (record 12)",
        "and of:       2 more",
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
    let mail = Mail { last_reply: String::new(), summary: Some(summary), ..owed(7) };
    let look = OutputOptions::plain();
    let lines = crate::mail_view::lines(&mail, &look);
    for line in [
        "summary:      60 older alerts of 2 appliances",
        "first at:     2026-11-20 14:02:10Z",
        "last at:      2026-11-20 14:03:10Z",
        "by severity:  error 58, fatal 2",
        "by appliance: db1 57, db2 3",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line} is not in {lines:#?}");
    }
    let shape = crate::mail_view::shape();
    let json = crate::json::object(&(shape.object)(&mail)).unwrap();
    let summary = concat!(
        r#""summary":{"alerts":60,"first_at":"2026-11-20T14:02:10Z","#,
        r#""last_at":"2026-11-20T14:03:10Z","#,
        r#""appliances":[{"appliance":"db1","count":57},{"appliance":"db2","count":3}],"#,
        r#""severities":[{"severity":"error","count":58},{"severity":"fatal","count":2}]}}"#
    );
    assert!(json.ends_with(summary), "{json}");
}

#[tokio::test]
async fn an_order_names_the_record_and_what_was_done_before_a_refusal() {
    for (line, shown) in [
        (
            "gridctl mail retry 7 8",
            "mail 7 is tried now (record 47)\nmail 8 is tried now (record 48)\n",
        ),
        ("gridctl drop mail 7", "mail 7 is dropped (record 47)\n"),
        ("gridctl mail drop 7 --output jsonl", "{\"number\":7,\"record_number\":47}\n"),
    ] {
        let (said, ended) = typed(&configured(), line).await;
        ended.unwrap();
        assert_eq!(said, shown, "{line}");
    }
    let (said, ended) = typed(&configured(), "gridctl mail retry 7 9 8").await;
    let failure = ended.unwrap_err();
    assert_eq!(said, "mail 7 is tried now (record 47)\n");
    assert_eq!(failure.to_string(), "no mail 9 is owed");
    assert_eq!(failure.exit_code(), ExitCode::NotFound);
    let (said, _) = typed(&Script::default(), "gridctl mail retry 7").await;
    assert!(said.starts_with("mail 7 is tried once mail is configured; [mail] server"), "{said}");
}

#[tokio::test]
async fn a_test_prints_the_dialogue_and_ends_as_the_server_does() {
    let (said, ended) = typed(&configured(), "gridctl mail test ops@example.org").await;
    ended.unwrap();
    assert_eq!(said, "220 mx\n250 taken\nthe mail server took the mail for ops@example.org\n");
    let (said, ended) = typed(&configured(), "gridctl mail test who@example.org").await;
    let failure = ended.unwrap_err();
    assert_eq!(said, "220 mx\n550 \\x1b]0;pwned\\x07 no\n");
    assert_eq!(
        failure.to_string(),
        "the mail server did not take the mail for who@example.org: see the dialogue"
    );
    assert_eq!(failure.exit_code(), ExitCode::Failed);
    let (json, _) = typed(&configured(), "gridctl mail test ops@example.org --output json").await;
    assert_eq!(json, "{\"accepted\":true,\"dialogue\":[\"220 mx\",\"250 taken\"]}\n");
}
