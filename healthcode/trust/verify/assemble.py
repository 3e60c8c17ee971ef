"""From files to a TrustView: the one way in which signed bytes become belief.

`TrustFiles` is what a generation on disk holds, `TrustState` the same, verified. Opening a
folder and refreshing it use the same functions; there is no other path into a view.

An issuer is always checked against the head of its own authority chain. Where a registry
serves a chain or a delegation that does not follow from the one accepted last, the
participant keeps its last good files, and a *witness*: the older, signed targets and
participants.json by which they were accepted. So nothing that is not signed is trusted,
not even our own notes, and one province's trouble stays its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.policy.area import AreaRisk, decode_areas
from healthcode.revocation.head import DayEntry
from healthcode.revocation.state import DeltaSource, RevocationState, build_state
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.authority_chain import link_mark, verify_chain
from healthcode.trust.format.delegation import delegator_of, verify_areas_form, verify_delegation
from healthcode.trust.format.documents import AuthorityLink, ParticipantsDocument, Retirement
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    RISK_PATH,
    TrustLimits,
    authority_role,
    list_file,
    live_role,
)
from healthcode.trust.format.metadata import (
    Targets,
    decode_metadata,
    expires_at,
    reonboarded_in,
    signing_keys,
    verify_threshold,
)
from healthcode.trust.verify.issuer import (
    AuthorityPart,
    LivePart,
    verify_authority_part,
    verify_live_part,
    verify_target,
)
from healthcode.trust.verify.national import National, NationalFiles, verify_national, verify_participants
from healthcode.trust.verify.tls_ca import published_anchors, select_anchors, verify_anchors
from healthcode.trust.view import IssuerKey, IssuerView, TrustView

__all__ = [
    "AreaFiles",
    "AreaTrust",
    "IssuerFiles",
    "IssuerTrust",
    "ListKeeper",
    "ListReader",
    "Rejected",
    "TrustFiles",
    "TrustState",
    "Witness",
    "accepted_chain",
    "assemble",
    "listed_chain",
    "verify_areas",
    "verify_issuer",
    "verify_issuer_anchors",
    "view_of",
]

_LIMITS = TrustLimits()

ListReader = Callable[[str, int], bytes]
"""Reads a list by (SHA-256 in hex, most bytes); what it gives is checked by whoever asks."""

ListKeeper = Callable[[str, bytes], None]
"""Takes a list that was not read but made, of the one held before and a delta."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A participant (or "areas") whose newest files were refused; its last good ones serve on."""

    participant: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Witness:
    """Signed evidence of an older authority chain: targets metadata and the participants.json it signs."""

    targets: bytes
    participants: bytes


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
class AreaFiles:
    """Metadata of the role `areas`, and areas/risk.json."""

    metadata: bytes
    risk: bytes


@dataclass(frozen=True, slots=True)
class TrustFiles:
    """All files of a generation but the lists, which are named by the heads.

    `witnesses` is by participant, for those whose accepted chain is not the one that the
    national files give now. `rejected` is for an operator to read; nothing rests on it.
    `sightings` says when an authority link that must wait was seen first, by
    `NN/<digest>`: a note of our own, which can only delay.
    """

    national: NationalFiles
    areas: AreaFiles | None
    issuers: Mapping[str, IssuerFiles]
    witnesses: Mapping[str, Witness] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()
    sightings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AreaTrust:
    """areas/risk.json, verified."""

    files: AreaFiles
    version: int
    expires: int
    risk: AreaRisk


@dataclass(frozen=True, slots=True)
class IssuerTrust:
    """A participant, verified under `link`, the head of its accepted chain."""

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


@dataclass(frozen=True, slots=True)
class TrustState:
    """A whole generation, verified."""

    files: TrustFiles
    national: National
    areas: AreaTrust | None
    issuers: Mapping[str, IssuerTrust]
    view: TrustView


def listed_chain(document: ParticipantsDocument, participant: str) -> tuple[AuthorityLink, ...]:
    """The chain that a participants.json gives for a participant; empty when it names none."""
    entry = document.participants.get(participant)
    return () if entry is None else entry.chain


def accepted_chain(
    national: National, witness: Witness | None, participant: str, limits: TrustLimits = _LIMITS
) -> tuple[AuthorityLink, ...]:
    """The chain that was accepted for a participant: its witness's, or the one that is current.

    Raises SignatureError or TrustError when the witness, or the chain in it, does not hold.
    """
    document = national.participants if witness is None else _witnessed(national, witness, limits)
    chain = listed_chain(document, participant)
    if chain:
        verify_chain(participant, chain, national.realm, reonboarded_in(national.root))
    return chain


