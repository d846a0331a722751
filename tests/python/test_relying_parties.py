"""PyJWT verifies what the service signs, with the published keys, through a rotation."""

import jwt
import pytest
import requests

from relying_party import Keys

ROTATION = [
    {"ISSUER_PRIVATE_KEY": "old"},
    {"ISSUER_PRIVATE_KEY": "old", "ISSUER_PRIVATE_KEY_NEXT": "new"},
    {"ISSUER_PRIVATE_KEY": "old", "ISSUER_PRIVATE_KEY_NEXT": "new", "ISSUER_PRIVATE_KEY_PREVIOUS": "old"},
    {"ISSUER_PRIVATE_KEY": "new", "ISSUER_PRIVATE_KEY_NEXT": "new", "ISSUER_PRIVATE_KEY_PREVIOUS": "old"},
    {"ISSUER_PRIVATE_KEY": "new", "ISSUER_PRIVATE_KEY_PREVIOUS": "old"},
    {"ISSUER_PRIVATE_KEY": "new"},
]


@pytest.fixture
def rotated(service):
    yield service
    service.publish(**ROTATION[0])


@pytest.mark.parametrize(
    ("sign", "audience", "typ"),
    [
        (lambda service: service.session(), "https://sts.example.com/proxy/models", "octo-sts-session+jwt"),
        (lambda service: service.assertion(), "https://partner.example.com", "JWT"),
    ],
    ids=["session", "assertion"],
)
def test_whoever_caches_the_key_set_verifies_through_a_rotation(rotated, sign, audience, typ):
    before, signed_before, kids = None, None, set()
    for step in ROTATION:
        rotated.publish(**step)
        token = sign(rotated)
        header = jwt.get_unverified_header(token)
        assert sorted(header) == ["alg", "kid", "typ"] and header["typ"] == typ
        kids.add(header["kid"])
        now = Keys(rotated)
        claims = now.verify(token, rotated, audience)
        assert claims["aud"] == audience
        if before:
            before.verify(token, rotated, audience)
            assert before.asked == 1, "the key set of the step before knows the key"
        if signed_before and step != ROTATION[-1]:
            now.verify(signed_before, rotated, audience)
            assert now.asked == 1
        before, signed_before = now, token
    assert len(kids) == 2, "both keys signed"


def test_what_is_signed_for_one_is_refused_by_another(service):
    token = service.assertion()
    with pytest.raises(jwt.InvalidAudienceError):
        Keys(service).verify(token, service, "https://other.example.com")


def test_a_key_that_is_published_no_longer_verifies_nothing(rotated):
    token = rotated.session()
    rotated.publish(**ROTATION[-1])
    with pytest.raises(jwt.PyJWKClientError):
        Keys(rotated).verify(token, rotated, f"{rotated.issuer}/proxy/models")


def test_the_published_keys_have_no_private_part(service):
    answer = requests.get(service.url + "/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    for key in answer.json()["keys"]:
        assert sorted(key) == ["alg", "e", "kid", "kty", "n", "use"]
