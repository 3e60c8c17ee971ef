"""Checks what a source of evidence is registered with. Its public key counts, since the province's CA could name anybody."""

from __future__ import annotations

from collections.abc import Iterable

from healthcode.errors import InvalidInputError, PermissionDeniedError, Reason, UnauthenticatedError
from healthcode.identity.participant import NATIONAL_PLATFORM
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.levels.evidence import MIGRATED_SOURCE, EvidenceKind
from healthcode.rpc.mtls.certificate import decode_leaf, is_issued_by, public_key_of
from province_node.store.people_records import Source

__all__ = ["check_source", "new_source"]

_MAX_UNIT_CHARACTERS = 64


def new_source(
    peer: PeerId, certificate_pem: bytes, *, ca_pem: str, unit: str, kinds: Iterable[EvidenceKind]
) -> Source:
    """A source as it is registered, with the key of its certificate.

    Raises InvalidInputError or PermissionDeniedError, which say what to do.
    """
    found = check_source(peer, unit, kinds)
    try:
        named = decode_leaf(certificate_pem).peer
    except UnauthenticatedError as error:
        raise InvalidInputError(
            f"the certificate: {error.message}", fields={"certificate": f"URI:{peer.uri}"}
        ) from error
    if named != peer:
        raise InvalidInputError(
            f"the certificate names {named.uri}, and this source is {peer.uri}: have one issued with that URI",
            fields={"certificate": f"URI:{peer.uri}"},
        )
    if not is_issued_by(certificate_pem, (ca_pem,)):
        raise InvalidInputError(
            "the certificate was not issued by this province's CA, so that the node would not take it",
            fields={"certificate": "of the CA in [tls] ca of node.toml"},
        )
    return Source(peer.name or "", public_key_of(certificate_pem), found, unit)


def check_source(peer: PeerId, unit: str, kinds: Iterable[EvidenceKind]) -> frozenset[EvidenceKind]:
    """The kinds, if this source may send them. Raises InvalidInputError or PermissionDeniedError."""
    if peer.kind is not PeerKind.SOURCE or peer.name == MIGRATED_SOURCE:
        raise InvalidInputError(f"{peer.name!r} is a name of the node's own: choose another one")
    if not (1 <= len(unit) <= _MAX_UNIT_CHARACTERS and unit.isprintable() and unit.strip()):
        raise InvalidInputError(
            f"a unit has 1 to {_MAX_UNIT_CHARACTERS} printable characters: name who answers for the source",
            fields={"unit": "such as an office or a hospital"},
        )
    found = frozenset(kinds)
    if not found:
        raise InvalidInputError(
            "say which kinds of evidence the source may send", fields={"kind": "one at least"}
        )
    if EvidenceKind.ORDER in found:
        raise _forbidden("an ORDER is an officer's decision, and no source sends one")
    if EvidenceKind.PUSH in found and peer.participant != NATIONAL_PLATFORM:
        raise _forbidden("a PUSH comes from the national platform, 00, and from no source of a province")
    return found


def _forbidden(message: str) -> PermissionDeniedError:
    return PermissionDeniedError(message, reason=Reason.KIND_FORBIDDEN, fields={"kind": message})
