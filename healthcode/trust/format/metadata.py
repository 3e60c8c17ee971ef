"""TUF metadata read, signed and checked: who has signed what, until when. New metadata is made in drafting.py.

Timestamp and live metadata carry a signed time, `healthcode.signed_at` (RFC 3339), by
which freshness is told; root carries the realm, `healthcode.realm`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError, SerializationError

from healthcode.clock import parse_rfc3339
from healthcode.errors import DecodeError, Reason, SignatureError
from healthcode.identity.realm import check_realm
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.strict_json import load_json
from healthcode.trust.format.layout import (
    BOOTSTRAPS_FIELD,
    LIVE_POSSESSION_FIELD,
    REALM_FIELD,
    REONBOARDED_FIELD,
    SIGNED_AT_FIELD,
    participant_of_role,
)

__all__ = [
    "Metadata",
    "Root",
    "Signed",
    "Snapshot",
    "Targets",
    "Timestamp",
    "begins_anew",
    "bootstraps_in",
    "decode_metadata",
    "expires_at",
    "live_possession_in",
    "public_of",
    "realm_of",
    "reonboarded_in",
    "sign_metadata",
    "signed_at",
    "signing_keys",
    "target_of",
    "to_bytes",
    "tuf_key",
    "tuf_signer",
    "verify_threshold",
]

_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_Payload = TypeVar("_Payload", Root, Snapshot, Targets, Timestamp)


class _Ed25519Signer(Signer):
    """Signs TUF metadata with a key of ours, which never leaves `signing`."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._public = tuf_key(key.public)

    @property
    def public_key(self) -> Key:
        return self._public

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> _Ed25519Signer:
        raise NotImplementedError("keys are read by healthcode.signing.keyfile")

    def sign(self, payload: bytes) -> Signature:
        return Signature(self._public.keyid, self._key.sign(payload).hex())


def tuf_key(public: bytes) -> Key:
    """The TUF form of an Ed25519 public key (32 bytes). Its id follows from the key alone."""
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public))


def public_of(key: Key) -> bytes:
    """The 32 bytes of a TUF key. Raises DecodeError unless it is Ed25519 under its own id."""
    text = key.keyval.get("public")
    if key.keytype == "ed25519" and key.scheme == "ed25519" and isinstance(text, str) and len(text) == 64:
        try:
            public = bytes.fromhex(text)
        except ValueError as error:
            raise DecodeError("metadata.key", "a key of the metadata is not hex") from error
        if tuf_key(public).keyid == key.keyid:
            return public
    raise DecodeError("metadata.key", f"key {key.keyid[:16]} is not an Ed25519 key under its own id")


def tuf_signer(key: PrivateKey) -> Signer:
    """A securesystemslib signer over our own private key."""
    return _Ed25519Signer(key)


def sign_metadata(metadata: Metadata[Any], key: PrivateKey) -> None:
    """Add the signature of `key` to `metadata`, beside those it has."""
    metadata.sign(tuf_signer(key), append=True)


def to_bytes(metadata: Metadata[Any]) -> bytes:
    """The file of `metadata`. Write it once: hashes are over these bytes."""
    return metadata.to_bytes()


