"""What the server does without being asked: re-sign, publish complete proposals, measure, and remove old files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from healthcode.clock import rfc3339
from healthcode.errors import HealthcodeError, Reason
from healthcode.service.background import BackgroundTask
from healthcode.storage.reading import read_file
from healthcode.telemetry import get_logger
from healthcode.trust.format.metadata import expires_at
from trust_registry.metrics import RegistryMetrics
from trust_registry.monitoring.deadlines import deadlines_of
from trust_registry.monitoring.node_lag import Lag, NodeLag, lags_of
from trust_registry.participants.ca_directory import CaDirectory
from trust_registry.participants.node_reports import NodeReportStore
from trust_registry.proposals.areas.approval import AreaApprovalStore
from trust_registry.proposals.areas.approve import publish_approved_areas
from trust_registry.proposals.proposal import ProposalState
from trust_registry.proposals.publish import publish_proposal
from trust_registry.proposals.signed_documents import state_of
from trust_registry.proposals.signers import tally_of
from trust_registry.registry import Registry
from trust_registry.tree.retention import remove_superseded
from trust_registry.tree.watch import TreeWatch

__all__ = ["Upkeep"]

_RETENTION_INTERVAL_SECONDS = 3600
_GAUGE_SECONDS = 1.0
_RENEWAL_RETRY_SECONDS = 5.0
_POLL_SECONDS = 1.0
_REPORT_ROUNDS = 1.5  # each node reports once in an interval, and some connect late


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The background tasks of one served registry; each runs until it is cancelled."""

    registry: Registry
    watch: TreeWatch
    directory: CaDirectory
    reports: NodeReportStore
    metrics: RegistryMetrics

    def tasks(self) -> list[BackgroundTask]:
        return [
            BackgroundTask("observe_nodes", self._observe_nodes),
            BackgroundTask("reload_cas", self._reload_cas),
            BackgroundTask("update_gauges", self._update_gauges),
            BackgroundTask("renew_timestamp", self._renew_timestamp),
            BackgroundTask("publish_proposals", self._publish_proposals),
            BackgroundTask("publish_areas", self._publish_areas),
            BackgroundTask("remove_superseded", self._remove_superseded),
        ]

    async def _reload_cas(self) -> None:
        """Updates the CA table after each publication."""
        changes: AsyncIterator[object] = self.watch.follow(0)
        async for _ in changes:
            await asyncio.to_thread(self.directory.renew)

    async def _update_gauges(self) -> None:
        """Updates the gauges at the start and after each publication."""
        changes: AsyncIterator[object] = self.watch.follow(0)
        pause = 0.0
        async for _ in changes:
            await asyncio.sleep(pause)
            await asyncio.to_thread(self._measure_tree)
            pause = _GAUGE_SECONDS  # a publication makes all nodes fetch at once: let them go first

    def _measure_tree(self) -> None:
        published = self.registry.repository.published()
        self.metrics.measure_tree(published)
        self.metrics.measure_waiting(self.registry.joins.all(), self.registry.proposals.all(), published)

    async def _renew_timestamp(self) -> None:
        """Signs a new timestamp at each interval; retries sooner after a failure. After a restore it waits first."""
        log = get_logger("renewal")
        await self._await_reports()
        repository = self.registry.repository
        interval = self.registry.settings.repository.timestamp_interval_seconds
        wait = interval
        while True:
            await asyncio.sleep(wait)
            try:
                receipt = await asyncio.to_thread(repository.renew)
            except (HealthcodeError, OSError) as error:
                self.metrics.renewals_failed.inc()
                wait = min(interval, _RENEWAL_RETRY_SECONDS)
                until = expires_at(repository.published().timestamp.signed)
                log.error("renewal_failed", why=str(error), timestamp_expires=rfc3339(until))  # noqa: TRY400  why says it
            else:
                wait = interval
                self.watch.look_now()
                log.debug("renewed", timestamp_version=receipt.timestamp_version)

    async def _await_reports(self) -> None:
        """After a restore: signs nothing before nodes have told what they have, so that no version is reused."""
        registry = self.registry
        repository, log = registry.repository, get_logger("restore")
        if not repository.awaits_reports:
            return
        seconds = _REPORT_ROUNDS * registry.settings.repository.report_seconds
        log.warning("awaits_reports", seconds=seconds)
        await asyncio.sleep(seconds)
        # somebody removed the file: they do not want to wait
        while repository.awaits_reports:
            if await asyncio.to_thread(self._has_heard_a_node):
                await asyncio.to_thread(repository.end_restore)
                self.watch.look_now()
                log.info("restore_ended", snapshot_version=repository.published().versions.snapshot)
            else:
                await asyncio.sleep(_POLL_SECONDS)

    def _has_heard_a_node(self) -> bool:
        """Whether one who may report has done so; the reports of before are in no backup."""
        published = self.registry.repository.published()
        expected = published.reporters
        return not expected or not self.reports.all().keys().isdisjoint(expected)

    async def _publish_proposals(self) -> None:
        """Publishes complete proposals whose last signature came from a machine without the online keys."""
        registry = self.registry
        refused: set[str] = set()
        seen: object = None
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            # the high-water file too: an accepted loss may let a refused proposal through
            now = (
                registry.proposals.identity(),
                registry.repository.tree.identity(),
                read_file(registry.folder.high_water),
            )
            if now == seen or registry.repository.awaits_reports:
                continue
            seen = now
            for proposal in await asyncio.to_thread(registry.proposals.all):
                published = registry.repository.published()
                if (
                    proposal.id not in refused
                    and state_of(proposal, published) is ProposalState.OPEN
                    and tally_of(proposal, published).is_complete
                    and not await self._publish_proposal(proposal.id, proposal.kind.value)
                ):
                    refused.add(proposal.id)

    async def _publish_proposal(self, proposal_id: str, kind: str) -> bool:
        """False if the proposal was refused for good."""
        log, registry = get_logger("proposal"), self.registry
        try:
            await asyncio.to_thread(publish_proposal, registry.repository, registry.proposals, proposal_id)
        except HealthcodeError as error:
            log.error("proposal_refused", proposal=proposal_id, why=error.message)  # noqa: TRY400  why says it
            # TRUST_ROLLBACK ends once the newer version is restored, or its loss accepted, FORMAT_NEWER once all
            # nodes are upgraded: try again then
            return error.reason in {Reason.TRUST_ROLLBACK, Reason.FORMAT_NEWER}
        self.watch.look_now()
        log.info("proposal_published", proposal=proposal_id, kind=kind)
        return True

    async def _publish_areas(self) -> None:
        """Publishes area risk whose last approval came from a machine without the online keys."""
        log = get_logger("areas")
        store = AreaApprovalStore(self.registry.folder.areas, self.registry.events)
        seen: object = None
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            now = store.identity()
            if now == seen or self.registry.repository.awaits_reports:
                continue
            seen = now
            try:
                signing = await asyncio.to_thread(publish_approved_areas, self.registry.repository, store)
            except HealthcodeError as error:
                log.error("areas_refused", why=error.message)  # noqa: TRY400  why says it
                continue
            if signing is not None:
                self.watch.look_now()
                log.info("areas_published", approval=signing.approval.id)

    async def _observe_nodes(self) -> None:
        """Updates the metrics of nodes and deadlines; they change with time, also without a publication."""
        log = get_logger("nodes")
        logged: dict[str, Lag] = {}
        interval = self.registry.settings.repository.report_seconds
        while True:
            try:
                lags = await asyncio.to_thread(self._measure_nodes)
            except HealthcodeError as error:
                log.warning("not_observed", why=error.message)
            else:
                for each in lags:
                    if logged.get(each.node, Lag.CURRENT) is not each.state:
                        log.warning(
                            "node_state", node=each.node, state=each.state.value, behind=list(each.behind)
                        )
                    logged[each.node] = each.state
            await asyncio.sleep(min(15.0, interval))

    def _measure_nodes(self) -> list[NodeLag]:
        registry = self.registry
        published, now = registry.repository.published(), registry.clock.now()
        interval = registry.settings.repository.report_seconds
        lags = lags_of(published, self.reports.all(), now, interval_seconds=interval)
        self.metrics.nodes.measure(lags, published)
        self.metrics.deadlines.set(deadlines_of(registry, published))
        return lags

    async def _remove_superseded(self) -> None:
        """Removes superseded files once an hour."""
        log = get_logger("retention")
        keep_seconds = self.registry.settings.repository.keep_superseded_seconds
        while True:
            with contextlib.suppress(OSError):
                removed = await asyncio.to_thread(remove_superseded, self.registry.repository, keep_seconds)
                if removed:
                    log.info("superseded_removed", files=removed)
            await asyncio.sleep(_RETENTION_INTERVAL_SECONDS)
