"""Reports every minute to the registry which trust this service uses, so that operators see which nodes lag."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from healthcode.audit.alarm import RaisedAlarm
from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, Reason, TrustError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.policy.area import NEWEST_AREAS_FORMAT
from healthcode.policy.book_file import NEWEST_POLICY_FORMAT
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.own_identity import OwnIdentity
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.clock_check import ClockCheck
from healthcode.settings import TlsSettings
from healthcode.telemetry import Metrics, get_logger
from healthcode.trust.format.layout import TrustLimits
from healthcode.trust.view import TrustView
from healthcode.v1.trust_registry_pb2 import AuditAlarm, ReportNodeStateRequest, ReportNodeStateResponse
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

__all__ = ["REPORT_SECONDS", "NodeReporter", "describe_state"]

REPORT_SECONDS = 60.0
_SHORTEST_SECONDS, _LONGEST_SECONDS = 1.0, 3600.0
_SOON_SECONDS = 10.0
"""Minimum interval of requested reports: a source that keeps serving an old file must not cause more."""
_TIMEOUT_SECONDS = 10.0
_OFFSET_NEWS_SECONDS = 60
_LIMITS = TrustLimits()


def describe_state(
    view: TrustView,
    *,
    software: str,
    now: int,
    clock_offset_seconds: int | None = None,
    audit_alarms: Sequence[RaisedAlarm] = (),
) -> ReportNodeStateRequest:
    """The report of a service that uses `view`. Pure."""
    return ReportNodeStateRequest(
        software=software,
        realm=view.realm,
        root_version=view.root_version,
        targets_version=view.targets_version,
        policy_version=view.policy.in_force(now).version,
        areas_version=view.areas_version or 0,
        head_versions={code: issuer.live_version or 0 for code, issuer in view.issuers.items()},
        clock_offset=None if clock_offset_seconds is None else Duration(seconds=clock_offset_seconds),
        earliest_expiry=Timestamp(seconds=view.earliest_expiry),
        policy_format=NEWEST_POLICY_FORMAT,
        areas_format=NEWEST_AREAS_FORMAT,
        audit_alarms=[
            AuditAlarm(
                participant=each.participant, alarm=each.alarm.value, since=Timestamp(seconds=each.since)
            )
            for each in audit_alarms
        ],
    )


class NodeReporter:
    """Reports for one service. `trust` returns the view in use, None if there is none.

    `directory` is its trust folder. `tls` names its own certificate, read again for each report.
    `on_lacking` is called with this service's roles that the registry lacks after a restore, to publish them again.
    `clock_check` learns the registry's time from each answer. The attribute `audit_alarms` may be set: it gives what this
    service has against audit logs of participants.
    """

    def __init__(
        self,
        name: str,
        *,
        realm: str,
        trust: Callable[[], TrustView | None],
        directory: Path,
        tls: TlsSettings,
        clock: Clock,
        metrics: Metrics,
        interval_seconds: float = REPORT_SECONDS,
        on_lacking: Callable[[Sequence[str]], Awaitable[None]] | None = None,
        clock_check: ClockCheck | None = None,
    ) -> None:
        self._software = f"{name} {version('healthcode')}"
        self._realm = realm
        self._trust = trust
        self._directory = directory
        self._own = OwnIdentity(tls, realm=realm, clock=clock)
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._on_lacking = on_lacking
        self._clock_check = clock_check
        self.audit_alarms: Callable[[], Sequence[RaisedAlarm]] = tuple
        self._soon = asyncio.Event()
        self._offset_seconds: int | None = None
        self._log = get_logger("report")
        self._reports = metrics.counter("state_reports_total", "Reports to the registry", ("result",))
        self._offset = metrics.gauge(
            "clock_offset_seconds", "This machine's clock less the registry's, at the last report"
        )
        self._expiry = metrics.gauge(
            "trust_earliest_expiry_timestamp_seconds", "When the first of the trust files in use expires"
        )

    def report_soon(self) -> None:
        """Reports now instead of within a minute: this service's trust and the registry's do not agree."""
        self._soon.set()

    async def run(self) -> None:
        """Reports until it is cancelled. A failed report is counted and logged; nothing else depends on it."""
        logged: Reason | None = None
        interval = self._interval_seconds
        wait = min(1.0, interval)
        spacing = 0.0
        while True:
            await self._until_due(wait, spacing)
            wait, spacing = interval, min(_SOON_SECONDS, interval)
            try:
                response = await self.report_once()
            except HealthcodeError as error:
                self._reports.labels(error.reason).inc()
                if error.reason is not logged:
                    self._log.warning("report_failed", reason=error.reason, why=error.message)
                logged = error.reason
                continue
            self._reports.labels("sent").inc()
            logged = None
            if response.HasField("report_after"):
                hint = response.report_after.ToNanoseconds() / 1e9
                wait = interval = min(max(hint, _SHORTEST_SECONDS), _LONGEST_SECONDS)
            if response.lacking_roles and self._on_lacking is not None:
                await self._on_lacking(tuple(response.lacking_roles))

    async def _until_due(self, wait: float, spacing: float) -> None:
        """Waits for the next report, or until `report_soon`, at least `spacing` after the last one."""
        # jitter, so that the nodes of a country do not report at the same moment
        jitter = random.uniform(0.9, 1.1)  # noqa: S311  not a secret
        await asyncio.sleep(min(spacing, wait) * jitter)
        try:
            async with asyncio.timeout(max(0.0, wait - spacing) * jitter):
                await self._soon.wait()
        except TimeoutError:
            return
        self._soon.clear()

    async def report_once(self) -> ReportNodeStateResponse:
        """Sends one report. Raises HealthcodeError: no trust yet, registry out of reach, invalid certificate."""
        view = self._trust()
        if view is None:
            raise TrustError("there is no trust yet, so nothing to report")
        registry = view.services.get("registry")
        if registry is None:
            raise TrustError("the trust files name no registry: the operators publish its address")
        self._expiry.set(view.earliest_expiry)
        request = await asyncio.to_thread(self._request, view)
        identity = await asyncio.to_thread(self._own.current, view)
        server = PeerId(self._realm, PeerKind.REGISTRY)
        # a new channel for each report, with the current address and CA
        async with open_channel(
            registry.endpoint, ca_pem=registry.ca_pem, server=server, identity=identity
        ) as channel:
            started = self._clock.now()
            with rpc_errors("the registry"):
                response: ReportNodeStateResponse = await TrustRegistryServiceStub(channel).ReportNodeState(
                    request, timeout=_TIMEOUT_SECONDS
                )
        self._measure(started, self._clock.now(), response)
        return response

    def _request(self, view: TrustView) -> ReportNodeStateRequest:
        request = describe_state(
            view,
            software=self._software,
            now=self._clock.now(),
            clock_offset_seconds=self._offset_seconds,
            audit_alarms=self.audit_alarms(),
        )
        # a registry rebuilt from an older mirror learns from these which versions it published before
        request.timestamp = self._read("timestamp", _LIMITS.timestamp_bytes)
        request.snapshot = self._read("snapshot", _LIMITS.snapshot_bytes)
        return request

    def _read(self, role: str, max_bytes: int) -> bytes:
        """A metadata file of the generation in use; empty if it cannot be read."""
        try:
            data = (self._directory / "current" / "metadata" / f"{role}.json").read_bytes()
        except OSError:
            return b""
        return data if len(data) <= max_bytes else b""

    def _measure(self, started: int, ended: int, response: ReportNodeStateResponse) -> None:
        """Measures the difference of the clocks, to 1 s plus half the duration of the call."""
        if ended - started <= _TIMEOUT_SECONDS and response.HasField("received_at"):
            before, self._offset_seconds = (
                self._offset_seconds,
                (started + ended) // 2 - response.received_at.seconds,
            )
            self._offset.set(self._offset_seconds)
            if abs(self._offset_seconds - (before or 0)) > _OFFSET_NEWS_SECONDS:
                self.report_soon()  # the registry's operators see it in seconds
            if self._clock_check is not None:
                self._clock_check.measure(response.received_at.seconds + (ended - started) // 2)
