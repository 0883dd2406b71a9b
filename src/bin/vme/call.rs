//! What is one call of `vme` to say, as whom, to which broker?
//!
//! Guarantees that a [`Call`] can be carried out: every mistake in options, environment and words
//! is found before anything is sent, and all are told together. Does not know how it is sent.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

use grid_broker::client::{self, ClientError};
use grid_broker::event_words::{self, Mistakes, Spoken};
use grid_broker::grid::name::is_name;
use grid_broker::show::escape;
use grid_broker::wire::proto::ReportRequest;
use uuid::Uuid;

use crate::arguments::Arguments;
use crate::boot::{Boot, BootDoubt, BootError};

/// How long an unreachable broker is tried, and the shortest and longest that may be asked for.
const TIMEOUT: Duration = Duration::from_secs(10);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// One call of `vme`, checked.
#[derive(Debug)]
pub(crate) struct Call {
    /// Who speaks.
    pub(crate) appliance: String,
    /// How the broker is reached.
    pub(crate) way: Way,
    /// What is said.
    pub(crate) spoken: Spoken,
    boot: Boot,
}

/// How the broker is reached, as whom, and for how long it is tried.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// Where the broker listens.
    pub(crate) broker: String,
    /// Who speaks.
    pub(crate) appliance: String,
    /// How long to try.
    pub(crate) timeout: Duration,
}

/// One thing wrong with an option or a variable of the environment.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Wrong {
    /// No name of an appliance.
    #[error(
        "{source_name} `{}` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`{}",
        escape::excerpt(.value),
        if *.source_name == HOST_NAME { "; say who speaks by --appliance" } else { "" }
    )]
    Appliance { source_name: &'static str, value: String },
    /// No address.
    #[error("{source_name}: broker address `{}` is not host:port, for instance {}",
        escape::excerpt(.value), client::DEFAULT_BROKER)]
    Broker { source_name: &'static str, value: String },
    /// No time.
    #[error("--timeout `{}` is not a time from 100ms to 24h", escape::excerpt(.value))]
    Timeout { value: String },
    /// No UUID.
    #[error("VME_BOOT_ID `{}` is not a UUID of 36 characters", escape::excerpt(.value))]
    BootId { value: String },
}

/// All that is wrong with a call. Not empty.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Wrongs {
    options: Vec<Wrong>,
    words: Option<Mistakes>,
}

impl fmt::Display for Wrongs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for wrong in &self.options {
            writeln!(f, "{wrong}")?;
        }
        self.words.as_ref().map_or(Ok(()), |words| words.fmt(f))
    }
}

const HOST_NAME: &str = "the host name";

type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Call {
    pub(crate) fn new(arguments: &Arguments, environment: Environment) -> Result<Self, Wrongs> {
        let mut options = Vec::new();
        let mut keep = |wrong| options.push(wrong);
        let appliance = appliance(arguments, environment).map_err(&mut keep).ok();
        let broker = broker(arguments, environment).map_err(&mut keep).ok();
        let timeout = timeout(arguments).map_err(&mut keep).ok();
        let named_boot = named_boot(environment).map_err(&mut keep).ok();
        match (appliance, broker, timeout, named_boot, event_words::parse(&arguments.words)) {
            (Some(appliance), Some(broker), Some(timeout), Some(named_boot), Ok(spoken)) => {
                let boot = named_boot.map_or_else(Boot::of_this_system, Boot::Named);
                let way = Way { broker, appliance: appliance.clone(), timeout };
                Ok(Self { appliance, way, spoken, boot })
            }
            (_, _, _, _, words) => Err(Wrongs { options, words: words.err() }),
        }
    }

    /// The event as it is sent, numbered, so that sending it again never makes it two.
    pub(crate) fn request(&self) -> Result<(ReportRequest, Option<BootDoubt>), BootError> {
        let is_lifecycle =
            matches!(self.spoken.name, "started_ok" | "start_failed" | "maintenance");
        let (boot_id, doubt) = self.boot.id(is_lifecycle)?;
        let mut event = self.spoken.event.clone();
        event.boot_id = boot_id.map_or_else(String::new, |id| id.to_string());
        event.uptime_ms = self.boot.uptime_ms();
        event.event_time = Some(wall_clock().into());
        event.sequence = 1;
        let spool_id = Uuid::new_v4().as_u64_pair().1;
        Ok((ReportRequest { event: Some(event), spool_id }, doubt))
    }
}

