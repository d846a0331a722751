"""What the README says, done."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Callable

import httpx

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = [textwrap.dedent(block) for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL)]


def test_the_examples_run(tmp_path: Path) -> None:
    assert len(BLOCKS) == 3
    for index, block in enumerate(BLOCKS):
        file = tmp_path / f"example_{index}.py"
        file.write_text(block)
        subprocess.run([sys.executable, str(file)], check=True, cwd=tmp_path)


def test_the_first_example_is_a_server_that_refuses(serve: Callable[[Any], str]) -> None:
    module: dict[str, Any] = {}
    exec(compile(BLOCKS[0], "main.py", "exec"), module)
    url = serve(module["app"])
    response = httpx.post(f"{url}/deploy")
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert httpx.get(f"{url}/openapi.json").json()["paths"]["/deploy"]["post"]["security"] == [{"GithubOIDC": []}]
