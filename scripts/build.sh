#!/usr/bin/env bash
# Builds the release Worker: build/index.js and build/index_bg.wasm. Called by `make build`, which installs the tools.
# With `vectors` it builds the Worker that answers published signatures, into target/vectors, for the tests. With `floor`
# and `empty` it builds what `make bench` compares with, in the same way, into target/floor and target/empty.
set -euo pipefail
cd "$(dirname "$0")/.."

# worker-build takes these before its own cache and before any download.
export WASM_BINDGEN_BIN="$PWD/.tools/bin/wasm-bindgen"
export WASM_OPT_BIN="$PWD/node_modules/.bin/wasm-opt"
export ESBUILD_BIN="$PWD/node_modules/.bin/esbuild"
export RUST_BACKTRACE=0

REAL_CARGO=$(command -v cargo)
export REAL_CARGO PATH="$PWD/scripts/cargo-cdylib:$PATH"

if [ "${1:-}" = vectors ]; then
    exec .tools/bin/worker-build --release --out-dir target/vectors --locked --features vectors
fi

# Makes smaller what worker-build left in a folder.
optimise() {
    echo 'wasm-opt ...'
    # Measured, gzip: -O1 288 KB, -Os 302 KB, -Oz 303 KB (what is inlined less repeats itself more, and compresses better).
    # By name, what is generic stands beside its likes, where gzip (32 KB of memory) sees the likeness: 2 KB.
    # Named features, so that binaryen never emits an encoding that the runtime does not know yet.
    # The map of names is for check-size.mjs: the Worker itself has none.
    "$WASM_OPT_BIN" -O1 --reorder-functions-by-name --print-function-map --strip-debug --strip-producers \
        --enable-mutable-globals --enable-sign-ext --enable-multivalue \
        --enable-nontrapping-float-to-int --enable-bulk-memory --enable-reference-types --enable-exception-handling \
        "$1/index_bg.wasm" -o "$1/index_bg.opt.wasm" > target/functions.map
    mv "$1/index_bg.opt.wasm" "$1/index_bg.wasm"
}

# floor NAME [ARGUMENTS OF CARGO]: one of the two Workers that `make bench` compares with.
floor() {
    local out="$PWD/target/$1" worker_build="$PWD/.tools/bin/worker-build"
    (cd benches/floor && CARGO_TARGET_DIR="$PWD/../../target/floor/cargo" "$worker_build" --release --out-dir "$out" --locked "${@:2}")
    optimise "$out"
}

case "${1:-}" in
    floor) floor floor; exit ;;
    empty) floor empty --features empty; exit ;;
esac

.tools/bin/worker-build --release --locked
optimise build
node scripts/check-size.mjs --report
