"""What several sources hold together, verified from the root down: what a registry can be rebuilt from.

No source needs trust: the chain is checked from the root with the known fingerprint,
without looking at expiry, since the machine may have been dead for a while. The national
files come whole from the newest source that holds; each participant's files from whichever
source has the newest of them that hold. What nobody has is *lacking*: the registry names its
version all the same, and asks the province for it (docs/adr/0016).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from healthcode.errors import HealthcodeError, NotFoundError, RefusedTrustError, TrustError
from healthcode.revocation.head import Head
from healthcode.trust.format.authority_chain import verify_chain
from healthcode.trust.format.delegation import delegated_participants, verify_delegation
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    RISK_PATH,
    authority_role,
    head_path,
    list_file,
    live_role,
    metadata_file,
    participant_of_role,
    province_path,
)
from healthcode.trust.format.metadata_fields import reonboarded_in
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.accepted_chain import listed_chain
from healthcode.trust.verify.issuer_trust import (
    IssuerFiles,
    IssuerTrust,
    verify_issuer,
)
from healthcode.trust.verify.national import National
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.trust.verify.trust_state import AreaFiles, verify_areas
from trust_registry.recovery.survey import Survey, candidates, fetch_roots, place_of, survey
from trust_registry.tree.current import LIMITS
from trust_registry.tree.high_water import HighWater

__all__ = ["Salvage", "salvage"]


@dataclass(frozen=True, slots=True)
class Salvage:
    """A tree that holds. `files` by path; `source` names where the national files are from.

    `high_water`: the highest versions that any source proves were given out. `lacking`: the roles
    whose version nobody had, with that version. `refused`: why a source gave nothing, by its
    name. `missing_deltas`: clients fetch the full list where one is missing.
    """

    source: str
    national: National
    files: Mapping[str, bytes]
    issuers: Mapping[str, IssuerTrust]
    high_water: HighWater
    lacking: Mapping[str, int]
    refused: Mapping[str, str]
    missing_deltas: int


def salvage(sources: Sequence[TrustSource], fingerprint: str) -> Salvage:
    """Takes from `sources` the newest of everything that holds.

    Raises TrustError when none holds the national files, and says of each why; RefusedTrustError
    (ROOT_UNKNOWN) when none has a root with that fingerprint.
    """
    refused: dict[str, str] = {}
    foreign = 0
    roots: dict[str, dict[int, bytes]] = {}
    for source in sources:
        try:
            roots[source.name] = fetch_roots(source)
        except HealthcodeError as error:
            refused[source.name] = error.message
    together = candidates(roots.values())
    found: list[Survey] = []
    for source in sources:
        if source.name in refused:
            continue
        try:
            found.append(survey(source, fingerprint, roots[source.name], together))
        except HealthcodeError as error:
            refused[source.name] = error.message
            foreign += isinstance(error, RefusedTrustError)
    if not found and foreign == len(sources):
        raise RefusedTrustError(
            f"no source has a root with fingerprint {fingerprint}: compare it with what the root holders announced. "
            + "; ".join(refused.values())
        )
    if not found:
        reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
        raise TrustError(f"no source holds, so nothing was rebuilt. {reasons}")
    _check_agreed(found)
    return _gather(sorted(found, key=lambda each: each.order, reverse=True), refused)


def _check_agreed(found: Sequence[Survey]) -> None:
    """Raises TrustError where sources differ about a root, and each row holds.

    What follows the known root is signed by it. What is before it nothing proves: a liar can
    make an older root that names today's signers, and himself; whoever were told that one's
    fingerprint would trust him.
    """
    held: dict[int, dict[str, list[str]]] = {}
    for each in found:
        for root in each.national.roots:
            data = each.reader.files[metadata_file("root", root.version)]
            held.setdefault(root.version, {}).setdefault(root_fingerprint(data), []).append(
                each.reader.source.name
            )
    for version, fingerprints in sorted(held.items()):
        if len(fingerprints) > 1:
            who = ", ".join(sorted(f"{' and '.join(names)} ({each})" for each, names in fingerprints.items()))
            raise TrustError(
                f"the sources differ about root version {version}: {who}. Ask the root holders which is theirs, and give "
                "that one's fingerprint with --root-fingerprint, or leave out the source that lies"
            )


def _gather(found: Sequence[Survey], refused: Mapping[str, str]) -> Salvage:
    """The newest national files, and of each role the newest that holds; `found` begins with the newest."""
    best = found[0]
    national = best.national
    high_water = HighWater()
    for each in found:
        high_water = high_water.raised(each.high_water)
    files = dict(best.reader.files)
    held = {"targets": national.targets.version}
    risk = _areas(found, national)
    if risk is not None:
        files |= risk[1]
        held[AREAS_ROLE] = risk[0]
    issuers: dict[str, IssuerTrust] = {}
    missing = 0
    for role in high_water.roles:
        participant, is_live = participant_of_role(role) or ("", True)
        if is_live:
            continue
        if participant not in delegated_participants(national.targets):
            held |= _unread(found, participant, files)
            continue
        issuer = _issuer(found, participant, national, files)
        if issuer is None:
            continue
        issuers[participant] = issuer
        held[role] = issuer.authority.version
        if issuer.live is not None:
            held[live_role(participant)] = issuer.live.version
            missing += _deltas(found, issuer.live.head, files)
    lacking = {role: version for role, version in high_water.roles.items() if held.get(role, 0) < version}
    return Salvage(best.reader.source.name, national, files, issuers, high_water, lacking, refused, missing)


def _areas(found: Sequence[Survey], national: National) -> tuple[int, dict[str, bytes]] | None:
    """(version, files) of the newest area risk that holds."""
    for version, each in _newest_first(found, AREAS_ROLE):
        try:
            metadata, targets = each.reader.role(AREAS_ROLE, version, LIMITS.province_metadata_bytes)
            risk = each.reader.target(targets, RISK_PATH, LIMITS.risk_bytes)
            trust = verify_areas(AreaFiles(metadata, risk), national, limits=LIMITS)
        except HealthcodeError:
            continue
        names = {metadata_file(AREAS_ROLE, version): metadata, place_of(targets, RISK_PATH): risk}
        return trust.version, names
    return None


def _newest_first(found: Sequence[Survey], role: str) -> list[tuple[int, Survey]]:
    pairs = [(version, each) for each in found for version in each.versions_of(role)]
    return sorted(pairs, key=lambda pair: -pair[0])


def _issuer(
    found: Sequence[Survey], participant: str, national: National, files: dict[str, bytes]
) -> IssuerTrust | None:
    """The newest files of a participant that hold, put into `files`; None when no authority's do."""
    chain = listed_chain(national.participants, participant)
    try:
        verify_chain(participant, chain, national.realm, reonboarded_in(national.root))
        verify_delegation(national.targets, participant, chain[-1])
    except HealthcodeError:
        return None
    role, limit = authority_role(participant), LIMITS.province_metadata_bytes
    for version, each in _newest_first(found, role):
        try:
            metadata, targets = each.reader.role(role, version, limit)
            province = each.reader.target(targets, province_path(participant), LIMITS.province_bytes)
            authority = verify_issuer(
                participant, chain[-1], IssuerFiles(metadata, province), national, _no_list, limits=LIMITS
            )
        except HealthcodeError:
            continue
        files[metadata_file(role, version)] = metadata
        files[place_of(targets, province_path(participant))] = province
        return _with_live(found, participant, authority, national, files) or authority
    return None


