//! How a mail that is owed is shown: as a row, as lines, and as a form for machines.
//!
//! The form has the contract's keys, always all of them. Does not know how mails are asked for.

use grid_broker::contract::proto::{
    AlertsOfAppliance, AlertsOfSeverity, Mail, MailBrief, MailNotice, MailStanding, MailSummary,
};
use grid_broker::show::escape::escape;
use grid_broker::show::labels;
use grid_broker::show::size::format_count;

use crate::appliance_view::pair_lines;
use crate::fields::{FieldObject, Fields, ObjectValue};
use crate::output::{OutputOptions, View};
use crate::subject;
use crate::table::{Column, Style, TableCell};

/// As much of a reply or a notice stands in a list, in characters.
const TEXT_CHARS_MAX: usize = 120;

/// How mails are listed.
pub(crate) fn shape() -> View<Mail> {
    View { columns: COLUMNS, cells, object: form }
}

const COLUMNS: &[Column] = &[
    Column { title: "number", least: 6, to_the_right: true, drop: 0 },
    Column { title: "recipient", least: 12, to_the_right: false, drop: 0 },
    Column { title: "standing", least: 9, to_the_right: false, drop: 0 },
    Column { title: "owed since {zone}", least: 14, to_the_right: false, drop: 3 },
    Column { title: "due {zone}", least: 14, to_the_right: false, drop: 1 },
    Column { title: "attempts", least: 8, to_the_right: true, drop: 2 },
    Column { title: "what", least: 0, to_the_right: false, drop: 0 },
];

fn cells(mail: &Mail, look: &OutputOptions) -> Vec<TableCell> {
    let standing = labels::mail_state(mail.standing).unwrap_or_default();
    vec![
        TableCell::new(&mail.number.to_string()),
        TableCell::new(&mail.recipient),
        TableCell::styled(&standing, style(mail.standing)),
        TableCell::new(&look.time_in_column(&mail.owed_since)),
        match MailStanding::try_from(mail.standing) {
            Ok(MailStanding::Failed) => TableCell::new("given up"),
            _ => TableCell::new(&look.time_in_column(&mail.due)),
        },
        TableCell::new(&mail.attempts.to_string()),
        TableCell::new(&what(mail)),
    ]
}

fn style(standing: i32) -> Style {
    match MailStanding::try_from(standing) {
        Ok(MailStanding::Failed) => Style::Red,
        Ok(MailStanding::UnderWay) => Style::Yellow,
        Ok(
            MailStanding::Unspecified
            | MailStanding::Waiting
            | MailStanding::Sent
            | MailStanding::Joined
            | MailStanding::Removed,
        )
        | Err(_) => Style::None,
    }
}

/// What was answered last, then what it tells of: `451 try later: db1 hung, and 2 more`; of a summary
/// what it counts.
fn what(mail: &Mail) -> String {
    let reply = match mail.last_reply.as_str() {
        "" => String::new(),
        reply => format!("{}: ", begun(reply)),
    };
    if let Some(summary) = &mail.summary {
        return format!("{reply}summary: {}", summed_up(summary));
    }
    let first = begun(mail.notices.first().map_or("", |notice| &notice.text));
    let others = (mail.notices.len() as u64).saturating_sub(1).saturating_add(mail.more_notices);
    let more = if others > 0 { format!(", and {others} more") } else { String::new() };
    format!("{reply}{first}{more}")
}

/// The beginning of a text, as wide as a list has room for; `mail show` has it all.
fn begun(text: &str) -> String {
    let mut width = 0;
    let fits = |c: &char| {
        // As it is shown: what is hidden is escaped, and takes more.
        width += escape(c.encode_utf8(&mut [0; 4])).chars().count();
        width <= TEXT_CHARS_MAX
    };
    let begin: String = text.chars().take_while(fits).collect();
    if begin.len() < text.len() { format!("{begin}…") } else { begin }
}