def _witnessed(national: National, witness: Witness, limits: TrustLimits) -> ParticipantsDocument:
    metadata = decode_metadata(witness.targets, Targets, limits.targets_bytes)
    failure: HealthcodeError | None = None
    for root in reversed(national.roots):
        try:
            verify_threshold(root, "targets", metadata)
        except HealthcodeError as error:
            failure = failure or error
        else:
            return verify_participants(metadata.signed, witness.participants, national.realm, limits)
    raise failure or TrustError("no root vouches for the witness of an older chain")


def verify_issuer(
    participant: str,
    link: AuthorityLink,
    files: IssuerFiles,
    national: National,
    read_list: ListReader,
    *,
    keep_list: ListKeeper | None = None,
    previous: IssuerTrust | None = None,
    limits: TrustLimits = _LIMITS,
) -> IssuerTrust:
    """Check all that a participant published against the head of its chain; lists that did not change are kept.

    With `keep_list` a changed list comes by its delta where that is shorter.

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

        def fetch(entry: DayEntry) -> bytes:
            if entry.full_bytes > limits.list_bytes:
                raise TrustError(
                    f"participant {participant} names a list of {entry.full_bytes} bytes; "
                    f"{limits.list_bytes} are allowed",
                    reason=Reason.LIST_TOO_LARGE,
                )
            return read_list(list_file(entry.full_sha256.hex()), entry.full_bytes)

        before = None if previous is None else previous.revocations
        deltas = None
        if keep_list is not None:
            deltas = DeltaSource(
                lambda delta: read_list(list_file(delta.sha256.hex()), delta.byte_count),
                lambda entry, data: keep_list(list_file(entry.full_sha256.hex()), data),
            )
        state = build_state(live.head, fetch, previous=before, deltas=deltas)
    view = _issuer_view(authority, live, state)
    if files.live_metadata is not None and live is not None:
        view = replace(view, live_sha256=hashlib.sha256(files.live_metadata).digest())
    return IssuerTrust(files, link, authority, live, state, view)


def _issuer_view(
    authority: AuthorityPart, live: LivePart | None, state: RevocationState | None
) -> IssuerView:
    document = authority.document
    keys = {
        key.kid: IssuerKey(key.kid, key.public, key.alg, key.purpose, key.not_before, key.not_after)
        for key in document.keys
    }
    return IssuerView(
        code=authority.participant,
        keys=MappingProxyType(keys),
        tls_ca=document.tls_ca,
        endpoints=MappingProxyType(dict(document.endpoints)),
        revocations=state,
        live_signed_at=None if live is None else live.signed_at,
        live_expires=None if live is None else live.expires,
        province_version=authority.version,
        province_expires=authority.expires,
        live_version=None if live is None else live.version,
        head_version=None if live is None else live.head.version,
        name=document.name,
        live_keys=signing_keys(authority.targets, live_role(authority.participant))[0],
        province_sha256=authority.province_sha256,
    )


def verify_issuer_anchors(previous: TrustState, national: National, issuer: IssuerTrust) -> None:
    """Check that a new publication claims no CA subject that another participant holds.

    Raises as verify_anchors. An entry that is no certificate is not looked at: it is left out.
    """
    held = {code: each.authority.document.tls_ca for code, each in previous.issuers.items()}
    verify_anchors(
        issuer.authority.participant,
        issuer.authority.document.tls_ca,
        published_anchors(national.participants.services, held),
    )


def verify_areas(
    files: AreaFiles, national: National, previous: AreaTrust | None = None, limits: TrustLimits = _LIMITS
) -> AreaTrust:
    """Check the area risk under the role that targets delegates. Raises SignatureError, TrustError, DecodeError."""
    metadata = decode_metadata(files.metadata, Targets, limits.province_metadata_bytes)
    signing_keys(national.targets, AREAS_ROLE)
    verify_threshold(national.targets, AREAS_ROLE, metadata)
    if previous is not None and previous.files == files:
        return previous
    verify_areas_form(metadata.signed)
    verify_target(metadata.signed, RISK_PATH, files.risk)
    return AreaTrust(files, metadata.signed.version, expires_at(metadata.signed), decode_areas(files.risk))


def assemble(files: TrustFiles, read_list: ListReader, limits: TrustLimits = _LIMITS) -> TrustState:
    """Verify a whole generation, without network or clock.

    One file that does not hold refuses the whole: an older generation may serve. Raises
    HealthcodeError of the kind that says what is wrong.
    """
    national = verify_national(files.national, limits)
    areas = None if files.areas is None else verify_areas(files.areas, national, limits=limits)
    _not_above(national, AREAS_ROLE, None if areas is None else areas.version)
    issuers: dict[str, IssuerTrust] = {}
    for participant, issuer_files in files.issuers.items():
        witness = files.witnesses.get(participant)
        chain = accepted_chain(national, witness, participant, limits)
        if not chain:
            raise TrustError(f"no chain was ever accepted for participant {participant}")
        if witness is None:
            verify_delegation(national.targets, participant, chain[-1])
        issuer = verify_issuer(participant, chain[-1], issuer_files, national, read_list, limits=limits)
        _not_above(national, authority_role(participant), issuer.authority.version)
        _not_above(national, live_role(participant), None if issuer.live is None else issuer.live.version)
        issuers[participant] = issuer
    return TrustState(files, national, areas, issuers, view_of(files, national, areas, issuers))


def _not_above(national: National, role: str, version: int | None) -> None:
    """A role held back stands below snapshot; one above it is a mix of two moments."""
    if version is not None and version > (national.version_of(role) or 0):
        raise TrustError(
            f"{role} is at version {version}, which snapshot does not know", reason=Reason.TRUST_MIXED
        )


def _retiring(view: IssuerView, retirement: Retirement) -> IssuerView:
    """The view of a participant that leaves: no window of a code key reaches beyond its last signature."""
    until = retirement.signs_until
    keys = {
        kid: replace(key, not_after=min(key.not_after, until))
        if key.purpose in (KeyPurpose.LIVE, KeyPurpose.PAPER)
        else key
        for kid, key in view.keys.items()
    }
    return replace(view, keys=MappingProxyType(keys), signs_until=until, codes_until=retirement.codes_until)


def view_of(
    files: TrustFiles, national: National, areas: AreaTrust | None, issuers: Mapping[str, IssuerTrust]
) -> TrustView:
    """The view of what was verified."""
    expiries = [
        expires_at(each) for each in (national.root, national.timestamp, national.snapshot, national.targets)
    ]
    if areas is not None:
        expiries.append(areas.expires)
    for issuer in issuers.values():
        expiries.append(issuer.authority.expires)
        if issuer.live is not None:
            expiries.append(issuer.live.expires)
    services = national.participants.services
    documents = {code: issuers[code].authority.document for code in sorted(issuers)}
    anchors, faults = select_anchors(
        published_anchors(services, {code: each.tls_ca for code, each in documents.items()})
    )
    warnings = [f"{each.participant}: {each.message} ({each.reason})" for each in files.rejected]
    warnings += [f"{each.owner}: {each.message}" for each in faults]
    entries = national.participants.participants
    views = {code: replace(issuers[code].view, tls_ca=anchors[code]) for code in documents}
    retirements = {code: entry.retirement for code, entry in entries.items() if entry.retirement is not None}
    for code, retirement in retirements.items():
        if code not in views:
            continue  # it is over: its delegation was taken back
        views[code] = _retiring(views[code], retirement)
        warnings.append(
            f"participant {code} retires: it signs no code from {rfc3339(retirement.signs_until)} on, and its "
            f"codes end by {rfc3339(retirement.codes_until)}"
        )
    return TrustView(
        realm=national.realm,
        root_version=national.root.version,
        timestamp_version=national.timestamp.version,
        snapshot_version=national.snapshot.version,
        targets_version=national.targets.version,
        timestamp_signed_at=national.timestamp_signed_at,
        issuers=MappingProxyType(views),
        policy=national.policy,
        areas=AreaRisk() if areas is None else areas.risk,
        services=MappingProxyType(dict(services)),
        earliest_expiry=min(expiries),
        warnings=tuple(warnings),
        areas_version=None if areas is None else areas.version,
        authorities={
            code: (entry.chain[-1].seq, link_mark(entry.chain[-1])) for code, entry in entries.items()
        },
        retirements=MappingProxyType(retirements),
        held_back=MappingProxyType({each.participant: each.reason for each in files.rejected}),
    )
