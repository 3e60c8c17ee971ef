"""Making and checking TUF metadata: who signs what, until when.

The registry, the authorities and the nodes all make their metadata here, so that the
roles, patterns and expiries of trust/layout.py hold by construction. Timestamp and live
metadata carry a signed time, `healthcode.signed_at` (RFC 3339), by which freshness is
told; root carries the realm, `healthcode.realm`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError, SerializationError

from healthcode.clock import parse_rfc3339, rfc3339
from healthcode.errors import DecodeError, Reason, SignatureError
from healthcode.identity.realm import check_realm
from healthcode.signing.ed25519 import PrivateKey
from healthcode.strict_json import load_json
from healthcode.trust.layout import (
    AREAS_PATTERN,
    AREAS_ROLE,
    BOOTSTRAPS_FIELD,
    REALM_FIELD,
    REONBOARDED_FIELD,
    SIGNED_AT_FIELD,
    authority_role,
    expiry_seconds,
    head_path,
    live_pattern,
    live_role,
    province_path,
    province_patterns,
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
    "new_areas_metadata",
    "new_live_metadata",
    "new_province_metadata",
    "new_root",
    "new_snapshot",
    "new_targets",
    "new_timestamp",
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
    "with_areas_key",
    "with_bootstrap",
    "with_province",
    "with_root",
    "with_targets",
    "without_province",
]

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
    return sorted(f"kid {kid(public_of(key)).hex()}" for key in keys.values())


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


def expires_at(signed: Signed) -> int:
    """When metadata expires, in seconds."""
    return int(signed.expires.timestamp())


def target_of(targets: Targets, path: str) -> TargetFile | None:
    """What a role says about the file at `path` (length, hashes), if it lists it itself."""
    found: TargetFile | None = targets.targets.get(path)
    return found


def _expires(role: str, now: int) -> datetime:
    return datetime.fromtimestamp(now + expiry_seconds(role), UTC)


def _role(keys: Sequence[bytes], threshold: int) -> Role:
    return Role([tuf_key(key).keyid for key in keys], threshold)


def _keys(*groups: Sequence[bytes]) -> dict[str, Key]:
    return {key.keyid: key for group in groups for key in map(tuf_key, group)}


def _signed_at_field(now: int) -> dict[str, Any]:
    return {SIGNED_AT_FIELD: rfc3339(now)}


def new_root(
    realm: str,
    *,
    root_keys: Sequence[bytes],
    root_threshold: int,
    operator_keys: Sequence[bytes],
    operator_threshold: int,
    snapshot_keys: Sequence[bytes],
    timestamp_keys: Sequence[bytes],
    now: int,
    version: int = 1,
) -> Metadata[Root]:
    """An unsigned root: who holds the top-level roles, in which realm."""
    return Metadata(
        Root(
            version=version,
            expires=_expires("root", now),
            keys=_keys(root_keys, operator_keys, snapshot_keys, timestamp_keys),
            roles={
                "root": _role(root_keys, root_threshold),
                "targets": _role(operator_keys, operator_threshold),
                "snapshot": _role(snapshot_keys, 1),
                "timestamp": _role(timestamp_keys, 1),
            },
            consistent_snapshot=True,
            unrecognized_fields={REALM_FIELD: check_realm(realm)},
        )
    )


def with_root(
    root: Root,
    changes: Mapping[str, tuple[Sequence[bytes], int]],
    *,
    now: int,
    reonboarded: Mapping[str, str] | None = None,
) -> Metadata[Root]:
    """An unsigned next version of `root`: `changes` gives other (keys, threshold) for a role.

    `reonboarded` adds to root's consents (see trust/link.py), which are never taken back.
    """
    changed = copy.deepcopy(root)
    changed.version += 1
    changed.expires = _expires("root", now)
    for role, (keys, threshold) in changes.items():
        changed.roles[role] = _role(keys, threshold)
        changed.keys.update(_keys(keys))
    used = {keyid for role in changed.roles.values() for keyid in role.keyids}
    changed.keys = {keyid: key for keyid, key in changed.keys.items() if keyid in used}
    consents = {**reonboarded_in(root), **(reonboarded or {})}
    if consents:
        changed.unrecognized_fields[REONBOARDED_FIELD] = consents
    return Metadata(changed)


def with_bootstrap(metadata: Metadata[Root], after: str) -> Metadata[Root]:
    """An unsigned root that says of itself that it begins anew, `after` the root of that fingerprint.

    That root's threshold is lost, so this one is good only for those whom people told its fingerprint.
    """
    changed = copy.deepcopy(metadata.signed)
    changed.unrecognized_fields[BOOTSTRAPS_FIELD] = {**bootstraps_in(changed), str(changed.version): after}
    return Metadata(changed)


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


def new_targets(
    *, version: int, files: Mapping[str, bytes], area_keys: Sequence[bytes], now: int
) -> Metadata[Targets]:
    """Unsigned targets with the national files and the areas role; add provinces by with_province."""
    areas = DelegatedRole(
        AREAS_ROLE, [tuf_key(key).keyid for key in area_keys], 1, terminating=True, paths=[AREAS_PATTERN]
    )
    return Metadata(
        Targets(
            version=version,
            expires=_expires("targets", now),
            targets=_target_files(files),
            delegations=Delegations(_keys(area_keys), {AREAS_ROLE: areas}),
        )
    )


def with_targets(
    targets: Metadata[Targets], *, version: int, files: Mapping[str, bytes], now: int
) -> Metadata[Targets]:
    """An unsigned copy of `targets` at `version`, with `files` replaced, good from `now`."""
    changed = copy.deepcopy(targets.signed)
    changed.version = version
    changed.expires = _expires("targets", now)
    changed.targets.update(_target_files(files))
    return Metadata(changed)


def with_province(
    targets: Metadata[Targets], participant: str, keys: Sequence[bytes], threshold: int
) -> Metadata[Targets]:
    """An unsigned copy of `targets` that delegates to a participant's authority, by exactly these keys.

    Called again for the same participant, it replaces the keys (after a handover).
    """
    changed = copy.deepcopy(targets.signed)
    if changed.delegations is None or changed.delegations.roles is None:
        raise DecodeError("metadata.format", "targets without delegations cannot take a province")
    role = authority_role(participant)
    changed.delegations.roles[role] = DelegatedRole(
        role,
        [tuf_key(key).keyid for key in keys],
        threshold,
        terminating=True,
        paths=list(province_patterns(participant)),
    )
    used = {keyid for each in changed.delegations.roles.values() for keyid in each.keyids}
    known = {**changed.delegations.keys, **_keys(keys)}
    changed.delegations.keys = {keyid: key for keyid, key in known.items() if keyid in used}
    return Metadata(changed)


def without_province(targets: Metadata[Targets], participant: str) -> Metadata[Targets]:
    """An unsigned copy of `targets` that delegates no more to a participant's authority."""
    changed = copy.deepcopy(targets.signed)
    if changed.delegations is None or changed.delegations.roles is None:
        raise DecodeError("metadata.format", "targets without delegations has no province")
    changed.delegations.roles.pop(authority_role(participant), None)
    used = {keyid for each in changed.delegations.roles.values() for keyid in each.keyids}
    changed.delegations.keys = {
        keyid: key for keyid, key in changed.delegations.keys.items() if keyid in used
    }
    return Metadata(changed)


