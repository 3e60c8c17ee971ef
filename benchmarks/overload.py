"""A surge of Verify behind the shipped nginx: what is answered, and what another caller sees meanwhile.

The load is h2load's, with one client certificate, on loopback; about a minute. The figures are ratios of one run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import truediv
from pathlib import Path

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from benchmarks.measure import Figure, benchmark
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.tls_files import CertifiedKey
from tests.simulator.h2load import count_failed, run_presenter, start_h2load
from tests.simulator.nginx import run_nginx, write_shipped
from tests.simulator.process import free_ports
from tests.simulator.verify_node import NODE, REALM, VERIFY, request_bytes
from tests.world.certificates import Certificates, issue_plain_leaf

ROUNDS = 3
IN_FLIGHT = (1000, 4000)
SHARE = 8  # of one caller, in nginx.conf: as many keep the node busy, and nothing is refused
SECONDS = 4.0
WARM_UP_SECONDS = 2.0
PROBE_PAUSE_SECONDS = 0.005
PATIENCE_SECONDS = 20.0


@dataclass(slots=True)
class Found:
    """What one load did: calls answered in a second, the prober's delays, and how other calls ended."""

    answered: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)


@benchmark("verify_overload_goodput", "verify_overload_prober_p99", "verify_overload_bare")
def overload() -> Iterator[Figure]:
    """Answered under a surge ÷ the most that is answered without one; a prober's p99 beside it ÷ its p99 alone."""
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder)) as stage:
        found: dict[int, Found] = {load: Found() for load in (0, SHARE, *IN_FLIGHT)}
        for _ in range(ROUNDS):
            for load, into in found.items():
                asyncio.run(stage.measure(load, into))
    most = found[SHARE].answered
    alone = _p99(found[0].delays)
    for load in IN_FLIGHT:
        print(
            f"{load} in flight: {statistics.median(found[load].answered):.0f} answered/s "
            f"of {statistics.median(most):.0f}, "
            f"prober's p99 {_p99(found[load].delays) * 1e3:.1f} of {alone * 1e3:.1f} ms, "
            f"other calls {dict(found[load].endings)}",
            file=sys.stderr,
        )
    yield Figure(
        "verify_overload_goodput",
        "Verify behind nginx, 1,000 or 4,000 calls in flight: answered ÷ the most without a surge, the worse",
        min(statistics.median(map(truediv, found[load].answered, most)) for load in IN_FLIGHT),
        "ratio",
        ">= 0.8",
        ROUNDS,
    )
    yield Figure(
        "verify_overload_prober_p99",
        "the same: another caller's p99 ÷ its p99 alone, the worse",
        max(_p99(found[load].delays) for load in IN_FLIGHT) / alone,
        "ratio",
        "<= 5",
        len(found[IN_FLIGHT[0]].delays),
    )
    yield Figure(
        "verify_overload_bare",
        "the same: calls that ended with anything but an answer or a refusal with RetryInfo",
        sum(count for load in IN_FLIGHT for how, count in found[load].endings.items() if how not in GOOD),
        "calls",
        "<= 0",
        sum(found[load].endings.total() for load in IN_FLIGHT),
    )


GOOD = frozenset({"OK", "RESOURCE_EXHAUSTED with RetryInfo"})


def _p99(delays: list[float]) -> float:
    return statistics.quantiles(delays, n=100, method="inclusive")[98]


