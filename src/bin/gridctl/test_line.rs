//! Runs a command line in a test against the scripted identity service.

use crate::access::BrokerAccess;
use crate::args::{self, GridctlArgs};
use crate::connection::Connection;
use crate::output::OutputOptions;
use crate::scripted_identity::ScriptedIdentity;

/// Parses a command line, and connects.
pub(crate) async fn prepare(
    script: &ScriptedIdentity,
    line: &str,
) -> (Connection, GridctlArgs, OutputOptions) {
    let address = script.serve().await;
    let broker = Connection::connect(&BrokerAccess::plain(&address)).await.unwrap();
    let args = args::parse(line.split(' ').map(Into::into).collect()).unwrap();
    let (format, is_quiet) = (args.global.format(), args.global.quiet);
    let look = OutputOptions { format, is_quiet, ..OutputOptions::plain() };
    (broker, args, look)
}
