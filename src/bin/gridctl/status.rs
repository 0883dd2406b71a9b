//! `gridctl status`: shows the state of the broker.
//!
//! Prints `key: value` lines with the open alerts last. Guarantees the contract's keys in the
//! object of machine-readable formats, always all of them. Does not evaluate the state.

use std::io::Write;

use grid_broker::contract::proto::{GetStatusRequest, GetStatusResponse, StateCount};
use grid_broker::grid::values::size::describe_bytes;
use grid_broker::show::count::format_count;
use grid_broker::show::labels;

use crate::appliance_view::pair_lines;
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::CellStyle;

/// Shows the state of the broker.
pub(crate) async fn show(
    broker: &Connection,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let status = get_status(broker).await?;
    if look.format.is_human_readable() {
        for line in lines(&status, &broker.address, look) {
            writeln!(out, "{line}")?;
        }
        return Ok(out.flush()?);
    }
    let shape = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: object };
    Ok(ListWriter::write_one(out, look, shape, &status)?)
}

/// Fetches the state of the broker.
pub(crate) async fn get_status(broker: &Connection) -> Result<GetStatusResponse, CliError> {
    let reply = broker.broker_service().get_status(broker.unary(GetStatusRequest {})).await?;
    Ok(reply.into_inner())
}

/// Shows the range of records, and the disk space they use.
pub(crate) async fn show_journal(
    broker: &Connection,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let status = get_status(broker).await?;
    if look.format.is_human_readable() {
        let pairs = [
            ("journal", status.journal_id.clone()),
            ("records", describe_records(&status)),
            ("size", describe_bytes(status.journal_bytes)),
            ("disk free", describe_bytes(status.disk_free_bytes)),
            ("growth", describe_growth(&status)),
            ("disk lasts", describe_disk_lasts(&status)),
            ("starts", status.term.to_string()),
        ];
        for line in pair_lines(&pairs, |_| CellStyle::None, look) {
            writeln!(out, "{line}")?;
        }
        return Ok(out.flush()?);
    }
    let to_object = |status: &GetStatusResponse| {
        let of_journal = |(key, _): &(&str, ObjectValue)| JOURNAL_KEYS.contains(key);
        let fields = object(status).fields.into_iter().filter(of_journal).collect();
        OutputObject { kind: "journal", name: status.journal_id.clone(), fields }
    };
    let shape = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object };
    Ok(ListWriter::write_one(out, look, shape, &status)?)
}

/// The keys of the status that concern the journal.
const JOURNAL_KEYS: [&str; 13] = [
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
    "archive_bytes",
];

fn describe_records(status: &GetStatusResponse) -> String {
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
            format!(
                "{} (start {} on this journal)",
                look.format_time(&status.started_at),
                status.term
            ),
        ),
        ("clock", look.format_time(&status.server_time)),
        ("appliances", if appliances.is_empty() { "none".to_owned() } else { appliances }),
        ("sessions", status.sessions.to_string()),
        ("mail", describe_mail(status, look)),
        ("records", describe_records(status)),
        ("journal", format!("{} of {}", describe_bytes(status.journal_bytes), status.journal_id)),
        ("disk free", describe_bytes(status.disk_free_bytes)),
        ("growth", describe_growth(status)),
        ("disk lasts", describe_disk_lasts(status)),
        ("broker id", status.broker_id.clone()),
    ];
    if status.benchmark {
        pairs.push(("benchmark", "load tests may use this broker: never in production".to_owned()));
    }
    if status.open_alerts.is_empty() {
        pairs.push(("open alerts", "none".to_owned()));
    }
    pairs.extend(status.open_alerts.iter().map(|alert| ("open alert", alert.clone())));
    let muted =
        [(status.acknowledged_alerts, "acknowledged"), (status.silenced_alerts, "silenced")];
    for (count, state) in muted.into_iter().filter(|(count, _)| *count > 0) {
        pairs.push((state, format_count(count, "alert")));
    }
    let light = |key: &str| if key == "open alert" { CellStyle::Red } else { CellStyle::None };
    pair_lines(&pairs, light, look)
}

