"""What runs code that was handed in, or reads strangers' bytes in more ways than meant, is nowhere in the farm."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("farm", "workers", "api")

MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "xmlrpc", "telnetlib", "ftplib"}
CALLS = {
    *("eval", "exec", "__import__", "os.system", "os.popen", "tempfile.mktemp", "torch.load", "torch.jit.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "pickle.loads", "marshal.loads", "zipfile.Path"),
}
ASKED: dict[str, dict[str, object]] = {
    "numpy.load": {"allow_pickle": False},
    "np.load": {"allow_pickle": False},
    "Image.open": {"formats": None},
    "tarfile.open": {"nothing": None},
}
"""Calls that must have an argument; None: of any value."""
FORBIDDEN: dict[str, object] = {"shell": True, "trust_remote_code": True, "verify": False, "allow_pickle": True}
"""Arguments that no call may have."""


def dotted(node: ast.expr) -> str:
    """The name that is called: `a.b.c`."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults(source: str) -> Iterator[str]:
    """What should not be in a module, with its line."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (f"import {name}" for name in names if name.split(".")[0] in MODULES)
        if isinstance(node, ast.Call):
            yield from _call_faults(node)


def _call_faults(call: ast.Call) -> Iterator[str]:
    name = dotted(call.func)
    given = {one.arg: getattr(one.value, "value", ...) for one in call.keywords if one.arg}
    if name in CALLS:
        yield f"line {call.lineno}: {name}()"
    for argument, wanted in ASKED.get(name, {}).items():
        if argument not in given or (wanted is not None and given[argument] is not wanted):
            yield f"line {call.lineno}: {name}() without {argument}={'…' if wanted is None else wanted}"
    for argument, wrong in FORBIDDEN.items():
        if given.get(argument, ...) is wrong:
            yield f"line {call.lineno}: {name}({argument}={wrong})"
    if name == "av.open" and "options" not in given and not any(_is_text(one, "w") for one in call.args):
        yield f"line {call.lineno}: av.open() without a whitelist of formats and protocols"


def _is_text(node: ast.expr, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_loads_pickles_runs_text_or_opens_files_unguarded(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)} {fault}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for fault in faults(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "import yaml\nyaml.load(text)",
        "eval('1')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import tempfile\ntempfile.mktemp()",
        "import numpy as np\nnp.load(file)",
        "import numpy as np\nnp.load(file, allow_pickle=True)",
        "kind.from_pretrained(folder, trust_remote_code=True)",
        "from PIL import Image\nImage.open(data)",
        "import av\nav.open(path)",
        "client.get(url, verify=False)",
    ],
)
def test_each_of_them_would_be_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source", ["np.load(file, allow_pickle=False)", "av.open(path, 'w')", "run(['ls'])", "x.eval()"]
)
def test_what_is_guarded_is_let_be(source: str) -> None:
    assert list(faults(source)) == []
