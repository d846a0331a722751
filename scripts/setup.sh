#!/usr/bin/env bash
# Installs the pinned tools into folders that git ignores (.tools, node_modules). It skips installed tools, so a
# second run takes a second. Usage: scripts/setup.sh [build|test|fuzz]; `test` adds the tools for the checks, `fuzz` those
# for `make fuzz`.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly CARGO_DENY=0.20.2
readonly CARGO_FUZZ=0.13.2
readonly NODE_AT_LEAST=20.19.0

say() { printf '\033[1m[setup]\033[0m %s\n' "$*"; }
fail() { printf '[setup] %s\n' "$*" >&2; exit 1; }

require() { command -v "$1" >/dev/null || fail "\`$1\` is missing: $2"; }

# True if the second version is at least the first.
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

# cargo_tool NAME VERSION COMMAND: COMMAND is the program that the package installs.
cargo_tool() {
    local name=$1 version=$2 command=$3
    if [ "$(installed_version "$command")" != "$version" ]; then
        say "$name $version (compiled once; a few minutes)"
        cargo install "$name" --version "$version" --locked --force --root .tools
    fi
}

# Our own command (tools/bindgen) around wasm-bindgen's library. Without optimization it compiles in a tenth of the time of the
# published commands, and it still runs in a second.
install_bindgen() {
    if [ ! -x .tools/bindgen/debug/bindgen ]; then
        say "bindgen (compiled once, without optimization; about half a minute)"
    fi
    cargo build --quiet --locked --manifest-path tools/bindgen/Cargo.toml --target-dir .tools/bindgen
}

install_wasm_target() {
    # rust-toolchain.toml names the target, but only rustup with automatic installs turned on acts on it.
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown" ]; then
        require rustup "install the target wasm32-unknown-unknown for $(rustc --version) by hand, or rustup"
        say "Rust's target wasm32-unknown-unknown"
        rustup target add wasm32-unknown-unknown
    fi
}

# In CI alone. On a developer's machine the check that needs it only reports that it is missing: we do not install system packages there.
install_from_system() {
    if [ "${CI:-}" = true ] && command -v apt-get >/dev/null; then
        say "$1"
        local as_root=""
        [ "$(id -u)" = 0 ] || as_root=sudo
        $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends "$1"
    fi
}

# Counts instructions.
install_valgrind() {
    command -v valgrind >/dev/null || install_from_system valgrind
}

# Presses the buttons of pages. tests/support/chromium.mjs looks for the same names.
install_chromium() {
    local name
    for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome-stable google-chrome; do
        if command -v "$name" >/dev/null; then return; fi
    done
    install_from_system chromium
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
# In parallel: npm waits for the network while cargo compiles.
install_node_modules &
readonly NODE_MODULES=$!
install_wasm_target
install_bindgen
wait "$NODE_MODULES"
if [ "${1:-build}" = test ]; then
    cargo_tool cargo-deny "$CARGO_DENY" cargo-deny
    install_valgrind
    install_chromium
fi
