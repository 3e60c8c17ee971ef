"""Memory of the registry's anonymous listener while strangers send headers that do not end (CONTINUATION frames).

gRPC does not bound it: the unit's memory limit does. Twenty seconds, loopback, a bounded number of connections.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measure import Figure, benchmark
from tests.simulator.continuation import send_endless_headers
from tests.simulator.process import free_ports, init_registry, start_service

CONNECTIONS = 64
SECONDS = 15.0


@benchmark("continuation_flood_mb", "continuation_flood_sent_mb")
def flood() -> Iterator[Figure]:
    """The most that the registry's process held, and how much was sent to it meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port, public_port = free_ports(2)
        init_registry(folder / "registry", "test-flood", port, public_port)
        serve = ("trust_registry", "serve", "--dir", folder / "registry")
        with start_service(*serve, log=folder / "log", ready='"listening"') as registry:
            until = time.time() + SECONDS
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                each = [
                    pool.submit(send_endless_headers, public_port, "registry.healthcode", until)
                    for _ in range(CONNECTIONS)
                ]
                sent = sum(one.result() for one in each)
            status = Path(f"/proc/{registry.process.pid}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    what = f"{CONNECTIONS} endless header blocks at the registry's anonymous listener for {SECONDS:.0f} s"
    yield Figure("continuation_flood_mb", f"{what}: most memory", peak / 1024, "MiB", None, 1)
    yield Figure("continuation_flood_sent_mb", f"{what}: sent", sent / 2**20, "MiB", None, 1)
