"""A proxy passes on the certificate of its client: who knocks how, over real sockets with mTLS."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import grpc.aio
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from healthcode.errors import (
    HealthcodeError,
    PermissionDeniedError,
    Reason,
    UnauthenticatedError,
)
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.mtls.development_ca import make_ca
from healthcode.rpc.mtls.forwarded import HEADER, MAX_HEADER_BYTES, Proxies
from healthcode.rpc.mtls.tls_files import CertifiedKey
from healthcode.rpc.server import CallInfo
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import federation_pb2, province_issuer_pb2, province_node_pb2
from healthcode.v1.federation_pb2_grpc import FederationServiceStub
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from tests.contract.world import INTEGRATOR, REALM, Node, World, province
from tests.world.certificates import issue_plain_leaf
from tests.world.waiting import PATIENCE_SECONDS

NODE = province("31")
ISSUER = PeerId(REALM, PeerKind.ISSUER, "31", "desk")
SERVICES = ("healthcode.v1.ProvinceNodeService", "grpc.health.v1.Health")


class WhoNode(Node):
    """Verify answers with its caller's URI."""

    async def Verify(  # noqa: N802  proto
        self, request: province_node_pb2.VerifyRequest, call: CallInfo
    ) -> province_node_pb2.VerifyResponse:
        return province_node_pb2.VerifyResponse(verdict={"item_id": call.caller().uri})


class Issuer:
    service = province_issuer_pb2.DESCRIPTOR.services_by_name["ProvinceIssuerService"]

    async def KillKey(self, request: object, call: CallInfo) -> province_issuer_pb2.KillKeyResponse:  # noqa: N802  proto
        return province_issuer_pb2.KillKeyResponse()


class Federation:
    service = federation_pb2.DESCRIPTOR.services_by_name["FederationService"]

    async def Answer(self, request: object, call: CallInfo) -> federation_pb2.AnswerResponse:  # noqa: N802  proto
        return federation_pb2.AnswerResponse()


class Front:
    """A node that knows one proxy, and what a client or that proxy sends to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.proxy = issue_plain_leaf(world.ca("31"), dns_name="province-31.healthcode", start=world.now)
        self.port = 0

    async def start(self) -> Front:
        proxies = Proxies([public_key_of(self.proxy.certificate_pem)], SERVICES)
        server = self.world.server(NODE, proxies=proxies)
        self.port = (await self.world.start(server, WhoNode(), Issuer(), Federation())).port
        return self

    def channel(self, shown: CertifiedKey | None = None) -> grpc.aio.Channel:
        """A connection that shows the proxy's certificate, or another one."""
        return self.world.channel(self.port, NODE, shown or self.proxy)

    async def caller(self, *headers: str, shown: CertifiedKey | None = None) -> str:
        """Whom the node takes for the caller of Verify."""
        stub = ProvinceNodeServiceStub(self.channel(shown))
        with rpc_errors("the node"):
            response = await stub.Verify(
                province_node_pb2.VerifyRequest(),
                timeout=PATIENCE_SECONDS,
                metadata=[(HEADER, value) for value in headers],
            )
        return response.verdict.item_id

    async def refusal(self, *headers: str, shown: CertifiedKey | None = None) -> HealthcodeError:
        with pytest.raises(HealthcodeError) as caught:
            await self.caller(*headers, shown=shown)
        return caught.value


@pytest.fixture
async def front(world: World) -> Front:
    return await Front(world).start()


def header(*leaves: CertifiedKey) -> str:
    return quote(b"".join(leaf.certificate_pem for leaf in leaves))


async def test_the_client_of_a_proxy_is_who_its_certificate_names(world: World, front: Front) -> None:
    """Through one connection of the proxy two integrators call, each under its own name."""
    other = PeerId(REALM, PeerKind.INTEGRATOR, "31", "hospital")
    for peer in (INTEGRATOR, other):
        assert await front.caller(header(world.leaf(peer))) == peer.uri


async def test_a_forged_header_of_a_normal_client_is_not_read(world: World, front: Front) -> None:
    """Straight at the node a client is who its own TLS certificate names, whatever it writes into the header."""
    mine = world.leaf(INTEGRATOR)
    other = header(world.leaf(PeerId(REALM, PeerKind.INTEGRATOR, "31", "hospital")))
    assert await front.caller(other, shown=mine) == INTEGRATOR.uri
    assert await front.caller("garbage", other, shown=mine) == INTEGRATOR.uri


async def test_another_key_is_no_proxy(world: World, front: Front) -> None:
    """A certificate like the proxy's, of the same CA, but of another key: nobody."""
    like = issue_plain_leaf(world.ca("31"), dns_name="province-31.healthcode", start=world.now)
    refused = await front.refusal(header(world.leaf(INTEGRATOR)), shown=like)
    assert isinstance(refused, UnauthenticatedError)
    assert refused.reason is Reason.IDENTITY_MISSING


async def test_no_proxy_is_known_by_default(world: World) -> None:
    """Without a key in node.toml the header counts from nobody."""
    front = Front(world)
    front.port = (await world.start(world.server(NODE), WhoNode())).port
    assert isinstance(await front.refusal(header(world.leaf(INTEGRATOR))), UnauthenticatedError)


