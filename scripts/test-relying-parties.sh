#!/usr/bin/env bash
# Tests the built Worker with independent Python programs: PyJWT as a relying party, Authlib as an OAuth client, and
# Schemathesis, which generates requests from docs/openapi.yaml for FUZZ_SECONDS=60 with the seed FUZZ_SEED=1. It writes
# only to .tools and target. Run `make build` first. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TOOLS=.tools/python-relying-parties
readonly REQUIREMENTS=tests/python/requirements.txt

fail() { printf '[python] %s\n' "$*" >&2; exit 1; }

[ -f build/index_bg.wasm ] || fail 'there is no build/index_bg.wasm; run `make build`'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail 'Python 3.10 or newer is missing'

# Recreated when its inputs change.
stamp=$({ python3 --version; cat "$REQUIREMENTS"; } | sha256sum)
if [ "$(cat "$TOOLS/.made-of" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$TOOLS"
    python3 -m venv "$TOOLS"
    "$TOOLS/bin/pip" install --quiet --disable-pip-version-check --requirement "$REQUIREMENTS"
    printf '%s\n' "$stamp" >"$TOOLS/.made-of"
fi

export PYTHONDONTWRITEBYTECODE=1
exec "$TOOLS/bin/python" -m pytest -q -p no:cacheprovider tests/python "$@"
