#!/usr/bin/env python3
"""Writes tests/data/sigv4: AWS's published test suite as one file, and signatures by botocore.

    pip install botocore aws-bedrock-token-generator
    scripts/sigv4-vectors.py PATH/TO/aws-signing-test-suite/v4
"""

import datetime
import hashlib
import json
import pathlib
import sys
from unittest import mock
from urllib.parse import unquote

from aws_bedrock_token_generator import token_generator
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

DATA = pathlib.Path(__file__).parent.parent / "tests/data/sigv4"
ID, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session/token+with=signs=="
NOW = datetime.datetime(2026, 11, 20, 17, 0, 0, tzinfo=datetime.timezone.utc)


def headers_of(lines):
    """Header lines; one that begins with a blank goes on the one before."""
    headers = []
    for line in lines:
        if line[:1] in " \t":
            headers[-1][1] += "\n" + line
        else:
            headers.append(line.split(":", 1))
    return headers


def suite(folder):
    cases = []
    for case in sorted(path for path in folder.iterdir() if (path / "context.json").exists()):
        context = json.loads((case / "context.json").read_text())
        # All services but S3 normalize the path; nothing here signs for S3 in this way.
        if not context["normalize"]:
            continue
        head, _, body = (case / "request.txt").read_text().replace("\r", "").partition("\n\n")
        first, *lines = head.split("\n")
        method, target = first.removesuffix(" HTTP/1.1").split(" ", 1)
        path, _, query = target.partition("?")
        signed_query = (case / "query-signed-request.txt").read_text().split("\n")[0]
        signed_query = signed_query.split(" HTTP/1.1")[0].partition("?")[2].split("&X-Amz-Signature=")[0]
        credentials = context["credentials"]
        if context.get("omit_session_token"):
            # Added after signing.
            pairs = signed_query.split("&")
            signed_query = "&".join(pair for pair in pairs if not pair.startswith("X-Amz-Security-Token="))
        headers = headers_of([line for line in lines if line])
        digest = hashlib.sha256(body.encode()).hexdigest()
        cases.append({
            "name": case.name,
            "method": method,
            # The suite gives paths before they are encoded for the wire.
            "path": unquote(path),
            "query": query,
            "headers": headers,
            "body_sha256": digest,
            "body_header": context["sign_body"],
            "token": None if context.get("omit_session_token") else credentials.get("token"),
            "canonical": (case / "header-canonical-request.txt").read_text(),
            "to_sign": (case / "header-string-to-sign.txt").read_text(),
            "signature": (case / "header-signature.txt").read_text(),
            "presigned_query": signed_query,
            "presigned": (case / "query-canonical-request.txt").read_text(),
            "presigned_signature": (case / "query-signature.txt").read_text(),
        })
    return cases


REQUESTS = [
    ("GET", "https://bedrock.eu-central-1.amazonaws.com/foundation-models", [], b""),
    ("GET", "https://bedrock.eu-central-1.amazonaws.com", [], b""),
    ("POST", "https://bedrock-runtime.eu-central-1.amazonaws.com/model/anthropic.claude-v2%3A1/invoke",
     [("content-type", "application/json")], b'{"max_tokens":1}'),
    ("POST", "https://bedrock-runtime.eu-central-1.amazonaws.com/model/anthropic.claude-v2:1/converse-stream",
     [("content-type", "application/json"), ("x-amz-bedrock-trace", "ENABLED"), ("X-Amzn-Bedrock-Save", "no"),
      ("x-amz-two", "  a   b ")], b"\x00\xff"),
    ("GET", "https://api.example.com/a%20b/%2Fc/~d/(e)/f'g?marker=a%2Fb&limit=10&empty=&Upper=1", [], b""),
    ("PUT", "https://api.example.com:8443/a/b/", [("content-type", "text/plain; charset=utf-8")], b"x"),
    ("DELETE", "https://api.example.com:443/a", [], b""),
    ("POST", "https://api.example.com/a//b/./c/../d", [], b""),
]


def botocore():
    credentials = Credentials(ID, SECRET, TOKEN)
    cases = []
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW.replace(tzinfo=None)):
        for method, url, headers, body in REQUESTS:
            digest = hashlib.sha256(body).hexdigest()
            signed = [(name, value) for name, value in headers if name.lower().startswith(("content-type", "x-amz-"))]
            request = AWSRequest(method, url, dict([*signed, ("x-amz-content-sha256", digest)]), body)
            SigV4Auth(credentials, "bedrock", "eu-central-1").add_auth(request)
            cases.append({
                "method": method, "url": url, "headers": headers, "body_sha256": digest,
                "authorization": request.headers["Authorization"],
            })
        keys = [
            {"seconds": seconds, "key": token_generator._generate_token(credentials, "eu-central-1", min(seconds, 43200))}
            for seconds in (900, 43200, 50000)
        ]
    return {"access_key_id": ID, "secret_access_key": SECRET, "session_token": TOKEN, "now": int(NOW.timestamp()),
            "region": "eu-central-1", "service": "bedrock", "requests": cases, "keys": keys}


def write(name, value):
    (DATA / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


write("suite.json", suite(pathlib.Path(sys.argv[1])))
write("botocore.json", botocore())
