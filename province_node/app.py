"""The composition root: wires settings, keys, store, trust, use cases, servers and background work.

One process serves now. What several would share stands in SQLite and in files;
`Node.open(reuse_port=True, publishes=False)` is how a further one would be
opened on the same port, leaving publishing and pruning to the first.

What `serve` refuses to start with: an offline key anywhere in the folder, a
signature library that decides otherwise than the rule, a key, certificate or
passphrase that does not hold, a port in use, and no trust at all. A registry out
of reach is no reason when there is trust on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from healthcode.clock import Clock
from healthcode.errors import ConfigurationError, HealthcodeError, TrustError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.peer_verifier import PeerVerifier
from healthcode.rpc.mtls.tls_files import load_ca, load_tls
from healthcode.rpc.server import GrpcServer, ServerLimits, ServerTls
from healthcode.service.lifecycle import run_until_stopped
from healthcode.service.registry_source import GrpcSource, open_mirrors
from healthcode.service.reporter import NodeReporter
from healthcode.service.trust_follower import TrustFollower
from healthcode.signing.ed25519 import self_test
from healthcode.telemetry import Metrics, get_logger, start_metrics_server
from healthcode.trust.client import TrustClient
from healthcode.trust.store import init_trust
from healthcode.trust.view import TrustView
from healthcode.v1 import federation_pb2, province_issuer_pb2, province_node_pb2
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from province_node.api.integrator import FederationServicer, ProvinceNodeServicer
from province_node.api.issuer import ProvinceIssuerServicer
from province_node.codes.issue import IssueUseCase
from province_node.codes.kill_key import KillUseCase
from province_node.codes.revoke import RevokeUseCase
from province_node.keys.keyring import Keyring, find_offline_keys
from province_node.keys.setup import open_keyring
from province_node.links import GatewayLink, RegistryLink, ServiceLink
from province_node.metrics import NodeMetrics
from province_node.operations.alarms import OwnWatch
from province_node.publishing.catch_up import Takeover
from province_node.publishing.own_head import note_rival
from province_node.publishing.padding import Padding
from province_node.publishing.publisher import Publisher
from province_node.publishing.resend import Resubmission
from province_node.publishing.second_node import RIVAL_REMEDY
from province_node.queries.answer import AnswerUseCase
from province_node.queries.ask import AskUseCase
from province_node.settings import NodeSettings
from province_node.store.node_store import NodeStore
from province_node.store.records import HolderKey

__all__ = ["Node", "refuse_foreign_certificate", "refuse_offline_keys", "serve"]

_PRUNE_SECONDS = 600
_VERIFY_SECONDS = 86_400


def refuse_offline_keys(root: Path) -> None:
    """Raises ConfigurationError when a key that belongs on an offline machine lies in the folder."""
    found = list(find_offline_keys(root))
    if found:
        raise ConfigurationError(
            f"{found[0]} is an offline key and lies on a machine with a socket: carry it to the authority's "
            "machine, remove it here, and consider it exposed if this node has been online"
        )


def refuse_foreign_certificate(settings: NodeSettings, now: int) -> None:
    """Raises ConfigurationError unless the node's certificate holds and names this very node."""
    tls = settings.tls
    peer = load_tls(tls.certificate, tls.private_key, tls.ca, now=now, realm=settings.realm).identity.peer
    if peer != PeerId(settings.realm, PeerKind.PROVINCE, settings.participant):
        raise ConfigurationError(
            f"{tls.certificate} names {peer.uri}; this node is spiffe://{settings.realm}.healthcode/province/"
            f"{settings.participant}: put its own certificate there"
        )


