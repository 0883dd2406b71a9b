//! `gridctl status`: how the broker is.
//!
//! For people `key: value` lines, the open matters last; for machines a form with the contract's
//! keys, always all of them. Judges nothing.

use std::io::Write;

use grid_broker::contract::proto::{GetStatusRequest, GetStatusResponse, StateCount};
use grid_broker::show::labels;
use grid_broker::show::size::format_bytes;

use crate::appliance_view::pair_lines;
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{FieldObject, ObjectValue};
use crate::output::{ListWriter, OutputOptions, View};
use crate::table::Style;

/// Shows how the broker is.
pub(crate) async fn show(
    broker: &Connection,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let status = asked(broker).await?;
    if look.format.is_for_people() {
        for line in lines(&status, &broker.address, look) {
            writeln!(out, "{line}")?;
        }
        return Ok(out.flush()?);
    }
    let shape = View { columns: &[], cells: |_, _| Vec::new(), object: form };
    Ok(ListWriter::one(out, look, shape, &status)?)
}

/// The broker's own words of how it is.
pub(crate) async fn asked(broker: &Connection) -> Result<GetStatusResponse, CliError> {
    let answer = broker.broker_service().get_status(broker.unary(GetStatusRequest {})).await?;
    Ok(answer.into_inner())
}

/// Shows which records there are, and what room they take.
pub(crate) async fn show_journal(
    broker: &Connection,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let status = asked(broker).await?;
    if look.format.is_for_people() {
        let pairs = [
            ("journal", status.journal_id.clone()),
            ("records", records(&status)),
            ("size", format_bytes(status.journal_bytes)),
            ("disk free", format_bytes(status.disk_free_bytes)),
            ("growth", growth(&status)),
            ("disk lasts", disk_lasts(&status)),
            ("starts", status.term.to_string()),
        ];
        for line in pair_lines(&pairs, |_| Style::None, look) {
            writeln!(out, "{line}")?;
        }
        return Ok(out.flush()?);
    }
    let form = |status: &GetStatusResponse| {
        let of_journal = |(key, _): &(&str, ObjectValue)| JOURNAL.contains(key);
        let fields = form(status).fields.into_iter().filter(of_journal).collect();
        FieldObject { entity: "journal", name: status.journal_id.clone(), fields }
    };
    let shape = View { columns: &[], cells: |_, _| Vec::new(), object: form };
    Ok(ListWriter::one(out, look, shape, &status)?)
}

/// What of the status is of the journal.
const JOURNAL: [&str; 12] = [
    "journal_id",
    "term",
    "first_record",
    "last_record",
    "archived_through",
    "journal_bytes",
    "disk_free_bytes",
    "growth_bytes_per_day",
    "growth_measured_s",
    "retention_bytes",
    "low_water_bytes",
    "disk_lasts_s",
];

fn records(status: &GetStatusResponse) -> String {
    match (status.first_record, status.last_record) {
        (_, 0) => "none".to_owned(),
        (first, last) => format!("{first} to {last}, archived to {}", status.archived_through),
    }
}

fn lines(status: &GetStatusResponse, address: &str, look: &OutputOptions) -> Vec<String> {
    let counts = status.appliances.iter().filter(|it| it.count > 0).map(|it| {
        format!("{} {}", it.count, labels::state(it.state).unwrap_or_else(|| "unknown".to_owned()))
    });
    let appliances = counts.collect::<Vec<_>>().join(", ");
    let mut pairs = vec![
        ("broker", format!("gridd {} at {address}", status.version)),
        ("trusts", status.trust.clone()),
        (
            "started",
            format!("{} (start {} on this journal)", look.time(&status.started_at), status.term),
        ),
        ("its clock", look.time(&status.server_time)),
        ("appliances", if appliances.is_empty() { "none".to_owned() } else { appliances }),
        ("sessions", status.sessions.to_string()),
        ("mail", mail(status, look)),
        ("records", records(status)),
        ("journal", format!("{} of {}", format_bytes(status.journal_bytes), status.journal_id)),
        ("disk free", format_bytes(status.disk_free_bytes)),
        ("growth", growth(status)),
        ("disk lasts", disk_lasts(status)),
        ("broker id", status.broker_id.clone()),
    ];
    if status.open_alerts.is_empty() {
        pairs.push(("open alerts", "none".to_owned()));
    }
    pairs.extend(status.open_alerts.iter().map(|alert| ("open alert", alert.clone())));
    let light = |key: &str| if key == "open alert" { Style::Red } else { Style::None };
    pair_lines(&pairs, light, look)
}