/// `57 older alerts of 3 appliances`.
fn summed_up(summary: &MailSummary) -> String {
    let of = match summary.appliances.as_slice() {
        [one] => one.appliance.clone(),
        several => format_count(several.len() as u64, "appliance"),
    };
    let named: u64 = summary.appliances.iter().map(|it| it.count).sum();
    let more = if named < summary.alerts { " and more" } else { "" };
    format!("{} of {of}{more}", format_count(summary.alerts, "older alert"))
}

/// One mail as `key: value` lines; what is not known has none.
pub(crate) fn lines(mail: &Mail, look: &OutputOptions) -> Vec<String> {
    let (name, at) = match MailStanding::try_from(mail.standing) {
        Ok(MailStanding::Failed) => ("forgotten at", &mail.removed_at),
        Ok(MailStanding::Sent) => ("sent at", &mail.ended_at),
        Ok(MailStanding::Joined) => ("joined at", &mail.ended_at),
        Ok(MailStanding::Removed) => ("removed at", &mail.ended_at),
        Ok(MailStanding::Unspecified | MailStanding::Waiting | MailStanding::UnderWay) | Err(_) => {
            ("tried at", &mail.due)
        }
    };
    let or_nothing = |number: u64| if number > 0 { number.to_string() } else { String::new() };
    let mut pairs = vec![
        ("mail", mail.number.to_string()),
        ("to", mail.recipient.clone()),
        ("standing", labels::mail_state(mail.standing).unwrap_or_default()),
        ("owed since", look.time(&mail.owed_since)),
        (name, look.time(at)),
        ("sent as part of mail", or_nothing(mail.joined)),
        ("record", or_nothing(mail.record_number)),
        ("attempts", mail.attempts.to_string()),
        ("last reply", mail.last_reply.clone()),
    ];
    if let Some(summary) = &mail.summary {
        pairs.push(("summary", summed_up(summary)));
        pairs.push(("first at", look.time(&summary.first_at)));
        pairs.push(("last at", look.time(&summary.last_at)));
        pairs.push(("by severity", counted(&by_severity(summary))));
        pairs.push(("by appliance", counted(&by_appliance(summary))));
    }
    pairs.extend(mail.notices.iter().map(|it| ("tells of", notice(it, look))));
    pairs.extend(mail.briefs.iter().map(|it| ("and of", brief(it))));
    let listed = mail.briefs.len() as u64;
    if mail.more_notices > listed {
        pairs.push(("and of", format!("{} more", mail.more_notices - listed)));
    }
    pair_lines(&pairs, |key| if key == "to" { Style::Bold } else { Style::None }, look)
}

fn by_severity(summary: &MailSummary) -> Vec<(String, u64)> {
    let severities = summary.severities.iter();
    let counts = severities.map(|AlertsOfSeverity { severity, count }| {
        (labels::severity(*severity).unwrap_or_default(), *count)
    });
    counts.collect()
}

fn by_appliance(summary: &MailSummary) -> Vec<(String, u64)> {
    let appliances = summary.appliances.iter();
    let counts =
        appliances.map(|AlertsOfAppliance { appliance, count }| (appliance.clone(), *count));
    counts.collect()
}

/// `db1 57, db2 3`.
fn counted(counts: &[(String, u64)]) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// `2026-11-20 14:02:10 error db1 start_failed: start of db1 failed (record 7)`.
fn notice(notice: &MailNotice, look: &OutputOptions) -> String {
    let at = look.time(&notice.at);
    let severity = labels::severity(notice.severity).unwrap_or_default();
    let appliance = subject::shown(&notice.appliance);
    let over = if notice.resolved { ", over" } else { "" };
    let again = match notice.again {
        0 => String::new(),
        again => format!(", said {again} times since the last mail"),
    };
    let MailNotice { matter, text, record_number, .. } = notice;
    format!("{at} {severity} {appliance} {matter}: {text} (record {record_number}{again}{over})")
}

