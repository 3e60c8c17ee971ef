"""A server process for the shutdown tests: `python -m tests.contract.serve_gateway TLS_FOLDER LISTEN`.

Prints its port when it listens. Ask with issuer "slow" prints a line, and takes half a second.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from healthcode.cli.console import run
from healthcode.clock import SystemClock
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.server import CallInfo, GrpcServer, ServerTls
from healthcode.service.lifecycle import run_until_stopped
from healthcode.settings import TlsSettings
from healthcode.telemetry import Metrics, configure_logging
from healthcode.v1 import gateway_pb2

import click  # isort: skip  console first, as in every command of ours: it quiets grpc


class Gateway:
    async def Ask(self, request: gateway_pb2.AskRequest, call: CallInfo) -> gateway_pb2.AskResponse:  # noqa: N802  proto
        if request.issuer == "slow":
            click.echo("asked")
            await asyncio.sleep(0.5)
        return gateway_pb2.AskResponse(answer=b"done")


async def serve(folder: Path, listen: str) -> None:
    ca = (folder / "client-ca.pem").read_text()
    tls = TlsSettings(certificate=folder / "leaf.pem", private_key=folder / "leaf.key", ca=folder / "ca.pem")
    metrics = Metrics("contract")
    server = GrpcServer(
        listen,
        ServerTls(tls, client_cas=lambda: [ca]),
        metrics=metrics,
        verifier=PeerVerifier(realm="test-contract", ca_for=lambda _: [ca], clock=SystemClock()),
    )
    server.add(gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"], Gateway())
    await run_until_stopped(
        [server], metrics=metrics, on_ready=lambda: click.echo(server.port), lame_duck_seconds=0.3
    )


@click.command()
@click.argument("folder", type=Path)
@click.argument("listen")
def main(folder: Path, listen: str) -> None:
    configure_logging("contract")
    asyncio.run(serve(folder, listen))


if __name__ == "__main__":
    run(main, sys.argv[1:])
