"""Issuing codes: check the order, draw the holder's tag, take an index, sign, record, answer.

Rules:

* A code is answered only when its index, its record and the answer itself are
  durable (`NodeStore.record_issue`); the same request then gives the same answer.
* One bad order refuses itself and no other.
* A code never outlives the revocation lists (NOT_COVERED), the policy's cap for
  its presentation, the stated end of the level, or the end of all codes of a
  province that leaves; which issues none from when it signs no more (ISSUER_RETIRED).
* The holder tag costs about 36 core-ms (Argon2id, outside the GIL): drawn once
  a holder and day, on all cores, and kept.

Everything here blocks; the service runs it in a worker thread.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from healthcode.clock import Clock, rfc3339
from healthcode.errors import HealthcodeError, InvalidInputError, PreconditionError, Reason
from healthcode.identity.document import IdentityDocument
from healthcode.identity.name import mask_name
from healthcode.revocation.day import day_of
from healthcode.revocation.index import IndexScheme
from healthcode.signing.ed25519 import PrivateKey, kid
from healthcode.signing.purpose import KeyPurpose
from healthcode.trust.view import TrustView
from healthcode.wire.claims import CodeClaims, Presentation
from healthcode.wire.code import sign_code
from healthcode.wire.holder_tag import holder_tag
from province_node.keys.keyring import Keyring
from province_node.people.level import LevelStatement, check_level
from province_node.settings import IssueSettings
from province_node.store.records import (
    CodeRecord,
    HolderKey,
    HolderTag,
    IndexBlock,
    IssueEntry,
    IssueStore,
    Publication,
    Request,
)

__all__ = ["MAX_ORDERS", "IndexSource", "IssueOrder", "IssueUseCase", "IssuedCode"]

MAX_ORDERS = 1000
_BLOCK = 4096
_MOST_DAYS = 32  # no code lives longer
_SALT_BYTES = 8
_SECONDS_PER_DAY = 86_400
_PURPOSE = {Presentation.LIVE: KeyPurpose.LIVE, Presentation.PAPER: KeyPurpose.PAPER}


@dataclass(frozen=True, slots=True)
class IssueOrder:
    """What a back end asks for. `validity_seconds` None: the node's default for the presentation."""

    document: IdentityDocument
    name: str
    statement: LevelStatement
    presentation: Presentation
    validity_seconds: int | None = None
    shown_by_relative: bool = False


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code that was made and recorded."""

    text: str
    index: int
    kid: bytes
    issued_at: int
    expires_at: int

    def __repr__(self) -> str:
        return f"IssuedCode(index={self.index})"


IssueResult = IssuedCode | HealthcodeError


class IndexSource:
    """Gives indices, each once for ever: counters come in blocks that are durable before use."""

    def __init__(self, store: IssueStore, secret: bytes) -> None:
        self._store = store
        self._secret = secret
        self._lock = threading.Lock()
        self._held: str | None = None
        self._blocks: dict[int, IndexBlock] = {}
        self._schemes: dict[tuple[int, int], IndexScheme] = {}

    def take(self, day: int) -> int:
        """A new index for a code that expires on `day`.

        Raises PreconditionError: INDEX_EXHAUSTED, or NOT_COVERED while held.
        """
        with self._lock:
            if self._held is not None:
                raise PreconditionError(self._held, reason=Reason.NOT_COVERED)
            block = self._blocks.get(day)
            if block is None or block.first == block.end:
                block = self._store.reserve_block(day, _BLOCK)
            self._blocks[day] = replace(block, first=block.first + 1)
            return self._scheme(day, block.series).index(block.first)

    def forget(self) -> None:
        """Another database may have given out what was reserved: begin anew, in the series that is open now."""
        with self._lock:
            self._blocks = {}

    def hold(self, why: str | None) -> None:
        """Give no index from now on, saying why; None: give them again."""
        with self._lock:
            self._held = why
            self._blocks = {}

    def _scheme(self, day: int, series: int) -> IndexScheme:
        scheme = self._schemes.get((day, series))
        if scheme is None:
            self._forget_past(day)
            scheme = self._schemes[day, series] = IndexScheme(self._secret, series, day)
        return scheme

    def _forget_past(self, day: int) -> None:
        past = day - _MOST_DAYS
        self._blocks = {key: block for key, block in self._blocks.items() if key > past}
        self._schemes = {key: scheme for key, scheme in self._schemes.items() if key[0] > past}


class IssueUseCase:
    """Issues codes for one participant."""

    def __init__(
        self,
        *,
        participant: str,
        realm: str,
        keyring: Keyring,
        store: IssueStore,
        trust: Callable[[], TrustView],
        publication: Callable[[], Publication | None],
        clock: Clock,
        settings: IssueSettings,
    ) -> None:
        self._participant = participant
        self._realm = realm
        self._keyring = keyring
        self._store = store
        self._trust = trust
        self._publication = publication
        self._clock = clock
        self._settings = settings
        self._holders = HolderKey(keyring.holder_secret())
        self.indices = IndexSource(store, keyring.index_secret())
        threads = settings.tag_threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="holder-tag")

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def issue(
        self,
        orders: Sequence[IssueOrder | HealthcodeError],
        request: Request,
        encode: Callable[[Sequence[IssueResult]], bytes],
        replaces: bytes | None = None,
    ) -> bytes:
        """Issues what can be issued and gives the encoded answer; durable when it returns.

        An order that is already an error stays that error. `encode` makes the answer
        of the results, one for each order, in order. With `replaces`, a kid, only holders
        who have a code of that key still out get one (CODE_UNKNOWN for the others).
        """
        now = self._clock.now()
        earlier = self._store.find_response(request, now)
        if earlier is not None:
            return earlier
        results: list[IssueResult | None] = [None] * len(orders)
        accepted: list[tuple[int, IssueOrder]] = []
        for position, order in enumerate(orders):
            if isinstance(order, HealthcodeError):
                results[position] = order
                continue
            try:
                self._check(order, now)
                if replaces is not None:
                    self._check_replaces(order, replaces, now)
                accepted.append((position, order))
            except HealthcodeError as error:
                results[position] = error
        tags = self._draw_tags([order for _, order in accepted], now)
        entries: list[IssueEntry] = []
        signed_at = self._clock.now()
        for position, order in accepted:
            try:
                issued, entry = self._sign(order, tags, now // _SECONDS_PER_DAY, signed_at)
                entries.append(entry)
                results[position] = issued
            except HealthcodeError as error:
                results[position] = error
        response = encode([result for result in results if result is not None])
        return self._store.record_issue(entries, request, response, signed_at)

    def _check(self, order: IssueOrder, now: int) -> None:
        """All that can be refused before anything costs."""
        self._check_not_retired(now)
        check_level(order.statement, issuer=self._participant, now=now)
        validity = self._validity(order)
        cap = self._trust().policy.in_force(now).max_validity_seconds[order.presentation]
        if not 1 <= validity <= cap:
            raise InvalidInputError(
                f"validity: a {order.presentation} code lives 1 to {cap} seconds",
                fields={"validity": f"1 to {cap} seconds"},
            )
        expires_at = self._expires_at(order, now)
        publication = self._publication()
        if publication is None or day_of(expires_at) > publication.covered_to:
            raise PreconditionError(
                "the revocation head that the registry holds does not cover this code's expiry yet: "
                "wait until this node has published (see `province-node status`)",
                reason=Reason.NOT_COVERED,
            )
        self._signing_key(order, now)

    def _check_not_retired(self, now: int) -> None:
        """Raises PreconditionError (ISSUER_RETIRED) once this province signs no more."""
        retirement = self._trust().retirements.get(self._participant)
        if retirement is not None and now >= retirement.signs_until:
            raise PreconditionError(
                f"this province leaves: it signs no code from {rfc3339(retirement.signs_until)} on. What is out "
                f"is good until {rfc3339(retirement.codes_until)}; new codes come from the province that takes "
                "its place",
                reason=Reason.ISSUER_RETIRED,
            )

    def _check_replaces(self, order: IssueOrder, kid: bytes, now: int) -> None:
        if not self._store.has_code_under(kid, self._holders.holder(order.document), now):
            raise InvalidInputError(
                f"the holder has no code of key {kid.hex()} that is out: nothing to replace",
                reason=Reason.CODE_UNKNOWN,
            )

    def _validity(self, order: IssueOrder) -> int:
        if order.validity_seconds is not None:
            return order.validity_seconds
        if order.presentation is Presentation.PAPER:
            return self._settings.paper_validity_seconds
        return self._settings.live_validity_seconds

    def _expires_at(self, order: IssueOrder, issued_at: int) -> int:
        ends = [issued_at + self._validity(order)]
        if order.statement.until is not None:
            ends.append(order.statement.until)
        retirement = self._trust().retirements.get(self._participant)
        if retirement is not None:
            ends.append(retirement.codes_until)
        return min(ends)

    def _signing_key(self, order: IssueOrder, now: int) -> PrivateKey:
        self._check_not_retired(now)
        issuer = self._trust().issuers.get(self._participant)
        return self._keyring.signing_key(_PURPOSE[order.presentation], issuer, now)

    def _draw_tags(self, orders: Sequence[IssueOrder], now: int) -> dict[bytes, HolderTag]:
        """The holders' tags of today: those kept, and new ones on all cores."""
        documents = {self._holders.holder(order.document): order.document for order in orders}
        tags = dict(self._store.holder_tags(list(documents), now // _SECONDS_PER_DAY))
        missing = [holder for holder in documents if holder not in tags]
        drawn = self._pool.map(lambda holder: _draw_tag(documents[holder]), missing)
        tags.update(zip(missing, drawn, strict=True))
        return tags

    def _sign(
        self, order: IssueOrder, tags: dict[bytes, HolderTag], tag_day: int, issued_at: int
    ) -> tuple[IssuedCode, IssueEntry]:
        key = self._signing_key(order, issued_at)
        holder = self._holders.holder(order.document)
        tag = tags[holder]
        expires_at = self._expires_at(order, issued_at)
        day = day_of(expires_at)
        index = self.indices.take(day)
        claims = CodeClaims(
            issuer=self._participant,
            issued_at=issued_at,
            expires_at=expires_at,
            not_before=None,
            version=1,
            level=order.statement.level,
            rule=self._settings.rule,
            index=index,
            presentation=order.presentation,
            shown_by_relative=order.shown_by_relative,
            tag=tag.tag,
            salt=tag.salt,
            name=mask_name(order.name) if order.name else None,
        )
        text = sign_code(claims, key, self._realm)
        key_id = kid(key.public)
        record = CodeRecord(
            day=day,
            index=index,
            holder=holder,
            kid=key_id,
            presentation=order.presentation,
            issued_at=issued_at,
            expires_at=expires_at,
        )
        issued = IssuedCode(text=text, index=index, kid=key_id, issued_at=issued_at, expires_at=expires_at)
        return issued, IssueEntry(
            code=record, statement=order.statement, rule=self._settings.rule, tag=tag, tag_day=tag_day
        )


def _draw_tag(document: IdentityDocument) -> HolderTag:
    salt = secrets.token_bytes(_SALT_BYTES)
    return HolderTag(salt=salt, tag=holder_tag(document, salt))
