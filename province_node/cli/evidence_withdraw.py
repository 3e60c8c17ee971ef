"""Requests of WithdrawEvidence, and sends them: a retry has the same request id."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, BinaryIO

from healthcode.errors import InvalidInputError, OverloadedError, Reason, UnavailableError
from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.rpc.convert import enum_number
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_issuer_pb2 as pb
from healthcode.v1.province_issuer_pb2_grpc import ProvinceIssuerServiceStub
from province_node.cli.source_folder import SourceFolder
from province_node.people.evidence_checks import MAX_RECORD
from province_node.people.withdrawal import MAX_RECORDS
from province_node.store.people_records import Withdrawn

__all__ = ["by_receipt", "by_record", "withdraw_all"]

_TIMEOUT_SECONDS = 120.0
_ATTEMPTS = 4


def by_record(file: BinaryIO) -> list[pb.WithdrawEvidenceRequest]:
    """Requests for the records of a file, one a line. Raises InvalidInputError, which names the line."""
    records: dict[str, None] = {}
    for number, line in enumerate(iter(lambda: file.readline(MAX_RECORD + 3), b""), start=1):
        text = line.strip()
        if not text:
            continue
        if len(text) > MAX_RECORD or not text.isascii() or not text.decode("ascii").isprintable():
            raise InvalidInputError(
                f"line {number} is no record: 1 to {MAX_RECORD} printable ASCII characters"
            )
        records[text.decode("ascii")] = None
    if not records:
        raise InvalidInputError("the file has no record: give one a line, as in the field `record`")
    every = list(records)
    return [
        pb.WithdrawEvidenceRequest(
            request_id=str(uuid.uuid4()),
            records=pb.RecordSelection(records=every[start : start + MAX_RECORDS]),
        )
        for start in range(0, len(every), MAX_RECORDS)
    ]


def by_receipt(begin: int, end: int, kind: str | None) -> pb.WithdrawEvidenceRequest:
    """A request for what the node received in begin ≤ t < end."""
    request = pb.WithdrawEvidenceRequest(request_id=str(uuid.uuid4()))
    request.received.received_from.seconds = begin
    request.received.received_until.seconds = end
    if kind is not None:
        request.received.kind = enum_number(pb.EvidenceKind, EvidenceKind(kind.upper()))
    return request


def withdraw_all(
    source: SourceFolder, requests: Sequence[pb.WithdrawEvidenceRequest], *, count_only: bool
) -> Withdrawn:
    """Sends all; the counts of all together."""
    return asyncio.run(_send_in_turn(source, requests, count_only=count_only))


async def _send_in_turn(
    source: SourceFolder, requests: Sequence[pb.WithdrawEvidenceRequest], *, count_only: bool
) -> Withdrawn:
    newly = already = unknown = 0
    async with source.connect() as channel:
        stub = ProvinceIssuerServiceStub(channel)
        for request in requests:
            request.count_only = count_only
            response = await _send(stub, request, source.node_name)
            newly += response.newly_withdrawn
            already += response.already_withdrawn
            unknown += response.unknown
    return Withdrawn(newly, already, unknown)


async def _send(stub: Any, request: pb.WithdrawEvidenceRequest, name: str) -> pb.WithdrawEvidenceResponse:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with rpc_errors(name):
                response: pb.WithdrawEvidenceResponse = await stub.WithdrawEvidence(
                    request, timeout=_TIMEOUT_SECONDS
                )
        except (UnavailableError, OverloadedError) as error:
            passes = isinstance(error, UnavailableError) or error.reason is Reason.OVERLOADED
            if attempt == _ATTEMPTS or not passes:
                raise
            await asyncio.sleep(max(error.retry_after_seconds or 0.0, float(attempt)))
        else:
            return response
    raise AssertionError  # the last attempt returned or raised
