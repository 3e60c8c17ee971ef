"""Answers an item of a repeated request from the facts that its first time recorded."""

from __future__ import annotations

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, PreconditionError, Reason
from province_node.codes.code_maker import CodeMaker, IssuedCode, not_repeatable
from province_node.codes.order import Order, OrderRules
from province_node.store.protocols import IssueStore
from province_node.store.records import ItemFacts, RefusalFacts

__all__ = ["IssueResult", "RepeatedItems"]

IssueResult = IssuedCode | HealthcodeError


class RepeatedItems:
    """The same answers as the first time. The orders are the same, too: the request's digest binds them."""

    def __init__(self, maker: CodeMaker, rules: OrderRules, store: IssueStore, clock: Clock) -> None:
        self._maker = maker
        self._rules = rules
        self._store = store
        self._clock = clock

    def answer(self, order: Order, facts: ItemFacts, replaces: bytes | None) -> IssueResult:
        """The code with its text, or the refusal; CODE_NOT_REPEATABLE if the text cannot be made again."""
        if isinstance(facts, RefusalFacts):
            return self._refuse_again(order, facts.reason, replaces)
        if isinstance(order, HealthcodeError):
            # an upgrade may decode the document more strictly than the release that issued the code
            return not_repeatable()
        try:
            return self._maker.sign_again(order, facts, self._store.killed_kids())
        except HealthcodeError as error:
            return error

    def _refuse_again(self, order: Order, reason: Reason, replaces: bytes | None) -> HealthcodeError:
        """The refusal, with the message that its check gives now."""
        if reason is Reason.CODE_NOT_REPEATABLE:
            return not_repeatable()
        try:
            self._rules.check(order, self._clock.now(), replaces)
        except HealthcodeError as error:
            if error.reason is reason:
                return error
        # the order would be accepted now, or refused for another reason
        return PreconditionError(
            "this item was refused when the request came first, and the same request_id gives the same result: "
            "ask with a new id",
            reason=reason,
        )
