//! Arguments of `gridctl bench`.

use std::time::Duration;

use crate::args::values::parse_number;
use crate::bench::LoadMix;
use crate::duration;

/// `bench`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Sessions, each of an appliance of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 64,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) sessions: u64,
    /// Events of one session that may wait for their acknowledgement; with --unary: calls in progress,
    /// for each of --sessions
    #[arg(long, value_name = "NUMBER", default_value_t = 256,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) outstanding: u64,
    /// Connections that the sessions share, at most 200 on each [default: one each, up to 64]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=30_000))]
    pub(crate) connections: Option<u64>,
    /// Events per second of all sessions together [default: as fast as possible]
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) rate: Option<u64>,
    /// How long events are sent
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    pub(crate) duration: Duration,
    /// End after this many events, or after --duration if that is earlier
    #[arg(long, value_name = "NUMBER", value_parser = parse_number)]
    pub(crate) events: Option<u64>,
    /// Length of the texts in bytes; every text is different
    #[arg(long, value_name = "BYTES", default_value_t = 150,
          value_parser = clap::value_parser!(u64).range(20..=4_096))]
    pub(crate) text_bytes: u64,
    /// Kinds of event with their share in per cent: log, alert (with a counter), maintenance
    #[arg(long, value_name = "KIND=PERCENT,...", default_value = "log=100", value_parser = LoadMix::parse)]
    pub(crate) mix: LoadMix,
    /// Appliances that are known to the broker before the load begins; those beyond --sessions are
    /// registered first. With --unary, the appliances whose events are sent in turn [default: one for
    /// each session]
    #[arg(long, value_name = "NUMBER",
          value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) appliances: Option<u64>,
    /// Send each event by a call of its own in place of sessions
    #[arg(long)]
    pub(crate) unary: bool,
    /// Threads of gridctl that send; they share the processors with a broker on this machine
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) threads: u64,
    /// Also read all stored events back from the grid log and count them
    #[arg(long)]
    pub(crate) read_back: bool,
}
