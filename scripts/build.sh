#!/usr/bin/env bash
# Builds the release Worker: build/index.js and build/index_bg.wasm. Called by `make build`, which installs the tools.
set -euo pipefail
cd "$(dirname "$0")/.."

# worker-build takes these before its own cache and before any download.
export WASM_BINDGEN_BIN="$PWD/.tools/bin/wasm-bindgen"
export WASM_OPT_BIN="$PWD/node_modules/.bin/wasm-opt"
export ESBUILD_BIN="$PWD/node_modules/.bin/esbuild"
export RUST_BACKTRACE=0

.tools/bin/worker-build --release --no-opt --locked

# Optimized here, because worker-build keeps the functions' names: an eighth of the gzipped size, for stack traces of
# panics that must not happen. The features are those that Rust's target and wasm-bindgen use; `--all-features` would
# let binaryen use encodings that workerd does not know.
echo "optimizing build/index_bg.wasm"
"$WASM_OPT_BIN" -Oz \
    --enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int --enable-bulk-memory \
    --enable-multivalue --enable-reference-types --enable-exception-handling \
    build/index_bg.wasm -o build/index_bg.wasm

node scripts/check-size.mjs
