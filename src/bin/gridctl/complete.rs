//! Completes names of appliances, classes, mails, recipients, contexts, tokens, administrators and crash
//! dumps for shells.
//!
//! Guarantees to end within a second, and that a failure completes nothing and prints nothing,
//! since the user is typing. The generated shell completions call `gridctl complete-names WORD...`,
//! with the words after `gridctl` up to the cursor.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, CommandFactory};

use grid_broker::contract::proto::{
    ApplianceFilter, ListAdministratorsRequest, ListAlertsRequest, ListAppliancesRequest,
    ListCrashDumpsRequest, ListMailsRequest, ListTokensRequest,
};
use grid_broker::grid::values::identity::KeyHash;

use crate::access::BrokerAccess;
use crate::args::{BrokerChoice, GridctlArgs, IdentityChoice, normalize, parse_pin};
use crate::connection::Connection;
use crate::context;
use crate::error::CliError;
use crate::names;
use crate::word_order::positional_indexes;

/// The hidden command that shells call.
pub(crate) const COMMAND: &str = "complete-names";

/// Timeout of a completion.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of names offered.
const NAMES_MAX: u32 = 200;

/// What a completion completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CompletionKind {
    Appliance,
    Class,
    AlertNumber,
    MailNumber,
    Recipient,
    Context,
    Token,
    Administrator,
    CrashDump,
}

/// The parts of a typed line that a completion needs.
#[derive(Debug, Default)]
struct CompletionRequest {
    kind: Option<CompletionKind>,
    broker: Option<String>,
    context: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    pin: Option<KeyHash>,
    /// The first argument, such as an appliance.
    first: Option<String>,
}

/// Prints the names, one per line.
pub(crate) fn run(words: &[OsString], out: &mut dyn Write) {
    let words: Option<Vec<String>> = words.iter().map(|it| Some(it.to_str()?.to_owned())).collect();
    let Some(words) = words else { return };
    let Some((prefix, before)) = words.split_last() else { return };
    let typed = parse_request(before);
    let Some(wanted) = typed.kind.filter(|_| !prefix.starts_with('-')) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let found = runtime.block_on(async {
        let found = tokio::time::timeout(TIMEOUT, find_names(wanted, &typed, prefix)).await;
        found.ok().and_then(Result::ok).unwrap_or_default()
    });
    for name in found {
        if writeln!(out, "{name}").is_err() {
            return;
        }
    }
    let _ = out.flush();
}

/// Finds what is completed after these words.
fn parse_request(before: &[String]) -> CompletionRequest {
    let mut root = GridctlArgs::command();
    root.build();
    let line = std::iter::once("gridctl").chain(before.iter().map(String::as_str));
    let line: Vec<OsString> = line.map(OsString::from).collect();
    if let [group] = positional_indexes(&root, &line)[..]
        && let Some(group) = line[group].to_str().and_then(|it| root.find_subcommand(it))
        && group.has_subcommands()
        && group.get_name() != "log"
    {
        // The user is typing a verb, which the shell completes by itself.
        return CompletionRequest::default();
    }
    let (line, _) = normalize(&root, line);
    let (mut command, mut path, mut positionals) = (&root, Vec::new(), 0);
    let mut typed = CompletionRequest::default();
    let mut line = line.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = line.next() {
        if let Some((flag, value)) = find_flag(command, word) {
            if !takes_value(flag) {
                continue;
            }
            match value.map(ToOwned::to_owned).or_else(|| line.next().map(ToOwned::to_owned)) {
                Some(value) if flag.get_id() == "broker" => typed.broker = Some(value),
                Some(value) if flag.get_id() == "context" => typed.context = Some(value),
                Some(value) if flag.get_id() == "token_file" => {
                    // Stdin belongs to the shell.
                    typed.token_file = Some(value.into()).filter(|path| path != "-");
                }
                Some(value) if flag.get_id() == "ca_file" => typed.ca_file = Some(value.into()),
                Some(value) if flag.get_id() == "pin" => typed.pin = parse_pin(&value),
                Some(_) => {}
                None => {
                    typed.kind = completion_kind(flag, &path);
                    return typed;
                }
            }
        } else if let Some(below) = command.find_subcommand(word) {
            command = below;
            path.push(below.get_name());
        } else {
            positionals += 1;
            typed.first.get_or_insert_with(|| word.to_owned());
        }
    }
    let arguments: Vec<&Arg> = command.get_positionals().collect();
    // The last argument may repeat.
    let several = arguments.last().filter(|arg| matches!(arg.get_action(), ArgAction::Append));
    let next = arguments.get(positionals).or(several);
    typed.kind = next.and_then(|arg| completion_kind(arg, &path));
    typed
}

fn takes_value(flag: &Arg) -> bool {
    // An optional value is never the next word.
    let is_optional = flag.get_num_args().is_some_and(|number| number.min_values() == 0);
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append) && !is_optional
}

