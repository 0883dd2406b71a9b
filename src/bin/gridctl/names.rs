//! Which appliances are meant by what was typed: a whole name, the end of one, or a pattern.
//!
//! Guarantees that the end of a name stands for one appliance only, never for the first of several,
//! and that who acts is told the whole names it stood for. A whole name always means itself. Does
//! not know what is done with them.

use tonic::Code;

use grid_broker::client::ClientError;
use grid_broker::contract::proto::{
    Appliance, ApplianceFilter, GetApplianceRequest, ListAppliancesRequest,
};

use crate::connection::Connection;
use crate::error::CliError;
use crate::output::OutputOptions;

/// Largest page the broker gives.
const PAGE: u32 = 1000;

/// Most names that an error or a note lists.
pub(crate) const NAMED_MAX: usize = 10;

/// Whether it stands for what it matches, and not for itself.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

/// The patterns for a whole name or the end of one.
pub(crate) fn ends_in(name: &str) -> [String; 3] {
    [name.to_owned(), format!("*:{name}"), format!("*.{name}")]
}

/// Whether `typed` is a whole name or the end of one.
pub(crate) fn is_end_of(typed: &str, name: &str) -> bool {
    name.strip_suffix(typed).is_some_and(|before| before.is_empty() || before.ends_with([':', '.']))
}

/// Splits `db1,db2` where the comma parts names; that in `{a,b}` or `[,]` is a pattern's.
pub(crate) fn at_commas(names: &[String]) -> Vec<String> {
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

/// All appliances that the filter takes.
pub(crate) async fn all(
    broker: &Connection,
    filter: ApplianceFilter,
) -> Result<Vec<Appliance>, CliError> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let filter = Some(filter.clone());
        let request = ListAppliancesRequest { filter, page_size: PAGE, page_token };
        let answer = broker.appliances().list_appliances(broker.unary(request)).await?;
        let page = answer.into_inner();
        found.extend(page.appliances);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

/// The names that these patterns match.
async fn matching(broker: &Connection, names: Vec<String>) -> Result<Vec<String>, CliError> {
    let filter = ApplianceFilter { names, ..ApplianceFilter::default() };
    Ok(all(broker, filter).await?.into_iter().map(|appliance| appliance.name).collect())
}

/// The whole name of the only appliance that is meant.
///
/// # Errors
///
/// With the names that may be meant, if it is none or several.
pub(crate) async fn whole(broker: &Connection, name: &str) -> Result<String, CliError> {
    let request = GetApplianceRequest { name: name.to_owned() };
    match broker.appliances().get_appliance(broker.unary(request)).await {
        Ok(_) => Ok(name.to_owned()),
        Err(status) if status.code() == Code::NotFound => by_its_end(broker, name, status).await,
        Err(status) => Err(status.into()),
    }
}

/// The same for a name of which the broker knows nothing as it stands.
pub(crate) async fn by_its_end(
    broker: &Connection,
    name: &str,
    unknown: tonic::Status,
) -> Result<String, CliError> {
    if is_pattern(name) {
        return Err(unknown.into());
    }
    // Whatever the broker takes the patterns for: nothing else is ever acted on.
    let mut found = matching(broker, ends_in(name).to_vec()).await?;
    found.retain(|it| is_end_of(name, it));
    match found.len() {
        0 => {
            let mut near = matching(broker, vec![format!("*{name}*")]).await?;
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

/// The same for lists: patterns stay as they are.
pub(crate) async fn patterns(
    broker: &Connection,
    names: &[String],
) -> Result<Vec<String>, CliError> {
    let mut patterns = Vec::new();
    for name in at_commas(names) {
        let meant = if is_pattern(&name) { name } else { whole(broker, &name).await? };
        patterns.push(meant);
    }
    Ok(patterns)
}

/// The appliances that something is to be done with.
#[derive(Debug)]
pub(crate) struct Targets {
    /// Their names, each once. What was no pattern stands as typed: it may be the end of a name.
    pub(crate) names: Vec<String>,
    /// One was named, and no pattern.
    pub(crate) is_one: bool,
}

/// Finds the targets; what a pattern matches is said.
pub(crate) async fn targets(
    broker: &Connection,
    typed: &[String],
    suppressed: bool,
    look: &OutputOptions,
) -> Result<Targets, CliError> {
    let typed = at_commas(typed);
    let is_one = matches!(typed.as_slice(), [one] if !is_pattern(one));
    let mut names = Vec::new();
    for name in typed {
        if !is_pattern(&name) {
            names.push(name);
            continue;
        }
        let filter =
            ApplianceFilter { names: vec![name.clone()], suppressed, ..ApplianceFilter::default() };
        let found = all(broker, filter).await?.into_iter().map(|appliance| appliance.name);
        let found: Vec<String> = found.collect();
        if found.is_empty() {
            return Err(CliError::NoMatch { pattern: name });
        }
        look.note(&format!("{name} matches {}", several(&found)));
        names.extend(found);
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    Ok(Targets { names, is_one })
}

/// Does something with an appliance; if nothing of that name is known, with the one that it is the
/// end of, which is said.
pub(crate) async fn done_with<T>(
    broker: &Connection,
    name: &str,
    look: &OutputOptions,
    mut act: impl AsyncFnMut(String) -> Result<T, tonic::Status>,
) -> Result<(String, T), CliError> {
    match act(name.to_owned()).await {
        Ok(done) => Ok((name.to_owned(), done)),
        Err(status) if status.code() == Code::NotFound => {
            let whole = by_its_end(broker, name, status).await?;
            let done = act(whole.clone()).await.map_err(ClientError::from)?;
            look.note(&format!("{name} is {whole}"));
            Ok((whole, done))
        }
        Err(status) => Err(status.into()),
    }
}

/// `3 appliances: a, b and c`.
fn several(names: &[String]) -> String {
    let count = grid_broker::show::size::format_count(names.len() as u64, "appliance");
    format!("{count}: {}", some(names))
}

/// The first of the names, and how many more there are.
pub(crate) fn some(names: &[String]) -> String {
    let shown = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_names_but_not_within_a_pattern() {
        let split = |text: &str| at_commas(&[text.to_owned()]).join(" | ");
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
    fn long_lists_of_names_are_cut_and_counted() {
        let names: Vec<String> = (1..=12).map(|number| format!("db{number}")).collect();
        assert_eq!(some(&names[..2]), "db1, db2");
        assert!(some(&names).ends_with("db10 and 2 more"));
        assert_eq!(several(&names[..1]), "1 appliance: db1");
    }
}
