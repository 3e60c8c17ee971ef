"""The access table: who may call which RPC, with how large a request, and for how long.

A method that is not in `ACCESS` is refused. A test compares the table with the protos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from healthcode.errors import PermissionDeniedError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.role import Role

__all__ = ["ACCESS", "AccessRule", "Ending", "OfficerCheck", "Room", "check_access"]

OfficerCheck = Callable[[str, str, frozenset[Role]], object]
"""Gets an officer's name, the `public_key_of` its certificate, and the roles of which one is needed. Raises PermissionDeniedError."""

KIB = 1024
MIB = 1024 * 1024

# these belong to one participant, and may call only its own node
_OWN_ONLY = frozenset({PeerKind.ISSUER, PeerKind.SOURCE, PeerKind.OFFICER, PeerKind.INTEGRATOR})


class Ending(StrEnum):
    """When the server ends an endless call. A stream that the server ends, ends with OK."""

    NEVER = "NEVER"
    """The call has a deadline."""
    ON_DRAIN = "ON_DRAIN"
    """An endless stream: ended at its maximum age, or when the server drains."""
    ON_STOP = "ON_STOP"
    """Health.Watch only: it reports the drain, so it lives until the server stops."""


@dataclass(frozen=True, slots=True)
class Room:
    """How many calls of one method a server has under way, in total and of one caller (None: no share)."""

    capacity: int
    per_caller: int | None = None


@dataclass(frozen=True, slots=True)
class AccessRule:
    """What one RPC demands.

    `callers` may call it; with `anonymous`, so may callers without a valid certificate. With `deadline_required`
    the call must have a deadline; a long-lived stream has `idle_seconds` between its requests instead.
    `max_request_bytes` limits each request message. With `has_items`, a string or item that cannot be decoded
    affects that item alone (see lenient_items), and never ends a stream. A method that may have many calls waiting,
    for another party or for the disk, has a `room` of its own, so that they never take the places of Verify.
    An OFFICER needs one of `roles` in the officers file, under the public key of its certificate.
    """

    callers: frozenset[PeerKind]
    anonymous: bool = False
    deadline_required: bool = True
    max_request_bytes: int = 64 * KIB
    idle_seconds: float | None = None
    ending: Ending = Ending.NEVER
    has_items: bool = False
    room: Room | None = None
    roles: frozenset[Role] = frozenset()


_EVERYONE = frozenset(PeerKind)
_PROVINCE = frozenset({PeerKind.PROVINCE})
_GATEWAY = frozenset({PeerKind.GATEWAY})
_INTEGRATOR = frozenset({PeerKind.INTEGRATOR})
_ISSUER = frozenset({PeerKind.ISSUER})
_SOURCE = frozenset({PeerKind.SOURCE})
_OFFICER = frozenset({PeerKind.OFFICER})

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
        # a snapshot with the maximum number of participants, and the other fields
        "/healthcode.v1.TrustRegistryService/ReportNodeState": AccessRule(
            _PROVINCE | _GATEWAY, max_request_bytes=320 * KIB
        ),
        # far more than a code needs: a code that is too long still gets a verdict
        "/healthcode.v1.ProvinceNodeService/Verify": AccessRule(
            _INTEGRATOR, max_request_bytes=256 * KIB, has_items=True
        ),
        # 128 items of at most 2 KiB of code each, and the other fields
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
            _INTEGRATOR, max_request_bytes=256 * KIB, has_items=True, room=Room(192, per_caller=64)
        ),
        "/healthcode.v1.ProvinceNodeService/CheckRequirement": AccessRule(
            _INTEGRATOR, max_request_bytes=4 * KIB
        ),
        "/healthcode.v1.ProvinceIssuerService/IssueCode": AccessRule(_ISSUER, room=Room(128, per_caller=96)),
        "/healthcode.v1.ProvinceIssuerService/IssueCodes": AccessRule(
            _ISSUER, max_request_bytes=1 * MIB, room=Room(32, per_caller=16)
        ),
        "/healthcode.v1.ProvinceIssuerService/RevokeCodes": AccessRule(
            _ISSUER, max_request_bytes=4 * MIB, room=Room(32, per_caller=16)
        ),
        "/healthcode.v1.ProvinceIssuerService/RevokeMatching": AccessRule(
            _ISSUER, max_request_bytes=128 * KIB, room=Room(16, per_caller=8)
        ),
        "/healthcode.v1.ProvinceIssuerService/KillKey": AccessRule(_ISSUER, max_request_bytes=4 * KIB),
        "/healthcode.v1.ProvinceIssuerService/ListKeyHolders": AccessRule(_ISSUER, max_request_bytes=4 * KIB),
        "/healthcode.v1.ProvinceIssuerService/SubmitEvidence": AccessRule(
            _SOURCE,
            deadline_required=False,
            max_request_bytes=16 * KIB,
            idle_seconds=60,
            ending=Ending.ON_DRAIN,
            has_items=True,
        ),
        "/healthcode.v1.ProvinceIssuerService/WithdrawEvidence": AccessRule(
            _SOURCE, max_request_bytes=128 * KIB, room=Room(16, per_caller=4)
        ),
        "/healthcode.v1.ProvinceIssuerService/ExplainLevel": AccessRule(
            _ISSUER | _OFFICER, max_request_bytes=4 * KIB, roles=frozenset({Role.HEALTH_OFFICER})
        ),
        "/healthcode.v1.ProvinceIssuerService/QueryAudit": AccessRule(
            _OFFICER, max_request_bytes=4 * KIB, room=Room(8, per_caller=2), roles=frozenset({Role.AUDITOR})
        ),
        # the bulkheads of all homes may be full at the same time
        "/healthcode.v1.GatewayService/Ask": AccessRule(_PROVINCE, room=Room(4096, per_caller=1024)),
        # a node asks for one proof at a time
        "/healthcode.v1.GatewayService/AuditProof": AccessRule(
            _PROVINCE, max_request_bytes=1 * KIB, room=Room(256, per_caller=4)
        ),
        # one caller: the gateway
        "/healthcode.v1.FederationService/Answer": AccessRule(_GATEWAY, room=Room(256)),
        "/healthcode.v1.FederationService/ProveAudit": AccessRule(
            _GATEWAY, max_request_bytes=1 * KIB, room=Room(16)
        ),
        "/grpc.health.v1.Health/Check": _OPEN_CALL,
        "/grpc.health.v1.Health/Watch": replace(_OPEN_WATCH, ending=Ending.ON_STOP),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPEN_STREAM,
    }
)


def check_access(rule: AccessRule, peer: PeerId | None, *, participant: str | None) -> None:
    """Raises PermissionDeniedError (METHOD_NOT_ALLOWED) if `peer` may not call.

    `peer` is None for an anonymous caller; `participant` is the node's own code, None for a service that
    belongs to no participant.
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
    if peer.kind is PeerKind.OFFICER and not rule.roles:
        raise PermissionDeniedError(f"{peer.uri}: no role of an officer opens this method")
