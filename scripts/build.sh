#!/usr/bin/env bash
# Builds the release Worker: build/index.js and build/index_bg.wasm. Called by `make build`, which installs the tools.
# `vectors` builds the Worker that verifies published signatures, for the tests, into target/vectors. `floor` and `empty`
# build the Workers that `make bench` compares with, in the same way, into target/floor and target/empty.
#
# cargo compiles the module, .tools/bindgen generates its bindings, esbuild bundles them with the entry, and wasm-opt shrinks
# the module.
set -euo pipefail
cd "$(dirname "$0")/.."
readonly ROOT=$PWD
export RUST_BACKTRACE=0

say() { printf '\033[1m[build]\033[0m %s\n' "$*"; }

# Panic messages contain source paths, which begin with local folders. Mapping these to fixed names makes the same commit
# give the same Worker everywhere.
remapped() {
    local flags=()
    remap() {
        local from=${1//\\/\\\\}
        flags+=("\"--remap-path-prefix=${from//\"/\\\"}=$2\"")
    }
    remap "$(pwd -P)" /octo-sts-worker
    local cargo_home registry commit
    cargo_home=$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
    remap "$cargo_home" /cargo
    # The folder is named after the registry, which may be a mirror.
    for registry in "$cargo_home"/registry/src/*/; do
        remap "${registry%/}" /cargo
    done
    commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
    remap "$(rustc --print sysroot)/lib/rustlib/src/rust" "/rustc/$commit"
    local list
    list=$(IFS=,; echo "${flags[*]}")
    printf 'target.wasm32-unknown-unknown.rustflags=[%s]' "$list"
}

# module PACKAGE TARGET_FOLDER [ARGUMENTS OF CARGO]: builds the library as a cdylib only. It is also an rlib, for the tests; but
# building both disables link-time optimization, which saves 5 % of the compressed wasm.
module() {
    local target=$2
    cargo rustc --lib --crate-type cdylib --release --locked --target wasm32-unknown-unknown --target-dir "$target" \
        --config "$(remapped)" "${@:3}"
}

# bundle WASM ENTRY FOLDER: generates the bindings, and bundles them with the entry into one file.
bundle() {
    local staging="$ROOT/target/staging/$(basename "$3")"
    rm -rf "$staging" && mkdir -p "$staging" "$3"
    "$ROOT/.tools/bindgen/debug/bindgen" "$1" "$staging"
    # The runtime imports a wasm module by its plain name.
    sed -i.bak 's/^import source /import /' "$staging/index.js" && rm "$staging/index.js.bak"
    cp "$2" "$staging/entry.js"
    cp src/cloudflare/queue.js "$staging/queue.js"
    (cd "$staging" && "$ROOT/node_modules/.bin/esbuild" ./entry.js --inject:./queue.js --bundle --minify --format=esm --log-level=warning \
        '--external:./index_bg.wasm' '--external:cloudflare:*' --outfile=bundle.js)
    mv "$staging/bundle.js" "$3/index.js"
    mv "$staging/index_bg.wasm" "$3/index_bg.wasm"
}

# Shrinks the wasm module in a folder.
optimise() {
    say 'wasm-opt'
    # Measured, gzip: -O1 288 KB, -Os 302 KB, -Oz 303 KB (less inlining leaves more repetition, which compresses better).
    # Sorted by name, similar generic functions are neighbors, within gzip's window of 32 KB: saves 2 KB.
    # Named features, so that binaryen never emits an encoding that the runtime does not know yet.
    # The map of names is for check-size.mjs; the Worker itself contains no names.
    "$ROOT/node_modules/.bin/wasm-opt" -O1 --reorder-functions-by-name --print-function-map --strip-debug --strip-producers \
        --enable-mutable-globals --enable-sign-ext --enable-multivalue \
        --enable-nontrapping-float-to-int --enable-bulk-memory --enable-reference-types --enable-exception-handling \
        "$1/index_bg.wasm" -o "$1/index_bg.opt.wasm" > target/functions.map
    mv "$1/index_bg.opt.wasm" "$1/index_bg.wasm"
}

readonly RELEASE=wasm32-unknown-unknown/release

# floor NAME [ARGUMENTS OF CARGO]: builds one of the two Workers that `make bench` compares with.
floor() {
    (cd benches/floor && module floor "$ROOT/target/floor/cargo" "${@:2}")
    bundle "target/floor/cargo/$RELEASE/floor.wasm" benches/floor/entry.js "target/$1"
    optimise "target/$1"
}

case "${1:-}" in
    vectors)
        module octo-sts-worker target --features vectors
        bundle "target/$RELEASE/octo_sts_worker.wasm" src/cloudflare/entry.js target/vectors
        ;;
    floor) floor floor ;;
    empty) floor empty --features empty ;;
    '')
        say 'the Worker (about a minute from nothing)'
        module octo-sts-worker target
        rm -rf build
        bundle "target/$RELEASE/octo_sts_worker.wasm" src/cloudflare/entry.js build
        optimise build
        node scripts/check-size.mjs --report
        ;;
    *)
        echo "unknown: $1" >&2
        exit 2
        ;;
esac
