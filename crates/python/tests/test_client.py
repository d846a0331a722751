"""The calls of a job, against a server on the loopback, by httpx and by requests."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Iterator
from urllib.parse import parse_qs

import pytest

import octo_sts
from octo_sts import client


class Server:
    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], Any]] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.seen.append((self.command, self.path, headers, body))
                status, more, content = outer.answers.pop(0)
                encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(encoded)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(encoded)

            do_GET = do_POST = answer

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(params=["httpx", "requests"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(client, "_has_httpx", lambda: request.param == "httpx")
    return str(request.param)


@pytest.fixture
def job(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the runner has it: with a query in the address.
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{server.url}/token?api-version=2.0")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-token")


OIDC = {"count": 4, "value": "the.oidc.token"}
GRANTED = {
    "token": "ghs_secret",
    "expires_at": "2026-11-20T18:00:00Z",
    "permissions": {"contents": "read"},
    "repositories": ["app"],
    "request_id": "r1",
}


@pytest.mark.parametrize("awaited", [False, True])
def test_the_jobs_token(server: Server, job: None, awaited: bool) -> None:
    server.answers = [(200, {}, OIDC)]
    audience = "https://a.example.com/x y"
    if awaited:
        header = asyncio.run(octo_sts.get_actions_header_async(audience))
    else:
        header = octo_sts.get_actions_header(audience)
    assert header == {"Authorization": "Bearer the.oidc.token"}
    method, path, headers, _ = server.seen[0]
    assert (method, path) == ("GET", "/token?api-version=2.0&audience=https%3A%2F%2Fa.example.com%2Fx%20y")
    assert headers["authorization"] == "Bearer runner-token"


def test_outside_of_a_job_the_error_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)
    with pytest.raises(octo_sts.NotInAJob, match="`permissions: id-token: write`"):
        octo_sts.get_actions_token("a")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://a.example.com")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "t")
    with pytest.raises(ValueError, match="https"):
        octo_sts.get_actions_token("a")
    with pytest.raises(ValueError, match="audience"):
        octo_sts.get_actions_token("")


@pytest.mark.parametrize("awaited", [False, True])
def test_an_exchange(server: Server, job: None, awaited: bool) -> None:
    server.answers = [(200, {}, OIDC), (200, {}, GRANTED), (204, {}, b"")]
    wanted: dict[str, Any] = {"domain": server.url, "permissions": {"contents": "read"}, "repositories": ["app"]}
    if awaited:
        token = asyncio.run(octo_sts.exchange_async("acme/app", "deploy", **wanted))
        asyncio.run(octo_sts.revoke_async(token.token, domain=server.url))
    else:
        token = octo_sts.exchange("acme/app", "deploy", **wanted)
        octo_sts.revoke(token.token, domain=server.url)
    assert (token.token, token.permissions, token.repositories) == ("ghs_secret", {"contents": "read"}, ["app"])
    assert "ghs_secret" not in repr(token), "a token is not printed"
    assert server.seen[0][1].endswith("&audience=" + server.url.removeprefix("http://").replace(":", "%3A"))
    method, path, headers, body = server.seen[1]
    assert (method, path, headers["authorization"]) == ("POST", "/sts/exchange", "Bearer the.oidc.token")
    assert json.loads(body) == {
        "scope": "acme/app",
        "identity": "deploy",
        "permissions": {"contents": "read"},
        "repositories": ["app"],
    }
    assert server.seen[2][:2] == ("POST", "/sts/revoke")
    assert server.seen[2][2]["authorization"] == "Bearer ghs_secret"


@pytest.mark.parametrize("awaited", [False, True])
def test_a_session(server: Server, job: None, awaited: bool) -> None:
    server.answers = [(200, {}, OIDC), (200, {}, {"access_token": "eyJ.a.b", "expires_in": 3600})]
    if awaited:
        token = asyncio.run(octo_sts.session_async("anthropic", domain=server.url))
    else:
        token = octo_sts.session("anthropic", domain=server.url)
    assert (token.token, token.expires_in) == ("eyJ.a.b", 3600)
    assert "eyJ" not in repr(token)
    form = {name: values[0] for name, values in parse_qs(server.seen[1][3].decode()).items()}
    assert form == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": "the.oidc.token",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "resource": f"{server.url}/proxy/anthropic",
    }
    assert "authorization" not in server.seen[1][2]


def test_only_429_and_5xx_are_tried_again(server: Server) -> None:
    def ask() -> octo_sts.GitHubToken:
        return octo_sts.exchange("acme/app", "deploy", domain=server.url, token="a.b.c")

    told = {"error": "e", "message": "m\x1b[31m", "request_id": "r"}
    for status in (429, 500, 503):
        server.seen.clear()
        server.answers = [(status, {"Retry-After": "0"}, told)] * 2 + [(200, {}, GRANTED)]
        assert ask().token == "ghs_secret" and len(server.seen) == 3
        server.answers = [(status, {"Retry-After": "0"}, told)] * 3
        with pytest.raises(octo_sts.AskError) as raised:
            ask()
        assert (raised.value.status, raised.value.error) == (status, "e")
    for status in (302, 400, 401, 403, 404, 501):
        server.seen.clear()
        server.answers = [(status, {"Location": "/elsewhere"}, told)]
        with pytest.raises(octo_sts.AskError) as raised:
            ask()
        assert str(raised.value) == f"m [31m (status {status}, `e`), request r" and len(server.seen) == 1
    server.answers = [(429, {"Retry-After": "3600"}, told)]
    with pytest.raises(octo_sts.AskError):
        ask()


def test_what_is_no_answer_is_no_token(server: Server) -> None:
    for body in (b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a b"}', b"{" + b" " * 300_000 + b"}"):
        server.answers = [(200, {}, body)]
        with pytest.raises(octo_sts.AskError):
            octo_sts.exchange("acme/app", "deploy", domain=server.url, token="a.b.c")
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(octo_sts.AskError, match="did not answer"):
        octo_sts.revoke("ghs_x", domain=server.url)


def test_a_token_does_not_travel_in_the_clear() -> None:
    for domain in ("http://sts.example.com", "sts.example.com/x", "", "user@sts.example.com", "a b", "https://a?b"):
        with pytest.raises(ValueError):
            octo_sts.exchange("acme/app", "deploy", domain=domain, token="a.b.c")
    with pytest.raises(ValueError, match="character"):
        octo_sts.revoke("a\r\nb", domain="https://127.0.0.1:1")
