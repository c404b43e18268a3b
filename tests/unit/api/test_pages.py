"""The dashboard's files, as browsers get them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from fastapi.testclient import TestClient

from api.routes.pages import files, version

MODULES = sorted(name for name in files() if name.startswith("js/") and name != "js/theme.js")


@pytest.mark.parametrize("path", ["/", "/jobs/20260101-any", "/workers", "/submit"])
def test_every_address_of_the_dashboard_is_the_same_page(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert client.get(path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_all_that_the_page_names_is_there_and_may_be_kept_for_ever(client: TestClient) -> None:
    named = re.findall(r'(?:src|href)="(/web/[^"]+)"', client.get("/").text)
    assert len(named) >= 8
    for address in named:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_a_file_of_an_old_build_is_given_anew_but_not_kept(client: TestClient) -> None:
    assert client.get("/web/0123456789abcdef/js/app.js").headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["js/none.js", "../app.py", "%2e%2e/app.py", "index.html", "js"])
def test_nothing_else_is_served(client: TestClient, name: str) -> None:
    answer = client.get(f"/web/{version()}/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", MODULES)
def test_a_script_imports_only_what_is_there_and_what_is_exported(name: str) -> None:
    text = files()[name].decode()
    for names, source in re.findall(r'^import \{([^}]*)\} from "\./([^"]+)";', text, re.M):
        there = files()[f"js/{source}"].decode()
        for one in (part.strip() for part in names.split(",")):
            assert re.search(rf"^export (async )?(function|const|class) {one}\b", there, re.M), (source, one)
    assert text.count("\nimport ") + text.startswith("import ") == len(re.findall(r'^import .* from "\./', text, re.M))


def test_nothing_is_loaded_from_elsewhere(client: TestClient) -> None:
    for name, data in files().items():
        addresses = set(re.findall(r"https?://[^\s'\"`)]+", data.decode())) - {"http://www.w3.org/2000/svg"}
        assert not addresses, name
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "script-src 'self'; style-src 'self';" in policy
    assert "unsafe" not in policy


def test_no_file_is_long() -> None:
    assert {name: lines for name, data in files().items() if (lines := len(data.splitlines())) > 300} == {}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed, so scripts are not parsed here")
def test_every_script_is_read_by_a_strict_parser() -> None:
    for name in MODULES:
        checked = subprocess.run(
            ["node", "--input-type=module", "--check"], input=files()[name], capture_output=True, check=False
        )
        assert checked.returncode == 0, (name, checked.stderr.decode())
