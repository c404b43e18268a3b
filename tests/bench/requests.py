"""`python -m tests.bench.requests`: CPU time of a small get and put, as the store makes them and by boto3 alone.

Of this process only, and as ratios of one run: the server's part is the same for both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from farm.adapters.s3 import S3Blobs
from farm.adapters.servers import EmbeddedS3
from tests.bench.measures import machine, out, table


def cpu_ms(call: Callable[[], object], times: int) -> float:
    """Milliseconds of CPU time per call."""
    call()
    begin = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begin) / times * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.requests", description=__doc__)
    parser.add_argument("--bytes", type=int, default=10_000, help="of an object")
    parser.add_argument("--times", type=int, default=1000, help="calls of each kind")
    given = parser.parse_args()
    data = b"\1" * given.bytes
    with tempfile.TemporaryDirectory(prefix="farm-bench-") as name:
        server = EmbeddedS3(Path(name))
        server.start()
        try:
            store = S3Blobs(server.place())
            boto3 = store.client()
            kinds: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
                "put": (
                    lambda: store.put("a", data),
                    lambda: boto3.put_object(Bucket=server.bucket, Key="a", Body=data),
                ),
                "get": (
                    lambda: store.get("a"),
                    lambda: boto3.get_object(Bucket=server.bucket, Key="a")["Body"].read(),
                ),
            }
            rows = []
            for kind, calls in kinds.items():
                ours, plain = (cpu_ms(call, given.times) for call in calls)
                rows.append((kind, f"{ours / plain:.2f}", f"{ours:.2f}", f"{plain:.2f}"))
        finally:
            server.stop(grace_s=0)
    out.print(machine(torch.device("cpu")))
    table(f"CPU time of requests of {given.bytes:,} bytes", ("request", "share of boto3", "ms", "boto3 ms"), rows)


if __name__ == "__main__":
    main()
