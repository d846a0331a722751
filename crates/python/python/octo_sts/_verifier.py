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
    """A token that is not accepted. Its text is for the log; ``public_message`` is what its sender may be told."""

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
        """Names the rule that failed; stable, holds no value."""
        self.status = status
        """401 for the token, 403 for a rule of ``allow``, 503 where the issuer cannot be reached."""
        self.public_message = public_message
        self.challenge = challenge
        """The value of ``WWW-Authenticate``, if the answer has one."""
        self.retry_after = retry_after
        """After how many seconds it may be worth another try."""

    def __reduce__(self) -> Any:
        fields = (str(self), self.code, self.status, self.public_message, self.challenge, self.retry_after)
        return (type(self), fields)


class Verifier:
    """Verifies tokens of the issuers that are named, for the audience that is named.

    One is for a whole server: it remembers the issuers' keys, fetches them once for any number of callers, and holds no
    interpreter lock while it verifies or waits. Claims come as a dictionary, GitHub's ids as integers.

    :param audience: whom tokens must be meant for, such as your server's host name; one of several has to do.
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
        """The token's claims. Waits for the issuer's keys on the calling thread.

        :raises TokenRefused: if it is not accepted.
        """
        try:
            return self._native.verify(token)
        except _native.TokenRefused as refused:
            raise TokenRefused(*refused.args) from None

    async def verify_async(self, token: str) -> dict[str, Any]:
        """As :meth:`verify`, without blocking the event loop.

        :raises TokenRefused: if it is not accepted.
        """
        return await _finish(self._native.start(token))

    async def verify_request(self, authorization: Sequence[str]) -> dict[str, Any]:
        """Verifies the bearer token of a request, of which these are all ``Authorization`` headers.

        :raises TokenRefused: if there is none, or it is not accepted.
        """
        return await _finish(self._native.start_request(list(authorization)))



async def _finish(check: _native.Check) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    more = asyncio.Event()

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(more.set)
        except RuntimeError:
            # The loop is closed, and whoever waited is gone with it.
            pass

    try:
        # With the keys at hand it is done at once: some microseconds, as any other code between two awaits.
        claims = check.poll(wake)
        while claims is None:
            await more.wait()
            more.clear()
            claims = check.poll(wake)
        return claims
    except _native.TokenRefused as refused:
        raise TokenRefused(*refused.args) from None
