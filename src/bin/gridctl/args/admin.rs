//! Arguments of `gridctl admin`.
//!
//! Does not check names: the broker does.

use clap::Subcommand;

use grid_broker::contract::proto::Role;

use super::values::roles;
use crate::duration;

/// Commands on administrators.
#[derive(Debug, Subcommand)]
pub(crate) enum AdministratorCommand {
    /// List administrators and their roles
    #[command(aliases = ["ls", "get"], after_help = "Example:\n  gridctl admin list")]
    List,
    /// Create an administrator, and print a token for the first login this once
    #[command(
        alias = "add",
        after_help = "A viewer reads. An operator also controls appliances, alerts and mails. An admin also \
        has\ncredentials, administrators, reports and backups.\n\n\
        Examples: a token; a token that is exchanged for a certificate within an hour\n  \
        gridctl admin create ann@example.org --role operator --valid 90d\n  \
        gridctl admin create ann@example.org --role admin --certificate"
    )]
    Create(AdminCreate),
    /// Change the role of an administrator
    #[command(after_help = "Example:\n  gridctl admin set ann@example.org --role admin")]
    Set {
        /// The name
        #[arg(value_name = "ADMINISTRATOR")]
        name: String,
        /// The new role
        #[arg(long, value_name = "ROLE", value_parser = roles(), ignore_case = true)]
        role: Role,
    },
    /// Remove administrators with all their credentials
    #[command(aliases = ["rm", "delete"],
              after_help = "Their tokens and certificates are invalid at once.\n\n\
        Example:\n  gridctl admin remove ann@example.org")]
    Remove {
        /// The names
        #[arg(value_name = "ADMINISTRATOR", required = true)]
        names: Vec<String>,
    },
}

/// `admin create`.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminCreate {
    /// The name: letters, digits, `.`, `_`, `-` and `@`
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What the administrator may do
    #[arg(long, value_name = "ROLE", value_parser = roles(), ignore_case = true)]
    pub(crate) role: Role,
    /// How long the token is valid, such as 90d [default: until it is revoked; with --certificate,
    /// 1h]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_ms, alias = "ttl")]
    pub(crate) valid: Option<u64>,
    /// Print an enrolment token: `gridctl login` exchanges it for a certificate
    #[arg(long)]
    pub(crate) certificate: bool,
}
