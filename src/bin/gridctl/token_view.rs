//! Formats tokens as rows and objects, and prints the text of a new one.
//!
//! Guarantees the contract's keys, and that a new token is printed on stdout in every format: it
//! cannot be shown again. Knows no secret of an older token: the broker does not send it.

use std::io::Write;

use grid_broker::contract::proto::{EnrolmentTerms, TokenInfo, enrolment_terms, token_info};

use crate::args::OutputFormat;
use crate::attention::Attention;
use crate::error::CliError;
use crate::fields::{Fields, ObjectValue, OutputObject};
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::table::{CellStyle, Column, TableCell};
use crate::time_arg;

/// How tokens are listed.
pub(crate) fn view() -> ItemView<TokenInfo> {
    ItemView { columns: COLUMNS, cells, to_object: object }
}

const COLUMNS: &[Column] = &[
    Column { title: "token", width_min: 8, is_right_aligned: false, drop_priority: 0 },
    Column { title: "ends {zone}", width_min: 14, is_right_aligned: false, drop_priority: 0 },
    Column { title: "attention", width_min: 9, is_right_aligned: false, drop_priority: 0 },
    Column { title: "last used", width_min: 10, is_right_aligned: false, drop_priority: 1 },
    Column { title: "created {zone}", width_min: 14, is_right_aligned: false, drop_priority: 2 },
    Column { title: "by", width_min: 6, is_right_aligned: false, drop_priority: 3 },
    Column { title: "for", width_min: 0, is_right_aligned: false, drop_priority: 0 },
];

fn cells(token: &TokenInfo, look: &OutputOptions) -> Vec<TableCell> {
    let attention = attention(token);
    let text = attention.map_or_else(String::new, Attention::text);
    let ends = match token.expires_at {
        None => "never".to_owned(),
        Some(_) => look.format_column_time(&token.expires_at),
    };
    // The broker knows the day only.
    let used = match look.format_time(&token.last_used_at).split_once(' ') {
        Some((day, _)) => day.to_owned(),
        None => "never".to_owned(),
    };
    vec![
        TableCell::new(&token.id),
        TableCell::new(&ends),
        TableCell::styled(&text, attention.map_or(CellStyle::None, Attention::style)),
        TableCell::new(&used),
        TableCell::new(&look.format_column_time(&token.created_at)),
        TableCell::new(&token.created_by),
        TableCell::new(&describe_purpose(token)),
    ]
}

fn attention(token: &TokenInfo) -> Option<Attention> {
    let time = |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(time_arg::from_proto);
    Attention::of(time(&token.created_at), time(&token.expires_at), time_arg::now())
}

/// For whom or what a token is: `appliance db1`, `enrolment of web-* (3 of 50 used)`.
fn describe_purpose(token: &TokenInfo) -> String {
    match &token.subject {
        Some(token_info::Subject::Appliance(name)) => format!("appliance {name}"),
        Some(token_info::Subject::Administrator(name)) => format!("administrator {name}"),
        Some(token_info::Subject::Enrolment(terms)) => describe_terms(terms, token.uses),
        None => String::new(),
    }
}

fn describe_terms(terms: &EnrolmentTerms, uses: u32) -> String {
    use enrolment_terms::Subject;
    let class = match terms.class.as_str() {
        "" => String::new(),
        class => format!(", class {class}"),
    };
    let replace = if terms.replace { ", replaces the key" } else { "" };
    match &terms.subject {
        Some(Subject::NamePattern(pattern)) => {
            format!("enrolment of {pattern} ({uses} of {} used{class})", terms.count)
        }
        Some(Subject::Appliance(name)) => {
            let used = if uses > 0 { "used" } else { "not used" };
            format!("enrolment of appliance {name} ({used}{class}{replace})")
        }
        Some(Subject::Administrator(name)) => {
            let used = if uses > 0 { "used" } else { "not used" };
            format!("enrolment of administrator {name} ({used}{replace})")
        }
        None => "enrolment".to_owned(),
    }
}

fn object(token: &TokenInfo) -> OutputObject {
    OutputObject { kind: "token", name: token.id.clone(), fields: token_fields(token) }
}

fn token_fields(token: &TokenInfo) -> Fields {
    let TokenInfo { id, subject, created_at, created_by, expires_at, last_used_at, uses } = token;
    vec![
        ("id", id.into()),
        ("subject", ObjectValue::Object(subject.as_ref().map(subject_fields))),
        ("created_at", created_at.into()),
        ("created_by", created_by.into()),
        ("expires_at", expires_at.into()),
        ("last_used_at", last_used_at.into()),
        ("uses", (*uses).into()),
    ]
}

fn subject_fields(subject: &token_info::Subject) -> Fields {
    use token_info::Subject;
    let (appliance, administrator, terms) = match subject {
        Subject::Appliance(name) => (Some(name.clone()), None, None),
        Subject::Administrator(name) => (None, Some(name.clone()), None),
        Subject::Enrolment(terms) => (None, None, Some(terms)),
    };
    vec![
        ("appliance", appliance.into()),
        ("administrator", administrator.into()),
        ("enrolment", ObjectValue::Object(terms.map(terms_fields))),
    ]
}

