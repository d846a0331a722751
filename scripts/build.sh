#!/usr/bin/env bash
# Builds the release Worker: build/index.js and build/index_bg.wasm. Called by `make build`, which installs the tools.
set -euo pipefail
cd "$(dirname "$0")/.."

# worker-build takes these before its own cache and before any download.
export WASM_BINDGEN_BIN="$PWD/.tools/bin/wasm-bindgen"
export WASM_OPT_BIN="$PWD/node_modules/.bin/wasm-opt"
export ESBUILD_BIN="$PWD/node_modules/.bin/esbuild"

.tools/bin/worker-build --release --locked
node scripts/check-size.mjs
