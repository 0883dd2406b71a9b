//! Tests the service with a real broker that has queued mails and no mail sender.

use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::broker::{self, IncomingEvent, Started};
use crate::grid::log::applied_settings::AppliedSettings;
use crate::grid::model::settings::{GridSettings, MAIL_TRIGGERS, MailPolicy as MailSettings};
use crate::grid::values::event::{BoundedText, Event, EventBody, Severity};
use crate::grid::values::id::{ApplianceName, BootId};
use crate::grpc::principal::request_of_admin;
use crate::identity::peer::{Caller, Principal};
use crate::journal;
use crate::tasks;

const RECIPIENTS: [&str; 3] = ["ann@example.org", "bob@example.org", "eve@example.com"];

/// A broker with a queued mail for each recipient, since `db1` failed to start.
async fn started(folder: &std::path::Path) -> (Started, Services) {
    let journal = journal::JournalSettings {
        low_water: 0,
        ..journal::JournalSettings::new(folder.join("data"))
    };
    let recipients = RECIPIENTS.map(Into::into).to_vec();
    let mail =
        MailSettings { recipients, triggers: MAIL_TRIGGERS.into(), ..MailSettings::default() };
    let grid = GridSettings::default().with_mail(Some(mail));
    let runtime = Handle::current();
    let starting = move || {
        broker::start(&journal, grid, AppliedSettings::default(), runtime).expect("it starts")
    };
    let started = tasks::spawn_blocking("start", starting).await.expect("no panic");
    let event = Event {
        body: EventBody::StartFailed,
        text: BoundedText::with_truncated("no disk", false),
        severity: Severity::Error,
        event_time: None,
        uptime: None,
        spooled_at: None,
        is_repeated: false,
        dropped_before: Vec::new(),
        group_key: None,
        is_resolved: false,
        crash_dump: None,
    };
    let name = ApplianceName::new("db1").expect("a name");
    let failed = IncomingEvent { boot: Some(BootId(Uuid::from_u128(1))), sequence: None, event };
    started.broker.submit_event(name, None, failed, 10).await.expect("is accepted");
    let services = Services::new(&started, None, watch::channel(false).1);
    (started, services)
}

async fn listed(services: &Services, request: ListMailsRequest) -> ListMailsResponse {
    services.list_mails(request_of_admin(request)).await.expect("a page").into_inner()
}

fn with_filter(filter: MailFilter) -> ListMailsRequest {
    ListMailsRequest { filter: Some(filter), ..ListMailsRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_mails_are_listed_over_all_pages_and_by_filter() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_started, services) = started(folder.path()).await;
    let (mut to, mut page_token) = (Vec::new(), String::new());
    for _ in 0..RECIPIENTS.len() {
        let page =
            listed(&services, ListMailsRequest { filter: None, page_size: 1, page_token }).await;
        assert_eq!((page.configured, page.recipients, page.mails.len()), (true, 3, 1));
        to.extend(page.mails.into_iter().map(|mail| mail.recipient));
        page_token = page.next_page_token;
    }
    assert_eq!((to.as_slice(), page_token.as_str()), (&RECIPIENTS.map(ToOwned::to_owned)[..], ""));
    let recipients = vec!["*@example.com".to_owned()];
    let page =
        listed(&services, with_filter(MailFilter { recipients, ..MailFilter::default() })).await;
    let [mail] = page.mails.as_slice() else { panic!("one, not {:?}", page.mails) };
    assert_eq!((mail.number, mail.state(), mail.attempts), (3, MailState::Waiting, 0));
    let [notice] = mail.notices.as_slice() else { panic!("one, not {:?}", mail.notices) };
    assert_eq!((notice.appliance.as_str(), notice.kind.as_str()), ("db1", "start_failed"));
    assert!(notice.text.contains("no disk"), "{}", notice.text);
    let states = vec![MailState::Failed.into()];
    let page = listed(&services, with_filter(MailFilter { states, ..MailFilter::default() })).await;
    assert!(page.mails.is_empty());
    let states = vec![MailState::Failed.into(), 9];
    let odd = with_filter(MailFilter { states, ..MailFilter::default() });
    let status = services.list_mails(request_of_admin(odd)).await.expect_err("no state");
    assert_eq!(status.message(), "filter.states[1]: is not a mail state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_a_record_of_its_administrator_and_dropped_mails_are_not_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let (started, services) = started(folder.path()).await;
    let retried = services.retry_mail(request_of_admin(RetryMailRequest { number: 1 })).await;
    let retried = retried.expect("is queued").into_inner();
    assert!(retried.configured && retried.mail.is_some_and(|mail| mail.number == 1));
    let dropped = services.drop_mail(request_of_admin(DropMailRequest { number: 2 })).await;
    let dropped = dropped.expect("is queued").into_inner();
    assert!(dropped.record_number > retried.record_number);
    let mut request = request_of_admin(GetMailRequest { number: 3 });
    if let Some(principal) = request.extensions_mut().get_mut::<Principal>() {
        principal.caller = Caller::Appliance(ApplianceName::new("db1").expect("a name"));
    }
    let status = services.get_mail(request).await.expect_err("an appliance calls");
    assert_eq!(status.code(), Code::PermissionDenied);
    let nobody = Request::new(GetMailRequest { number: 3 });
    let status = services.get_mail(nobody).await.expect_err("nobody is known");
    assert_eq!(status.code(), Code::Internal);
    let status = services.get_mail(request_of_admin(GetMailRequest { number: 2 })).await;
    let status = status.expect_err("it is dropped");
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.message(), "no mail 2 is queued; `gridctl mail list` shows those that are");
    let again = services.drop_mail(request_of_admin(DropMailRequest { number: 2 })).await;
    assert_eq!(again.expect_err("it is dropped").code(), Code::NotFound);
    let records = started.broker.query(|grid, _| grid.state().outbox().stats());
    assert_eq!(records.await.expect("it answers").queued, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_tested_by_admins_only_and_only_where_it_is_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_started, services) = started(folder.path()).await;
    let to = |address: &str| request_of_admin(TestMailRequest { address: address.to_owned() });
    let status = services.test_mail(to("ann@example.org")).await.expect_err("not configured");
    assert_eq!(status.code(), Code::FailedPrecondition);
    let accepts = MailTest::new(|to| Box::pin(async move { Ok(vec![format!("250 {to}")]) }));
    let services = services.with_mail_test(Some(accepts));
    let tested = services.test_mail(to("ann@example.org")).await.expect("it is sent").into_inner();
    assert!(tested.accepted);
    assert_eq!(tested.dialogue, ["250 ann@example.org"]);
    let status = services.test_mail(to("ann")).await.expect_err("no address");
    assert_eq!(status.message(), "address: name@host of at most 254 bytes is allowed");
}

