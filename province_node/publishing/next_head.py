"""Makes the next revocation head from the store and the trust files. It sends nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from healthcode.audit.checkpoint import Checkpoint
from healthcode.errors import HealthcodeError
from healthcode.revocation.day import GRACE_SECONDS, day_of
from healthcode.revocation.head import Head, decode_head, encode_head
from healthcode.signing.ed25519 import PrivateKey
from healthcode.telemetry import get_logger
from healthcode.trust.clock_evidence import TOLERANCE_SECONDS
from healthcode.trust.format.metadata import sign_metadata, to_bytes
from healthcode.trust.format.new_metadata import new_live_metadata
from healthcode.trust.view import IssuerView
from province_node.publishing.day_list import DayLists, MadeLists
from province_node.publishing.padding import Padding
from province_node.store.protocols import PublishStore
from province_node.store.publication import Publication

__all__ = ["COVER_MARGIN_DAYS", "HeadFacts", "HeadMaker", "NextHead"]

COVER_MARGIN_DAYS = 8
"""A head covers so many days more than the longest code that the policy allows."""


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """The inputs of a head beside the store and the trust files: whether it is due, and its content.

    `registry_time` is a time that the registry signed. `resend_lists` sends every list, for a registry
    that has lost some. The version is above `above_version`.
    """

    now: int
    longest_code_seconds: int
    resign_seconds: float
    registry_time: int | None = None
    has_second_node: bool = False
    resend_lists: bool = False
    above_version: int = 0


@dataclass(frozen=True, slots=True)
class NextHead:
    """A signed head, ready to send. `lists` are the lists and deltas that the registry lacks."""

    request_id: str
    metadata: bytes
    head: bytes
    lists: tuple[bytes, ...]
    record: Publication


class HeadMaker:
    """Makes the heads of one participant. `keys` gives the live keys of this node, in the order to try them.

    `checkpoint` gives that of the node's audit log at a time, which the live metadata carries.
    """

    def __init__(
        self,
        participant: str,
        realm: str,
        *,
        store: PublishStore,
        keys: Callable[[IssuerView], Sequence[PrivateKey]],
        padding: Padding | None = None,
        checkpoint: Callable[[int], Checkpoint | None] = lambda _: None,
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._store = store
        self._padding = padding
        self._lists = DayLists(store, realm=realm, issuer=participant)
        self._checkpoint = checkpoint
        self._log = get_logger("publish")
        self.keys = keys

    def forget_lists(self) -> None:
        """Reads the lists from the store again, because something else than revoking has changed it."""
        self._lists = DayLists(self._store, realm=self._realm, issuer=self._participant)

    def pad(self, now: int) -> None:
        """Pads the lists that go out next, so that their size is no count. Blocks."""
        if self._padding is not None:
            self._padding.pad(now)

    def make(self, issuer: IssuerView, key: PrivateKey, facts: HeadFacts) -> NextHead | None:
        """The head to publish now; None when no head is due. Reads the store; blocks."""
        last = self._store.publication()
        through = self._store.last_revocation()
        killed = self._store.killed_kids()
        published = max(last.version if last else 0, issuer.live_version or 0, facts.above_version)
        now, is_misdated = _dated(last, issuer, facts)
        facts = replace(facts, now=now)
        covered_from, covered_to = _covered(facts)
        if (
            not facts.resend_lists
            and last is not None
            and (published, through) == (last.version, last.through)
        ):
            same_days = covered_from <= last.covered_from and covered_to <= last.covered_to
            is_fresh = not is_misdated and facts.now - last.signed_at < facts.resign_seconds
            if same_days and is_fresh and self._names(last, killed):
                return None
        base = self._base_head(last, issuer)
        # a head that was signed in the future has forgotten days whose codes are in use: the store has their lists
        comes_back = base is not None and base.covered_from > day_of(facts.now)
        if base is not None:
            covered_from = covered_from if comes_back else max(covered_from, base.covered_from)
            covered_to = max(covered_to, base.covered_to)
        whole = facts.resend_lists or comes_back
        made = self._lists.make(
            {} if base is None else base.days,
            range(covered_from, covered_to + 1),
            after=last.through if last is not None and not whole else 0,
            through=through,
            whole=whole,
        )
        head = Head(
            version=1 if base is None else base.version + 1,
            realm=self._realm,
            issuer=self._participant,
            covered_from=covered_from,
            covered_to=covered_to,
            days=made.days,
            killed_kids=killed if base is None else base.killed_kids | killed,
            sealing_keys=() if base is None else base.sealing_keys,
            first_series=self._first_series(covered_from, base, facts),
        )
        if base is not None and replace(head, version=base.version) == base:
            head = base
        record = Publication(
            version=published + 1,
            signed_at=facts.now,
            covered_from=covered_from,
            covered_to=covered_to,
            through=through,
            head=encode_head(head),
            lists=made.versions,
        )
        return self._sign(record, made, key)

    def _sign(self, record: Publication, made: MadeLists, key: PrivateKey) -> NextHead:
        metadata = new_live_metadata(
            self._participant,
            version=record.version,
            head=record.head,
            now=record.signed_at,
            checkpoint=self._audit_checkpoint(record.signed_at),
        )
        sign_metadata(metadata, key)
        return NextHead(
            request_id=secrets.token_hex(16),
            metadata=to_bytes(metadata),
            head=record.head,
            lists=made.files,
            record=record,
        )

    def _audit_checkpoint(self, now: int) -> Checkpoint | None:
        try:
            return self._checkpoint(now)
        except HealthcodeError as error:
            # revocations go out all the same; other provinces see that the checkpoint is missing
            self._log.error("audit_checkpoint_failed", reason=str(error.reason), why=error.message)
            return None

    def _first_series(self, covered_from: int, base: Head | None, facts: HeadFacts) -> int:
        """The first usable series: the stored one after a restore, else the published one."""
        # while a second node publishes, no series is opened: each would take over the other's until none is left
        stored = None if facts.has_second_node else self._store.first_series(covered_from)
        if stored is not None:
            return stored
        return 0 if base is None else base.first_series

    def _names(self, last: Publication, killed: frozenset[bytes]) -> bool:
        """Whether the last head names every key that was killed here."""
        return not killed or killed <= self._decode(last).killed_kids

    def _base_head(self, last: Publication | None, issuer: IssuerView) -> Head | None:
        """The newer of the last acknowledged head and the head in the trust files."""
        known = self._decode(last) if last is not None else None
        seen = issuer.revocations.head if issuer.revocations is not None else None
        if known is None or (seen is not None and seen.version > known.version):
            return seen
        return known

    def _decode(self, publication: Publication) -> Head:
        return decode_head(publication.head, realm=self._realm, issuer=self._participant)


def _dated(last: Publication | None, issuer: IssuerView, facts: HeadFacts) -> tuple[int, bool]:
    """When the next head is signed, and whether the newest one was signed in the future, so that it must be replaced.

    Signed times do not go back, except behind a head in the future of our clock and of the registry's time.
    """
    newest = max(last.signed_at if last else 0, issuer.live_signed_at or 0)
    if newest > max(facts.now, facts.registry_time or 0) + TOLERANCE_SECONDS:
        return facts.now, True
    return max(facts.now, newest), False


def _covered(facts: HeadFacts) -> tuple[int, int]:
    """The first and the last day that a head of now covers."""
    # by a clock that runs ahead, days would be forgotten whose codes are still in use
    forgets_at = facts.now if facts.registry_time is None else min(facts.now, facts.registry_time)
    return (
        day_of(forgets_at - GRACE_SECONDS),
        day_of(facts.now + facts.longest_code_seconds) + COVER_MARGIN_DAYS,
    )
