"""FederationService for the gateway: converts, calls a use case, converts back."""

from __future__ import annotations

import asyncio
from functools import partial

from healthcode.audit.consistency import GrowthQuestion
from healthcode.rpc.call import CallInfo
from healthcode.v1 import federation_pb2
from province_node.metrics import NodeMetrics
from province_node.queries.answer import AnswerUseCase
from province_node.threads import NodeThreads
from province_node.witness.prove import ProveUseCase

__all__ = ["FederationServicer"]


class FederationServicer:
    """Answers for other participants, carried by the gateway."""

    def __init__(
        self, *, answer: AnswerUseCase, prove: ProveUseCase, threads: NodeThreads, metrics: NodeMetrics
    ) -> None:
        self._answer = answer
        self._prove = prove
        self._threads = threads
        self._metrics = metrics

    async def Answer(  # noqa: N802  named as in the proto
        self, request: federation_pb2.AnswerRequest, _: CallInfo
    ) -> federation_pb2.AnswerResponse:
        answer, question = await asyncio.to_thread(self._answer.answer, request.question)
        self._metrics.count_answer(question)
        return federation_pb2.AnswerResponse(answer=answer)

    async def ProveAudit(  # noqa: N802  named as in the proto
        self, request: federation_pb2.ProveAuditRequest, _: CallInfo
    ) -> federation_pb2.ProveAuditResponse:
        question = GrowthQuestion(request.log, request.first_size, request.second_size)
        # the tree may have to be built first, which waits for the store's lock; no answer waits for that
        proof = await self._threads.long.run(partial(self._prove.prove, question))
        return federation_pb2.ProveAuditResponse(proof=proof)
