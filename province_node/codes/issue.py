"""Issues codes: check, draw tags and indices, sign, record the levels, record the codes, answer.

A code is answered only when its facts are durable; the same request id then gives the same answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, Reason, UnavailableError
from healthcode.revocation.day import DAY_SECONDS, day_of
from healthcode.signing.ed25519 import kid as kid_of
from province_node.codes.code_maker import CodeMaker, IssuedCode
from province_node.codes.holder_tags import HolderTags
from province_node.codes.index_source import IndexSource
from province_node.codes.order import IssueOrder, Order, OrderRules, Published, stated
from province_node.codes.repeat import IssueResult, RepeatedItems
from province_node.keys.keyring import Keyring
from province_node.people.holder_levels import HolderLevel, HolderLevels
from province_node.people.level import check_stated_level
from province_node.people.pseudonym import PseudonymKey
from province_node.settings import IssueSettings
from province_node.store.facts import hash_text
from province_node.store.protocols import IssueStore
from province_node.store.records import (
    CodeFacts,
    HolderTag,
    IssueOutcome,
    ItemFacts,
    LevelStatement,
    NewCode,
    NotRecorded,
    Request,
    StatedLevel,
)

__all__ = ["MAX_ORDERS", "IssueUseCase", "Issued", "IssuingClock"]

MAX_ORDERS = 1000
_SLICE = 50
"""How many items are recorded together. A kill loses no more than one slice, and no writer waits long for one."""
_ATTEMPTS = 5


class IssuingClock(Clock, Protocol):
    """A clock that knows when it is wrong."""

    def right_now(self) -> int:
        """The time that dates a code. Raises PreconditionError (CLOCK_WRONG) while it is known to be wrong."""
        ...


@dataclass(frozen=True, slots=True)
class Issued:
    """The results of a request, one for each order, in order; `new`: those that this very call recorded."""

    results: Sequence[IssueResult]
    new: Sequence[IssueResult]


@dataclass(frozen=True, slots=True, repr=False)
class _SignedCode:
    """A code that is not recorded yet. Its repr would have the text."""

    text: str
    holder: bytes
    order: IssueOrder
    facts: CodeFacts
    tag_day: int
    derived: HolderLevel | None


@dataclass(slots=True)
class _Progress:
    """A request on its way: its results by position, and what it had recorded before."""

    request: Request
    earlier: dict[int, ItemFacts]
    made: dict[int, IssueResult] = field(default_factory=dict)


class IssueUseCase:
    """Issues codes for one participant. Everything here blocks; the service runs it in a worker thread."""

    def __init__(
        self,
        *,
        participant: str,
        realm: str,
        keyring: Keyring,
        store: IssueStore,
        published: Published,
        levels: HolderLevels,
        clock: IssuingClock,
        settings: IssueSettings,
    ) -> None:
        self._keyring = keyring
        self._store = store
        self._levels = levels
        self._clock = clock
        self._rule = settings.rule
        self._pseudonyms = PseudonymKey(keyring.holder_secret())
        self._rules = OrderRules(participant, keyring, self._pseudonyms, store, published, settings)
        self._maker = CodeMaker(participant, realm, keyring, published.trust)
        self._repeated = RepeatedItems(self._maker, self._rules, store, clock)
        self._tags = HolderTags(store, settings.tag_threads)
        self.indices = IndexSource(store, keyring.index_secret())

    def close(self) -> None:
        self._tags.close()

    def issue(
        self,
        orders: Sequence[Order],
        request: Request,
        *,
        replaces: bytes | None = None,
        keeps_refusals: bool = True,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> Issued:
        """Issues what can be issued. A bad order is refused; the others are issued.

        With `replaces`, a kid, only holders who have an unexpired code of that key get one (CODE_UNKNOWN for the
        others). Without `keeps_refusals` a refused order may succeed when the request is repeated. Raises
        PreconditionError (CLOCK_WRONG) while this node's clock is wrong, UnavailableError if other requests change the same holders all the time, or between two slices when the
        request `is_wanted` no more; finished items stay recorded, and a repeat goes on behind them.
        """
        earlier = self._store.find_issue(request, self._clock.now())
        progress = _Progress(request, dict(earlier))
        waiting = {position: order for position, order in enumerate(orders) if position not in earlier}
        for number, part in enumerate(self._slices(waiting)):
            if number and not is_wanted():
                raise UnavailableError(
                    "the caller of this batch is gone: a repeat with the same request_id issues the rest",
                    reason=Reason.DEADLINE_EXCEEDED,
                )
            self._issue_slice(part, progress, replaces, keeps_refusals=keeps_refusals)
        results = [
            progress.made[position]
            if position in progress.made
            else self._repeated.answer(order, progress.earlier[position], replaces)
            for position, order in enumerate(orders)
        ]
        return Issued(results=results, new=list(progress.made.values()))

    def _slices(self, orders: Mapping[int, Order]) -> Iterator[dict[int, Order]]:
        """Orders to be recorded together: in one slice a holder has one level."""
        part: dict[int, Order] = {}
        levels: dict[bytes, LevelStatement | None] = {}
        for position, order in orders.items():
            holder, statement = b"", None
            if isinstance(order, IssueOrder):
                holder, statement = self._pseudonyms.pseudonym(order.document), order.statement
            if len(part) >= _SLICE or levels.get(holder, statement) != statement:
                yield part
                part, levels = {}, {}
            part[position] = order
            levels[holder] = statement
        if part:
            yield part

    def _issue_slice(
        self,
        orders: Mapping[int, Order],
        progress: _Progress,
        replaces: bytes | None,
        *,
        keeps_refusals: bool,
    ) -> None:
        waiting = dict(orders)
        for _ in range(_ATTEMPTS):
            signed, refused = self._sign_all(waiting, replaces)
            outcome = self._record(signed, refused if keeps_refusals else {}, progress.request)
            progress.earlier |= outcome.earlier
            for position, error in refused.items():
                if position not in outcome.earlier:
                    progress.made[position] = error
            for position, code in signed.items():
                if position not in outcome.earlier and position not in outcome.not_recorded:
                    progress.made[position] = IssuedCode.of(code.text, code.facts)
            waiting = {position: waiting[position] for position in outcome.not_recorded}
            if not waiting:
                return
            self._learn(signed, outcome)
        raise UnavailableError(
            "other requests change the levels of these holders all the time: try again with the same request_id",
            reason=Reason.OVERLOADED,
            retry_after_seconds=1,
        )

    def _sign_all(
        self, orders: Mapping[int, Order], replaces: bytes | None
    ) -> tuple[dict[int, _SignedCode], dict[int, HealthcodeError]]:
        """Codes that are signed and not recorded yet, and refusals, by position."""
        now = self._clock.right_now()
        refused: dict[int, HealthcodeError] = {}
        accepted: dict[int, tuple[bytes, IssueOrder]] = {}
        for position, order in orders.items():
            try:
                checked = self._rules.check(order, now, replaces)
            except HealthcodeError as error:
                refused[position] = error
            else:
                accepted[position] = (self._pseudonyms.pseudonym(checked.document), checked)
        day = now // DAY_SECONDS
        tags = self._tags.draw({holder: order.document for holder, order in accepted.values()}, day)
        # looked up as late as possible; a level that moves after this is found when the code is recorded
        derived = self._levels.find([holder for holder, _ in accepted.values()])
        levels = {} if derived is None else dict(zip(accepted, derived, strict=True))
        # drawing tags takes long: the codes begin when they are signed
        issued_at = self._clock.right_now()
        signed: dict[int, _SignedCode] = {}
        for position, (holder, order) in accepted.items():
            try:
                # midnight, or the end of the level, may have passed meanwhile
                self._rules.check(order, issued_at)
                level = levels.get(position)
                text, facts = self._sign(order, tags[holder], issued_at, level)
            except HealthcodeError as error:
                refused[position] = error
            else:
                signed[position] = _SignedCode(text, holder, order, facts, day, level)
        return signed, refused

    def _sign(
        self, order: IssueOrder, tag: HolderTag, issued_at: int, derived: HolderLevel | None
    ) -> tuple[str, CodeFacts]:
        key = self._rules.signing_key(order, issued_at)
        if derived is None:
            statement = stated(order)
            level, rule, level_ends = statement.level, self._rule, statement.until
        else:
            check_stated_level(order.statement, derived.level)
            # the code does not tell why: its rule is the policy version
            level, rule, level_ends = derived.level, derived.policy_version, derived.until
        expires_at = self._rules.expires_at(order, issued_at, level_ends)
        facts = CodeFacts(
            index=self.indices.take(day_of(expires_at)),
            kid=kid_of(key.public),
            issued_at=issued_at,
            expires_at=expires_at,
            level=level,
            rule=rule,
            tag=tag,
        )
        text = self._maker.sign(order, facts, key)
        return text, replace(facts, text_hash=hash_text(text))

    def _record(
        self, signed: Mapping[int, _SignedCode], refused: Mapping[int, HealthcodeError], request: Request
    ) -> IssueOutcome:
        """Records levels, then codes and refusals: two durable steps, so no code is without its level."""
        if not signed and not refused:
            return IssueOutcome()
        at = max((code.facts.issued_at for code in signed.values()), default=self._clock.now())
        levels = {
            position: StatedLevel(code.holder, stated(code.order), self._rule)
            for position, code in signed.items()
            if code.derived is None
        }
        sequences = {
            position: code.derived.sequence for position, code in signed.items() if code.derived is not None
        }
        if levels:
            sequences |= self._store.record_level(levels, request, at)
        codes = {
            position: NewCode(
                facts=code.facts,
                holder=code.holder,
                presentation=code.order.presentation,
                sequence=sequences.get(position, 0),  # without one, another call has recorded the item
                tag_day=code.tag_day,
                is_derived=code.derived is not None,
            )
            for position, code in signed.items()
        }
        reasons = {position: error.reason for position, error in refused.items()}
        return self._store.record_issue(codes, reasons, request, at)

    def _learn(self, signed: Mapping[int, _SignedCode], outcome: IssueOutcome) -> None:
        """Takes over what another process has decided, before the codes that it blocked are made again."""
        for position, obstacle in outcome.not_recorded.items():
            if obstacle is NotRecorded.KEY_KILLED:
                self._keyring.forbid({signed[position].facts.kid})
            elif obstacle in {NotRecorded.SERIES_CLOSED, NotRecorded.STOPPED}:
                self.indices.forget()
