"""From the files of a generation to a TrustView: the only way in which signed bytes become trusted.

Only opening a folder calls `assemble`; a refresh uses the same verify functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, InternalError, Reason, TrustError
from healthcode.policy.area import AreaRisk
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.format.authority_chain import link_mark
from healthcode.trust.format.delegation import verify_delegation
from healthcode.trust.format.json_files import Retirement
from healthcode.trust.format.layout import AREAS_ROLE, TrustLimits, authority_role, live_role
from healthcode.trust.format.metadata import expires_at
from healthcode.trust.verify.accepted_chain import accepted_chain
from healthcode.trust.verify.issuer_trust import IssuerTrust, ListReader, verify_issuer
from healthcode.trust.verify.national import NationalTrust, verify_national
from healthcode.trust.verify.tls_ca import published_tls_cas, select_tls_cas
from healthcode.trust.verify.trust_state import AreaTrust, TrustFiles, TrustState, newer_files, verify_areas
from healthcode.trust.view import IssuerView, TrustView

__all__ = ["assemble", "view_of"]

_LIMITS = TrustLimits()


def assemble(files: TrustFiles, read_list: ListReader, limits: TrustLimits = _LIMITS) -> TrustState:
    """Verify a whole generation, without network or clock.

    One file that does not verify refuses the whole generation, so that an older one may
    serve. Raises the HealthcodeError of that file.
    """
    national = verify_national(files.national, limits)
    areas = None if files.areas is None else verify_areas(files.areas, national, limits=limits)
    _verify_not_above(national, AREAS_ROLE, None if areas is None else areas.version)
    issuers: dict[str, IssuerTrust] = {}
    for participant in files.issuers:
        try:
            issuers[participant] = _verify_participant(files, national, participant, read_list, limits)
        except HealthcodeError:
            raise
        except Exception as error:
            # as any file that does not verify: it must not keep an older generation from serving
            raise InternalError(
                f"participant {participant}: a fault of ours: {type(error).__name__}; please report it"
            ) from error
    return TrustState(files, national, areas, issuers, view_of(files, national, areas, issuers))


def _verify_participant(
    files: TrustFiles, national: NationalTrust, participant: str, read_list: ListReader, limits: TrustLimits
) -> IssuerTrust:
    """All of one participant's files, under its accepted chain."""
    witness = files.witnesses.get(participant)
    chain = accepted_chain(national, witness, participant, limits)
    if not chain:
        raise TrustError(f"no chain was ever accepted for participant {participant}")
    if witness is None:
        verify_delegation(national.targets, participant, chain[-1])
    issuer = verify_issuer(
        participant, chain[-1], files.issuers[participant], national, read_list, limits=limits
    )
    live_version = None if issuer.live is None else issuer.live.version
    _verify_not_above(national, authority_role(participant), issuer.authority.version)
    _verify_not_above(national, live_role(participant), live_version)
    return issuer


def _verify_not_above(national: NationalTrust, role: str, version: int | None) -> None:
    # A refused role stays below snapshot's version; one above it comes from another moment.
    if version is not None and version > (national.version_of(role) or 0):
        raise TrustError(
            f"{role} is at version {version}, which snapshot does not know", reason=Reason.TRUST_MIXED
        )


def view_of(
    files: TrustFiles, national: NationalTrust, areas: AreaTrust | None, issuers: Mapping[str, IssuerTrust]
) -> TrustView:
    """The view of verified files."""
    services = national.participants.services
    published = {code: issuers[code].authority.province.tls_ca for code in sorted(issuers)}
    tls_cas, faults = select_tls_cas(published_tls_cas(services, published))
    rejected = (*newer_files(national, areas), *files.rejected)
    warnings = [f"{each.participant}: {each.message} ({each.reason})" for each in rejected]
    warnings += [f"{each.owner}: {each.message}" for each in faults]
    entries = national.participants.participants
    views = {code: replace(issuers[code].view, tls_ca=tls_cas[code]) for code in published}
    retirements = {code: entry.retirement for code, entry in entries.items() if entry.retirement is not None}
    for code, retirement in retirements.items():
        if code not in views:
            continue  # the retirement is complete: targets no longer delegates to it
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
        earliest_expiry=min(_expiries(national, areas, issuers)),
        warnings=tuple(warnings),
        areas_version=None if areas is None else areas.version,
        areas_expires=None if areas is None else areas.expires,
        authorities={
            code: (entry.chain[-1].seq, link_mark(entry.chain[-1])) for code, entry in entries.items()
        },
        retirements=MappingProxyType(retirements),
        held_back=MappingProxyType({each.participant: each.reason for each in rejected}),
        kept_until=MappingProxyType(_kept_until(national, areas)),
    )


def _kept_until(national: NationalTrust, areas: AreaTrust | None) -> dict[str, int]:
    found = {"POLICY_NEWER": national.newer_policy, "AREAS_NEWER": None if areas is None else areas.newer}
    return {word: newer.kept_until for word, newer in found.items() if newer is not None}


def _expiries(
    national: NationalTrust, areas: AreaTrust | None, issuers: Mapping[str, IssuerTrust]
) -> Iterator[int]:
    for each in (national.root, national.timestamp, national.snapshot, national.targets):
        yield expires_at(each)
    if areas is not None:
        yield areas.expires
    for issuer in issuers.values():
        yield issuer.authority.expires
        if issuer.live is not None:
            yield issuer.live.expires


def _retiring(view: IssuerView, retirement: Retirement) -> IssuerView:
    """The view of a retiring participant: its code keys end at `signs_until` at the latest."""
    until = retirement.signs_until
    keys = {
        kid: replace(key, not_after=min(key.not_after, until))
        if key.purpose in (KeyPurpose.LIVE, KeyPurpose.PAPER)
        else key
        for kid, key in view.keys.items()
    }
    return replace(view, keys=MappingProxyType(keys), signs_until=until, codes_until=retirement.codes_until)