/// How fast the journal grows: `1.2 GiB a day, measured over 24h`.
fn growth(status: &GetStatusResponse) -> String {
    let Some(bytes_per_day) = status.growth_bytes_per_day else {
        return "not known yet; ten minutes are measured first".to_owned();
    };
    let measured = roughly(status.growth_measured_s);
    format!("{} a day, measured over {measured}", format_bytes(bytes_per_day))
}

/// How long the disk lasts at that rate.
fn disk_lasts(status: &GetStatusResponse) -> String {
    match (status.growth_bytes_per_day, status.disk_lasts_s) {
        (None, _) => "not known yet".to_owned(),
        (Some(0), None) => "for good: nothing grows".to_owned(),
        (Some(_), None) => {
            format!(
                "for good: retention keeps the journal below {}",
                format_bytes(status.retention_bytes)
            )
        }
        (Some(_), Some(seconds)) => {
            let lasts = roughly(seconds);
            let mark = format_bytes(status.low_water_bytes);
            format!("{lasts} at that rate; with less than {mark} free no events are taken")
        }
    }
}

/// A time of so many seconds in its largest unit of which there are two or more.
fn roughly(seconds: u64) -> String {
    let unit = [(86_400, "d"), (3_600, "h")].into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, word) = unit.unwrap_or((60, "min"));
    format!("{} {word}", seconds / unit)
}

/// How mail stands: `3 owed since 14:02:10, 1 given up`.
fn mail(status: &GetStatusResponse, look: &OutputOptions) -> String {
    let mut parts = Vec::new();
    if status.mail_recipients == 0 {
        parts.push("not configured".to_owned());
    }
    if status.mails_owed > 0 {
        let since = look.time(&status.mails_owed_since);
        parts.push(format!("{} owed, the oldest since {since}", status.mails_owed));
    }
    if status.mails_failed > 0 {
        parts.push(format!("{} given up", status.mails_failed));
    }
    if parts.is_empty() { "none owed".to_owned() } else { parts.join(", ") }
}

fn form(status: &GetStatusResponse) -> FieldObject {
    let GetStatusResponse {
        version,
        broker_id,
        journal_id,
        term,
        started_at,
        server_time,
        first_record,
        last_record,
        archived_through,
        journal_bytes,
        disk_free_bytes,
        sessions,
        appliances,
        open_alerts,
        trust,
        mail_recipients,
        mails_owed,
        mails_owed_since,
        mails_failed,
        growth_bytes_per_day,
        growth_measured_s,
        retention_bytes,
        low_water_bytes,
        disk_lasts_s,
    } = status;
    let count = |it: &StateCount| {
        let StateCount { state, count } = it;
        ObjectValue::Object(Some(vec![
            ("state", labels::state(*state).into()),
            ("count", (*count).into()),
        ]))
    };
    let fields = vec![
        ("version", version.into()),
        ("broker_id", broker_id.into()),
        ("journal_id", journal_id.into()),
        ("term", (*term).into()),
        ("started_at", started_at.into()),
        ("server_time", server_time.into()),
        ("first_record", (*first_record).into()),
        ("last_record", (*last_record).into()),
        ("archived_through", (*archived_through).into()),
        ("journal_bytes", (*journal_bytes).into()),
        ("disk_free_bytes", (*disk_free_bytes).into()),
        ("sessions", (*sessions).into()),
        ("appliances", ObjectValue::List(appliances.iter().map(count).collect())),
        ("open_alerts", open_alerts.into()),
        ("trust", trust.into()),
        ("mail_recipients", (*mail_recipients).into()),
        ("mails_owed", (*mails_owed).into()),
        ("mails_owed_since", mails_owed_since.into()),
        ("mails_failed", (*mails_failed).into()),
        ("growth_bytes_per_day", growth_bytes_per_day.map_or(ObjectValue::Null, ObjectValue::from)),
        ("growth_measured_s", (*growth_measured_s).into()),
        ("retention_bytes", (*retention_bytes).into()),
        ("low_water_bytes", (*low_water_bytes).into()),
        ("disk_lasts_s", disk_lasts_s.map_or(ObjectValue::Null, ObjectValue::from)),
    ];
    FieldObject { entity: "broker", name: broker_id.clone(), fields }
}

#[cfg(test)]
mod tests {
    use grid_broker::contract::proto::ApplianceState;

    use super::*;
    use crate::{json, udl};

