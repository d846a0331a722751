"""Issuers that nobody here wrote, on the loopback: oauth2-mock-server and oidc-provider, by tests/issuers/loopback.mjs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from octo_sts import TokenRefused, Verifier

SCRIPT = Path(os.environ.get("OCTO_STS_ISSUERS", Path(__file__).parents[3] / "tests/issuers/loopback.mjs"))
AUDIENCE = "api.example.com"


@pytest.fixture
def issuers() -> Iterator[tuple[dict[str, str], Callable[..., str]]]:
    process = subprocess.Popen(
        ["node", str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin and process.stdout
    stdin, stdout = process.stdin, process.stdout

    def ask(**what: Any) -> str:
        stdin.write(json.dumps(what) + "\n")
        stdin.flush()
        return stdout.readline().strip()

    yield json.loads(stdout.readline()), ask
    process.kill()
    process.wait()


def outcome(verifier: Verifier, token: str) -> str:
    try:
        verifier.verify(token)
    except TokenRefused as refused:
        return refused.code
    return "accepted"


def test_tokens_of_other_peoples_issuers_are_verified_and_keys_may_rotate(
    issuers: tuple[dict[str, str], Callable[..., str]],
) -> None:
    urls, ask = issuers
    mock = Verifier(AUDIENCE, issuers=[urls["mock"]], allow_loopback_http=True)
    certified = Verifier(AUDIENCE, issuers=[urls["certified"]], allow_loopback_http=True)

    good = ask(issuer="mock", claims={"repository_id": "74"})
    assert mock.verify(good)["repository_id"] == 74
    assert outcome(certified, good) == "issuer_not_allowed"
    assert outcome(mock, ask(issuer="mock", claims={"aud": "other.example.com"})) == "audience"
    assert outcome(mock, ask(issuer="mock", claims={"exp": 1_000_000_000})) == "expired"

    # PS256 and `at+jwt`, from a token endpoint.
    assert outcome(certified, ask(issuer="certified")) == "accepted"

    # A key that came after the set was fetched.
    assert ask(rotate="rotated") == "done"
    assert outcome(mock, ask(issuer="mock", kid="rotated")) == "accepted"
    assert outcome(mock, good) == "accepted"
