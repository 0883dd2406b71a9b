//! Formats a queued mail as a row, as lines, and as an object.
//!
//! Guarantees the contract's keys in the object, always all of them, except where a key is renamed.
//! Does not know how mails are fetched.

use grid_broker::contract::proto::{
    AlertsOfAppliance, AlertsOfSeverity, Mail, MailBrief, MailNotice, MailState, MailSummary,
};
use grid_broker::show::count::format_count;
use grid_broker::show::escape::escape;
use grid_broker::show::labels;

use crate::appliance_view::pair_lines;
use crate::fields::{Fields, ObjectValue, OutputObject};
use crate::output::{ItemView, OutputOptions};
use crate::subject;
use crate::table::{CellStyle, Column, TableCell};

/// Maximum length of a reply or notice in a list, in characters.
const TEXT_CHARS_MAX: usize = 120;

/// How mails are shown.
pub(crate) fn view() -> ItemView<Mail> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

const COLUMNS: &[Column] = &[
    Column { title: "number", width_min: 6, is_right_aligned: true, drop_priority: 0 },
    Column { title: "recipient", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "state", width_min: 9, is_right_aligned: false, drop_priority: 0 },
    Column {
        title: "queued since {zone}",
        width_min: 14,
        is_right_aligned: false,
        drop_priority: 3,
    },
    Column { title: "due {zone}", width_min: 14, is_right_aligned: false, drop_priority: 1 },
    Column { title: "attempts", width_min: 8, is_right_aligned: true, drop_priority: 2 },
    Column { title: "what", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn cells(mail: &Mail, look: &OutputOptions) -> Vec<TableCell> {
    let state = labels::mail_state(mail.state).unwrap_or_default();
    vec![
        TableCell::new(&mail.number.to_string()),
        TableCell::new(&mail.recipient),
        TableCell::styled(&state, state_style(mail.state)),
        TableCell::new(&look.format_column_time(&mail.queued_since)),
        match MailState::try_from(mail.state) {
            Ok(MailState::Failed) => TableCell::new("never"),
            _ => TableCell::new(&look.format_column_time(&mail.due)),
        },
        TableCell::new(&mail.attempts.to_string()),
        TableCell::new(&describe_mail(mail)),
    ]
}

fn state_style(state: i32) -> CellStyle {
    match MailState::try_from(state) {
        Ok(MailState::Failed) => CellStyle::Red,
        Ok(MailState::UnderWay) => CellStyle::Yellow,
        Ok(
            MailState::Unspecified
            | MailState::Waiting
            | MailState::Sent
            | MailState::Joined
            | MailState::Removed,
        )
        | Err(_) => CellStyle::None,
    }
}

/// The last reply, then the content: `451 try later: db1 hung, and 2 more`; of a summary its
/// counts.
fn describe_mail(mail: &Mail) -> String {
    let reply = match mail.last_reply.as_str() {
        "" => String::new(),
        reply => format!("{}: ", truncate(reply)),
    };
    if let Some(summary) = &mail.summary {
        return format!("{reply}summary: {}", describe_summary(summary));
    }
    let first = truncate(mail.notices.first().map_or("", |notice| &notice.text));
    let others = (mail.notices.len() as u64).saturating_sub(1).saturating_add(mail.more_notices);
    let more = if others > 0 { format!(", and {others} more") } else { String::new() };
    format!("{reply}{first}{more}")
}

/// The beginning of a text, limited to the width in a list; `mail show` has all of it.
fn truncate(text: &str) -> String {
    let mut width = 0;
    let fits = |c: &char| {
        // Counted as shown: control characters are escaped and take more room.
        width += escape(c.encode_utf8(&mut [0; 4])).chars().count();
        width <= TEXT_CHARS_MAX
    };
    let begin: String = text.chars().take_while(fits).collect();
    if begin.len() < text.len() { format!("{begin}…") } else { begin }
}

/// `57 older alerts of 3 appliances`.
fn describe_summary(summary: &MailSummary) -> String {
    let of = match summary.appliances.as_slice() {
        [one] => one.appliance.clone(),
        several => format_count(several.len() as u64, "appliance"),
    };
    let named: u64 = summary.appliances.iter().map(|it| it.count).sum();
    let more = if named < summary.alerts { " and more" } else { "" };
    format!("{} of {of}{more}", format_count(summary.alerts, "older alert"))
}

/// A mail as `key: value` lines; unset values have no line.
pub(crate) fn detail_lines(mail: &Mail, look: &OutputOptions) -> Vec<String> {
    let (name, at) = match MailState::try_from(mail.state) {
        Ok(MailState::Failed) => ("deleted at", &mail.removed_at),
        Ok(MailState::Sent) => ("sent at", &mail.ended_at),
        Ok(MailState::Joined) => ("joined at", &mail.ended_at),
        Ok(MailState::Removed) => ("removed at", &mail.ended_at),
        Ok(MailState::Unspecified | MailState::Waiting | MailState::UnderWay) | Err(_) => {
            ("next attempt", &mail.due)
        }
    };
    let unless_zero = |number: u64| if number > 0 { number.to_string() } else { String::new() };
    let mut pairs = vec![
        ("mail", mail.number.to_string()),
        ("to", mail.recipient.clone()),
        ("state", labels::mail_state(mail.state).unwrap_or_default()),
        ("queued since", look.format_time(&mail.queued_since)),
        (name, look.format_time(at)),
        ("sent as part of mail", unless_zero(mail.joined)),
        ("record", unless_zero(mail.record_number)),
        ("attempts", mail.attempts.to_string()),
        ("last reply", mail.last_reply.clone()),
    ];
    if let Some(summary) = &mail.summary {
        pairs.push(("summary", describe_summary(summary)));
        pairs.push(("first at", look.format_time(&summary.first_at)));
        pairs.push(("last at", look.format_time(&summary.last_at)));
        pairs.push(("by severity", join_counts(&counts_by_severity(summary))));
        pairs.push(("by appliance", join_counts(&counts_by_appliance(summary))));
    }
    pairs.extend(mail.notices.iter().map(|it| ("contains", describe_notice(it, look))));
    pairs.extend(mail.briefs.iter().map(|it| ("and", describe_brief(it))));
    let listed = mail.briefs.len() as u64;
    if mail.more_notices > listed {
        pairs.push(("and", format!("{} more", mail.more_notices - listed)));
    }
    pair_lines(&pairs, |key| if key == "to" { CellStyle::Bold } else { CellStyle::None }, look)
}

fn counts_by_severity(summary: &MailSummary) -> Vec<(String, u64)> {
    let severities = summary.severities.iter();
    let counts = severities.map(|AlertsOfSeverity { severity, count }| {
        (labels::severity(*severity).unwrap_or_default(), *count)
    });
    counts.collect()
}

fn counts_by_appliance(summary: &MailSummary) -> Vec<(String, u64)> {
    let appliances = summary.appliances.iter();
    let counts =
        appliances.map(|AlertsOfAppliance { appliance, count }| (appliance.clone(), *count));
    counts.collect()
}

/// `db1 57, db2 3`.
fn join_counts(counts: &[(String, u64)]) -> String {
    counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

/// `2026-11-20 14:02:10 error db1 start_failed: start of db1 failed (record 7, alert 3, class db)`.
fn describe_notice(notice: &MailNotice, look: &OutputOptions) -> String {
    let at = look.format_time(&notice.at);
    let severity = labels::severity(notice.severity).unwrap_or_default();
    let appliance = subject::format(&notice.appliance);
    let mut notes = vec![format!("record {}", notice.record_number)];
    if notice.alert_id > 0 {
        notes.push(format!("alert {}", notice.alert_id));
    }
    if !notice.class.is_empty() {
        notes.push(format!("class {}", notice.class));
    }
    if notice.open_since.is_some() {
        notes.push(format!("open since {}", look.format_time(&notice.open_since)));
    }
    if notice.count > 0 {
        notes.push(format!("reported {} in all", format_count(notice.count, "time")));
    }
    if notice.repeats > 0 {
        notes.push(format!("repeated {} times since the last mail", notice.repeats));
    }
    notes.extend(notice.acknowledged.then(|| "acknowledged".to_owned()));
    notes.extend(notice.resolved.then(|| "resolved".to_owned()));
    let MailNotice { kind, text, .. } = notice;
    format!("{at} {severity} {appliance} {kind}: {text} ({})", notes.join(", "))
}

/// `error db1 start_failed`.
fn describe_brief(brief: &MailBrief) -> String {
    let severity = labels::severity(brief.severity).unwrap_or_default();
    let appliance = if brief.appliance.is_empty() { "-" } else { &brief.appliance };
    let over = if brief.resolved { " (resolved)" } else { "" };
    format!("{severity} {appliance} {}{over}", brief.kind)
}

fn brief_fields(brief: &MailBrief) -> ObjectValue {
    let MailBrief { appliance, kind, severity, resolved, alert_id, class } = brief;
    ObjectValue::Object(Some(vec![
        ("appliance", appliance.into()),
        ("kind", kind.into()),
        ("severity", labels::severity(*severity).into()),
        ("resolved", (*resolved).into()),
        ("alert_id", (*alert_id).into()),
        ("class", class.into()),
    ]))
}

fn object(mail: &Mail) -> OutputObject {
    let Mail {
        number,
        recipient,
        state,
        queued_since,
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
        ("state", labels::mail_state(*state).into()),
        ("queued_since", queued_since.into()),
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
    OutputObject { kind: "mail", name: number.to_string(), fields }
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
        ("appliances", list("appliance", counts_by_appliance(summary))),
        ("severities", list("severity", counts_by_severity(summary))),
    ]
}

fn notice_fields(notice: &MailNotice) -> ObjectValue {
    let MailNotice {
        appliance,
        kind,
        severity,
        at,
        text,
        record_number,
        resolved,
        repeats: again,
        alert_id,
        class,
        open_since,
        count,
        acknowledged,
    } = notice;
    ObjectValue::Object(Some(vec![
        ("appliance", appliance.into()),
        ("kind", kind.into()),
        ("severity", labels::severity(*severity).into()),
        ("at", at.into()),
        ("text", text.into()),
        ("record_number", (*record_number).into()),
        ("resolved", (*resolved).into()),
        ("repeats", (*again).into()),
        ("alert_id", (*alert_id).into()),
        ("class", class.into()),
        ("open_since", open_since.into()),
        ("count", (*count).into()),
        ("acknowledged", (*acknowledged).into()),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_the_beginning_of_untrusted_text() {
        let hostile = "\u{1b}[2J".repeat(200);
        let long = || "ä".repeat(1_000);
        let text = format!("{hostile}{}", long());
        let notices = vec![MailNotice { text, ..MailNotice::default() }];
        let mail = Mail { last_reply: long(), notices, more_notices: 2, ..Mail::default() };
        let shown = escape(&describe_mail(&mail)).into_owned();
        assert!(shown.chars().count() <= 2 * TEXT_CHARS_MAX + 30, "{shown}");
        assert!(shown.starts_with("ää") && shown.ends_with("…, and 2 more"), "{shown}");
        let short = Mail { last_reply: "451 later".to_owned(), ..Mail::default() };
        assert_eq!(describe_mail(&short), "451 later: ");
    }
}
