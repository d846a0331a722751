#!/usr/bin/env bash
# Writes policies-schema/*.schema.json from the loader's own lists and limits. tests/schemas.rs fails when they are out of date.
set -euo pipefail
cd "$(dirname "$0")/.."
for name in trust-policy organization-trust-policy trusted-token-issuers upstreams; do
    cargo run --quiet --locked --package octo-sts-cli -- schema "$name" > "target/$name.schema.json"
    mv "target/$name.schema.json" "policies-schema/$name.schema.json"
done
