//! `gridctl mail ...`: shows and steers the mails that are owed, and tries whether mail arrives.
//!
//! Guarantees that who asks is told when mail is not configured, since nothing is sent then. What
//! servers and appliances said is shown escaped. Does not know how mail is sent.

use std::io::Write;

use grid_broker::exit_code::ExitCode;
use grid_broker::show::size::count;
use grid_broker::wire::proto::{
    DropMailRequest, GetMailRequest, ListMailsRequest, ListMailsResponse, Mail, MailFilter,
    MailStanding, RetryMailRequest, TestMailRequest, TestMailResponse,
};

use crate::args::{MailCommand, MailList};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::form::Form;
use crate::listing::{Listing, Look, Shape};
use crate::table::Cell;
use crate::{names, owed, watch};

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// What configures mail.
const KEYS: &str = "[mail] server and to in gridd's settings";

/// Does what is asked.
pub(crate) async fn run(
    broker: &Broker,
    command: &MailCommand,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        MailCommand::List(wanted) => list(broker, wanted, look, out).await,
        MailCommand::Show { number } => {
            let request = broker.question(GetMailRequest { number: *number });
            let answer = broker.mails().get_mail(request).await?;
            let mail = answer.into_inner().mail.ok_or(Failure::Answer { field: "mail" })?;
            if look.format.is_for_people() {
                for line in owed::lines(&mail, look) {
                    writeln!(out, "{line}")?;
                }
                return Ok(out.flush()?);
            }
            Ok(Listing::one(out, look, owed::shape(), &mail)?)
        }
        MailCommand::Retry { numbers, all: false } => {
            order(broker, numbers, Wish::Retry, look, out).await
        }
        MailCommand::Retry { all: true, .. } => retry_all(broker, look, out).await,
        MailCommand::Drop { numbers } => order(broker, numbers, Wish::Drop, look, out).await,
        MailCommand::Test { address } => test(broker, address, look, out).await,
    }
}

/// All mails that are wanted, and how mail is configured.
async fn all(
    broker: &Broker,
    filter: &MailFilter,
) -> Result<(Vec<Mail>, ListMailsResponse), Failure> {
    let mut mails = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListMailsRequest { filter, page_size: PAGE, page_token };
        let mut page = broker.mails().list_mails(broker.question(request)).await?.into_inner();
        mails.append(&mut page.mails);
        page_token = std::mem::take(&mut page.next_page_token);
        if page_token.is_empty() {
            return Ok((mails, page));
        }
    }
}

async fn list(
    broker: &Broker,
    wanted: &MailList,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let MailList { recipients, standing, flags } = wanted;
    let standings = standing.iter().map(|it| *it as i32).collect();
    let filter = MailFilter { recipients: names::at_commas(recipients), standings };
    let mut listing = Listing::new(out, look, owed::shape());
    if flags.watch {
        let asked = async || Ok(all(broker, &filter).await?.0);
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            ended = watch::polled(broker, &mut listing, owed::shape().form, asked) => ended?,
        }
        return Ok(listing.finish("no mails match")?);
    }
    let (mut mails, page) = all(broker, &filter).await?;
    flags.sorted(&mut mails);
    listing.add(&mails)?;
    let nothing = match (filter != MailFilter::default(), page.configured) {
        (true, _) => "no mails match".to_owned(),
        (false, true) => {
            let recipients = count(page.recipients.into(), "recipient");
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
async fn retry_all(broker: &Broker, look: &Look, out: &mut dyn Write) -> Result<(), Failure> {
    let standings = vec![MailStanding::Waiting.into(), MailStanding::Failed.into()];
    let filter = MailFilter { standings, ..MailFilter::default() };
    let (mails, _) = all(broker, &filter).await?;
    if mails.is_empty() {
        look.note("no mail waits or was given up: there is none to retry");
    }
    let numbers: Vec<u64> = mails.iter().map(|mail| mail.number).collect();
    order(broker, &numbers, Wish::RetryAll, look, out).await
}

/// What is to become of mails.
#[derive(Clone, Copy)]
enum Wish {
    Retry,
    /// Those that were listed: one that went meanwhile is none to tell of.
    RetryAll,
    Drop,
}

/// What became of a mail by order.
#[derive(Default)]
struct Ordered {
    number: u64,
    record_number: u64,
    words: String,
}

async fn order(
    broker: &Broker,
    numbers: &[u64],
    wish: Wish,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let form = |ordered: &Ordered| Form {
        entity: "mail",
        name: ordered.number.to_string(),
        fields: vec![
            ("number", ordered.number.into()),
            ("record_number", ordered.record_number.into()),
        ],
    };
    let shape = Shape { columns: &[], cells: |_, _| Vec::new(), form };
    let mut told = String::new();
    let mut done = Vec::new();
    let mut failed = None;
    for number in numbers {
        match order_one(broker, *number, wish).await {
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
        Listing::one(out, look, shape, one)?;
    } else if failed.is_none() || !done.is_empty() {
        let mut listing = Listing::new(out, look, shape);
        listing.add(&done)?;
        listing.finish("")?;
    }
    failed.map_or(Ok(()), Err)
}

fn is_of_all(wish: Wish) -> bool {
    matches!(wish, Wish::RetryAll)
}

async fn order_one(broker: &Broker, number: u64, wish: Wish) -> Result<Ordered, Failure> {
    match wish {
        Wish::Retry | Wish::RetryAll => {
            let request = broker.question(RetryMailRequest { number });
            let answer = broker.mails().retry_mail(request).await?.into_inner();
            let words = if answer.configured {
                format!("mail {number} is tried now")
            } else {
                format!("mail {number} is tried once mail is configured; {KEYS} configure it")
            };
            Ok(Ordered { number, record_number: answer.record_number, words })
        }
        Wish::Drop => {
            let request = broker.question(DropMailRequest { number });
            let answer = broker.mails().drop_mail(request).await?.into_inner();
            let words = format!("mail {number} is dropped");
            Ok(Ordered { number, record_number: answer.record_number, words })
        }
    }
}

async fn test(
    broker: &Broker,
    address: &str,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let request = broker.question(TestMailRequest { address: address.to_owned() });
    let tested = broker.mails().test_mail(request).await?.into_inner();
    let accepted = tested.accepted;
    if look.format.is_for_people() {
        for line in &tested.dialogue {
            writeln!(out, "{}", Cell::new(line).shown(false))?;
        }
        if accepted {
            let address = Cell::new(address).shown(false);
            writeln!(out, "the mail server took the mail for {address}")?;
        }
        out.flush()?;
    } else {
        let form = |tested: &TestMailResponse| {
            let TestMailResponse { accepted, dialogue } = tested;
            let fields = vec![("accepted", (*accepted).into()), ("dialogue", dialogue.into())];
            Form { entity: "mail_test", name: String::new(), fields }
        };
        let shape = Shape { columns: &[], cells: |_, _| Vec::new(), form };
        Listing::one(out, look, shape, &tested)?;
    }
    if accepted { Ok(()) } else { Err(Failure::MailTest { address: address.to_owned() }) }
}

#[cfg(test)]
mod tests;
