"""The node's gRPC services: convert, call a use case, convert back.

    ProvinceNodeService    for integrators: Verify, VerifyBatch, VerifyStream, QueryStatus
    FederationService      for the gateway: Answer
    ProvinceIssuerService  for the province's own back ends: IssueCode, IssueCodes, RevokeCodes

Who may call what stands in healthcode.rpc.access; errors become statuses in
healthcode.rpc.server. Verifying stores nothing about a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from healthcode.clock import Clock
from healthcode.code.answer import CodeStatus
from healthcode.code.claims import Level, Presentation
from healthcode.code.question import QueryMode, QueryPurpose
from healthcode.errors import HealthcodeError, InvalidInputError, Reason
from healthcode.identity.document import decode_document
from healthcode.policy.enumeration import Decision, Outcome
from healthcode.rpc.call import CallInfo
from healthcode.rpc.convert import (
    category_word,
    duration,
    encode_verdict,
    enum_member,
    enum_number,
    epoch,
    place_word,
    timestamp,
)
from healthcode.trust.view import TrustView
from healthcode.v1 import federation_pb2, province_issuer_pb2, province_node_pb2, verdict_pb2
from healthcode.verification.context import CheckContext
from healthcode.verification.verdict import Verdict
from healthcode.verification.verify import verify_code
from province_node.answer import AnswerUseCase
from province_node.ask import AskUseCase, StatusResult
from province_node.issue import MAX_ORDERS, IssuedCode, IssueOrder, IssueUseCase
from province_node.level import LevelReason, LevelStatement
from province_node.metric import NodeMetrics
from province_node.record import HolderKey, Request, RevocationReason
from province_node.revoke import RevokeUseCase

__all__ = ["FederationServicer", "ProvinceIssuerServicer", "ProvinceNodeServicer"]

MAX_BATCH = 128
_ASK_SECONDS = 5.0
_ASK_MARGIN_SECONDS = 0.25
_REQUEST_SECONDS = 86_400
_MAX_REQUEST_ID = 64
_ISSUING_THREADS = 4


class ProvinceNodeServicer:
    """Verification for integrators. Free of side effects."""

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
        # one at a time: what is read is answered before more is read, so flow control bounds the rest
        async for request in requests:
            verdict = _verify_item(self._trust(), request.item, self._clock.now())
            self._metrics.count_verdict(verdict)
            yield province_node_pb2.VerifyStreamResponse(verdict=encode_verdict(verdict))

    async def QueryStatus(  # noqa: N802  named as in the proto
        self, request: province_node_pb2.QueryStatusRequest, call: CallInfo
    ) -> province_node_pb2.QueryStatusResponse:
        mode = enum_member(province_node_pb2.QueryMode, request.mode, QueryMode) or QueryMode.CACHED
        purpose = enum_member(province_node_pb2.QueryPurpose, request.purpose, QueryPurpose)
        if purpose is None:
            raise InvalidInputError(
                "a status query says what it is for", fields={"purpose": "one of QueryPurpose"}
            )
        remaining = call.remaining_seconds(margin=_ASK_MARGIN_SECONDS)
        seconds = _ASK_SECONDS if remaining is None else max(0.05, min(remaining, _ASK_SECONDS))
        result = await self._ask.ask(request.item.code, mode, purpose, _context(request.item), seconds)
        self._metrics.count_query(mode, result.verdict)
        return _status_response(result)


class FederationServicer:
    """Answers for other participants, carried by the gateway."""

    def __init__(self, *, answer: AnswerUseCase, metrics: NodeMetrics) -> None:
        self._answer = answer
        self._metrics = metrics

    async def Answer(  # noqa: N802  named as in the proto
        self, request: federation_pb2.AnswerRequest, _: CallInfo
    ) -> federation_pb2.AnswerResponse:
        answer, question = await asyncio.to_thread(self._answer.answer, request.question)
        self._metrics.count_answer(question)
        return federation_pb2.AnswerResponse(answer=answer)


class ProvinceIssuerServicer:
    """Issuing and revoking for the province's own back ends."""

    def __init__(
        self,
        *,
        issue: IssueUseCase,
        revoke: RevokeUseCase,
        holder_key: HolderKey,
        clock: Clock,
        metrics: NodeMetrics,
    ) -> None:
        self._issue = issue
        self._revoke = revoke
        self._holder_key = holder_key
        self._clock = clock
        self._metrics = metrics
        # of its own, so that back ends which wait for holder tags never hold up revoking or verifying
        self._issuing = ThreadPoolExecutor(_ISSUING_THREADS, thread_name_prefix="issue")

    def close(self) -> None:
        """Ends the threads; call it once the server has stopped."""
        self._issuing.shutdown(wait=False, cancel_futures=True)

    async def IssueCode(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.IssueCodeRequest, call: CallInfo
    ) -> province_issuer_pb2.IssueCodeResponse:
        remembered = self._remember("IssueCode", request, call)

        def encode(results: Sequence[IssuedCode | HealthcodeError]) -> bytes:
            (result,) = results
            if isinstance(result, HealthcodeError):
                raise result
            self._metrics.count_issued(results)
            return province_issuer_pb2.IssueCodeResponse(issued=_issued(result)).SerializeToString()

        data = await self._run(self._issue.issue, [_order(request.item)], remembered, encode)
        return province_issuer_pb2.IssueCodeResponse.FromString(data)

    async def IssueCodes(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.IssueCodesRequest, call: CallInfo
    ) -> province_issuer_pb2.IssueCodesResponse:
        if not 1 <= len(request.items) <= MAX_ORDERS:
            raise InvalidInputError(
                f"a request issues 1 to {MAX_ORDERS} codes, this one {len(request.items)}",
                reason=Reason.BATCH_TOO_LARGE if request.items else Reason.INVALID_REQUEST,
                fields={"items": f"1 to {MAX_ORDERS}"},
            )
        remembered = self._remember("IssueCodes", request, call)
        orders = [_order_or_error(item) for item in request.items]

        def encode(results: Sequence[IssuedCode | HealthcodeError]) -> bytes:
            self._metrics.count_issued(results)
            return _encode_results(results)

        data = await self._run(self._issue.issue, orders, remembered, encode)
        return province_issuer_pb2.IssueCodesResponse.FromString(data)

    async def RevokeCodes(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.RevokeCodesRequest, call: CallInfo
    ) -> province_issuer_pb2.RevokeCodesResponse:
        reason = enum_member(province_issuer_pb2.RevocationReason, request.reason, RevocationReason)
        if reason is None:
            raise InvalidInputError(
                "a revocation has a reason of the closed list", fields={"reason": "one of RevocationReason"}
            )
        remembered = self._remember("RevokeCodes", request, call)
        data = await asyncio.to_thread(
            self._revoke.revoke, list(request.codes), reason, remembered, _encode_revoked
        )
        response = province_issuer_pb2.RevokeCodesResponse.FromString(data)
        self._metrics.count_revoked(reason, response.newly_revoked)
        return response

    async def _run(self, function: Callable[..., bytes], *arguments: object) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._issuing, function, *arguments)

    def _remember(
        self,
        method: str,
        request: province_issuer_pb2.IssueCodeRequest
        | province_issuer_pb2.IssueCodesRequest
        | province_issuer_pb2.RevokeCodesRequest,
        call: CallInfo,
    ) -> Request:
        request_id = request.request_id
        if not (
            1 <= len(request_id) <= _MAX_REQUEST_ID and request_id.isascii() and request_id.isprintable()
        ):
            raise InvalidInputError(
                "request_id: draw a new one (a UUID) for each new request, and repeat it with a retry",
                fields={"request_id": f"1 to {_MAX_REQUEST_ID} printable ASCII characters"},
            )
        content = request.SerializeToString(deterministic=True)
        return Request(
            caller=call.caller().uri,
            request_id=request_id,
            digest=self._holder_key.request_digest(method, content),
            expires_at=self._clock.now() + _REQUEST_SECONDS,
        )