async def test_leaves_that_tls_would_refuse_are_refused(world: World, front: Front) -> None:
    """Expired, not valid yet, not for clients, of another realm, of a stranger's CA, with two identities."""
    uri, ca, day = INTEGRATOR.uri, world.ca("31"), 86_400
    wrong = {
        "expired": world.leaf(INTEGRATOR, days=1, now=world.now - 3 * day),
        "not yet": world.leaf(INTEGRATOR, now=world.now + day),
        "for servers": issue_plain_leaf(
            ca, uri=uri, usages=(ExtendedKeyUsageOID.SERVER_AUTH,), start=world.now
        ),
        "another realm": world.leaf(PeerId("cn", PeerKind.INTEGRATOR, "31", "turnstile")),
        "a stranger's CA": world.leaf(INTEGRATOR, ca="stranger"),
        "the gateway's CA": world.leaf(INTEGRATOR, ca="gateway"),
        "two identities": world.leaf(INTEGRATOR, extra_uris=[ISSUER.uri]),
        "none": issue_plain_leaf(ca, dns_name="x.example", start=world.now),
    }
    for name, leaf in wrong.items():
        assert isinstance(await front.refusal(header(leaf)), UnauthenticatedError), name
    plain = issue_plain_leaf(ca, uri=uri, usages=(ExtendedKeyUsageOID.CLIENT_AUTH,), start=world.now)
    assert await front.caller(header(plain)) == uri


async def test_a_leaf_of_a_ca_that_has_expired_is_refused(world: World, front: Front) -> None:
    """Its own days are not over, but those of its CA are, which TLS checks too."""
    old = make_ca("old", days=2, now=world.now - 3 * 86_400)
    leaf = issue_plain_leaf(old, uri=INTEGRATOR.uri, start=world.now)
    world.published["31"] = old.certificate_pem.decode()
    assert (await front.refusal(header(leaf))).reason is Reason.CERTIFICATE_NOT_PUBLISHED


async def test_a_ca_that_was_taken_away_counts_no_longer(world: World, front: Front) -> None:
    """Trust is looked up at each call, also through a proxy."""
    leaf = world.leaf(INTEGRATOR)
    assert await front.caller(header(leaf)) == INTEGRATOR.uri
    world.published["31"] = world.ca_pem("44")
    assert (await front.refusal(header(leaf))).reason is Reason.CERTIFICATE_NOT_PUBLISHED


@pytest.mark.parametrize("shape", ["two headers", "two certificates", "oversized", "garbage", "empty"])
async def test_a_header_that_is_not_one_leaf_is_refused(world: World, front: Front, shape: str) -> None:
    """What the shipped proxy never sends is nobody's certificate."""
    leaf, other = world.leaf(INTEGRATOR), world.leaf(ISSUER)
    headers = {
        "two headers": [header(leaf), header(leaf)],
        "two certificates": [header(leaf, other)],
        "oversized": [header(leaf) + "%0A" * (MAX_HEADER_BYTES // 3)],
        "garbage": ["-----BEGIN CERTIFICATE-----%0AAAAA%0A-----END CERTIFICATE-----"],
        "empty": [""],
    }[shape]
    assert isinstance(await front.refusal(*headers), UnauthenticatedError)


async def test_a_client_without_a_certificate_is_nobody_and_sees_only_health(front: Front) -> None:
    """The proxy's own certificate never stands in for its client's."""
    refused = await front.refusal()
    assert isinstance(refused, UnauthenticatedError)
    assert refused.reason is Reason.IDENTITY_MISSING
    health = health_pb2_grpc.HealthStub(front.channel())
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_proxy_reaches_only_what_is_for_integrators(world: World, front: Front) -> None:
    """The issuer's API, the gateway's and reflection are refused, whoever's certificate it passes on."""
    channel = front.channel()
    issuer, gateway = world.leaf(ISSUER), world.leaf(PeerId(REALM, PeerKind.GATEWAY))
    calls: Sequence[tuple[object, object, CertifiedKey]] = [
        (ProvinceIssuerServiceStub(channel).KillKey, province_issuer_pb2.KillKeyRequest(), issuer),
        (FederationServiceStub(channel).Answer, federation_pb2.AnswerRequest(), gateway),
    ]
    for call, request, leaf in calls:
        metadata = [(HEADER, header(leaf))]
        with pytest.raises(PermissionDeniedError, match="through a proxy"), rpc_errors("the node"):
            await call(request, timeout=PATIENCE_SECONDS, metadata=metadata)  # type: ignore[operator]
    # each of them straight at the node, to show that it is the proxy that is refused
    await ProvinceIssuerServiceStub(front.channel(issuer)).KillKey(
        province_issuer_pb2.KillKeyRequest(), timeout=PATIENCE_SECONDS
    )


async def test_a_client_that_is_not_an_integrator_is_refused_through_a_proxy_too(
    world: World, front: Front
) -> None:
    """The access table counts for the client's identity."""
    assert isinstance(await front.refusal(header(world.leaf(ISSUER))), PermissionDeniedError)
