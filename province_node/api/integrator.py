"""ProvinceNodeService for integrators: converts, calls a use case, converts back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from healthcode.clock import Clock
from healthcode.errors import InvalidInputError, Reason
from healthcode.policy.words import Decision, Outcome
from healthcode.rpc.call import CallInfo
from healthcode.rpc.convert import (
    category_word,
    duration,
    encode_verdict,
    enum_member,
    enum_number,
    place_word,
)
from healthcode.trust.view import TrustView
from healthcode.v1 import province_node_pb2
from healthcode.verification.context import CheckContext
from healthcode.verification.place_check import check_place
from healthcode.verification.verdict import Verdict
from healthcode.verification.verify import verify_code
from healthcode.wire.answer import CodeStatus
from healthcode.wire.question import QueryMode, QueryPurpose
from province_node.metrics import NodeMetrics
from province_node.queries.ask import AskUseCase, StatusResult

__all__ = ["ProvinceNodeServicer"]

MAX_BATCH = 128
_ASK_SECONDS = 5.0
_ASK_MARGIN_SECONDS = 0.25
_PURPOSES = ", ".join(name for name, number in province_node_pb2.QueryPurpose.items() if number)
_MODES = ", ".join(name for name, number in province_node_pb2.QueryMode.items() if number)


class ProvinceNodeServicer:
    """Verification for integrators. It stores nothing, and has no side effects."""

    def __init__(
        self, *, trust: Callable[[], TrustView], ask: AskUseCase, clock: Clock, metrics: NodeMetrics
    ) -> None:
        self._trust = trust
        self._ask = ask
        self._clock = clock
        self._metrics = metrics

    async def Verify(  # noqa: N802  named as in the proto
        self, request: province_node_pb2.VerifyRequest, _: CallInfo
    ) -> province_node_pb2.VerifyResponse:
        _check_has_item(request)
        context = _context(request.item)
        verdict = verify_code(self._trust(), request.item.code, context, self._clock.now())
        self._metrics.count_verdict(verdict)
        return province_node_pb2.VerifyResponse(verdict=encode_verdict(verdict))

    async def VerifyBatch(  # noqa: N802  named as in the proto
        self, request: province_node_pb2.VerifyBatchRequest, _: CallInfo
    ) -> province_node_pb2.VerifyBatchResponse:
        if not 1 <= len(request.items) <= MAX_BATCH:
            raise InvalidInputError(
                f"a batch has 1 to {MAX_BATCH} items, this one has {len(request.items)}",
                reason=Reason.BATCH_TOO_LARGE if request.items else Reason.INVALID_REQUEST,
                fields={"items": f"1 to {MAX_BATCH}"},
            )
        view, now = self._trust(), self._clock.now()
        verdicts = await asyncio.to_thread(lambda: [_verify_item(view, item, now) for item in request.items])
        for verdict in verdicts:
            self._metrics.count_verdict(verdict)
        return province_node_pb2.VerifyBatchResponse(results=map(encode_verdict, verdicts))

    async def VerifyStream(  # noqa: N802  named as in the proto
        self, requests: AsyncIterator[province_node_pb2.VerifyStreamRequest], _: CallInfo
    ) -> AsyncIterator[province_node_pb2.VerifyStreamResponse]:
        # each request is answered before the next is read, so flow control limits what waits
        async for request in requests:
            verdict = _verify_item(self._trust(), request.item, self._clock.now())
            self._metrics.count_verdict(verdict)
            yield province_node_pb2.VerifyStreamResponse(verdict=encode_verdict(verdict))

    async def QueryStatus(  # noqa: N802  named as in the proto
        self, request: province_node_pb2.QueryStatusRequest, call: CallInfo
    ) -> province_node_pb2.QueryStatusResponse:
        _check_has_item(request)
        mode = _mode(request.mode)
        purpose = enum_member(province_node_pb2.QueryPurpose, request.purpose, QueryPurpose)
        if purpose is None:
            raise InvalidInputError(
                "a status query says what it is for", fields={"purpose": f"one of {_PURPOSES}"}
            )
        remaining = call.remaining_seconds(margin=_ASK_MARGIN_SECONDS)
        seconds = _ASK_SECONDS if remaining is None else max(0.05, min(remaining, _ASK_SECONDS))
        result = await self._ask.ask(request.item.code, mode, purpose, _context(request.item), seconds)
        self._metrics.count_query(mode, result.verdict)
        if not request.mode:
            verdict = result.verdict
            warned = verdict._replace(warnings=(*verdict.warnings, "NO_QUERY_MODE"))
            result = replace(result, verdict=warned)
        return _status_response(result)

    async def CheckRequirement(  # noqa: N802  named as in the proto
        self, request: province_node_pb2.CheckRequirementRequest, _: CallInfo
    ) -> province_node_pb2.CheckRequirementResponse:
        found = check_place(
            self._trust(),
            place_word(request.place_type),
            request.area_code,
            category_word(request.person_category),
            self._clock.now(),
        )
        self._metrics.count_requirement(found.required)
        response = province_node_pb2.CheckRequirementResponse(
            requirement=enum_number(province_node_pb2.Requirement, found.required),
            rule=found.rule,
            policy_version=found.policy_version,
            warnings=found.warnings,
        )
        if found.areas_as_of is not None:
            response.areas_as_of.seconds = found.areas_as_of
        return response


def _context(item: province_node_pb2.VerifyItem) -> CheckContext:
    """Raises InvalidInputError, which names the field."""
    return CheckContext.of(
        place_word(item.place_type), item.area_code, category_word(item.person_category), item.item_id
    )


def _mode(number: int) -> QueryMode:
    """CACHED if none was given. Raises InvalidInputError for one that is not known: it may ask for more than CACHED."""
    mode = enum_member(province_node_pb2.QueryMode, number, QueryMode)
    if number and mode is None:
        raise InvalidInputError(f"query mode {number} is not known", fields={"mode": f"one of {_MODES}"})
    return mode or QueryMode.CACHED


def _check_has_item(request: province_node_pb2.VerifyRequest | province_node_pb2.QueryStatusRequest) -> None:
    """Raises InvalidInputError if the request has no item."""
    if _is_missing(request.item):
        raise InvalidInputError("there is no item to verify", fields={"item": "missing"})


def _is_missing(item: province_node_pb2.VerifyItem) -> bool:
    return item.ByteSize() == 0


def _verify_item(view: TrustView, item: province_node_pb2.VerifyItem, now: int) -> Verdict:
    """The verdict on one item of many. A bad field makes this verdict UNDECIDED, without a rule, and no other."""
    if _is_missing(item):
        # no code was shown, so no person may be refused
        return verify_code(view, "", CheckContext(), now)._replace(
            decision=Decision.UNDECIDED,
            rule="",
            detail="item.missing",
            remedy="send the code in the field item and ask again",
            warnings=("MISSING_ITEM",),
        )
    try:
        return verify_code(view, item.code, _context(item), now)
    except InvalidInputError as error:
        field = next(iter(error.fields), "item")
        context = CheckContext.of(place_word(item.place_type), "", category_word(item.person_category))
        verdict = verify_code(view, item.code, context, now)
        undecided = verdict.outcome is Outcome.VALID  # a bad code stays refused
        return verdict._replace(
            decision=Decision.UNDECIDED if undecided else verdict.decision,
            rule="" if undecided else verdict.rule,
            reusable_until=None,
            item_id=item.item_id[:64] if field != "item_id" else "",
            detail=verdict.detail or f"item.{field}",
            remedy=verdict.remedy or f"correct the field {field} of this item and ask again",
            warnings=(*verdict.warnings, f"INVALID_{field.upper()}"),
        )


def _status_response(result: StatusResult) -> province_node_pb2.QueryStatusResponse:
    response = province_node_pb2.QueryStatusResponse(
        verdict=encode_verdict(result.verdict),
        mode=enum_number(province_node_pb2.QueryMode, result.mode),
        retry_after=duration(result.retry_after_seconds),
        signed_answer=result.signed_answer,
    )
    answer = result.answer
    if answer is not None:
        response.status = enum_number(province_node_pb2.CodeStatus, answer.status)
        response.sequence = answer.sequence
        response.produced_at.seconds = answer.produced_at
        response.expires_at.seconds = answer.expires_at
    elif result.verdict.outcome in _STATUS_OFFLINE:
        response.status = enum_number(province_node_pb2.CodeStatus, _STATUS_OFFLINE[result.verdict.outcome])
    return response


_STATUS_OFFLINE = {Outcome.REVOKED: CodeStatus.REVOKED, Outcome.EXPIRED: CodeStatus.EXPIRED}
"""Outcomes that need no question: the home's signed lists and the code say the status."""
