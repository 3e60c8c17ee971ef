"""What every call passes, over real sockets: deadline, size, body, access, and errors that tell nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from io import StringIO
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from healthcode.errors import (
    DecodeError,
    InternalError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    Reason,
    UnavailableError,
)
from healthcode.rpc.access import ACCESS, Room
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import gateway_pb2, province_node_pb2, trust_registry_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.contract.world import GATEWAY, INTEGRATOR, REGISTRY, Gateway, Node, Registry, World, province
from tests.world.waiting import PATIENCE_SECONDS, eventually, until

ASK = "/healthcode.v1.GatewayService/Ask"


async def connect(world: World, servicer: Any = None, **options: Any) -> grpc.aio.Channel:
    server = await world.start(world.server(GATEWAY, **options), servicer or Gateway())
    return world.channel(server.port, GATEWAY, world.leaf(province("31")))


def bare_channel(world: World, port: int) -> grpc.aio.Channel:
    """A stranger's channel: none of our interceptors."""
    leaf = world.leaf(province("31"))
    credentials = grpc.ssl_channel_credentials(
        world.ca("gateway").certificate_pem, leaf.key_pem, leaf.certificate_pem
    )
    options = [("grpc.ssl_target_name_override", "gateway.healthcode")]
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)


def tracebacks(log: StringIO) -> list[dict[str, Any]]:
    """Lines with a traceback, but for those of gRPC's own thread, which tells a loop of an earlier test."""
    return [
        event
        for event in events(log)
        if "Traceback" in str(event) and "Event loop is closed" not in str(event)
    ]


