"""The dependency in an application under uvicorn, asked over HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Optional

import httpx
import pytest
from conftest import AUDIENCE, Issuer
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Security, WebSocket
from fastapi.testclient import TestClient

from octo_sts import TokenRefused, Verifier
from octo_sts.server import GithubOIDC, GithubOIDCClaims

Serve = Callable[[Any], str]


def application(issuer: Issuer, **options: Any) -> FastAPI:
    app = FastAPI()
    oidc = GithubOIDC(AUDIENCE, issuers=[issuer.url], allow_loopback_http=True, **options)

    @app.get("/")
    async def root(claims: Optional[GithubOIDCClaims] = Security(oidc)) -> Any:
        return claims

    @app.get("/sync")
    def sync(claims: GithubOIDCClaims = Security(oidc)) -> Optional[str]:
        return claims.sub

    @app.get("/free")
    async def free() -> str:
        return "free"

    return app


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_good_token_gives_typed_claims(issuer: Issuer, serve: Serve) -> None:
    url = serve(application(issuer))
    response = httpx.get(url, headers=bearer(issuer.token()))
    assert response.status_code == 200, response.text
    claims = response.json()
    assert claims["repository_id"] == 74 and claims["run_attempt"] == 1 and claims["repository_owner_id"] == 65
    assert claims["ref_protected"] is True and claims["aud"] == AUDIENCE
    assert claims["future_claim"] == {"a": [1, None, 1.5]}, "unknown claims are kept"
    assert claims["environment"] is None
    assert httpx.get(f"{url}/sync", headers=bearer(issuer.token())).json() == "repo:acme/app:ref:refs/heads/main"


def test_a_claim_that_is_not_what_its_name_says_is_absent(issuer: Issuer, serve: Serve) -> None:
    url = serve(application(issuer))
    response = httpx.get(url, headers=bearer(issuer.token(run_id="x", ref_protected="maybe", ref=5)))
    assert response.status_code == 200
    assert [response.json()[name] for name in ("run_id", "ref_protected", "ref")] == [None, None, None]


def test_a_bad_token_is_401_with_the_reason_in_the_log_alone(
    issuer: Issuer, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    url = serve(application(issuer))
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for token, reason in [
        (issuer.token(key=stranger), "(signature)"),
        (issuer.token(exp=int(time.time()) - 1), "(expired)"),
        (issuer.token(aud="other.example.com"), "(audience)"),
        (issuer.token(iss="https://other.example.com"), "(issuer_not_allowed)"),
        ("a.b.c", "(header_encoding)"),
    ]:
        caplog.clear()
        response = httpx.get(url, headers=bearer(token))
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert response.json() == {"detail": "the token is not accepted"}
        assert reason in caplog.text and token not in caplog.text


def test_a_request_without_one_bearer_token_is_401(issuer: Issuer, serve: Serve) -> None:
    url = serve(application(issuer))
    response = httpx.get(url)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    good = issuer.token()
    for headers in [
        [("Authorization", "Basic YTpi")],
        [("Authorization", "Bearer")],
        [("Authorization", good)],
        [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")],
        [("Authorization", f"Bearer {good}, Bearer {good}")],
        [("Authorization", "Bearer \xff".encode("latin-1").decode("latin-1"))],
    ]:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        assert httpx.get(url, headers=encoded).status_code == 401, headers
    assert issuer.requests == [], "nobody is asked for these"


def test_a_rule_is_403_and_names_the_step(issuer: Issuer, serve: Serve) -> None:
    rule = {"issuer": issuer.url, "subject_pattern": "repo:acme/[^:]+:ref:refs/heads/main", "claim_pattern": {"event_name": "push"}}
    url = serve(application(issuer, allow=[rule]))
    assert httpx.get(url, headers=bearer(issuer.token())).status_code == 200
    response = httpx.get(url, headers=bearer(issuer.token(event_name="schedule")))
    assert response.status_code == 403
    step = "the token's claim `event_name` with the value `schedule` does not satisfy the policy"
    assert response.json() == {"detail": step}


def test_an_issuer_that_cannot_be_reached_is_503(issuer: Issuer, serve: Serve) -> None:
    issuer.status = 500
    url = serve(application(issuer))
    response = httpx.get(url, headers=bearer(issuer.token()))
    assert response.status_code == 503
    assert 1 <= int(response.headers["retry-after"]) <= 60


def test_without_auto_error_there_is_none(issuer: Issuer, serve: Serve) -> None:
    url = serve(application(issuer, auto_error=False))
    for headers in [{}, bearer("a.b.c"), {"Authorization": "Basic YTpi"}]:
        response = httpx.get(url, headers=headers)
        assert (response.status_code, response.json()) == (200, None)
    assert httpx.get(url, headers=bearer(issuer.token())).json()["repository"] == "acme/app"


def test_openapi_shows_a_bearer_scheme(issuer: Issuer) -> None:
    document = application(issuer).openapi()
    scheme = document["components"]["securitySchemes"]["GithubOIDC"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert document["paths"]["/"]["get"]["security"] == [{"GithubOIDC": []}]


def test_a_websocket_can_be_guarded(issuer: Issuer) -> None:
    app = FastAPI()
    oidc = GithubOIDC(AUDIENCE, issuers=[issuer.url], allow_loopback_http=True)

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, claims: GithubOIDCClaims = Security(oidc)) -> None:
        await websocket.accept()
        await websocket.send_text(claims.repository or "")
        await websocket.close()

    with TestClient(app).websocket_connect("/ws", headers=bearer(issuer.token())) as socket_:
        assert socket_.receive_text() == "acme/app"


def test_many_requests_cause_one_fetch_and_the_loop_stays_free(issuer: Issuer, serve: Serve) -> None:
    url = serve(application(issuer))
    issuer.open.clear()

    async def crowd() -> None:
        async with httpx.AsyncClient(timeout=20, limits=httpx.Limits(max_connections=100)) as client:
            get = lambda: asyncio.create_task(client.get(url, headers=bearer(issuer.token())))  # noqa: E731
            waiting = [get() for _ in range(16)]
            while not issuer.requests:
                await asyncio.sleep(0.01)
            # The issuer answers only afterwards: were the loop blocked, this would wait until the fetch gives up.
            assert (await client.get(f"{url}/free")).json() == "free"
            assert not any(task.done() for task in waiting)
            issuer.open.set()
            waiting += [get() for _ in range(48)]
            assert {response.status_code for response in await asyncio.gather(*waiting)} == {200}

    asyncio.run(crowd())
    assert len(issuer.requests) == 2, "discovery and keys, once"


def test_a_caller_that_goes_away_leaves_the_others_alone(issuer: Issuer) -> None:
    verifier = Verifier(AUDIENCE, issuers=[issuer.url], allow_loopback_http=True)
    issuer.open.clear()

    async def main() -> None:
        first = asyncio.create_task(verifier.verify_async(issuer.token()))
        second = asyncio.create_task(verifier.verify_async(issuer.token()))
        while not issuer.requests:
            await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        issuer.open.set()
        assert (await second)["repository"] == "acme/app"

    asyncio.run(main())
    # A loop that is closed while keys are on their way: the fetch ends, and the next caller has the keys.
    another = Verifier(AUDIENCE, issuers=[issuer.url], allow_loopback_http=True)
    issuer.open.clear()

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(another.verify_async(issuer.token()), 0.05)

    asyncio.run(impatient())
    issuer.open.set()
    assert another.verify(issuer.token())["run_id"] == 30433642


def test_the_lock_is_free_while_keys_are_waited_for(issuer: Issuer) -> None:
    """The issuer is served by this same interpreter: were the lock held, nobody could answer."""
    verifier = Verifier(AUDIENCE, issuers=[issuer.url], allow_loopback_http=True)
    assert verifier.verify(issuer.token())["repository_id"] == 74


def test_what_makes_no_sense_is_told_at_once() -> None:
    for options, part in [
        ({"audience": ""}, "audience"),
        ({"audience": []}, "no audience"),
        ({"audience": AUDIENCE, "issuers": []}, "no issuer"),
        ({"audience": AUDIENCE, "issuers": ["http://issuer.example.com"]}, "https"),
        ({"audience": AUDIENCE, "allow": [{"issuer": "https://a.example.com"}]}, "rule 1: one of `subject`"),
        ({"audience": AUDIENCE, "allow": ["subjcet: a"]}, "did you mean `subject`?"),
        ({"audience": AUDIENCE, "allow": []}, "no rule in `allow`"),
        ({"audience": AUDIENCE, "allow": iter(())}, "no rule in `allow`"),
    ]:
        with pytest.raises(ValueError, match=part.replace("?", r"\?")):
            GithubOIDC(**options)
    with pytest.raises(TypeError):
        GithubOIDC(AUDIENCE, issuers="https://token.actions.githubusercontent.com")
    with pytest.raises(TypeError):
        GithubOIDC()  # type: ignore[call-arg]


def test_a_refusal_can_be_sent_to_another_process(issuer: Issuer) -> None:
    import pickle

    verifier = Verifier(AUDIENCE, issuers=[issuer.url], allow_loopback_http=True)
    with pytest.raises(TokenRefused) as raised:
        verifier.verify("a.b.c")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.code, again.status, str(again)) == ("header_encoding", 401, str(raised.value))
