//! Implements `MailService`: administrators list, retry and drop queued mails, and test delivery.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use globset::GlobSet;
use prost::Message as _;
use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status};

use super::appliances::ROWS_PER_QUERY;
use super::grid_log::check_page_size;
use super::{Services, filter, page, principal, status};
use crate::contract::decode::violation;
use crate::contract::encode;
use crate::contract::proto::{
    DropMailRequest, DropMailResponse, GetMailRequest, GetMailResponse, ListMailsRequest,
    ListMailsResponse, Mail, MailFilter, MailState, RetryMailRequest, RetryMailResponse,
    TestMailRequest, TestMailResponse,
};
use crate::contract::servers::mail_service_server::MailService;
use crate::grid::Grid;
use crate::grid::decide::mail::MailRejection;
use crate::grid::model::mail_message::{MailMessage, MessageNumber, OutboxCommand};
use crate::grid::values::id::RecordNumber;

/// Time limit of a mail test; gridctl waits for 60 s.
const TEST_TIMEOUT: Duration = Duration::from_secs(50);

/// Longest address, in bytes: RFC 5321 gives a path 256, with its angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;

/// Most lines of a transcript.
const TRANSCRIPT_LINES_MAX: usize = 256;

/// Longest line of a transcript, in bytes.
const TRANSCRIPT_LINE_BYTES_MAX: usize = 1_024;

/// The transcript of a test; an error if the server did not accept the mail.
pub type TestTranscript = Pin<Box<dyn Future<Output = Result<Vec<String>, Vec<String>>> + Send>>;

/// Sends one mail to an address, configured as all mails. Cheap to clone; one test at a time.
#[derive(Clone)]
pub struct MailTest {
    send: Arc<dyn Fn(String) -> TestTranscript + Send + Sync>,
    permit: Arc<Semaphore>,
}

impl MailTest {
    /// A test with `send`, which gets the address. Its transcript must contain no password.
    pub fn new(send: impl Fn(String) -> TestTranscript + Send + Sync + 'static) -> Self {
        Self { send: Arc::new(send), permit: Arc::new(Semaphore::new(1)) }
    }

    async fn run(&self, address: String, within: Duration) -> Result<TestMailResponse, Status> {
        let Ok(_room) = self.permit.try_acquire() else {
            let text = "another mail test is running; try again in a minute";
            return Err(status::exhausted("TEST_UNDER_WAY", text));
        };
        let sent = tokio::time::timeout(within, (self.send)(address)).await;
        let sent = sent.map_err(|_| {
            let text = format!("the mail server did not finish within {} s", within.as_secs());
            Status::new(Code::DeadlineExceeded, text)
        })?;
        let accepted = sent.is_ok();
        let dialogue = truncate_transcript(sent.unwrap_or_else(|error| error));
        Ok(TestMailResponse { accepted, dialogue })
    }
}

impl fmt::Debug for MailTest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MailTest").finish_non_exhaustive()
    }
}

/// Truncates a transcript, since a server may send any amount of text.
fn truncate_transcript(mut dialogue: Vec<String>) -> Vec<String> {
    let lines = dialogue.len();
    if lines > TRANSCRIPT_LINES_MAX {
        // The end has the result.
        let left_out = lines - (TRANSCRIPT_LINES_MAX - 1);
        let note = format!("... {left_out} lines left out");
        let from = TRANSCRIPT_LINES_MAX / 2;
        dialogue.splice(from..from + left_out, [note]);
    }
    for line in &mut dialogue {
        if line.len() > TRANSCRIPT_LINE_BYTES_MAX {
            line.truncate(line.floor_char_boundary(TRANSCRIPT_LINE_BYTES_MAX - 3));
            line.push_str("...");
        }
    }
    dialogue
}

