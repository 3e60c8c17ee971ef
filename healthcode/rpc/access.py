"""The access table: who may call which RPC, how large, and for how long.

A method that is not in `ACCESS` is refused, whoever calls. A test holds the
table against the descriptors of the protos. Callers of kind ISSUER and
INTEGRATOR belong to one participant, and reach only their own node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from healthcode.errors import PermissionDeniedError
from healthcode.identity.peer import PeerId, PeerKind

__all__ = ["ACCESS", "AccessRule", "Ending", "check_access"]

KIB = 1024
MIB = 1024 * 1024

_OWN_ONLY = frozenset({PeerKind.ISSUER, PeerKind.INTEGRATOR})


class Ending(StrEnum):
    """When the server ends a call that did not end by itself; a stream it ends, ends with OK."""

    NEVER = "NEVER"
    """It has a deadline."""
    ON_DRAIN = "ON_DRAIN"
    """A stream without end: ended when it is old, and as soon as the server drains."""
    ON_STOP = "ON_STOP"
    """Health.Watch alone: it has to tell of the drain, so it lives until the server stops."""


@dataclass(frozen=True, slots=True)
class AccessRule:
    """What one RPC demands.

    `callers`: kinds of identity that may call. `anonymous`: a caller without a
    valid certificate may, too. `deadline_required`: the call must carry one; a
    long-lived stream has `idle_seconds` between its requests instead.
    `max_request_bytes`: of each request message. `has_items`: a string or an item that
    cannot be read spoils that item alone, and a message of a stream never ends it; see item.py.
    """

    callers: frozenset[PeerKind]
    anonymous: bool = False
    deadline_required: bool = True
    max_request_bytes: int = 64 * KIB
    idle_seconds: float | None = None
    ending: Ending = Ending.NEVER
    has_items: bool = False


_EVERYONE = frozenset(PeerKind)
_PROVINCE = frozenset({PeerKind.PROVINCE})
_GATEWAY = frozenset({PeerKind.GATEWAY})
_INTEGRATOR = frozenset({PeerKind.INTEGRATOR})
_ISSUER = frozenset({PeerKind.ISSUER})

_OPEN_CALL = AccessRule(_EVERYONE, anonymous=True, max_request_bytes=4 * KIB)
_OPEN_WATCH = AccessRule(
    _EVERYONE, anonymous=True, deadline_required=False, max_request_bytes=4 * KIB, ending=Ending.ON_DRAIN
)
_OPEN_STREAM = AccessRule(
    _EVERYONE,
    anonymous=True,
    deadline_required=False,
    max_request_bytes=4 * KIB,
    idle_seconds=60,
    ending=Ending.ON_DRAIN,
)

ACCESS: Mapping[str, AccessRule] = MappingProxyType(
    {
        "/healthcode.v1.TrustRegistryService/FetchFile": _OPEN_CALL,
        "/healthcode.v1.TrustRegistryService/WatchTrust": _OPEN_WATCH,
        "/healthcode.v1.TrustRegistryService/SubmitJoin": AccessRule(
            _EVERYONE, anonymous=True, max_request_bytes=512 * KIB
        ),
        "/healthcode.v1.TrustRegistryService/PublishProvince": AccessRule(
            _PROVINCE, max_request_bytes=512 * KIB
        ),
        # a list of at most 8 MiB beside the metadata and head
        "/healthcode.v1.TrustRegistryService/PublishRevocations": AccessRule(
            _PROVINCE, max_request_bytes=9 * MIB, idle_seconds=30
        ),
        # a snapshot of the most participants, and what stands beside it
        "/healthcode.v1.TrustRegistryService/ReportNodeState": AccessRule(
            _PROVINCE | _GATEWAY, max_request_bytes=320 * KIB
        ),
        # far more than a code may have: one that is too long gets a verdict like any other
        "/healthcode.v1.ProvinceNodeService/Verify": AccessRule(
            _INTEGRATOR, max_request_bytes=256 * KIB, has_items=True
        ),
        # 128 items of at most 2 KiB of code each, and what stands beside them
        "/healthcode.v1.ProvinceNodeService/VerifyBatch": AccessRule(
            _INTEGRATOR, max_request_bytes=512 * KIB, has_items=True
        ),
        "/healthcode.v1.ProvinceNodeService/VerifyStream": AccessRule(
            _INTEGRATOR,
            deadline_required=False,
            max_request_bytes=256 * KIB,
            idle_seconds=60,
            ending=Ending.ON_DRAIN,
            has_items=True,
        ),
        "/healthcode.v1.ProvinceNodeService/QueryStatus": AccessRule(
            _INTEGRATOR, max_request_bytes=256 * KIB, has_items=True
        ),
        "/healthcode.v1.ProvinceIssuerService/IssueCode": AccessRule(_ISSUER),
        "/healthcode.v1.ProvinceIssuerService/IssueCodes": AccessRule(_ISSUER, max_request_bytes=1 * MIB),
        "/healthcode.v1.ProvinceIssuerService/RevokeCodes": AccessRule(_ISSUER, max_request_bytes=4 * MIB),
        "/healthcode.v1.ProvinceIssuerService/RevokeMatching": AccessRule(
            _ISSUER, max_request_bytes=128 * KIB
        ),
        "/healthcode.v1.ProvinceIssuerService/KillKey": AccessRule(_ISSUER, max_request_bytes=4 * KIB),
        "/healthcode.v1.ProvinceIssuerService/ListKeyHolders": AccessRule(_ISSUER, max_request_bytes=4 * KIB),
        "/healthcode.v1.GatewayService/Ask": AccessRule(_PROVINCE),
        "/healthcode.v1.FederationService/Answer": AccessRule(_GATEWAY),
        "/grpc.health.v1.Health/Check": _OPEN_CALL,
        "/grpc.health.v1.Health/Watch": replace(_OPEN_WATCH, ending=Ending.ON_STOP),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPEN_STREAM,
    }
)


def check_access(rule: AccessRule, peer: PeerId | None, *, participant: str | None) -> None:
    """Lets `peer` through, or raises PermissionDeniedError (METHOD_NOT_ALLOWED).

    `peer` is None for a caller without a valid identity; `participant` is the
    node's own code, None on a service that belongs to no participant.
    """
    if peer is None:
        if not rule.anonymous:
            raise PermissionDeniedError("this method needs a client certificate")
        return
    if peer.kind not in rule.callers:
        raise PermissionDeniedError(f"{peer.uri} may not call this method")
    if rule.anonymous:
        return
    if peer.kind in _OWN_ONLY and peer.participant != participant:
        raise PermissionDeniedError(f"{peer.uri} belongs to another participant: call its own node")
