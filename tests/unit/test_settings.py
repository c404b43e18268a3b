import os

import pytest

from farm.errors import Rejected
from farm.settings import BadSettings, MissingSetting, Settings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("FARM_"):
            monkeypatch.delenv(name)


def test_without_an_environment_everything_has_its_default() -> None:
    settings = Settings.read()
    assert (settings.api_port, settings.lease_ttl_s, settings.engine, settings.api_keys) == (8750, 15, "diffusers", ())


def test_variables_are_read_and_command_line_options_go_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_API_PORT", "9000")
    monkeypatch.setenv("FARM_API_KEYS", "one, two,,")
    assert Settings.read().api_port == 9000
    assert Settings.read(api_port=9001).api_port == 9001
    assert Settings.read().api_keys == ("one", "two")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_S3_ENDPOINT", "")
    monkeypatch.setenv("FARM_WINDOW_CHUNKS", "")
    assert Settings.read().s3_endpoint is None
    assert Settings.read().window_chunks is None


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.read().engine = "fake"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WINDOW_CHUNKS", "2"),
        ("API_PORT", "70000"),
        ("ENGINE", "comfy"),
        ("REDIS_URL", "localhost:6379"),
        ("S3_ENDPOINT", "s3.example.com"),
        ("WORKER_CLASS", "big"),
    ],
)
def test_a_bad_value_is_rejected_with_the_variables_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FARM_{name}", value)
    with pytest.raises(BadSettings, match=f"FARM_{name}"):
        Settings.read()


def test_a_heartbeat_must_fit_twice_into_a_lease() -> None:
    with pytest.raises(BadSettings, match=r"FARM_HEARTBEAT_S=8 .* FARM_LEASE_TTL_S=15"):
        Settings.read(heartbeat_s=8)


def test_a_missing_value_is_asked_for_with_a_hint() -> None:
    with pytest.raises(MissingSetting, match=r"FARM_REDIS_URL is not set.*farm up"):
        Settings.read().require_redis_url()
    with pytest.raises(Rejected, match="FARM_S3_BUCKET"):
        Settings.read().store_uri()


def test_the_store_is_named_outright_or_by_bucket_and_prefix() -> None:
    assert Settings.read(store="file:///srv/farm", s3_bucket="b").store_uri() == "file:///srv/farm"
    assert Settings.read(s3_bucket="b").store_uri() == "s3://b"
    assert Settings.read(s3_bucket="b", s3_prefix="/a/b/").store_uri() == "s3://b/a/b"


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = Settings.read(redis_url="redis://:hush@h/0", api_keys="hush", api_key="hush")
    assert "hush" not in repr(settings)


def test_pairs_are_read_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARM_TIMEOUTS", "detail=7200, paste=0")
    monkeypatch.setenv("FARM_USER_WEIGHTS", "ann=2,batch=0.5")
    settings = Settings.read()
    assert (settings.timeouts["detail"], settings.timeouts["paste"], settings.timeouts["plan"]) == (7200, 0, 3600)
    assert settings.user_weights == {"ann": 2.0, "batch": 0.5}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FARM_TIMEOUTS", "detail"),
        ("FARM_TIMEOUTS", "nothing=3"),
        ("FARM_TIMEOUTS", "detail=-1"),
        ("FARM_USER_WEIGHTS", "ann=0"),
        ("FARM_USER_WEIGHTS", "ann=much"),
    ],
)
def test_bad_pairs_are_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=name):
        Settings.read()