def events(log: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_a_call_without_a_deadline_is_not_even_sent(world: World) -> None:
    """Our own channels refuse it, for each kind of call."""
    servicer = Gateway()
    channel = await connect(world, servicer)
    stub = TrustRegistryServiceStub(channel)
    with pytest.raises(InvalidInputError) as caught:
        await GatewayServiceStub(channel).Ask(gateway_pb2.AskRequest())
    assert caught.value.reason is Reason.DEADLINE_REQUIRED
    with pytest.raises(InvalidInputError):
        await stub.FetchFile(trust_registry_pb2.FetchFileRequest()).read()
    with pytest.raises(InvalidInputError):
        await stub.PublishRevocations(iter([trust_registry_pb2.PublishRevocationsRequest()]))
    assert servicer.calls == 0


async def test_a_strangers_call_without_a_deadline_is_refused(world: World) -> None:
    """The server demands one from everybody."""
    server = await world.start(world.server(GATEWAY), Gateway())
    async with bare_channel(world, server.port) as channel:
        with pytest.raises(InvalidInputError) as caught, rpc_errors("the gateway"):
            await GatewayServiceStub(channel).Ask(gateway_pb2.AskRequest())
    assert caught.value.reason is Reason.DEADLINE_REQUIRED


async def test_a_body_that_is_no_protobuf(world: World, log: StringIO) -> None:
    """Garbage gets INVALID_ARGUMENT with MALFORMED_MESSAGE, and a hundred of it a few short lines, no traceback."""
    servicer = Gateway()
    channel = await connect(world, servicer)
    call = channel.unary_unary(ASK)
    for _ in range(100):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff\xff\xff", timeout=PATIENCE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(DecodeError) as typed, rpc_errors("the gateway"):
        raise caught.value
    assert typed.value.reason is Reason.MALFORMED_MESSAGE
    assert typed.value.detail == "protobuf.malformed"
    lines = [event for event in events(log) if event["event"] == "rpc_refused"]
    assert 1 <= len(lines) <= 10
    assert tracebacks(log) == []
    assert servicer.calls == 0


async def test_a_garbage_message_inside_a_stream(world: World, log: StringIO) -> None:
    """A stream's second message is decoded inside the gate, too."""
    server = await world.start(world.server(REGISTRY), Registry())
    channel = world.channel(server.port, REGISTRY, world.leaf(province("31")))
    call = channel.stream_unary("/healthcode.v1.TrustRegistryService/PublishRevocations")
    with pytest.raises(DecodeError) as caught, rpc_errors("the registry"):
        await call(iter([b"", b"\xff\xff\xff"]), timeout=PATIENCE_SECONDS)
    assert caught.value.reason is Reason.MALFORMED_MESSAGE
    assert tracebacks(log) == []


@pytest.mark.parametrize("size", [64 * 1024 + 1, 200_000])
async def test_a_message_over_the_methods_limit(world: World, size: int) -> None:
    """64 KiB for Ask, whether the gate or the transport finds it."""
    servicer = Gateway()
    channel = await connect(world, servicer)
    with pytest.raises(OverloadedError) as caught, rpc_errors("the gateway"):
        await channel.unary_unary(ASK)(b"\x0a" * size, timeout=PATIENCE_SECONDS)
    assert caught.value.reason is Reason.TOO_LARGE
    assert servicer.calls == 0


async def test_the_gates_limit_is_the_methods_own(world: World) -> None:
    """On a listener whose largest method takes 9 MiB, FetchFile still takes 4 KiB."""
    server = await world.start(world.server(REGISTRY), Registry())
    channel = world.channel(server.port, REGISTRY, world.leaf(province("31")))
    request = trust_registry_pb2.FetchFileRequest(path="x" * 5000)
    with pytest.raises(OverloadedError, match="takes 4096"), rpc_errors("the registry"):
        await TrustRegistryServiceStub(channel).FetchFile(request, timeout=PATIENCE_SECONDS).read()


async def test_an_exception_in_a_servicer_never_leaks_its_text(world: World, log: StringIO) -> None:
    """The caller sees an incident id; the log has the same id with the traceback."""
    channel = await connect(world)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await GatewayServiceStub(channel).Ask(
            gateway_pb2.AskRequest(issuer="raise"), timeout=PATIENCE_SECONDS
        )
    error = caught.value
    assert error.code() is grpc.StatusCode.INTERNAL
    everything = f"{error.details()} {error.trailing_metadata()} {error.debug_error_string()}"
    assert Gateway.secret not in everything
    assert "RuntimeError" not in everything
    (fault,) = [event for event in events(log) if event["event"] == "rpc_fault"]
    assert fault["incident"] in (error.details() or "")
    assert "Traceback" in fault["exception"]
    with pytest.raises(InternalError), rpc_errors("the gateway"):
        raise error


async def test_a_method_that_is_in_no_access_table_is_refused(world: World) -> None:
    """Serving a method is not enough: the table must have it."""
    servicer = Gateway()
    access = {path: rule for path, rule in ACCESS.items() if path != ASK}
    channel = await connect(world, servicer, access=access)
    with pytest.raises(PermissionDeniedError) as caught, rpc_errors("the gateway"):
        await GatewayServiceStub(channel).Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
    assert caught.value.reason is Reason.METHOD_NOT_ALLOWED
    assert servicer.calls == 0


async def test_a_method_that_is_not_served_here(world: World) -> None:
    """Another service's method is UNIMPLEMENTED on this listener."""
    channel = await connect(world)
    for path in ("/healthcode.v1.FederationService/Answer", "/healthcode.v1.GatewayService/Nothing"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(path)(b"", timeout=PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


ASK = "/healthcode.v1.GatewayService/Ask"
ROOM_FOR_TWO = {**ACCESS, ASK: replace(ACCESS[ASK], room=Room(2))}


async def test_too_many_calls_at_once_are_shed_with_advice(world: World) -> None:
    """Over the limit a call is refused at once with RetryInfo, and there is room again afterwards, many times over."""
    servicer = Gateway()
    channel = await connect(world, servicer, access=ROOM_FOR_TWO)
    stub = GatewayServiceStub(channel)
    for _ in range(3):
        servicer.started.clear()
        servicer.release.clear()
        waiting = [
            asyncio.ensure_future(stub.Ask(gateway_pb2.AskRequest(issuer="wait"), timeout=PATIENCE_SECONDS))
            for _ in range(2)
        ]
        await until(lambda: servicer.calls >= 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
        status = rpc_status.from_call(caught.value)
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status.details)
        assert retry.retry_delay.ToMilliseconds() == 200
        with pytest.raises(OverloadedError) as typed, rpc_errors("the gateway"):
            raise caught.value
        assert typed.value.reason is Reason.OVERLOADED
        servicer.release.set()
        await asyncio.gather(*waiting)
        await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
        servicer.calls = 0


async def test_the_room_of_calls_that_were_given_up_is_freed(world: World) -> None:
    """Cancelled and timed-out calls leave no count behind (the library's own limit once leaked)."""
    servicer = Gateway()
    channel = await connect(world, servicer, access=ROOM_FOR_TWO)
    stub = GatewayServiceStub(channel)
    for _ in range(20):
        # refused where the server has not noticed yet that those before have gone
        with pytest.raises((UnavailableError, OverloadedError)), rpc_errors("the gateway"):
            await stub.Ask(gateway_pb2.AskRequest(issuer="wait"), timeout=0.02)
        call = stub.Ask(gateway_pb2.AskRequest(issuer="wait"), timeout=PATIENCE_SECONDS)
        await asyncio.sleep(0.01)
        call.cancel()

    async def there_is_room_for_two() -> bool:
        both = (stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS) for _ in range(2))
        return len(await asyncio.gather(*both)) == 2

    await eventually(there_is_room_for_two)


async def test_a_deadline_that_passes_ends_the_servicers_work(world: World) -> None:
    """A caller that gave up costs nothing more."""
    servicer = Gateway()
    stub = GatewayServiceStub(await connect(world, servicer))
    with pytest.raises(UnavailableError) as caught, rpc_errors("the gateway"):
        await stub.Ask(gateway_pb2.AskRequest(issuer="wait"), timeout=0.2)
    assert caught.value.reason is Reason.DEADLINE_EXCEEDED
    async with asyncio.timeout(PATIENCE_SECONDS):
        await servicer.cancelled.wait()


async def test_a_method_that_the_servicer_lacks_is_unimplemented(world: World) -> None:
    """A newer gRPC whose Health has more methods than ours (List came after 1.81) stops no server."""

    class Bare:
        service = gateway_pb2.DESCRIPTOR.services_by_name["GatewayService"]

    channel = await connect(world, Bare())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await GatewayServiceStub(channel).Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_and_reflection_are_on_every_server(world: World) -> None:
    """By the whole and by service; an unknown service is NOT_FOUND; reflection lists what is served."""
    channel = await connect(world)
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "healthcode.v1.GatewayService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(NotFoundError), rpc_errors("the gateway"):
        await health.Check(health_pb2.HealthCheckRequest(service="nothing"), timeout=PATIENCE_SECONDS)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    async for answer in stub.ServerReflectionInfo(iter([request])):
        names = {service.name for service in answer.list_services_response.service}
    assert names == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "healthcode.v1.GatewayService",
    }


async def test_calls_are_counted_by_method_and_code(world: World) -> None:
    """Metrics tell outcomes apart, and carry no data of a call."""
    stub = GatewayServiceStub(await connect(world))
    await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.Ask(gateway_pb2.AskRequest(issuer="raise"), timeout=PATIENCE_SECONDS)
    sample = world.metrics.registry.get_sample_value
    for code in ("OK", "INTERNAL"):
        assert sample("healthcode_rpc_total", {"method": ASK, "grpc_code": code}) == 1
    assert sample("healthcode_rpc_open", {"method": ASK}) == 0


async def test_a_bad_item_changes_no_other(world: World) -> None:
    """A code that is not UTF-8 costs a batch nothing, and a stream goes on even after a message that is none."""
    server = await world.start(world.server(province("31")), Node())
    channel = world.channel(server.port, province("31"), world.leaf(INTEGRATOR))
    service = "/healthcode.v1.ProvinceNodeService/"
    items = [province_node_pb2.VerifyItem(code=f"HC1:{n}", item_id=str(n)) for n in range(3)]
    batch = province_node_pb2.VerifyBatchRequest(items=items).SerializeToString()
    raw = await channel.unary_unary(f"{service}VerifyBatch")(
        batch.replace(b"HC1:1", b"HC1:\xff"), timeout=PATIENCE_SECONDS
    )
    results = province_node_pb2.VerifyBatchResponse.FromString(raw).results
    assert [result.item_id for result in results] == ["0", "1", "2"]
    sent = [province_node_pb2.VerifyStreamRequest(item=item).SerializeToString() for item in items]
    sent[1:1] = [b"\xff\xff", sent[1].replace(b"HC1:1", b"HC1:\xff"), b"\x0a\x02\xff\xff"]
    answers = [
        province_node_pb2.VerifyStreamResponse.FromString(raw).verdict.item_id
        async for raw in channel.stream_stream(f"{service}VerifyStream")(iter(sent))
    ]
    assert answers == ["0", "", "1", "", "1", "2"]


async def test_a_message_far_over_the_limit_is_refused_with_its_reason(world: World) -> None:
    """The transport lets some more in than any method takes, so that the refusal is ours."""
    server = await world.start(world.server(province("31")), Node())
    channel = world.channel(server.port, province("31"), world.leaf(INTEGRATOR))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/healthcode.v1.ProvinceNodeService/VerifyBatch")(
            b"\x0a" * 1_400_000, timeout=PATIENCE_SECONDS
        )
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # its stubs know the sync calls alone
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) and info.reason == "TOO_LARGE" for detail in status.details)