fn find_flag<'a, 'w>(command: &'a Command, word: &'w str) -> Option<(&'a Arg, Option<&'w str>)> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let found = command.get_arguments().find(|it| it.get_long() == Some(name))?;
        return Some((found, value));
    }
    let mut letters = word.strip_prefix('-')?.chars();
    let letter = letters.next()?;
    let found = command.get_arguments().find(|it| it.get_short() == Some(letter))?;
    Some((found, Some(letters.as_str()).filter(|rest| !rest.is_empty())))
}

fn completion_kind(arg: &Arg, path: &[&str]) -> Option<CompletionKind> {
    if arg.get_id() == "context" {
        return Some(CompletionKind::Context);
    }
    let name = arg.get_value_names()?.first()?;
    match (name.as_str(), path.first()) {
        ("APPLIANCE", _) => Some(CompletionKind::Appliance),
        ("CLASS", _) => Some(CompletionKind::Class),
        ("ID|APPLIANCE", _) => Some(CompletionKind::Appliance),
        ("ID", Some(&"alert")) => Some(CompletionKind::AlertNumber),
        ("NUMBER", Some(&"mail")) => Some(CompletionKind::MailNumber),
        ("RECIPIENT", _) => Some(CompletionKind::Recipient),
        ("CONTEXT", _) => Some(CompletionKind::Context),
        ("TOKEN", _) => Some(CompletionKind::Token),
        ("REQUEST_ID", _) => Some(CompletionKind::CrashDump),
        ("ADMINISTRATOR", _) => Some(CompletionKind::Administrator),
        _ => None,
    }
}

async fn find_names(
    wanted: CompletionKind,
    typed: &CompletionRequest,
    prefix: &str,
) -> Result<Vec<String>, CliError> {
    if wanted == CompletionKind::Context {
        return Ok(with_prefix(context::context_names(), prefix));
    }
    let access = access_of(typed)?;
    let broker = Connection::connect(&access).await?;
    let all = match wanted {
        CompletionKind::Appliance => {
            let begins = appliance_names(&broker, vec![format!("{prefix}*")]).await?;
            if !begins.is_empty() || prefix.is_empty() {
                return Ok(begins.into_iter().map(|(name, _)| name).collect());
            }
            // `db` begins the last part of `shop:main.db1`.
            let parts = vec![format!("*:{prefix}*"), format!("*.{prefix}*")];
            let parts = appliance_names(&broker, parts).await?;
            return Ok(parts.into_iter().map(|(name, _)| name).collect());
        }
        CompletionKind::Class => appliance_names(&broker, Vec::new())
            .await?
            .into_iter()
            .map(|(_, class)| class)
            .collect(),
        CompletionKind::AlertNumber => {
            let request = ListAlertsRequest { page_size: NAMES_MAX, ..Default::default() };
            let page = broker.alerts().list_alerts(broker.unary(request)).await?.into_inner();
            page.alerts.into_iter().map(|alert| alert.id.to_string()).collect()
        }
        CompletionKind::MailNumber | CompletionKind::Recipient => {
            let request = ListMailsRequest { page_size: NAMES_MAX, ..Default::default() };
            let page = broker.mails().list_mails(broker.unary(request)).await?.into_inner();
            let mails =
                page.mails.into_iter().map(|mail| match wanted == CompletionKind::Recipient {
                    true => mail.recipient,
                    false => mail.number.to_string(),
                });
            mails.collect()
        }
        CompletionKind::Token => {
            let request = broker.unary(ListTokensRequest {});
            let tokens = broker.identity().list_tokens(request).await?.into_inner().tokens;
            tokens.into_iter().take(NAMES_MAX as usize).map(|token| token.id).collect()
        }
        CompletionKind::Administrator => {
            let request = broker.unary(ListAdministratorsRequest {});
            let reply = broker.identity().list_administrators(request).await?.into_inner();
            reply.administrators.into_iter().map(|it| it.name).collect()
        }
        CompletionKind::CrashDump => {
            let name = names::resolve(&broker, typed.first.as_deref().unwrap_or_default()).await?;
            let request = broker.unary(ListCrashDumpsRequest { name });
            let reply = broker.crash_dumps().list_crash_dumps(request).await?.into_inner();
            reply.crash_dumps.into_iter().map(|it| it.request_id).collect()
        }
        CompletionKind::Context => Vec::new(),
    };
    Ok(with_prefix(all, prefix))
}

