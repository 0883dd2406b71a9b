//! `gridd check-config`: checks the configuration, and prints the effective settings.
//!
//! Guarantees that it reads flags, environment and file as a start does, that all errors are
//! reported, and that only the settings file and the files of secrets are opened. Knows no key.

use std::process::ExitCode as ProcessExit;

use grid_broker::config::error::ConfigError;
use grid_broker::config::{EffectiveSetting, Settings, SettingsSources};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::escape;
use grid_broker::{stderr, stdout};
use serde_json::{Value, json};

use crate::arguments::{CheckConfigArgs, CheckConfigFormat};

/// Runs the command.
pub(crate) fn run(arguments: &CheckConfigArgs, given: &SettingsSources) -> ProcessExit {
    let (errors, warnings, settings) = match Settings::new(given) {
        Ok(settings) => (Vec::new(), settings.warnings(), settings.effective()),
        Err(errors) => (errors.0, Vec::new(), Vec::new()),
    };
    let text = match arguments.output {
        CheckConfigFormat::Table => {
            print_errors(&errors, &warnings);
            format_table(&settings)
        }
        CheckConfigFormat::Json => to_json(&errors, &warnings, &settings),
    };
    let code = if errors.is_empty() { ExitCode::Done } else { ExitCode::Usage };
    stdout::finish("gridd", stdout::write(&text), code).into()
}

fn print_errors(errors: &[ConfigError], warnings: &[ConfigError]) {
    errors.iter().for_each(|error| stderr::write_line(&error.to_string()));
    warnings.iter().for_each(|warning| stderr::write_line(&format!("warning: {warning}")));
    match errors.len() {
        0 => {}
        1 => stderr::write_line("gridd: 1 error; gridd will not start"),
        many => stderr::write_line(&format!("gridd: {many} errors; gridd will not start")),
    }
}

fn format_table(settings: &[EffectiveSetting]) -> String {
    let shown: Vec<[String; 3]> = settings.iter().map(setting_row).collect();
    let width = |column: usize| {
        shown.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let (keys, values) = (width(0), width(1));
    let lines = shown
        .iter()
        .map(|[key, value, origin]| format!("{key:keys$}  {value:values$}  {origin}\n"));
    lines.collect()
}

fn setting_row(setting: &EffectiveSetting) -> [String; 3] {
    let EffectiveSetting { key, value, origin } = setting;
    [key, value, &origin.to_string()].map(|text| escape::escape(text).into_owned())
}

fn to_json(
    errors: &[ConfigError],
    warnings: &[ConfigError],
    settings: &[EffectiveSetting],
) -> String {
    let entry = |it: &ConfigError| json!({ "origin": it.origin.to_string(), "key": it.key, "text": it.text });
    let setting = |it: &EffectiveSetting| json!({ "key": it.key, "value": it.value, "origin": it.origin.to_string() });
    let whole = json!({
        "errors": errors.iter().map(entry).collect::<Vec<Value>>(),
        "warnings": warnings.iter().map(entry).collect::<Vec<Value>>(),
        "settings": settings.iter().map(setting).collect::<Vec<Value>>(),
    });
    format!("{}\n", escape::escape_json(&whole.to_string()))
}
