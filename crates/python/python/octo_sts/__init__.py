"""OIDC tokens of GitHub Actions: verify them in your own server, and ask octo-sts for tokens.

``octo_sts.server`` needs FastAPI, ``octo_sts.client`` needs httpx or requests; both are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._verifier import GITHUB_ISSUER, TokenRefused, Verifier

if TYPE_CHECKING:
    from .client import (
        AskError,
        GitHubToken,
        NotInAJob,
        SessionToken,
        exchange,
        exchange_async,
        get_actions_header,
        get_actions_header_async,
        get_actions_token,
        get_actions_token_async,
        revoke,
        revoke_async,
        session,
        session_async,
    )
    from .server import GithubOIDC, GithubOIDCClaims

_SERVER = ("GithubOIDC", "GithubOIDCClaims")

__all__ = [
    "GITHUB_ISSUER",
    "AskError",
    "GitHubToken",
    "GithubOIDC",
    "GithubOIDCClaims",
    "NotInAJob",
    "SessionToken",
    "TokenRefused",
    "Verifier",
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


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _SERVER:
        from . import server

        return getattr(server, name)
    from . import client

    return getattr(client, name)
