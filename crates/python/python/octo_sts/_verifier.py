"""The verifier without a web framework."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from . import _native

GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
"""The issuer of github.com."""

Rule = Union[str, Mapping[str, Any]]
"""A rule in the language of trust policies: YAML or JSON text, or the same as a dictionary."""

_ONE_DAY = 86_400


class TokenRefused(Exception):
    """A token that is not accepted. The text is for the log; ``public_message`` is safe to send to the client."""

    def __init__(
        self,
        reason: str,
        code: str,
        status: int,
        public_message: str,
        challenge: Optional[str],
        retry_after: Optional[int],
    ) -> None:
        super().__init__(reason)
        self.code = code
        """The name of the rule that failed: stable, and without any value from the token."""
        self.status = status
        """401 for the token, 403 for a rule of ``allow``, 503 if the issuer cannot be reached."""
        self.public_message = public_message
        self.challenge = challenge
        """The value of ``WWW-Authenticate``, if the answer has one."""
        self.retry_after = retry_after
        """How many seconds to wait before trying again, if that is worthwhile."""

    def __reduce__(self) -> Any:
        fields = (str(self), self.code, self.status, self.public_message, self.challenge, self.retry_after)
        return (type(self), fields)


class Verifier:
    """Verifies tokens from the given issuers, for the given audience.

    Create one for the whole server: it caches the issuers' keys, fetches them once for any number of callers, and does
    not hold the interpreter lock while it verifies or waits. Claims come as a dictionary, GitHub's ids as integers.

    :param audience: whom tokens must be intended for, such as your server's host name; if there are several, one of them
        must match.
    :param issuers: whose tokens are accepted; compared byte for byte.
    :param allow: rules in the language of trust policies, one of which must hold. Left out, every token that is verified
        is accepted; a list without a rule is an error.
    :param max_lifetime: the longest time from ``iat`` to ``exp``, in seconds.
    :param allow_loopback_http: admits issuers at ``http://localhost`` and ``http://127.0.0.1``, for tests.
    """

    def __init__(
        self,
        audience: Union[str, Sequence[str]],
        *,
        issuers: Sequence[str] = (GITHUB_ISSUER,),
        allow: Optional[Sequence[Rule]] = None,
        max_lifetime: int = _ONE_DAY,
        allow_loopback_http: bool = False,
        _clock: Optional[float] = None,
        _fetch: Optional[Callable[[str], tuple[int, dict[str, str], bytes]]] = None,
    ) -> None:
        if isinstance(issuers, str) or isinstance(allow, (str, Mapping)):
            raise TypeError("`issuers` and `allow` are lists")
        rules = [rule if isinstance(rule, str) else json.dumps(rule, ensure_ascii=False) for rule in allow or ()]
        # Rules that came out empty, from a setting perhaps, must not let everybody in.
        if allow is not None and not rules:
            raise ValueError("no rule in `allow`: leave it out if every verified token is to be accepted")
        self._native = _native.NativeVerifier(
            [audience] if isinstance(audience, str) else list(audience),
            list(issuers),
            rules,
            max_lifetime,
            allow_loopback_http,
            _clock,
            _fetch,
        )

    def verify(self, token: str) -> dict[str, Any]:
        """Returns the token's claims. Waits for the issuer's keys on the calling thread.

        :raises TokenRefused: if the token is not accepted.
        """
        try:
            return self._native.verify(token)
        except _native.TokenRefused as refused:
            raise TokenRefused(*refused.args) from None

    async def verify_async(self, token: str) -> dict[str, Any]:
        """Like :meth:`verify`, without blocking the event loop.

        :raises TokenRefused: if the token is not accepted.
        """
        return await _finish(self._native.start(token))

    async def verify_request(self, authorization: Sequence[str]) -> dict[str, Any]:
        """Verifies the bearer token of a request, given all of its ``Authorization`` headers.

        :raises TokenRefused: if there is no token, or it is not accepted.
        """
        return await _finish(self._native.start_request(list(authorization)))



async def _finish(check: _native.Check) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    more = asyncio.Event()

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(more.set)
        except RuntimeError:
            # The loop is closed, so nobody is waiting any more.
            pass

    try:
        # With the keys cached, this finishes at once: a few microseconds, like any other code between two awaits.
        claims = check.poll(wake)
        while claims is None:
            await more.wait()
            more.clear()
            claims = check.poll(wake)
        return claims
    except _native.TokenRefused as refused:
        raise TokenRefused(*refused.args) from None
