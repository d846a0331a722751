"""Gets the OIDC token of a GitHub Actions job, and exchanges it at octo-sts.

Each function has a blocking and an asynchronous form (``…_async``). They use httpx, or requests if httpx is not
installed. A request is repeated only after 429 and 5xx, at most twice; no redirect is followed.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Generator, Mapping, Optional, Sequence, TypeVar
from urllib.parse import quote, urlencode, urlsplit

__all__ = [
    "AskError",
    "GitHubToken",
    "NotInAJob",
    "SessionToken",
    "exchange",
    "exchange_async",
    "get_actions_header",
    "get_actions_header_async",
    "get_actions_token",
    "get_actions_token_async",
    "revoke",
    "revoke_async",
    "session",
    "session_async",
]

_URL = "ACTIONS_ID_TOKEN_REQUEST_URL"
_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
_TRIES = 3
_LONGEST_WAIT = 30.0
_TIMEOUT = 30.0
_MAX_BODY = 256 * 1024


class AskError(Exception):
    """There is no token. ``status`` is that of the answer, or ``None`` without one; ``error`` is the service's error code."""

    def __init__(
        self, message: str, *, status: Optional[int] = None, error: str = "", request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.request_id = request_id


class NotInAJob(AskError):
    """This process does not run in a job that may request an OIDC token."""


@dataclass(frozen=True)
class GitHubToken:
    """A token for GitHub's API. Its ``repr`` does not show it."""

    token: str = field(repr=False)
    expires_at: str
    permissions: Mapping[str, str]
    repositories: Optional[Sequence[str]]
    request_id: str


@dataclass(frozen=True)
class SessionToken:
    """A session token of the proxy. Its ``repr`` does not show it."""

    token: str = field(repr=False)
    expires_in: int
    request_id: str


@dataclass(frozen=True)
class _Call:
    method: str
    url: str
    bearer: Optional[str] = field(default=None, repr=False)
    body: Optional[bytes] = field(default=None, repr=False)
    content_type: Optional[str] = None

    def headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "octo-sts-python"}
        if self.bearer is not None:
            if not self.bearer or any(not "!" <= character <= "~" for character in self.bearer):
                raise ValueError("the token has a character that is not allowed in a token")
            headers["Authorization"] = f"Bearer {self.bearer}"
        if self.content_type is not None:
            headers["Content-Type"] = self.content_type
        return headers


@dataclass(frozen=True)
class _Answer:
    status: int
    retry_after: Optional[str]
    body: bytes = field(repr=False)


T = TypeVar("T")
# A function's steps, independent of how calls are made: it yields a call and is sent the answer.
_Steps = Generator[_Call, _Answer, T]


def get_actions_token(audience: str) -> str:
    """Returns the job's OIDC token for ``audience``.

    :raises NotInAJob: outside a job, or if its workflow lacks ``permissions: id-token: write``.
    """
    return _run(_actions_token(audience))


async def get_actions_token_async(audience: str) -> str:
    """The asynchronous form of :func:`get_actions_token`."""
    return await _run_async(_actions_token(audience))


def get_actions_header(audience: str) -> dict[str, str]:
    """Returns the ``Authorization`` header with the job's OIDC token for ``audience``."""
    return {"Authorization": f"Bearer {get_actions_token(audience)}"}


async def get_actions_header_async(audience: str) -> dict[str, str]:
    """The asynchronous form of :func:`get_actions_header`."""
    return {"Authorization": f"Bearer {await get_actions_token_async(audience)}"}


def exchange(
    scope: str,
    identity: str,
    *,
    domain: str,
    permissions: Optional[Mapping[str, str]] = None,
    repositories: Optional[Sequence[str]] = None,
    token: Optional[str] = None,
    audience: Optional[str] = None,
) -> GitHubToken:
    """Exchanges an OIDC token for a GitHub token.

    :param scope: ``owner/repo``, or ``owner`` for a policy of the organization.
    :param identity: the policy's name.
    :param domain: the service, such as ``sts.example.com``.
    :param permissions: a subset of what the policy grants.
    :param repositories: a subset of those that the policy covers.
    :param token: the OIDC token; by default the job's own.
    :param audience: the audience of the job's token, if it is not the service.
    """
    return _run(_exchange(scope, identity, domain, permissions, repositories, token, audience))


