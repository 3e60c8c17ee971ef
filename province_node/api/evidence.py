"""The part of ProvinceIssuerService about evidence: for sources, and for back ends that ask why."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from healthcode.errors import HealthcodeError, InvalidInputError, Reason
from healthcode.identity.document import decode_document
from healthcode.rpc.call import CallInfo
from healthcode.rpc.convert import epoch
from healthcode.rpc.mtls.certificate import public_key_of
from healthcode.v1 import province_issuer_pb2 as pb
from province_node.api.evidence_messages import (
    decode_draft,
    decode_evidence_selection,
    encode_explanation,
    encode_submitted,
    encode_withdrawn,
)
from province_node.api.request_memory import RequestMemory
from province_node.audit.reading import ReadAudit
from province_node.metrics import NodeMetrics
from province_node.people.explanation import ExplainUseCase
from province_node.people.submission import SubmitResult, SubmitUseCase
from province_node.people.withdrawal import WithdrawUseCase
from province_node.threads import NodeThreads

__all__ = ["MAX_UNANSWERED", "EvidenceServicer", "Intake"]

MAX_UNANSWERED = 256


@dataclass(frozen=True, slots=True)
class Intake:
    """Evidence in, and the reasons out."""

    submit: SubmitUseCase
    withdraw: WithdrawUseCase
    explain: ExplainUseCase
    audit: ReadAudit


class EvidenceServicer:
    """Taking evidence, taking it back, and explaining levels."""

    def __init__(
        self, intake: Intake, *, threads: NodeThreads, memory: RequestMemory, metrics: NodeMetrics
    ) -> None:
        self._submit = intake.submit
        self._withdraw = intake.withdraw
        self._explain = intake.explain
        self._audit = intake.audit
        self._threads = threads
        self._memory = memory
        self._metrics = metrics

    async def SubmitEvidence(  # noqa: N802  named as in the proto
        self, requests: AsyncIterator[pb.SubmitEvidenceRequest], call: CallInfo
    ) -> AsyncIterator[pb.SubmitEvidenceResponse]:
        name, public_key = _source_of(call)
        waiting = _Waiting(requests)
        try:
            # what came while the last batch was written is the next one: one transaction, one fsync
            while batch := await waiting.take():
                results = await self._record(name, public_key, batch)
                words = ("REFUSED" if isinstance(each, HealthcodeError) else str(each) for each in results)
                self._metrics.count_evidence(Counter(words))
                for result in results:
                    yield encode_submitted(result)
        finally:
            await waiting.close()

    async def WithdrawEvidence(  # noqa: N802  named as in the proto
        self, request: pb.WithdrawEvidenceRequest, call: CallInfo
    ) -> pb.WithdrawEvidenceResponse:
        name, public_key = _source_of(call)
        selection = decode_evidence_selection(request)
        if request.count_only:
            counted = await self._threads.long.run(lambda: self._withdraw.count(name, public_key, selection))
            return encode_withdrawn(counted)
        remembered = self._memory.request_of("WithdrawEvidence", request, call)
        withdrawn = await self._threads.long.run(
            lambda: self._withdraw.withdraw(name, public_key, selection, remembered)
        )
        return encode_withdrawn(withdrawn)

    async def ExplainLevel(  # noqa: N802  named as in the proto
        self, request: pb.ExplainLevelRequest, call: CallInfo
    ) -> pb.ExplainLevelResponse:
        document = decode_document(request.document.document_type, request.document.number)
        holder, at = self._memory.pseudonym_key.pseudonym(document), epoch(request, "at")
        found = await self._threads.writes.run(lambda: self._explain.explain(holder, at))
        response = encode_explanation(found, call.caller().participant or "")
        if request.with_proof:
            actor = call.caller().uri
            response.audit_proof = await self._threads.long.run(
                lambda: self._audit.prove(holder, actor=actor)
            )
        return response

    async def _record(
        self, name: str, public_key: str, batch: Sequence[pb.SubmitEvidenceRequest]
    ) -> Sequence[SubmitResult]:
        def record() -> Sequence[SubmitResult]:
            results: dict[int, SubmitResult] = {
                position: _unreadable()
                for position, request in enumerate(batch)
                if not request.HasField("evidence")
            }
            rest = [position for position in range(len(batch)) if position not in results]
            drafts = [decode_draft(batch[position].evidence) for position in rest]
            found = self._submit.submit(name, public_key, drafts) if drafts else ()
            results |= zip(rest, found, strict=True)
            return [results[position] for position in range(len(batch))]

        return await self._threads.evidence.run(record)


class _Waiting:
    """Requests that were read and are not answered yet, at most MAX_UNANSWERED."""

    def __init__(self, requests: AsyncIterator[pb.SubmitEvidenceRequest]) -> None:
        self._queue: asyncio.Queue[pb.SubmitEvidenceRequest | BaseException | None] = asyncio.Queue(
            MAX_UNANSWERED
        )
        self._reader = asyncio.create_task(self._read(requests))
        self._end: BaseException | None = None
        self._is_over = False

    async def _read(self, requests: AsyncIterator[pb.SubmitEvidenceRequest]) -> None:
        try:
            async for request in requests:
                await self._queue.put(request)
        except Exception as error:  # noqa: BLE001  it is raised in the stream, behind the answers before it
            await self._queue.put(error)
        else:
            await self._queue.put(None)

    async def take(self) -> list[pb.SubmitEvidenceRequest]:
        """All that wait, at least one; empty at the end. Raises what ended the stream, after the rest."""
        batch: list[pb.SubmitEvidenceRequest] = []
        while not self._is_over and (not batch or not self._queue.empty()):
            read = await self._queue.get()
            if isinstance(read, pb.SubmitEvidenceRequest):
                batch.append(read)
            else:
                self._is_over, self._end = True, read
        if not batch and self._end is not None:
            raise self._end
        return batch

    async def close(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader


def _source_of(call: CallInfo) -> tuple[str, str]:
    """The name in the caller's certificate, and the digest of its public key."""
    name = call.caller().name
    assert name is not None, "a source has a name"  # noqa: S101  an invariant of PeerId
    return name, public_key_of(call.leaf) if call.leaf is not None else ""


def _unreadable() -> InvalidInputError:
    message = "there is no item, or it cannot be read: send one Evidence in each request"
    return InvalidInputError(
        f"evidence: {message}", reason=Reason.EVIDENCE_INVALID, fields={"evidence": message}
    )
