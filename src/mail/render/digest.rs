//! Text of the digest of alerts that arrive late from the spools of appliances.
//!
//! Guarantees that all of them are counted, whether they are listed or not, and that the text marks
//! them as not current.

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::grid::model::mail_message::{BacklogDigest, MailMessage};
use crate::grid::values::event::Severity;
use crate::grid::values::time::Timestamp;
use crate::mail::render::view_model::format_time;
use crate::show::count::format_count;
use crate::show::escape::escape;

/// Most appliances whose alerts are counted by name in the mail; `gridctl mail show` lists more.
const NAMED_MAX: usize = 16;

/// The number of alerts and appliances: `57 older alerts of 3 appliances`.
pub(super) fn alert_count(late: &BacklogDigest) -> String {
    let of = match late.appliances.as_slice() {
        [(name, _)] if late.others() == 0 => escape(name).into_owned(),
        several if late.others() == 0 => format_count(several.len() as u64, "appliance"),
        several => format!("more than {}", format_count(several.len() as u64, "appliance")),
    };
    format!("{} of {of}", format_count(late.total(), "older alert"))
}

/// The time span: `14:02 to 14:19`, with dates if it covers two days.
pub(super) fn time_span(late: &BacklogDigest, zone: &TimeZone) -> Option<String> {
    let (first, last) = (in_zone(late.first_at, zone)?, in_zone(late.last_at, zone)?);
    let clock = |at: &Zoned| at.strftime("%H:%M").to_string();
    if first.date() != last.date() {
        let clock = |at: &Zoned| at.strftime("%-d %b %H:%M").to_string();
        return Some(format!("{} to {}", clock(&first), clock(&last)));
    }
    let (first, last) = (clock(&first), clock(&last));
    Some(if first == last { format!("at {first}") } else { format!("{first} to {last}") })
}

fn in_zone(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).ok()?;
    Some(at.to_zoned(zone.clone()))
}

/// The text above the notices.
pub(super) fn intro(late: &BacklogDigest, message: &MailMessage, zone: &TimeZone) -> Vec<String> {
    let listed = message.notices.len() as u64;
    let rest = match message.omitted {
        0 => String::new(),
        more => format!(
            " The first {listed} are listed, {more} more are only counted; the grid log contains them all."
        ),
    };
    let (first, last) = (format_time(late.first_at, zone), format_time(late.last_at, zone));
    vec![
        "These alerts come late: appliances spooled them while the broker could not be reached. Each \
         is over 10 s old, and its cause may be resolved."
            .to_owned(),
        format!("{}, {first} to {last}.{rest}", alert_count(late)),
        format!("By severity: {}.", counts_by_severity(late)),
        format!("By appliance: {}.", counts_by_appliance(late)),
    ]
}

fn counts_by_severity(late: &BacklogDigest) -> String {
    let counts = Severity::ALL.into_iter().zip(late.severity_counts).rev().filter(|it| it.1 > 0);
    let counts: Vec<_> = counts.map(|(it, count)| format!("{count} {}", it.as_str())).collect();
    counts.join(", ")
}

fn counts_by_appliance(late: &BacklogDigest) -> String {
    let mut named: Vec<_> = late.appliances.iter().collect();
    // Those with the most alerts first; of two with as many, the earlier one.
    named.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest = named.split_off(named.len().min(NAMED_MAX));
    let mut parts: Vec<_> =
        named.iter().map(|(name, count)| format!("{count} of {}", escape(name))).collect();
    let others = rest.iter().fold(late.others(), |sum, it| sum.saturating_add(it.1));
    if others > 0 {
        parts.push(format!("{others} of others"));
    }
    parts.join(", ")
}
