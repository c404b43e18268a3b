"""What became of a workflow's nodes: carried, carried with a difference, or not to be carried."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from farm.comfy.workflow import Node
from farm.errors import Rejected


class Remark(BaseModel):
    """Something that is said of a node, or of the workflow as a whole."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    node: str = ""
    """Its id; empty: the workflow."""
    class_type: str = ""
    title: str = ""
    input: str = ""
    """Its input; empty: the node."""
    message: str

    def __str__(self) -> str:
        title = f' "{self.title}"' if self.title != self.class_type else ""
        where = f"node {self.node} ({self.class_type}{title})" if self.node else ""
        place = f"{where}, input `{self.input}`" if self.input and where else where
        return f"{place}: {self.message}" if place else self.message


class Carried(BaseModel):
    """What a node became."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    node: str
    class_type: str
    title: str
    became: str
    """Empty: the job does not need it."""


class CannotCarry(Rejected):
    """A workflow that no job can stand for; all reasons at once."""

    def __init__(self, problems: Sequence[Remark]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} things" if len(problems) > 1 else "one thing"
        told = "\n".join(f"- {problem}" for problem in problems)
        super().__init__(f"This workflow cannot be carried to the farm, for {count}:\n{told}")


class Findings:
    """Collected while a workflow is followed; nothing is told twice."""

    def __init__(self) -> None:
        self.notes: list[Remark] = []
        self.problems: list[Remark] = []
        self._became: dict[str, list[str]] = {}

    def problem(self, node: Node | None, name: str, message: str) -> None:
        """It cannot be carried: what was seen, why it cannot be, what to change."""
        _add(self.problems, _remark(node, name, message))

    def note(self, node: Node | None, name: str, message: str) -> None:
        """It is carried, with a difference; or it is not needed."""
        _add(self.notes, _remark(node, name, message))

    def carry(self, node: Node, became: str) -> None:
        """The node became this."""
        told = self._became.setdefault(node.id, [])
        if became not in told:
            told.append(became)

    def became(self, node: Node) -> Carried:
        """What the node became, in one line."""
        text = "; ".join(self._became.get(node.id, ()))
        return Carried(node=node.id, class_type=node.class_type, title=node.title, became=text)


def _remark(node: Node | None, name: str, message: str) -> Remark:
    if node is None:
        return Remark(message=message)
    return Remark(node=node.id, class_type=node.class_type, title=node.title, input=name, message=message)


def _add(remarks: list[Remark], remark: Remark) -> None:
    if remark not in remarks:
        remarks.append(remark)
