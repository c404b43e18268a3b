from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.gpu.node_at_work import NodeAtWork, small_model
from workers.gpu import detailer
from workers.gpu.detailer import DiffusersEngine


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model, another that can refine it, and one for inpainting."""
    top = tmp_path_factory.mktemp("small")
    channels = {"plain": 4, "refiner": 4, "inpaint": 9}
    return {name: small_model(top / name, count) for name, count in channels.items()}


@pytest.fixture(scope="session")
def small_engine() -> DiffusersEngine:
    """With models of its own."""
    return DiffusersEngine("cpu", "fp32", 1)


@pytest.fixture
def whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """All crops of a batch go into one call, as on a GPU: so one look at it tells of them all."""
    monkeypatch.setattr(detailer, "ROWS_AT_ONCE", 16)


@pytest.fixture
def node(small_engine: DiffusersEngine, small_models: dict[str, Path]) -> NodeAtWork:
    """With a plain model."""
    return NodeAtWork(small_engine, small_models["plain"])


@pytest.fixture
def refined(small_engine: DiffusersEngine, small_models: dict[str, Path]) -> NodeAtWork:
    """With a refiner besides."""
    return NodeAtWork(small_engine, small_models["plain"], small_models["refiner"])


@pytest.fixture
def inpainting(small_engine: DiffusersEngine, small_models: dict[str, Path]) -> NodeAtWork:
    """With a model that is shown the masked picture."""
    return NodeAtWork(small_engine, small_models["inpaint"])