/// How fast the journal grows: `1.2 GiB a day, measured over 24 h`.
fn describe_growth(status: &GetStatusResponse) -> String {
    let Some(bytes_per_day) = status.growth_bytes_per_day else {
        return "not known yet; it is measured over ten minutes first".to_owned();
    };
    let measured = approximate_duration(status.growth_measured_s);
    format!("{} a day, measured over {measured}", describe_bytes(bytes_per_day))
}

/// How long the disk lasts at that rate.
fn describe_disk_lasts(status: &GetStatusResponse) -> String {
    match (status.growth_bytes_per_day, status.disk_lasts_s) {
        (None, _) => "not known yet".to_owned(),
        (Some(0), None) => "indefinitely: the journal does not grow".to_owned(),
        (Some(_), None) => {
            format!(
                "indefinitely: retention keeps the journal below {}",
                describe_bytes(status.retention_bytes)
            )
        }
        (Some(_), Some(seconds)) => {
            let lasts = approximate_duration(seconds);
            let low_water = describe_bytes(status.low_water_bytes);
            format!("{lasts} at that rate; below {low_water} free, events are rejected")
        }
    }
}

/// A duration in the largest unit of which there are at least two.
fn approximate_duration(seconds: u64) -> String {
    let unit = [(86_400, "d"), (3_600, "h")].into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = unit.unwrap_or((60, "min"));
    format!("{} {name}", seconds / unit)
}

/// The state of mail: `3 queued, the oldest since 14:02:10, 1 failed`.
fn describe_mail(status: &GetStatusResponse, look: &OutputOptions) -> String {
    let mut parts = Vec::new();
    if status.mail_recipients == 0 {
        parts.push("not configured".to_owned());
    }
    if status.mails_queued > 0 {
        let since = look.format_time(&status.mails_queued_since);
        parts.push(format!("{} queued, the oldest since {since}", status.mails_queued));
    }
    if status.mails_failed > 0 {
        parts.push(format!("{} failed", status.mails_failed));
    }
    if parts.is_empty() { "none queued".to_owned() } else { parts.join(", ") }
}

fn optional(value: &Option<u64>) -> ObjectValue {
    value.map_or(ObjectValue::Null, ObjectValue::from)
}

fn state_count(it: &StateCount) -> ObjectValue {
    let StateCount { state, count } = it;
    ObjectValue::Object(Some(vec![
        ("state", labels::state(*state).into()),
        ("count", (*count).into()),
    ]))
}

