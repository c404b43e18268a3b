from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.comfy.findings import CannotCarry
from farm.comfy.workflow import NoWorkflow, PageFormat, as_link, read_workflow
from farm.errors import Rejected
from tests.unit.comfy.flows import Flow, add, flow, inputs, problems, read


def test_a_workflow_as_the_page_saves_it_is_known_and_how_to_export_it_is_told() -> None:
    saved = {"last_node_id": 9, "nodes": [{"id": 7, "type": "MaskDetailerPipe", "widgets_values": [1]}], "links": []}
    with pytest.raises(PageFormat, match=r"1 nodes.*Export \(API\).*Save \(API Format\)"):
        read_workflow(saved)


def test_a_workflow_as_it_is_sent_to_comfyui_will_do() -> None:
    assert read_workflow({"prompt": flow(), "client_id": "x"}) == read_workflow(flow())


@pytest.mark.parametrize(
    ("document", "seen"),
    [
        ([], "it is a list"),
        (None, "it is null"),
        ({}, "it is empty"),
        ({"3": 5}, "'3' is a number, not a node"),
        ({"3": {"inputs": {}}}, "node '3' has no `class_type`"),
        ({"3": {"class_type": "A", "inputs": []}}, "the `inputs` of node '3' are a list"),
        ({"a" * 500: {"class_type": "A"}}, "is no id of a node"),
        ({str(n): None for n in range(9)}, "and 4 more"),
        ({str(n): {"class_type": "A"} for n in range(10_001)}, "10,001 nodes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_workflow_is_refused_with_what_was_seen(document: object, seen: str) -> None:
    with pytest.raises(NoWorkflow) as refused:
        read_workflow(document)
    assert seen in str(refused.value)
    assert len(str(refused.value)) < 1500


@pytest.mark.parametrize("value", [["4", 0], [4, 0]])
def test_a_link_is_a_node_and_a_slot(value: list[Any]) -> None:
    link = as_link(value)
    assert link is not None
    assert (link.node, link.slot) == ("4", 0)


@pytest.mark.parametrize("value", [["4"], ["4", "0"], ["4", True], [None, 0], "4", 4, [[], 0], ["4", 0, 0]])
def test_other_lists_are_values(value: object) -> None:
    assert as_link(value) is None


def test_all_reasons_are_told_at_once() -> None:
    with pytest.raises(CannotCarry) as refused:
        read(flow("cannot_model_patch")).request()
    told = str(refused.value)
    assert told.count("\n- node") == 4
    for part in (
        'node 20 (FreeU_V2 "FreeU")',
        "node 21 (GrowMask)",
        "`sampler_name`: There is no sampler",
        "`seed` is -1",
    ):
        assert part in told


def test_a_node_that_feeds_itself_is_told_of_and_not_followed() -> None:
    made = flow("animatediff_lora")
    inputs(made, "2")["model"] = ["2", 0]
    inputs(made, "9")["positive"] = ["20", 0]
    add(made, "20", "ConditioningCombine", conditioning_1=["20", 0], conditioning_2=["7", 0])
    inputs(made, "14")["basic_pipe"] = ["21", 0]
    add(made, "21", "EditBasicPipe", basic_pipe=["9", 0], vae=["22", 2])
    add(made, "22", "Reroute", a=["23", 0])
    add(made, "23", "Reroute", a=["22", 0])
    told = "\n".join(problems(made))
    assert "node 2 (LoraLoader" in told
    assert "node 20 (ConditioningCombine): This node feeds itself" in told
    assert "Reroutes lead in a circle" in told


def test_a_very_long_line_of_nodes_ends_in_words() -> None:
    made = flow()
    add(made, "p0", "EditBasicPipe", basic_pipe=["4", 0])
    for number in range(1, 3000):
        add(made, f"p{number}", "EditBasicPipe", basic_pipe=[f"p{number - 1}", 0])
    inputs(made, "7")["basic_pipe"] = ["p2999", 0]
    assert any("behind more than" in told for told in problems(made))
    made = flow()
    for number in range(3000):
        add(made, f"l{number}", "LoraLoaderModelOnly", model=[f"l{number - 1}", 0], lora_name="style", strength_model=1)
    inputs(made, "4")["model"] = ["l2999", 0]
    assert any("lies behind 256 others" in told for told in problems(made))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FLOWS = ("mask_detailer", "animatediff_lora", "face_detailer", "cannot_controlnet")
LINKS = st.tuples(st.sampled_from([str(n) for n in range(1, 24)]), st.integers(-1, 5)).map(list)


@st.composite
def broken(draw: st.DrawFn) -> Flow:
    """An exported workflow in which some inputs are anything, or linked to anything, and some nodes are gone."""
    made = flow(draw(st.sampled_from(FLOWS)))
    for _ in range(draw(st.integers(1, 5))):
        node = draw(st.sampled_from(sorted(made)))
        names = sorted(inputs(made, node)) or ["x"]
        name = draw(st.sampled_from(names))
        what = draw(st.sampled_from(("value", "link", "gone", "node", "class")))
        if what == "gone":
            inputs(made, node).pop(name, None)
        elif what == "node" and len(made) > 2:
            made.pop(node)
        elif what == "class":
            made[node]["class_type"] = made[draw(st.sampled_from(sorted(made)))]["class_type"]
        else:
            inputs(made, node)[name] = draw(LINKS if what == "link" else JSON)
    return made


@settings(max_examples=60, deadline=None)
@given(broken())
def test_no_broken_workflow_gives_anything_but_words(made: Flow) -> None:
    found = read(made)
    for remark in (*found.notes, *found.problems):
        str(remark).encode()
    if not found.problems:
        json.dumps(found.request())


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_no_document_gives_anything_but_words(document: object) -> None:
    try:
        read(document)
    except Rejected as refused:
        str(refused).encode()
