//! `gridctl mail ...`: shows, retries and drops queued mails, and sends test mails.
//!
//! Guarantees a note if mail is not configured, since nothing is sent then, and that texts of
//! servers and appliances are escaped. Does not know how mail is sent.

use std::io::Write;

use grid_broker::contract::proto::{
    DropMailRequest, GetMailRequest, ListMailsRequest, ListMailsResponse, Mail, MailFilter,
    MailState, RetryMailRequest, TestMailRequest, TestMailResponse,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::count::format_count;

use crate::args::{MailList, MailSubcommand};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::TableCell;
use crate::{mail_view, names, watch};

/// Largest page that the broker returns.
const PAGE_SIZE: u32 = 1000;

/// The keys that configure mail.
const MAIL_KEYS: &str = "[mail] server and to in gridd's settings";

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &MailSubcommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        MailSubcommand::List(arguments) => list(broker, arguments, look, out).await,
        MailSubcommand::Show { number } => {
            let request = broker.unary(GetMailRequest { number: *number });
            let reply = broker.mails().get_mail(request).await?;
            let mail = reply.into_inner().mail.ok_or(CliError::MissingField { field: "mail" })?;
            if look.format.is_human_readable() {
                for line in mail_view::detail_lines(&mail, look) {
                    writeln!(out, "{line}")?;
                }
                return Ok(out.flush()?);
            }
            Ok(ListWriter::write_one(out, look, mail_view::view(), &mail)?)
        }
        MailSubcommand::Retry { numbers, all: false } => {
            apply(broker, numbers, MailAction::Retry, look, out).await
        }
        MailSubcommand::Retry { all: true, .. } => retry_all(broker, look, out).await,
        MailSubcommand::Drop { numbers } => {
            apply(broker, numbers, MailAction::Drop, look, out).await
        }
        MailSubcommand::Test { address } => test(broker, address, look, out).await,
    }
}

/// Lists all mails that match the filter, and how mail is configured.
async fn list_all(
    broker: &Connection,
    filter: &MailFilter,
) -> Result<(Vec<Mail>, ListMailsResponse), CliError> {
    let mut mails = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListMailsRequest { filter, page_size: PAGE_SIZE, page_token };
        let mut page = broker.mails().list_mails(broker.unary(request)).await?.into_inner();
        mails.append(&mut page.mails);
        page_token = std::mem::take(&mut page.next_page_token);
        if page_token.is_empty() {
            return Ok((mails, page));
        }
    }
}

async fn list(
    broker: &Connection,
    arguments: &MailList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let MailList { recipients, state, flags } = arguments;
    let states = state.iter().map(|it| *it as i32).collect();
    let filter = MailFilter { recipients: names::split_at_commas(recipients), states };
    let mut listing = ListWriter::new(out, look, mail_view::view());
    if flags.watch {
        let fetch = async || Ok(list_all(broker, &filter).await?.0);
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = watch::poll(broker, &mut listing, mail_view::view().to_object, fetch) => ended?,
        }
        return Ok(listing.finish("no mails match")?);
    }
    let (mut mails, page) = list_all(broker, &filter).await?;
    flags.apply_order(&mut mails);
    listing.add(&mails)?;
    let if_empty = match (filter != MailFilter::default(), page.configured) {
        (true, _) => "no mails match".to_owned(),
        (false, true) => {
            let recipients = format_count(page.recipients.into(), "recipient");
            format!("no mails are queued ({recipients} configured)")
        }
        (false, false) => format!("mail is not configured, no mails are queued; set {MAIL_KEYS}"),
    };
    if !page.configured && !mails.is_empty() {
        let text = "mail is not configured: queued mails are not sent until it is;";
        listing.note(&format!("{text} set {MAIL_KEYS}"))?;
    }
    Ok(listing.finish(&if_empty)?)
}

/// Retries all waiting and failed mails.
async fn retry_all(
    broker: &Connection,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let states = vec![MailState::Waiting.into(), MailState::Failed.into()];
    let filter = MailFilter { states, ..MailFilter::default() };
    let (mails, _) = list_all(broker, &filter).await?;
    if mails.is_empty() {
        look.note("no mails are waiting or failed: nothing to retry");
    }
    let numbers: Vec<u64> = mails.iter().map(|mail| mail.number).collect();
    apply(broker, &numbers, MailAction::RetryAll, look, out).await
}

