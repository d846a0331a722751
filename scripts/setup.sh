#!/usr/bin/env bash
# Installs the pinned tools into folders that git ignores (.tools, node_modules). What is there is left alone, so a
# second run takes a second. Usage: scripts/setup.sh [build|test]; `test` adds what only the checks need.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly WORKER_BUILD=0.8.7     # the release of the `worker` crate in Cargo.toml
readonly WASM_BINDGEN=0.2.129   # the release of the `wasm-bindgen` crate in Cargo.toml
readonly CARGO_DENY=0.20.2
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

# cargo_tool NAME VERSION COMMAND: COMMAND is what the package installs.
cargo_tool() {
    local name=$1 version=$2 command=$3
    if [ "$(".tools/bin/$command" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n1)" != "$version" ]; then
        say "$name $version (compiled once; a few minutes)"
        cargo install "$name" --version "$version" --locked --force --root .tools
    fi
}

install_worker_build() {
    # Its downloader (which we never use: every tool is handed to it) links the system's TLS.
    if [ ! -x .tools/bin/worker-build ] && [ "$(uname -s)" = Linux ]; then
        { command -v pkg-config >/dev/null && pkg-config --exists openssl; } ||
            fail "worker-build needs pkg-config and the OpenSSL headers to compile.
        Debian, Ubuntu: apt-get install pkg-config libssl-dev
        Fedora:         dnf install pkgconf-pkg-config openssl-devel
        Alpine:         apk add pkgconf openssl-dev"
    fi
    cargo_tool worker-build "$WORKER_BUILD" worker-build
}

install_wasm_target() {
    # rust-toolchain.toml names the target, but only rustup with automatic installs turned on acts on it.
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then
        require rustup "install the target wasm32-unknown-unknown for $(rustc --version) by hand, or rustup"
        say "Rust's target wasm32-unknown-unknown"
        rustup target add wasm32-unknown-unknown
    fi
}

require cargo "install Rust, https://rustup.rs"
require node "install Node.js $NODE_AT_LEAST or newer"
require npm "it comes with Node.js"
install_node_modules
install_wasm_target
install_worker_build
cargo_tool wasm-bindgen-cli "$WASM_BINDGEN" wasm-bindgen
if [ "${1:-build}" = test ]; then
    cargo_tool cargo-deny "$CARGO_DENY" cargo-deny
fi
