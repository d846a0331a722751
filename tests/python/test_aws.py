"""AWS as moto plays it: set up by the documented commands, spoken to by boto3, and every signature checked by botocore."""

import base64
import datetime
import ipaddress
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import zlib
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import boto3
import jwt
import pytest
import requests
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto.core.authorization import enable_iam_authentication
from moto.server import ThreadedMotoServer
from moto.sts.models import sts_backends

from relying_party import Keys

REGION, ACCOUNT = "eu-central-1", "123456789012"
STS, RUNTIME = f"sts.{REGION}.amazonaws.com", f"bedrock-runtime.{REGION}.amazonaws.com"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
DOCUMENT = Path(__file__).parents[2] / "docs/federation.md"
ROLE = "sts-bedrock"


def frame(event, value):
    """A message of an event stream."""
    headers = {":message-type": "event", ":event-type": event, ":content-type": "application/json"}
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(text).to_bytes(2, "big") + text.encode()
        for name, text in headers.items()
    )
    body = json.dumps(value).encode()
    message = (len(head) + len(body) + 16).to_bytes(4, "big") + len(head).to_bytes(4, "big")
    message += zlib.crc32(message).to_bytes(4, "big") + head + body
    return message + zlib.crc32(message).to_bytes(4, "big")


WHOLE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}
STREAM = [
    frame("messageStart", {"role": "assistant"}),
    *(frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}) for text in ("hel", "lo")),
    frame("contentBlockStop", {"contentBlockIndex": 0}),
    frame("messageStop", {"stopReason": "end_turn"}),
]


def documented(heading):
    """The first shell block under a heading of docs/federation.md."""
    section = DOCUMENT.read_text().split(f"\n### {heading}\n", 1)[1]
    return re.search(r"```sh\n(.*?)```", section, re.DOTALL).group(1)


