"""The FastAPI dependency beside the same written by hand with PyJWT and cryptography: RS256, 30 claims, keys in memory.

Both are measured in turn in one process, as a whole: from the `Authorization` header to a pydantic model. The wheel must be
a release: `scripts/test-python.sh release`, then `.tools/python/bin/python benches/python/compare.py`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any, Awaitable, Callable

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import HTTPException
from starlette.requests import Request

from octo_sts import GITHUB_ISSUER, Verifier
from octo_sts.server import GithubOIDC, GithubOIDCClaims

AUDIENCE = "api.example.com"
ROUNDS, CALLS = 9, 300

key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
jwk = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "k", "use": "sig", "alg": "RS256"}
now = int(time.time())
claims: dict[str, Any] = {
    "iss": GITHUB_ISSUER, "sub": "repo:acme/app:ref:refs/heads/main", "aud": AUDIENCE, "iat": now, "nbf": now,
    "exp": now + 3600, "jti": "0d7d7c3e-2f43-4c8c-a7a9-19a7f61d9df2", "ref": "refs/heads/main", "ref_type": "branch",
    "ref_protected": "true", "sha": "a" * 40, "repository": "acme/app", "repository_id": "74", "repository_owner": "acme",
    "repository_owner_id": "65", "repository_visibility": "private", "run_id": "30433642", "run_number": "7",
    "run_attempt": "1", "actor": "octocat", "actor_id": "583231", "workflow": "deploy",
    "workflow_ref": "acme/app/.github/workflows/deploy.yaml@refs/heads/main", "workflow_sha": "a" * 40,
    "job_workflow_ref": "acme/app/.github/workflows/deploy.yaml@refs/heads/main", "job_workflow_sha": "a" * 40,
    "head_ref": "", "base_ref": "", "event_name": "push", "runner_environment": "github-hosted",
}
assert len(claims) == 30
token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k"})
request = Request({"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]})
by_kid = {jwk["kid"]: jwt.PyJWK(jwk).key}


async def by_hand(request: Request) -> GithubOIDCClaims:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401)
    try:
        found = by_kid[jwt.get_unverified_header(credential)["kid"]]
        decoded = jwt.decode(credential, found, algorithms=["RS256"], audience=AUDIENCE, issuer=GITHUB_ISSUER)
    except (KeyError, jwt.InvalidTokenError) as error:
        raise HTTPException(401) from error
    return GithubOIDCClaims.model_validate(decoded)


def fetch(url: str) -> tuple[int, dict[str, str], bytes]:
    if url.endswith("/openid-configuration"):
        return 200, {}, json.dumps({"issuer": GITHUB_ISSUER, "jwks_uri": f"{GITHUB_ISSUER}/jwks"}).encode()
    return 200, {}, json.dumps({"keys": [jwk]}).encode()


ours = GithubOIDC(AUDIENCE)
ours.verifier = Verifier(AUDIENCE, _fetch=fetch)

Dependency = Callable[[Request], Awaitable[Any]]


async def one_by_one(dependency: Dependency) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        await dependency(request)
    return (time.perf_counter() - started) / CALLS * 1e6


async def at_once(dependency: Dependency) -> float:
    started = time.perf_counter()
    for _ in range(CALLS // 64 + 1):
        await asyncio.gather(*(dependency(request) for _ in range(64)))
    return (time.perf_counter() - started) / ((CALLS // 64 + 1) * 64) * 1e6


async def main() -> None:
    expected, got = await by_hand(request), await ours(request)
    assert got == expected, "both say the same"
    for name, way in (("one by one", one_by_one), ("64 at once", at_once)):
        measured: dict[str, list[float]] = {"PyJWT": [], "octo_sts": []}
        for _ in range(ROUNDS):
            measured["PyJWT"].append(await way(by_hand))
            measured["octo_sts"].append(await way(ours))
        theirs, mine = (statistics.median(measured[who]) for who in ("PyJWT", "octo_sts"))
        print(f"{name}: PyJWT {theirs:.1f} us, octo_sts {mine:.1f} us, {theirs / mine:.2f} times as fast")


asyncio.run(main())
