//! Arguments of `gridctl token` and `gridctl key`.
//!
//! Guarantees that a token itself is never accepted as an argument: other users of the machine see
//! arguments.

use clap::{ArgGroup, Subcommand};

use grid_broker::grid::values::identity::TokenId;
use grid_broker::identity::token;

use crate::duration;

/// Commands on tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List tokens, without their secrets, oldest first
    #[command(
        aliases = ["ls", "get"],
        after_help = "Example: which tokens end soon, or were never used?\n  gridctl token list"
    )]
    List,
    /// Create a token for an appliance or an administrator, and print it this once
    #[command(
        alias = "add",
        after_help = "The token is printed on stdout, and cannot be shown again. For new appliances, \
        see `gridctl\nappliance enrol`: a certificate is better than a token.\n\n\
        Examples: for a device without certificates; for a script\n  \
        gridctl token create --appliance shop:main.db1 --valid 90d > db1.token\n  \
        gridctl token create --administrator backup --valid 90d"
    )]
    Create(TokenCreate),
    /// Replace the secret of a token, and print the new token this once
    #[command(after_help = "The old token is invalid at once. Its id stays the same.\n\n\
        Example:\n  gridctl token rotate aB3dE6gH > db1.token")]
    Rotate {
        /// The id of the token: the 8 characters after `gba_`, `gbd_` or `gbe_`
        #[arg(value_name = "TOKEN", value_parser = parse_token_id)]
        id: String,
    },
    /// Revoke tokens: they are invalid at once, and sessions that use them end
    #[command(aliases = ["rm", "delete", "remove"],
              after_help = "Example:\n  gridctl token revoke aB3dE6gH")]
    Revoke {
        /// The ids of the tokens: the 8 characters after `gba_`, `gbd_` or `gbe_`
        #[arg(value_name = "TOKEN", required = true, value_parser = parse_token_id)]
        ids: Vec<String>,
    },
}

/// `token create`.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("owner").required(true).args(["appliance", "administrator"]))]
pub(crate) struct TokenCreate {
    /// An existing appliance; its full name
    #[arg(long, value_name = "APPLIANCE")]
    pub(crate) appliance: Option<String>,
    /// An existing administrator
    #[arg(long, value_name = "ADMINISTRATOR", alias = "admin")]
    pub(crate) administrator: Option<String>,
    /// How long it is valid, such as 12h or 90d [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_ms, alias = "ttl")]
    pub(crate) valid: Option<u64>,
}

/// Commands on enrolled keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List enrolled keys, the ends of their certificates, and what needs attention
    #[command(
        aliases = ["ls", "get"],
        after_help = "A certificate is renewed by its owner after two thirds of its life. With one sixth \
        left, or less,\nit needs attention: the machine may be off, or cannot reach the broker. After \
        its end it can\nstill be renewed for as long as `certificates.recover_within` of gridd allows.\n\n\
        Examples: all; those that end soon, have ended, or were revoked\n  gridctl key list\n  \
        gridctl key list --attention"
    )]
    List(KeyList),
}

/// `key list`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct KeyList {
    /// Only those that need attention
    #[arg(long)]
    pub(crate) attention: bool,
}

/// Parses the id of a token.
///
/// # Errors
///
/// States what an id is; for a whole token, that it is exposed now.
fn parse_token_id(text: &str) -> Result<String, String> {
    if TokenId::new(text).is_some() {
        return Ok(text.to_owned());
    }
    match token::parse(text) {
        Ok(parsed) => Err(format!(
            "this is a token, and now it is in the history of your shell; its id is {}: revoke it",
            parsed.id
        )),
        Err(_) => Err("an id has 8 letters and digits; `gridctl token list` shows it".to_owned()),
    }
}
