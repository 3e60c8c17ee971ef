"""Finds the newest valid files of one participant among all sources."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from healthcode.errors import HealthcodeError, NotFoundError
from healthcode.revocation.head import Head
from healthcode.trust.format.authority_chain import verify_chain
from healthcode.trust.format.delegation import verify_delegation
from healthcode.trust.format.layout import (
    authority_role,
    head_path,
    list_file,
    live_role,
    metadata_file,
    province_path,
)
from healthcode.trust.format.metadata_fields import reonboarded_in
from healthcode.trust.verify.accepted_chain import listed_chain
from healthcode.trust.verify.issuer_trust import IssuerFiles, IssuerTrust, verify_issuer
from healthcode.trust.verify.national import NationalTrust
from trust_registry.recovery.survey import Survey, place_of
from trust_registry.tree.current import LIMITS

__all__ = ["ParticipantFiles", "newest_first"]


def newest_first(surveys: Sequence[Survey], role: str) -> list[tuple[int, Survey]]:
    """(version, source) for each version of a role that a source may have, the newest first."""
    pairs = [(version, each) for each in surveys for version in each.versions_of(role)]
    return sorted(pairs, key=lambda pair: -pair[0])


class ParticipantFiles:
    """Collects files of participants: `files` by path, `versions` by role."""

    def __init__(self, surveys: Sequence[Survey], national: NationalTrust) -> None:
        self._surveys = surveys
        self._national = national
        self.files: dict[str, bytes] = {}
        self.versions: dict[str, int] = {}
        self.missing_deltas = 0

    def collect(self, participant: str) -> IssuerTrust | None:
        """Collects a participant's newest valid files; None if no source has valid authority files."""
        issuer = self._authority(participant)
        if issuer is None:
            return None
        self.versions[authority_role(participant)] = issuer.authority.version
        issuer = self._with_live(participant, issuer) or issuer
        if issuer.live is not None:
            self.versions[live_role(participant)] = issuer.live.version
            self._collect_deltas(issuer.live.head)
        return issuer

    def collect_unverified(self, participant: str) -> None:
        """Collects the files that are left of a participant without a delegation. No client reads it, so nothing is verified."""
        parts = (
            (authority_role(participant), province_path(participant), LIMITS.province_bytes),
            (live_role(participant), head_path(participant), LIMITS.head_bytes),
        )
        for role, path, limit in parts:
            for version, each in newest_first(self._surveys, role):
                try:
                    metadata, targets = each.reader.role(role, version, LIMITS.province_metadata_bytes)
                    target = each.reader.target(targets, path, limit)
                except HealthcodeError:
                    continue
                self.files[metadata_file(role, version)] = metadata
                self.files[place_of(targets, path)] = target
                self.versions[role] = version
                break

    def _authority(self, participant: str) -> IssuerTrust | None:
        """Collects province.json with its metadata; None if none is valid."""
        national = self._national
        chain = listed_chain(national.participants, participant)
        try:
            verify_chain(participant, chain, national.realm, reonboarded_in(national.root))
            verify_delegation(national.targets, participant, chain[-1])
        except HealthcodeError:
            return None
        role, limit = authority_role(participant), LIMITS.province_metadata_bytes
        for version, each in newest_first(self._surveys, role):
            try:
                metadata, targets = each.reader.role(role, version, limit)
                province = each.reader.target(targets, province_path(participant), LIMITS.province_bytes)
                authority = verify_issuer(
                    participant, chain[-1], IssuerFiles(metadata, province), national, _no_list, limits=LIMITS
                )
            except HealthcodeError:
                continue
            self.files[metadata_file(role, version)] = metadata
            self.files[place_of(targets, province_path(participant))] = province
            return authority
        return None

    def _with_live(self, participant: str, authority: IssuerTrust) -> IssuerTrust | None:
        """Collects the newest head that is valid under `authority`, with all its lists; None if none is valid."""
        role = live_role(participant)
        for version, each in newest_first(self._surveys, role):
            try:
                metadata, targets = each.reader.role(role, version, LIMITS.province_metadata_bytes)
                head = each.reader.target(targets, head_path(participant), LIMITS.head_bytes)
                lists: dict[str, bytes] = {}

                def read(path: str, max_bytes: int, lists: dict[str, bytes] = lists) -> bytes:
                    lists[path] = self._read_by_hash(path, max_bytes)
                    return lists[path]

                issuer = verify_issuer(
                    participant,
                    authority.link,
                    IssuerFiles(*authority.files.authority, metadata, head),
                    self._national,
                    read,
                    limits=LIMITS,
                )
            except HealthcodeError:
                continue
            self.files |= lists
            self.files[metadata_file(role, version)] = metadata
            self.files[place_of(targets, head_path(participant))] = head
            return issuer
        return None

    def _collect_deltas(self, head: Head) -> None:
        """Collects the deltas that a head names; a client whose delta is missing fetches the full list."""
        for day in head.days.values():
            if day.delta is not None:
                path = list_file(day.delta.sha256.hex())
                try:
                    self.files[path] = self._read_by_hash(path, day.delta.byte_count)
                except NotFoundError:
                    self.missing_deltas += 1

    def _read_by_hash(self, path: str, max_bytes: int) -> bytes:
        """A list, from the first source that has it with the right hash. Raises NotFoundError."""
        for each in self._surveys:
            try:
                data = each.reader.read(path, max_bytes)
            except HealthcodeError:
                continue
            if list_file(hashlib.sha256(data).hexdigest()) == path:
                return data
        raise NotFoundError(f"no source has the file {path}")


def _no_list(path: str, _max_bytes: int) -> bytes:
    raise NotFoundError(f"{path} was not asked for")
