//! `gridd check-config`: is the configuration right, and which settings would hold?
//!
//! Guarantees that it goes by flags, environment and file as a start would, that all mistakes are
//! told, and that nothing but the file and the files of secrets is opened. Knows no key.

use std::io::{self, Write};
use std::process::ExitCode as ProcessExit;

use grid_broker::config::mistake::Mistake;
use grid_broker::config::{Given, Setting, Settings};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::escape;
use serde_json::{Value, json};

use crate::arguments::{CheckConfig, Output};

/// Does it.
pub(crate) fn run(arguments: &CheckConfig, given: &Given) -> ProcessExit {
    let (mistakes, warnings, settings) = match Settings::new(given) {
        Ok(settings) => (Vec::new(), settings.warnings(), settings.in_force()),
        Err(mistakes) => (mistakes.0, Vec::new(), Vec::new()),
    };
    // A reader that went away has seen enough.
    let _ = match arguments.output {
        Output::Table => told(&mistakes, &warnings, &settings),
        Output::Json => told_as_json(&mistakes, &warnings, &settings),
    };
    if mistakes.is_empty() { ExitCode::Done.into() } else { ExitCode::Usage.into() }
}

fn told(mistakes: &[Mistake], warnings: &[Mistake], settings: &[Setting]) -> io::Result<()> {
    let mut err = io::stderr();
    for mistake in mistakes {
        writeln!(err, "{mistake}")?;
    }
    for warning in warnings {
        writeln!(err, "warning: {warning}")?;
    }
    match mistakes.len() {
        0 => {}
        1 => writeln!(err, "gridd: 1 mistake, with which gridd does not start")?,
        many => writeln!(err, "gridd: {many} mistakes, with which gridd does not start")?,
    }
    let mut out = io::stdout().lock();
    let shown: Vec<[String; 3]> = settings.iter().map(shown).collect();
    let width = |column: usize| {
        shown.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let (keys, values) = (width(0), width(1));
    for [key, value, origin] in &shown {
        writeln!(out, "{key:keys$}  {value:values$}  {origin}")?;
    }
    out.flush()
}

fn shown(setting: &Setting) -> [String; 3] {
    let Setting { key, value, origin } = setting;
    [key, value, &origin.to_string()].map(|text| escape::escape(text).into_owned())
}

fn told_as_json(
    mistakes: &[Mistake],
    warnings: &[Mistake],
    settings: &[Setting],
) -> io::Result<()> {
    let place =
        |it: &Mistake| json!({ "origin": it.origin.to_string(), "key": it.key, "text": it.text });
    let setting =
        |it: &Setting| json!({ "key": it.key, "value": it.value, "origin": it.origin.to_string() });
    let whole = json!({
        "mistakes": mistakes.iter().map(place).collect::<Vec<Value>>(),
        "warnings": warnings.iter().map(place).collect::<Vec<Value>>(),
        "settings": settings.iter().map(setting).collect::<Vec<Value>>(),
    });
    writeln!(io::stdout(), "{}", escape::escape_json(&whole.to_string()))
}
