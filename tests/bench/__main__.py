"""`python -m tests.bench [NAME ...]`: every benchmark of the farm, or those named, in a form that takes minutes.

Each sets up what it needs, most of them a Redis, an S3 server and workers. `python -m tests.bench.NAME --help` tells
its sizes; the full load is 20,000 frames. The engine has a benchmark of its own: `python -m tests.bench.engine`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.bench.measures import ROOT, out

SMALL = {
    "requests": "",
    "farm_dispatch": "",
    "dispatch": "--frames 100 500 --long 500 2000 --chords 300",
    "r20k": "--frames 1000 --shorter 100 --workers 4 --cpu-workers 1",
    "api_latency": "--frames 800 --workers 2 --seconds 10",
    "two_users": "--long 640 --short 64 --workers 2 --sleep 0.02",
    "scaling": "--workers 1 2 4 --rounds 8",
    "follow": "",
    "seams": "--frames 28",
}


def main() -> int:
    """Run them in turn; 1 if one did not come to its end."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SMALL)}; all if none is given")
    names = parser.parse_args().names or list(SMALL)
    unknown = [name for name in names if name not in SMALL]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(SMALL)}")
    failed = []
    for name in names:
        out.rule(f"python -m tests.bench.{name} {SMALL[name]}")
        command = [sys.executable, "-m", f"tests.bench.{name}", *SMALL[name].split()]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        out.print(f"Did not come to an end: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