/// An action on queued mails.
#[derive(Clone, Copy)]
enum MailAction {
    Retry,
    /// Of all listed mails: one that has left the queue meanwhile is no error.
    RetryAll,
    Drop,
}

/// The result of an action on a mail.
#[derive(Default)]
struct MailActionResult {
    number: u64,
    record_number: u64,
    text: String,
}

async fn apply(
    broker: &Connection,
    numbers: &[u64],
    wish: MailAction,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let form = |ordered: &MailActionResult| OutputObject {
        kind: "mail",
        name: ordered.number.to_string(),
        fields: vec![
            ("number", ordered.number.into()),
            ("record_number", ordered.record_number.into()),
        ],
    };
    let shape = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: form };
    let mut text = String::new();
    let mut done = Vec::new();
    let mut failed = None;
    for number in numbers {
        match apply_one(broker, *number, wish).await {
            Ok(ordered) => {
                text.push_str(&format!("{} (record {})\n", ordered.text, ordered.record_number));
                done.push(ordered);
            }
            Err(failure) if is_for_all(wish) && failure.exit_code() == ExitCode::NotFound => {}
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    // Completed actions are printed even if the next one failed.
    if look.is_quiet {
        return failed.map_or(Ok(()), Err);
    }
    if look.format.is_human_readable() {
        out.write_all(text.as_bytes())?;
        out.flush()?;
    } else if let ([one], [_], false) = (done.as_slice(), numbers, is_for_all(wish)) {
        ListWriter::write_one(out, look, shape, one)?;
    } else if failed.is_none() || !done.is_empty() {
        let mut listing = ListWriter::new(out, look, shape);
        listing.add(&done)?;
        listing.finish("")?;
    }
    failed.map_or(Ok(()), Err)
}

fn is_for_all(wish: MailAction) -> bool {
    matches!(wish, MailAction::RetryAll)
}

async fn apply_one(
    broker: &Connection,
    number: u64,
    wish: MailAction,
) -> Result<MailActionResult, CliError> {
    match wish {
        MailAction::Retry | MailAction::RetryAll => {
            let request = broker.unary(RetryMailRequest { number });
            let reply = broker.mails().retry_mail(request).await?.into_inner();
            let words = if reply.configured {
                format!("mail {number} is retried now")
            } else {
                format!("mail {number} is sent once mail is configured; set {MAIL_KEYS}")
            };
            Ok(MailActionResult { number, record_number: reply.record_number, text: words })
        }
        MailAction::Drop => {
            let request = broker.unary(DropMailRequest { number });
            let reply = broker.mails().drop_mail(request).await?.into_inner();
            let words = format!("mail {number} is dropped");
            Ok(MailActionResult { number, record_number: reply.record_number, text: words })
        }
    }
}

async fn test(
    broker: &Connection,
    address: &str,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let request = broker.unary(TestMailRequest { address: address.to_owned() });
    let tested = broker.mails().test_mail(request).await?.into_inner();
    let accepted = tested.accepted;
    if look.format.is_human_readable() {
        for line in &tested.dialogue {
            writeln!(out, "{}", TableCell::new(line).render(false))?;
        }
        if accepted {
            let address = TableCell::new(address).render(false);
            writeln!(out, "the mail server accepted the mail for {address}")?;
        }
        out.flush()?;
    } else {
        let form = |tested: &TestMailResponse| {
            let TestMailResponse { accepted, dialogue } = tested;
            let fields = vec![("accepted", (*accepted).into()), ("dialogue", dialogue.into())];
            OutputObject { kind: "mail_test", name: String::new(), fields }
        };
        let shape = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: form };
        ListWriter::write_one(out, look, shape, &tested)?;
    }
    if accepted { Ok(()) } else { Err(CliError::MailTestRejected { address: address.to_owned() }) }
}

#[cfg(test)]
mod tests;
