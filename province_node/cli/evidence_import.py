"""Sends the lines of a file through SubmitEvidence, and settles each in the order of the file. Memory does not grow with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing

from healthcode.errors import HealthcodeError, PermissionDeniedError, Reason
from healthcode.rpc.convert import enum_word
from healthcode.rpc.stream import MAX_UNANSWERED, stream_answers
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.api.evidence_messages import decode_draft
from province_node.cli.evidence_rows import EvidenceRow, Problem, problem_of
from province_node.cli.import_run import ImportRun
from province_node.cli.source_folder import SourceFolder
from province_node.people.evidence_checks import check_draft

__all__ = ["check_rows", "send_rows"]

_MAX_PENDING = 4 * MAX_UNANSWERED
_ATTEMPTS = 8  # a node that restarts is back within 25 s
_OF_THE_SOURCE = frozenset({Reason.SOURCE_UNKNOWN, Reason.SOURCE_SUSPENDED})

Row = EvidenceRow | Problem


def check_rows(
    rows: Iterator[Row],
    run: ImportRun,
    on_line: Callable[[int], object],
    *,
    source: str,
    now: int,
    skew_seconds: int,
) -> None:
    """Checks the lines as the node does, but for what only the node knows: the source's kinds, and what it has."""
    for row in rows:
        on_line(row.line)
        if isinstance(row, Problem):
            run.refuse(row)
            continue
        try:
            check_draft(decode_draft(row.item), source, now=now, skew_seconds=skew_seconds, rules=None)
        except HealthcodeError as error:
            run.refuse(problem_of(row.line, error))
        else:
            run.settle(row.line, "ACCEPTED")


async def send_rows(
    source: SourceFolder, rows: Iterator[Row], run: ImportRun, on_line: Callable[[int], object]
) -> None:
    """Sends the lines, which begin behind the last one that is settled.

    Raises PermissionDeniedError if the node takes nothing of this source: the line is then not settled.
    """
    async with source.connect() as channel:
        stub = ProvinceIssuerServiceStub(channel)
        queue = _Queue(run, on_line)
        answers = stream_answers(
            stub.SubmitEvidence, queue.requests(rows), name=source.node_name, attempts=_ATTEMPTS
        )
        async with aclosing(answers):
            async for response in answers:
                queue.answered(response)


class _Queue:
    """Lines that are read and not settled, in order: those that are sent, and those refused here behind them."""

    def __init__(self, run: ImportRun, on_line: Callable[[int], object]) -> None:
        self._run = run
        self._on_line = on_line
        self._pending: deque[int | Problem] = deque()
        self._room = asyncio.Semaphore(_MAX_PENDING)

    async def requests(self, rows: Iterator[Row]) -> AsyncIterator[pb.SubmitEvidenceRequest]:
        for row in rows:
            await self._room.acquire()
            if isinstance(row, Problem):
                self._pending.append(row)
                self._settle_refused()
                continue
            self._pending.append(row.line)
            yield pb.SubmitEvidenceRequest(evidence=row.item)

    def answered(self, response: pb.SubmitEvidenceResponse) -> None:
        line = self._pending[0]
        assert isinstance(line, int)  # noqa: S101  refused lines never wait at the front
        result = enum_word(pb.EvidenceResult, response.result)
        if result is None or result == "REFUSED":
            problem = _problem(line, response)
            self._pop()
            self._run.refuse(problem)
        else:
            self._pop()
            self._run.settle(line, result)
        self._on_line(line)
        self._settle_refused()

    def _settle_refused(self) -> None:
        while self._pending and isinstance(problem := self._pending[0], Problem):
            self._pop()
            self._run.refuse(problem)
            self._on_line(problem.line)

    def _pop(self) -> None:
        self._pending.popleft()
        self._room.release()


def _problem(line: int, response: pb.SubmitEvidenceResponse) -> Problem:
    if response.refused_reason in _OF_THE_SOURCE:
        raise PermissionDeniedError(response.refused_message, reason=Reason(response.refused_reason))
    field = response.refused_field.removeprefix("document.")
    return Problem(line, response.refused_reason or "EVIDENCE_INVALID", field, response.refused_message)
