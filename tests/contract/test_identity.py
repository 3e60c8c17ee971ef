"""Who may call, over real mTLS: an identity counts only under the CA published for it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from healthcode.errors import (
    HealthcodeError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
    UnavailableError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import gateway_pb2, gateway_pb2_grpc, province_node_pb2, trust_registry_pb2
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from tests.contract.world import (
    GATEWAY,
    INTEGRATOR,
    REALM,
    REGISTRY,
    Gateway,
    Node,
    Registry,
    World,
    province,
)
from tests.world.waiting import PATIENCE_SECONDS


async def ask(world: World, port: int, leaf: Any, **options: Any) -> str:
    """The caller's URI as the gateway saw it; raises what the call failed with."""
    channel = world.channel(port, GATEWAY, leaf, retries=False, **options)
    with rpc_errors("the gateway"):
        response = await gateway_pb2_grpc.GatewayServiceStub(channel).Ask(
            gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS
        )
    return response.answer.decode()


async def refusal(world: World, leaf: Any, **options: Any) -> HealthcodeError:
    servicer = Gateway()
    server = await world.start(world.server(GATEWAY), servicer)
    with pytest.raises(HealthcodeError) as caught:
        await ask(world, server.port, leaf, **options)
    assert servicer.calls == 0, "the servicer was reached"
    return caught.value


async def test_a_province_is_known_by_its_certificate(world: World) -> None:
    """A leaf of the published CA is the identity that the servicer sees."""
    server = await world.start(world.server(GATEWAY), Gateway())
    assert (
        await ask(world, server.port, world.leaf(province("31")))
        == "spiffe://test-contract.healthcode/province/31"
    )


async def test_another_provinces_ca_cannot_name_this_one(world: World) -> None:
    """Guangdong's CA is in the pool that TLS checks, and still may not name /province/31."""
    error = await refusal(world, world.leaf(province("31"), ca="44"))
    assert isinstance(error, UnauthenticatedError)
    assert error.reason is Reason.CERTIFICATE_NOT_PUBLISHED


async def test_a_province_whose_ca_is_not_published_is_nobody(world: World) -> None:
    """A participant that was taken out of trust is refused, though its CA still stands in the pool."""
    server = world.server(GATEWAY)
    world.published["44"] = world.ca("31").certificate_pem.decode()
    await world.start(server, Gateway())
    with pytest.raises(UnauthenticatedError) as caught:
        await ask(world, server.port, world.leaf(province("44"), ca="gateway"))
    assert caught.value.reason is Reason.CERTIFICATE_NOT_PUBLISHED


async def test_no_client_certificate(world: World) -> None:
    """On an mTLS listener a client without a certificate does not get past the handshake."""
    assert isinstance(await refusal(world, None), UnavailableError)


async def test_a_certificate_of_an_unknown_ca(world: World) -> None:
    """A CA outside the pool does not get past the handshake."""
    assert isinstance(await refusal(world, world.leaf(province("31"), ca="stranger")), UnavailableError)


async def test_two_uri_sans(world: World) -> None:
    """A certificate that names two identities names none."""
    leaf = world.leaf(province("31"), extra_uris=[province("44").uri])
    assert (await refusal(world, leaf)).reason is Reason.IDENTITY_MISSING


async def test_a_uri_that_is_no_identity_of_ours(world: World) -> None:
    """A second spelling, or a foreign trust domain, is no identity."""
    error = await refusal(world, world.leaf(replace(province("31"), realm="test-other"), ca="31"))
    assert error.reason is Reason.IDENTITY_FOREIGN


async def test_another_realm(world: World) -> None:
    """The same CA naming the same province in another realm is refused."""
    error = await refusal(world, world.leaf(PeerId("cn", PeerKind.PROVINCE, "31")))
    assert isinstance(error, UnauthenticatedError)
    assert error.reason is Reason.IDENTITY_FOREIGN


async def test_an_expired_certificate(world: World) -> None:
    """A leaf that has expired is refused, by TLS already."""
    leaf = world.leaf(province("31"), days=1, now=int(time.time()) - 3 * 86400)
    assert isinstance(await refusal(world, leaf), UnavailableError | UnauthenticatedError)


@pytest.mark.parametrize("kind", [PeerKind.ISSUER, PeerKind.INTEGRATOR])
async def test_a_kind_that_the_access_table_does_not_let_in(world: World, kind: PeerKind) -> None:
    """An integrator of 31 is known, and may not ask the gateway."""
    error = await refusal(world, world.leaf(PeerId(REALM, kind, "31", "till")))
    assert isinstance(error, PermissionDeniedError)
    assert error.reason is Reason.METHOD_NOT_ALLOWED