async def serve(
    root: Path,
    settings: NodeSettings,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; `on_ready` is called once it does. Raises ConfigurationError, TrustError, UnavailableError."""
    refuse_offline_keys(root)
    refuse_foreign_certificate(settings, clock.now())
    self_test()
    keyring = await asyncio.to_thread(open_keyring, settings, environ)
    store = NodeStore(settings.database)
    metrics = Metrics("province-node")
    node = Node(settings, keyring, store, clock=clock, metrics=metrics)
    try:
        await node.open()
        with start_metrics_server(metrics, settings.metrics.listen):
            await run_until_stopped(node.servers, *node.background(), on_ready=on_ready)
    finally:
        await node.close()
        store.close()


def _is_refused(view: TrustView, participant: str) -> bool:
    """Whether the newest files of a participant were refused, as ours are until our new live key signs."""
    return participant in view.held_back


class Node:
    """One process of a province node, wired. Make it inside a running event loop."""

    def __init__(
        self,
        settings: NodeSettings,
        keyring: Keyring,
        store: NodeStore,
        *,
        clock: Clock,
        metrics: Metrics,
        reuse_port: bool = False,
        publishes: bool = True,
    ) -> None:
        self._settings = settings
        self._keyring = keyring
        self._store = store
        self._clock = clock
        self._publishes = publishes
        self._log = get_logger("node")
        self._own_ca = load_ca(settings.tls.ca)
        self._own_metrics = NodeMetrics(metrics)
        self._watch = OwnWatch(settings, store, self._own_metrics, clock)
        self._follower = self._make_follower(metrics)
        trust = self._trust
        links = {
            "registry": PeerKind.REGISTRY,
            "gateway": PeerKind.GATEWAY,
        }
        self._links = {
            name: ServiceLink(name, kind, realm=settings.realm, trust=trust, tls=settings.tls, clock=clock)
            for name, kind in links.items()
        }
        own = {"participant": settings.participant, "realm": settings.realm}
        padding = Padding(store, store, keyring.index_secret()) if settings.publish.padding else None
        self.publisher = Publisher(
            participant=settings.participant,
            realm=settings.realm,
            padding=padding,
            store=store,
            trust=self._view_or_none,
            refresh=self._follower.refresh_now,
            key=keyring.head_keys,
            send=RegistryLink(self._links["registry"]).publish_revocations,
            clock=clock,
            settings=settings.publish,
            on_published=self._own_metrics.set_publication,
            on_taken_over=self._on_taken_over,
            on_rival=self._on_rival,
            on_failing=self._own_metrics.set_publish_failing,
            root=settings.registry.root_fingerprint,
        )
        self._issue = IssueUseCase(
            **own,
            keyring=keyring,
            store=store,
            trust=trust,
            publication=self.publisher.acknowledged,
            clock=clock,
            settings=settings.issue,
        )
        revoke = RevokeUseCase(**own, store=store, trust=trust, nudge=self.publisher.nudge, clock=clock)
        kill = KillUseCase(
            participant=settings.participant,
            keyring=keyring,
            store=store,
            trust=trust,
            nudge=self.publisher.nudge,
            clock=clock,
        )
        answer = AnswerUseCase(**own, keyring=keyring, store=store, trust=trust, clock=clock)
        ask = AskUseCase(
            **own,
            keyring=keyring,
            trust=trust,
            carry=GatewayLink(self._links["gateway"]).ask,
            answer_here=lambda question: answer.answer(question)[0],
            clock=clock,
        )
        resubmission = Resubmission(
            settings.participant,
            settings.trust.folder,
            RegistryLink(self._links["registry"]).publish_province,
            self.publisher.sign_anew,
        )
        self._reporter = NodeReporter(
            "province-node",
            realm=settings.realm,
            trust=self._view_or_none,
            directory=settings.trust.folder,
            tls=settings.tls,
            clock=clock,
            metrics=metrics,
            on_lacking=resubmission.hand_in,
        )
        self._follower.on_setback = self._reporter.report_soon
        limits = ServerLimits(reuse_port=reuse_port, idle_seconds=settings.stream.idle_seconds)
        public = self._server(settings.listen, metrics, limits, self._client_cas)
        public.add(
            province_node_pb2.DESCRIPTOR.services_by_name["ProvinceNodeService"],
            ProvinceNodeServicer(trust=trust, ask=ask, clock=clock, metrics=self._own_metrics),
        )
        public.add(
            federation_pb2.DESCRIPTOR.services_by_name["FederationService"],
            FederationServicer(answer=answer, metrics=self._own_metrics),
        )
        issuer = self._server(settings.issuer_listen, metrics, limits, lambda: ())
        self._issuer = ProvinceIssuerServicer(
            issue=self._issue,
            revoke=revoke,
            kill=kill,
            holder_key=HolderKey(keyring.holder_secret()),
            clock=clock,
            metrics=self._own_metrics,
        )
        issuer.add(province_issuer_pb2.DESCRIPTOR.services_by_name["ProvinceIssuerService"], self._issuer)
        self.servers: Sequence[GrpcServer] = (public, issuer)

    async def open(self) -> None:
        """Opens the trust on disk; only without any is the registry needed now.

        Raises UnavailableError or TrustError when there is no trust and none can be had.
        """
        registry = self._settings.registry
        # no network when the folder was begun before; then only the fingerprint is compared
        await asyncio.to_thread(
            init_trust,
            self._settings.trust.folder,
            self._sources,
            registry.root_fingerprint,
            realm=self._settings.realm,
        )
        if self._follower.open():
            return
        try:
            await self._follower.refresh_now()
        except HealthcodeError as error:
            raise TrustError(
                f"there is no trust in {self._settings.trust.folder}, and none can be had from the registry "
                f"{registry.endpoint}: {error.message}",
                reason=error.reason,
            ) from error

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the servers."""
        work = [self._follower.run(), self._verify_store(), self._watch.measure(self._view_or_none)]
        if self._publishes:
            work += [self.publisher.run(), self._reporter.run(), self._prune()]
        else:
            self.publisher.begin()
        return work

    async def close(self) -> None:
        """Closes channels and threads."""
        self._issuer.close()
        self._issue.close()
        for link in self._links.values():
            await link.close()
        await self._channel.close()

    def _view_or_none(self) -> TrustView | None:
        return self._follower.view if self._follower.has_view else None

    def _trust(self) -> TrustView:
        return self._follower.view

    def _make_follower(self, metrics: Metrics) -> TrustFollower:
        settings = self._settings
        self._channel = open_channel(
            settings.registry.endpoint,
            ca_pem=load_ca(settings.registry.ca),
            server=PeerId(settings.realm, PeerKind.REGISTRY),
        )
        stub = TrustRegistryServiceStub(self._channel)
        registry = GrpcSource(
            stub, asyncio.get_running_loop(), name=f"the registry {settings.registry.endpoint}"
        )
        self._sources = (registry, *open_mirrors(settings.trust.mirrors, settings.trust.mirror_ca))
        return TrustFollower(
            settings.trust.folder,
            TrustClient(settings.trust.folder, self._sources),
            stub,
            clock=self._clock,
            metrics=metrics,
            poll_seconds=settings.trust.poll_seconds,
            on_view=self._on_view,
        )

    def _server(
        self,
        listen: str,
        metrics: Metrics,
        limits: ServerLimits,
        client_cas: Callable[[], Sequence[str]],
    ) -> GrpcServer:
        settings = self._settings
        return GrpcServer(
            listen,
            ServerTls(
                settings.tls,
                client_cas=client_cas,
                realm=settings.realm,
                peer=PeerId(settings.realm, PeerKind.PROVINCE, settings.participant),
                clock=self._clock,
            ),
            metrics=metrics,
            verifier=PeerVerifier(realm=settings.realm, ca_for=self._ca_for, clock=self._clock),
            participant=settings.participant,
            limits=limits,
        )

    def _client_cas(self) -> Sequence[str]:
        """The CAs of those who may call: our own (always there), and the gateway's."""
        return self._ca_for(PeerId(self._settings.realm, PeerKind.GATEWAY))

    def _ca_for(self, peer: PeerId) -> Sequence[str]:
        """The CAs published for an identity; our own also before anything is published."""
        view = self._view_or_none()
        if peer.kind is PeerKind.GATEWAY:
            entry = view.services.get("gateway") if view is not None else None
            return () if entry is None else (entry.ca_pem,)
        if peer.participant != self._settings.participant:
            return ()
        issuer = view.issuers.get(peer.participant) if view is not None else None
        return (self._own_ca, *(issuer.tls_ca if issuer is not None else ()))

    def _on_view(self, view: TrustView) -> None:
        """Keys that were made while we serve are opened when the authority's publication names them."""
        self._own_metrics.set_retirement(view.retirements.get(self._settings.participant))
        self._watch.look(view)
        issuer = view.issuers.get(self._settings.participant)
        if issuer is None:
            return
        self._keyring.observe(issuer, self._clock.now())
        if self._keyring.lacks(issuer) or _is_refused(view, self._settings.participant):
            asyncio.get_running_loop().run_in_executor(None, self._rescan)

    def _on_taken_over(self, _: Takeover) -> None:
        self._own_metrics.count_takeover()
        self._issue.indices.forget()

    def _on_rival(self, stands: bool) -> None:
        self._own_metrics.set_rival(stands)
        self._issue.indices.hold(RIVAL_REMEDY if stands else None)
        if stands:
            note_rival(self._settings.trust.folder, self._clock.now())

    def _rescan(self) -> None:
        try:
            found = self._keyring.rescan()
        except HealthcodeError as error:
            self._log.error("keys_not_opened", why=error.message)
            return
        if found:
            self._log.info("keys_opened", count=found)

    async def _verify_store(self) -> None:
        """At start and each day: a damaged database stops the node, whatever part of it is in use."""
        while True:
            await asyncio.to_thread(self._store.verify)
            await asyncio.sleep(_VERIFY_SECONDS)

    async def _prune(self) -> None:
        while True:
            try:
                if self._follower.has_view:
                    # the registry's word: by a clock that runs ahead, too much would be forgotten
                    vouched_now = min(self._clock.now(), self._follower.view.timestamp_signed_at)
                    await asyncio.to_thread(self._store.prune, vouched_now)
            except HealthcodeError as error:
                self._log.warning("prune_failed", reason=str(error.reason), why=error.message)
            await asyncio.sleep(_PRUNE_SECONDS)
