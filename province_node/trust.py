"""The trust that this node decides with: opened from disk, followed, and asked for the CAs of callers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from healthcode.clock import Clock
from healthcode.errors import HealthcodeError, TrustError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.mtls.tls_files import FollowedCa
from healthcode.service.background import BackgroundTask
from healthcode.service.clock_check import ClockCheck
from healthcode.service.public_channel import PublicChannel, RegistryCas
from healthcode.service.registry_source import GrpcSource, open_mirrors
from healthcode.service.service_link import ServiceLink
from healthcode.service.trust_follower import TrustFollower
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.store import init_trust
from healthcode.trust.view import TrustView
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from province_node.settings import NodeSettings

__all__ = ["NodeTrust"]


class NodeTrust:
    """The node's trust folder, followed. Make it inside a running event loop.

    `on_view` is called in the event loop with each new view.
    """

    def __init__(
        self,
        settings: NodeSettings,
        *,
        clock: Clock,
        metrics: Metrics,
        clock_check: ClockCheck,
        on_view: Callable[[TrustView], None],
    ) -> None:
        self._settings = settings
        self._clock_check = clock_check
        self._watchers = [on_view]
        self._own_ca = FollowedCa(settings.tls.ca)
        self._channel = PublicChannel(
            settings.registry.endpoint,
            RegistryCas(settings.registry.ca, self.view_or_none).pem,
            PeerId(settings.realm, PeerKind.REGISTRY),
        )
        stub = TrustRegistryServiceStub(self._channel)
        # a link each: that for files changes its channel while the watch is under way
        self._links = tuple(
            ServiceLink(
                "registry",
                PeerKind.REGISTRY,
                realm=settings.realm,
                trust=self.view,
                tls=settings.tls,
                clock=clock,
            )
            for _ in range(2)
        )
        registry = GrpcSource(
            stub,
            asyncio.get_running_loop(),
            name=f"the registry {settings.registry.endpoint}",
            member=self._links[0],
        )
        self._sources = (registry, *open_mirrors(settings.trust.mirrors, settings.trust.mirror_ca))
        self._follower = TrustFollower(
            settings.trust.folder,
            TrustClient(settings.trust.folder, self._sources),
            stub,
            clock=clock,
            metrics=metrics,
            poll_seconds=settings.trust.poll_seconds,
            on_view=self._look,
            member=self._links[1],
        )
        self._follower.on_refresh_failed = registry.rest_member
        self._follower.on_refresh = partial(clock_check.learn_from_sources, registry.name)

    async def open(self) -> None:
        """Opens the trust on disk; needs the registry only if there is none.

        Raises UnavailableError or TrustError when there is no trust, neither here nor from the registry.
        """
        registry, folder = self._settings.registry, self._settings.trust.folder
        # uses the network only for a new folder; else it compares the fingerprint
        await asyncio.to_thread(
            init_trust, folder, self._sources, registry.root_fingerprint, realm=self._settings.realm
        )
        if self._follower.open():
            return
        try:
            await self._follower.refresh_now()
        except HealthcodeError as error:
            raise TrustError(
                f"there is no trust in {folder}, and none can be had from the registry {registry.endpoint}: "
                f"{error.message}",
                reason=error.reason,
            ) from error

    def tasks(self) -> list[BackgroundTask]:
        """What follows the registry."""
        return self._follower.tasks()

    async def close(self) -> None:
        self._follower.close()
        for link in self._links:
            await link.close()
        await self._channel.close()

    async def refresh(self) -> None:
        """Fetches new trust files now. Raises TrustError or UnavailableError; the old view stays in use."""
        await self._follower.refresh_now()

    def view(self) -> TrustView:
        """The trust in use, with the state of our clock. Raises TrustError (TRUST_UNAVAILABLE) while there is none."""
        return self._clock_check.mark(self._follower.view)

    def view_or_none(self) -> TrustView | None:
        return self.view() if self._follower.has_view else None

    def on_setback(self, report: Callable[[], None]) -> None:
        """Calls `report` when the registry returns after an outage, or serves something older than we have."""
        self._follower.on_setback = report

    def watch(self, on_view: Callable[[TrustView], None]) -> None:
        """Calls `on_view` too, in the event loop, with each new view."""
        self._watchers.append(on_view)

    def _look(self, view: TrustView) -> None:
        self._clock_check.skew_seconds = view.policy.in_force(self._clock_check.now()).skew_seconds
        for on_view in self._watchers:
            on_view(view)

    def ca_for(self, peer: PeerId) -> Sequence[str]:
        """The CAs (PEM) published for an identity; our own CA even before it is published."""
        view = self.view_or_none()
        if peer.kind is PeerKind.GATEWAY:
            entry = view.services.get("gateway") if view is not None else None
            return () if entry is None else (entry.ca_pem,)
        if peer.participant != self._settings.participant:
            return ()
        issuer = view.issuers.get(peer.participant) if view is not None else None
        return (self._own_ca.pem, *(issuer.tls_ca if issuer is not None else ()))

    def own_cas(self) -> Sequence[str]:
        """The CAs (PEM) that are published for this node; none before it is admitted."""
        view = self.view_or_none()
        issuer = None if view is None else view.issuers.get(self._settings.participant)
        return () if issuer is None else issuer.tls_ca
