//! `gridctl mail ...`: shows and steers the mails that are owed, and tries whether mail arrives.
//!
//! Guarantees that who asks is told when mail is not configured, since nothing is sent then. What
//! servers and appliances said is shown escaped. Does not know how mail is sent.

use std::io::Write;

use grid_broker::show::size::count;
use grid_broker::wire::proto::{
    DropMailRequest, GetMailRequest, ListMailsRequest, MailFilter, RetryMailRequest,
    TestMailRequest, TestMailResponse,
};

use crate::args::{Format, MailCommand};
use crate::broker::Broker;
use crate::failure::Failure;
use crate::form::Form;
use crate::listing::{Listing, Look, Shape};
use crate::owed;
use crate::table::Cell;

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
        MailCommand::List { recipients, standing } => {
            let standings = standing.iter().map(|it| *it as i32).collect();
            let filter = MailFilter { recipients: recipients.clone(), standings };
            list(broker, filter, look, out).await
        }
        MailCommand::Show { number } => {
            let request = broker.question(GetMailRequest { number: *number });
            let answer = broker.mails().get_mail(request).await?;
            let mail = answer.into_inner().mail.ok_or(Failure::Answer { field: "mail" })?;
            if look.format == Format::Table {
                for line in owed::lines(&mail, look) {
                    writeln!(out, "{line}")?;
                }
                return Ok(out.flush()?);
            }
            let mut listing = Listing::new(out, look, owed::shape());
            listing.add(&[mail])?;
            Ok(listing.finish("")?)
        }
        MailCommand::Retry { numbers } => order(broker, numbers, Wish::Retry, look, out).await,
        MailCommand::Drop { numbers } => order(broker, numbers, Wish::Drop, look, out).await,
        MailCommand::Test { address } => test(broker, address, look, out).await,
    }
}

async fn list(
    broker: &Broker,
    filter: MailFilter,
    look: &Look,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let is_filtered = filter != MailFilter::default();
    let mut listing = Listing::new(out, look, owed::shape());
    let mut page_token = String::new();
    let mut listed = 0;
    loop {
        let filter = Some(filter.clone());
        let request = ListMailsRequest { filter, page_size: PAGE, page_token };
        let page = broker.mails().list_mails(broker.question(request)).await?.into_inner();
        listing.add(&page.mails)?;
        listed += page.mails.len();
        page_token = page.next_page_token;
        if !page_token.is_empty() {
            continue;
        }
        let nothing = match (is_filtered, page.configured) {
            (true, _) => "no mails match".to_owned(),
            (false, true) => {
                let recipients = count(page.recipients.into(), "recipient");
                format!("no mail is owed ({recipients} in the settings)")
            }
            (false, false) => {
                format!("mail is not configured: nothing is owed; {KEYS} configure it")
            }
        };
        if !page.configured && listed > 0 {
            let words = "mail is not configured: what waits is not tried until it is;";
            listing.note(&format!("{words} {KEYS} configure it"))?;
        }
        return Ok(listing.finish(&nothing)?);
    }
}

/// What is to become of mails.
#[derive(Clone, Copy)]
enum Wish {
    Retry,
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
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    // What was done is told even if the next one was refused.
    if look.format == Format::Table {
        out.write_all(told.as_bytes())?;
        out.flush()?;
    } else if failed.is_none() || !done.is_empty() {
        let mut listing = Listing::new(out, look, shape);
        listing.add(&done)?;
        listing.finish("")?;
    }
    failed.map_or(Ok(()), Err)
}

async fn order_one(broker: &Broker, number: u64, wish: Wish) -> Result<Ordered, Failure> {
    match wish {
        Wish::Retry => {
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
    if look.format == Format::Table {
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
        let mut listing = Listing::new(out, look, shape);
        listing.add(&[tested])?;
        listing.finish("")?;
    }
    if accepted { Ok(()) } else { Err(Failure::MailTest { address: address.to_owned() }) }
}

#[cfg(test)]
mod tests;
