"""One refresh: from what a source serves to a state that may become a generation.

Each part is taken by itself: the newest that holds, else the last good one, and the
refusal is noted. A participant's authority part and live part are tried together, then
each with the other's last good, so that a node whose head is refused still gets its new
keys, and the other way round.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, InternalError, Reason, TrustError, UnavailableError
from healthcode.trust.assembly import (
    AreaFiles,
    AreaTrust,
    IssuerFiles,
    IssuerTrust,
    Rejected,
    TrustFiles,
    TrustState,
    Witness,
    accepted_chain,
    listed_chain,
    verify_areas,
    verify_issuer,
    verify_issuer_anchors,
    view_of,
)
from healthcode.trust.delegation import delegated_participants, verify_delegation
from healthcode.trust.document import AuthorityLink
from healthcode.trust.layout import (
    AREAS_ROLE,
    PARTICIPANTS_PATH,
    POLICY_PATH,
    REONBOARDING_WAIT_SECONDS,
    RISK_PATH,
    TrustLimits,
    authority_role,
    head_path,
    list_file,
    live_role,
    metadata_file,
    province_path,
    target_file,
)
from healthcode.trust.link import is_without_handover, link_digest, verify_extension
from healthcode.trust.metadata import (
    Root,
    Targets,
    decode_metadata,
    expires_at,
    reonboarded_in,
    target_of,
)
from healthcode.trust.national import National, NationalFiles, verify_national
from healthcode.trust.progress import verify_issuer_progress, verify_national_progress
from healthcode.trust.source import TrustSource

__all__ = ["Cached", "Refresh", "read_cache"]

_MAX_FAILED_FETCHES = 3

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Cached:
    """What the Updater left in its cache."""

    roots: tuple[bytes, ...]
    timestamp: bytes
    snapshot: bytes
    targets: bytes


def read_cache(cache: Path, bootstrap: bytes) -> Cached:
    try:
        last = decode_metadata((cache / "root.json").read_bytes(), Root).signed.version
        first = decode_metadata(bootstrap, Root).signed.version
        roots = [
            (cache / "root_history" / f"{number}.root.json").read_bytes()
            for number in range(first + 1, last + 1)
        ]
        return Cached(
            (bootstrap, *roots),
            (cache / "timestamp.json").read_bytes(),
            (cache / "snapshot.json").read_bytes(),
            (cache / "targets.json").read_bytes(),
        )
    except OSError as error:
        raise TrustError(
            f"the cache {cache} cannot be read: {error.strerror}; delete it and refresh"
        ) from error


class Refresh:
    """One refresh: from what the Updater brought to a state that may become a generation."""

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
        self._source = source
        self._limits = limits
        self._now = now
        self._lists = {} if lists is None else lists
        self._rejected: list[Rejected] = []
        self._sightings: dict[str, int] = {}
        self._failed_fetches = 0

    def run(self, cached: Cached) -> tuple[TrustState, dict[str, bytes | None]]:
        """The new state, and its lists: bytes for new ones, None for those that are on disk."""
        national_files = self._national_files(cached)
        before = None if self._previous is None else (self._previous.files.national, self._previous.national)
        national = verify_national(national_files, self._limits, previous=before)
        if self._previous is not None:
            verify_national_progress(self._previous, national)
            if self._nothing_to_do(national_files):
                return self._with_timestamp(self._previous, national_files, national), {}
        areas = self._areas(national)
        issuers: dict[str, IssuerTrust] = {}
        witnesses: dict[str, Witness] = {}
        known = set(national.participants.participants) | delegated_participants(national.targets)
        if self._previous is not None:
            known |= set(self._previous.issuers) | set(self._previous.files.witnesses)
            known |= set(self._previous.national.participants.participants)
        for participant in sorted(known):
            issuer, witness = self._isolated(participant, national)
            if issuer is not None:
                issuers[participant] = issuer
            if witness is not None:
                witnesses[participant] = witness
        files = TrustFiles(
            national_files,
            None if areas is None else areas.files,
            {code: issuer.files for code, issuer in issuers.items()},
            witnesses,
            tuple(self._rejected),
            self._sightings,
        )
        state = TrustState(files, national, areas, issuers, view_of(files, national, areas, issuers))
        places = (list_file(digest) for issuer in issuers.values() for digest in issuer.list_digests)
        return state, {place: self._lists.get(place) for place in places}

    def _nothing_to_do(self, fresh: NationalFiles) -> bool:
        """Whether at most the timestamp is new, and nothing was refused that should be tried again."""
        if self._previous is None or self._previous.files.rejected:
            return False
        was = self._previous.files.national
        return (was.roots, was.snapshot, was.targets) == (fresh.roots, fresh.snapshot, fresh.targets)

    def _with_timestamp(self, previous: TrustState, fresh: NationalFiles, national: National) -> TrustState:
        files = replace(previous.files, national=fresh)
        view = view_of(files, national, previous.areas, previous.issuers)
        return replace(previous, files=files, national=national, view=view)

    def _national_files(self, cached: Cached) -> NationalFiles:
        previous = None if self._previous is None else self._previous.files.national
        if previous is not None and previous.targets == cached.targets:
            participants, policy = previous.participants, previous.policy
        else:
            targets = decode_metadata(cached.targets, Targets, self._limits.targets_bytes).signed
            participants = self._fetch_target(targets, PARTICIPANTS_PATH, self._limits.participants_bytes)
            policy = self._fetch_target(targets, POLICY_PATH, self._limits.policy_bytes)
        return NationalFiles(
            cached.roots, cached.timestamp, cached.snapshot, cached.targets, participants, policy
        )

    def _areas(self, national: National) -> AreaTrust | None:
        previous = None if self._previous is None else self._previous.areas
        version = national.version_of(AREAS_ROLE)
        try:
            if version is None:
                raise TrustError("snapshot names no area risk", reason=Reason.FILE_UNKNOWN)
            if previous is not None and previous.version == version:
                return verify_areas(previous.files, national, previous, self._limits)
            metadata, targets = self._fetch_role(AREAS_ROLE, version)
            risk = self._fetch_target(targets, RISK_PATH, self._limits.risk_bytes)
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

    def _isolated(self, participant: str, national: National) -> tuple[IssuerTrust | None, Witness | None]:
        """As _participant, and a fault of ours in one province's files stops that province alone."""
        try:
            return self._participant(participant, national)
        except Exception as error:  # noqa: BLE001  no file of one province may stop all the others
            self._reject(
                participant, InternalError(f"a fault of ours: {type(error).__name__}; please report it")
            )
            held = None if self._previous is None else self._previous.issuers.get(participant)
            return held, None if held is None else self._witness(participant)

    def _participant(self, participant: str, national: National) -> tuple[IssuerTrust | None, Witness | None]:
        """(what serves for a participant now, the witness of its chain if that is not the current one)."""
        held = None if self._previous is None else self._previous.issuers.get(participant)
        try:
            link = self._link(participant, national)
        except HealthcodeError as error:
            if error.reason is Reason.AUTHORITY_WAITS:
                self._reject(participant, error)
                return self._meanwhile(participant, national, held), self._witness(participant)
            if error.reason is not Reason.PARTICIPANT_UNKNOWN:
                self._reject(participant, error)
                return held, self._witness(participant)
            # the operators took the delegation back and left the chain: it is retired, which is told once
            if held is not None:
                self._reject(participant, error)
            return None, None
        try:
            return self._issuer(participant, link, national, held), None
        except HealthcodeError as error:
            self._reject(participant, error)
            if held is None or held.link == link:
                return held, None
            # the chain moved on, but what its new head signed is not there: the old one serves, by its witness
            return held, self._witness(participant)

    def _link(self, participant: str, national: National) -> AuthorityLink:
        """The head of the chain, which must extend the accepted one and be what targets delegates to."""
        previous = self._previous
        if previous is not None and national.targets is previous.national.targets:
            held = previous.issuers.get(participant)
            if held is not None and participant not in previous.files.witnesses:
                return held.link
        chain = listed_chain(national.participants, participant)
        accepted = self._accepted_chain(participant)
        if not chain and not accepted:
            if participant not in delegated_participants(national.targets):
                raise TrustError(
                    f"nobody names participant {participant} any more", reason=Reason.PARTICIPANT_UNKNOWN
                )
            raise TrustError(
                f"targets delegates to participant {participant}, which participants.json does not name",
                reason=Reason.AUTHORITY_EXISTS,
            )
        link = verify_extension(participant, accepted, chain, national.realm, reonboarded_in(national.root))
        verify_delegation(national.targets, participant, link)
        if accepted:
            self._let_wait(participant, accepted, chain)
        return link

    def _let_wait(
        self, participant: str, accepted: Sequence[AuthorityLink], chain: Sequence[AuthorityLink]
    ) -> None:
        """Raises TrustError(AUTHORITY_WAITS) while a link without handover was not seen for long enough.

        Time for the province to see it, and to say that it did not ask for it.
        """
        for before, link in zip(chain[len(accepted) - 1 :], chain[len(accepted) :], strict=False):
            if not is_without_handover(link):
                continue
            key = f"{participant}/{link_digest(participant, link, before).hex()}"
            seen = {} if self._previous is None else self._previous.files.sightings
            first = min(seen.get(key, self._now), self._now)
            until = first + REONBOARDING_WAIT_SECONDS
            if self._now < until:
                self._sightings[key] = first
                raise TrustError(
                    f"participant {participant} has a new authority (link {link.seq}) by root's word, without "
                    f"handover by the one before; it was first seen here at {rfc3339(first)} and rules from "
                    f"{rfc3339(until)} on. If the province did not ask for it, tell the root holders now",
                    reason=Reason.AUTHORITY_WAITS,
                )

    def _meanwhile(
        self, participant: str, national: National, held: IssuerTrust | None
    ) -> IssuerTrust | None:
        """What serves while a new authority waits: the one before, with what its node goes on revoking."""
        if held is None:
            return None
        told = len(self._rejected)
        try:
            return self._issuer(participant, held.link, national, held)
        except HealthcodeError:
            return held
        finally:
            # that the new authority's files do not hold under the old one is what waiting means
            del self._rejected[told:]

    def _accepted_chain(self, participant: str) -> tuple[AuthorityLink, ...]:
        previous = self._previous
        if previous is None:
            return ()
        issuer = previous.issuers.get(participant)
        witness = previous.files.witnesses.get(participant)
        if witness is None and issuer is not None:
            return listed_chain(previous.national.participants, participant)
        try:
            return accepted_chain(previous.national, witness, participant, self._limits)
        except HealthcodeError:
            # it was listed, but never held by itself: nothing was accepted
            return ()

    def _witness(self, participant: str) -> Witness | None:
        """Evidence of the chain that was accepted before this refresh."""
        previous = self._previous
        if previous is None or not self._accepted_chain(participant):
            return None
        files = previous.files.national
        return previous.files.witnesses.get(participant) or Witness(files.targets, files.participants)

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
        if held is not None and (held.link, held.authority.version, _live_version(held)) == (
            link,
            authority_version,
            live_version,
        ):
            return held
        first: HealthcodeError | None = None
        authority = self._try(lambda: self._authority_files(participant, authority_version, held))
        live = self._try(lambda: self._live_files(participant, live_version, held))
        old_authority = None if held is None else held.files.authority
        old_live = _no_live if held is None else (held.files.live_metadata, held.files.head)
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
                    self._read_list,
                    keep_list=self._lists.__setitem__,
                    previous=held,
                    limits=self._limits,
                )
                if held is not None:
                    verify_issuer_progress(held, issuer, self._now)
                if self._previous is not None and (held is None or issuer.authority is not held.authority):
                    verify_issuer_anchors(self._previous, national, issuer)
            except HealthcodeError as error:
                first = first or error
                continue
            if first is not None:
                self._reject(participant, first)
            return issuer
        raise first or TrustError(f"participant {participant} has published nothing that holds")

    def _authority_files(
        self, participant: str, version: int, held: IssuerTrust | None
    ) -> tuple[bytes, bytes]:
        if held is not None and held.authority.version == version:
            return held.files.authority
        role = authority_role(participant)
        metadata, targets = self._fetch_role(role, version)
        if expires_at(targets) <= self._now:
            raise TrustError(
                f"{role} version {version} has expired; its authority must sign anew",
                reason=Reason.TRUST_EXPIRED,
            )
        return metadata, self._fetch_target(targets, province_path(participant), self._limits.province_bytes)

    def _live_files(
        self, participant: str, version: int | None, held: IssuerTrust | None
    ) -> tuple[bytes | None, bytes | None]:
        if version is None:
            return _no_live
        if held is not None and _live_version(held) == version:
            return held.files.live_metadata, held.files.head
        metadata, targets = self._fetch_role(live_role(participant), version)
        return metadata, self._fetch_target(targets, head_path(participant), self._limits.head_bytes)

    def _fetch_role(self, role: str, version: int) -> tuple[bytes, Targets]:
        """Metadata of a delegated role, by the version that snapshot names; not verified yet."""
        limit = self._limits.province_metadata_bytes
        data = self._fetch(metadata_file(role, version), limit)
        targets = decode_metadata(data, Targets, limit).signed
        if targets.version != version:
            raise TrustError(
                f"{role} is at version {targets.version}, where version {version} is signed as current",
                reason=Reason.TRUST_MIXED,
            )
        return data, targets

    def _fetch_target(self, targets: Targets, path: str, max_bytes: int) -> bytes:
        """A file that a role lists; its hash is verified by whoever takes it."""
        listed = target_of(targets, path)
        if listed is None or "sha256" not in listed.hashes:
            raise TrustError(f"{path} is not listed by its role", reason=Reason.FILE_UNKNOWN)
        if listed.length > max_bytes:
            raise TrustError(
                f"{path} is listed with {listed.length} bytes; {max_bytes} are allowed",
                reason=Reason.TOO_LARGE,
            )
        try:
            place = target_file(path, listed.hashes["sha256"])
        except ValueError as error:
            raise TrustError(
                f"{path} is listed with a hash that is none", reason=Reason.SIGNATURE_INVALID
            ) from error
        return self._fetch(place, listed.length)

    def _read_list(self, path: str, max_bytes: int) -> bytes:
        if path not in self._lists:
            data = self._fetch(path, max_bytes)
            if list_file(hashlib.sha256(data).hexdigest()) != path:
                raise TrustError(
                    f"{path} is not the file of that name: its hash differs", reason=Reason.SIGNATURE_INVALID
                )
            self._lists[path] = data
        return self._lists[path]

    def _fetch(self, path: str, max_bytes: int) -> bytes:
        if self._failed_fetches >= _MAX_FAILED_FETCHES:
            raise UnavailableError(
                f"{self._source.name} is out of reach; the rest waits for the next refresh",
                reason=Reason.TRUST_UNAVAILABLE,
            )
        try:
            data = self._source.fetch(path, max_bytes)
        except UnavailableError:
            self._failed_fetches += 1
            raise
        self._failed_fetches = 0
        return data

    def _try(self, get: Callable[[], _T]) -> _T | HealthcodeError:
        try:
            return get()
        except HealthcodeError as error:
            return error

    def _reject(self, participant: str, error: HealthcodeError) -> None:
        self._rejected.append(Rejected(participant, error.reason, error.message))


_no_live: tuple[None, None] = (None, None)


def _live_version(held: IssuerTrust) -> int | None:
    return None if held.live is None else held.live.version
