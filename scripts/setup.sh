#!/usr/bin/env bash
# Installs the pinned tools into folders that git ignores (.tools, node_modules). What is there is left alone, so a
# second run takes a second. Usage: scripts/setup.sh [build|test|fuzz]; `test` adds what only the checks need, `fuzz` is
# for `make fuzz` alone.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly WORKER_BUILD=0.8.7     # the release of the `worker` crate in Cargo.toml
readonly WASM_BINDGEN=0.2.129   # the release of the `wasm-bindgen` crate in Cargo.toml
readonly CARGO_DENY=0.20.2
readonly CARGO_FUZZ=0.13.2
readonly NODE_AT_LEAST=20.19.0

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
fail() { printf '[setup] %s\n' "$*" >&2; exit 1; }

require() { command -v "$1" >/dev/null || fail "\`$1\` is missing: $2"; }

# True where the second version is at least the first.
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

install_node_modules() {
    local node_version
    node_version=$(node --version | tr -d v)
    at_least "$NODE_AT_LEAST" "$node_version" || fail "Node $node_version is too old; $NODE_AT_LEAST or newer is needed"
    if ! cmp -s package-lock.json node_modules/.locked-by; then
        say "npm packages: wrangler, esbuild, wasm-opt and what the tests run against"
        npm ci --no-audit --no-fund --loglevel=error
        cp package-lock.json node_modules/.locked-by
    fi
}

installed_version() { ".tools/bin/$1" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n1 || true; }

# cargo_tool NAME VERSION COMMAND: COMMAND is what the package installs.
cargo_tool() {
    local name=$1 version=$2 command=$3
    if [ "$(installed_version "$command")" != "$version" ]; then
        say "$name $version (compiled once; a few minutes)"
        cargo install "$name" --version "$version" --locked --force --root .tools
    fi
}

install_worker_build() {
    if [ "$(installed_version worker-build)" = "$WORKER_BUILD" ]; then
        return
    fi
    if [ "$(uname -s)" != Linux ] || { command -v pkg-config >/dev/null && pkg-config --exists openssl; }; then
        cargo_tool worker-build "$WORKER_BUILD" worker-build
    else
        worker_build_without_openssl
    fi
}

# worker-build links the system's TLS for a downloader that we never use: every tool is handed to it. Where OpenSSL's
# headers are missing it is compiled without, from the same sources and the same lock file.
worker_build_without_openssl() {
    say "worker-build $WORKER_BUILD, without OpenSSL (compiled once; a few minutes)"
    local sources=.tools/sources
    rm -rf "$sources" && mkdir -p "$sources/fetch/src" && touch "$sources/fetch/src/lib.rs"
    # cargo downloads and verifies the dependencies of a package, so there is one that has worker-build as such.
    printf '[package]\nname = "fetch"\nversion = "0.0.0"\n[dependencies]\nworker-build = "=%s"\n' "$WORKER_BUILD" \
        >"$sources/fetch/Cargo.toml"
    cargo fetch --quiet --manifest-path "$sources/fetch/Cargo.toml"
    cp -R "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"worker-build-$WORKER_BUILD" "$sources/worker-build"
    chmod -R u+w "$sources/worker-build"
    sed -i '/^ *"native-tls",$/d' "$sources/worker-build/Cargo.toml"
    # Takes what nobody needs any more out of the lock file, and changes nothing else in it.
    cargo fetch --quiet --manifest-path "$sources/worker-build/Cargo.toml"
    cargo install --path "$sources/worker-build" --locked --force --root .tools
}

install_wasm_target() {
    # rust-toolchain.toml names the target, but only rustup with automatic installs turned on acts on it.
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then
        require rustup "install the target wasm32-unknown-unknown for $(rustc --version) by hand, or rustup"
        say "Rust's target wasm32-unknown-unknown"
        rustup target add wasm32-unknown-unknown
    fi
}

install_valgrind() {
    # Counts instructions. On a person's machine the check says that it is missing; installing it is not ours to do.
    if [ "${CI:-}" = true ] && ! command -v valgrind >/dev/null && command -v apt-get >/dev/null; then
        say "valgrind"
        local as_root=""
        [ "$(id -u)" = 0 ] || as_root=sudo
        $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends valgrind
    fi
}

require cargo "install Rust, https://rustup.rs"
if [ "${1:-build}" = fuzz ]; then
    require rustup "libFuzzer needs its nightly toolchain"
    rustup toolchain list | grep -q '^nightly' || fail 'the nightly toolchain is missing: `rustup toolchain install nightly --profile minimal`'
    cargo_tool cargo-fuzz "$CARGO_FUZZ" cargo-fuzz
    exit
fi
require node "install Node.js $NODE_AT_LEAST or newer"
require npm "it comes with Node.js"
install_node_modules
install_wasm_target
install_worker_build
cargo_tool wasm-bindgen-cli "$WASM_BINDGEN" wasm-bindgen
if [ "${1:-build}" = test ]; then
    cargo_tool cargo-deny "$CARGO_DENY" cargo-deny
    install_valgrind
fi
