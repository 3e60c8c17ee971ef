"""An officer over real sockets: the certificate's public key is what the roster is asked about."""

from __future__ import annotations

import pytest

from healthcode.errors import PermissionDeniedError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.role import Role
from healthcode.rpc.call import CallInfo
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_issuer_pb2
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from tests.contract.world import REALM, World, province
from tests.world.waiting import PATIENCE_SECONDS

LI = PeerId(REALM, PeerKind.OFFICER, "31", "li")


class Issuer:
    """Explains to whoever passes the gate."""

    service = province_issuer_pb2.DESCRIPTOR.services_by_name["ProvinceIssuerService"]

    async def ExplainLevel(  # noqa: N802  proto
        self, _: province_issuer_pb2.ExplainLevelRequest, call: CallInfo
    ) -> province_issuer_pb2.ExplainLevelResponse:
        return province_issuer_pb2.ExplainLevelResponse(policy_version=str(call.peer))


async def test_a_name_with_another_key_of_the_same_ca_is_refused(world: World) -> None:
    """Two certificates of one CA and one name: the appointed key passes, the minted one is OFFICER_UNKNOWN."""
    world.publish("31")
    appointed, minted = world.leaf(LI), world.leaf(LI)
    key = public_key_of(appointed.certificate_pem)
    asked: list[frozenset[Role]] = []

    def admit(name: str, public_key: str, roles: frozenset[Role]) -> None:
        asked.append(roles)
        if (name, public_key) != ("li", key):
            raise PermissionDeniedError("not of this key", reason=Reason.OFFICER_UNKNOWN)

    async def explain(port: int, leaf) -> str:
        stub = ProvinceIssuerServiceStub(world.channel(port, province("31"), leaf))
        with rpc_errors("node"):
            response = await stub.ExplainLevel(
                province_issuer_pb2.ExplainLevelRequest(), timeout=PATIENCE_SECONDS
            )
        return response.policy_version

    node = await world.start(world.server(province("31"), officers=admit), Issuer())
    assert await explain(node.port, appointed) == LI.uri
    with pytest.raises(PermissionDeniedError) as caught:
        await explain(node.port, minted)
    assert caught.value.reason is Reason.OFFICER_UNKNOWN
    assert asked == [frozenset({Role.HEALTH_OFFICER})] * 2
    bare = await world.start(world.server(province("31")), Issuer())
    with pytest.raises(PermissionDeniedError) as none:
        await explain(bare.port, appointed)
    assert none.value.reason is Reason.OFFICER_UNKNOWN
