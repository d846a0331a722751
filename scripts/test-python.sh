#!/usr/bin/env bash
# Builds the Python wheel, installs it, and tests the installed package: pytest on the oldest and the newest Python found,
# mypy and pyright on an example, and the README's ten lines in an empty folder. It writes only to .tools and target.
# Usage: scripts/test-python.sh [release], for the wheel as shipped.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

readonly PACKAGE=$root/crates/python
readonly TOOLS=$root/.tools/python
readonly WHEELS=$root/target/python/wheels
profile=dev
[ "${1:-}" = release ] && profile=release

say() { printf '\033[1m[python]\033[0m %s\n' "$*"; }
fail() { printf '[python] %s\n' "$*" >&2; exit 1; }

# Every Python from 3.9 on, on the path or from pyenv, the oldest first.
pythons() {
    for candidate in python3 "$HOME"/.pyenv/versions/*/bin/python; do
        "$candidate" -c 'import sys; v = sys.version_info; v >= (3, 9) and print(f"{v[0]}.{v[1]:02}", sys.executable)' 2>/dev/null || true
    done | sort -u -k1,1
}
oldest=$(pythons | head -n1 | cut -d' ' -f2)
newest=$(pythons | tail -n1 | cut -d' ' -f2)
[ -n "$newest" ] || fail 'Python 3.9 or newer is missing'

# environment FOLDER PYTHON REQUIREMENTS: a virtual environment, recreated when its inputs change.
environment() {
    local folder=$1 python=$2 requirements=$3 stamp
    stamp=$({ "$python" --version; cat "$requirements"; } | sha256sum)
    if [ "$(cat "$folder/.made-of" 2>/dev/null)" != "$stamp" ]; then
        rm -rf "$folder"
        "$python" -m venv "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
        printf '%s\n' "$stamp" >"$folder/.made-of"
    fi
}

say "tools ($("$newest" --version))"
environment "$TOOLS" "$newest" "$PACKAGE/requirements-test.txt"

say 'clippy'
PYO3_PYTHON=$TOOLS/bin/python CARGO_TARGET_DIR=$root/target \
    cargo clippy --quiet --locked --manifest-path "$PACKAGE/Cargo.toml" -- -D warnings

say "wheel, profile $profile"
rm -rf "$WHEELS"
# Uses the workspace's target folder, so that AWS-LC is compiled once.
(cd "$PACKAGE" && CARGO_TARGET_DIR=$root/target "$TOOLS/bin/maturin" build --quiet --locked --profile "$profile" \
    --interpreter "$TOOLS/bin/python" --out "$WHEELS")
wheel=$(echo "$WHEELS"/octo_sts-*-cp39-abi3-*.whl)
[ -f "$wheel" ] || fail "no wheel for the stable interface in $WHEELS"

# The table of attacks, written by the Rust tests.
tokens=$root/target/tmp/tokens.json
if [ ! -f "$tokens" ] || [ tests/vectors_tokens.rs -nt "$tokens" ]; then
    say 'table of attacks'
    cargo test --quiet --locked --test vectors_tokens manipulated_tokens
fi

test_with() {
    local python=$1
    "$python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
    # Runs in a folder without the sources, so that the tests use the installed package.
    (cd "$PACKAGE/tests" && OCTO_STS_TOKENS=$tokens PYTHONDONTWRITEBYTECODE=1 "$python" -m pytest -c ../pyproject.toml .)
}

say "pytest ($("$newest" --version))"
test_with "$TOOLS/bin/python"

if [ "$oldest" != "$newest" ]; then
    say "pytest ($("$oldest" --version))"
    # Older releases of the tools, which still support the oldest Python; the wheel is the same.
    printf '%s\n' pytest fastapi uvicorn httpx requests 'PyJWT' cryptography >"$root/.tools/requirements-oldest.txt"
    environment "$root/.tools/python-oldest" "$oldest" "$root/.tools/requirements-oldest.txt"
    test_with "$root/.tools/python-oldest/bin/python"
fi

say 'mypy --strict, pyright'
export PYRIGHT_PYTHON_CACHE_DIR=$root/.tools/pyright PYRIGHT_PYTHON_IGNORE_WARNINGS=1
cd "$PACKAGE"
"$TOOLS/bin/mypy" --strict --no-error-summary --cache-dir "$root/target/python/mypy" --python-executable "$TOOLS/bin/python" \
    examples/server.py python/octo_sts
"$TOOLS/bin/pyright" --pythonpath "$TOOLS/bin/python" examples/server.py

say 'the README in an empty folder'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$newest" -m venv fresh
fresh/bin/pip install --quiet --disable-pip-version-check "$wheel[server,client]" uvicorn
"$TOOLS/bin/python" - "$PACKAGE/README.md" >main.py <<'PYTHON'
import re, sys
print(re.search(r"```python\n(.*?)```", open(sys.argv[1]).read(), re.DOTALL).group(1))
PYTHON
fresh/bin/python - <<'PYTHON'
import threading, time, httpx, uvicorn, main
server = uvicorn.Server(uvicorn.Config(main.app, host="127.0.0.1", port=0, log_level="warning"))
thread = threading.Thread(target=server.run, daemon=True)
thread.start()
while not server.started:
    assert thread.is_alive()
    time.sleep(0.01)
port = server.servers[0].sockets[0].getsockname()[1]
answer = httpx.post(f"http://127.0.0.1:{port}/deploy", headers={"Authorization": "Bearer a.b.c"})
assert answer.status_code == 401 and answer.json() == {"detail": "the token is not accepted"}, answer.text
PYTHON
say 'all passed'