fn terms_fields(terms: &EnrolmentTerms) -> Fields {
    use enrolment_terms::Subject;
    let EnrolmentTerms { subject, class, count, replace } = terms;
    let (appliance, administrator, name_pattern) = match subject {
        Some(Subject::Appliance(name)) => (Some(name.clone()), None, None),
        Some(Subject::Administrator(name)) => (None, Some(name.clone()), None),
        Some(Subject::NamePattern(pattern)) => (None, None, Some(pattern.clone())),
        None => (None, None, None),
    };
    vec![
        ("appliance", appliance.into()),
        ("administrator", administrator.into()),
        ("name_pattern", name_pattern.into()),
        ("class", class.into()),
        ("count", (*count).into()),
        ("replace", (*replace).into()),
    ]
}

/// A new token.
#[derive(Clone, Default)]
pub(crate) struct CreatedToken {
    /// The name of its owner, or the pattern of the names.
    pub(crate) name: String,
    /// The text.
    pub(crate) token: String,
    /// What the broker stores of it.
    pub(crate) info: TokenInfo,
}

impl CreatedToken {
    /// The token of a reply.
    ///
    /// # Errors
    ///
    /// If the reply lacks it.
    pub(crate) fn new(
        name: &str,
        token: String,
        info: Option<TokenInfo>,
    ) -> Result<Self, CliError> {
        if token.is_empty() {
            return Err(CliError::MissingField { field: "token" });
        }
        let info = info.ok_or(CliError::MissingField { field: "info" })?;
        Ok(Self { name: name.to_owned(), token, info })
    }

    /// Until when it is valid, in a sentence.
    pub(crate) fn validity(&self, look: &OutputOptions) -> String {
        match look.format_time(&self.info.expires_at) {
            at if at.is_empty() => "until it is revoked".to_owned(),
            at => format!("until {at}"),
        }
    }
}

/// Prints one new token: for people and with `--quiet` its text alone.
pub(crate) fn write_one(
    created: &CreatedToken,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if look.format.is_human_readable() || look.format == OutputFormat::Name {
        writeln!(out, "{}", TableCell::new(&created.token).render(false))?;
        return Ok(out.flush()?);
    }
    Ok(ListWriter::write_one(out, look, created_view(), created)?)
}

/// Prints several new tokens: for people and with `--quiet` as `NAME TOKEN` lines.
pub(crate) fn write_several(
    created: &[CreatedToken],
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if look.format.is_human_readable() || look.format == OutputFormat::Name {
        for CreatedToken { name, token, .. } in created {
            writeln!(out, "{}", TableCell::new(&format!("{name} {token}")).render(false))?;
        }
        return Ok(out.flush()?);
    }
    let mut listing = ListWriter::new(out, look, created_view());
    listing.add(created)?;
    Ok(listing.finish("")?)
}

fn created_view() -> ItemView<CreatedToken> {
    let form = |created: &CreatedToken| {
        let CreatedToken { name, token, info } = created;
        OutputObject {
            kind: "token",
            name: name.clone(),
            fields: vec![
                ("name", name.into()),
                ("token", token.into()),
                ("info", ObjectValue::Object(Some(token_fields(info)))),
            ],
        }
    };
    ItemView { columns: &[], cells: |_, _| Vec::new(), to_object: form }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn token(subject: token_info::Subject, uses: u32) -> TokenInfo {
        TokenInfo {
            id: "aB3dE6gH".to_owned(),
            subject: Some(subject),
            uses,
            ..TokenInfo::default()
        }
    }

    #[test]
    fn the_json_of_a_token_is_exactly_this() {
        let terms = EnrolmentTerms {
            subject: Some(enrolment_terms::Subject::NamePattern("web-*".to_owned())),
            class: "web".to_owned(),
            count: 50,
            replace: false,
        };
        let enrolment = token(token_info::Subject::Enrolment(terms), 3);
        assert_eq!(describe_purpose(&enrolment), "enrolment of web-* (3 of 50 used, class web)");
        assert_eq!(
            json::object(&object(&enrolment)).unwrap(),
            concat!(
                r#"{"id":"aB3dE6gH","subject":{"appliance":null,"administrator":null,"#,
                r#""enrolment":{"appliance":null,"administrator":null,"name_pattern":"web-*","#,
                r#""class":"web","count":50,"replace":false}},"created_at":null,"created_by":"","#,
                r#""expires_at":null,"last_used_at":null,"uses":3}"#
            )
        );
        let access = token(token_info::Subject::Appliance("db1".to_owned()), 0);
        assert!(
            json::object(&object(&access))
                .unwrap()
                .contains(r#""subject":{"appliance":"db1","administrator":null,"enrolment":null}"#)
        );
        assert_eq!(describe_purpose(&access), "appliance db1");
    }
}
