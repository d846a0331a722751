"""PyJWT as somebody who trusts what the service signs."""

import jwt
import requests
from jwt import PyJWKClient

REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]


class Keys(PyJWKClient):
    """Keeps the key set as long as a relying party may, and counts how often it asked."""

    def __init__(self, service):
        configuration = requests.get(service.url + "/.well-known/openid-configuration").json()
        assert configuration["issuer"] == service.issuer
        super().__init__(service.at(configuration["jwks_uri"]), cache_jwk_set=True, lifespan=86400)
        self.asked = 0
        self.get_jwk_set()

    def fetch_data(self):
        self.asked += 1
        return super().fetch_data()

    def verify(self, token, service, audience):
        key = self.get_signing_key_from_jwt(token)
        return jwt.decode(
            token, key, algorithms=["RS256"], audience=audience, issuer=service.issuer, options={"require": REQUIRED}
        )
