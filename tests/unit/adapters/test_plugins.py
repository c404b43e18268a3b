from __future__ import annotations

from pathlib import Path

import pytest

from farm.adapters.plugins import BadPlugin, NotInstalledHere, hook_facts, open_hook
from farm.domain.hooks import DenoiseSchedule, HookFacts, PluginHook, Unsampler, complete
from farm.domain.sampling_names import UnknownScheduler
from farm.errors import NotFound, Rejected, Unavailable
from tests.packages import install_hooks


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks of an installed package."""
    install_hooks(tmp_path, monkeypatch)


def test_a_hook_says_whether_it_is_pure_and_its_version() -> None:
    assert hook_facts("softening") == HookFacts(pure=True, version="3")
    assert hook_facts("counting") == HookFacts(pure=False, version="1")


def test_a_hook_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NotFound, match=r"no 'sharpen' .*counting, missing, nameless, softening"):
        hook_facts("sharpen")


@pytest.mark.parametrize(("name", "says"), [("nameless", "no `pure`"), ("missing", "cannot be imported")])
def test_a_package_that_does_not_keep_to_what_is_asked_is_named(name: str, says: str) -> None:
    with pytest.raises(BadPlugin, match=says):
        hook_facts(name)


def test_what_packages_say_is_filled_into_the_job() -> None:
    hooks = (PluginHook(name="counting"), DenoiseSchedule())
    done = complete(hooks, hook_facts)
    assert done == (PluginHook(name="counting", pure=False, version="1"), DenoiseSchedule())
    assert complete(done, hook_facts) == done
    with pytest.raises(Rejected, match="pure True; the package that is installed says False"):
        complete((PluginHook(name="counting", pure=True),), hook_facts)
    with pytest.raises(UnknownScheduler):
        complete((Unsampler(scheduler="karas"),), hook_facts)


def test_a_worker_without_the_jobs_version_leaves_the_task_to_others() -> None:
    for spec in (
        PluginHook(name="softening", version="2", parameters={"share": 1}),
        PluginHook(name="no", version="1"),
    ):
        with pytest.raises(NotInstalledHere, match="on every worker") as raised:
            open_hook(spec)
        assert isinstance(raised.value, Unavailable)


def test_a_hook_is_made_with_the_jobs_parameters() -> None:
    hook = open_hook(PluginHook(name="counting", version="1", parameters={"step": 0.5}))
    hook.restore(b"4")
    assert hook.state() == b"4"
    for parameters in ({}, {"share": "much"}):
        with pytest.raises(Rejected, match="cannot use its parameters"):
            open_hook(PluginHook(name="softening", version="3", parameters=dict(parameters)))
