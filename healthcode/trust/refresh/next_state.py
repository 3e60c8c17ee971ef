"""One refresh: from what a source serves to a state that may become a generation.

Each part is taken by itself: the newest that holds, else the last good one, and the
refusal is noted. A participant's authority part and live part are tried together, then
each with the other's last good, so that a node whose head is refused still gets its new
keys, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from healthcode.errors import HealthcodeError, InternalError, Reason, TrustError
from healthcode.trust.format.delegation import delegated_participants
from healthcode.trust.format.json_files import AuthorityLink
from healthcode.trust.format.layout import (
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
    RISK_PATH,
    TrustLimits,
    authority_role,
    list_file,
    live_role,
)
from healthcode.trust.format.metadata import Targets, decode_metadata
from healthcode.trust.refresh.download import (
    NO_LIVE,
    Download,
    live_version_of,
)
from healthcode.trust.refresh.tuf_updater import Cached
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.verify.accepted_chain import AcceptedChains
from healthcode.trust.verify.assemble import view_of
from healthcode.trust.verify.issuer_trust import (
    IssuerFiles,
    IssuerTrust,
    verify_issuer,
    verify_issuer_tls_ca,
)
from healthcode.trust.verify.national import (
    National,
    NationalFiles,
    verify_national,
)
from healthcode.trust.verify.rollback import verify_no_issuer_rollback, verify_no_national_rollback
from healthcode.trust.verify.trust_state import (
    AreaFiles,
    AreaTrust,
    Rejected,
    TrustFiles,
    TrustState,
    Witness,
    verify_areas,
)

__all__ = ["Refresh"]

_AT_ONCE = 8

_T = TypeVar("_T")


class Refresh:
    """One refresh: first the national part (`national`), then all that stands on it (`run`)."""

    def __init__(
        self,
        previous: TrustState | None,
        source: TrustSource,
        limits: TrustLimits,
        now: int,
        *,
        lists: dict[str, bytes] | None = None,
    ) -> None:
        """`lists` holds lists by their place, fetched before and hashed; new ones are put there."""
        self._previous = previous
        self._limits = limits
        self._now = now
        self._download = Download(source, limits, {} if lists is None else lists)
        self._chains = AcceptedChains(previous, limits, now)
        self._rejected: dict[str, list[Rejected]] = {}  # by participant, or AREAS_ROLE

    def national(self, cached: Cached) -> tuple[NationalFiles, National]:
        """The national part of what the Updater brought, with what targets lists, verified.

        Raises what verify_national raises, and TrustError(TRUST_ROLLBACK | TRUST_FAST_FORWARD).
        """
        files = self._national_files(cached)
        before = None if self._previous is None else (self._previous.files.national, self._previous.national)
        national = verify_national(files, self._limits, previous=before)
        if self._previous is not None:
            verify_no_national_rollback(self._previous, national, self._now)
        return files, national

    def run(
        self, national_files: NationalFiles, national: National
    ) -> tuple[TrustState, dict[str, bytes | None]]:
        """The new state over a verified national part, and its lists.

        Of the lists: bytes for new ones, None for those that are on disk.
        """
        if self._previous is not None and self._nothing_to_do(national_files):
            return self._with_timestamp(self._previous, national_files, national), {}
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
            tuple(each for who in (AREAS_ROLE, *found) for each in self._rejected.get(who, ())),
            self._chains.sightings,
        )
        state = TrustState(files, national, areas, issuers, view_of(files, national, areas, issuers))
        places = (list_file(digest) for issuer in issuers.values() for digest in issuer.list_digests)
        return state, {place: self._download.lists.get(place) for place in places}

    def _nothing_to_do(self, fresh: NationalFiles) -> bool:
        """Whether at most the timestamp is new, and nothing was refused that should be tried again."""
        if self._previous is None or self._previous.files.rejected:
            return False
        was = self._previous.files.national
        return (was.roots, was.snapshot, was.targets) == (fresh.roots, fresh.snapshot, fresh.targets)

    def _with_timestamp(self, previous: TrustState, fresh: NationalFiles, national: National) -> TrustState:
        if fresh == previous.files.national:
            return previous
        files = replace(previous.files, national=fresh)
        view = view_of(files, national, previous.areas, previous.issuers)
        return replace(previous, files=files, national=national, view=view)

    def _national_files(self, cached: Cached) -> NationalFiles:
        previous = None if self._previous is None else self._previous.files.national
        if previous is not None and previous.targets == cached.targets:
            participants, policy = previous.participants, previous.policy
        else:
            targets = decode_metadata(cached.targets, Targets, self._limits.targets_bytes).signed
            participants = self._download.target(targets, PARTICIPANTS_PATH, self._limits.participants_bytes)
            policy = self._download.target(targets, POLICY_PATH, self._limits.policy_bytes)
        return NationalFiles(
            cached.roots,
            cached.timestamp,
            cached.snapshot,
            cached.targets,
            participants,
            policy,
            cached.adopted,
        )

    def _areas(self, national: National) -> AreaTrust | None:
        previous = None if self._previous is None else self._previous.areas
        version = national.version_of(AREAS_ROLE)
        try:
            if version is None:
                raise TrustError("snapshot names no area risk", reason=Reason.FILE_UNKNOWN)
            if previous is not None and previous.version == version:
                return verify_areas(previous.files, national, previous, self._limits)
            metadata, targets = self._download.role(AREAS_ROLE, version)
            risk = self._download.target(targets, RISK_PATH, self._limits.risk_bytes)
            return verify_areas(AreaFiles(metadata, risk), national, limits=self._limits)
        except HealthcodeError as error:
            self._reject(AREAS_ROLE, error)
            return self._last_good_areas(national, previous)

    def _last_good_areas(self, national: National, previous: AreaTrust | None) -> AreaTrust | None:
        """The areas that served before, unless the operators have changed their key since."""
        if previous is None:
            return None
        try:
            return verify_areas(previous.files, national, previous, self._limits)
        except HealthcodeError:
            return None

    def _all_of(
        self, participants: Sequence[str], national: National
    ) -> dict[str, tuple[IssuerTrust | None, Witness | None]]:
        """What _isolated gives of each; of those with something to fetch, some at a time.

        Each fetches its metadata, then its head, then its lists: one participant after the
        other would wait for the network a hundred times where all have news. One of them
        computes while the others wait.
        """
        news = [each for each in participants if self._has_news(each, national)]
        found: dict[str, tuple[IssuerTrust | None, Witness | None]] = {}
        if len(news) > 1:
            with ThreadPoolExecutor(min(_AT_ONCE, len(news)), thread_name_prefix="trust-fetch") as pool:

                def in_turn(participant: str) -> tuple[IssuerTrust | None, Witness | None]:
                    with self._download.turn:
                        return self._isolated(participant, national)

                found = dict(zip(news, pool.map(in_turn, news), strict=True))
        return {each: found.get(each) or self._isolated(each, national) for each in participants}

    def _has_news(self, participant: str, national: National) -> bool:
        """Whether snapshot names another version of what the participant publishes than we hold."""
        held = None if self._previous is None else self._previous.issuers.get(participant)
        named = (
            national.version_of(authority_role(participant)),
            national.version_of(live_role(participant)),
        )
        return held is None or (held.authority.version, live_version_of(held)) != named

    def _isolated(self, participant: str, national: National) -> tuple[IssuerTrust | None, Witness | None]:
        """As _participant, and a fault of ours in one province's files stops that province alone."""
        try:
            return self._participant(participant, national)
        except Exception as error:  # noqa: BLE001  no file of one province may stop all the others
            self._reject(
                participant, InternalError(f"a fault of ours: {type(error).__name__}; please report it")
            )
            held = None if self._previous is None else self._previous.issuers.get(participant)
            return held, None if held is None else self._chains.witness(participant)

    def _is_over(self, participant: str, national: National) -> bool:
        """Whether a participant's retirement was announced, and its last code has ended."""
        entry = national.participants.participants.get(participant)
        return (
            entry is not None and entry.retirement is not None and entry.retirement.codes_until <= self._now
        )

    def _participant(self, participant: str, national: National) -> tuple[IssuerTrust | None, Witness | None]:
        """(what serves for a participant now, the witness of its chain if that is not the current one)."""
        held = None if self._previous is None else self._previous.issuers.get(participant)
        try:
            link = self._chains.head(participant, national)
        except HealthcodeError as error:
            if error.reason is Reason.AUTHORITY_WAITS:
                self._reject(participant, error)
                return self._meanwhile(participant, national, held), self._chains.witness(participant)
            if error.reason is not Reason.PARTICIPANT_UNKNOWN:
                self._reject(participant, error)
                return held, self._chains.witness(participant)
            # the operators took the delegation back and left the chain: which is told once, but at the end of
            # a retirement that everybody was told of
            if held is not None and not self._is_over(participant, national):
                self._reject(participant, error)
            return None, None
        try:
            return self._issuer(participant, link, national, held), None
        except HealthcodeError as error:
            self._reject(participant, error)
            if held is None or held.link == link:
                return held, None
            # the chain moved on, but what its new head signed is not there: the old one serves, by its witness
            return held, self._chains.witness(participant)

    def _meanwhile(
        self, participant: str, national: National, held: IssuerTrust | None
    ) -> IssuerTrust | None:
        """What serves while a new authority waits: the one before, with what its node goes on revoking."""
        if held is None:
            return None
        told = len(self._rejected.get(participant, ()))
        try:
            return self._issuer(participant, held.link, national, held)
        except HealthcodeError:
            return held
        finally:
            # that the new authority's files do not hold under the old one is what waiting means
            del self._rejected.get(participant, [])[told:]

    def _issuer(
        self, participant: str, link: AuthorityLink, national: National, held: IssuerTrust | None
    ) -> IssuerTrust:
        """The newest that holds: both parts new, or one of them with the other's last good."""
        authority_version = national.version_of(authority_role(participant))
        live_version = national.version_of(live_role(participant))
        if authority_version is None:
            raise TrustError(
                f"snapshot does not name {authority_role(participant)}", reason=Reason.FILE_UNKNOWN
            )
        if held is not None and (held.link, held.authority.version, live_version_of(held)) == (
            link,
            authority_version,
            live_version,
        ):
            return held
        first: HealthcodeError | None = None
        authority = self._try(
            lambda: self._download.authority_files(participant, authority_version, held, self._now)
        )
        live = self._try(lambda: self._download.live_files(participant, live_version, held))
        old_authority = None if held is None else held.files.authority
        old_live = NO_LIVE if held is None else (held.files.live_metadata, held.files.head)
        for try_authority, try_live in (
            (authority, live),
            (authority, old_live),
            (old_authority, live),
        ):
            if isinstance(try_authority, HealthcodeError) or isinstance(try_live, HealthcodeError):
                failed = try_authority if isinstance(try_authority, HealthcodeError) else try_live
                first = first or (failed if isinstance(failed, HealthcodeError) else None)
                continue
            if try_authority is None:
                continue
            files = IssuerFiles(*try_authority, *try_live)
            try:
                issuer = verify_issuer(
                    participant,
                    link,
                    files,
                    national,
                    self._download.read_list,
                    keep_list=self._download.lists.__setitem__,
                    previous=held,
                    limits=self._limits,
                )
                if held is not None:
                    verify_no_issuer_rollback(held, issuer, self._now)
                if self._previous is not None and (held is None or issuer.authority is not held.authority):
                    verify_issuer_tls_ca(self._previous.issuers, national, issuer)
            except HealthcodeError as error:
                first = first or error
                continue
            if first is not None:
                self._reject(participant, first)
            return issuer
        raise first or TrustError(f"participant {participant} has published nothing that holds")

    def _try(self, get: Callable[[], _T]) -> _T | HealthcodeError:
        try:
            return get()
        except HealthcodeError as error:
            return error

    def _reject(self, participant: str, error: HealthcodeError) -> None:
        told = self._rejected.setdefault(participant, [])
        told.append(Rejected(participant, error.reason, error.message))
