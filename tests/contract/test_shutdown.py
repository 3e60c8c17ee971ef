"""A real process: SIGTERM drains it, callers see no broken answer, and a port in use is told plainly."""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGTERM

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from healthcode.errors import ConfigurationError, UnavailableError
from healthcode.v1 import gateway_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from tests.contract.world import GATEWAY, Gateway, World, province
from tests.simulator.process import free_ports
from tests.world.waiting import PATIENCE_SECONDS, eventually, until

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def gateway_process(world: World, listen: str = "127.0.0.1:0") -> AsyncIterator[Process]:
    folder = world.tls(GATEWAY).certificate.parent
    (folder / "client-ca.pem").write_bytes(world.ca("31").certificate_pem)
    command = [sys.executable, "-m", "tests.contract.serve_gateway", str(folder), listen]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def port_of(process: Process) -> int:
    assert process.stdout is not None
    return int(await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS))


async def test_sigterm_drains(world: World) -> None:
    """Health says NOT_SERVING first, a call under way is answered, and the process ends with status 0."""
    async with gateway_process(world) as process:
        channel = world.channel(await port_of(process), GATEWAY, world.leaf(province("31")))
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stub = GatewayServiceStub(channel)
        slow = asyncio.ensure_future(
            stub.Ask(gateway_pb2.AskRequest(issuer="slow"), timeout=PATIENCE_SECONDS)
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"asked\n"
        process.send_signal(SIGTERM)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await slow).answer == b"done"
        assert await process.wait() == 0


async def test_callers_of_a_server_that_stops_see_unavailable_and_nothing_else(world: World) -> None:
    """Sixteen callers at full speed through a stop: what is not answered is UNAVAILABLE, never CANCELLED."""
    failures: Counter[grpc.StatusCode] = Counter()
    answered = 0

    async def call_until(stub: GatewayServiceStub, done: asyncio.Event) -> None:
        nonlocal answered
        while not done.is_set():
            try:
                await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
                answered += 1
            except grpc.aio.AioRpcError as error:
                failures[error.code()] += 1
                await asyncio.sleep(0.02)

    async with gateway_process(world) as process:
        port = await port_of(process)
        done = asyncio.Event()
        stubs = [
            GatewayServiceStub(world.channel(port, GATEWAY, world.leaf(province("31")), retries=False))
            for _ in range(4)
        ]
        callers = [asyncio.create_task(call_until(stub, done)) for stub in stubs for _ in range(4)]
        await until(lambda: answered > 100)
        process.send_signal(SIGTERM)
        assert await process.wait() == 0
        await until(lambda: failures.total() >= len(callers))
        done.set()
        await asyncio.gather(*callers)
    assert set(failures) == {grpc.StatusCode.UNAVAILABLE}


async def test_a_client_finds_a_server_that_came_back(world: World) -> None:
    """The channel of before the restart works again, without being made anew."""
    (port,) = free_ports(1)
    async with gateway_process(world, f"127.0.0.1:{port}") as process:
        await port_of(process)
        stub = GatewayServiceStub(world.channel(port, GATEWAY, world.leaf(province("31"))))
        await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
    async with gateway_process(world, f"127.0.0.1:{port}") as process:
        await port_of(process)

        async def answers() -> bool:
            await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
            return True

        await eventually(answers)


async def test_a_port_in_use_is_found_at_the_start(world: World) -> None:
    """A second server on the port does not start, and says which address and what to do."""
    first = await world.start(world.server(GATEWAY), Gateway())
    with pytest.raises(UnavailableError, match=rf"127\.0\.0\.1:{first.port}: another process has the port"):
        await world.start(world.server(GATEWAY, listen=f"127.0.0.1:{first.port}"), Gateway())
    with socket.create_server(("127.0.0.1", 0)) as held:
        listen = f"127.0.0.1:{held.getsockname()[1]}"
        async with gateway_process(world, listen) as process:
            _, errors = await process.communicate()
    assert process.returncode == 4  # not 2: a service manager may try again
    assert errors.decode().startswith(f"error: cannot listen on {listen}: another process has the port")
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize("listen", ["203.0.113.7:7443", "no-such-host.invalid:7443"])
async def test_an_address_that_is_not_ours(world: World, listen: str) -> None:
    """An address of another machine is told apart from a port in use."""
    with pytest.raises(ConfigurationError, match="cannot listen on") as caught:
        await world.start(world.server(GATEWAY, listen=listen), Gateway())
    assert "another process" not in caught.value.message


async def test_strangers_at_the_door_do_not_fill_the_log(world: World) -> None:
    """Fifty failed handshakes leave no line of the library's in the log."""
    async with gateway_process(world) as process:
        port = await port_of(process)
        for _ in range(50):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await writer.drain()
            writer.close()
        await asyncio.sleep(0.3)
        process.send_signal(SIGTERM)
        _, errors = await process.communicate()
    assert [line for line in errors.decode().splitlines() if not line.startswith("{")] == []