class Aws:
    """An account in which moto keeps identity providers, roles and sessions. It looks at what moto does not: assertions."""

    def __init__(self, service):
        self.service = service
        self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.moto.start()
        self.moto_url = "http://{}:{}".format(*self.moto.get_host_and_port())
        self.assumed, self.invoked = [], []
        account = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                chunked = self.headers.get("transfer-encoding") == "chunked"
                assert not chunked, "a body that is signed has a length"
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = account.sts if self.headers["host"] == STS else account.bedrock
                status, kind, parts = answer(self.path, self.headers, body)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(sum(map(len, parts))))
                self.end_headers()
                for part in parts:
                    self.wfile.write(part)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        for host in (STS, RUNTIME):
            service.ask("lead", host=host, port=self.server.server_address[1])

    def client(self, name):
        return boto3.client(
            name, region_name="us-east-1", endpoint_url=self.moto_url,
            aws_access_key_id="AKIAADMIN", aws_secret_access_key="admin",
        )

    def trust(self):
        """What the role's policy, as it was created, says about who may assume it."""
        document = self.client("iam").get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
        [statement] = document["Statement"]
        assert statement["Effect"] == "Allow" and statement["Action"] == "sts:AssumeRoleWithWebIdentity"
        [conditions] = statement["Condition"].values()
        assert list(statement["Condition"]) == ["StringEquals"]
        return statement["Principal"]["Federated"], conditions

    def sts(self, _, headers, body):
        form = dict(parse_qsl(body.decode(), strict_parsing=True))
        if form["Action"] != "AssumeRoleWithWebIdentity":
            # Moto looks at the signature, with a key that it gave out.
            with enable_iam_authentication():
                return self.to_moto(headers, body)
        assert headers.get("authorization") is None
        assert re.fullmatch(r"[\w+=,.@-]{2,64}", form["RoleSessionName"])
        provider, conditions = self.trust()
        known = self.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=provider)
        issuer = "https://" + known["Url"].removeprefix("https://")
        assert issuer == self.service.issuer
        [audience] = known["ClientIDList"]
        claims = Keys(self.service).verify(form["WebIdentityToken"], self.service, audience)
        host = issuer.removeprefix("https://")
        if any(claims[name.removeprefix(f"{host}:")] != value for name, value in conditions.items()):
            refusal = {"Code": "AccessDenied", "Message": "Not authorized", "Type": "Sender"}
            return 403, "application/json", [json.dumps({"Error": refusal, "RequestId": "1"}).encode()]
        self.assumed.append((claims["sub"], form["RoleSessionName"]))
        answer = self.to_moto(headers, body)
        for role in sts_backends[ACCOUNT]["aws"].assumed_roles:
            for secret in (role.secret_access_key, role.session_token):
                self.service.ask("hide", text=secret)
        return answer

    def to_moto(self, headers, body):
        answer = requests.post(self.moto_url, data=body, headers=dict(headers), timeout=30)
        return answer.status_code, answer.headers["content-type"], [answer.content]

    def credentials(self, key_id):
        roles = sts_backends[ACCOUNT]["aws"].assumed_roles
        role = next(role for role in roles if role.access_key_id == key_id)
        return Credentials(role.access_key_id, role.secret_access_key, role.session_token)

    def bedrock(self, path, headers, body):
        authorization = headers["authorization"]
        how = "key" if authorization.startswith("Bearer ") else "signature"
        (self.verify_key(authorization) if how == "key" else self.verify_signature(path, headers, body))
        assert path.startswith(f"/model/{MODEL.replace(':', '%3A')}/"), path
        operation = path.rsplit("/", 1)[1]
        self.invoked.append((how, operation, json.loads(body)))
        if operation == "converse":
            return 200, "application/json", [json.dumps(WHOLE).encode()]
        return 200, "application/vnd.amazon.eventstream", STREAM

    def verify_signature(self, path, headers, body):
        """Signs what arrived again with botocore."""
        shape = r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d{8}/eu-central-1/bedrock/aws4_request, SignedHeaders=(\S+), Signature=(\w{64})"
        key_id, names, signature = re.fullmatch(shape, headers["authorization"]).groups()
        credentials = self.credentials(key_id)
        assert headers["x-amz-security-token"] == credentials.token
        signed = {name: headers[name] for name in names.split(";")}
        request = AWSRequest(method="POST", url=f"https://{RUNTIME}{path}", data=body, headers=signed)
        request.context["timestamp"] = headers["x-amz-date"]
        auth = SigV4Auth(credentials, "bedrock", REGION)
        canonical = auth.canonical_request(request)
        assert auth.signature(auth.string_to_sign(request, canonical), request) == signature, canonical

    def verify_key(self, authorization):
        """Makes Bedrock's short-term key again as AWS's generator does, with botocore."""
        encoded = authorization.removeprefix("Bearer bedrock-api-key-")
        url = "https://" + base64.b64decode(encoded, validate=True).decode()
        assert url.endswith("&Version=1")
        query = {name: value for name, [value] in parse_qs(urlsplit(url).query).items()}
        credentials = self.credentials(query["X-Amz-Credential"].split("/")[0])
        request = AWSRequest(
            method="POST", url="https://bedrock.amazonaws.com/",
            headers={"host": "bedrock.amazonaws.com"}, params={"Action": "CallWithBearerToken"},
        )
        auth = SigV4QueryAuth(credentials, "bedrock", REGION, expires=int(query["X-Amz-Expires"]))
        moment = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("botocore.auth.get_current_datetime", lambda: moment)
            auth.add_auth(request)
        assert url == request.url + "&Version=1"

    def stop(self):
        self.server.shutdown()
        self.moto.stop()


@pytest.fixture(scope="module")
def aws(service, tmp_path_factory):
    account = Aws(service)
    environment = {
        **os.environ,
        "DOMAIN": service.issuer.removeprefix("https://"), "ACCOUNT": ACCOUNT, "AWS_ENDPOINT_URL": account.moto_url,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIAADMIN", "AWS_SECRET_ACCESS_KEY": "admin",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    folder = tmp_path_factory.mktemp("documented")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", documented("AWS")], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    yield account
    account.stop()


