"""Combines several sources into one verified tree from which a registry can be rebuilt.

Everything is verified from the root with the known fingerprint. Expiry is ignored: the machine may be down for long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from healthcode.errors import HealthcodeError, RefusedTrustError, TrustError
from healthcode.trust.format.delegation import delegated_participants
from healthcode.trust.format.layout import AREAS_ROLE, RISK_PATH, metadata_file, participant_of_role
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.issuer_trust import IssuerTrust
from healthcode.trust.verify.national import NationalTrust
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.trust.verify.trust_state import AreaFiles, verify_areas
from trust_registry.recovery.participant_files import ParticipantFiles, newest_first
from trust_registry.recovery.root_chain import candidates, fetch_roots
from trust_registry.recovery.survey import Survey, place_of, survey
from trust_registry.tree.current import LIMITS
from trust_registry.tree.high_water import HighWater

__all__ = ["Salvage", "salvage"]


@dataclass(frozen=True, slots=True)
class Salvage:
    """A verified tree.

    `source`: where the national files are from. `files`: by path. `high_water`: the highest versions that any
    source proves were published. `lacking`: the roles whose newest version no source has, with that version
    (docs/adr/0016). `refused`: why a source was not used, by its name. `missing_deltas`: clients fetch the full
    list where a delta is missing.
    """

    source: str
    national: NationalTrust
    files: Mapping[str, bytes]
    issuers: Mapping[str, IssuerTrust]
    high_water: HighWater
    lacking: Mapping[str, int]
    refused: Mapping[str, str]
    missing_deltas: int


def salvage(sources: Sequence[TrustSource], fingerprint: str) -> Salvage:
    """Takes the newest valid files from `sources`.

    Raises TrustError with the reason for each source if none has valid national files, or if they disagree about
    a root; RefusedTrustError (ROOT_UNKNOWN) if none has a root with that fingerprint.
    """
    refused: dict[str, str] = {}
    foreign = 0
    roots: dict[str, dict[int, bytes]] = {}
    for source in sources:
        try:
            roots[source.name] = fetch_roots(source)
        except HealthcodeError as error:
            refused[source.name] = error.message
    offered = candidates(roots.values())
    surveys: list[Survey] = []
    for source in sources:
        if source.name in refused:
            continue
        try:
            surveys.append(survey(source, fingerprint, roots[source.name], offered))
        except HealthcodeError as error:
            refused[source.name] = error.message
            foreign += isinstance(error, RefusedTrustError)
    if not surveys and foreign == len(sources):
        raise RefusedTrustError(
            f"no source has a root with fingerprint {fingerprint}: compare it with the one that the root holders "
            "announced. " + "; ".join(refused.values())
        )
    if not surveys:
        reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
        raise TrustError(f"no source is valid, so nothing was rebuilt. {reasons}")
    _check_agreement(surveys)
    return _combine(sorted(surveys, key=lambda each: each.order, reverse=True), refused)


def _check_agreement(surveys: Sequence[Survey]) -> None:
    """Raises TrustError if two sources with valid chains have different roots of one version."""
    # Roots after the known one are signed by it. Nothing proves the roots before it: an attacker can forge an older
    # root that names today's signers and himself, and would be trusted by anybody who is given its fingerprint.
    names_by_root: dict[int, dict[str, list[str]]] = {}
    for each in surveys:
        for root in each.national.roots:
            data = each.reader.files[metadata_file("root", root.version)]
            names = names_by_root.setdefault(root.version, {}).setdefault(root_fingerprint(data), [])
            names.append(each.reader.source.name)
    for version, fingerprints in sorted(names_by_root.items()):
        if len(fingerprints) > 1:
            who = ", ".join(sorted(f"{' and '.join(names)} ({each})" for each, names in fingerprints.items()))
            raise TrustError(
                f"the sources have different root files of version {version}: {who}. Ask the root holders which is "
                "theirs, then give its fingerprint with --root-fingerprint, or leave out the source with the false one"
            )


def _combine(surveys: Sequence[Survey], refused: Mapping[str, str]) -> Salvage:
    """Takes the national files of the newest source, and the newest valid files of each role from any source."""
    best = surveys[0]
    national = best.national
    high_water = HighWater()
    for each in surveys:
        high_water = high_water.raised(each.high_water)
    files = dict(best.reader.files)
    versions = {"targets": national.targets.version}
    risk = _newest_areas(surveys, national)
    if risk is not None:
        version, risk_files = risk
        files |= risk_files
        versions[AREAS_ROLE] = version
    found = ParticipantFiles(surveys, national)
    issuers: dict[str, IssuerTrust] = {}
    for role in high_water.roles:
        participant, is_live = participant_of_role(role) or ("", True)
        if is_live:
            continue
        if participant not in delegated_participants(national.targets):
            found.collect_unverified(participant)
        elif (issuer := found.collect(participant)) is not None:
            issuers[participant] = issuer
    files |= found.files
    versions |= found.versions
    lacking = {role: version for role, version in high_water.roles.items() if versions.get(role, 0) < version}
    return Salvage(
        best.reader.source.name,
        national,
        files,
        issuers,
        high_water,
        lacking,
        refused,
        found.missing_deltas,
    )


def _newest_areas(surveys: Sequence[Survey], national: NationalTrust) -> tuple[int, dict[str, bytes]] | None:
    """(version, files) of the newest valid area risk."""
    for version, each in newest_first(surveys, AREAS_ROLE):
        try:
            metadata, targets = each.reader.role(AREAS_ROLE, version, LIMITS.province_metadata_bytes)
            risk = each.reader.target(targets, RISK_PATH, LIMITS.risk_bytes)
            trust = verify_areas(AreaFiles(metadata, risk), national, limits=LIMITS)
        except HealthcodeError:
            continue
        names = {metadata_file(AREAS_ROLE, version): metadata, place_of(targets, RISK_PATH): risk}
        return trust.version, names
    return None