def decode_metadata(data: bytes, payload: type[_Payload], max_bytes: int = 1_048_576) -> Metadata[_Payload]:
    """Untrusted bytes as metadata of one type; its signatures are not checked yet.

    Raises DecodeError: those of load_json, and metadata.format, metadata.type.
    """
    raw = load_json(data, max_bytes)
    try:
        version = raw["signed"]["version"]
        metadata: Metadata[_Payload] = Metadata.from_bytes(data)
    except (DeserializationError, RepositoryError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise DecodeError("metadata.format", f"not TUF metadata of type {payload.type}") from error
    # the class is chosen by a field of the file, so it is checked against what was asked for
    if metadata.signed.type != payload.type:
        raise DecodeError("metadata.type", f"metadata of type {metadata.signed.type}, not {payload.type}")
    # python-tuf takes null for 1, and any number
    if type(version) is not int:
        raise DecodeError("metadata.format", "the version of the metadata is not a whole number")
    return metadata


def verify_threshold(delegator: Root | Targets, role: str, metadata: Metadata[Any]) -> None:
    """Check that `metadata` bears enough signatures of the keys that `delegator` names for `role`.

    Raises SignatureError(SIGNATURE_THRESHOLD), which names the keys that did not sign;
    DecodeError for metadata that has no canonical form (a fraction, half a surrogate pair).
    """
    try:
        payload = metadata.signed_bytes
    except SerializationError as error:
        raise DecodeError("metadata.format", f"this metadata of {role} has no canonical form") from error
    try:
        result = delegator.get_verification_result(role, payload, metadata.signatures)
    except ValueError as error:
        raise SignatureError(
            f"nobody delegated the role {role}", reason=Reason.SIGNATURE_THRESHOLD
        ) from error
    # one key under two ids is one signature
    signers = {repr(sorted(key.keyval.items())) for key in result.signed.values()}
    if len(signers) < result.threshold:
        missing = ", ".join(_called(role, result.unsigned)) or "none is known"
        raise SignatureError(
            f"{role} version {metadata.signed.version} has {len(signers)} of the {result.threshold} valid "
            f"signatures it needs; no valid signature by {missing}",
            reason=Reason.SIGNATURE_THRESHOLD,
        )


def _called(role: str, keys: Mapping[str, Key]) -> list[str]:
    """How keys are called where people read: a participant's by kid, as its own commands do, else by id."""
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
        raise DecodeError("metadata.key", f"the keys of {role} are not all there") from error
    return frozenset(map(public_of, keys)), found.threshold


def realm_of(root: Root) -> str:
    """The realm that a root names. Raises InvalidInputError unless it names one."""
    realm = root.unrecognized_fields.get(REALM_FIELD)
    return check_realm(realm if isinstance(realm, str) else "")


def signed_at(signed: Signed) -> int:
    """When timestamp or live metadata was signed. Raises DecodeError(metadata.signed_at)."""
    try:
        return parse_rfc3339(signed.unrecognized_fields[SIGNED_AT_FIELD])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DecodeError("metadata.signed_at", "the metadata does not say when it was signed") from error


def live_possession_in(province: Targets) -> dict[str, bytes] | None:
    """By key id, the proofs of possession of the live keys that a participant's authority delegates to.

    None when there is no such field. Raises DecodeError(metadata.live_possession) unless it is a
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
            "the live key's proof of possession is in a form that is not known here",
        )
    return {keyid: bytes.fromhex(proof) for keyid, proof in found.items()}


def expires_at(signed: Signed) -> int:
    """When metadata expires, in seconds."""
    return int(signed.expires.timestamp())


def target_of(targets: Targets, path: str) -> TargetFile | None:
    """What a role says about the file at `path` (length, hashes), if it lists it itself."""
    found: TargetFile | None = targets.targets.get(path)
    return found


def bootstraps_in(root: Root) -> dict[str, str]:
    """Where the row of roots began anew: version → fingerprint of the root before, which did not sign it.

    Each later root repeats it. Raises DecodeError(metadata.bootstraps) unless it is such a table.
    """
    found = root.unrecognized_fields.get(BOOTSTRAPS_FIELD, {})
    if not isinstance(found, dict) or not all(
        version.isascii() and version.isdecimal() and isinstance(after, str)
        for version, after in found.items()
    ):
        raise DecodeError("metadata.bootstraps", "root names its bootstraps in a form that is not known here")
    return dict(found)


def begins_anew(root: Root, before: str) -> bool:
    """Whether a root says of itself that it begins anew after the one of the fingerprint `before`."""
    return bootstraps_in(root).get(str(root.version)) == before


def reonboarded_in(root: Root) -> dict[str, str]:
    """Root's consents to authority links without a handover: `NN/seq` → SHA-256 (hex) of the link's statement.

    Raises DecodeError(metadata.reonboarded) unless it is a table of texts.
    """
    found = root.unrecognized_fields.get(REONBOARDED_FIELD, {})
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise DecodeError("metadata.reonboarded", "root names its consents in a form that is not known here")
    return dict(found)