class Stage(contextlib.ExitStack):
    """A node, the shipped nginx in front of it, and the generator's way to it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        certificates = Certificates(folder, now=int(time.time()))
        tls = certificates.tls(NODE).certificate.parent
        ca = certificates.ca("31")
        proxy = issue_plain_leaf(ca, dns_name=NODE.dns_name, start=certificates.now)
        self._ca_pem = ca.certificate_pem.decode()
        self._prober, self._flooder = (
            certificates.leaf(PeerId(REALM, PeerKind.INTEGRATOR, "31", name))
            for name in ("prober", "flooder")
        )
        self._message = folder / "message"
        request = request_bytes()
        self._message.write_bytes(b"\0" + len(request).to_bytes(4) + request)
        node, self._metrics, self._front = free_ports(3)
        # the node has a core of its own, as a machine of its own would; the rest, this process too, shares the others
        cores = os.sched_getaffinity(0)
        first, *others = sorted(cores)
        self._others = ",".join(map(str, others or [first]))
        os.sched_setaffinity(0, others or [first])
        self.callback(os.sched_setaffinity, 0, cores)
        command = [sys.executable, "-m", "tests.simulator.verify_node", tls, f"127.0.0.1:{node}"]
        options = [f"127.0.0.1:{self._metrics}", "--proxy", public_key_of(proxy.certificate_pem)]
        process = subprocess.Popen(
            ["taskset", "-c", str(first), *command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.callback(process.wait)
        self.callback(process.kill)
        assert process.stdout is not None
        if process.stdout.readline() != b"serving\n":
            raise RuntimeError("the node did not start")
        written = write_shipped(folder / "front", listen=self._front, node=node, proxy=proxy, ca=ca)
        wrap = ("taskset", "-c", self._others)
        self.enter_context(run_nginx(written, port=self._front, wrap=wrap))
        presenter = run_presenter(folder / "presenter", front=self._front, leaf=self._flooder, wrap=wrap)
        self._presenter = self.enter_context(presenter)

    async def measure(self, in_flight: int, into: Found) -> None:
        """One round under this load."""
        if not in_flight:
            await self._probe(SECONDS, into)
            return
        load = start_h2load(
            self._presenter,
            VERIFY,
            self._message,
            in_flight=in_flight,
            seconds=WARM_UP_SECONDS + SECONDS + 1,
            wrap=("taskset", "-c", self._others),
        )
        await asyncio.sleep(WARM_UP_SECONDS)
        before, started = self._answered(), time.monotonic()
        if in_flight > SHARE:
            await asyncio.gather(self._probe(SECONDS, into), self._look(SECONDS, into))
        else:
            await asyncio.sleep(SECONDS)
        into.answered.append((self._answered() - before) / (time.monotonic() - started))
        output, _ = await asyncio.to_thread(load.communicate)
        into.endings["reset or cut off"] += count_failed(output)

    def _answered(self) -> float:
        """Calls of Verify that the node has answered, by its own metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics") as page:
            lines = page.read().decode().splitlines()
        ends = [line for line in lines if line.startswith("healthcode_rpc_total{") and VERIFY in line]
        return sum(float(line.split()[-1]) for line in ends if 'grpc_code="OK"' in line)

    async def _probe(self, seconds: float, into: Found) -> None:
        """One call after the other, by a caller who stays within its share."""
        until = time.monotonic() + seconds
        async with self._channel(self._prober) as channel:
            call, request = channel.unary_unary(VERIFY), request_bytes()
            await call(request, timeout=PATIENCE_SECONDS)
            while time.monotonic() < until:
                started = time.monotonic()
                ending = await _ending(call(request, timeout=PATIENCE_SECONDS))
                into.delays.append(time.monotonic() - started)
                into.endings[ending] += 1
                await asyncio.sleep(PROBE_PAUSE_SECONDS)

    async def _look(self, seconds: float, into: Found) -> None:
        """Calls under the generator's own certificate, to read how its calls end."""
        until = time.monotonic() + seconds
        async with self._channel(self._flooder) as channel:
            call, request = channel.unary_unary(VERIFY), request_bytes()
            while time.monotonic() < until:
                calls = (call(request, timeout=PATIENCE_SECONDS) for _ in range(10))
                into.endings.update(await asyncio.gather(*map(_ending, calls)))

    def _channel(self, identity: CertifiedKey) -> grpc.aio.Channel:
        return open_channel(
            f"127.0.0.1:{self._front}", ca_pem=self._ca_pem, server=NODE, identity=identity, retries=False
        )


async def _ending(call: grpc.aio.UnaryUnaryCall[bytes, bytes]) -> str:
    """How a call ended: its status, and whether it says when to try again."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        status, retry = rpc_status.from_call(error), error_details_pb2.RetryInfo()
        with_retry = status is not None and any(detail.Unpack(retry) for detail in status.details)
        return f"{error.code().name}{' with RetryInfo' if with_retry else ''}"
    return "OK"
