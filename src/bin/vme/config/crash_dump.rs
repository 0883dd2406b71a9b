//! What `vme agent` may do for crash dumps, and where it looks for them.
//!
//! Guarantees that leave to crash the kernel is given by name only. Opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{ClientConfigError, Environment, lossy, non_empty_variable, option_or_variable};
use crate::arguments::AgentArguments;
use crate::crash_dump::CrashDumpConfig;
use crate::crash_dump::kernel::Kernel;

/// Where Debian's kdump-tools, and others, put dumps.
const DEFAULT_CRASH_FOLDER: &str = "/var/crash";

/// In place of a folder: dumps are not looked for.
const NONE: &str = "none";

/// Another root of the kernel's files, for tests.
const KERNEL_ROOT: &str = "VME_KERNEL_ROOT";

impl CrashDumpConfig {
    /// # Errors
    ///
    /// All errors in the options and the environment.
    pub(crate) fn new(
        arguments: &AgentArguments,
        environment: Environment,
    ) -> Result<Self, Vec<ClientConfigError>> {
        let leave = parse_leave(arguments.allow_crash_dump, environment);
        let folder = parse_folder(arguments.crash_dir.as_ref(), environment);
        let root = non_empty_variable(KERNEL_ROOT, environment).unwrap_or_else(|| "/".into());
        match (leave, folder) {
            (Ok(has_leave), Ok(folder)) => {
                Ok(Self { has_leave, folder, kernel: Kernel::at(PathBuf::from(root)) })
            }
            (leave, folder) => Err(leave.err().into_iter().chain(folder.err()).collect()),
        }
    }
}

fn parse_leave(is_option: bool, environment: Environment) -> Result<bool, ClientConfigError> {
    let Some(value) = non_empty_variable("VME_ALLOW_CRASH_DUMP", environment) else {
        return Ok(is_option);
    };
    match lossy(&value).as_str() {
        "yes" => Ok(true),
        "no" => Ok(is_option),
        value => Err(ClientConfigError::Leave { value: value.to_owned() }),
    }
}

fn parse_folder(
    option: Option<&OsString>,
    environment: Environment,
) -> Result<Option<(PathBuf, bool)>, ClientConfigError> {
    let given = option_or_variable(("--crash-dir", option), "VME_CRASH_DIR", environment);
    let Some((source_name, value)) = given else {
        return Ok(Some((DEFAULT_CRASH_FOLDER.into(), false)));
    };
    if value == NONE {
        return Ok(None);
    }
    match std::path::absolute(&value) {
        Ok(folder) => Ok(Some((folder, true))),
        Err(_) => Err(ClientConfigError::CrashFolder { source_name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(
        allow_crash_dump: bool,
        crash_dir: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<CrashDumpConfig, Vec<String>> {
        let crash_dir = crash_dir.map(OsString::from);
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        };
        CrashDumpConfig::new(&AgentArguments { allow_crash_dump, crash_dir }, &environment)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn leave_is_given_by_option_or_variable_only() {
        for (option, variable, has_leave) in [
            (false, "", false),
            (true, "", true),
            (false, "yes", true),
            (true, "no", true),
            (false, "no", false),
        ] {
            let variables = [("VME_ALLOW_CRASH_DUMP", variable)];
            let read = config(option, None, &variables).unwrap();
            assert_eq!(read.has_leave, has_leave, "{option} {variable}");
        }
    }

    #[test]
    fn dumps_are_looked_for_in_one_folder_or_nowhere() {
        let folder = |option, variables: &[(&str, &str)]| {
            let folder = config(false, option, variables).unwrap().folder;
            folder.map(|(path, is_given)| (path.display().to_string(), is_given))
        };
        assert_eq!(folder(None, &[]), Some(("/var/crash".to_owned(), false)));
        assert_eq!(folder(None, &[("VME_CRASH_DIR", "none")]), None);
        let variables = [("VME_CRASH_DIR", "/srv/crash")];
        assert_eq!(folder(None, &variables), Some(("/srv/crash".to_owned(), true)));
        assert_eq!(folder(Some("/mnt"), &variables), Some(("/mnt".to_owned(), true)));
        assert_eq!(folder(Some("none"), &variables), None);
    }

    #[test]
    fn errors_are_reported_together() {
        let errors = config(false, Some(""), &[("VME_ALLOW_CRASH_DUMP", "1")]).unwrap_err();
        assert_eq!(
            errors,
            [
                "VME_ALLOW_CRASH_DUMP `1` is not yes or no",
                "--crash-dir is empty; it is the folder of crash dumps, or none",
            ]
        );
    }
}
