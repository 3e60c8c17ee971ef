"""One process of a province node: starts it, runs its servers and background work, closes it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, HealthcodeError, UnavailableError
from healthcode.metrics_server import start_metrics_server
from healthcode.policy.accountability import AUDIT_RECORD
from healthcode.rpc.server import GrpcServer
from healthcode.service.background import BackgroundTask
from healthcode.service.lifecycle import run_until_stopped
from healthcode.signing.ed25519 import self_test
from healthcode.storage.lock import lock
from healthcode.telemetry import Metrics, get_logger
from province_node.audit.own_state import OwnState
from province_node.keys.held_keys import forget_held_keys
from province_node.keys.setup import open_keyring
from province_node.listeners import build_servers
from province_node.officers.roster_watcher import RosterWatcher
from province_node.operations.check import refuse_foreign_certificate, refuse_offline_keys
from province_node.people.rules_in_force import kept_seconds
from province_node.settings import NodeFolder, NodeSettings, load_node_settings
from province_node.store.opening import note_damage, open_store
from province_node.wiring import (
    NodeCore,
    build_codes,
    build_core,
    build_people,
    build_publishing,
    build_queries,
    build_witnessing,
)

__all__ = ["Node", "serve"]

_SWITCH_SECONDS = 0.001

_PRUNE_SECONDS = 600
_VERIFY_SECONDS = 86_400
_AUDIT_SECONDS = 10


async def serve(
    root: Path,
    settings: NodeSettings,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; calls `on_ready` once it serves.

    Starts without the registry if there is trust on disk. Raises ConfigurationError for a fault in keys,
    certificates, passphrase or ports; TrustError when there is no trust; UnavailableError also when another
    process serves the folder.
    """
    # a request changes threads several times: behind one that computes levels each change waits this long
    sys.setswitchinterval(_SWITCH_SECONDS)
    refuse_offline_keys(root)
    refuse_foreign_certificate(settings, clock.now())
    self_test()
    served = UnavailableError(f"another process serves {root} already: stop that one first")
    # a command that looks whether the folder is served has the lock for a moment
    with lock(NodeFolder(root).serving, busy=served, wait_seconds=1):
        await _serve(root, settings, clock, environ, on_ready)


async def _serve(
    root: Path,
    settings: NodeSettings,
    clock: Clock,
    environ: Mapping[str, str],
    on_ready: Callable[[], None] | None,
) -> None:
    forget_held_keys(settings)
    keyring = await asyncio.to_thread(open_keyring, settings, environ)
    store = open_store(settings.database)
    metrics = Metrics("province-node")
    node = Node(build_core(settings, keyring, store, clock=clock, metrics=metrics))
    try:
        await node.open()
        with start_metrics_server(metrics, settings.metrics.listen):
            await run_until_stopped(
                node.servers,
                node.background(),
                metrics=metrics,
                on_ready=on_ready,
                until_healthy=node.until_clock_compared,
                read_log_level=lambda: load_node_settings(root).log.level,
            )
    finally:
        await node.close()
        store.close()


class Node:
    """One process of a province node. Make it inside a running event loop.

    A further process on the same port takes `reuse_port` and not `publishes`: the first process publishes and prunes.
    """

    def __init__(self, core: NodeCore, *, reuse_port: bool = False, publishes: bool = True) -> None:
        self._core = core
        self._publishes = publishes
        self._log = get_logger("node")
        self._roster_watcher = RosterWatcher(core.roster, core.clock, tell=core.counters.set_officers)
        self._witnessing = build_witnessing(core)
        self._publishing = build_publishing(core, self._witnessing.witness)
        self._people = build_people(core, self._publishing.publisher)
        self._codes = build_codes(core, self._publishing.publisher, self._people.levels)
        self._queries = build_queries(core, self._people.levels)
        self._servers = build_servers(
            core, self._codes, self._queries, self._people, self._witnessing, reuse_port=reuse_port
        )

    @property
    def servers(self) -> Sequence[GrpcServer]:
        return (self._servers.public, self._servers.issuers)

    async def open(self) -> None:
        """Opens the trust. Raises UnavailableError or TrustError when there is none."""
        await self._core.trust.open()

    async def until_clock_compared(self) -> None:
        """Returns at the first contact with a source, or when that takes too long."""
        clock_check = self._core.clock_check
        await clock_check.until_compared()
        if not clock_check.is_compared:
            self._log.warning(
                "clock_unchecked",
                why="no source gave a signed time since the start: this node serves with what it has, and calls no "
                "code EXPIRED by its clock alone. Check the clock and the way to the registry",
            )

    def background(self) -> list[BackgroundTask]:
        """What runs beside the servers."""
        trust, publishing = self._core.trust, self._publishing
        tasks = [
            *trust.tasks(),
            BackgroundTask("verify_store", self._verify_store, fatal=(ConfigurationError,)),
            BackgroundTask("keys", self._core.key_watcher.run),
            BackgroundTask("officers", self._roster_watcher.run),
            BackgroundTask("deadlines", partial(self._core.alarms.measure, trust.view_or_none)),
        ]
        if self._publishes:
            tasks += [
                BackgroundTask("publish", publishing.publisher.run),
                BackgroundTask("report", publishing.reporter.run),
                BackgroundTask("witness", self._witnessing.witness.run),
                BackgroundTask("levels", partial(self._people.worker.run, self._core.threads.long)),
                BackgroundTask("prune", self._prune),
                BackgroundTask("audit", self._audit),
            ]
        else:
            publishing.publisher.allow_issuing()
        return tasks

    async def close(self) -> None:
        """Closes channels and threads."""
        self._core.threads.close()
        self._codes.issue.close()
        for link in (self._publishing.link, self._queries.link, self._witnessing.link):
            await link.close()
        await self._core.trust.close()

    async def _verify_store(self) -> None:
        """At start and each day: a damaged database stops the node, whichever part of it is damaged."""
        while True:
            try:
                await self._core.threads.long.run(self._core.store.verify)
            except ConfigurationError:
                with contextlib.suppress(OSError):
                    note_damage(self._core.settings.database)
                raise
            await asyncio.sleep(_VERIFY_SECONDS)

    async def _audit(self) -> None:
        """Records changes of the node's own files, and builds the tree over new entries."""
        store = self._core.store.audit
        own = OwnState(self._core.settings, self._core.keyring, store, self._core.clock)
        while True:
            await self._core.threads.long.run(own.note)
            await self._core.threads.long.run(store.build)
            await asyncio.sleep(_AUDIT_SECONDS)

    async def _prune(self) -> None:
        while True:
            view = self._core.trust.view_or_none()
            try:
                if view is not None:
                    # a clock that runs ahead would forget too much, so the registry's signed time limits it
                    now = min(self._core.clock.now(), view.timestamp_signed_at)
                    await self._core.threads.long.run(partial(self._core.store.prune, now))
                    kept = kept_seconds(view.policy.in_force(now))
                    await self._core.threads.long.run(
                        partial(self._core.store.evidence.prune_evidence, now, kept)
                    )
                    audit_kept = view.policy.in_force(now).retention_seconds.get(AUDIT_RECORD)
                    if audit_kept is not None:
                        await self._core.threads.long.run(
                            partial(self._core.store.audit.purge, now - audit_kept, now)
                        )
            except HealthcodeError as error:
                self._log.warning("prune_failed", reason=str(error.reason), why=error.message)
            await asyncio.sleep(_PRUNE_SECONDS)