/// The broker and the credentials that the command line or the environment name.
fn access_of(typed: &CompletionRequest) -> Result<BrokerAccess, CliError> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let choice = match (&typed.broker, &typed.context) {
        (Some(address), _) => BrokerChoice::Address(address.clone()),
        (None, Some(name)) => BrokerChoice::Context(name.clone()),
        (None, None) => match (variable("GRID_BROKER"), variable("GRID_CONTEXT")) {
            (Some(address), _) => BrokerChoice::Address(address),
            (None, Some(name)) => BrokerChoice::Context(name),
            (None, None) => BrokerChoice::Unspecified,
        },
    };
    let path = |name| variable(name).map(PathBuf::from);
    let identity = IdentityChoice {
        token_file: typed.token_file.clone().or_else(|| path("GRID_TOKEN_FILE")),
        ca_file: typed.ca_file.clone().or_else(|| path("GRID_CA_FILE")),
        pin: typed.pin.or_else(|| variable("GRID_PIN").and_then(|pin| parse_pin(&pin))),
    };
    BrokerAccess::resolve(&choice, &identity, None)
}

/// Names and classes of appliances.
async fn appliance_names(
    broker: &Connection,
    patterns: Vec<String>,
) -> Result<Vec<(String, String)>, CliError> {
    if patterns.iter().any(|it| names::is_pattern(it.trim_matches('*'))) {
        return Ok(Vec::new());
    }
    let filter = Some(ApplianceFilter { names: patterns, ..ApplianceFilter::default() });
    let request = ListAppliancesRequest { filter, page_size: NAMES_MAX, ..Default::default() };
    let page = broker.appliances().list_appliances(broker.unary(request)).await?.into_inner();
    Ok(page.appliances.into_iter().map(|it| (it.name, it.class)).collect())
}

fn with_prefix(mut names: Vec<String>, prefix: &str) -> Vec<String> {
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_completion_follows_from_the_cursor() {
        for (line, expected) in [
            ("appliance show", Some(CompletionKind::Appliance)),
            ("show", None),
            ("describe appliance", Some(CompletionKind::Appliance)),
            ("appliances stop db1", Some(CompletionKind::Appliance)),
            ("logs -f", Some(CompletionKind::Appliance)),
            ("log list --appliance", Some(CompletionKind::Appliance)),
            ("log list --since", None),
            ("log list --since 2h", Some(CompletionKind::Appliance)),
            ("appliance set db1 --class", Some(CompletionKind::Class)),
            ("appliance list --class", Some(CompletionKind::Class)),
            ("appliance add", None),
            ("appliance enrol", Some(CompletionKind::Appliance)),
            ("appliance revoke db1", Some(CompletionKind::Appliance)),
            ("appliance crash-dump", Some(CompletionKind::Appliance)),
            ("appliance crash-dump --wait --yes", Some(CompletionKind::Appliance)),
            ("appliance crash-dump db1", None),
            ("appliance crash-dumps", Some(CompletionKind::Appliance)),
            ("appliance crash-dumps db1", Some(CompletionKind::CrashDump)),
            ("appliance crash-dumps db1 req-1", None),
            ("appliance lock --reason why", Some(CompletionKind::Appliance)),
            ("token revoke", Some(CompletionKind::Token)),
            ("token create --appliance", Some(CompletionKind::Appliance)),
            ("token create --administrator", Some(CompletionKind::Administrator)),
            ("admin remove", Some(CompletionKind::Administrator)),
            ("admin create", None),
            ("logout", Some(CompletionKind::Context)),
            ("alert show", Some(CompletionKind::Appliance)),
            ("alert show db1", None),
            ("alert ack", Some(CompletionKind::AlertNumber)),
            ("alert resolve 12", Some(CompletionKind::AlertNumber)),
            ("alert explain", Some(CompletionKind::AlertNumber)),
            ("alert ack 12 --note", None),
            ("alert list --class", Some(CompletionKind::Class)),
            ("mail show", Some(CompletionKind::MailNumber)),
            ("mail retry 1", Some(CompletionKind::MailNumber)),
            ("mail list", Some(CompletionKind::Recipient)),
            ("context use", Some(CompletionKind::Context)),
            ("--context", Some(CompletionKind::Context)),
            ("--broker h:1 appliance show", Some(CompletionKind::Appliance)),
            ("log show", None),
            ("status", Some(CompletionKind::Appliance)),
            ("appliance", None),
            ("logs", Some(CompletionKind::Appliance)),
            ("", None),
        ] {
            let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
            assert_eq!(parse_request(&words).kind, expected, "{line}");
        }
        let words = ["--token-file", "-", "--ca-file=c.pem", "whoami"].map(ToOwned::to_owned);
        let request = parse_request(&words);
        assert_eq!((request.token_file, request.ca_file), (None, Some("c.pem".into())));
        let words = ["appliance", "crash-dumps", "db1"].map(ToOwned::to_owned);
        assert_eq!(parse_request(&words).first.as_deref(), Some("db1"));
        let words = ["--broker=h:1", "appliance", "show"].map(ToOwned::to_owned);
        assert_eq!(parse_request(&words).broker.as_deref(), Some("h:1"));
    }
}
