//! `gridctl key list`: enrolled keys, the ends of their certificates, and what needs attention.
//!
//! Guarantees that revoked names without a key are listed too. Decides nothing: the broker does.

use std::io::Write;

use grid_broker::contract::proto::{KeyInfo, ListKeysRequest, PrincipalKind};
use grid_broker::show::labels;

use crate::args::{KeyCommand, KeyList};
use crate::attention::Attention;
use crate::connection::Connection;
use crate::error::CliError;
use crate::fields::{ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::{CellStyle, Column, TableCell};
use crate::time_arg;

/// Runs the command.
pub(crate) async fn run(
    broker: &Connection,
    command: &KeyCommand,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        KeyCommand::List(arguments) => list(broker, arguments, look, out).await,
    }
}

async fn list(
    broker: &Connection,
    arguments: &KeyList,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let reply = broker.identity().list_keys(broker.unary(ListKeysRequest {})).await?.into_inner();
    let mut rows = rows(reply.keys, reply.revoked, time_arg::now());
    if arguments.attention {
        rows.retain(|row| row.attention.is_some());
    }
    let mut listing = ListWriter::new(out, look, view());
    listing.add(&rows)?;
    let nothing = if arguments.attention {
        "no key needs attention"
    } else {
        "no keys are enrolled; `gridctl appliance enrol` creates a token for it"
    };
    Ok(listing.finish(nothing)?)
}

/// A key, or a revoked name without one.
#[derive(Clone, Debug, Default)]
struct KeyRow {
    info: KeyInfo,
    attention: Option<Attention>,
}

/// The keys and the revoked names, by name.
fn rows(keys: Vec<KeyInfo>, revoked: Vec<String>, now: jiff::Timestamp) -> Vec<KeyRow> {
    let time = |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(time_arg::from_proto);
    let keys = keys.into_iter().map(|info| {
        let attention = Attention::of(time(&info.issued_at), time(&info.expires_at), now);
        KeyRow { info, attention }
    });
    let revoked = revoked.into_iter().map(|name| {
        let kind = PrincipalKind::Appliance.into();
        let info = KeyInfo { kind, name, ..KeyInfo::default() };
        KeyRow { info, attention: Some(Attention::Revoked) }
    });
    let mut rows: Vec<KeyRow> = keys.chain(revoked).collect();
    rows.sort_by(|a, b| a.info.name.cmp(&b.info.name));
    rows
}

fn view() -> ItemView<KeyRow> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

/// So many digits of a key distinguish it on a screen.
const KEY_DIGITS: usize = 16;

const COLUMNS: &[Column] = &[
    Column { title: "name", width_min: 12, is_right_aligned: false, drop_priority: 0 },
    Column { title: "kind", width_min: 9, is_right_aligned: false, drop_priority: 3 },
    Column { title: "key", width_min: KEY_DIGITS, is_right_aligned: false, drop_priority: 2 },
    Column { title: "enrolled {zone}", width_min: 14, is_right_aligned: false, drop_priority: 4 },
    Column { title: "issued {zone}", width_min: 14, is_right_aligned: false, drop_priority: 5 },
    Column { title: "ends {zone}", width_min: 14, is_right_aligned: false, drop_priority: 1 },
    Column { title: "attention", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn cells(row: &KeyRow, look: &OutputOptions) -> Vec<TableCell> {
    let KeyRow { info, attention } = row;
    let text = attention.map_or_else(String::new, Attention::text);
    let digits: String = info.key.chars().take(KEY_DIGITS).collect();
    vec![
        TableCell::new(&info.name),
        TableCell::new(&labels::principal_kind(info.kind).unwrap_or_default()),
        TableCell::new(&digits),
        TableCell::new(&look.format_column_time(&info.enrolled_at)),
        TableCell::new(&look.format_column_time(&info.issued_at)),
        TableCell::new(&look.format_column_time(&info.expires_at)),
        TableCell::styled(&text, attention.map_or(CellStyle::None, Attention::style)),
    ]
}

fn object(row: &KeyRow) -> OutputObject {
    let KeyInfo { kind, name, key, serial, enrolled_at, issued_at, expires_at, token_id } =
        &row.info;
    let attention = match row.attention {
        None => ObjectValue::Null,
        Some(Attention::EndsIn(_)) => "ends_soon".into(),
        Some(Attention::Ended(_)) => "ended".into(),
        Some(Attention::Revoked) => "revoked".into(),
    };
    let fields = vec![
        ("kind", labels::principal_kind(*kind).into()),
        ("name", name.into()),
        ("key", key.into()),
        ("serial", serial.into()),
        ("enrolled_at", enrolled_at.into()),
        ("issued_at", issued_at.into()),
        ("expires_at", expires_at.into()),
        ("token_id", token_id.into()),
        ("attention", attention),
    ];
    OutputObject { kind: "key", name: name.clone(), fields }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn revoked_names_are_rows_between_the_keys() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let key = |name: &str, ends| KeyInfo {
            kind: PrincipalKind::Appliance.into(),
            name: name.to_owned(),
            key: "ab".repeat(32),
            issued_at: at(0),
            expires_at: at(ends),
            ..KeyInfo::default()
        };
        let keys = vec![key("db1", 100), key("db3", 600), key("db4", 50)];
        let now = jiff::Timestamp::from_second(90).unwrap();
        let rows = rows(keys, vec!["db2".to_owned()], now);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row.info.name.as_str(), row.attention.map(Attention::text)))
            .collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown,
            [
                ("db1", text("ends in 10 s")),
                ("db2", text("revoked")),
                ("db3", None),
                ("db4", text("ended 40 s ago"))
            ]
        );
        assert_eq!(
            json::object(&object(&rows[1])).unwrap(),
            concat!(
                r#"{"kind":"appliance","name":"db2","key":"","serial":"","enrolled_at":null,"#,
                r#""issued_at":null,"expires_at":null,"token_id":"","attention":"revoked"}"#
            )
        );
        let cells = cells(&rows[0], &OutputOptions::plain());
        let cells: Vec<String> = cells.iter().map(|cell| cell.render(false)).collect();
        assert_eq!(cells[2], "ab".repeat(8), "the beginning of the key");
        assert_eq!(cells[6], "ends in 10 s");
    }
}
