"""The two listeners of a node: one for integrators and the gateway, one for the province's own back ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.forwarded import Proxies
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.server import GrpcServer, ServerLimits, ServerTls
from healthcode.v1 import federation_pb2, province_issuer_pb2, province_node_pb2
from province_node.api.audit import AuditServicer
from province_node.api.evidence import EvidenceServicer
from province_node.api.federation import FederationServicer
from province_node.api.integrator import ProvinceNodeServicer
from province_node.api.issuer import Codes, ProvinceIssuerServicer
from province_node.api.request_memory import RequestMemory
from province_node.people.pseudonym import PseudonymKey
from province_node.wiring import NodeCore, People, Queries, Witnessing

__all__ = ["PUBLIC_LIMITS", "THROUGH_PROXIES", "Servers", "build_servers"]

PUBLIC_LIMITS = ServerLimits(streams_per_connection=8)
"""A caller's connection queues so many calls; the rest waits at the caller, so that it delays others less."""
THROUGH_PROXIES = ("healthcode.v1.ProvinceNodeService", "grpc.health.v1.Health")
"""The services that a proxy may call for its clients."""


@dataclass(frozen=True, slots=True)
class Servers:
    """`public` serves integrators and the gateway, `issuers` the province's own back ends."""

    public: GrpcServer
    issuers: GrpcServer


def build_servers(
    core: NodeCore,
    codes: Codes,
    queries: Queries,
    people: People,
    witnessing: Witnessing,
    *,
    reuse_port: bool,
) -> Servers:
    """Both listeners, with their services."""
    settings = core.settings
    gateway = PeerId(settings.realm, PeerKind.GATEWAY)
    public = _server(
        core,
        settings.listen,
        lambda: core.trust.ca_for(gateway),
        replace(PUBLIC_LIMITS, reuse_port=reuse_port),
    )
    public.add(
        province_node_pb2.DESCRIPTOR.services_by_name["ProvinceNodeService"],
        ProvinceNodeServicer(trust=core.trust.view, ask=queries.ask, clock=core.clock, metrics=core.counters),
    )
    public.add(
        federation_pb2.DESCRIPTOR.services_by_name["FederationService"],
        FederationServicer(
            answer=queries.answer, prove=witnessing.prove, threads=core.threads, metrics=core.counters
        ),
    )
    issuers = _server(core, settings.issuer_listen, lambda: (), ServerLimits(reuse_port=reuse_port))
    pseudonym_key = PseudonymKey(core.keyring.holder_secret())
    servicers = (
        ProvinceIssuerServicer(
            codes,
            threads=core.threads,
            pseudonym_key=pseudonym_key,
            clock=core.clock,
            metrics=core.counters,
        ),
        EvidenceServicer(
            people.intake,
            threads=core.threads,
            memory=RequestMemory(pseudonym_key, core.clock),
            metrics=core.counters,
        ),
        AuditServicer(people.intake.audit, threads=core.threads, pseudonym_key=pseudonym_key),
    )
    issuers.add(province_issuer_pb2.DESCRIPTOR.services_by_name["ProvinceIssuerService"], *servicers)
    return Servers(public, issuers)


def _server(
    core: NodeCore, listen: str, client_cas: Callable[[], Sequence[str]], limits: ServerLimits
) -> GrpcServer:
    """A listener. It accepts clients of our own CA always, and of `client_cas` in addition."""
    settings = core.settings
    return GrpcServer(
        listen,
        ServerTls(
            settings.tls,
            client_cas=client_cas,
            realm=settings.realm,
            peer=PeerId(settings.realm, PeerKind.PROVINCE, settings.participant),
            own_cas=core.trust.own_cas,
            clock=core.clock,
        ),
        metrics=core.metrics,
        verifier=PeerVerifier(
            realm=settings.realm,
            ca_for=core.trust.ca_for,
            clock=core.clock,
            proxies=Proxies(settings.proxy.public_keys, THROUGH_PROXIES),
        ),
        participant=settings.participant,
        officers=lambda name, public_key, roles: core.roster.admit(name, public_key, roles, core.clock.now()),
        limits=replace(limits, idle_seconds=settings.stream.idle_seconds),
    )
