"""A server that lets in the pushes to `main` of one organization: `uvicorn server:app`. Checked by mypy and pyright."""

from typing import Annotated, Optional

from fastapi import FastAPI, Security

from octo_sts import TokenRefused, Verifier, exchange_async, get_actions_header
from octo_sts.server import GithubOIDC, GithubOIDCClaims

app = FastAPI()
github = GithubOIDC(
    audience="api.example.com",
    allow=[
        {
            "issuer": "https://token.actions.githubusercontent.com",
            "subject_pattern": "repo:acme/[^:/]+:ref:refs/heads/main",
            "claim_pattern": {"event_name": "push"},
        }
    ],
)
maybe_github = GithubOIDC("api.example.com", auto_error=False)


@app.post("/deploy")
async def deploy(claims: Annotated[GithubOIDCClaims, Security(github)]) -> dict[str, Optional[int]]:
    return {"repository": claims.repository_id, "run": claims.run_id}


@app.get("/")
async def greet(claims: Annotated[Optional[GithubOIDCClaims], Security(maybe_github)]) -> str:
    return "hello, stranger" if claims is None else f"hello, {claims.repository}"


def check(token: str) -> Optional[str]:
    try:
        return str(Verifier("api.example.com").verify(token)["sub"])
    except TokenRefused as refused:
        return None if refused.status == 401 else refused.public_message


async def github_token() -> str:
    token = await exchange_async("acme/app", "deploy", domain="sts.example.com", permissions={"issues": "read"})
    return token.token


def headers() -> dict[str, str]:
    return get_actions_header("api.example.com")