def certificate(folder):
    """One for loopback, signed by itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "the edge")])
    now = datetime.datetime.now(datetime.timezone.utc)
    signed = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "edge.pem"
    path.write_bytes(private + signed.public_bytes(encoding))
    return path


class Edge:
    """TLS before the service, as Cloudflare has it: boto3 sends a bearer token nowhere else."""

    def __init__(self, pem, service):
        self.pem, self._service = pem, service
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self._listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                parts = urlsplit(self._service.url)
                service = socket.create_connection((parts.hostname, parts.port))
                for one, other in ((client, service), (service, client)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one, other):
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self._listener.close()


@pytest.fixture(scope="module")
def edge(service, tmp_path_factory):
    front = Edge(certificate(tmp_path_factory.mktemp("edge")), service)
    yield front
    front.stop()


@pytest.fixture
def client(service, edge, monkeypatch):
    """boto3 as a job has it: two variables, one for the proxy's address and one for the job's token."""

    def make(upstream):
        token = service.job_token(aud=f"{service.issuer}/proxy/{upstream}", repository_id=None)
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", token)
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"{edge.url}/proxy/{upstream}")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(edge.pem))
        return boto3.client("bedrock-runtime", region_name=REGION, config=Config(retries={"total_max_attempts": 1}))

    return make


def allow(account, subject):
    """Changes the role's trust as an operator does."""
    iam = account.client("iam")
    document = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
    [conditions] = document["Statement"][0]["Condition"].values()
    [name] = [name for name in conditions if name.endswith(":sub")]
    conditions[name] = subject
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(document))


MESSAGES = [{"role": "user", "content": [{"text": "hi"}]}]


@pytest.mark.parametrize(("upstream", "how"), [("bedrock", "signature"), ("bedrock-key", "key")])
def test_boto3_calls_bedrock_with_a_session_of_sts(aws, client, upstream, how):
    allow(aws, f"upstream:{upstream}")
    bedrock = client(upstream)
    answer = bedrock.converse(modelId=MODEL, messages=MESSAGES)
    assert answer["output"]["message"]["content"] == [{"text": "hello"}]
    stream = bedrock.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    texts = [event["contentBlockDelta"]["delta"]["text"] for event in stream if "contentBlockDelta" in event]
    assert texts == ["hel", "lo"]
    assert aws.invoked[-2:] == [
        (how, operation, {"messages": MESSAGES}) for operation in ("converse", "converse-stream")
    ]
    assert aws.assumed[-1] == (f"upstream:{upstream}", f"sts-{upstream}"), "one session, named after nobody"


def test_the_documented_trust_is_for_the_documented_upstream_alone(aws, service):
    assert aws.client("iam").get_role_policy(RoleName=ROLE, PolicyName="invoke")["PolicyDocument"]["Statement"]
    provider, conditions = aws.trust()
    host = service.issuer.removeprefix("https://")
    assert provider == f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"
    assert sorted(conditions) == [f"{host}:aud", f"{host}:sub"]


def whoami(service):
    token = service.job_token(aud=f"{service.issuer}/proxy/whoami", repository_id=None)
    form = {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    return token, requests.post(f"{service.url}/proxy/whoami/", data=form, headers=headers, timeout=30)


def test_a_role_that_does_not_trust_us_is_unavailable_and_one_that_does_knows_who_calls(aws, service):
    allow(aws, "somebody else")
    token, answer = whoami(service)
    assert answer.status_code == 503 and answer.headers["x-octo-sts-error"] == "unavailable", answer.text
    claims = jwt.decode(token, options={"verify_signature": False})
    principal = f"{claims['iss'].removeprefix('https://')}|{claims['sub']}"
    allow(aws, principal)
    _, answer = whoami(service)
    assert answer.status_code == 200, answer.text
    subject, session = aws.assumed[-1]
    assert subject == principal and re.fullmatch(r"sts-whoami-[0-9a-f]{16}", session)
    # Moto found the session by the key and the signature, and says whose it is.
    assert f"assumed-role/{ROLE}/{session}" in answer.text


def test_an_sdk_that_signs_itself_is_refused(aws, service, monkeypatch):
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    own = boto3.client(
        "bedrock-runtime", region_name=REGION, endpoint_url=f"{service.url}/proxy/bedrock",
        aws_access_key_id="AKIAOWN", aws_secret_access_key="own",
    )
    invoked = len(aws.invoked)
    with pytest.raises(ClientError) as refused:
        own.converse(modelId=MODEL, messages=MESSAGES)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    assert len(aws.invoked) == invoked
