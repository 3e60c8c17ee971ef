"""The node's gRPC service for the province's own back ends: convert, call a use case, convert back.

    ProvinceIssuerService  IssueCode, IssueCodes; RevokeCodes, RevokeMatching; KillKey, ListKeyHolders

As `service`, which has the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, InvalidInputError, Reason
from healthcode.identity.document import decode_document
from healthcode.rpc.call import CallInfo
from healthcode.rpc.convert import enum_member, enum_number, epoch, timestamp
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from healthcode.wire.claims import Level, Presentation
from province_node.codes.issue import MAX_ORDERS, IssuedCode, IssueOrder, IssueUseCase
from province_node.codes.kill_key import KilledKey, KillUseCase, decode_kid
from province_node.codes.revoke import MAX_HOLDERS, RevokeUseCase, Selection
from province_node.metrics import NodeMetrics
from province_node.people.level import LevelReason, LevelStatement
from province_node.store.records import HolderKey, IssuedUnder, Request, RevocationReason

__all__ = ["ProvinceIssuerServicer"]

_ISSUING_THREADS = 4
_MAX_REQUEST_ID = 64
_REQUEST_SECONDS = 86_400
_MAX_PAGE = 1000


class ProvinceIssuerServicer:
    """Issuing and revoking for the province's own back ends."""

    def __init__(
        self,
        *,
        issue: IssueUseCase,
        revoke: RevokeUseCase,
        kill: KillUseCase,
        holder_key: HolderKey,
        clock: Clock,
        metrics: NodeMetrics,
    ) -> None:
        self._issue = issue
        self._revoke = revoke
        self._kill = kill
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
            self._metrics.count_issued(issued=1, refused=0)
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
            refused = sum(isinstance(result, HealthcodeError) for result in results)
            self._metrics.count_issued(issued=len(results) - refused, refused=refused)
            return _encode_results(results)

        replaces = decode_kid(request.replaces_kid) if request.replaces_kid else None
        data = await self._run(self._issue.issue, orders, remembered, encode, replaces)
        return province_issuer_pb2.IssueCodesResponse.FromString(data)

    async def RevokeCodes(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.RevokeCodesRequest, call: CallInfo
    ) -> province_issuer_pb2.RevokeCodesResponse:
        reason = _reason(request.reason)
        codes = list(request.codes)
        if request.count_only:
            newly, already = await asyncio.to_thread(self._revoke.count, codes)
            return province_issuer_pb2.RevokeCodesResponse(newly_revoked=newly, already_revoked=already)
        remembered = self._remember("RevokeCodes", request, call)

        def encode(newly: int, already: int) -> bytes:
            self._metrics.count_revoked(reason, newly)
            return province_issuer_pb2.RevokeCodesResponse(
                newly_revoked=newly, already_revoked=already
            ).SerializeToString()

        data = await asyncio.to_thread(self._revoke.revoke, codes, reason, remembered, encode)
        return province_issuer_pb2.RevokeCodesResponse.FromString(data)

    async def RevokeMatching(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.RevokeMatchingRequest, call: CallInfo
    ) -> province_issuer_pb2.RevokeMatchingResponse:
        reason = _reason(request.reason)
        selection = self._selection(request)
        if request.count_only:
            newly, already = await asyncio.to_thread(self._revoke.count_matching, selection)
            return province_issuer_pb2.RevokeMatchingResponse(newly_revoked=newly, already_revoked=already)
        remembered = self._remember("RevokeMatching", request, call)

        def encode(newly: int, already: int) -> bytes:
            self._metrics.count_revoked(reason, newly)
            return province_issuer_pb2.RevokeMatchingResponse(
                newly_revoked=newly, already_revoked=already
            ).SerializeToString()

        data = await asyncio.to_thread(self._revoke.revoke_matching, selection, reason, remembered, encode)
        return province_issuer_pb2.RevokeMatchingResponse.FromString(data)

    async def KillKey(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.KillKeyRequest, call: CallInfo
    ) -> province_issuer_pb2.KillKeyResponse:
        reason, kid = _reason(request.reason), decode_kid(request.kid)
        remembered = self._remember("KillKey", request, call)

        def encode(killed: KilledKey) -> bytes:
            self._metrics.count_killed(reason)
            return province_issuer_pb2.KillKeyResponse(
                codes_out=killed.codes_out,
                next_kid=killed.next_kid.hex() if killed.next_kid is not None else "",
                already_killed=killed.already_killed,
            ).SerializeToString()

        data = await asyncio.to_thread(self._kill.kill, kid, reason, remembered, encode)
        return province_issuer_pb2.KillKeyResponse.FromString(data)

    async def ListKeyHolders(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.ListKeyHoldersRequest, _: CallInfo
    ) -> province_issuer_pb2.ListKeyHoldersResponse:
        expires_from = request.expires_from.seconds if request.HasField("expires_from") else None
        kid = None if expires_from is not None and not request.kid else decode_kid(request.kid)
        try:
            after = bytes.fromhex(request.page_token)
        except ValueError as error:
            raise InvalidInputError("page_token: as the page before gave it") from error
        if not 0 <= request.page_size <= _MAX_PAGE:
            raise _field("page_size", f"0 to {_MAX_PAGE}")
        limit = request.page_size or _MAX_PAGE
        found = await asyncio.to_thread(self._kill.holders, kid, after, limit, expires_from or 0)
        response = province_issuer_pb2.ListKeyHoldersResponse()
        for held in found:
            response.holders.add(
                holder=held.holder.hex(),
                presentation=enum_number(verdict_pb2.Presentation, held.presentation),
                expires_at=timestamp(held.expires_at),
            )
        if len({held.holder for held in found}) == limit:
            response.next_page_token = found[-1].holder.hex()
        return response

    def _selection(self, request: province_issuer_pb2.RevokeMatchingRequest) -> Selection:
        """Raises InvalidInputError naming the field."""
        which = request.WhichOneof("selection")
        if which == "holders":
            documents = request.holders.documents
            if not 1 <= len(documents) <= MAX_HOLDERS:
                raise _field("holders", f"1 to {MAX_HOLDERS} documents")
            return [
                self._holder_key.holder(decode_document(document.document_type, document.number))
                for document in documents
            ]
        if which != "issued":
            raise _field("selection", "holders or issued")
        issued = request.issued
        level_reason = enum_member(province_issuer_pb2.LevelReason, issued.level_reason, LevelReason)
        if issued.level_reason and level_reason is None:
            raise _field("level_reason", "one of LevelReason")
        begin, end = epoch(issued, "issued_from"), epoch(issued, "issued_until")
        if begin is None or end is None:
            raise _field("issued_from", "a window: issued_from and issued_until")
        return IssuedUnder(begin, end, issued.rule, level_reason or "", issued.issued_by)

    async def _run(self, function: Callable[..., bytes], *arguments: object) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._issuing, function, *arguments)

    def _remember(
        self,
        method: str,
        request: province_issuer_pb2.IssueCodeRequest
        | province_issuer_pb2.IssueCodesRequest
        | province_issuer_pb2.RevokeCodesRequest
        | province_issuer_pb2.RevokeMatchingRequest
        | province_issuer_pb2.KillKeyRequest,
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


def _reason(number: int) -> RevocationReason:
    reason = enum_member(province_issuer_pb2.RevocationReason, number, RevocationReason)
    if reason is None:
        raise InvalidInputError(
            "a revocation has a reason of the closed list", fields={"reason": "one of RevocationReason"}
        )
    return reason


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