fn object(status: &GetStatusResponse) -> OutputObject {
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
        mails_queued,
        mails_queued_since,
        mails_failed,
        growth_bytes_per_day,
        growth_measured_s,
        retention_bytes,
        low_water_bytes,
        disk_lasts_s,
        benchmark,
        cpu_time_us,
        resident_bytes,
        written_bytes,
        archive_bytes,
        acknowledged_alerts,
        silenced_alerts,
    } = status;
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
        ("appliances", ObjectValue::List(appliances.iter().map(state_count).collect())),
        ("open_alerts", open_alerts.into()),
        ("trust", trust.into()),
        ("mail_recipients", (*mail_recipients).into()),
        ("mails_queued", (*mails_queued).into()),
        ("mails_queued_since", mails_queued_since.into()),
        ("mails_failed", (*mails_failed).into()),
        ("growth_bytes_per_day", optional(growth_bytes_per_day)),
        ("growth_measured_s", (*growth_measured_s).into()),
        ("retention_bytes", (*retention_bytes).into()),
        ("low_water_bytes", (*low_water_bytes).into()),
        ("disk_lasts_s", optional(disk_lasts_s)),
        ("benchmark", (*benchmark).into()),
        ("cpu_time_us", optional(cpu_time_us)),
        ("resident_bytes", optional(resident_bytes)),
        ("written_bytes", optional(written_bytes)),
        ("archive_bytes", (*archive_bytes).into()),
        ("acknowledged_alerts", (*acknowledged_alerts).into()),
        ("silenced_alerts", (*silenced_alerts).into()),
    ];
    OutputObject { kind: "broker", name: broker_id.clone(), fields }
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
            "growth:     not known yet; it is measured over ten minutes first",
            "disk lasts: not known yet",
            "broker id:  b1",
            "open alert: db1 hung",
        ];
        assert_eq!(lines(&status(), "localhost:7443", &look), expected);
    }

    #[test]
    fn mail_shows_only_what_applies() {
        let look = OutputOptions::plain();
        let since = prost_types::Timestamp { seconds: 1_795_183_330, nanos: 0 };
        let configured = GetStatusResponse { mail_recipients: 2, ..status() };
        assert_eq!(describe_mail(&configured, &look), "none queued");
        let queued = GetStatusResponse {
            mails_queued: 3,
            mails_queued_since: Some(since),
            mails_failed: 1,
            ..configured
        };
        let expected = "3 queued, the oldest since 2026-11-20 14:02:10Z, 1 failed";
        assert_eq!(describe_mail(&queued, &look), expected);
        let no_more = GetStatusResponse { mail_recipients: 0, ..queued };
        assert_eq!(describe_mail(&no_more, &look), format!("not configured, {expected}"));
    }

    #[test]
    fn growth_comes_with_how_long_the_disk_lasts() {
        let measured = GetStatusResponse {
            growth_bytes_per_day: Some(3 << 30),
            growth_measured_s: 86_400,
            retention_bytes: 10 << 30,
            low_water_bytes: 256 << 20,
            disk_lasts_s: Some(5 * 86_400 + 7_200),
            ..status()
        };
        assert_eq!(describe_growth(&measured), "3 GiB a day, measured over 24 h");
        let expected = "5 d at that rate; below 256 MiB free, events are rejected";
        assert_eq!(describe_disk_lasts(&measured), expected);
        let soon = GetStatusResponse { disk_lasts_s: Some(1_900), ..measured.clone() };
        assert!(
            describe_disk_lasts(&soon).starts_with("31 min at that rate"),
            "{}",
            describe_disk_lasts(&soon)
        );
        let retained = GetStatusResponse { disk_lasts_s: None, ..measured };
        assert_eq!(
            describe_disk_lasts(&retained),
            "indefinitely: retention keeps the journal below 10 GiB"
        );
        let quiet = GetStatusResponse { growth_bytes_per_day: Some(0), ..retained };
        assert_eq!(describe_disk_lasts(&quiet), "indefinitely: the journal does not grow");
    }

    #[test]
    fn machines_read_the_contracts_keys() {
        let form = object(&status());
        assert_eq!(
            json::object(&form).unwrap(),
            concat!(
                r#"{"version":"0.1.0","broker_id":"b1","journal_id":"j1","term":3,"#,
                r#""started_at":"2026-11-20T14:02:10Z","server_time":null,"first_record":1,"#,
                r#""last_record":90,"archived_through":64,"journal_bytes":1610612736,"#,
                r#""disk_free_bytes":1023,"sessions":0,"appliances":["#,
                r#"{"state":"running","count":2},{"state":"failed","count":0}],"#,
                r#""open_alerts":["db1 hung"],"trust":"everyone on loopback","mail_recipients":0,"#,
                r#""mails_queued":0,"mails_queued_since":null,"mails_failed":0,"#,
                r#""growth_bytes_per_day":null,"growth_measured_s":0,"retention_bytes":0,"#,
                r#""low_water_bytes":0,"disk_lasts_s":null,"benchmark":false,"cpu_time_us":null,"#,
                r#""resident_bytes":null,"written_bytes":null,"archive_bytes":0,"#,
                r#""acknowledged_alerts":0,"silenced_alerts":0}"#
            )
        );
        assert!(udl::entity(&form).contains("\n  appliances.1.state = running\n"));
    }
}
