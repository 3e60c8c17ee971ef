"""ProvinceIssuerService, for the province's own back ends: convert a request, call a use case, convert its result."""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import dataclass

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, InvalidInputError, Reason
from healthcode.rpc.call import CallInfo
from healthcode.rpc.convert import enum_number, refuse_unknown_fields, timestamp
from healthcode.telemetry import get_logger
from healthcode.v1 import province_issuer_pb2, verdict_pb2
from province_node.api.issuer_messages import (
    decode_order,
    decode_order_or_error,
    decode_reason,
    decode_selection,
    encode_issued,
    encode_results,
    wrong_field,
)
from province_node.api.request_memory import RequestMemory
from province_node.codes.issue import MAX_ORDERS, Issued, IssueUseCase
from province_node.codes.kill_key import KillUseCase, decode_kid
from province_node.codes.revoke import RevokeUseCase
from province_node.metrics import NodeMetrics
from province_node.people.pseudonym import PseudonymKey
from province_node.store.records import IssuedUnder, Request, RevocationReason, Revoked
from province_node.threads import NodeThreads

__all__ = ["Codes", "ProvinceIssuerServicer"]

_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")

_MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Codes:
    """What back ends do with codes."""

    issue: IssueUseCase
    revoke: RevokeUseCase
    kill: KillUseCase


class ProvinceIssuerServicer:
    """Issuing, revoking, killing keys."""

    def __init__(
        self,
        codes: Codes,
        *,
        threads: NodeThreads,
        pseudonym_key: PseudonymKey,
        clock: Clock,
        metrics: NodeMetrics,
    ) -> None:
        self._issue = codes.issue
        self._revoke = codes.revoke
        self._kill = codes.kill
        self._threads = threads
        self._pseudonym_key = pseudonym_key
        self._remember = RequestMemory(pseudonym_key, clock).request_of
        self._metrics = metrics
        self._log = get_logger("node")

    async def IssueCode(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.IssueCodeRequest, call: CallInfo
    ) -> province_issuer_pb2.IssueCodeResponse:
        remembered = self._remember("IssueCode", request, call)
        order = decode_order(request.item)
        issued = await self._threads.issuing.run(
            # a refusal is an error of the call, and may be over when the call is repeated
            lambda: self._issue.issue([order], remembered, keeps_refusals=False)
        )
        (result,) = issued.results
        if isinstance(result, HealthcodeError):
            raise result
        self._count(issued, remembered)
        return province_issuer_pb2.IssueCodeResponse(issued=encode_issued(result))

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
        orders = [decode_order_or_error(item) for item in request.items]
        replaces = decode_kid(request.replaces_kid) if request.replaces_kid else None
        gone = threading.Event()
        try:
            issued = await self._threads.batches.run(
                lambda: self._issue.issue(
                    orders, remembered, replaces=replaces, is_wanted=lambda: not gone.is_set()
                )
            )
        except asyncio.CancelledError:
            gone.set()
            raise
        self._count(issued, remembered)
        return encode_results(issued.results)

    async def RevokeCodes(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.RevokeCodesRequest, call: CallInfo
    ) -> province_issuer_pb2.RevokeCodesResponse:
        refuse_unknown_fields(request)  # a count_only that is not read would revoke
        reason = decode_reason(request.reason)
        codes = list(request.codes)
        if request.count_only:
            revoked = await self._threads.writes.run(lambda: self._revoke.count(codes))
        else:
            remembered = self._remember("RevokeCodes", request, call)
            revoked = await self._threads.writes.run(lambda: self._revoke.revoke(codes, reason, remembered))
            self._count_revoked(reason, revoked, remembered)
        return province_issuer_pb2.RevokeCodesResponse(
            newly_revoked=revoked.newly, already_revoked=revoked.already
        )

    async def RevokeMatching(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.RevokeMatchingRequest, call: CallInfo
    ) -> province_issuer_pb2.RevokeMatchingResponse:
        reason = decode_reason(request.reason)
        selection = decode_selection(request, self._pseudonym_key)
        pool = self._threads.long if isinstance(selection, IssuedUnder) else self._threads.writes
        if request.count_only:
            revoked = await pool.run(lambda: self._revoke.count_matching(selection))
        else:
            remembered = self._remember("RevokeMatching", request, call)
            revoked = await pool.run(lambda: self._revoke.revoke_matching(selection, reason, remembered))
            self._count_revoked(reason, revoked, remembered)
        return province_issuer_pb2.RevokeMatchingResponse(
            newly_revoked=revoked.newly, already_revoked=revoked.already
        )

    async def KillKey(  # noqa: N802  named as in the proto
        self, request: province_issuer_pb2.KillKeyRequest, call: CallInfo
    ) -> province_issuer_pb2.KillKeyResponse:
        reason, kid = decode_reason(request.reason), decode_kid(request.kid)
        remembered = self._remember("KillKey", request, call)
        killed = await self._threads.writes.run(lambda: self._kill.kill(kid, reason, remembered))
        if not killed.repeated:
            self._metrics.count_killed(reason)
            self._log.warning("key_killed", kid=kid.hex(), why=str(reason), **_who(remembered))
        return province_issuer_pb2.KillKeyResponse(
            codes_out=killed.codes_out,
            next_kid=killed.next_kid.hex() if killed.next_kid is not None else "",
            already_killed=killed.already_killed,
        )

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
            raise wrong_field("page_size", f"0 to {_MAX_PAGE}")
        limit = request.page_size or _MAX_PAGE
        found = await self._threads.long.run(lambda: self._kill.holders(kid, after, limit, expires_from or 0))
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

    def _count(self, issued: Issued, request: Request) -> None:
        """Counts and logs what this call recorded; a repeated request is not counted again."""
        refused = sum(isinstance(result, HealthcodeError) for result in issued.new)
        self._metrics.count_issued(issued=len(issued.new) - refused, refused=refused)
        if issued.new:
            counts = {"issued": len(issued.new) - refused, "refused": refused}
            self._log.info("codes_issued", **counts, **_who(request))

    def _count_revoked(self, reason: RevocationReason, revoked: Revoked, request: Request) -> None:
        if not revoked.repeated:
            self._metrics.count_revoked(reason, revoked.newly)
            counts = {"newly": revoked.newly, "already": revoked.already}
            self._log.info("codes_revoked", why=str(reason), **counts, **_who(request))


def _who(request: Request) -> dict[str, str]:
    # a caller may have taken a person's number as its id: no log line may have that
    is_uuid = _UUID.fullmatch(request.request_id) is not None
    return {"caller": request.caller, "request": request.request_id if is_uuid else "not a UUID"}
