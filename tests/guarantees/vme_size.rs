//! vme goes onto every appliance: it carries nothing of the broker, and little in all.

use std::process::Command;

/// What a running vme may take of code and data, in bytes. Measured: 5.4 MB before it had TLS, 8.7 MB
/// with TLS and keys; 17.3 MB in a debug build, where nothing that is not called is left out.
const LOADED_MAX: u64 = if cfg!(debug_assertions) { 20 << 20 } else { 10 << 20 };

/// Names of crates as they stand in the symbols of whoever uses them.
const OF_THE_BROKER: [&str; 3] = ["4sled", "6lettre", "8governor"];

fn program(path: &str) -> Vec<u8> {
    std::fs::read(path).expect("a program of this build")
}

/// The functions of a program, by binutils, which come with the C compiler.
fn functions(path: &str) -> String {
    let listed = Command::new("nm").args(["--defined-only", path]).output();
    let listed = listed.expect("nm (Debian's binutils) is needed");
    assert!(listed.status.success(), "{listed:?}");
    let lines = String::from_utf8(listed.stdout).expect("UTF-8");
    lines.lines().filter(|line| line.to_lowercase().contains(" t ")).collect()
}

/// Bytes of the segments that are loaded, of a 64-bit little-endian ELF file.
fn loaded(program: &[u8]) -> u64 {
    let number = |at: usize, bytes: usize| {
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(&program[at..at + bytes]);
        u64::from_le_bytes(number)
    };
    let place = |at| usize::try_from(at).expect("within the file");
    let (table, size, count) = (place(number(32, 8)), place(number(54, 2)), place(number(56, 2)));
    let segments = (0..count).map(|segment| table + segment * size);
    segments.filter(|at| number(*at, 4) == 1).map(|at| number(at + 40, 8)).sum()
}

#[test]
fn vme_carries_nothing_of_the_broker() {
    let (gridd, vme) = (env!("CARGO_BIN_EXE_gridd"), env!("CARGO_BIN_EXE_vme"));
    let (of_gridd, of_vme) = (functions(gridd), functions(vme));
    for name in OF_THE_BROKER {
        assert!(of_gridd.contains(name), "gridd has {name}, or this test sees nothing");
        assert!(!of_vme.contains(name), "vme has {name}");
    }
    let (gridd, vme) = (program(gridd), program(vme));
    assert!(loaded(&vme) < LOADED_MAX, "vme takes {} bytes", loaded(&vme));
    assert!(loaded(&gridd) > loaded(&vme));
}