async def exchange_async(
    scope: str,
    identity: str,
    *,
    domain: str,
    permissions: Optional[Mapping[str, str]] = None,
    repositories: Optional[Sequence[str]] = None,
    token: Optional[str] = None,
    audience: Optional[str] = None,
) -> GitHubToken:
    """The asynchronous form of :func:`exchange`."""
    return await _run_async(_exchange(scope, identity, domain, permissions, repositories, token, audience))


def session(
    upstream: str, *, domain: str, token: Optional[str] = None, audience: Optional[str] = None
) -> SessionToken:
    """Exchanges an OIDC token for a session token of the proxy's ``upstream``."""
    return _run(_session(upstream, domain, token, audience))


async def session_async(
    upstream: str, *, domain: str, token: Optional[str] = None, audience: Optional[str] = None
) -> SessionToken:
    """The asynchronous form of :func:`session`."""
    return await _run_async(_session(upstream, domain, token, audience))


def revoke(token: str, *, domain: str) -> None:
    """Revokes a GitHub token or a session token. Revoking a token that no longer works is not an error."""
    _run(_revoke(token, domain))


async def revoke_async(token: str, *, domain: str) -> None:
    """The asynchronous form of :func:`revoke`."""
    await _run_async(_revoke(token, domain))


def _actions_token(audience: str) -> _Steps[str]:
    if not audience:
        raise ValueError("the audience is empty; name the service that the token is for")
    url, bearer = (_needed(name) for name in (_URL, _TOKEN))
    if not _is_safe(url):
        raise ValueError(f"`{_URL}` is not an https address")
    # The runner's address has a query already; another server's may not.
    separator = "&" if "?" in url else "?"
    answer = yield _Call("GET", f"{url}{separator}audience={quote(audience, safe='')}", bearer)
    return _token(_object(answer), "value")


def _needed(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise NotInAJob(
            f"`{name}` is not set: this is not a GitHub Actions job, or its workflow lacks"
            " `permissions: id-token: write`"
        )
    return value


def _exchange(
    scope: str,
    identity: str,
    domain: str,
    permissions: Optional[Mapping[str, str]],
    repositories: Optional[Sequence[str]],
    token: Optional[str],
    audience: Optional[str],
) -> _Steps[GitHubToken]:
    base = _base(domain)
    wanted: dict[str, Any] = {"scope": scope, "identity": identity}
    if permissions is not None:
        wanted["permissions"] = dict(permissions)
    if repositories is not None:
        wanted["repositories"] = list(repositories)
    oidc = token if token is not None else (yield from _actions_token(audience or _host(base)))
    body = json.dumps(wanted).encode()
    answer = _object((yield _Call("POST", f"{base}/sts/exchange", oidc, body, "application/json")))
    granted, names = answer.get("permissions"), answer.get("repositories")
    return GitHubToken(
        token=_token(answer, "token"),
        expires_at=_text(answer, "expires_at"),
        permissions=granted if isinstance(granted, dict) else {},
        repositories=names if isinstance(names, list) else None,
        request_id=_text(answer, "request_id"),
    )


def _session(
    upstream: str, domain: str, token: Optional[str], audience: Optional[str]
) -> _Steps[SessionToken]:
    base = _base(domain)
    resource = f"{base}/proxy/{upstream}"
    oidc = token if token is not None else (yield from _actions_token(audience or resource))
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": oidc,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        "resource": resource,
    }
    body = urlencode(form).encode()
    call = _Call("POST", f"{base}/sts/token", None, body, "application/x-www-form-urlencoded")
    answer = _object((yield call))
    expires_in = answer.get("expires_in")
    return SessionToken(
        token=_token(answer, "access_token"),
        expires_in=expires_in if isinstance(expires_in, int) else 0,
        request_id=_text(answer, "request_id"),
    )


def _revoke(token: str, domain: str) -> _Steps[None]:
    answer = yield _Call("POST", f"{_base(domain)}/sts/revoke", token, b"")
    if answer.status != 204:
        raise AskError("the server's answer does not have the expected form", status=answer.status)


def _base(domain: str) -> str:
    base = (domain if "://" in domain else f"https://{domain}").rstrip("/")
    parts = urlsplit(base)
    if not _is_safe(base) or parts.path or parts.query or parts.fragment:
        raise ValueError("the domain of the service is not a host name such as `sts.example.com`")
    return base


def _host(base: str) -> str:
    return urlsplit(base).netloc


def _is_safe(url: str) -> bool:
    """Whether a token may be sent there: over TLS, or to this machine."""
    if any(not "!" <= character <= "~" for character in url):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in ("localhost", "127.0.0.1", "::1"))


