#!/usr/bin/env bash
# Compiles the libraries with the oldest Rust that their manifests promise (`rust-version`). Clippy knows it too and looks
# for newer parts of the standard library in every `make lint`; this is the proof, and a job of its own in CI.
set -euo pipefail
cd "$(dirname "$0")/.."

msrv=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml | head -n1)
command -v rustup >/dev/null || { echo '[msrv] `rustup` is missing: it installs the oldest Rust' >&2; exit 1; }
rustup toolchain list | grep -q "^$msrv" || rustup toolchain install "$msrv" --profile minimal --no-self-update
rustup run "$msrv" cargo check --locked --target-dir target/msrv --all-features \
    --package octo-sts-verifier --package octo-sts-policy --package octo-sts
