"""One participant's files, verified under the newest link of its authority chain."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from healthcode.errors import Reason, TrustError
from healthcode.revocation.head import DayEntry, Head
from healthcode.revocation.state import DeltaSource, RevocationState, build_state
from healthcode.trust.format.delegation import delegator_of
from healthcode.trust.format.json_files import AuthorityLink
from healthcode.trust.format.layout import TrustLimits, list_file, live_role
from healthcode.trust.format.metadata import signing_keys
from healthcode.trust.verify.issuer import AuthorityPart, LivePart, verify_authority_part, verify_live_part
from healthcode.trust.verify.national import NationalTrust
from healthcode.trust.verify.tls_ca import published_tls_cas, verify_tls_cas
from healthcode.trust.view import IssuerKey, IssuerView

__all__ = ["IssuerFiles", "IssuerTrust", "ListKeeper", "ListReader", "verify_issuer", "verify_issuer_tls_ca"]

_LIMITS = TrustLimits()

ListReader = Callable[[str, int], bytes]
"""Reads a list by (path, most bytes). The caller checks what it returns."""

ListKeeper = Callable[[str, bytes], None]
"""Takes (path, content) of a list that was built from the previous list and a delta."""


@dataclass(frozen=True, slots=True)
class IssuerFiles:
    """What a participant published; the live part may be missing."""

    metadata: bytes
    province_json: bytes
    live_metadata: bytes | None = None
    head: bytes | None = None

    @property
    def authority(self) -> tuple[bytes, bytes]:
        """What the participant's authority signed."""
        return self.metadata, self.province_json


@dataclass(frozen=True, slots=True)
class IssuerTrust:
    """A participant, verified under `link`, the newest link of its accepted chain."""

    files: IssuerFiles
    link: AuthorityLink
    authority: AuthorityPart
    live: LivePart | None
    revocations: RevocationState | None
    view: IssuerView

    @property
    def list_digests(self) -> tuple[str, ...]:
        """SHA-256 (hex) of each list that the head names."""
        if self.live is None:
            return ()
        return tuple(entry.full_sha256.hex() for entry in self.live.head.days.values())


def verify_issuer(
    participant: str,
    link: AuthorityLink,
    files: IssuerFiles,
    national: NationalTrust,
    read_list: ListReader,
    *,
    keep_list: ListKeeper | None = None,
    previous: IssuerTrust | None = None,
    limits: TrustLimits = _LIMITS,
) -> IssuerTrust:
    """Check everything that a participant published; parts that equal those of `previous` are not checked again.

    With `keep_list`, a changed list is built from its delta if the delta is shorter.

    Raises SignatureError, TrustError, DecodeError, and what `read_list` raises.
    """
    if previous is not None and previous.link == link and previous.files == files:
        return previous
    realm = national.realm
    if previous is not None and previous.link == link and previous.files.authority == files.authority:
        authority = previous.authority
    else:
        authority = verify_authority_part(
            participant, delegator_of(participant, link), *files.authority, realm, limits
        )
    live: LivePart | None = None
    state: RevocationState | None = None
    if files.live_metadata is not None and files.head is not None:
        live = verify_live_part(authority, files.live_metadata, files.head, realm, limits)
        before = None if previous is None else previous.revocations
        state = _read_revocations(participant, live.head, read_list, keep_list, before, limits)
    view = _issuer_view(authority, live, state)
    if files.live_metadata is not None and live is not None:
        view = replace(view, live_sha256=hashlib.sha256(files.live_metadata).digest())
    return IssuerTrust(files, link, authority, live, state, view)


def _read_revocations(
    participant: str,
    head: Head,
    read_list: ListReader,
    keep_list: ListKeeper | None,
    before: RevocationState | None,
    limits: TrustLimits,
) -> RevocationState:
    def fetch(entry: DayEntry) -> bytes:
        if entry.full_bytes > limits.list_bytes:
            raise TrustError(
                f"participant {participant} names a list of {entry.full_bytes} bytes; "
                f"{limits.list_bytes} are allowed",
                reason=Reason.LIST_TOO_LARGE,
            )
        return read_list(list_file(entry.full_sha256.hex()), entry.full_bytes)

    deltas = None
    if keep_list is not None:
        deltas = DeltaSource(
            lambda delta: read_list(list_file(delta.sha256.hex()), delta.byte_count),
            lambda entry, data: keep_list(list_file(entry.full_sha256.hex()), data),
        )
    return build_state(head, fetch, previous=before, deltas=deltas)


def _issuer_view(
    authority: AuthorityPart, live: LivePart | None, state: RevocationState | None
) -> IssuerView:
    province = authority.province
    keys = {
        key.kid: IssuerKey(key.kid, key.public, key.alg, key.purpose, key.not_before, key.not_after)
        for key in province.keys
    }
    return IssuerView(
        code=authority.participant,
        keys=MappingProxyType(keys),
        tls_ca=province.tls_ca,
        endpoints=MappingProxyType(dict(province.endpoints)),
        revocations=state,
        live_signed_at=None if live is None else live.signed_at,
        live_expires=None if live is None else live.expires,
        province_version=authority.version,
        province_expires=authority.expires,
        live_version=None if live is None else live.version,
        head_version=None if live is None else live.head.version,
        name=province.name,
        live_keys=signing_keys(authority.targets, live_role(authority.participant))[0],
        province_sha256=authority.province_sha256,
        officers=province.officers,
        checkpoint=None if live is None else live.checkpoint,
    )


def verify_issuer_tls_ca(
    held: Mapping[str, IssuerTrust], national: NationalTrust, issuer: IssuerTrust
) -> None:
    """Check that a new publication claims no CA subject of another participant in `held`.

    Raises as verify_tls_cas. An entry that is no certificate is ignored: the view leaves it out.
    """
    before = {code: each.authority.province.tls_ca for code, each in held.items()}
    verify_tls_cas(
        issuer.authority.participant,
        issuer.authority.province.tls_ca,
        published_tls_cas(national.participants.services, before),
    )
