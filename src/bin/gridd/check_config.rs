//! Runs `gridd check-config`: checks the configuration and shows the settings that would apply.
//!
//! Guarantees that it goes by flags, environment and file as a start would, that all mistakes are
//! told, and that nothing but the file and the files of secrets is opened. Knows no key.

use std::process::ExitCode as ProcessExit;

use grid_broker::config::error::ConfigError;
use grid_broker::config::{EffectiveSetting, Settings, SettingsSources};
use grid_broker::exit_code::ExitCode;
use grid_broker::show::escape;
use grid_broker::{stderr, stdout};
use serde_json::{Value, json};

use crate::arguments::{CheckConfig, ReportOutput};

/// Does it.
pub(crate) fn run(arguments: &CheckConfig, given: &SettingsSources) -> ProcessExit {
    let (mistakes, warnings, settings) = match Settings::new(given) {
        Ok(settings) => (Vec::new(), settings.warnings(), settings.effective()),
        Err(mistakes) => (mistakes.0, Vec::new(), Vec::new()),
    };
    let text = match arguments.output {
        ReportOutput::Table => {
            print_errors(&mistakes, &warnings);
            table(&settings)
        }
        ReportOutput::Json => as_json(&mistakes, &warnings, &settings),
    };
    let code = if mistakes.is_empty() { ExitCode::Done } else { ExitCode::Usage };
    stdout::finish("gridd", stdout::write(&text), code).into()
}

fn print_errors(mistakes: &[ConfigError], warnings: &[ConfigError]) {
    mistakes.iter().for_each(|mistake| stderr::write_line(&mistake.to_string()));
    warnings.iter().for_each(|warning| stderr::write_line(&format!("warning: {warning}")));
    match mistakes.len() {
        0 => {}
        1 => stderr::write_line("gridd: 1 mistake, with which gridd does not start"),
        many => {
            stderr::write_line(&format!("gridd: {many} mistakes, with which gridd does not start"))
        }
    }
}

fn table(settings: &[EffectiveSetting]) -> String {
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

fn as_json(
    mistakes: &[ConfigError],
    warnings: &[ConfigError],
    settings: &[EffectiveSetting],
) -> String {
    let place = |it: &ConfigError| json!({ "origin": it.origin.to_string(), "key": it.key, "text": it.text });
    let setting = |it: &EffectiveSetting| json!({ "key": it.key, "value": it.value, "origin": it.origin.to_string() });
    let whole = json!({
        "mistakes": mistakes.iter().map(place).collect::<Vec<Value>>(),
        "warnings": warnings.iter().map(place).collect::<Vec<Value>>(),
        "settings": settings.iter().map(setting).collect::<Vec<Value>>(),
    });
    format!("{}\n", escape::escape_json(&whole.to_string()))
}
