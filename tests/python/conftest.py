"""The built Worker, served by serve.mjs for all tests."""

import json
import subprocess
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter

SERVE = Path(__file__).with_name("serve.mjs")


class Service:
    """The Worker on loopback. `issuer` is what it calls itself, `url` where it is."""

    def __init__(self):
        self._process = subprocess.Popen(
            ["node", str(SERVE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started = self._read()
        self.url, self.issuer = started["url"], started["issuer"]

    def _read(self):
        line = self._process.stdout.readline()
        assert line, "serve.mjs ended"
        return json.loads(line)

    def ask(self, what, **members):
        self._process.stdin.write(json.dumps({"ask": what, **members}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def publish(self, **settings):
        """The keys from now on, by their settings, in a new isolate."""
        self.url = self.ask("keys", settings=settings)["url"]

    def job_token(self, **claims):
        return self.ask("token", claims=claims)["token"]

    def session(self):
        """A session token for the upstream `models`."""
        resource = f"{self.issuer}/proxy/models"
        answer = requests.post(
            self.url + "/sts/token",
            data={
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": self.job_token(aud=resource),
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
                "resource": resource,
            },
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def assertion(self):
        return self.ask("assertion")["assertion"]

    def at(self, address):
        """Where an address that begins with the issuer is on this machine."""
        assert address.startswith(self.issuer + "/"), address
        return self.url + address[len(self.issuer) :]

    def stop(self):
        self._process.stdin.close()
        assert self._process.wait(timeout=60) == 0, "what serve.mjs asserts in the end failed"


class ToThisMachine(HTTPAdapter):
    """For `requests`: leads the issuer's host to the Worker."""

    def __init__(self, service):
        super().__init__()
        self._service = service

    def send(self, request, **options):
        request.url = self._service.at(request.url)
        return super().send(request, **options)


@pytest.fixture(scope="session")
def service():
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def reach(service):
    """Makes a session of `requests` reach the service by its issuer's address."""

    def mount(session: requests.Session):
        session.mount(service.issuer, ToThisMachine(service))
        return session

    return mount
