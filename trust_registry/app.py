"""The one place that wires a registry: folder, keys, stores, clock, servers.

`serve` signs the timestamp anew by itself, publishes proposals whose last
signature came from a machine without the online keys, and notices what commands
beside it publish.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

from healthcode.clock import Clock, rfc3339
from healthcode.errors import ConfigurationError, HealthcodeError, Reason
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.identity.realm import is_test_realm
from healthcode.rpc.mtls.identity import PeerVerifier
from healthcode.rpc.server import GrpcServer, ServerTls, check_free
from healthcode.service.lifecycle import run_until_stopped
from healthcode.signing.ed25519 import self_test
from healthcode.storage.files import exclusive, read_file
from healthcode.telemetry import Metrics, configure_logging, get_logger, start_metrics_server
from healthcode.trust.format.metadata import expires_at, signed_at
from healthcode.v1 import trust_registry_pb2
from trust_registry.api import TrustRegistry
from trust_registry.founding.by_cards import check_founded
from trust_registry.layout import RegistryFolder
from trust_registry.metrics import RegistryMetrics
from trust_registry.monitoring.deadlines import deadlines_of
from trust_registry.monitoring.node_reports import Lag, NodeLag, NodeStateStore, lags_of
from trust_registry.participants.batch import PublicationGroups
from trust_registry.participants.ca_directory import CaDirectory
from trust_registry.participants.join import JoinStore, is_admitted
from trust_registry.participants.submission import Publisher
from trust_registry.participants.upload import remove_spools
from trust_registry.proposals.areas import AreaApprovalStore, publish_approved
from trust_registry.proposals.proposal import ProposalState, ProposalStore
from trust_registry.proposals.sign import publish_proposal, state_of, tally_of
from trust_registry.settings import RegistrySettings, load_registry_settings
from trust_registry.tree.current import Published
from trust_registry.tree.lost_versions import behind_of
from trust_registry.tree.online_keys import OnlineKeys, offline_keys_in, read_online_keys
from trust_registry.tree.repository import Repository
from trust_registry.tree.retention import remove_superseded
from trust_registry.tree.watch import TreeWatch

__all__ = ["Registry", "check_offline_keys", "open_registry", "serve"]

_RETENTION_INTERVAL_SECONDS = 3600
_GAUGE_SECONDS = 1.0
_SERVICE = trust_registry_pb2.DESCRIPTOR.services_by_name["TrustRegistryService"]


@dataclass(frozen=True, slots=True)
class Registry:
    """An opened registry: what commands and the server work with."""

    folder: RegistryFolder
    settings: RegistrySettings
    repository: Repository
    joins: JoinStore
    proposals: ProposalStore
    clock: Clock


def open_registry(
    folder: RegistryFolder, clock: Clock, environ: Mapping[str, str], *, with_keys: bool = True
) -> Registry:
    """Opens a registry. Raises ConfigurationError saying what is wrong and what to do.

    Without its online keys (`with_keys` False) it can be read and its proposals
    signed, but nothing published.
    """
    settings = load_registry_settings(folder.configuration)
    check_founded(folder)

    def reopen() -> OnlineKeys:
        return read_online_keys(folder, settings.keys, settings.realm, environ)

    repository = Repository(
        folder, reopen() if with_keys else None, clock, reopen=reopen if with_keys else None
    )
    realm = repository.published().realm
    if realm != settings.realm:
        raise ConfigurationError(
            f"registry.toml says realm {settings.realm}, and the trust tree is of {realm}",
            reason=Reason.REALM_MISMATCH,
        )
    return Registry(
        folder, settings, repository, JoinStore(folder.joins), ProposalStore(folder.proposals), clock
    )


def check_offline_keys(registry: Registry) -> list[str]:
    """Warnings for keys that must be carried away; refuses them outside test realms.

    Raises ConfigurationError in a realm that is not a test realm.
    """
    found = offline_keys_in(registry.folder.root)
    ca_key = registry.folder.tls / "ca.key"
    left = [*found, *([ca_key] if ca_key.exists() else [])]
    if not left:
        return []
    names = ", ".join(str(path.relative_to(registry.folder.root)) for path in left)
    if not is_test_realm(registry.settings.realm) and found:
        raise ConfigurationError(
            f"these keys must not lie on the machine that serves: {names}. Carry each to its holder, "
            "check that it opens there, and remove it here; then start again"
        )
    return [f"keys of holders lie in this folder, which only a test realm may have: {names}"]


async def serve(registry: Registry, *, on_ready: Callable[[Mapping[str, int]], None] | None = None) -> None:
    """Serves until SIGTERM.

    Raises ConfigurationError, or UnavailableError when it is served already or an address
    is taken: before anything listens, and before anything is written.
    """
    self_test()
    settings = registry.settings
    configure_logging("trust-registry", level=settings.log.level, style=settings.log.format)
    for warning in check_offline_keys(registry):
        get_logger("registry").warning("offline_keys_here", why=warning)
    served = f"another process serves {registry.folder.root} already: stop that one first"
    with exclusive(registry.folder.serving, busy=served):
        await _serve(registry, on_ready)


async def _serve(registry: Registry, on_ready: Callable[[Mapping[str, int]], None] | None) -> None:
    settings, log = registry.settings, get_logger("registry")
    metrics = RegistryMetrics(Metrics("trust-registry"))
    watch = TreeWatch(registry.repository.tree)
    directory = CaDirectory(registry.repository.tree)
    directory.renew()
    nodes = NodeStateStore(registry.folder.nodes)

    def on_published(count: int) -> None:
        metrics.groups.observe(count)
        watch.look_now()

    groups = PublicationGroups(
        Publisher(registry.repository),
        window_seconds=settings.repository.group_seconds,
        on_published=on_published,
    )
    servicer = TrustRegistry(
        registry.repository,
        groups,
        nodes,
        registry.joins,
        watch,
        metrics,
        realm=settings.realm,
        clock=registry.clock,
        report_seconds=settings.repository.report_seconds,
        province_list_bytes=settings.repository.province_list_bytes,
    )
    verifier = PeerVerifier(realm=settings.realm, ca_for=directory.cas_for, clock=registry.clock)
    itself = PeerId(settings.realm, PeerKind.REGISTRY)
    closed = GrpcServer(
        settings.server.listen,
        ServerTls(
            settings.tls, client_cas=directory.all, realm=settings.realm, peer=itself, clock=registry.clock
        ),
        metrics=metrics.base,
        verifier=verifier,
    )
    public = GrpcServer(
        settings.server.public_listen,
        ServerTls(settings.tls, client_cas=None, realm=settings.realm, peer=itself, clock=registry.clock),
        metrics=metrics.base,
        verifier=None,
    )
    for server in (closed, public):
        server.add(_SERVICE, servicer)
    for address in (settings.server.listen, settings.server.public_listen):
        check_free(address)
    with start_metrics_server(metrics.base, settings.metrics.listen) as metrics_port:
        # the first writes: until here a start that fails has changed nothing
        remove_spools(registry.folder.repository)
        await asyncio.to_thread(registry.repository.renew)

        def ready() -> None:
            ports = {"listen": closed.port, "public_listen": public.port, "metrics": metrics_port or 0}
            log.info("serving", realm=settings.realm, **ports)
            if on_ready is not None:
                on_ready(ports)

        await run_until_stopped(
            [closed, public],
            watch.run(),
            groups.run(),
            _observe(registry, nodes, metrics),
            _follow(watch, directory),
            _gauge(registry, watch, metrics),
            _renew(registry, watch, metrics),
            _publish_complete(registry, watch),
            _publish_areas(registry, watch),
            _retain(registry),
            on_ready=ready,
        )


async def _follow(watch: TreeWatch, directory: CaDirectory) -> None:
    """Keeps the CA table current."""
    changes: AsyncIterator[object] = watch.follow(0)
    async for _ in changes:
        await asyncio.to_thread(directory.renew)


async def _gauge(registry: Registry, watch: TreeWatch, metrics: RegistryMetrics) -> None:
    """Keeps the gauges current: at the start, then a moment after each change, since with it all nodes come at once."""
    changes: AsyncIterator[object] = watch.follow(0)
    pause = 0.0
    async for _ in changes:
        await asyncio.sleep(pause)
        published = await asyncio.to_thread(registry.repository.published)
        await asyncio.to_thread(_measure, registry, published, metrics)
        pause = _GAUGE_SECONDS


def _measure(registry: Registry, published: Published, metrics: RegistryMetrics) -> None:
    metrics.version.labels("root").set(published.versions.root)
    metrics.version.labels("snapshot").set(published.versions.snapshot)
    metrics.version.labels("timestamp").set(published.versions.timestamp)
    metrics.expires.labels("root").set(expires_at(published.root.signed))
    metrics.expires.labels("snapshot").set(expires_at(published.snapshot.signed))
    metrics.expires.labels("timestamp").set(expires_at(published.timestamp.signed))
    metrics.timestamp_signed.set(signed_at(published.timestamp.signed))
    for role, version in published.versions.roles.items():
        metrics.version.labels(role).set(version)
        metadata = published.role(role)
        if metadata is not None:
            metrics.expires.labels(role).set(expires_at(metadata.signed))
    metrics.participants.set(len(published.members))
    metrics.measure_retirements(published)
    waiting = [join for join in registry.joins.all() if not is_admitted(join, published)]
    metrics.joins_waiting.set(len(waiting))
    opened = [each for each in registry.proposals.all() if state_of(each, published) is ProposalState.OPEN]
    metrics.proposals_open.set(len(opened))
    behind = {each.role for each in behind_of(published)}
    metrics.lacking.set(len(behind | set(published.lacking)))


async def _renew(registry: Registry, watch: TreeWatch, metrics: RegistryMetrics) -> None:
    """Signs the timestamp anew at each interval; a turn that fails is tried again sooner."""
    log = get_logger("renewal")
    interval = registry.settings.repository.timestamp_interval_seconds
    wait = interval
    while True:
        await asyncio.sleep(wait)
        try:
            receipt = await asyncio.to_thread(registry.repository.renew)
        except (HealthcodeError, OSError) as error:
            metrics.renewals_failed.inc()
            wait = min(interval, 5.0)
            until = expires_at(registry.repository.published().timestamp.signed)
            log.error("renewal_failed", why=str(error), timestamp_expires=rfc3339(until))  # noqa: TRY400  why says it
        else:
            wait = interval
            watch.look_now()
            log.debug("renewed", timestamp_version=receipt.timestamp_version)


async def _publish_complete(registry: Registry, watch: TreeWatch) -> None:
    """Publishes proposals that have all their signatures, each second."""
    log = get_logger("proposal")
    refused: set[str] = set()
    seen: object = None
    while True:
        await asyncio.sleep(1)
        floor = read_file(registry.folder.floor)  # what was given up may be published
        now = (registry.proposals.identity(), registry.repository.tree.identity(), floor)
        if now == seen:
            continue
        seen = now
        for proposal in await asyncio.to_thread(registry.proposals.all):
            published = registry.repository.published()
            if (
                proposal.id in refused
                or state_of(proposal, published) is not ProposalState.OPEN
                or not tally_of(proposal, published).is_complete
            ):
                continue
            try:
                await asyncio.to_thread(
                    publish_proposal, registry.repository, registry.proposals, proposal.id
                )
            except HealthcodeError as error:
                if (
                    error.reason is not Reason.TRUST_ROLLBACK
                ):  # which ends when the newer is here, or given up
                    refused.add(proposal.id)
                log.error("proposal_refused", proposal=proposal.id, why=error.message)  # noqa: TRY400  as above
            else:
                watch.look_now()
                log.info("proposal_published", proposal=proposal.id, kind=proposal.kind.value)


async def _publish_areas(registry: Registry, watch: TreeWatch) -> None:
    """Publishes area risk whose last approval came from a machine without the online keys, each second."""
    log = get_logger("areas")
    store = AreaApprovalStore(registry.folder.areas)
    seen: object = None
    while True:
        await asyncio.sleep(1)
        now = store.identity()
        if now == seen:
            continue
        seen = now
        try:
            signing = await asyncio.to_thread(publish_approved, registry.repository, store)
        except HealthcodeError as error:
            log.error("areas_refused", why=error.message)  # noqa: TRY400  why says it
            continue
        if signing is not None:
            watch.look_now()
            log.info("areas_published", approval=signing.approval.id)


async def _observe(registry: Registry, nodes: NodeStateStore, metrics: RegistryMetrics) -> None:
    """Keeps what /metrics tells of nodes, and of what ends when, current; also when nothing is published."""
    log = get_logger("nodes")
    told: dict[str, Lag] = {}
    interval = registry.settings.repository.report_seconds
    while True:
        try:
            lags = await asyncio.to_thread(_look_at_nodes, registry, nodes, metrics)
        except HealthcodeError as error:
            log.warning("not_observed", why=error.message)
        else:
            for each in lags:
                if told.get(each.node, Lag.CURRENT) is not each.state:
                    log.warning(
                        "node_state", node=each.node, state=each.state.value, behind=list(each.behind)
                    )
                told[each.node] = each.state
        await asyncio.sleep(min(15.0, interval))


def _look_at_nodes(registry: Registry, nodes: NodeStateStore, metrics: RegistryMetrics) -> list[NodeLag]:
    published, now = registry.repository.published(), registry.clock.now()
    interval = registry.settings.repository.report_seconds
    lags = lags_of(published, nodes.all(), now, interval_seconds=interval)
    metrics.measure_nodes(lags, published)
    metrics.deadlines.set(deadlines_of(registry, published))
    return lags


async def _retain(registry: Registry) -> None:
    """Removes superseded files once an hour."""
    log = get_logger("retention")
    keep_seconds = registry.settings.repository.keep_superseded_seconds
    while True:
        with contextlib.suppress(OSError):
            removed = await asyncio.to_thread(remove_superseded, registry.repository, keep_seconds)
            if removed:
                log.info("superseded_removed", files=removed)
        await asyncio.sleep(_RETENTION_INTERVAL_SECONDS)