/// `error db1 start_failed`.
fn brief(brief: &MailBrief) -> String {
    let severity = labels::severity(brief.severity).unwrap_or_default();
    let appliance = if brief.appliance.is_empty() { "-" } else { &brief.appliance };
    let over = if brief.resolved { " (over)" } else { "" };
    format!("{severity} {appliance} {}{over}", brief.matter)
}

fn brief_fields(brief: &MailBrief) -> ObjectValue {
    let MailBrief { appliance, matter, severity, resolved } = brief;
    ObjectValue::Object(Some(vec![
        ("appliance", appliance.into()),
        ("matter", matter.into()),
        ("severity", labels::severity(*severity).into()),
        ("resolved", (*resolved).into()),
    ]))
}

fn form(mail: &Mail) -> FieldObject {
    let Mail {
        number,
        recipient,
        standing,
        owed_since,
        due,
        attempts,
        last_reply,
        notices,
        more_notices,
        summary,
        removed_at,
        briefs,
        ended_at,
        record_number,
        joined,
    } = mail;
    let fields = vec![
        ("number", (*number).into()),
        ("recipient", recipient.into()),
        ("standing", labels::mail_state(*standing).into()),
        ("owed_since", owed_since.into()),
        ("due", due.into()),
        ("attempts", (*attempts).into()),
        ("last_reply", last_reply.into()),
        ("notices", ObjectValue::List(notices.iter().map(notice_fields).collect())),
        ("more_notices", (*more_notices).into()),
        ("removed_at", removed_at.into()),
        ("briefs", ObjectValue::List(briefs.iter().map(brief_fields).collect())),
        ("ended_at", ended_at.into()),
        ("record_number", (*record_number).into()),
        ("joined", (*joined).into()),
        ("summary", ObjectValue::Object(summary.as_ref().map(summary_fields))),
    ];
    FieldObject { entity: "mail", name: number.to_string(), fields }
}

fn summary_fields(summary: &MailSummary) -> Fields {
    let MailSummary { alerts, first_at, last_at, appliances: _, severities: _ } = summary;
    let list = |key: &'static str, counts: Vec<(String, u64)>| {
        let fields = |(name, count): (String, u64)| {
            ObjectValue::Object(Some(vec![
                (key, ObjectValue::from(&name)),
                ("count", count.into()),
            ]))
        };
        ObjectValue::List(counts.into_iter().map(fields).collect())
    };
    vec![
        ("alerts", (*alerts).into()),
        ("first_at", first_at.into()),
        ("last_at", last_at.into()),
        ("appliances", list("appliance", by_appliance(summary))),
        ("severities", list("severity", by_severity(summary))),
    ]
}

fn notice_fields(notice: &MailNotice) -> ObjectValue {
    let MailNotice { appliance, matter, severity, at, text, record_number, resolved, again } =
        notice;
    ObjectValue::Object(Some(vec![
        ("appliance", appliance.into()),
        ("matter", matter.into()),
        ("severity", labels::severity(*severity).into()),
        ("at", at.into()),
        ("text", text.into()),
        ("record_number", (*record_number).into()),
        ("resolved", (*resolved).into()),
        ("again", (*again).into()),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_beginning_of_what_a_server_or_an_appliance_said() {
        let hostile = "\u{1b}[2J".repeat(200);
        let long = || "ä".repeat(1_000);
        let text = format!("{hostile}{}", long());
        let notices = vec![MailNotice { text, ..MailNotice::default() }];
        let mail = Mail { last_reply: long(), notices, more_notices: 2, ..Mail::default() };
        let shown = escape(&what(&mail)).into_owned();
        assert!(shown.chars().count() <= 2 * TEXT_CHARS_MAX + 30, "{shown}");
        assert!(shown.starts_with("ää") && shown.ends_with("…, and 2 more"), "{shown}");
        let short = Mail { last_reply: "451 later".to_owned(), ..Mail::default() };
        assert_eq!(what(&short), "451 later: ");
    }
}
