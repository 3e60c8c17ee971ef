"""bundle.json, authority → node: a request as the authority signs it, complete or not."""

from __future__ import annotations

import hashlib

from healthcode.clock import rfc3339
from healthcode.errors import InvalidInputError
from healthcode.signing.ed25519 import kid
from healthcode.trust.format.delegation import delegator_of
from healthcode.trust.format.json_files import OfficersReference, ProvinceFile, ProvinceKey
from healthcode.trust.format.layout import authority_role, live_role
from healthcode.trust.format.metadata import Targets, decode_metadata, signing_keys
from healthcode.trust.verify.admission import CurrentProvince, check_province_publication
from healthcode.trust.verify.issuer import AuthorityPart, verify_authority_content
from healthcode.trust.verify.join_request import JoinRequest, decode_join_request

__all__ = [
    "bundle_digest",
    "decode_bundle",
    "describe_change",
    "missing_signatures",
    "verify_bundle",
    "verify_bundle_content",
]


_REQUEST_MARK = b'"format":"healthcode/province-request/1"'


def decode_bundle(data: bytes) -> JoinRequest:
    """Untrusted bytes as a bundle, complete or not. Raises DecodeError; InvalidInputError for an unsigned request."""
    if _REQUEST_MARK in data:
        raise InvalidInputError(
            "this is an unsigned request, not a bundle: `province-node authority sign --request FILE` makes a bundle "
            "of it"
        )
    return decode_join_request(data)


def bundle_digest(bundle: JoinRequest) -> str:
    """SHA-256, hex, of the bytes that every key holder signs: they compare it by reading it out."""
    return hashlib.sha256(decode_metadata(bundle.metadata, Targets).signed_bytes).hexdigest()


def missing_signatures(bundle: JoinRequest) -> int:
    """How many valid signatures by keys of the link the bundle still needs; 0 when it is complete."""
    role = authority_role(bundle.participant)
    metadata = decode_metadata(bundle.metadata, Targets)
    result = delegator_of(bundle.participant, bundle.link).get_verification_result(
        role, metadata.signed_bytes, metadata.signatures
    )
    return max(0, result.threshold - len(result.signed))


def verify_bundle(bundle: JoinRequest, now: int) -> AuthorityPart:
    """Verifies a complete bundle as the registry will, except for the order of versions.

    Raises SignatureError, TrustError, DecodeError, PreconditionError.
    """
    version = decode_metadata(bundle.metadata, Targets).signed.version
    return check_province_publication(
        bundle.participant,
        CurrentProvince(authority_version=version - 1),
        delegator_of(bundle.participant, bundle.link),
        bundle.metadata,
        bundle.province_json,
        bundle.realm,
        now,
    )


def verify_bundle_content(bundle: JoinRequest) -> AuthorityPart:
    """Verifies all of a bundle except its signatures: the metadata names this province.json and nothing else.

    Raises TrustError, DecodeError, SignatureError (a key without proof of possession).
    """
    # only the metadata is signed: call this before a key holder is shown anything of the bundle
    metadata = decode_metadata(bundle.metadata, Targets)
    return verify_authority_content(bundle.participant, metadata.signed, bundle.province_json, bundle.realm)


def describe_change(before: AuthorityPart | None, after: AuthorityPart) -> list[str]:
    """What `after` changes, a line each: `+` is added, `-` is removed, `~` is changed."""
    lines = _describe_province_file(None if before is None else before.province, after.province)
    new = _live_key(after)
    old = None if before is None else _live_key(before)
    if old is None:
        lines.append(f"+ {new}")
    elif old != new:
        lines.append(f"~ {old}  becomes  {new}")
    return lines


def _live_key(part: AuthorityPart) -> str:
    """The live key, which may revoke."""
    keys, threshold = signing_keys(part.targets, live_role(part.participant))
    return f"HEAD key {', '.join(sorted(kid(key).hex() for key in keys))} ({threshold} of {len(keys)})"


def _describe_province_file(before: ProvinceFile | None, after: ProvinceFile) -> list[str]:
    old_keys = {key.kid: key for key in before.keys} if before is not None else {}
    new_keys = {key.kid: key for key in after.keys}
    lines = [f"+ {_key_line(key)}" for key in after.keys if key.kid not in old_keys]
    lines += [f"- {_key_line(key)}" for code, key in old_keys.items() if code not in new_keys]
    lines += [
        f"~ {_key_line(old_keys[key.kid])}  becomes  {_key_line(key)}"
        for key in after.keys
        if key.kid in old_keys and old_keys[key.kid] != key
    ]
    old_ca = {_fingerprint(pem) for pem in before.tls_ca} if before is not None else set()
    new_ca = {_fingerprint(pem) for pem in after.tls_ca}
    lines += [f"+ TLS CA {name}" for name in sorted(new_ca - old_ca)]
    lines += [f"- TLS CA {name}" for name in sorted(old_ca - new_ca)]
    old_ends = dict(before.endpoints) if before is not None else {}
    new_ends = dict(after.endpoints)
    lines += [f"+ endpoint {name} {new_ends[name]}" for name in sorted(new_ends.keys() - old_ends.keys())]
    lines += [f"- endpoint {name} {old_ends[name]}" for name in sorted(old_ends.keys() - new_ends.keys())]
    lines += [
        f"~ endpoint {name} {old_ends[name]}  becomes  {new_ends[name]}"
        for name in sorted(old_ends.keys() & new_ends.keys())
        if old_ends[name] != new_ends[name]
    ]
    old_officers = None if before is None else before.officers
    if old_officers != after.officers:
        lines.append(f"~ officers file {_officers(old_officers)}  becomes  {_officers(after.officers)}")
    return lines


def _officers(reference: OfficersReference | None) -> str:
    """`authority officers show` prints the same digest."""
    return "none" if reference is None else f"version {reference.version}, sha256:{reference.sha256.hex()}"


def _key_line(key: ProvinceKey) -> str:
    return f"{key.purpose} key {key.kid.hex()} from {rfc3339(key.not_before)} until {rfc3339(key.not_after)}"


def _fingerprint(pem: str) -> str:
    return f"sha256:{hashlib.sha256(pem.encode()).hexdigest()[:32]} (of the PEM)"