def _context(item: province_node_pb2.VerifyItem) -> CheckContext:
    """Raises InvalidInputError naming the field."""
    return CheckContext.of(
        place_word(item.place_type), item.area_code, category_word(item.person_category), item.item_id
    )


def _verify_item(view: TrustView, item: province_node_pb2.VerifyItem, now: int) -> Verdict:
    """One item of many: a bad field makes its own verdict UNDECIDED, and touches no other."""
    try:
        return verify_code(view, item.code, _context(item), now)
    except InvalidInputError as error:
        field = next(iter(error.fields), "item")
        context = CheckContext.of(place_word(item.place_type), "", category_word(item.person_category))
        verdict = verify_code(view, item.code, context, now)
        return verdict._replace(
            # a code that is bad in itself stays refused
            decision=Decision.UNDECIDED if verdict.outcome is Outcome.VALID else verdict.decision,
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
"""What the home has said already, in its signed lists and in the code itself."""


def _order(item: province_issuer_pb2.IssueItem) -> IssueOrder:
    """Raises InvalidInputError naming the field."""
    level = enum_member(verdict_pb2.Level, item.level, Level)
    if level is None:
        raise _field("level", "GREEN, YELLOW, RED, PENDING or NO_ABNORMALITY")
    reason = enum_member(province_issuer_pb2.LevelReason, item.reason, LevelReason)
    if item.reason and reason is None:
        raise _field("reason", "one of LevelReason")
    presentation = enum_member(verdict_pb2.Presentation, item.presentation, Presentation)
    if item.presentation and presentation is None:
        raise _field("presentation", "LIVE or PAPER")
    document = decode_document(item.document.document_type, item.document.number)
    return IssueOrder(
        document=document,
        name=item.name,
        statement=LevelStatement(
            level=level,
            reason=reason,
            legal_instrument=item.legal_instrument,
            until=epoch(item, "level_until"),
        ),
        presentation=presentation or Presentation.LIVE,
        validity_seconds=item.validity.seconds if item.HasField("validity") else None,
        shown_by_relative=item.shown_by_relative,
    )


def _order_or_error(item: province_issuer_pb2.IssueItem) -> IssueOrder | HealthcodeError:
    try:
        return _order(item)
    except HealthcodeError as error:
        return error


def _field(name: str, wanted: str) -> InvalidInputError:
    return InvalidInputError(f"{name}: wanted {wanted}", fields={name: wanted})


def _issued(code: IssuedCode) -> province_issuer_pb2.IssuedCode:
    return province_issuer_pb2.IssuedCode(
        code=code.text,
        index=code.index,
        kid=code.kid.hex(),
        issued_at=timestamp(code.issued_at),
        expires_at=timestamp(code.expires_at),
    )


def _encode_results(results: Sequence[IssuedCode | HealthcodeError]) -> bytes:
    response = province_issuer_pb2.IssueCodesResponse()
    for result in results:
        if isinstance(result, HealthcodeError):
            response.results.add(refused_reason=str(result.reason), refused_message=result.message)
        else:
            response.results.add(issued=_issued(result))
    return response.SerializeToString()


def _encode_revoked(newly: int, already: int) -> bytes:
    return province_issuer_pb2.RevokeCodesResponse(
        newly_revoked=newly, already_revoked=already
    ).SerializeToString()
