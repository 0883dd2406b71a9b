//! Flags of every command.

use std::path::PathBuf;

use clap::ArgMatches;
use clap::ValueEnum;
use clap::parser::ValueSource;

use grid_broker::grid::values::identity::KeyHash;

/// Flags of every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct GlobalArgs {
    /// Address of the broker [default: that of the context, else 127.0.0.1:7443]
    #[arg(long, global = true, env = "GRID_BROKER", value_name = "HOST:PORT")]
    broker: Option<String>,
    /// Name of a broker in the file of contexts; see `gridctl context`
    #[arg(long, global = true, env = "GRID_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// Output format: a table, a table with all columns and nothing truncated, JSON, one JSON
    /// object per line, CSV, or only names [default: table]
    #[arg(
        long,
        short = 'o',
        alias = "format",
        global = true,
        value_enum,
        ignore_case = true,
        hide_possible_values = true,
        value_name = "table|wide|json|jsonl|csv|name"
    )]
    output: Option<OutputFormat>,
    /// Print UDL for scripts: entity "name" { attribute = value }
    #[arg(long, global = true)]
    batch: bool,
    /// Print only names or numbers, and no notes or results of changes
    #[arg(long, short = 'q', global = true)]
    pub(crate) quiet: bool,
    /// Print no header line above a table or CSV
    #[arg(long, global = true, alias = "no-header", alias = "no-legend")]
    pub(crate) no_headers: bool,
    /// When to use colour: auto means on a terminal, unless NO_COLOR is set
    #[arg(
        long,
        alias = "colour",
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "auto|always|never",
        default_value = "auto"
    )]
    pub(crate) color: ColourMode,
    /// Show times in UTC instead of local time
    #[arg(long, global = true)]
    pub(crate) utc: bool,
    /// File with the token to use; `-` is stdin [default: the credential of the context]
    #[arg(
        long,
        global = true,
        env = "GRID_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    token_file: Option<PathBuf>,
    /// File with the certificates of the authorities that may sign the broker's certificate (PEM)
    #[arg(long, global = true, env = "GRID_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// SHA-256 of the public key of the broker's authority, in hexadecimal digits
    #[arg(long, global = true, env = "GRID_PIN", value_name = "HEX")]
    pin: Option<String>,
    /// The broker, chosen by flags and environment.
    #[arg(skip)]
    pub(crate) broker_choice: BrokerChoice,
    /// How to recognise the broker, and the credential, as far as they are given.
    #[arg(skip)]
    pub(crate) identity: IdentityChoice,
}

/// How to recognise the broker, and which credential to use, by flags and environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdentityChoice {
    /// The file with the token; `-` is stdin.
    pub(crate) token_file: Option<PathBuf>,
    /// The file with the authorities.
    pub(crate) ca_file: Option<PathBuf>,
    /// The pin.
    pub(crate) pin: Option<KeyHash>,
}

/// How the broker was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum BrokerChoice {
    /// By its address.
    Address(String),
    /// By the name of a context.
    Context(String),
    /// Not given: the current context, if there is one.
    #[default]
    Unspecified,
}

impl GlobalArgs {
    /// The requested format.
    pub(crate) fn format(&self) -> OutputFormat {
        match self.output {
            _ if self.batch => OutputFormat::Udl,
            None if self.quiet => OutputFormat::Name,
            output => output.unwrap_or(OutputFormat::Table),
        }
    }

    /// Whether two formats were requested.
    pub(super) fn has_two_formats(&self) -> bool {
        self.batch && self.output.is_some()
    }

    /// Chooses the broker: flags override the environment, which overrides the file. An empty
    /// variable counts as unset.
    ///
    /// # Errors
    ///
    /// States which flags conflict or have no value.
    pub(super) fn resolve_broker(&mut self, matches: &ArgMatches) -> Result<(), &'static str> {
        let is_flag = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let (broker, context) = (self.broker.take(), self.context.take());
        let is_empty = |value: &Option<String>| value.as_deref() == Some("");
        if is_flag("broker") && is_empty(&broker) {
            return Err("--broker is empty: use HOST:PORT, such as 127.0.0.1:7443");
        }
        if is_flag("context") && is_empty(&context) {
            return Err("--context is empty: use a name; `gridctl context list` shows them");
        }
        if is_flag("broker") && is_flag("context") {
            return Err("--broker and --context both choose the broker: use one of them");
        }
        let context_first = is_flag("context");
        let broker = broker.filter(|it| !it.is_empty()).map(BrokerChoice::Address);
        let context = context.filter(|it| !it.is_empty()).map(BrokerChoice::Context);
        let choice = if context_first { context.or(broker) } else { broker.or(context) };
        self.broker_choice = choice.unwrap_or_default();
        self.resolve_identity(matches)
    }

    /// Chooses how to recognise the broker: a flag overrides the environment, also that of the other
    /// kind.
    fn resolve_identity(&mut self, matches: &ArgMatches) -> Result<(), &'static str> {
        let is_flag = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let given = |path: Option<PathBuf>| path.filter(|path| !path.as_os_str().is_empty());
        let (token_file, mut ca_file) = (given(self.token_file.take()), given(self.ca_file.take()));
        let mut pin = self.pin.take().filter(|pin| !pin.is_empty());
        if ca_file.is_some() && pin.is_some() {
            match (is_flag("ca_file"), is_flag("pin")) {
                (true, false) => pin = None,
                (false, true) => ca_file = None,
                (true, true) | (false, false) => {
                    return Err("--pin and --ca-file (GRID_PIN and GRID_CA_FILE) both say how to \
                                recognise the broker: use one of them");
                }
            }
        }
        let pin = match pin {
            Some(text) => Some(parse_pin(&text).ok_or(
                "--pin (GRID_PIN) has 64 hexadecimal digits; the broker's administrators have it",
            )?),
            None => None,
        };
        self.identity = IdentityChoice { token_file, ca_file, pin };
        Ok(())
    }
}

/// Parses a pin; colons and upper case are accepted, as other programs print them.
pub(crate) fn parse_pin(text: &str) -> Option<KeyHash> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let digits = String::from_utf8(digits).ok().filter(|it| it.len() == 64 && it.is_ascii())?;
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        let pair = &digits[2 * at..2 * at + 2];
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = is_hex.then(|| u8::from_str_radix(pair, 16).ok())??;
    }
    Some(KeyHash(hash))
}

/// An output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[value(alias = "text")]
    Table,
    /// For people with wide screens.
    Wide,
    /// One array, or one object.
    Json,
    /// One object per line.
    #[value(alias = "ndjson")]
    Jsonl,
    /// A header, then one line each.
    Csv,
    /// One name or number per line.
    #[value(alias = "names")]
    Name,
    /// The vendor's format, by `--batch`.
    #[value(skip)]
    Udl,
}

impl OutputFormat {
    /// Whether the format is for people, with colour and sentences.
    pub(crate) fn is_human_readable(self) -> bool {
        match self {
            Self::Table | Self::Wide => true,
            Self::Json | Self::Jsonl | Self::Csv | Self::Name | Self::Udl => false,
        }
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColourMode {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Even in a pipe.
    Always,
    /// Never.
    Never,
}