def with_areas_key(targets: Metadata[Targets], public: bytes) -> Metadata[Targets]:
    """An unsigned copy of `targets` that gives the role `areas` to this one key."""
    changed = copy.deepcopy(targets.signed)
    if changed.delegations is None or changed.delegations.roles is None:
        raise DecodeError("metadata.format", "targets without delegations has no areas")
    key = tuf_key(public)
    changed.delegations.roles[AREAS_ROLE].keyids = [key.keyid]
    used = {keyid for each in changed.delegations.roles.values() for keyid in each.keyids}
    known = {**changed.delegations.keys, key.keyid: key}
    changed.delegations.keys = {keyid: found for keyid, found in known.items() if keyid in used}
    return Metadata(changed)


def new_areas_metadata(*, version: int, files: Mapping[str, bytes], now: int) -> Metadata[Targets]:
    """Unsigned metadata of the role `areas`."""
    return Metadata(Targets(version=version, expires=_expires(AREAS_ROLE, now), targets=_target_files(files)))


def new_province_metadata(
    participant: str, *, version: int, province_json: bytes, live_public: bytes, now: int
) -> Metadata[Targets]:
    """Unsigned metadata of a participant's authority: its one file, and its node's live key."""
    key = tuf_key(live_public)
    live = DelegatedRole(
        live_role(participant), [key.keyid], 1, terminating=True, paths=[live_pattern(participant)]
    )
    return Metadata(
        Targets(
            version=version,
            expires=_expires(authority_role(participant), now),
            targets=_target_files({province_path(participant): province_json}),
            delegations=Delegations({key.keyid: key}, {live.name: live}),
        )
    )


def new_live_metadata(participant: str, *, version: int, head: bytes, now: int) -> Metadata[Targets]:
    """Unsigned metadata of a participant's node: its revocation head, and when it was signed."""
    return Metadata(
        Targets(
            version=version,
            expires=_expires(live_role(participant), now),
            targets=_target_files({head_path(participant): head}),
            unrecognized_fields=_signed_at_field(now),
        )
    )


def new_snapshot(*, version: int, versions: Mapping[str, int], now: int) -> Metadata[Snapshot]:
    """Unsigned snapshot: the current version of every role (never drop one, even if retired)."""
    meta = {f"{role}.json": MetaFile(version=current) for role, current in sorted(versions.items())}
    return Metadata(Snapshot(version=version, expires=_expires("snapshot", now), meta=meta))


def new_timestamp(*, version: int, snapshot: bytes, snapshot_version: int, now: int) -> Metadata[Timestamp]:
    """Unsigned timestamp: which snapshot is current, by version, length and hash, and when that was said."""
    return Metadata(
        Timestamp(
            version=version,
            expires=_expires("timestamp", now),
            snapshot_meta=MetaFile.from_data(snapshot_version, snapshot, ["sha256"]),
            unrecognized_fields=_signed_at_field(now),
        )
    )


def _target_files(files: Mapping[str, bytes]) -> dict[str, TargetFile]:
    return {path: TargetFile.from_data(path, data, ["sha256"]) for path, data in files.items()}
