//! The load generators of other servers, the ceiling, and readers of tails: what `run.py` compares gridd with.
//!
//! ```text
//! cargo bench --bench side_by_side -- redis|nats --port PORT [--connections N] [--outstanding N] ...
//! cargo bench --bench side_by_side -- ceiling --port PORT --file FILE
//! cargo bench --bench side_by_side -- tails --port PORT --tails N
//! ```
//!
//! Load generators print one line of JSON with the keys of `gridctl bench`. Payloads are those of `gridctl
//! bench`, byte for byte. Decides nothing: `run.py` starts the servers, and writes the results.

#![expect(clippy::print_stdout, reason = "a bench tells its figures")]

mod ceiling;
#[allow(dead_code, reason = "gridctl uses all of it")]
#[path = "../../src/bin/gridctl/bench/latency.rs"]
mod latency;
mod nats;
#[allow(dead_code, reason = "gridctl uses all of it")]
#[path = "../../src/bin/gridctl/bench/payload.rs"]
mod payload;
mod peer_load;
mod redis;
mod tails;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use peer_load::PeerLoad;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: side_by_side redis|nats|ceiling|tails --port PORT [--connections N] \
                     [--outstanding N] [--rate EVENTS] [--seconds N] [--text-bytes N] [--file FILE] \
                     [--tails N]; run.py calls it";

/// The words of the command line: `--name value`.
struct Words(BTreeMap<String, String>);

impl Words {
    fn new(words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let words: Vec<_> = words.filter(|word| word != "--bench").collect();
        let pairs = words.chunks(2).map(|pair| match pair {
            [name, value] if name.starts_with("--") => Ok((name[2..].to_owned(), value.clone())),
            _ => Err(Failure::from(USAGE)),
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        let number = text.parse().map_err(|_| format!("--{name} {text} is not a number"))?;
        Ok(Some(number))
    }

    fn port(&self) -> Result<u16, Failure> {
        Ok(u16::try_from(self.number("port")?.ok_or(USAGE)?)?)
    }
}

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1).skip_while(|word| word == "--bench");
    let Some(command) = words.next() else {
        println!("{USAGE}");
        return Ok(());
    };
    let words = Words::new(words)?;
    let port = words.port()?;
    let load = PeerLoad {
        port,
        connections: words.number("connections")?.unwrap_or(64),
        outstanding: words.number("outstanding")?.unwrap_or(256),
        interval: None,
        lasts: Duration::from_secs(words.number("seconds")?.unwrap_or(5)),
        text_bytes: usize::try_from(words.number("text-bytes")?.unwrap_or(150))?,
    }
    .at_rate(words.number("rate")?);
    // One thread, as gridctl has; the ceiling gets what gridd gets.
    let mut single = tokio::runtime::Builder::new_current_thread();
    let single = single.enable_all().build()?;
    match command.as_str() {
        "redis" => println!("{}", single.block_on(redis::run(&load))?),
        "nats" => println!("{}", single.block_on(nats::run(&load))?),
        "tails" => {
            let tails = words.number("tails")?.unwrap_or(200);
            println!("{}", single.block_on(tails::run(port, tails))?);
        }
        "ceiling" => {
            let file = PathBuf::from(words.0.get("file").ok_or(USAGE)?);
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(ceiling::serve(port, &file))?;
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}
