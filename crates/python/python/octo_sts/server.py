"""A FastAPI security dependency: an endpoint that uses it runs only for requests with an accepted token."""

# No `from __future__ import annotations` here: older releases of FastAPI cannot resolve a method's annotations from text.
import logging
from typing import Any, Optional, Sequence, Union

from fastapi import HTTPException
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ConfigDict
from starlette.requests import HTTPConnection

from ._verifier import GITHUB_ISSUER, Rule, TokenRefused, Verifier

__all__ = ["GithubOIDC", "GithubOIDCClaims"]

logger = logging.getLogger("octo_sts")


class GithubOIDCClaims(BaseModel):
    """The claims of a token. All are optional. Their types do not depend on the JSON types that GitHub uses: ids are
    integers, ``ref_protected`` is a boolean. Claims without a field here are in ``model_extra``."""

    model_config = ConfigDict(extra="allow")

    sub: Optional[str] = None
    aud: Optional[Union[str, list[str]]] = None
    exp: Optional[Union[int, float]] = None
    iat: Optional[Union[int, float]] = None
    iss: Optional[str] = None
    jti: Optional[str] = None
    nbf: Optional[Union[int, float]] = None
    ref: Optional[str] = None
    sha: Optional[str] = None
    repository: Optional[str] = None
    repository_id: Optional[int] = None
    repository_owner: Optional[str] = None
    repository_owner_id: Optional[int] = None
    enterprise: Optional[str] = None
    enterprise_id: Optional[int] = None
    run_id: Optional[int] = None
    run_number: Optional[int] = None
    run_attempt: Optional[int] = None
    actor: Optional[str] = None
    actor_id: Optional[int] = None
    workflow: Optional[str] = None
    workflow_ref: Optional[str] = None
    workflow_sha: Optional[str] = None
    head_ref: Optional[str] = None
    base_ref: Optional[str] = None
    event_name: Optional[str] = None
    ref_type: Optional[str] = None
    ref_protected: Optional[bool] = None
    environment: Optional[str] = None
    environment_node_id: Optional[str] = None
    job_workflow_ref: Optional[str] = None
    job_workflow_sha: Optional[str] = None
    check_run_id: Optional[int] = None
    repository_visibility: Optional[str] = None
    runner_environment: Optional[str] = None
    issuer_scope: Optional[str] = None


class GithubOIDC(SecurityBase):
    """A security dependency for FastAPI.

    .. code-block:: python

        from fastapi import FastAPI, Security
        from octo_sts.server import GithubOIDC, GithubOIDCClaims

        app = FastAPI()

        @app.get("/")
        async def root(claims: GithubOIDCClaims = Security(GithubOIDC(audience="api.example.com"))):
            return claims

    A request without a valid token gets 401 with ``WWW-Authenticate``. It gets 403 if no rule of ``allow`` holds, and
    503 if the issuer cannot be reached. The exact reason is in the log ``octo_sts``, not in the answer.

    :param audience: whom tokens must be intended for, such as your server's host name; if several, one must match.
    :param issuers: whose tokens are accepted; by default GitHub's.
    :param allow: rules in the language of trust policies, as YAML, JSON or dictionaries; one must hold. Left out, every
        token that is verified is accepted; a list without a rule is an error.
    :param auto_error: with ``False`` a request without an accepted token gets ``None`` instead of an error.
    :param max_lifetime: the longest time from ``iat`` to ``exp``, in seconds.
    :param allow_loopback_http: admits issuers at ``http://localhost`` and ``http://127.0.0.1``, for tests.
    """

    def __init__(
        self,
        audience: Union[str, Sequence[str]],
        *,
        issuers: Sequence[str] = (GITHUB_ISSUER,),
        allow: Optional[Sequence[Rule]] = None,
        auto_error: bool = True,
        scheme_name: Optional[str] = None,
        description: Optional[str] = None,
        max_lifetime: int = 86_400,
        allow_loopback_http: bool = False,
    ) -> None:
        self.audience = audience
        self.auto_error = auto_error
        self.verifier = Verifier(
            audience,
            issuers=issuers,
            allow=allow,
            max_lifetime=max_lifetime,
            allow_loopback_http=allow_loopback_http,
        )
        self.model = HTTPBearerModel(
            bearerFormat="JWT",
            description=description or "An OIDC token of a job of GitHub Actions.",
        )
        self.scheme_name = scheme_name or self.__class__.__name__

    # `HTTPConnection` is a request or a WebSocket's handshake.
    async def __call__(self, connection: HTTPConnection) -> Optional[GithubOIDCClaims]:
        try:
            claims = await self.verifier.verify_request(connection.headers.getlist("authorization"))
        except TokenRefused as refused:
            logger.warning("token not accepted: %s (%s)", refused, refused.code)
            if not self.auto_error:
                return None
            raise _answer(refused) from None
        return GithubOIDCClaims.model_validate(claims)


def _answer(refused: TokenRefused) -> HTTPException:
    headers: dict[str, Any] = {"Cache-Control": "no-store"}
    if refused.challenge is not None:
        headers["WWW-Authenticate"] = refused.challenge
    if refused.retry_after is not None:
        headers["Retry-After"] = str(refused.retry_after)
    return HTTPException(status_code=refused.status, detail=refused.public_message, headers=headers)