#[test]
fn an_address_contains_no_smtp_command() {
    for good in ["ops@example.org", "a.b+c@[192.0.2.1]", "größe@example.org", "root@localhost"] {
        assert!(is_address(good), "{good}");
    }
    let long = format!("{}@example.org", "x".repeat(ADDRESS_BYTES_MAX));
    for odd in ["", "ops", "@example.org", "ops@", "a b@c", "a@b\r\nDATA", "<a@b>", &long] {
        assert!(!is_address(odd), "{odd:?}");
    }
}

#[test]
fn a_long_transcript_keeps_its_beginning_and_its_end() {
    let numbered = |lines: usize| (1..=lines).map(|line| line.to_string()).collect::<Vec<_>>();
    assert_eq!(truncate_transcript(numbered(TRANSCRIPT_LINES_MAX)), numbered(TRANSCRIPT_LINES_MAX));
    let lines = truncate_transcript(numbered(1_000));
    assert_eq!(lines.len(), TRANSCRIPT_LINES_MAX);
    let ends = (lines[0].as_str(), lines[127].as_str(), lines[TRANSCRIPT_LINES_MAX - 1].as_str());
    assert_eq!(ends, ("1", "128", "1000"));
    assert_eq!((lines[128].as_str(), lines[129].as_str()), ("... 745 lines left out", "874"));
    let line = &truncate_transcript(vec!["ä".repeat(1_000)])[0];
    assert!(line.len() <= TRANSCRIPT_LINE_BYTES_MAX && line.ends_with("ä..."), "{line}");
}

#[tokio::test]
async fn one_test_runs_at_a_time_and_times_out() {
    let within = Duration::from_millis(100);
    let hangs = MailTest::new(|_| Box::pin(std::future::pending()));
    // The first one gets the permit before the second starts.
    let (first, second) = tokio::join!(biased; hangs.run("a@b".to_owned(), within), hangs.run("a@b".to_owned(), within));
    assert_eq!(second.expect_err("one at a time").code(), Code::ResourceExhausted);
    let first = first.expect_err("it hangs");
    assert_eq!(first.code(), Code::DeadlineExceeded);
    assert!(first.message().starts_with("the mail server did not finish within "), "{first}");
    let rejects = MailTest::new(|to| Box::pin(async move { Err(vec![format!("550 {to}")]) }));
    let result = rejects.run("a@b".to_owned(), TEST_TIMEOUT).await.expect("a result");
    assert_eq!((result.accepted, result.dialogue), (false, vec!["550 a@b".to_owned()]));
}
