"""What somebody may ask the API to do harm, and what may come of it."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any

from farm.adapters.model_folder import ModelFile, content_hash
from tests.e2e import hostile_pictures as bad
from tests.e2e.hostile_attack import Attack, Got, Make, Visitor

NONE = (400, 404, 405, 422)
"""There is nothing there, or no such name."""
HEX = "0" * 64


def get(target: str, allowed: tuple[int, ...] = NONE, method: str = "GET") -> Attack:
    """Ask for an address that should lead nowhere."""
    return Attack(f"address: {method} {target[:90]}", lambda visitor: visitor.ask(method, target), allowed, no_secret)


def no_secret(got: Got) -> str:
    """No answer holds a file of the machine, or code of the farm."""
    secrets = (b"root:x:", b"root:!:", b"def create_app", b"Traceback (most recent")
    found = [secret for secret in secrets if secret in got.body]
    return f"it holds {found[0]!r}" if found else ""


def addresses(job: str) -> Iterator[Attack]:
    """Names that climb, and those of others."""
    for name in (
        "..%2f..%2fjob",
        "%2e%2e",
        "..",
        "%00",
        "a%00b",
        "%c0%ae%c0%ae",
        "x" * 5000,
        "%0d%0aX-Bad:1",
        "a:tasks",
    ):
        yield get(f"/api/v1/jobs/{name}")
        yield get(f"/api/v1/uploads/{name}")
        yield get(f"/api/v1/models/{name}/files")
    climbing = (
        "../../../media/x.json",
        "%2e%2e/%2e%2e/models/x",
        "..%5c..%5cx",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        ".part/x",
    )
    for path in (*climbing, "frames/../job.json", "frames//x", "a/" * 600, "%e2%80%ae.png", "frames/%00"):
        yield get(f"/api/v1/jobs/{job}/outputs/{path}")
    for path in ("../app.py", "%2e%2e/app.py", "..%2f..%2fauth.py", "/etc/passwd", "js/../../main.py"):
        yield get(f"/web/x/{path}")
    yield get(f"/api/v1/jobs/{job}/files?folder=../plans")
    yield get(f"/api/v1/jobs/{job}/files?folder=frames&cursor=../../../../x%00", (200, 400, 404, 422))
    yield get(f"/api/v1/jobs/{job}/outputs?since=" + "9." * 4000)
    yield get(f"/api/v1/jobs/{job}/frames/{'9' * 4000}")
    yield get(f"/api/v1/jobs/{job}/frames/-1/final")
    yield get(f"/api/v1/jobs/{job}/last-rendered?width=99999999")
    yield get("/api/v1/jobs/%2e%2e", method="DELETE")
    yield get("/api/v1/jobs/", (404, 405), "DELETE")
    yield get("/" + "a" * 60_000, (0, 400, 404, 414))
    yield get("//evil.example/%2e%2e", (404,))
    ranges = {"Range": "bytes=" + "0-1," * 1000 + "0-1"}
    yield Attack(
        "address: 1,000 ranges at once",
        lambda v: v.ask("GET", f"/api/v1/jobs/{job}/outputs/manifest.json", None, ranges),
        (200, 206, 416),
    )


def jobs(clip: str, mask: str) -> Iterator[Attack]:
    """Jobs whose names and addresses lead to files, machines and code."""
    good: dict[str, Any] = {"input": {"uri": clip}, "segments": [{"name": "a", "mask": mask}], "model": "tiny"}
    places = ("file:///etc/passwd", "/etc/passwd", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:6379/")
    more = (
        "s3://../../x/",
        "s3://",
        "s3:///",
        "s3://bucket",
        "s3://user:pw@127.0.0.1:6379/x/",
        "s3://b/?x=1/",
        "memory:///",
    )
    for place in (*places, *more, "gopher://x/", "upload:../../jobs/x/job", "upload:\0", "concat:a|b", "S3://x/"):
        wrong = {**good, "input": {"uri": place}}
        yield Attack(f"job: its clip at {place!r}", submitted(wrong), (400, 422), no_secret)
    for place in ("file:///etc/passwd", "http://127.0.0.1/", "upload:../x"):
        wrong = {**good, "segments": [{"name": "a", "mask": place}]}
        yield Attack(f"job: its mask at {place!r}", submitted(wrong), (400, 422), no_secret)
    lora = {"name": "a", "mask": mask, "loras": ["../../../etc/passwd"]}
    fields: dict[str, dict[str, Any]] = {
        "a model that climbs out": {"model": "../../../../etc/passwd"},
        "a model at an address": {"model": "http://127.0.0.1/model.safetensors"},
        "a model with a NUL": {"model": "a\0b"},
        "a VAE in /etc": {"vae": "/etc/passwd"},
        "a refiner with a name of 1 MB": {"refiner": "r" * (1 << 20)},
        "a LoRA that climbs out": {"segments": [lora]},
        "a hook that is code": {"detailer": {"hooks": [{"kind": "os:system", "name": "ls"}]}},
        "a segment whose name is a path": {"segments": [{"name": "../a", "mask": mask}]},
        "frames without end": {"input": {"uri": clip, "frames": "1-" + "9" * 60}},
        "a wildcard that is a file": {"segments": [{"name": "a", "mask": mask, "wildcard": "__../../etc/passwd__"}]},
        "a wildcard that grows": {"segments": [{"name": "a", "mask": mask, "wildcard": "{a|b}" * 20_000}]},
        "10,000 segments": {"segments": [{"name": f"s{n}", "mask": mask} for n in range(10_000)]},
        "steps without end": {"detailer": {"steps": 10**9}},
        "a size without end": {"detailer": {"guide_size": 1e30, "max_size": 1e30}},
        "a webhook at a file": {"webhook": {"url": "file:///etc/passwd"}},
        "a webhook of two lines": {"webhook": {"url": "http://127.0.0.1/\r\nX-Bad: 1"}},
        "a webhook with a password": {"webhook": {"url": "http://root:pw@example.org/"}},
    }
    for label, change in fields.items():
        yield Attack(f"job: {label}", submitted({**good, **change}), (400, 413, 422))
    bodies = {
        "nested 100,000 deep": b'{"input":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "objects nested 50,000 deep": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "a number of a million digits": b'{"priority":' + b"9" * 1_000_000 + b"}",
        "NaN and infinity": json.dumps({**good, "detailer": {"cfg": float("nan"), "denoise": float("inf")}}).encode(),
        "a text of 64 MB": b'{"name":"' + b"a" * (64 << 20) + b'"}',
        "half a character": b'{"name":"\\ud800","input":{"uri":"\\udfff"},"segments":[]}',
        "a field a million times": b"{" + b'"a":1,' * 1_000_000 + b'"a":1}',
        "no UTF-8": b'{"name":"\xff\xfe"}',
    }
    for label, body in bodies.items():
        yield Attack(f"job: {label}", submitted(body), (400, 413, 422), no_secret)
    name = {**good, "name": 'x"\r\nX-Bad: 1\r\n\r\n<script>'}
    yield Attack(
        "job: a name that is a header", lambda v: v.send("POST", "/jobs:validate", name), (200, 422), no_header
    )


def webhooks(clip: str, mask: str) -> Iterator[Attack]:
    """Jobs that want their end to be told inside of the farm's network."""
    for host in ("127.0.0.1:6379", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost."):
        job: dict[str, Any] = {"input": {"uri": clip}, "segments": [{"name": "a", "mask": mask}], "model": "tiny"}
        yield Attack(f"job: a webhook at {host}", submitted({**job, "webhook": {"url": f"http://{host}/"}}), (422,))


def submitted(document: object) -> Make:
    """Somebody who submits this as a job."""
    return lambda visitor: visitor.send("POST", "/jobs", document)


def no_header(got: Got) -> str:
    """Nothing of a name has become a header."""
    return "a header of its own" if any(name.lower() == "x-bad" for name in got.headers) else ""


def weights(header: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """A .safetensors file of these parts; `length`: what it says its header has."""
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def models() -> Iterator[Attack]:
    """Models that are not what they say."""
    two = b'{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":[4,12]}}'
    files = {
        "a pickle under another name": bad.pickled(),
        "a header of 2^63 bytes": weights(b"{}", length=1 << 63),
        "a header that is longer than the file": weights(b"{}", length=5000),
        "a header of 99 MB": weights(b'{"a":"' + b" " * 99_000_000 + b'"}'),
        "tensors over each other": weights(two, bytes(12)),
        "a tensor before the file": weights(b'{"a":{"dtype":"U8","shape":[8],"data_offsets":[-8,0]}}'),
        "a tensor behind the file": weights(b'{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9000000000]}}', b"x"),
        "a header nested 100,000 deep": weights(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "a header that is a list": weights(b"[1,2]"),
        "a shape of half numbers": weights(b'{"a":{"dtype":"U8","shape":[1e999],"data_offsets":[0,1]}}', b"x"),
    }
    for label, data in files.items():
        yield Attack(f"model: {label}", added({"weights.safetensors": data}), (422,))
    vae = json.dumps({"_class_name": "AutoencoderKL", "latent_channels": "x"}).encode()
    folders: dict[str, dict[str, bytes]] = {
        "a pickle beside its configuration": {
            "model_index.json": b"{}",
            "unet/diffusion_pytorch_model.bin": bad.pickled(),
        },
        "code": {"model_index.json": b"{}", "pipeline.py": b"import os"},
        "a configuration nested 100,000 deep": {"config.json": b"[" * 100_000},
        "a configuration of 20 MB": {"config.json": b'{"a":"' + b" " * (20 << 20) + b'"}'},
        "numbers that are none": {"config.json": vae},
        "its own words a list": {"model_index.json": b"{}", "farm.json": b"[1]"},
        "its own words of 20 MB": {"model_index.json": b"{}", "farm.json": b" " * (20 << 20)},
        "a file twice, but for capitals": {"model_index.json": b"{}", "Model_Index.json": b"{}"},
        "a file that is a folder": {"model_index.json": b"{}", "model_index.json/a.json": b"{}"},
        "a path without end": {"model_index.json": b"{}", "a/" * 500 + "a.json": b"{}"},
        "a path that climbs out": {"model_index.json": b"{}", "../../a.json": b"{}"},
        "an absolute path": {"model_index.json": b"{}", "/etc/a.json": b"{}"},
    }
    for label, folder in folders.items():
        yield Attack(f"model: {label}", added(folder), (413, 422))
    stranger = {"hash": HEX, "files": [{"path": "config.json", "sha256": HEX, "size": 1}]}
    yield Attack("model: a hash that is not its files'", lambda v: v.send("PUT", "/models/x", stranger), (422,))
    yield Attack("model: a name that climbs out", lambda v: v.send("PUT", "/models/..%2fx", stranger), NONE)


def added(files: dict[str, bytes]) -> Make:
    """Somebody who adds a model of these files."""
    return lambda visitor: named(visitor, files)


def named(visitor: Visitor, files: dict[str, bytes]) -> Got:
    """Upload a model's files and name it."""
    listed: list[dict[str, Any]] = []
    for path, data in files.items():
        sha256 = hashlib.sha256(data).hexdigest()
        visitor.ask("PUT", f"/api/v1/models/blobs/{sha256}", data)
        listed.append({"path": path, "sha256": sha256, "size": len(data)})
    whole = content_hash(tuple(ModelFile.model_construct(None, **file) for file in listed))
    return visitor.send("PUT", "/models/hostile", {"hash": whole, "files": listed})
