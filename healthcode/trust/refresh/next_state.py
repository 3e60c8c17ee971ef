"""One refresh: from the files that one source serves to a verified state, ready to become a generation.

Areas and each participant are taken separately: the newest that verifies, else the last good files.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.trust.format.delegation import delegated_participants
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
    TrustLimits,
)
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.refresh.download import Download
from healthcode.trust.refresh.issuer_refresh import IssuerRefresh, Rejections
from healthcode.trust.refresh.tuf_updater import Cached
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.accepted_chain import AcceptedChains
from healthcode.trust.verify.assemble import view_of
from healthcode.trust.verify.issuer_trust import IssuerTrust
from healthcode.trust.verify.national import KeptPolicy, NationalFiles, NationalTrust, verify_national
from healthcode.trust.verify.rollback import verify_no_national_rollback
from healthcode.trust.verify.trust_state import (
    AreaFiles,
    AreaTrust,
    TrustFiles,
    TrustState,
    Witness,
    verify_areas,
)

__all__ = ["Refresh"]

_AT_ONCE = 8


class Refresh:
    """One refresh from one source: first `national`, then `run` for areas and participants."""

    def __init__(
        self,
        previous: TrustState | None,
        source: TrustSource,
        limits: TrustLimits,
        now: int,
        *,
        lists: dict[str, bytes] | None = None,
    ) -> None:
        """`lists` maps path to content of the lists fetched and hashed so far; new ones are added to it."""
        self._previous = previous
        self._limits = limits
        self._now = now
        self._download = Download(source, limits, {} if lists is None else lists)
        self._chains = AcceptedChains(previous, limits, now)
        self._rejections = Rejections()
        self._issuers = IssuerRefresh(previous, self._download, self._chains, self._rejections, limits, now)

    def national(self, cached: Cached) -> tuple[NationalFiles, NationalTrust]:
        """The national part, verified: what the Updater fetched, and the files that targets lists.

        Raises as verify_national, and TrustError(TRUST_ROLLBACK | TRUST_FAST_FORWARD).
        """
        files = self._national_files(cached)
        before = None if self._previous is None else (self._previous.files.national, self._previous.national)
        national = verify_national(files, self._limits, previous=before)
        if self._previous is not None:
            verify_no_national_rollback(self._previous, national, self._now)
        return (files if national.newer_policy else replace(files, kept_policy=None)), national

    def run(self, national_files: NationalFiles, national: NationalTrust) -> TrustState:
        """The new state over a verified national part."""
        if self._previous is not None and self._only_timestamp_is_new(national_files):
            return self._with_timestamp(self._previous, national_files, national)
        areas = self._areas(national)
        issuers: dict[str, IssuerTrust] = {}
        witnesses: dict[str, Witness] = {}
        known = set(national.participants.participants) | delegated_participants(national.targets)
        if self._previous is not None:
            known |= set(self._previous.issuers) | set(self._previous.files.witnesses)
            known |= set(self._previous.national.participants.participants)
        found = self._all_of(sorted(known), national)
        for participant, (issuer, witness) in found.items():
            if issuer is not None:
                issuers[participant] = issuer
            if witness is not None:
                witnesses[participant] = witness
        files = TrustFiles(
            national_files,
            None if areas is None else areas.files,
            {code: issuer.files for code, issuer in issuers.items()},
            witnesses,
            tuple(each for who in (AREAS_ROLE, *found) for each in self._rejections.of(who)),
            self._chains.sightings,
        )
        return TrustState(files, national, areas, issuers, view_of(files, national, areas, issuers))

    def _only_timestamp_is_new(self, fresh: NationalFiles) -> bool:
        """Whether nothing but the timestamp can be new, and no refused files need another try."""
        if self._previous is None or self._previous.files.rejected:
            return False
        was = self._previous.files.national
        return (was.roots, was.snapshot, was.targets) == (fresh.roots, fresh.snapshot, fresh.targets)

    def _with_timestamp(
        self, previous: TrustState, fresh: NationalFiles, national: NationalTrust
    ) -> TrustState:
        if fresh == previous.files.national:
            return previous
        files = replace(previous.files, national=fresh)
        view = view_of(files, national, previous.areas, previous.issuers)
        return replace(previous, files=files, national=national, view=view)

    def _national_files(self, cached: Cached) -> NationalFiles:
        previous = None if self._previous is None else self._previous.files.national
        if previous is not None and previous.targets == cached.targets:
            participants, policy, kept = previous.participants, previous.policy, previous.kept_policy
        else:
            targets = decode_metadata(cached.targets, Targets, self._limits.targets_bytes).signed
            participants = self._download.target(targets, PARTICIPANTS_PATH, self._limits.participants_bytes)
            policy = self._download.target(targets, POLICY_PATH, self._limits.policy_bytes)
            kept = self._readable_policy()
        return NationalFiles(
            cached.roots,
            cached.timestamp,
            cached.snapshot,
            cached.targets,
            participants,
            policy,
            cached.adopted,
            kept,
        )

    def _readable_policy(self) -> KeptPolicy | None:
        """The policy in use, and the targets that signed it: kept if the next one is of a newer format."""
        if self._previous is None:
            return None
        files = self._previous.files.national
        return (
            files.kept_policy
            if self._previous.national.newer_policy
            else KeptPolicy(files.targets, files.policy)
        )

    def _areas(self, national: NationalTrust) -> AreaTrust | None:
        previous = None if self._previous is None else self._previous.areas
        version = national.version_of(AREAS_ROLE)
        try:
            if version is None:
                raise TrustError("snapshot names no area risk", reason=Reason.FILE_UNKNOWN)
            if previous is not None and previous.version == version:
                return verify_areas(previous.files, national, previous, self._limits)
            metadata, targets = self._download.role(AREAS_ROLE, version)
            risk = self._download.target(targets, RISK_PATH, self._limits.risk_bytes)
            areas = verify_areas(AreaFiles(metadata, risk), national, limits=self._limits)
            good = self._last_good_areas(national, previous)
            if areas.newer is None or good is None:
                return areas
            kept = good.files if good.newer is None else good.files.kept
            return verify_areas(replace(areas.files, kept=kept), national, limits=self._limits)
        except HealthcodeError as error:
            self._rejections.add(AREAS_ROLE, error)
            return self._last_good_areas(national, previous)

    def _last_good_areas(self, national: NationalTrust, previous: AreaTrust | None) -> AreaTrust | None:
        """The accepted area risk, unless targets names another key for it now."""
        if previous is None:
            return None
        try:
            return verify_areas(previous.files, national, previous, self._limits)
        except HealthcodeError:
            return None

    def _all_of(
        self, participants: Sequence[str], national: NationalTrust
    ) -> dict[str, tuple[IssuerTrust | None, Witness | None]]:
        """What IssuerRefresh.take returns for each participant; those with news run in parallel."""
        # Each participant costs three requests in a row (metadata, head, lists). In parallel a hundred
        # participants with news do not wait for the network a hundred times.
        news = [each for each in participants if self._issuers.has_news(each, national)]
        # in another order each time: where a source stops, the same participants must not always be behind it
        random.shuffle(news)
        found: dict[str, tuple[IssuerTrust | None, Witness | None]] = {}
        if len(news) > 1:
            with ThreadPoolExecutor(min(_AT_ONCE, len(news)), thread_name_prefix="trust-fetch") as pool:

                def take_locked(participant: str) -> tuple[IssuerTrust | None, Witness | None]:
                    with self._download.cpu:
                        return self._issuers.take(participant, national)

                found = dict(zip(news, pool.map(take_locked, news), strict=True))
        return {each: found.get(each) or self._issuers.take(each, national) for each in participants}