/// A value and where it comes from: the option, else a variable that is not empty.
fn given(
    option: (&'static str, Option<&OsString>),
    variable: &'static str,
    environment: Environment,
) -> Option<(&'static str, OsString)> {
    match option {
        (name, Some(value)) => Some((name, value.clone())),
        (_, None) => filled(variable, environment).map(|value| (variable, value)),
    }
}

fn filled(variable: &str, environment: Environment) -> Option<OsString> {
    environment(variable).filter(|value| !value.is_empty())
}

/// The host name is taken whole, with its domain: cut at a dot, two hosts could be one appliance.
fn appliance(arguments: &Arguments, environment: Environment) -> Result<String, Wrong> {
    let option = ("--appliance", arguments.appliance.as_ref());
    let (source_name, value) = given(option, "VME_APPLIANCE", environment)
        .map(|(source_name, value)| (source_name, lossy(&value)))
        .unwrap_or_else(|| {
            let host = rustix::system::uname();
            (HOST_NAME, host.nodename().to_string_lossy().into_owned())
        });
    if is_name(&value) { Ok(value) } else { Err(Wrong::Appliance { source_name, value }) }
}

fn broker(arguments: &Arguments, environment: Environment) -> Result<String, Wrong> {
    let option = ("--broker", arguments.broker.as_ref());
    let Some((source_name, value)) = given(option, "GRID_BROKER", environment) else {
        return Ok(client::DEFAULT_BROKER.to_owned());
    };
    let value = lossy(&value);
    match client::endpoint(&value) {
        Ok(_) => Ok(value),
        Err(
            ClientError::Address { .. } | ClientError::Unreachable { .. } | ClientError::Status(_),
        ) => Err(Wrong::Broker { source_name, value }),
    }
}

fn timeout(arguments: &Arguments) -> Result<Duration, Wrong> {
    let Some(value) = &arguments.timeout else { return Ok(TIMEOUT) };
    let value = lossy(value);
    event_words::time(&value)
        .filter(|time| (SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(time))
        .ok_or(Wrong::Timeout { value })
}

fn named_boot(environment: Environment) -> Result<Option<Uuid>, Wrong> {
    /// The contract's text form; the crate takes others, too.
    const TEXT_FORM: usize = 36;
    let Some(value) = filled("VME_BOOT_ID", environment) else { return Ok(None) };
    let value = lossy(&value);
    match Uuid::try_parse(&value) {
        Ok(id) if value.len() == TEXT_FORM => Ok(Some(id)),
        Ok(_) | Err(_) => Err(Wrong::BootId { value }),
    }
}

fn lossy(value: &OsStr) -> String {
    value.to_string_lossy().into_owned()
}

#[expect(clippy::disallowed_methods, reason = "the event's own time, told once a process")]
fn wall_clock() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const BOOT: &str = "0198f0c4-7d6e-7c3a-9b1e-2f4d5a6b7c8d";

    fn call(words: &[&str], variables: &[(&str, &str)]) -> Result<Call, Vec<String>> {
        let arguments = Arguments::parse_from(std::iter::once(&"vme").chain(words));
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        Call::new(&arguments, &environment)
            .map_err(|wrong| wrong.to_string().lines().map(ToOwned::to_owned).collect())
    }

    #[test]
    fn an_option_goes_before_the_environment_and_an_empty_variable_is_none() {
        let variables = [("VME_APPLIANCE", "db2"), ("GRID_BROKER", "b2:2"), ("VME_BOOT_ID", "")];
        let by_variable = call(&["id=started_ok"], &variables).unwrap();
        assert_eq!(by_variable.appliance, "db2");
        assert_eq!(by_variable.way.broker, "b2:2");
        assert_eq!(by_variable.way.timeout, TIMEOUT);

        let words = ["--appliance=db1", "--broker=b1:1", "--timeout=1m", "id=started_ok"];
        let by_option = call(&words, &variables).unwrap();
        assert_eq!(by_option.appliance, "db1");
        assert_eq!(by_option.way.broker, "b1:1");
        assert_eq!(by_option.way.timeout, Duration::from_secs(60));

        let empty = [("GRID_BROKER", ""), ("VME_APPLIANCE", "db3")];
        assert_eq!(call(&["id=started_ok"], &empty).unwrap().way.broker, client::DEFAULT_BROKER);
    }

    #[test]
    fn mistakes_of_options_environment_and_words_are_told_together() {
        let words = ["--appliance=", "--timeout=10", "--broker=nowhere", "id=bad", "progress=0"];
        let wrong = call(&words, &[("VME_BOOT_ID", "b00t")]).unwrap_err();
        assert_eq!(
            wrong,
            [
                "--appliance `` is not 1 to 128 letters, digits, `.`, `_`, `-` or `:`",
                "--broker: broker address `nowhere` is not host:port, for instance 127.0.0.1:7443",
                "--timeout `10` is not a time from 100ms to 24h",
                "VME_BOOT_ID `b00t` is not a UUID of 36 characters",
                "id=`bad` is no event; it is one of started_ok, start_failed, maintenance, log, \
                 alert",
                "progress=`0` is not a whole number from 1 to 100",
            ]
        );
    }

    #[test]
    fn the_event_is_numbered_timed_and_of_the_named_boot() {
        let variables = [("VME_APPLIANCE", "db1"), ("VME_BOOT_ID", BOOT)];
        let call = call(&["id=log", "msg=x"], &variables).unwrap();
        let (request, doubt) = call.request().unwrap();
        assert_eq!(doubt, None);
        let (again, _) = call.request().unwrap();
        assert_ne!(request.spool_id, again.spool_id);
        let event = request.event.unwrap();
        assert_eq!((event.boot_id.as_str(), event.sequence, event.uptime_ms), (BOOT, 1, 0));
        assert!(event.event_time.is_some());
    }
}
