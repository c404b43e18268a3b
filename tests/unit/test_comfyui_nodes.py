"""The node pack: ComfyUI's conventions for nodes."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from farm.domain.detailer import Detailer, JobType, merged
from farm.domain.job import JobRequest
from farm.domain.sampling_names import SAMPLERS, SCHEDULERS
from tests.comfyui_pack import FOLDER, defaults, load_pack, node, part, widgets
from tests.unit.client.conftest import running

__all__ = ["running"]
MASK, MOVING = "MaskDetailerPipeFarm", "DetailerForEachPipeForAnimateDiffFarm"
NODES = (MASK, MOVING)
JOB_TYPES = {MASK: JobType.MASK, MOVING: JobType.ANIMATEDIFF}
QUICK = {"steps": 2, "guide_size": 64.0, "max_size": 128.0, "crop_factor": 1.4}


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_what_comfyui_asks_of_one(name: str) -> None:
    pack = load_pack()
    made = pack.NODE_CLASS_MAPPINGS[name]
    assert pack.NODE_DISPLAY_NAME_MAPPINGS[name] == name.removesuffix("Farm") + " (farm)"
    assert pack.NODE_CLASS_MAPPINGS.keys() == pack.NODE_DISPLAY_NAME_MAPPINGS.keys()
    assert callable(getattr(made(), made.FUNCTION))
    assert isinstance(made.CATEGORY, str)
    assert len(made.RETURN_TYPES) == len(made.RETURN_NAMES) == len(made.OUTPUT_IS_LIST)
    assert all(isinstance(kind, str) for kind in made.RETURN_TYPES)
    assert inspect.ismethod(made.INPUT_TYPES)
    assert set(made.INPUT_TYPES()) <= {"required", "optional", "hidden"}


@pytest.mark.parametrize("name", NODES)
def test_every_input_is_a_socket_or_a_widget_with_a_default_in_its_range(name: str) -> None:
    for own, (kind, options) in widgets(name).items():
        if isinstance(kind, list):
            assert kind, own
            assert all(isinstance(choice, str) for choice in kind)
        elif kind in ("INT", "FLOAT"):
            assert options["min"] <= options["default"] <= options["max"], own
            assert isinstance(options["default"], int if kind == "INT" else (int, float))
        elif kind in ("STRING", "BOOLEAN"):
            assert isinstance(options["default"], str if kind == "STRING" else bool), own
        else:
            assert kind in ("IMAGE", "MASK", "SEGS", "BASIC_PIPE"), own
    json.dumps(load_pack().NODE_CLASS_MAPPINGS[name].INPUT_TYPES())


@pytest.mark.parametrize("name", NODES)
def test_names_defaults_and_ranges_are_the_farms_own(name: str) -> None:
    complete = merged(JOB_TYPES[name])
    seen = 0
    for own, (kind, options) in widgets(name).items():
        if own not in Detailer.model_fields or own in ("loras", "clip_skip"):
            continue
        seen += 1
        if isinstance(kind, list):
            assert kind[0] == getattr(complete, own)
            continue
        assert options["default"] == getattr(complete, own), own
        for end in ("min", "max"):
            if end in options:
                Detailer.model_validate({own: options[end]})
    assert seen >= 13
    assert widgets(name)["sampler_name"][0] == list(SAMPLERS)
    assert widgets(name)["scheduler"][0] == list(SCHEDULERS)


@pytest.mark.parametrize("name", NODES)
def test_a_node_can_be_called_with_every_input_that_it_names(name: str) -> None:
    made = node(name)
    inspect.signature(getattr(made, made.FUNCTION)).bind(**dict.fromkeys(widgets(name)))
    inspect.signature(made.IS_CHANGED).bind(**dict.fromkeys(widgets(name)))


@pytest.mark.parametrize("name", NODES)
def test_the_document_of_all_defaults_is_a_request(name: str) -> None:
    made = part("nodes").request(JOB_TYPES[name].value, "upload:1", {"name": "x", "mask": "upload:2"}, defaults(name))
    wanted = JobRequest.model_validate(made)
    assert merged(wanted.type, wanted.detailer, wanted.segments[0]) == merged(wanted.type)
    assert (wanted.vae, wanted.refiner, wanted.motion) == (None, None, None)


def test_choices_become_fields_of_the_job() -> None:
    chosen = {**defaults(MOVING), "motion": "v3", "vae": "mse", "refiner": "xl", "clip_skip": -2, "loras": "a:0.5, b"}
    wanted = JobRequest.model_validate(
        part("nodes").request("animatediff", "upload:1", {"name": "x", "segs": "upload:2"}, chosen)
    )
    assert (wanted.vae, wanted.refiner, wanted.motion) == ("mse", "xl", "v3")
    assert [lora.model for lora in wanted.segments[0].loras] == ["a", "b"]
    assert wanted.segments[0].clip_skip == -2


def test_no_widget_holds_a_key() -> None:
    for name in NODES:
        assert not [own for own in widgets(name) if "key" in own or "token" in own]


def test_the_key_is_in_the_environment_or_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    api = part("api")
    monkeypatch.setattr(api, "KEY_FILE", tmp_path / "key")
    monkeypatch.delenv("FARM_API_KEY", raising=False)
    assert api.api_key() == ""
    (tmp_path / "key").write_text("from-a-file\n")
    assert api.api_key() == "from-a-file"
    monkeypatch.setenv("FARM_API_KEY", "from-the-environment")
    assert api.api_key() == "from-the-environment"


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://farm", "farm:8750", "", "http://"])
def test_an_address_that_is_none_is_refused_before_anything_runs(address: str) -> None:
    said = load_pack().NODE_CLASS_MAPPINGS[MASK].VALIDATE_INPUTS(farm=address)
    assert "no address of a farm" in said
    with pytest.raises(part("api").FarmError):
        part("api").Api(address)


def test_models_that_the_pages_list_does_not_have_are_the_farms_affair() -> None:
    assert load_pack().NODE_CLASS_MAPPINGS[MASK].VALIDATE_INPUTS(farm="http://farm:8750", model="new") is True
    assert "farm model list" in load_pack().NODE_CLASS_MAPPINGS[MASK].VALIDATE_INPUTS(model=" ")


def test_the_pack_leaves_nothing_behind_where_it_lies() -> None:
    load_pack()
    assert not list(FOLDER.rglob("__pycache__"))
