# The tiers of tests and the usual steps; each is a command of its own too. `just` lists them.

# List the recipes.
default:
    @just --list --unsorted

# Under a minute once built, without root: the core, golden journals, fuzzing, tidiness.
fast:
    tests/fast

# Everything, as continuous integration does it; needs root on Debian.
full:
    tests/run

# The long counts of kills, power cuts, damage and fuzzing; hours.
soak:
    tests/soak

# One test by a part of its name: `just one rate_limit`.
one NAME:
    cargo test --lib -- {{NAME}}

# Format, and check as continuous integration does.
lint:
    cargo fmt
    cargo clippy --release --all-targets -- -D warnings

# The release programs.
build:
    cargo build --release --locked
