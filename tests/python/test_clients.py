"""Authlib as a client of the token endpoint, which it knows from the metadata alone."""

import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


@pytest.fixture
def metadata(service, reach):
    address = get_well_known_url(service.issuer, external=True)
    answer = reach(requests.Session()).get(address)
    assert answer.status_code == 200
    return AuthorizationServerMetadata(answer.json())


@pytest.fixture
def exchange(metadata, reach):
    def exchange(**parameters):
        session = reach(OAuth2Session(client_id=None, token_endpoint_auth_method="none"))
        return session.fetch_token(metadata["token_endpoint"], grant_type=GRANT, subject_token_type=ID_TOKEN, **parameters)

    return exchange


def test_the_metadata_is_what_rfc_8414_asks_for(metadata, service):
    # An authorization endpoint is needed for other grants only, and Authlib takes an empty list of response types for none.
    for member in (
        "issuer",
        "token_endpoint",
        "jwks_uri",
        "grant_types_supported",
        "token_endpoint_auth_methods_supported",
        "service_documentation",
    ):
        getattr(metadata, f"validate_{member}")()
    assert metadata["response_types_supported"] == []
    assert metadata["issuer"] == service.issuer
    assert GRANT in metadata["grant_types_supported"]


def test_a_narrowed_installation_token(service, exchange):
    token = exchange(
        subject_token=service.job_token(), resource="https://github.com/acme/app", scope="deploy contents:read"
    )
    assert token["token_type"] == "Bearer"
    assert token["scope"] == "deploy contents:read"
    assert token["permissions"] == {"contents": "read"}
    assert token["access_token"].startswith("ghs_")
    assert not token.is_expired()


def test_the_whole_grant_where_nothing_narrows(service, exchange):
    token = exchange(subject_token=service.job_token(), resource="https://github.com/acme/app", scope="deploy")
    assert token["scope"].split(" ")[0] == "deploy"
    assert set(token["scope"].split(" ")[1:]) == {"contents:read", "issues:write"}


def test_a_session_of_the_proxy(service, exchange, reach):
    resource = f"{service.issuer}/proxy/models"
    token = exchange(subject_token=service.job_token(aud=resource), resource=resource)
    assert token["issued_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
    answer = reach(OAuth2Session(token=token)).get(f"{resource}/v1/models")
    assert (answer.status_code, answer.text) == (200, "a model")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"subject_token": "x"}, "invalid_grant"),
        ({"scope": "deploy contents:write"}, "permission_denied"),
        ({"scope": "deploy  contents:read"}, "invalid_scope"),
        ({"scope": "contents:read"}, "invalid_scope"),
        ({"resource": "https://gitlab.com/acme/app"}, "invalid_target"),
        ({"scope": "nothing"}, "policy_not_found"),
        ({"audience": "https://github.com"}, "invalid_request"),
    ],
)
def test_refusals_are_errors_of_oauth(service, exchange, change, error):
    good = {"subject_token": service.job_token(), "resource": "https://github.com/acme/app", "scope": "deploy"}
    with pytest.raises(OAuthError) as refused:
        exchange(**{**good, **change})
    assert refused.value.error == error
    assert refused.value.description