def _with_live(
    found: Sequence[Survey],
    participant: str,
    authority: IssuerTrust,
    national: National,
    files: dict[str, bytes],
) -> IssuerTrust | None:
    """`authority` with the newest head that holds under it, lists and all."""
    role = live_role(participant)
    for version, each in _newest_first(found, role):
        try:
            metadata, targets = each.reader.role(role, version, LIMITS.province_metadata_bytes)
            head = each.reader.target(targets, head_path(participant), LIMITS.head_bytes)
            lists: dict[str, bytes] = {}

            def read(path: str, max_bytes: int, lists: dict[str, bytes] = lists) -> bytes:
                lists[path] = _first(found, path, max_bytes)
                return lists[path]

            issuer = verify_issuer(
                participant,
                authority.link,
                IssuerFiles(*authority.files.authority, metadata, head),
                national,
                read,
                limits=LIMITS,
            )
        except HealthcodeError:
            continue
        files |= lists
        files[metadata_file(role, version)] = metadata
        files[place_of(targets, head_path(participant))] = head
        return issuer
    return None


def _no_list(path: str, _max_bytes: int) -> bytes:
    raise NotFoundError(f"{path} was not asked for")


def _first(found: Sequence[Survey], path: str, max_bytes: int) -> bytes:
    """A file that is named by its hash, from the first source that has it. Raises NotFoundError."""
    for each in found:
        try:
            data = each.reader.read(path, max_bytes)
        except HealthcodeError:
            continue
        if list_file(hashlib.sha256(data).hexdigest()) == path:
            return data
    raise NotFoundError(f"no source has the file {path}")


def _deltas(found: Sequence[Survey], head: Head, files: dict[str, bytes]) -> int:
    """Puts the deltas that a head names into `files`; how many nobody has."""
    missing = 0
    for day in head.days.values():
        if day.delta is not None:
            path = list_file(day.delta.sha256.hex())
            try:
                files[path] = _first(found, path, day.delta.byte_count)
            except NotFoundError:
                missing += 1
    return missing


def _unread(found: Sequence[Survey], participant: str, files: dict[str, bytes]) -> dict[str, int]:
    """What is left of a participant that nobody delegates to any more: kept, and read by no client."""
    held: dict[str, int] = {}
    parts = (
        (authority_role(participant), province_path(participant), LIMITS.province_bytes),
        (live_role(participant), head_path(participant), LIMITS.head_bytes),
    )
    for role, path, limit in parts:
        for version, each in _newest_first(found, role):
            try:
                metadata, targets = each.reader.role(role, version, LIMITS.province_metadata_bytes)
                target = each.reader.target(targets, path, limit)
            except HealthcodeError:
                continue
            files[metadata_file(role, version)] = metadata
            files[place_of(targets, path)] = target
            held[role] = version
            break
    return held
