"""The Rust suite's table of attacks, through the wheel. `cargo test --test vectors_tokens` writes it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from octo_sts import TokenRefused, Verifier

TABLE = Path(os.environ.get("OCTO_STS_TOKENS", Path(__file__).parents[3] / "target/tmp/tokens.json"))


def test_every_manipulated_token_is_refused_for_its_reason() -> None:
    table: dict[str, Any] = json.loads(TABLE.read_text())

    def fetch(url: str) -> tuple[int, dict[str, str], bytes]:
        if url.endswith("/.well-known/openid-configuration"):
            document = {"issuer": table["issuer"], "jwks_uri": f"{table['issuer']}/jwks"}
            return 200, {}, json.dumps(document).encode()
        return 200, {}, json.dumps(table["jwks"]).encode()

    def outcome(token: str) -> str:
        # A new one for each: it remembers the refetch that an unknown key causes.
        verifier = Verifier(table["audience"], issuers=[table["issuer"]], _clock=table["now"], _fetch=fetch)
        try:
            verifier.verify(token)
        except TokenRefused as refused:
            return refused.code
        return "accepted"

    assert len(table["cases"]) > 150
    wrong = []
    for name, token, expected in table["cases"]:
        code = outcome(token)
        # Whoever names its issuers refuses all others before it looks closer.
        same = code == expected or (expected.startswith("issuer_") and code in ("issuer_not_allowed", expected))
        if not same:
            wrong.append((name, expected, code))
    assert not wrong


def test_a_token_that_is_no_text_of_tokens_is_refused() -> None:
    verifier = Verifier("api.example.com")
    for token in ("", "\x00", "ü.ü.ü", "a" * 20_000, "..", "\ud800"):
        with pytest.raises((TokenRefused, UnicodeEncodeError)):
            verifier.verify(token)
