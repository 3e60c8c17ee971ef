"""Requests to be admitted, kept until two operators decide.

Anybody can send one, so each must verify under its own keys, and operators compare its digest by voice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from healthcode.errors import (
    ConflictError,
    DecodeError,
    InvalidInputError,
    NotFoundError,
    OverloadedError,
    Reason,
)
from healthcode.identity.participant import participant
from healthcode.storage.files import save_file
from healthcode.storage.lock import lock
from healthcode.storage.reading import read_file
from healthcode.trust.format.authority_chain import is_without_handover, link_digest
from healthcode.trust.format.json_files import (
    AuthorityLink,
    ParticipantsFile,
    ProvinceFile,
    Retirement,
    decode_json_file,
)
from healthcode.trust.format.layout import authority_role
from healthcode.trust.format.metadata_fields import reonboarded_in
from healthcode.trust.verify.admission import CurrentProvince
from healthcode.trust.verify.issuer import AuthorityPart
from healthcode.trust.verify.join_request import (
    JoinRequest,
    decode_join_request,
    join_digest,
    verify_join_request,
)
from trust_registry.participants.checks import check_tls_cas
from trust_registry.tree.current import LIMITS, Published

__all__ = ["Join", "JoinStore", "Received", "chain_of", "is_admitted", "receive_join", "retirement_of"]

MAX_WAITING_EACH = 4
_SHORTEST_DIGEST = 8


@dataclass(frozen=True, slots=True)
class Join:
    """A request as it was received, with the digest that both sides read out."""

    digest: str
    data: bytes
    request: JoinRequest

    @classmethod
    def decode(cls, data: bytes) -> Join:
        """Raises DecodeError."""
        return cls(join_digest(data), data, decode_join_request(data))

    @property
    def title(self) -> str:
        """E.g. `31 上海 Shanghai`."""
        member = participant(self.request.participant)
        return f"{member.code} {member.chinese} {member.english}"

    def effect(self, published: Published) -> str:
        """What approving it does, e.g. `hands over to link 2, signed by 2 of 3 old keys`; empty for a first authority."""
        link = self.request.link
        before = chain_of(published.participants, self.request.participant)[: link.seq - 1]
        if link.seq == 1 or not before:
            return ""
        if is_without_handover(link):
            return f"is re-onboarded by root as link {link.seq}, without its {len(before[-1].keys)} old keys"
        return f"hands over to link {link.seq}, signed by {len(link.handover)} of {len(before[-1].keys)} old keys"

    @property
    def endpoints(self) -> Mapping[str, str]:
        """The endpoints of its node, as its authority signed them. Raises DecodeError."""
        data = self.request.province_json
        return decode_json_file(ProvinceFile, data, LIMITS.province_bytes).endpoints

    def verify(self, published: Published, now: int, *, on_arrival: bool = False) -> AuthorityPart:
        """Checks all that can be checked without knowing the people. Raises what verify_join_request raises.

        `on_arrival`: accepts an authority without handover before root has consented to it.
        """
        participant = self.request.participant
        part = verify_join_request(
            self.request,
            published.realm,
            now,
            accepted=chain_of(published.participants, participant),
            current=CurrentProvince(published.version_of(authority_role(participant))),
            consents=None if on_arrival else reonboarded_in(published.root.signed),
        )
        check_tls_cas(part, published)
        return part

    def needs_root(self, published: Published) -> bool:
        """Whether it names an authority without handover to which root has not consented."""
        chain = chain_of(published.participants, self.request.participant)
        link = self.request.link
        if not chain or not is_without_handover(link):
            return False
        consent = reonboarded_in(published.root.signed).get(f"{self.request.participant}/{link.seq}")
        return consent != self.link_digest(published).hex()

    def link_digest(self, published: Published) -> bytes:
        """The digest of its authority link, to which root consents."""
        link = self.request.link
        before = chain_of(published.participants, self.request.participant)[: link.seq - 1]
        return link_digest(self.request.participant, link, before[-1] if before else None)


def chain_of(document: ParticipantsFile, code: str) -> Sequence[AuthorityLink]:
    """The accepted authority chain of a participant; empty if it is not admitted."""
    entry = document.participants.get(code)
    return () if entry is None else entry.chain


def retirement_of(document: ParticipantsFile, code: str) -> Retirement | None:
    """When a participant leaves, or None. A new authority does not change it."""
    entry = document.participants.get(code)
    return None if entry is None else entry.retirement


def is_admitted(join: Join, published: Published) -> bool:
    """Whether this very request was approved."""
    chain = chain_of(published.participants, join.request.participant)
    return join.request.link in chain


class JoinStore:
    """The requests in one folder, a file each, named by participant and digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, join: Join, *, bounded: bool) -> bool:
        """Stores a request durably; False if it was stored before.

        `bounded`, for requests from the network: raises OverloadedError if too many wait for this participant.
        """
        path = self._path(join)
        with lock(self._folder / ".lock"):
            waiting = len(list(self._folder.glob(f"{join.request.participant}-*.json")))
            if path.is_file():
                return False
            if bounded and waiting >= MAX_WAITING_EACH:
                raise OverloadedError(
                    f"{waiting} requests for participant {join.request.participant} wait already: call the "
                    "national operators, or have the request carried to them as a file",
                    retry_after_seconds=3600,
                )
            save_file(path, join.data)
        return True

    def all(self) -> list[Join]:
        """Every readable request, by participant; `check` names the unreadable ones."""
        found = []
        for path in sorted(self._folder.glob("*.json")):
            data = read_file(path)
            with contextlib.suppress(DecodeError):
                if data is not None:
                    found.append(Join.decode(data))
        return found

    def find(self, reference: str, published: Published | None = None) -> Join:
        """The request that `reference` means: a digest, at least its first 8 digits, or a participant's code.

        With `published`, a code means a request that still waits. Raises NotFoundError, and ConflictError if several
        requests match.
        """
        if len(reference) == 2:
            member = participant(reference)
            found = [join for join in self.all() if join.request.participant == member.code]
            if published is not None:
                found = [join for join in found if not is_admitted(join, published)] or found[:1]
        elif len(reference) >= _SHORTEST_DIGEST:
            found = [join for join in self.all() if join.digest.startswith(reference.lower())]
        else:
            raise InvalidInputError(
                f"{reference!r} is neither a participant's code nor the first {_SHORTEST_DIGEST} digits of a digest"
            )
        if not found:
            raise NotFoundError(
                f"no request to join matches {reference!r}; `trust-registry joins` lists those that wait",
                reason=Reason.PARTICIPANT_UNKNOWN,
            )
        if len(found) > 1:
            digests = ", ".join(join.digest[:16] for join in found)
            raise ConflictError(
                f"{len(found)} requests match {reference!r} ({digests}): ask the province which digest is "
                "its own, and approve by that digest",
                reason=Reason.AUTHORITY_EXISTS,
            )
        return found[0]

    def discard(self, join: Join) -> None:
        """Deletes a request; it may be sent again."""
        self._path(join).unlink(missing_ok=True)

    def _path(self, join: Join) -> Path:
        return self._folder / f"{join.request.participant}-{join.digest}.json"


@dataclass(frozen=True, slots=True)
class Received:
    """A request from the network: whether it is new, and whether it is admitted already."""

    join: Join
    is_new: bool
    is_admitted: bool


def receive_join(store: JoinStore, data: bytes, published: Published, now: int) -> Received:
    """Stores a request from the network; durable on return.

    Raises DecodeError, ConflictError (AUTHORITY_EXISTS) for a second authority, and what Join.verify raises.
    """
    join = Join.decode(data)
    if is_admitted(join, published):
        return Received(join, is_new=False, is_admitted=True)
    join.verify(published, now, on_arrival=True)
    return Received(join, is_new=store.put(join, bounded=True), is_admitted=False)