def _object(answer: _Answer) -> dict[str, Any]:
    try:
        value = json.loads(answer.body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise AskError("the server's answer does not have the expected form", status=answer.status)
    return value


def _token(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value or any(not "!" <= character <= "~" for character in value):
        raise AskError("the server's answer does not have the expected form")
    return value


def _text(answer: Mapping[str, Any], name: str) -> str:
    """A server's text, made safe for a terminal or a log."""
    value = answer.get(name)
    if not isinstance(value, str):
        return ""
    return "".join(character if character.isprintable() else " " for character in value[:512])


def _refused(answer: _Answer) -> AskError:
    try:
        told = _object(answer)
    except AskError:
        told = {}
    error, request_id = _text(told, "error"), _text(told, "request_id")
    message = _text(told, "message") or _text(told, "error_description")
    shown = f"{message} (status {answer.status}, `{error}`)" if message else f"status {answer.status}"
    if request_id:
        shown += f", request {request_id}"
    return AskError(shown, status=answer.status, error=error, request_id=request_id)


def _wait_before_retry(answer: _Answer, tried: int) -> Optional[float]:
    """How long to wait, or ``None`` if another try is pointless."""
    if (answer.status != 429 and answer.status < 500) or answer.status == 501 or tried >= _TRIES:
        return None
    said = answer.retry_after
    wait = float(said) if said is not None and said.isascii() and said.isdigit() else float(tried)
    return wait if wait <= _LONGEST_WAIT else None


def _run(steps: _Steps[T]) -> T:
    try:
        call = next(steps)
        while True:
            tried = 1
            answer = _send(call)
            while not 200 <= answer.status < 300:
                wait = _wait_before_retry(answer, tried)
                if wait is None:
                    raise _refused(answer)
                time.sleep(wait)
                tried += 1
                answer = _send(call)
            call = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def _run_async(steps: _Steps[T]) -> T:
    try:
        call = next(steps)
        while True:
            tried = 1
            answer = await _send_async(call)
            while not 200 <= answer.status < 300:
                wait = _wait_before_retry(answer, tried)
                if wait is None:
                    raise _refused(answer)
                await asyncio.sleep(wait)
                tried += 1
                answer = await _send_async(call)
            call = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def _has_httpx() -> bool:
    try:
        import httpx  # noqa: F401
    except ImportError:
        return False
    return True


def _send(call: _Call) -> _Answer:
    if _has_httpx():
        return _send_httpx(call)
    return _send_requests(call)


def _send_httpx(call: _Call) -> _Answer:
    import httpx

    try:
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=False) as client:
            with client.stream(call.method, call.url, headers=call.headers(), content=call.body) as response:
                body = b""
                for chunk in response.iter_bytes():
                    body = _grown(body, chunk)
                return _Answer(response.status_code, response.headers.get("retry-after"), body)
    except httpx.HTTPError as error:
        raise AskError("the server did not answer") from error


def _send_requests(call: _Call) -> _Answer:
    try:
        import requests
    except ImportError as error:
        raise ImportError("octo_sts.client needs httpx or requests: pip install httpx") from error

    try:
        with requests.request(
            call.method,
            call.url,
            headers=call.headers(),
            data=call.body,
            timeout=_TIMEOUT,
            allow_redirects=False,
            stream=True,
            # Without this a `.netrc` entry would take the place of the token.
            auth=_as_it_is,
        ) as response:
            body = b""
            for chunk in response.iter_content(16 * 1024):
                body = _grown(body, chunk)
            return _Answer(response.status_code, response.headers.get("retry-after"), body)
    except requests.RequestException as error:
        raise AskError("the server did not answer") from error


def _as_it_is(request: Any) -> Any:
    return request


async def _send_async(call: _Call) -> _Answer:
    if not _has_httpx():
        return await asyncio.get_running_loop().run_in_executor(None, _send_requests, call)
    import httpx

    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False) as client:
            async with client.stream(
                call.method, call.url, headers=call.headers(), content=call.body
            ) as response:
                body = b""
                async for chunk in response.aiter_bytes():
                    body = _grown(body, chunk)
                return _Answer(response.status_code, response.headers.get("retry-after"), body)
    except httpx.HTTPError as error:
        raise AskError("the server did not answer") from error


def _grown(body: bytes, chunk: bytes) -> bytes:
    if len(body) + len(chunk) > _MAX_BODY:
        raise AskError("the server's answer is too long")
    return body + chunk
