"""Channels to the national services over mTLS. The trust files name their addresses and CAs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from healthcode.clock import Clock
from healthcode.errors import TrustError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.mtls.tls_files import load_tls
from healthcode.settings import TlsSettings
from healthcode.storage.reading import read_error
from healthcode.trust.view import TrustView
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub

if TYPE_CHECKING:
    import grpc.aio

    from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceAsyncStub

__all__ = ["ServiceLink", "member_stub"]

_Key = tuple[str, str, tuple[int, int]]


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
        self._realm = realm
        self._trust = trust
        self._tls = tls
        self._clock = clock
        self._channel: grpc.aio.Channel | None = None
        self._key: _Key | None = None

    async def channel(self) -> grpc.aio.Channel:
        """The channel to use now. Raises TrustError when the trust files do not name the service."""
        entry = self._trust().services.get(self._service)
        if entry is None:
            raise TrustError(f"the trust files name no {self._service}: the operators publish its address")
        try:
            stat = self._tls.certificate.stat()
        except OSError as error:
            raise read_error(f"the certificate {self._tls.certificate}", error) from error
        key = (entry.endpoint, entry.ca_pem, (stat.st_mtime_ns, stat.st_ino))
        if self._channel is None or key != self._key:
            identity = load_tls(
                self._tls.certificate,
                self._tls.private_key,
                self._tls.ca,
                now=self._clock.now(),
                realm=self._realm,
            )
            await self.close()
            self._channel = open_channel(
                entry.endpoint, ca_pem=entry.ca_pem, server=self._server, identity=identity
            )
            self._key = key
        return self._channel

    async def close(self) -> None:
        """Closes the channel, if there is one."""
        if self._channel is not None:
            await self._channel.close()
        self._channel = None


async def member_stub(registry: ServiceLink) -> TrustRegistryServiceAsyncStub:
    """The registry's members' listener. Raises as `ServiceLink.channel`."""
    return TrustRegistryServiceStub(await registry.channel())