    fn status() -> GetStatusResponse {
        GetStatusResponse {
            version: "0.1.0".to_owned(),
            broker_id: "b1".to_owned(),
            journal_id: "j1".to_owned(),
            term: 3,
            last_record: 90,
            first_record: 1,
            archived_through: 64,
            journal_bytes: 1_610_612_736,
            disk_free_bytes: 1023,
            appliances: vec![
                StateCount { state: ApplianceState::Running as i32, count: 2 },
                StateCount { state: ApplianceState::Failed as i32, count: 0 },
            ],
            open_alerts: vec!["db1 hung".to_owned()],
            trust: "everyone on loopback".to_owned(),
            started_at: Some(prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 }),
            ..GetStatusResponse::default()
        }
    }

    #[test]
    fn people_read_lines() {
        let look = OutputOptions::plain();
        let expected = [
            "broker:     gridd 0.1.0 at localhost:7443",
            "trusts:     everyone on loopback",
            "started:    2026-11-20 14:02:10Z (start 3 on this journal)",
            "appliances: 2 running",
            "sessions:   0",
            "mail:       not configured",
            "records:    1 to 90, archived to 64",
            "journal:    1.5 GiB of j1",
            "disk free:  1023 bytes",
            "growth:     not known yet; ten minutes are measured first",
            "disk lasts: not known yet",
            "broker id:  b1",
            "open alert: db1 hung",
        ];
        assert_eq!(lines(&status(), "localhost:7443", &look), expected);
    }

    #[test]
    fn mail_is_told_only_as_far_as_there_is_something_to_tell() {
        let look = OutputOptions::plain();
        let since = prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 };
        let configured = GetStatusResponse { mail_recipients: 2, ..status() };
        assert_eq!(mail(&configured, &look), "none owed");
        let owing = GetStatusResponse {
            mails_owed: 3,
            mails_owed_since: Some(since),
            mails_failed: 1,
            ..configured
        };
        let told = "3 owed, the oldest since 2026-11-20 14:02:10Z, 1 given up";
        assert_eq!(mail(&owing, &look), told);
        let no_more = GetStatusResponse { mail_recipients: 0, ..owing };
        assert_eq!(mail(&no_more, &look), format!("not configured, {told}"));
    }

    #[test]
    fn growth_is_told_with_how_long_the_disk_lasts_or_why_it_does() {
        let measured = GetStatusResponse {
            growth_bytes_per_day: Some(3 << 30),
            growth_measured_s: 86_400,
            retention_bytes: 10 << 30,
            low_water_bytes: 256 << 20,
            disk_lasts_s: Some(5 * 86_400 + 7_200),
            ..status()
        };
        assert_eq!(growth(&measured), "3.0 GiB a day, measured over 24 h");
        let told = "5 d at that rate; with less than 256.0 MiB free no events are taken";
        assert_eq!(disk_lasts(&measured), told);
        let soon = GetStatusResponse { disk_lasts_s: Some(1_900), ..measured.clone() };
        assert!(disk_lasts(&soon).starts_with("31 min at that rate"), "{}", disk_lasts(&soon));
        let kept = GetStatusResponse { disk_lasts_s: None, ..measured };
        assert_eq!(disk_lasts(&kept), "for good: retention keeps the journal below 10.0 GiB");
        let quiet = GetStatusResponse { growth_bytes_per_day: Some(0), ..kept };
        assert_eq!(disk_lasts(&quiet), "for good: nothing grows");
    }

    #[test]
    fn machines_read_the_contracts_keys() {
        let form = form(&status());
        assert_eq!(
            json::object(&form).unwrap(),
            concat!(
                r#"{"version":"0.1.0","broker_id":"b1","journal_id":"j1","term":3,"#,
                r#""started_at":"2026-11-20T14:02:10Z","server_time":null,"first_record":1,"#,
                r#""last_record":90,"archived_through":64,"journal_bytes":1610612736,"#,
                r#""disk_free_bytes":1023,"sessions":0,"appliances":["#,
                r#"{"state":"running","count":2},{"state":"failed","count":0}],"#,
                r#""open_alerts":["db1 hung"],"trust":"everyone on loopback","mail_recipients":0,"#,
                r#""mails_owed":0,"mails_owed_since":null,"mails_failed":0,"#,
                r#""growth_bytes_per_day":null,"growth_measured_s":0,"retention_bytes":0,"#,
                r#""low_water_bytes":0,"disk_lasts_s":null}"#
            )
        );
        assert!(udl::entity(&form).contains("\n  appliances.1.state = running\n"));
    }
}
