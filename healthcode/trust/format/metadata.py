"""TUF metadata: decode, sign, and verify signatures. New metadata is made in new_metadata.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError, SerializationError

from healthcode.errors import DecodeError, Reason, SignatureError
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.strict_json import load_json
from healthcode.trust.format.layout import participant_of_role
from healthcode.trust.format.tuf_keys import public_of, tuf_signer

__all__ = [
    "Metadata",
    "Root",
    "Signed",
    "Snapshot",
    "Targets",
    "Timestamp",
    "decode_metadata",
    "expires_at",
    "sign_metadata",
    "signing_keys",
    "target_of",
    "to_bytes",
    "verify_threshold",
]

_MAX_VERSION = (1 << 53) - 1  # what any language reads exactly
_Payload = TypeVar("_Payload", Root, Snapshot, Targets, Timestamp)


def sign_metadata(metadata: Metadata[Any], key: PrivateKey) -> None:
    """Add the signature of `key` to those that `metadata` has."""
    metadata.sign(tuf_signer(key), append=True)


def to_bytes(metadata: Metadata[Any]) -> bytes:
    """The file of `metadata`. Write it once: hashes are over these bytes."""
    return metadata.to_bytes()


def decode_metadata(data: bytes, payload: type[_Payload], max_bytes: int = 1_048_576) -> Metadata[_Payload]:
    """Untrusted bytes as metadata of one type. Its signatures are not verified.

    Raises DecodeError: those of load_json, and metadata.format, metadata.type.
    """
    raw = load_json(data, max_bytes)
    try:
        version = raw["signed"]["version"]
        metadata: Metadata[_Payload] = Metadata.from_bytes(data)
    except (DeserializationError, RepositoryError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DecodeError("metadata.format", f"not TUF metadata of type {payload.type}") from error
    # python-tuf chooses the class by a field of the file, so check that it is the class asked for
    if metadata.signed.type != payload.type:
        raise DecodeError("metadata.type", f"metadata of type {metadata.signed.type}, not {payload.type}")
    # python-tuf accepts null as 1, and fractions
    for each in (version, *_named_versions(metadata.signed)):
        if type(each) is not int or each > _MAX_VERSION:
            raise DecodeError("metadata.format", "a version of the metadata is not a whole number below 2^53")
    return metadata


def _named_versions(signed: Signed) -> list[Any]:
    """The versions of other metadata that a timestamp or a snapshot names."""
    if isinstance(signed, Timestamp):
        return [signed.snapshot_meta.version]
    return [named.version for named in signed.meta.values()] if isinstance(signed, Snapshot) else []


def verify_threshold(delegator: Root | Targets, role: str, metadata: Metadata[Any]) -> None:
    """Check that enough keys that `delegator` names for `role` signed `metadata`.

    Raises SignatureError(SIGNATURE_THRESHOLD), which names the keys that did not sign;
    DecodeError if the metadata has no canonical form (a fraction, half a surrogate pair).
    """
    try:
        payload = metadata.signed_bytes
    except SerializationError as error:
        raise DecodeError("metadata.format", f"this metadata of {role} has no canonical form") from error
    try:
        result = delegator.get_verification_result(role, payload, metadata.signatures)
    except ValueError as error:
        raise SignatureError(f"no role delegates to {role}", reason=Reason.SIGNATURE_THRESHOLD) from error
    # one key under two ids is one signature
    signers = {repr(sorted(key.keyval.items())) for key in result.signed.values()}
    if len(signers) < result.threshold:
        missing = ", ".join(_key_names(role, result.unsigned)) or "none is known"
        raise SignatureError(
            f"{role} version {metadata.signed.version} has {len(signers)} of the {result.threshold} valid "
            f"signatures it needs; no valid signature by {missing}",
            reason=Reason.SIGNATURE_THRESHOLD,
        )


def _key_names(role: str, keys: Mapping[str, Key]) -> list[str]:
    """Names of keys for an error message: a participant's by kid, as its own commands print it, others by key id."""
    if participant_of_role(role) is None:
        return sorted(keyid[:16] for keyid in keys)
    try:
        return sorted(f"kid {kid(public_of(key)).hex()}" for key in keys.values())
    except DecodeError:
        return sorted(keyid[:16] for keyid in keys)


def signing_keys(delegator: Root | Targets, role: str) -> tuple[frozenset[bytes], int]:
    """(public keys, threshold) that `delegator` names for `role`.

    Raises DecodeError(metadata.key) unless each is an Ed25519 key under its own id.
    """
    try:
        found = delegator.get_delegated_role(role)
        keys = [delegator.get_key(keyid) for keyid in found.keyids]
    except (ValueError, TypeError) as error:
        raise DecodeError("metadata.key", f"some keys of {role} are missing") from error
    return frozenset(map(public_of, keys)), found.threshold


def expires_at(signed: Signed) -> int:
    """When metadata expires, in seconds."""
    return int(signed.expires.timestamp())


def target_of(targets: Targets, path: str) -> TargetFile | None:
    """The entry of the file at `path` (length, hashes) in a role; None if the role does not list it."""
    found: TargetFile | None = targets.targets.get(path)
    return found
