"""Counting golden cases, and saying what became of each that did not simply pass."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Passed, failed and skipped cases; with failures and skips go their reasons."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def record(self, name: str, faults: list[str], decisions: list[str], skipped: bool) -> None:
        """Count one case.

        Args:
            faults: what differs; any makes the case a failure, whatever else was left out.
            decisions: the decisions of SPEC.md by which something was not compared.
            skipped: the decisions leave out so much that the case does not count as passed.
        """
        if faults:
            self.failures.append(f"{name}: {'; '.join(faults)}")
        elif skipped:
            self.skips.append(f"{name}: {'; '.join(decisions)}")
        else:
            self.passed += 1
            self.notes += [f"{name}: {decision}" for decision in decisions]

    def add(self, other: Tally) -> None:
        """Take in what `other` has counted."""
        self.passed += other.passed
        self.failures += other.failures
        self.skips += other.skips
        self.notes += other.notes

    @property
    def summary(self) -> str:
        """The last line of the report."""
        return f"{self.passed} passed, {len(self.failures)} failed, {len(self.skips)} skipped"

    def report(self) -> None:
        """Write reasons and summary to standard output."""
        lines = [f"partly  {line}" for line in self.notes]
        lines += [f"skipped {line}" for line in self.skips]
        lines += [f"FAILED  {line}" for line in self.failures]
        sys.stdout.write("\n".join([*lines, self.summary]) + "\n")
