"""A node's integrator listener alone, as a process: `python -m tests.simulator.verify_node FOLDER LISTEN METRICS …`.

It verifies real codes with a real view, and has no store, registry or gateway. Prints a line when it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import cast

from healthcode.clock import SystemClock
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.metrics_server import start_metrics_server
from healthcode.rpc.mtls.forwarded import Proxies
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.server import GrpcServer, ServerTls
from healthcode.settings import TlsSettings
from healthcode.telemetry import Metrics, configure_logging
from healthcode.v1 import province_node_pb2
from province_node.api.integrator import ProvinceNodeServicer
from province_node.listeners import PUBLIC_LIMITS, THROUGH_PROXIES
from province_node.metrics import NodeMetrics
from province_node.queries.ask import AskUseCase
from tests.unit.verification.realm import REALM, code, view
from tests.world.clock import ManualClock

__all__ = ["NODE", "REALM", "VERIFY", "request_bytes"]

VERIFY = "/healthcode.v1.ProvinceNodeService/Verify"

NODE = PeerId(REALM, PeerKind.PROVINCE, "31")


def request_bytes() -> bytes:
    """A VerifyRequest with a valid code."""
    return province_node_pb2.VerifyRequest(
        item={"code": code(), "place_type": "PLACE_TYPE_STATION"}
    ).SerializeToString()


async def serve(folder: Path, listen: str, metrics_listen: str, public_keys: list[str]) -> None:
    ca = (folder / "ca.pem").read_text()
    tls = TlsSettings(certificate=folder / "leaf.pem", private_key=folder / "leaf.key", ca=folder / "ca.pem")
    metrics = Metrics("province-node")
    verifier = PeerVerifier(
        realm=REALM,
        ca_for=lambda _: [ca],
        clock=SystemClock(),
        proxies=Proxies(public_keys, THROUGH_PROXIES),
    )
    server = GrpcServer(
        listen,
        ServerTls(tls, client_cas=lambda: [ca]),
        metrics=metrics,
        verifier=verifier,
        participant="31",
        limits=PUBLIC_LIMITS,
    )
    trust = view()
    server.add(
        province_node_pb2.DESCRIPTOR.services_by_name["ProvinceNodeService"],
        ProvinceNodeServicer(
            trust=lambda: trust,
            ask=cast("AskUseCase", None),  # QueryStatus is not called here
            clock=ManualClock(),
            metrics=NodeMetrics(metrics),
        ),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with start_metrics_server(metrics, metrics_listen):
        await server.start()
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        await stop.wait()
        await server.stop(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("listen")
    parser.add_argument("metrics")
    parser.add_argument("--proxy", action="append", default=[])
    given = parser.parse_args()
    configure_logging("province-node")
    asyncio.run(serve(given.folder, given.listen, given.metrics, given.proxy))


if __name__ == "__main__":
    main()