async def test_an_integrator_reaches_only_its_own_node(world: World) -> None:
    """31's integrator calls 31's node, and 44's node refuses it."""
    leaf = world.leaf(INTEGRATOR)
    for code in ("31", "44"):
        server = await world.start(world.server(province(code)), Node())
        stub = ProvinceNodeServiceStub(world.channel(server.port, province(code), leaf))
        request = province_node_pb2.VerifyRequest()
        if code == "31":
            await stub.Verify(request, timeout=PATIENCE_SECONDS)
            continue
        with pytest.raises(PermissionDeniedError) as caught, rpc_errors("44"):
            await stub.Verify(request, timeout=PATIENCE_SECONDS)
        assert caught.value.reason is Reason.METHOD_NOT_ALLOWED


async def test_a_client_refuses_a_server_of_another_name(world: World) -> None:
    """A client that dials 31 does not talk to a server which shows 31's CA but the gateway's name."""
    server = await world.start(world.server(GATEWAY), Gateway())
    channel = world.channel(
        server.port,
        province("31"),
        world.leaf(province("31")),
        ca_pem=world.ca("gateway").certificate_pem.decode(),
    )
    with pytest.raises(UnavailableError, match="certificate"), rpc_errors("31"):
        await gateway_pb2_grpc.GatewayServiceStub(channel).Ask(
            gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS
        )


async def test_a_client_refuses_a_server_of_another_ca(world: World) -> None:
    """A client that expects the gateway's CA does not talk to a server of 44's."""
    server = await world.start(world.server(GATEWAY), Gateway())
    with pytest.raises(UnavailableError, match="certificate"):
        await ask(
            world, server.port, world.leaf(province("31")), ca_pem=world.ca("44").certificate_pem.decode()
        )


async def test_the_public_listener_knows_nobody_and_serves_only_what_is_open(world: World) -> None:
    """Without client certificates SubmitJoin works, and what needs an identity is refused."""
    server = await world.start(world.server(REGISTRY, anonymous=True), Registry())
    stub = TrustRegistryServiceStub(world.channel(server.port, REGISTRY, None))
    assert (
        await stub.SubmitJoin(trust_registry_pb2.SubmitJoinRequest(), timeout=PATIENCE_SECONDS)
    ).request_digest == "anonymous"
    with pytest.raises(PermissionDeniedError) as caught, rpc_errors("the registry"):
        await stub.PublishProvince(trust_registry_pb2.PublishProvinceRequest(), timeout=PATIENCE_SECONDS)
    assert caught.value.reason is Reason.METHOD_NOT_ALLOWED


async def test_a_new_ca_counts_without_a_restart(world: World) -> None:
    """A province that is published while the server runs gets in on its next connection."""
    server = await world.start(world.server(GATEWAY), Gateway())
    leaf = world.leaf(province("11"))
    with pytest.raises(UnavailableError):
        await ask(world, server.port, leaf)
    world.publish("11")
    assert await ask(world, server.port, leaf) == province("11").uri


async def test_a_ca_that_was_taken_away_no_longer_counts_on_an_open_connection(world: World) -> None:
    """Trust is looked up at each call, not at the handshake alone."""
    server = await world.start(world.server(GATEWAY), Gateway())
    stub = gateway_pb2_grpc.GatewayServiceStub(
        world.channel(server.port, GATEWAY, world.leaf(province("31")))
    )
    await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
    world.published["31"] = world.ca("44").certificate_pem.decode()
    with pytest.raises(UnauthenticatedError) as caught, rpc_errors("the gateway"):
        await stub.Ask(gateway_pb2.AskRequest(), timeout=PATIENCE_SECONDS)
    assert caught.value.reason is Reason.CERTIFICATE_NOT_PUBLISHED


async def test_the_servers_own_certificate_is_renewed_without_a_restart(world: World) -> None:
    """A new certificate, of a new CA, is shown on the next connection; broken files leave the last good one."""
    server = await world.start(world.server(GATEWAY), Gateway())
    settings = world.tls(GATEWAY)
    settings.certificate.write_bytes(b"half a certif")
    assert await ask(world, server.port, world.leaf(province("31")))
    renewed = world.leaf(GATEWAY, ca="new gateway")
    settings.private_key.unlink()
    renewed.write(settings.certificate, settings.private_key)
    settings.ca.write_bytes(world.ca("new gateway").certificate_pem)
    ca_pem = world.ca("new gateway").certificate_pem.decode()
    assert await ask(world, server.port, world.leaf(province("31")), ca_pem=ca_pem) == province("31").uri


@pytest.mark.parametrize(
    "entry",
    [
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIIB",
    ],
)
async def test_an_entry_that_is_no_certificate_locks_nobody_out(world: World, entry: str) -> None:
    """A pool is read up to the first such entry, so none gets into it, wherever it stands."""
    first, last = world.published.pop("31"), world.published.pop("44")
    world.published |= {"11": entry, "31": first, "12": entry, "44": last}
    server = await world.start(world.server(GATEWAY), Gateway())
    for code in ("31", "44"):
        assert await ask(world, server.port, world.leaf(province(code))) == province(code).uri
