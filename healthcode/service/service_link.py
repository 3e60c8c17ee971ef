"""Channels to the national services over mTLS. The trust files name their addresses and CAs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from healthcode.clock import Clock
from healthcode.errors import TrustError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.own_identity import OwnIdentity
from healthcode.service.channel_swap import ChannelSwap
from healthcode.settings import TlsSettings
from healthcode.trust.view import TrustView
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

if TYPE_CHECKING:
    import grpc.aio

    from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceAsyncStub

__all__ = ["ServiceLink", "member_stub"]


class ServiceLink:
    """A channel to one national service ("registry" or "gateway"), kept until its address or a certificate changes."""

    def __init__(
        self,
        service: str,
        kind: PeerKind,
        *,
        realm: str,
        trust: Callable[[], TrustView],
        tls: TlsSettings,
        clock: Clock,
    ) -> None:
        self._service = service
        self._server = PeerId(realm, kind)
        self._trust = trust
        self._own = OwnIdentity(tls, realm=realm, clock=clock)
        self._channels = ChannelSwap()

    async def channel(self) -> grpc.aio.Channel:
        """The channel to use now; calls under way go on over the one before.

        Raises TrustError when the trust files do not name the service, ConfigurationError when our
        certificate cannot be used.
        """
        view = self._trust()
        entry = view.services.get(self._service)
        if entry is None:
            raise TrustError(f"the trust files name no {self._service}: the operators publish its address")
        identity = self._own.current(view)
        return self._channels.get(
            (entry.endpoint, entry.ca_pem, identity.certificate_pem),
            lambda: open_channel(entry.endpoint, ca_pem=entry.ca_pem, server=self._server, identity=identity),
        )

    async def close(self) -> None:
        """Closes its channels; calls under way end with an error."""
        await self._channels.close()


async def member_stub(registry: ServiceLink) -> TrustRegistryServiceAsyncStub:
    """The registry's members' listener. Raises as `ServiceLink.channel`."""
    return TrustRegistryServiceStub(await registry.channel())
