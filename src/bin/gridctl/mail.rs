//! `gridctl mail ...`: shows and steers the mails that are owed, and tries whether mail arrives.
//!
//! Guarantees that who asks is told when mail is not configured, since nothing is sent then. What
//! servers and appliances said is shown escaped. Does not know how mail is sent.

use std::io::Write;

use grid_broker::contract::proto::{
    DropMailRequest, GetMailRequest, ListMailsRequest, ListMailsResponse, Mail, MailFilter,
    MailStanding, RetryMailRequest, TestMailRequest, TestMailResponse,
};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::size::format_count;

use crate::args::{MailList, MailSubcommand};
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::FieldObject;
use crate::output::{ListWriter, OutputOptions, View};
use crate::table::TableCell;
use crate::{mail_view, names, watch};

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// What configures mail.
const KEYS: &str = "[mail] server and to in gridd's settings";

/// Does what is asked.
pub(crate) async fn run(
    broker: &Connection,
    command: &MailSubcommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        MailSubcommand::List(wanted) => list(broker, wanted, look, out).await,
        MailSubcommand::Show { number } => {
            let request = broker.unary(GetMailRequest { number: *number });
            let answer = broker.mails().get_mail(request).await?;
            let mail = answer.into_inner().mail.ok_or(CliError::Rejected { field: "mail" })?;
            if look.format.is_for_people() {
                for line in mail_view::lines(&mail, look) {
                    writeln!(out, "{line}")?;
                }
                return Ok(out.flush()?);
            }
            Ok(ListWriter::one(out, look, mail_view::shape(), &mail)?)
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

/// All mails that are wanted, and how mail is configured.
async fn all(
    broker: &Connection,
    filter: &MailFilter,
) -> Result<(Vec<Mail>, ListMailsResponse), CliError> {
    let mut mails = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListMailsRequest { filter, page_size: PAGE, page_token };
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
    wanted: &MailList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let MailList { recipients, standing, flags } = wanted;
    let standings = standing.iter().map(|it| *it as i32).collect();
    let filter = MailFilter { recipients: names::at_commas(recipients), standings };
    let mut listing = ListWriter::new(out, look, mail_view::shape());
    if flags.watch {
        let asked = async || Ok(all(broker, &filter).await?.0);
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = watch::polled(broker, &mut listing, mail_view::shape().object, asked) => ended?,
        }
        return Ok(listing.finish("no mails match")?);
    }
    let (mut mails, page) = all(broker, &filter).await?;
    flags.sorted(&mut mails);
    listing.add(&mails)?;
    let nothing = match (filter != MailFilter::default(), page.configured) {
        (true, _) => "no mails match".to_owned(),
        (false, true) => {
            let recipients = format_count(page.recipients.into(), "recipient");
            format!("no mail is owed ({recipients} in the settings)")
        }
        (false, false) => format!("mail is not configured: nothing is owed; {KEYS} configure it"),
    };
    if !page.configured && !mails.is_empty() {
        let words = "mail is not configured: what waits is not tried until it is;";
        listing.note(&format!("{words} {KEYS} configure it"))?;
    }
    Ok(listing.finish(&nothing)?)
}

/// Has all mails tried that wait or were given up.
async fn retry_all(
    broker: &Connection,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let standings = vec![MailStanding::Waiting.into(), MailStanding::Failed.into()];
    let filter = MailFilter { standings, ..MailFilter::default() };
    let (mails, _) = all(broker, &filter).await?;
    if mails.is_empty() {
        look.note("no mail waits or was given up: there is none to retry");
    }
    let numbers: Vec<u64> = mails.iter().map(|mail| mail.number).collect();
    apply(broker, &numbers, MailAction::RetryAll, look, out).await
}

/// What is to become of mails.
#[derive(Clone, Copy)]
enum MailAction {
    Retry,
    /// Those that were listed: one that went meanwhile is none to tell of.
    RetryAll,
    Drop,
}

/// What became of a mail by order.
#[derive(Default)]
struct ActionResult {
    number: u64,
    record_number: u64,
    words: String,
}

async fn apply(
    broker: &Connection,
    numbers: &[u64],
    wish: MailAction,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let form = |ordered: &ActionResult| FieldObject {
        entity: "mail",
        name: ordered.number.to_string(),
        fields: vec![
            ("number", ordered.number.into()),
            ("record_number", ordered.record_number.into()),
        ],
    };
    let shape = View { columns: &[], cells: |_, _| Vec::new(), object: form };
    let mut told = String::new();
    let mut done = Vec::new();
    let mut failed = None;
    for number in numbers {
        match apply_one(broker, *number, wish).await {
            Ok(ordered) => {
                told.push_str(&format!("{} (record {})\n", ordered.words, ordered.record_number));
                done.push(ordered);
            }
            Err(failure) if is_of_all(wish) && failure.exit_code() == ExitCode::NotFound => {}
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    // What was done is told even if the next one was refused.
    if look.quiet {
        return failed.map_or(Ok(()), Err);
    }
    if look.format.is_for_people() {
        out.write_all(told.as_bytes())?;
        out.flush()?;
    } else if let ([one], [_], false) = (done.as_slice(), numbers, is_of_all(wish)) {
        ListWriter::one(out, look, shape, one)?;
    } else if failed.is_none() || !done.is_empty() {
        let mut listing = ListWriter::new(out, look, shape);
        listing.add(&done)?;
        listing.finish("")?;
    }
    failed.map_or(Ok(()), Err)
}

fn is_of_all(wish: MailAction) -> bool {
    matches!(wish, MailAction::RetryAll)
}

async fn apply_one(
    broker: &Connection,
    number: u64,
    wish: MailAction,
) -> Result<ActionResult, CliError> {
    match wish {
        MailAction::Retry | MailAction::RetryAll => {
            let request = broker.unary(RetryMailRequest { number });
            let answer = broker.mails().retry_mail(request).await?.into_inner();
            let words = if answer.configured {
                format!("mail {number} is tried now")
            } else {
                format!("mail {number} is tried once mail is configured; {KEYS} configure it")
            };
            Ok(ActionResult { number, record_number: answer.record_number, words })
        }
        MailAction::Drop => {
            let request = broker.unary(DropMailRequest { number });
            let answer = broker.mails().drop_mail(request).await?.into_inner();
            let words = format!("mail {number} is dropped");
            Ok(ActionResult { number, record_number: answer.record_number, words })
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
    if look.format.is_for_people() {
        for line in &tested.dialogue {
            writeln!(out, "{}", TableCell::new(line).shown(false))?;
        }
        if accepted {
            let address = TableCell::new(address).shown(false);
            writeln!(out, "the mail server took the mail for {address}")?;
        }
        out.flush()?;
    } else {
        let form = |tested: &TestMailResponse| {
            let TestMailResponse { accepted, dialogue } = tested;
            let fields = vec![("accepted", (*accepted).into()), ("dialogue", dialogue.into())];
            FieldObject { entity: "mail_test", name: String::new(), fields }
        };
        let shape = View { columns: &[], cells: |_, _| Vec::new(), object: form };
        ListWriter::one(out, look, shape, &tested)?;
    }
    if accepted { Ok(()) } else { Err(CliError::MailTest { address: address.to_owned() }) }
}

#[cfg(test)]
mod tests;
