"""Schemathesis makes requests of docs/openapi.yaml, good and bad ones, for some time, and holds the answers against it."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_the_description_and_the_service_agree(service):
    folder = ROOT / "target" / "python" / "schemathesis"
    folder.mkdir(parents=True, exist_ok=True)
    tokens = {
        "JOB_TOKEN": service.job_token(),
        "PROXY_TOKEN": service.job_token(aud=f"{service.issuer}/proxy/models"),
    }
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--no-color"),
        *("--config-file", str(HERE / "schemathesis.toml"), "run", str(ROOT / "docs" / "openapi.yaml")),
        *("--url", service.url, "--workers", "1"),
        *("--max-time", os.environ.get("FUZZ_SECONDS", "60"), "--seed", os.environ.get("FUZZ_SEED", "1")),
    ]
    # In a folder of its own, where it keeps what it found.
    run = subprocess.run(command, cwd=folder, env={**os.environ, **tokens}, capture_output=True, text=True, timeout=3600)
    assert run.returncode == 0, run.stdout + run.stderr
    print(run.stdout)
