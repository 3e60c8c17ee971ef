"""TrustRegistryService: convert, call a use case in a thread, convert back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from healthcode.errors import HealthcodeError, OverloadedError, Reason
from healthcode.rpc.call import CallInfo
from healthcode.rpc.convert import duration, timestamp
from healthcode.telemetry import LogBudget, get_logger
from healthcode.v1.trust_registry_pb2 import (
    JOIN_STATE_APPROVED,
    JOIN_STATE_WAITING,
    FetchFileRequest,
    FetchFileResponse,
    PublishProvinceRequest,
    PublishProvinceResponse,
    PublishRevocationsRequest,
    PublishRevocationsResponse,
    ReportNodeStateRequest,
    ReportNodeStateResponse,
    SubmitJoinRequest,
    SubmitJoinResponse,
    WatchTrustRequest,
    WatchTrustResponse,
)
from trust_registry.metrics import RegistryMetrics
from trust_registry.participants.batch import BatchQueue
from trust_registry.participants.join import receive_join
from trust_registry.participants.node_reports import NodeReportStore, ReceivedReport, receive_report
from trust_registry.participants.request_ids import RequestIds
from trust_registry.participants.submission import Submission
from trust_registry.participants.upload import receive_upload
from trust_registry.registry import Registry
from trust_registry.tree.cache import FileCache
from trust_registry.tree.transaction import Receipt
from trust_registry.tree.watch import TreeWatch

__all__ = ["TrustRegistry"]

CHUNK_BYTES = 64 * 1024


class TrustRegistry:
    """The servicer of both listeners; the access table says who may call which method."""

    def __init__(
        self,
        registry: Registry,
        batches: BatchQueue,
        reports: NodeReportStore,
        watch: TreeWatch,
        metrics: RegistryMetrics,
    ) -> None:
        self._repository = registry.repository
        self._joins = registry.joins
        self._clock = registry.clock
        self._realm = registry.settings.realm
        self._report_seconds = registry.settings.repository.report_seconds
        self._province_list_bytes = registry.settings.repository.province_list_bytes
        self._batches = batches
        self._reports = reports
        self._watch = watch
        self._metrics = metrics
        self._files = FileCache(registry.repository.tree)
        self._request_ids = RequestIds(registry.clock)
        self._log = get_logger("registry")
        self._budget = LogBudget(burst=3, period_seconds=60)

    async def FetchFile(  # noqa: N802  named as in the proto
        self, request: FetchFileRequest, _call: CallInfo
    ) -> AsyncIterator[FetchFileResponse]:
        """Sends one file of the tree in chunks; the first message gives its length."""
        data = self._files.find(request.path)
        if data is None and (data := await asyncio.to_thread(self._files.read, request.path)) is not None:
            self._files.keep(request.path, data)
        if data is not None:
            _refuse_above(request.max_bytes, len(data))
            yield FetchFileResponse(chunk=data[:CHUNK_BYTES], total_bytes=len(data))
            for start in range(CHUNK_BYTES, len(data), CHUNK_BYTES):
                yield FetchFileResponse(chunk=data[start : start + CHUNK_BYTES])
            self._metrics.served_bytes.inc(len(data))
            return
        with await asyncio.to_thread(self._repository.tree.open, request.path) as file:
            total_bytes = file.seek(0, 2)
            _refuse_above(request.max_bytes, total_bytes)
            file.seek(0)
            chunk = await asyncio.to_thread(file.read, CHUNK_BYTES)
            yield FetchFileResponse(chunk=chunk, total_bytes=total_bytes)
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield FetchFileResponse(chunk=chunk)
        self._metrics.served_bytes.inc(total_bytes)

    async def WatchTrust(  # noqa: N802  named as in the proto
        self, request: WatchTrustRequest, _call: CallInfo
    ) -> AsyncIterator[WatchTrustResponse]:
        """Sends the current versions at once if the caller does not know them yet, then at each change."""
        async for versions in self._watch.follow(request.known_timestamp_version):
            yield WatchTrustResponse(
                timestamp_version=versions.timestamp,
                snapshot_version=versions.snapshot,
                root_version=versions.root,
            )

    async def SubmitJoin(  # noqa: N802  named as in the proto
        self, request: SubmitJoinRequest, _call: CallInfo
    ) -> SubmitJoinResponse:
        """Stores a join request; durable when answered."""

        def receive() -> SubmitJoinResponse:
            published = self._repository.published()
            received = receive_join(self._joins, request.join_request, published, self._clock.now())
            join = received.join
            if received.is_new:  # anybody can send requests: a repeated one must not fill the log
                self._log.info("join_received", participant=join.request.participant, digest=join.digest)
            state = JOIN_STATE_APPROVED if received.is_admitted else JOIN_STATE_WAITING
            return SubmitJoinResponse(request_digest=join.digest, state=state)

        with self._metrics.submission("join"):
            return await asyncio.to_thread(receive)

    async def PublishProvince(  # noqa: N802  named as in the proto
        self, request: PublishProvinceRequest, call: CallInfo
    ) -> PublishProvinceResponse:
        """Publishes the province.json that the caller's authority signed; durable when answered."""
        participant = call.caller().participant or ""
        content = request.metadata + request.province_json
        self._request_ids.check(call.caller().uri, request.request_id, content)
        with self._metrics.submission("province"), self._log_refusal("province", participant):
            receipt = await self._batches.submit(
                Submission(participant, request.metadata, request.province_json)
            )
        self._log_published("province", participant, receipt)
        return PublishProvinceResponse(version=receipt.version, snapshot_version=receipt.snapshot_version)

    async def PublishRevocations(  # noqa: N802  named as in the proto
        self, requests: AsyncIterator[PublishRevocationsRequest], call: CallInfo
    ) -> PublishRevocationsResponse:
        """Publishes the caller's revocation head and the lists it names; durable when answered."""
        participant = call.caller().participant or ""
        with self._metrics.submission("revocations"), self._log_refusal("revocations", participant):
            upload = await receive_upload(
                requests,
                self._repository.folder.repository,
                realm=self._realm,
                issuer=participant,
                max_bytes=self._province_list_bytes,
            )
            try:
                content = upload.metadata + upload.head
                self._request_ids.check(call.caller().uri, upload.request_id, content)
            except HealthcodeError:
                upload.discard()
                raise
            submission = Submission(participant, upload.metadata, upload.head, upload.lists)
            receipt = await self._batches.submit(submission, release=upload.discard)
        self._log_published("revocations", participant, receipt)
        return PublishRevocationsResponse(version=receipt.version, snapshot_version=receipt.snapshot_version)

    async def ReportNodeState(  # noqa: N802  named as in the proto
        self, request: ReportNodeStateRequest, call: CallInfo
    ) -> ReportNodeStateResponse:
        """Stores the caller's report. If it proves newer versions than ours, publishes above them."""
        now = self._clock.now()
        received = await asyncio.to_thread(
            receive_report, self._repository, self._reports, call.caller(), request, now
        )
        self._metrics.nodes.reports.labels(received.report.node).inc()
        self._log_proof(received)
        if received.resumed:
            self._watch.look_now()
        return ReportNodeStateResponse(
            received_at=timestamp(now),
            report_after=duration(self._report_seconds),
            lacking_roles=received.lost_roles,
        )

    def _log_proof(self, received: ReceivedReport) -> None:
        report, refused = received.report, received.refused
        if refused is not None:
            left_out = self._budget.take(f"evidence {report.node}")
            if left_out is not None:
                self._log.warning(
                    "evidence_refused",
                    node=report.node,
                    reason=refused.reason.value,
                    why=refused.message,
                    left_out=left_out,
                )
        elif received.resumed:
            self._log.warning(
                "resumed_above",
                node=report.node,
                timestamp_version=report.timestamp_version,
                snapshot_version=report.snapshot_version,
                why="a node has newer versions than this registry, which was restored or rebuilt from an older copy",
            )

    def _log_published(self, kind: str, participant: str, receipt: Receipt) -> None:
        self._log.info(
            "published_before" if receipt.is_repeat else "published",
            kind=kind,
            participant=participant,
            version=receipt.version,
            snapshot_version=receipt.snapshot_version,
        )

    @contextmanager
    def _log_refusal(self, kind: str, participant: str) -> Iterator[None]:
        try:
            yield
        except HealthcodeError as error:
            left_out = self._budget.take(f"{kind} {participant} {error.reason}")
            if left_out is not None:
                self._log.warning(
                    "publication_refused",
                    kind=kind,
                    participant=participant,
                    reason=error.reason.value,
                    why=error.message,
                    left_out=left_out,
                )
            raise


def _refuse_above(max_bytes: int, total_bytes: int) -> None:
    """Raises OverloadedError (TOO_LARGE) for a file larger than the caller's limit; 0 means no limit."""
    if 0 < max_bytes < total_bytes:
        raise OverloadedError(
            f"the file has {total_bytes} bytes, more than the caller's limit of {max_bytes}",
            reason=Reason.TOO_LARGE,
        )