#[tonic::async_trait]
impl MailService for Services {
    async fn list_mails(
        &self,
        request: Request<ListMailsRequest>,
    ) -> Result<Response<ListMailsResponse>, Status> {
        principal::administrator(&request)?;
        let request = request.into_inner();
        let wanted = MailMatcher::new(request.filter)?;
        let size = check_page_size(request.page_size)?;
        let from = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| {
                status::invalid_field("page_token", "is not the token of an earlier page")
            })?,
        };
        let listed =
            self.broker.query(move |grid, _| list_page(grid, &wanted, MessageNumber(from), size));
        Ok(Response::new(listed.await.map_err(status::unavailable)?))
    }

    async fn get_mail(
        &self,
        request: Request<GetMailRequest>,
    ) -> Result<Response<GetMailResponse>, Status> {
        principal::administrator(&request)?;
        let number = MessageNumber(request.into_inner().number);
        let mail = self.mail_now(number).await?;
        let mail = mail.ok_or_else(|| mail_rejection(MailRejection::NotQueued { number }))?;
        Ok(Response::new(GetMailResponse { mail: Some(mail) }))
    }

    async fn retry_mail(
        &self,
        request: Request<RetryMailRequest>,
    ) -> Result<Response<RetryMailResponse>, Status> {
        let by = principal::administrator(&request)?;
        let number = MessageNumber(request.into_inner().number);
        let record_number = self.command_mail(&by, number, OutboxCommand::Retry).await?;
        let queried = self.broker.query(move |grid, _| {
            let mail = grid.state().outbox().message(number).map(encode::mail::mail);
            (mail, grid.settings().mail().is_some())
        });
        let (mail, configured) = queried.await.map_err(status::unavailable)?;
        Ok(Response::new(RetryMailResponse { record_number, mail, configured }))
    }

    async fn drop_mail(
        &self,
        request: Request<DropMailRequest>,
    ) -> Result<Response<DropMailResponse>, Status> {
        let by = principal::administrator(&request)?;
        let number = MessageNumber(request.into_inner().number);
        let record_number = self.command_mail(&by, number, OutboxCommand::Drop).await?;
        Ok(Response::new(DropMailResponse { record_number }))
    }

    async fn test_mail(
        &self,
        request: Request<TestMailRequest>,
    ) -> Result<Response<TestMailResponse>, Status> {
        let by = principal::administrator(&request)?;
        let address = request.into_inner().address;
        if !is_address(&address) {
            let text = format!("name@host of at most {ADDRESS_BYTES_MAX} bytes is allowed");
            return Err(status::invalid_field("address", text));
        }
        let Some(test) = &self.mail_test else {
            let text = "mail is not configured: [mail] server and to in the settings are needed";
            return Err(status::precondition("MAIL_NOT_CONFIGURED", text));
        };
        let tested = test.run(address.clone(), TEST_TIMEOUT).await?;
        let (recipient, accepted) = (address.as_str(), tested.accepted);
        tracing::info!(administrator = %by, recipient, accepted, "mail was tested");
        Ok(Response::new(tested))
    }
}

/// Whether an address can be sent to a server safely; the server decides the rest.
fn is_address(address: &str) -> bool {
    let is_unsafe = |c: char| c.is_whitespace() || c.is_control() || "<>".contains(c);
    let parts = address.rsplit_once('@');
    address.len() <= ADDRESS_BYTES_MAX
        && !address.contains(is_unsafe)
        && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

impl Services {
    /// The content of a completed mail, from the record of its completion; `None`: it was trimmed.
    pub(super) async fn completed_mail(
        &self,
        number: MessageNumber,
        record: RecordNumber,
    ) -> Result<Option<Mail>, Status> {
        let Some(record) = self.record_at(record).await? else { return Ok(None) };
        Ok(encode::mail::completed_mail(number, &record))
    }

    async fn command_mail(
        &self,
        by: &str,
        number: MessageNumber,
        command: OutboxCommand,
    ) -> Result<u64, Status> {
        let answer = self.broker.command_mail(by, number, command).await;
        answer.map_err(status::unavailable)?.map_err(mail_rejection)
    }
}

fn mail_rejection(rejection: MailRejection) -> Status {
    match rejection {
        MailRejection::NotQueued { .. } => status::not_found("NOT_FOUND", rejection.to_string()),
        MailRejection::InFlight { .. } => status::precondition("UNDER_WAY", rejection.to_string()),
    }
}

/// A validated filter.
struct MailMatcher {
    recipients: Option<GlobSet>,
    states: BTreeSet<i32>,
}

impl MailMatcher {
    fn new(filter: Option<MailFilter>) -> Result<Self, Status> {
        let MailFilter { recipients, states } = filter.unwrap_or_default();
        let mut violations = Vec::new();
        let recipients = filter::patterns("filter.recipients", &recipients, &mut violations);
        for (state, at) in states.iter().zip(0..) {
            match MailState::try_from(*state) {
                Ok(MailState::Unspecified) | Err(_) => {
                    let field = format!("filter.states[{at}]");
                    violations.push(violation(&field, "is not a mail state"));
                }
                Ok(_) => {}
            }
        }
        if violations.is_empty() {
            Ok(Self { recipients, states: states.into_iter().collect() })
        } else {
            Err(status::invalid(violations))
        }
    }

    fn matches(&self, message: &MailMessage) -> bool {
        let state = i32::from(encode::mail::mail_state(message.state));
        let is_to = |globs: &GlobSet| globs.is_match(&*message.recipient);
        (self.states.is_empty() || self.states.contains(&state))
            && self.recipients.as_ref().is_none_or(is_to)
    }
}

fn list_page(
    grid: &Grid,
    wanted: &MailMatcher,
    from: MessageNumber,
    size: usize,
) -> ListMailsResponse {
    let recipients = grid.settings().mail().map_or(0, |mail| mail.recipients.len());
    let mut listed = ListMailsResponse {
        mails: Vec::new(),
        next_page_token: String::new(),
        configured: grid.settings().mail().is_some(),
        recipients: u32::try_from(recipients).unwrap_or(u32::MAX),
    };
    let mut bytes = 0;
    for ((number, message), examined) in grid.state().outbox().messages.range_from(from).zip(0..) {
        let is_full = listed.mails.len() == size || bytes >= page::ENCODED_BYTES_MAX;
        if is_full || examined == ROWS_PER_QUERY {
            listed.next_page_token = number.0.to_string();
            break;
        }
        if wanted.matches(message) {
            let mail = encode::mail::mail(message);
            bytes += mail.encoded_len();
            listed.mails.push(mail);
        }
    }
    listed
}

#[cfg(test)]
mod tests;
