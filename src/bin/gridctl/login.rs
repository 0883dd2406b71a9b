//! `gridctl login` and `logout`: stores and removes the credential of a context.
//!
//! Guarantees that a broker is recognised before it gets a credential, that a new authority is trusted
//! only if the user says so at a terminal, that the broker accepts a credential before it is stored,
//! and that no secret is printed.

use std::io::Write;

use grid_broker::client::{BrokerAddress, ConnectOptions, TokenText};
use grid_broker::contract::proto::{PrincipalKind, RevokeTokenRequest, WhoAmIResponse};
use grid_broker::grid::values::identity::KeyHash;
use grid_broker::identity::token::TokenKind;

use crate::access::{self, BrokerAccess, CredentialOrigin, given_trust};
use crate::args::{BrokerChoice, IdentityChoice, LoginArgs, LogoutArgs};
use crate::connection::{self, Connection};
use crate::context;
use crate::credentials::{self, AdministratorCredential, BrokerTrust};
use crate::error::CliError;
use crate::fields::OutputObject;
use crate::output::{ItemView, ListWriter, OutputOptions};
use crate::prompt::{self, Terminal};
use crate::server_probe::{self, ServerAnswer};
use crate::{enrolment, whoami};

/// Logs in.
pub(crate) async fn login(
    arguments: &LoginArgs,
    identity: &IdentityChoice,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let LoginArgs { address, name } = arguments;
    let name = context::name_for_login(name.as_deref(), address)?;
    let terminal = prompt::terminal();
    // First, since it may bring the pin, and so that nobody is asked in vain about the broker.
    let token = read_token(identity, address, terminal.as_ref())?;
    let (address, trust) =
        find_trust(address, &name, identity, token.parsed().pin, terminal.as_ref()).await?;
    let store = access::store(&name, &address, &trust)?;
    let mut access = BrokerAccess {
        trust,
        login: connection::login_name(),
        origin: CredentialOrigin::Context(name.clone()),
        ..BrokerAccess::plain(&address)
    };
    let is_enrolment = token.parsed().kind == TokenKind::Enrolment;
    access.credential = Some(match is_enrolment {
        true => enrolment::enrol(&access, &store, &token).await?,
        false => AdministratorCredential::Token(token.clone()),
    });
    let caller = whoami::ask(&Connection::connect(&access).await?).await?;
    if caller.kind != PrincipalKind::Administrator as i32 {
        let who = whoami::describe(&caller);
        let text = format!("the broker says that you are {who}; nothing was stored");
        return Err(CliError::Login(text));
    }
    if is_enrolment {
        store.accept_new()?;
    } else {
        store.store_token(&token)?;
    }
    context::store(&name, &address, &access.trust)?;
    show_login(&Login { context: name, access, caller }, look, out)
}

/// A login that was stored.
#[derive(Default)]
struct Login {
    context: String,
    access: BrokerAccess,
    caller: WhoAmIResponse,
}

fn show_login(login: &Login, look: &OutputOptions, out: &mut dyn Write) -> Result<(), CliError> {
    let Login { context, access, caller } = login;
    if look.format.is_human_readable() {
        let until = match look.format_time(&caller.expires_at) {
            at if at.is_empty() => String::new(),
            at => format!(", until {at}"),
        };
        let (who, credential) = (whoami::describe(caller), whoami::describe_credential(caller));
        let address = &access.address;
        writeln!(out, "logged in at {address} as {who} ({credential}{until})")?;
        writeln!(out, "context {context} is the current one")?;
        out.flush()?;
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if let Some(variable) = ["GRID_BROKER", "GRID_CONTEXT"].into_iter().find(is_set) {
            look.note(&format!(
                "{variable} is set, which chooses the broker before the context does"
            ));
        }
        return Ok(());
    }
    if look.is_quiet {
        return Ok(());
    }
    let to_object = |login: &Login| {
        let Login { context, access, caller } = login;
        let fields = vec![
            ("context", context.into()),
            ("broker", (&access.address).into()),
            ("name", (&caller.name).into()),
            ("role", grid_broker::show::labels::role(caller.role).into()),
            ("expires_at", (&caller.expires_at).into()),
        ];
        OutputObject { kind: "login", name: context.clone(), fields }
    };
    let view = ItemView { columns: &[], cells: |_, _| Vec::new(), to_object };
    Ok(ListWriter::write_one(out, look, view, login)?)
}

/// Reads the token: from the file, or else from the terminal.
fn read_token(
    identity: &IdentityChoice,
    address: &str,
    terminal: Option<&Terminal>,
) -> Result<TokenText, CliError> {
    let (text, place) = match (&identity.token_file, terminal) {
        (Some(path), _) => credentials::read_token_file(path)?,
        (None, Some(terminal)) => {
            let question = format!("token for {address} (it is not shown): ");
            let text = terminal.read_secret(&question).map_err(CliError::Terminal)?;
            (text, "what you typed".to_owned())
        }
        (None, None) => {
            return Err(CliError::Login(
                "there is no terminal to ask for the token: use --token-file FILE, or `-` for stdin"
                    .to_owned(),
            ));
        }
    };
    let token = credentials::parse_token(&text, &place)?;
    match token.parsed().kind {
        TokenKind::Enrolment => Ok(token),
        TokenKind::Administrator | TokenKind::Appliance => {
            Ok(credentials::administrator_token(token.expose(), &place)?)
        }
    }
}

