//! Resolves names of appliances: a full name, the end of one, or a pattern.
//!
//! Guarantees that the end of a name resolves to exactly one appliance, never to the first of
//! several, and that a command that changes something prints the full names. A full name always
//! means itself. Does not know what is done with the appliances.

use tonic::Code;

use grid_broker::client::ClientError;
use grid_broker::contract::proto::{
    Appliance, ApplianceFilter, GetApplianceRequest, ListAppliancesRequest,
};

use crate::connection::Connection;
use crate::error::CliError;
use crate::output::OutputOptions;

/// Largest page that the broker returns.
const PAGE_SIZE: u32 = 1000;

/// Maximum number of names in an error or a note.
pub(crate) const NAMES_LISTED_MAX: usize = 10;

/// Whether the name is a pattern.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

/// The patterns that match a full name or the end of one.
pub(crate) fn suffix_patterns(name: &str) -> [String; 3] {
    [name.to_owned(), format!("*:{name}"), format!("*.{name}")]
}

/// Whether `typed` is the full name or the end of it.
pub(crate) fn is_suffix_of(typed: &str, name: &str) -> bool {
    name.strip_suffix(typed).is_some_and(|before| before.is_empty() || before.ends_with([':', '.']))
}

/// Splits `db1,db2` at commas, but not within a pattern such as `{a,b}` or `[,]`.
pub(crate) fn split_at_commas(names: &[String]) -> Vec<String> {
    let mut parts = Vec::new();
    for name in names {
        let (mut depth, mut from) = (0_usize, 0);
        for (at, c) in name.char_indices() {
            match c {
                '{' | '[' => depth += 1,
                '}' | ']' => depth = depth.saturating_sub(1),
                ',' if depth == 0 => {
                    parts.push(name[from..at].to_owned());
                    from = at + 1;
                }
                _ => {}
            }
        }
        parts.push(name[from..].to_owned());
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Lists all appliances that match the filter.
pub(crate) async fn list_all(
    broker: &Connection,
    filter: ApplianceFilter,
) -> Result<Vec<Appliance>, CliError> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListAppliancesRequest { filter, page_size: PAGE_SIZE, page_token };
        let reply = broker.appliances().list_appliances(broker.unary(request)).await?;
        let page = reply.into_inner();
        found.extend(page.appliances);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

/// Lists the names that match these patterns.
async fn matching_names(broker: &Connection, names: Vec<String>) -> Result<Vec<String>, CliError> {
    let filter = ApplianceFilter { names, ..ApplianceFilter::default() };
    Ok(list_all(broker, filter).await?.into_iter().map(|appliance| appliance.name).collect())
}

/// Resolves a name to the full name of one appliance.
///
/// # Errors
///
/// If none or several match; the error lists similar or matching names.
pub(crate) async fn resolve(broker: &Connection, name: &str) -> Result<String, CliError> {
    let request = GetApplianceRequest { name: name.to_owned() };
    match broker.appliances().get_appliance(broker.unary(request)).await {
        Ok(_) => Ok(name.to_owned()),
        Err(status) if status.code() == Code::NotFound => {
            resolve_suffix(broker, name, status).await
        }
        Err(status) => Err(status.into()),
    }
}

/// Resolves a name that is not a full name.
pub(crate) async fn resolve_suffix(
    broker: &Connection,
    name: &str,
    unknown: tonic::Status,
) -> Result<String, CliError> {
    if is_pattern(name) {
        return Err(unknown.into());
    }
    // Checked again here, so that nothing else is ever changed, whatever the broker matched.
    let mut found = matching_names(broker, suffix_patterns(name).to_vec()).await?;
    found.retain(|it| is_suffix_of(name, it));
    match found.len() {
        0 => {
            let mut near = matching_names(broker, vec![format!("*{name}*")]).await?;
            near.retain(|it| it.contains(name));
            if near.is_empty() {
                return Err(unknown.into());
            }
            Err(CliError::NoAppliance { name: name.to_owned(), near })
        }
        1 => Ok(found.remove(0)),
        _ => Err(CliError::Ambiguous { name: name.to_owned(), candidates: found }),
    }
}

/// Resolves a list of names; patterns stay unchanged.
pub(crate) async fn resolve_patterns(
    broker: &Connection,
    names: &[String],
) -> Result<Vec<String>, CliError> {
    let mut patterns = Vec::new();
    for name in split_at_commas(names) {
        let resolved = if is_pattern(&name) { name } else { resolve(broker, &name).await? };
        patterns.push(resolved);
    }
    Ok(patterns)
}

/// The appliances that a command changes.
#[derive(Debug)]
pub(crate) struct ActionTargets {
    /// Their names, each once. Names that are not patterns are as typed: they may be ends of names.
    pub(crate) names: Vec<String>,
    /// Exactly one was named, without a pattern.
    pub(crate) is_single: bool,
}

/// Finds the appliances to change, and prints what each pattern matches.
pub(crate) async fn resolve_targets(
    broker: &Connection,
    typed: &[String],
    suppressed: bool,
    look: &OutputOptions,
) -> Result<ActionTargets, CliError> {
    let typed = split_at_commas(typed);
    let is_one = matches!(typed.as_slice(), [one] if !is_pattern(one));
    let mut names = Vec::new();
    for name in typed {
        if !is_pattern(&name) {
            names.push(name);
            continue;
        }
        let filter =
            ApplianceFilter { names: vec![name.clone()], suppressed, ..ApplianceFilter::default() };
        let found = list_all(broker, filter).await?.into_iter().map(|appliance| appliance.name);
        let found: Vec<String> = found.collect();
        if found.is_empty() {
            return Err(CliError::NoMatch { pattern: name });
        }
        look.note(&format!("{name} matches {}", count_and_names(&found)));
        names.extend(found);
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(ActionTargets { names, is_single: is_one })
}

/// Calls `act` with a name; if it is unknown, with the full name that ends in it, which is printed.
pub(crate) async fn call_with_name<T>(
    broker: &Connection,
    name: &str,
    look: &OutputOptions,
    mut act: impl AsyncFnMut(String) -> Result<T, tonic::Status>,
) -> Result<(String, T), CliError> {
    match act(name.to_owned()).await {
        Ok(done) => Ok((name.to_owned(), done)),
        Err(status) if status.code() == Code::NotFound => {
            let whole = resolve_suffix(broker, name, status).await?;
            let done = act(whole.clone()).await.map_err(ClientError::from)?;
            look.note(&format!("{name} is {whole}"));
            Ok((whole, done))
        }
        Err(status) => Err(status.into()),
    }
}

/// `3 appliances: a, b and c`.
fn count_and_names(names: &[String]) -> String {
    let count = grid_broker::show::count::format_count(names.len() as u64, "appliance");
    format!("{count}: {}", summarize(names))
}

/// The first names, and how many more there are.
pub(crate) fn summarize(names: &[String]) -> String {
    let shown =
        names.iter().take(NAMES_LISTED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_LISTED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_names_but_not_within_a_pattern() {
        let split = |text: &str| split_at_commas(&[text.to_owned()]).join(" | ");
        for (typed, names) in [
            ("db1", "db1"),
            ("db1,db2", "db1 | db2"),
            ("db1,,db2,", "db1 | db2"),
            ("shop:{a,b}*,db1", "shop:{a,b}* | db1"),
            ("db[1,2]", "db[1,2]"),
            ("db}1,2", "db}1 | 2"),
        ] {
            assert_eq!(split(typed), names, "{typed}");
        }
    }

    #[test]
    fn long_lists_of_names_are_truncated_and_counted() {
        let names: Vec<String> = (1..=12).map(|number| format!("db{number}")).collect();
        assert_eq!(summarize(&names[..2]), "db1, db2");
        assert!(summarize(&names).ends_with("db10 and 2 more"));
        assert_eq!(count_and_names(&names[..1]), "1 appliance: db1");
    }
}
