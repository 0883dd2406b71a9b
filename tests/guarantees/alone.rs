//! A test in a process of its own: one that blocks all its workers, or dies of a signal otherwise.

use crate::support::{Run, clean, in_runtime, run};

/// Set in the process of its own.
const INSIDE: &str = "GRID_TEST_ALONE";

/// Runs `body` in a process of its own, to its good end; `test` is the calling test, `module::name`.
/// Gives what that process said, and nothing within it.
pub(crate) fn alone(test: &str, body: impl FnOnce()) -> Option<Run> {
    if std::env::var_os(INSIDE).is_some() {
        body();
        return None;
    }
    let own = std::env::current_exe().expect("the test's own program");
    let mut command = clean(&own);
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let factor = "GRID_TEST_TIMEOUT_FACTOR";
    command.envs(std::env::var_os(factor).map(|value| (factor, value)));
    let ended = in_runtime(run(command));
    assert_eq!(ended.code, Some(0), "{test} failed alone:\n{}\n{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("1 passed"), "{test} is not the calling test: {}", ended.stdout);
    Some(ended)
}
