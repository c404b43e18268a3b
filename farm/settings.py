"""What the farm reads from its environment: `FARM_...` variables, read once at an entry point and then passed down."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from farm.domain.allowances import Allowances
from farm.errors import Rejected
from farm.notice_settings import NoticeSettings

GIB = 1 << 30
"""Bytes."""
DEFAULT_TIMEOUTS = dict.fromkeys(("ingest", "detect", "scan", "plan", "paste", "encode"), 3600.0) | {"detail": 21_600.0}
"""Seconds that one stage of a task may take, by its kind."""


class MissingSetting(Rejected):
    """A setting without a default was not given."""

    def __init__(self, name: str, example: str) -> None:
        super().__init__(
            f"FARM_{name.upper()} is not set. Set it, for example FARM_{name.upper()}={example}, or run on one machine "
            f"with `farm up`, which starts its own servers and tells the other commands where they are."
        )


class BadSettings(Rejected):
    """The environment holds values that the farm cannot use."""

    def __init__(self, error: ValidationError) -> None:
        faults = "; ".join(
            f"FARM_{'_'.join(map(str, fault['loc'])).upper() or '...'}: {fault['msg']}" for fault in error.errors()
        )
        super().__init__(f"The environment has unusable settings. {faults}. Correct or unset these variables.")


class Settings(Allowances, NoticeSettings):
    """The environment, frozen. Every field `x` is the variable `FARM_X`; an empty variable counts as not set."""

    model_config = SettingsConfigDict(
        env_prefix="FARM_", frozen=True, extra="ignore", env_ignore_empty=True, use_attribute_docstrings=True
    )

    # --- where things are ---

    redis_url: str | None = Field(default=None, repr=False)
    """Broker and ledger: `redis://[user:password@]host:port/db`, `rediss://` with TLS, or behind Sentinels
    `sentinel://[user:password@]host:26379,host2:26379/db?master=NAME` (`sentinels://` with TLS). No default: two farms
    must not meet by accident on a shared localhost."""

    redis_ca: Path | None = None
    """File with the certificates of the CA that signed Redis's own, for TLS. Not set: those that the system trusts."""

    store: str | None = None
    """Where pixels go: `s3://bucket/prefix` or `file:///folder`. Not set: `s3://` of the two settings below."""

    s3_endpoint: str | None = None
    """URL of the S3 server. Not set: AWS. Keys come from AWS's own variables, files or roles."""

    s3_public_endpoint: str | None = None
    """URL under which browsers and clients reach the same S3 server; download links are made for it. Not set: the
    endpoint itself. Needed where the farm's network has other names than its users'."""

    s3_bucket: str | None = None
    """The bucket must exist: most servers do not let a worker's key create it."""

    s3_prefix: str = ""
    """Put before every name, so that several farms can share a bucket."""

    s3_addressing: Literal["path", "virtual"] = "path"
    """`path` (`host/bucket/key`) works on every server; `virtual` (`bucket.host/key`) is for AWS and large clusters."""

    s3_region: str = "us-east-1"
    """Part of the signature. Servers other than AWS mostly take any."""

    data_dir: Path = Path(".farm")
    """What `farm up` keeps: servers' data, logs, and where they listen. Relative to the working folder."""

    # --- the API, and its clients ---

    api_host: str = "127.0.0.1"
    """Address that the API listens on. Only this machine, until somebody decides otherwise and sets API keys."""

    api_port: Annotated[int, Field(ge=0, le=65535)] = 8750
    """0: any free port."""

    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(default=(), repr=False)
    """Comma-separated keys that the API accepts, each `key`, `name:key` or `name:role:key`; the roles are `viewer`,
    `artist` and `admin`, which is meant where none is said. Empty, and no key made by `farm key create`: it asks for
    none, and listens on this machine only."""

    operator_key: str | None = Field(default=None, repr=False)
    """A key beside all others, for whoever runs this machine's farm: the API takes it as an admin's, and is no less
    open for it. `farm up` makes one for itself each time."""

    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Comma-separated addresses and networks (`10.0.0.7,172.16.0.0/12`) of proxies whose `X-Forwarded-For` is believed:
    it tells the client's address for rates and the audit. Not set: the address of the connection counts."""

    url: str = "http://127.0.0.1:8750"
    """Where the client finds the API."""

    api_key: str | None = Field(default=None, repr=False)
    """The key that the client sends."""

    # --- the engine ---

    engine: Literal["diffusers", "fake"] = "diffusers"
    """`fake` makes deterministic pixels without a model, to try out a farm."""

    fake_seconds: Annotated[float, Field(ge=0, le=600)] = 0
    """Seconds per crop (one segment of one frame) that the `fake` engine takes: it stands for a GPU of that speed, so
    that a farm can be measured, watched, or disturbed, at work."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: the GPU if torch sees one."""

    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: fp16 on a GPU as in ComfyUI, fp32 on a CPU, which has no fast halves."""

    torch_threads: Annotated[int, Field(ge=1, le=256)] = 1
    """CPU threads of one worker. 1, because results in the last bit depend on it: a farm must agree on one number."""

    model_memory_gib: Annotated[float, Field(gt=0, le=4096)] | None = None
    """GiB for the weights of the models that a worker keeps loaded. Not set: 8 on a CPU, 0.6 of a GPU's memory."""

    compile: bool = False
    """On a GPU, compile the UNet for sizes that recur, beside the work. Costs a CPU core for minutes per size; pixels
    may differ in the last bit."""

    worker_class: Annotated[str, Field(pattern=r"^\d{1,4}$")] | None = None
    """GPU memory class in GiB, the number in queue `gpu.<class>`. Not set: measured; 0 for a CPU engine."""

    # --- leases and retries ---

    lease_ttl_s: Annotated[float, Field(ge=1, le=3600)] = 15
    """Seconds without a heartbeat after which a worker's tasks go to others. Three heartbeats: one may be lost."""

    heartbeat_s: Annotated[float, Field(gt=0, le=600)] = 5
    """Seconds between two heartbeats; at most half of `lease_ttl_s`."""

    sweep_s: Annotated[float, Field(gt=0, le=60)] = 1
    """Seconds between two looks for expired leases and tasks without an offer."""

    backoff_s: Annotated[float, Field(ge=0, le=600)] = 2
    """Seconds before the second try; doubled for each one after it."""

    window_chunks: Annotated[int, Field(ge=3, le=512)] | None = None
    """Chunks of one job in flight. At least 3, since a paste waits for its neighbors; more means more Redis memory and
    a slower pause, fewer lets workers idle at the window's end. Not set: four for each live worker, 4 to 512."""

    claim_slice_s: Annotated[float, Field(ge=0, le=600)] = 60
    """Seconds for which one message keeps a worker claiming. Short against the broker's visibility timeout of an hour,
    long against a message's way."""

    claim_ahead: Annotated[int, Field(ge=0, le=16)] | None = None
    """Detail tasks that a worker claims and loads while its engine is at work. Not set: 2 on a GPU; 0 on a CPU, where
    loading would slow the engine down."""

    stuck_s: Annotated[float, Field(ge=0, le=86_400)] = 300
    """Seconds without a sampler step after which a task goes to another worker, once it has taken its first; five times
    its slowest step if that is more. 0: never."""

    timeouts: Annotated[dict[str, float], NoDecode] = DEFAULT_TIMEOUTS
    """Seconds that one stage of a task (to load, to compute, to store) may take, by kind, with commas:
    `detail=7200,paste=600`. Kinds that are not named keep an hour, `detail` six; 0: no limit."""

    alive_file: Path | None = None
    """File that a worker touches with each sign of life that Redis took: for HEALTHCHECKs and probes. Not set: none."""

    grace_s: Annotated[float, Field(ge=0, le=86_400)] = 100
    """Seconds that a worker which was told to end may take to finish its tasks; then it hands them back, at no cost of
    theirs. Below the time after which its keeper kills it (TimeoutStopSec, stop_grace_period)."""

    task_logs: Literal["failed", "all", "none"] = "failed"
    """Attempts whose last log lines a worker keeps in the store, below their job: at most 200 lines and 64 KiB each."""

    user_weights: Annotated[dict[str, float], NoDecode] = Field(default={})
    """Shares of users beside 1 of all others, with commas: `ann=2,batch=0.5`. Users are the names of API keys."""

    # --- limits ---

    max_upload_bytes: Annotated[int, Field(ge=1)] = 8 * GIB
    """Bytes of one uploaded file: half an hour of high-quality 1080p."""

    max_pixels: Annotated[int, Field(ge=1, le=2_000_000_000)] = 100_000_000
    """Pixels of one picture, refused before it is decoded. 100 million (12K is 80 million) take 400 MB as RGBA."""

    whole_clip_frames: Annotated[int, Field(ge=16, le=4096)] = 256
    """Frames of a job that one worker samples together at the most: of `animatediff` jobs whose windows wander over
    the whole clip (a uniform `context_schedule`). 256 frames of 1080p take some 3 GB of the worker's memory."""

    cache_dir: Path | None = None
    """Models and videos that a worker has downloaded. Not set: `cache` inside `data_dir`."""

    cache_gb: Annotated[float, Field(ge=0)] = 100
    """GB (10^9 bytes) of models that a machine's workers keep in `cache_dir`: a dozen of SDXL. The least recently used
    goes first, never one in use. 0: no limit."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text, strict=False)
        return value

    @field_validator("api_keys", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @field_validator("timeouts", "user_weights", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(name.strip() and given.strip() for name, _, given in pairs):
            raise ValueError("must be pairs such as detail=7200,paste=600")
        return {name.strip(): given.strip() for name, _, given in pairs}

    @field_validator("timeouts")
    @classmethod
    def _of_kinds(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = value.keys() - DEFAULT_TIMEOUTS.keys()
        if unknown or any(seconds < 0 for seconds in value.values()):
            raise ValueError(f"kinds are {', '.join(DEFAULT_TIMEOUTS)}, seconds 0 or more")
        return DEFAULT_TIMEOUTS | value

    @field_validator("user_weights")
    @classmethod
    def _above_nothing(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 < weight <= 1e6 for weight in value.values()):
            raise ValueError("weights must be above 0 and at most 1000000")
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"(rediss?|unix|sentinels?)://", value):
            raise ValueError("must begin with redis://, rediss://, unix://, sentinel:// or sentinels://")
        return value

    @field_validator("s3_endpoint", "s3_public_endpoint", "url")
    @classmethod
    def _is_web(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/]", value):
            raise ValueError("must begin with http:// or https:// and name a host")
        return value.rstrip("/") if value else value

    @model_validator(mode="after")
    def _beats_before_it_expires(self) -> Self:
        if self.heartbeat_s > self.lease_ttl_s / 2:
            raise ValueError(
                f"FARM_HEARTBEAT_S={self.heartbeat_s:g} is more than half of FARM_LEASE_TTL_S={self.lease_ttl_s:g}: "
                f"one late heartbeat would lose a lease. Lower the first or raise the second"
            )
        return self

    @classmethod
    def read(cls, **overrides: Any) -> "Settings":  # noqa: ANN401 - values of any field, checked by the model itself
        """The environment, with `overrides` (say, of the command line) before it.

        Raises:
            BadSettings: naming each variable, what it must be, and what was found.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            raise BadSettings(error) from None

    def require_redis_url(self) -> str:
        """The Redis of this farm. Raises `MissingSetting` with a hint."""
        if self.redis_url is None:
            raise MissingSetting("redis_url", "redis://:password@host:6379/0")
        if self.redis_ca is None or not self.redis_url.startswith(("rediss://", "sentinels://")):
            return self.redis_url
        return f"{self.redis_url}{'&' if '?' in self.redis_url else '?'}{urlencode({'ssl_ca_certs': self.redis_ca})}"

    def store_uri(self) -> str:
        """The store of this farm: `store`, or what the S3 settings amount to. Raises `MissingSetting` with a hint."""
        if self.store is not None:
            return self.store
        if self.s3_bucket is None:
            raise MissingSetting("s3_bucket", "my-bucket")
        prefix = self.s3_prefix.strip("/")
        return f"s3://{self.s3_bucket}/{prefix}" if prefix else f"s3://{self.s3_bucket}"

    def cache_bytes(self) -> int | None:
        """Bytes of models to keep; None: no limit."""
        return round(self.cache_gb * 1e9) or None

    def cache_folder(self) -> Path:
        """Where a worker keeps what it has downloaded."""
        return self.cache_dir or self.data_dir / "cache"