/// Finds how the broker is recognised: as given, by the enrolment token, as before, by the authorities
/// of the system, or by asking. Also the address, with `https://` where that says so.
async fn find_trust(
    address: &str,
    name: &str,
    identity: &IdentityChoice,
    pin: Option<KeyHash>,
    terminal: Option<&Terminal>,
) -> Result<(String, BrokerTrust), CliError> {
    let given = given_trust(identity)?;
    if let (Some(BrokerTrust::Pin(given)), Some(pin)) = (&given, pin)
        && *given != pin
    {
        return Err(CliError::Login(format!(
            "the token is for the broker with the pin {pin}, and --pin (GRID_PIN) is {given}"
        )));
    }
    if let Some(trust) = given.or(pin.map(BrokerTrust::Pin)) {
        return Ok((address.to_owned(), trust));
    }
    if let Some(known) = context::known_broker(name, address) {
        return Ok((known.address, known.trust));
    }
    let parsed = BrokerAddress::parse(address)?;
    if parsed.is_https == Some(false) {
        return Ok((address.to_owned(), BrokerTrust::System));
    }
    match server_probe::look_at(address).await? {
        ServerAnswer::Tls(pin) => {
            let secure = match parsed.is_https {
                Some(_) => address.to_owned(),
                None => format!("https://{address}"),
            };
            if ConnectOptions::new(&secure).connect().await.is_ok() {
                return Ok((secure, BrokerTrust::System));
            }
            ask_for_trust(address, pin, terminal)?;
            Ok((address.to_owned(), BrokerTrust::Pin(pin)))
        }
        // A token is sent without TLS to this machine only: the connection refuses others.
        ServerAnswer::NoTls => Ok((address.to_owned(), BrokerTrust::System)),
    }
}

/// Asks whether the authority with this pin is the broker's.
fn ask_for_trust(address: &str, pin: KeyHash, terminal: Option<&Terminal>) -> Result<(), CliError> {
    let Some(terminal) = terminal else {
        return Err(CliError::Login(format!(
            "nothing is known of the broker at {address}, and there is no terminal to ask: give its \
             --pin or --ca-file, from its administrators and not from what answers there now"
        )));
    };
    let question = format!(
        "The broker at {address} is not known here. The public key of its authority has the pin\n  \
         {pin}\nCompare it with the pin that its administrators gave you: gridd prints it when it starts.\nIs it the same? Type yes or no: "
    );
    match terminal.ask(&question).map_err(CliError::Terminal)?.as_str() {
        "yes" => Ok(()),
        _ => Err(CliError::Login("nothing was sent, and nothing was stored".to_owned())),
    }
}

/// Logs out: removes the credential of a context, and revokes its token if that is requested.
pub(crate) async fn logout(
    arguments: &LogoutArgs,
    chosen: &BrokerChoice,
    look: &OutputOptions,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let chosen = match &arguments.context {
        Some(name) => BrokerChoice::Context(name.clone()),
        None => chosen.clone(),
    };
    let access = BrokerAccess::resolve(&chosen, &IdentityChoice::default(), None);
    let named = context::resolve(&chosen)?;
    let Some(name) = named.name else {
        let address = named.address;
        return Err(CliError::Login(format!(
            "no context has the address {address}, so nobody is logged in there"
        )));
    };
    let store = access::store(&name, &named.address, &named.trust)?;
    let mut revoked = None;
    if arguments.revoke {
        revoked = Some(revoke_token(&name, &access?).await?);
    }
    // Without `--revoke`, a credential that cannot be read is removed all the same.
    if !store.remove()? {
        return Err(CliError::Login(format!("context {name} has no login")));
    }
    if look.format.is_human_readable() {
        let revoked = revoked.map_or_else(String::new, |id| format!(", and token {id} is revoked"));
        writeln!(out, "logged out of context {name}{revoked}")?;
    }
    Ok(out.flush()?)
}

/// Revokes the token of a context at the broker; its id.
async fn revoke_token(name: &str, access: &BrokerAccess) -> Result<String, CliError> {
    let id = match &access.credential {
        Some(AdministratorCredential::Token(token)) => token.parsed().id.to_string(),
        Some(AdministratorCredential::Certificate { .. }) => {
            return Err(CliError::Login(format!(
                "context {name} has a certificate, which --revoke cannot revoke: an administrator does \
                 so by `gridctl admin remove`; without --revoke it is removed from this machine"
            )));
        }
        None => return Err(CliError::Login(format!("context {name} has no login"))),
    };
    let broker = Connection::connect(access).await?;
    broker.identity().revoke_token(broker.unary(RevokeTokenRequest { id: id.clone() })).await?;
    Ok(id)
}
