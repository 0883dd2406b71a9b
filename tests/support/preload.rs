//! Shims in C that are preloaded into programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles the shim with that source, a path within the repository; gives the library.
pub(crate) fn compiled(source: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let stem = path.file_stem().and_then(|it| it.to_str()).expect("a name");
    // One for each process: another one may be loading its own just now.
    let name = format!("{stem}-{}.so", std::process::id());
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([&library, &path])
        .args(["-ldl", "-lpthread"])
        .status()
        .expect("cc is needed, since the shim is C: install gcc and libc6-dev");
    assert!(built.success(), "cc does not compile {source}");
    library
}
