"""`python -m tests.golden.check FOLDER`: run every golden case of a folder through our code.

The folder holds `manifest.json` and what it names. The last line is `N passed, M failed, K skipped`; the exit status
is 0 exactly if M is 0.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from tests.golden import impact
from tests.golden.tally import Tally


def check_folder(folder: Path) -> Tally:
    """All cases of one folder, by the form of its manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    if "cases" in manifest or "tables" in manifest:
        return impact.check_folder(folder)
    # Imported late: these need torch and the engine, the others do not.
    comfy = import_module("tests.golden.comfy")
    tally: Tally = comfy.check_folder(folder)
    return tally


def main(arguments: list[str]) -> int:
    """Check each folder named; 0 if nothing failed."""
    if not arguments:
        sys.stderr.write("usage: python -m tests.golden.check FOLDER ...\n")
        return 2
    tally = Tally()
    for folder in arguments:
        tally.add(check_folder(Path(folder)))
    tally.report()
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
