//! Flags of every command.

use clap::ArgMatches;
use clap::ValueEnum;
use clap::parser::ValueSource;

/// Flags of every command.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct Global {
    /// Where the broker listens [default: that of the context, else 127.0.0.1:7443]
    #[arg(long, global = true, env = "GRID_BROKER", value_name = "HOST:PORT")]
    broker: Option<String>,
    /// A broker by its name in the file of contexts; see `gridctl context`
    #[arg(long, global = true, env = "GRID_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// How to print: a table for people, the same with all columns and nothing cut, JSON, one JSON
    /// object a line, CSV, or names alone [default: table]
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
    /// Print for scripts in UDL: entity "name" { attribute = value }
    #[arg(long, global = true)]
    batch: bool,
    /// Print names or numbers alone, no notes, and nothing of what was done
    #[arg(long, short = 'q', global = true)]
    pub(crate) quiet: bool,
    /// No line of titles above a table or CSV
    #[arg(long, global = true, alias = "no-header", alias = "no-legend")]
    pub(crate) no_headers: bool,
    /// Colour: auto is on a terminal only, and not if NO_COLOR is set
    #[arg(
        long,
        alias = "colour",
        global = true,
        value_enum,
        hide_possible_values = true,
        value_name = "auto|always|never",
        default_value = "auto"
    )]
    pub(crate) color: Colour,
    /// Show times in UTC in place of local time
    #[arg(long, global = true)]
    pub(crate) utc: bool,
    /// Where the broker is to be found, by all of these.
    #[arg(skip)]
    pub(crate) endpoint: EndpointChoice,
}

/// Where the broker is to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum EndpointChoice {
    /// There.
    Address(String),
    /// Where that context says.
    Context(String),
    /// Nobody said: where the context in use says, if there is one.
    #[default]
    Default,
}

impl Global {
    /// The format asked for.
    pub(crate) fn format(&self) -> OutputFormat {
        match self.output {
            _ if self.batch => OutputFormat::Udl,
            None if self.quiet => OutputFormat::Name,
            output => output.unwrap_or(OutputFormat::Table),
        }
    }

    /// Whether two formats are asked for.
    pub(super) fn is_of_two_formats(&self) -> bool {
        self.batch && self.output.is_some()
    }

    /// Finds out where the broker is: a flag goes before the environment, that before the file. A
    /// variable that is empty is as good as unset.
    ///
    /// # Errors
    ///
    /// Says which flags contradict each other or have no value.
    pub(super) fn find_endpoint(&mut self, matches: &ArgMatches) -> Result<(), &'static str> {
        let is_flag = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let (broker, context) = (self.broker.take(), self.context.take());
        let is_empty = |value: &Option<String>| value.as_deref() == Some("");
        if is_flag("broker") && is_empty(&broker) {
            return Err("--broker is empty: give HOST:PORT, such as 127.0.0.1:7443");
        }
        if is_flag("context") && is_empty(&context) {
            return Err("--context is empty: give a name; `gridctl context list` shows them");
        }
        if is_flag("broker") && is_flag("context") {
            return Err("--broker and --context both say where the broker is: give one of them");
        }
        let context_first = is_flag("context");
        let broker = broker.filter(|it| !it.is_empty()).map(EndpointChoice::Address);
        let context = context.filter(|it| !it.is_empty()).map(EndpointChoice::Context);
        let place = if context_first { context.or(broker) } else { broker.or(context) };
        self.endpoint = place.unwrap_or_default();
        Ok(())
    }
}

/// A format of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people.
    #[value(alias = "text")]
    Table,
    /// For people with wide screens.
    Wide,
    /// One array, or one object.
    Json,
    /// One object a line.
    #[value(alias = "ndjson")]
    Jsonl,
    /// A header, then a line each.
    Csv,
    /// The name or number of each on a line.
    #[value(alias = "names")]
    Name,
    /// The vendor's, by `--batch`.
    #[value(skip)]
    Udl,
}

impl OutputFormat {
    /// Whether people read it, with colour and sentences.
    pub(crate) fn is_for_people(self) -> bool {
        match self {
            Self::Table | Self::Wide => true,
            Self::Json | Self::Jsonl | Self::Csv | Self::Name | Self::Udl => false,
        }
    }
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Also in a pipe.
    Always,
    /// Not at all.
    Never,
}
