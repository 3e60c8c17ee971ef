"""The fields that healthcode adds to TUF metadata: realm, time of signing, checkpoint, bootstraps, consents, possession."""

from __future__ import annotations

import re

from tuf.api.metadata import Root, Signed, Targets

from healthcode.audit.checkpoint import Checkpoint, decode_checkpoint
from healthcode.clock import parse_rfc3339
from healthcode.errors import DecodeError
from healthcode.identity.realm import check_realm
from healthcode.trust.format.layout import (
    AUDIT_FIELD,
    BOOTSTRAPS_FIELD,
    LIVE_POSSESSION_FIELD,
    REALM_FIELD,
    REONBOARDED_FIELD,
    SIGNED_AT_FIELD,
)

__all__ = [
    "audit_checkpoint_in",
    "bootstraps_in",
    "is_new_bootstrap",
    "live_possession_in",
    "realm_of",
    "reonboarded_in",
    "signed_at",
]


_SIGNATURE = re.compile(r"[0-9a-f]{128}")


def realm_of(root: Root) -> str:
    """The realm that a root names. Raises InvalidInputError if it names none."""
    realm = root.unrecognized_fields.get(REALM_FIELD)
    return check_realm(realm if isinstance(realm, str) else "")


def signed_at(signed: Signed) -> int:
    """When timestamp or live metadata was signed. Raises DecodeError(metadata.signed_at)."""
    try:
        return parse_rfc3339(signed.unrecognized_fields[SIGNED_AT_FIELD])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DecodeError("metadata.signed_at", "the metadata does not say when it was signed") from error


def audit_checkpoint_in(live: Targets) -> Checkpoint | None:
    """The checkpoint of the node's audit log that live metadata carries; None if it has no such field.

    Raises DecodeError: those of `decode_checkpoint`.
    """
    found = live.unrecognized_fields.get(AUDIT_FIELD)
    return None if found is None else decode_checkpoint(found)


def live_possession_in(province: Targets) -> dict[str, bytes] | None:
    """By key id, the proofs of possession of the live keys that an authority delegates to.

    None if there is no such field. Raises DecodeError(metadata.live_possession) unless it is a
    table of signatures, each 128 lower-case hex digits.
    """
    found = province.unrecognized_fields.get(LIVE_POSSESSION_FIELD)
    if found is None:
        return None
    if not isinstance(found, dict) or not all(
        isinstance(proof, str) and _SIGNATURE.fullmatch(proof) for proof in found.values()
    ):
        raise DecodeError(
            "metadata.live_possession",
            "the live key's proof of possession is in an unknown form",
        )
    return {keyid: bytes.fromhex(proof) for keyid, proof in found.items()}


def bootstraps_in(root: Root) -> dict[str, str]:
    """The new bootstraps in the history of a root: version → fingerprint of the root before it.

    Each later root repeats them. Raises DecodeError(metadata.bootstraps) unless it is such a table.
    """
    found = root.unrecognized_fields.get(BOOTSTRAPS_FIELD, {})
    if not isinstance(found, dict) or not all(
        version.isascii() and version.isdecimal() and isinstance(after, str)
        for version, after in found.items()
    ):
        raise DecodeError("metadata.bootstraps", "root names its bootstraps in an unknown form")
    return dict(found)


def is_new_bootstrap(root: Root, before: str) -> bool:
    """Whether a root declares itself a new bootstrap after the root of fingerprint `before`."""
    return bootstraps_in(root).get(str(root.version)) == before


def reonboarded_in(root: Root) -> dict[str, str]:
    """Root's consents to authority links without a handover: `NN/seq` → SHA-256 (hex) of the link's statement.

    Raises DecodeError(metadata.reonboarded) unless it is a table of texts.
    """
    found = root.unrecognized_fields.get(REONBOARDED_FIELD, {})
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise DecodeError("metadata.reonboarded", "root names its consents in an unknown form")
    return dict(found)
