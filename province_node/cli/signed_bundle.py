"""Reads the bundle file that the authority signed for this node."""

from __future__ import annotations

from pathlib import Path

from healthcode.errors import InvalidInputError
from healthcode.storage.reading import read_named
from healthcode.trust.verify.join_request import JoinRequest
from province_node.authority.bundle import decode_bundle, missing_signatures
from province_node.settings import NodeSettings

__all__ = ["MAX_BUNDLE_BYTES", "read_signed_bundle"]

MAX_BUNDLE_BYTES = 262_144


def read_signed_bundle(path: Path, settings: NodeSettings) -> JoinRequest:
    """Raises InvalidInputError if the bundle is for another node or lacks signatures."""
    bundle = decode_bundle(read_named(path, MAX_BUNDLE_BYTES))
    if (bundle.participant, bundle.realm) != (settings.participant, settings.realm):
        raise InvalidInputError(
            f"{path} is for participant {bundle.participant} in realm {bundle.realm}; this node is participant "
            f"{settings.participant} in realm {settings.realm}"
        )
    missing = missing_signatures(bundle)
    if missing:
        raise InvalidInputError(
            f"{path} lacks {missing} {'signature' if missing == 1 else 'signatures'} of the authority: the next key holder "
            f"runs `authority sign --bundle {path.name} --out {path.name}`"
        )
    return bundle
