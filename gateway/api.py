"""The servicer of GatewayService: converts a request, asks, converts the result."""

from __future__ import annotations

from gateway.forwarding.ask import Asking
from gateway.forwarding.outcome import Answered, HomeDown
from gateway.forwarding.prove import Proving
from healthcode.audit.consistency import GrowthQuestion
from healthcode.errors import InvalidInputError
from healthcode.rpc.call import CallInfo
from healthcode.v1 import province_node_pb2
from healthcode.v1.gateway_pb2 import (
    AskRequest,
    AskResponse,
    AuditProofRequest,
    AuditProofResponse,
    HomeUnavailable,
)
from healthcode.wire.question import QueryMode

__all__ = ["GatewayServicer"]

_MODES = {
    province_node_pb2.QUERY_MODE_UNSPECIFIED: QueryMode.CACHED,
    province_node_pb2.QUERY_MODE_CACHED: QueryMode.CACHED,
    province_node_pb2.QUERY_MODE_LIVE: QueryMode.LIVE,
}


class GatewayServicer:
    """The methods of GatewayService. The access table says who may call them."""

    def __init__(self, asking: Asking, proving: Proving) -> None:
        self._asking = asking
        self._proving = proving

    async def Ask(self, request: AskRequest, call: CallInfo) -> AskResponse:  # noqa: N802  named by the proto
        mode = _MODES.get(request.mode)
        if mode is None:
            raise InvalidInputError(
                "this gateway does not know the mode: use CACHED or LIVE", fields={"mode": "unknown"}
            )
        peer = call.caller()
        outcome = await self._asking.ask(
            asker=str(peer.participant),
            issuer=request.issuer,
            question=request.question,
            mode=mode,
            remaining_seconds=call.remaining_seconds() or 0.0,
        )
        if isinstance(outcome, Answered):
            return AskResponse(answer=outcome.answer)
        return AskResponse(home_unavailable=_encode_down(outcome))

    async def AuditProof(  # noqa: N802  named by the proto
        self, request: AuditProofRequest, call: CallInfo
    ) -> AuditProofResponse:
        outcome = await self._proving.prove(
            request.home,
            GrowthQuestion(request.log, request.first_size, request.second_size),
            call.remaining_seconds() or 0.0,
        )
        if isinstance(outcome, Answered):
            return AuditProofResponse(proof=outcome.answer)
        return AuditProofResponse(home_unavailable=_encode_down(outcome))


def _encode_down(outcome: HomeDown) -> HomeUnavailable:
    down = HomeUnavailable(reason=outcome.reason)
    down.retry_after.FromNanoseconds(int(outcome.retry_after_seconds * 1e9))
    return down
