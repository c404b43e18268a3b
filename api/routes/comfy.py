"""Workflows of ComfyUI: translated into requests of jobs, which whoever asks may then submit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse
from pydantic import Field, JsonValue

from api.context import Tools
from api.faults import Fault
from api.problems import RESPONSES, problem
from api.roles import needs
from api.shapes import Answer, Asked
from farm.comfy.findings import CannotCarry, Carried, Remark
from farm.comfy.registry import Known
from farm.comfy.translate import Asked as Meant
from farm.comfy.translate import translate as translated
from farm.domain.job import JobRequest
from farm.domain.people import Role

router = APIRouter(tags=["comfy"], responses=RESPONSES)

Text = Annotated[str, Field(max_length=4096)]


class ComfyRequest(Asked):
    """A workflow, and what goes with it."""

    workflow: dict[str, JsonValue]
    """In ComfyUI's API format (Workflow > Export (API)): node ids -> `class_type` and `inputs`."""
    frames: Text
    """Address of the clip, as in a job's `input.uri`: upload it first."""
    range: Annotated[str | None, Field(max_length=64, examples=["60-91"])] = None
    """First and last frame by number; all if left out."""
    nodes: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    """Ids of the detailers that are meant, where there are several."""
    masks: Annotated[dict[Text, Text], Field(default_factory=dict, max_length=256)]
    """Id of a node that takes a mask or loads a file -> upload URI. An empty id: the workflow's only mask."""
    models: Annotated[dict[Text, Text], Field(default_factory=dict, max_length=256)]
    """File as the workflow names it -> the farm's model. Those of the same name are found by themselves."""
    name: Annotated[str, Field(max_length=200)] = ""
    """Of the job."""


class ComfyAnswer(Answer):
    """The job that a workflow stands for."""

    request: JobRequest
    """To be sent to `POST /jobs`, changed or as it is."""
    carried: tuple[Carried, ...]
    """What became of each node."""
    notes: tuple[Remark, ...]
    """Differences that are worth knowing."""


EXAMPLE: dict[str, Any] = {
    "frames": "upload:3f5e…",
    "masks": {"6": "upload:91ab…"},
    "workflow": {"7": {"class_type": "MaskDetailerPipe", "inputs": {"mask": ["6", 0], "steps": 20}}},
}


@router.post("/comfy", response_model=ComfyAnswer, response_model_exclude_unset=True)
@needs(Role.VIEWER)
def translate(
    body: Annotated[ComfyRequest, Body(openapi_examples={"a mask": {"value": EXAMPLE}})], tools: Tools, request: Request
) -> ComfyAnswer | JSONResponse:
    """The job that a workflow of ComfyUI stands for; nothing is submitted.

    A workflow with anything in it that the farm cannot carry is refused with 422: `errors` has each such node.
    """
    known = [Known(model.name, model.kind) for model in tools.farm.models(None)]
    meant = Meant(body.frames, body.range, body.nodes, body.masks, body.models, body.name)
    found = translated(body.workflow, meant, known)
    try:
        wanted = JobRequest.model_validate(found.request())
    except CannotCarry as error:
        faults = tuple(Fault(field=_field(remark), message=str(remark)) for remark in error.problems)
        return problem(request, 422, "cannot-carry", str(error), title="The workflow cannot be carried", errors=faults)
    return ComfyAnswer(request=wanted, carried=found.carried, notes=found.notes)


def _field(remark: Remark) -> str:
    parts = ["workflow", remark.node, *(["inputs", remark.input] if remark.input else [])]
    return ".".join(parts) if remark.node else "workflow"
