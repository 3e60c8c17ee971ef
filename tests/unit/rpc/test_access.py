"""The access table: complete, and narrow."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from healthcode.errors import PermissionDeniedError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.access import ACCESS, AccessRule, Ending, check_access
from healthcode.v1 import (
    federation_pb2,
    gateway_pb2,
    province_issuer_pb2,
    province_node_pb2,
    trust_registry_pb2,
)

FILES = (
    federation_pb2,
    gateway_pb2,
    province_issuer_pb2,
    province_node_pb2,
    trust_registry_pb2,
    health_pb2,
    reflection_pb2,
)
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    # of gRPC's own services the table has what ours serve; newer releases add to them
    if file not in (health_pb2, reflection_pb2) or f"/{service.full_name}/{method.name}" in ACCESS
}
REALM = "test-x"


def test_the_table_is_the_descriptors() -> None:
    """Every RPC of the protos stands in the table, and nothing else does."""
    assert set(ACCESS) == set(METHODS)


def test_every_proto_file_of_ours_is_looked_at() -> None:
    """A new service file cannot stay outside the test above."""
    from pathlib import Path

    protos = Path(__file__).parents[3] / "protos/healthcode/v1"
    with_services = {path.stem for path in protos.glob("*.proto") if "\nservice " in path.read_text()}
    assert with_services <= {file.DESCRIPTOR.name.rpartition("/")[2].removesuffix(".proto") for file in FILES}
    assert descriptor_pool.Default()


@pytest.mark.parametrize("path", sorted(ACCESS))
def test_each_rule_is_sound(path: str) -> None:
    """Without a deadline a call is a stream with another bound; only what never changes anything is open."""
    rule, method = ACCESS[path], METHODS[path]
    if not rule.deadline_required:
        assert method.client_streaming or method.server_streaming
        assert rule.ending is not Ending.NEVER
    if method.client_streaming:
        assert rule.idle_seconds, "a stream of requests needs an idle limit"
    if rule.anonymous:
        assert method.name in {
            "FetchFile",
            "WatchTrust",
            "SubmitJoin",
            "Check",
            "Watch",
            "ServerReflectionInfo",
        }
    assert 0 < rule.max_request_bytes <= 9 * 1024 * 1024
    assert rule.callers


def test_verify_takes_256_kib() -> None:
    """Far more than a code has, so that one that is too long gets a verdict."""
    assert ACCESS["/healthcode.v1.ProvinceNodeService/Verify"].max_request_bytes == 256 * 1024


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/healthcode.v1.TrustRegistryService/PublishProvince", PeerKind.PROVINCE),
        ("/healthcode.v1.TrustRegistryService/PublishRevocations", PeerKind.PROVINCE),
        ("/healthcode.v1.GatewayService/Ask", PeerKind.PROVINCE),
        ("/healthcode.v1.FederationService/Answer", PeerKind.GATEWAY),
        ("/healthcode.v1.ProvinceNodeService/Verify", PeerKind.INTEGRATOR),
        ("/healthcode.v1.ProvinceIssuerService/IssueCode", PeerKind.ISSUER),
        ("/healthcode.v1.ProvinceIssuerService/RevokeCodes", PeerKind.ISSUER),
        ("/healthcode.v1.ProvinceIssuerService/SubmitEvidence", PeerKind.SOURCE),
        ("/healthcode.v1.ProvinceIssuerService/WithdrawEvidence", PeerKind.SOURCE),
        ("/healthcode.v1.ProvinceNodeService/CheckRequirement", PeerKind.INTEGRATOR),
    ],
)
def test_one_kind_may_call(path: str, kind: PeerKind) -> None:
    """Each of these is for one kind of caller alone."""
    assert ACCESS[path].callers == {kind}
    assert not ACCESS[path].anonymous


def test_an_officer_needs_a_role_and_no_other_kind_gets_one() -> None:
    """Every method that an officer may call names roles, and only such methods do."""
    for path, rule in ACCESS.items():
        if not rule.anonymous:
            assert (PeerKind.OFFICER in rule.callers) == bool(rule.roles), path
    officer = PeerId(REALM, PeerKind.OFFICER, "31", "li")
    with pytest.raises(PermissionDeniedError):
        check_access(AccessRule(frozenset({PeerKind.OFFICER})), officer, participant="31")


def test_a_source_reports_evidence_and_nothing_else() -> None:
    """A laboratory's certificate opens two methods, and those that are open to everybody."""
    opened = {path for path, rule in ACCESS.items() if PeerKind.SOURCE in rule.callers and not rule.anonymous}
    assert {path.rpartition("/")[2] for path in opened} == {"SubmitEvidence", "WithdrawEvidence"}


def test_nobody_gets_through_a_rule_that_is_not_open() -> None:
    """A caller without an identity is refused unless the rule is anonymous."""
    with pytest.raises(PermissionDeniedError):
        check_access(AccessRule(frozenset(PeerKind)), None, participant=None)
    check_access(AccessRule(frozenset(PeerKind), anonymous=True), None, participant=None)


@pytest.mark.parametrize("kind", [PeerKind.ISSUER, PeerKind.SOURCE, PeerKind.INTEGRATOR])
@pytest.mark.parametrize("own", ["44", None])
def test_a_provinces_own_callers_reach_no_other_service(kind: PeerKind, own: str | None) -> None:
    """A back end of 31 is refused at 44, and at a service that belongs to no participant."""
    rule = AccessRule(frozenset({kind}))
    peer = PeerId(REALM, kind, "31", "desk")
    check_access(rule, peer, participant="31")
    with pytest.raises(PermissionDeniedError):
        check_access(rule, peer, participant=own)
