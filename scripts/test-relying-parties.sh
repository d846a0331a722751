#!/usr/bin/env bash
# The built Worker, for programs in Python that nobody here wrote: PyJWT as a relying party, Authlib as an OAuth client, the
# SDKs of Anthropic and OpenAI as clients of the proxy, httpbin as an upstream, AWS as moto plays it, with boto3 and the
# command line of AWS, and Schemathesis, which makes requests of docs/openapi.yaml for FUZZ_SECONDS=60 from FUZZ_SEED=1.
# Everything lands in .tools and target.
# `make build` comes first. Arguments go to pytest.
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
