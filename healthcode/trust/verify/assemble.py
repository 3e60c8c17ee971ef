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

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from healthcode.clock import rfc3339
from healthcode.errors import Reason, TrustError
from healthcode.policy.area import AreaRisk
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.authority_chain import link_mark
from healthcode.trust.format.delegation import (
    verify_delegation,
)
from healthcode.trust.format.json_files import (
    Retirement,
)
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    TrustLimits,
    authority_role,
    live_role,
)
from healthcode.trust.format.metadata import (
    expires_at,
)
from healthcode.trust.verify.accepted_chain import accepted_chain
from healthcode.trust.verify.issuer_trust import IssuerTrust, ListReader, verify_issuer
from healthcode.trust.verify.national import (
    National,
    verify_national,
)
from healthcode.trust.verify.tls_ca import (
    published_tls_cas,
    select_tls_cas,
)
from healthcode.trust.verify.trust_state import AreaTrust, TrustFiles, TrustState, verify_areas
from healthcode.trust.view import (
    IssuerView,
    TrustView,
)

__all__ = ["assemble", "view_of"]


_LIMITS = TrustLimits()


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
    anchors, faults = select_tls_cas(
        published_tls_cas(services, {code: each.tls_ca for code, each in documents.items()})
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
