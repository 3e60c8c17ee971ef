"""Whom a node calls: the registry, to publish, and the gateway, to ask. mTLS, addresses from the trust files.

A channel is kept until the address, the CA or our own certificate changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from healthcode.clock import Clock
from healthcode.errors import InternalError, NotFoundError, Reason, TrustError, UnavailableError
from healthcode.identity.peer import PeerId, PeerKind
from healthcode.rpc.channel import open_channel
from healthcode.rpc.convert import enum_number
from healthcode.rpc.mtls.tls_files import load_tls
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.settings import TlsSettings
from healthcode.trust.view import TrustView
from healthcode.v1 import gateway_pb2, province_node_pb2, trust_registry_pb2
from healthcode.v1.gateway_pb2_grpc import GatewayServiceStub
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from healthcode.wire.question import QueryMode
from province_node.publishing.next_head import Outgoing

if TYPE_CHECKING:
    import grpc.aio

__all__ = ["GatewayLink", "RegistryLink", "ServiceLink", "publication_messages"]

PUBLISH_TIMEOUT_SECONDS = 30.0
MAX_PART_BYTES = 8 * 1024 * 1024
_DEFAULT_RETRY_SECONDS = 2.0
_Key = tuple[str, str, tuple[int, int]]


class ServiceLink:
    """A channel to one national service ("registry" or "gateway"), wherever the trust files say it is."""

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
        stat = self._tls.certificate.stat()
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


class RegistryLink:
    """Publishes to the registry."""

    def __init__(self, link: ServiceLink) -> None:
        self._link = link

    async def publish_revocations(self, outgoing: Outgoing) -> None:
        """Sends a head and its new lists. Raises HealthcodeError; ConflictError for a wrong version."""
        stub = TrustRegistryServiceStub(await self._link.channel())
        with rpc_errors("the registry"):
            await stub.PublishRevocations(_stream(outgoing), timeout=PUBLISH_TIMEOUT_SECONDS)

    async def publish_province(self, request_id: str, metadata: bytes, province_json: bytes) -> int:
        """Sends what the authority signed; gives the version that stands."""
        stub = TrustRegistryServiceStub(await self._link.channel())
        request = trust_registry_pb2.PublishProvinceRequest(
            request_id=request_id, metadata=metadata, province_json=province_json
        )
        with rpc_errors("the registry"):
            response = await stub.PublishProvince(request, timeout=PUBLISH_TIMEOUT_SECONDS)
        return int(response.version)


async def _stream(outgoing: Outgoing) -> AsyncIterator[trust_registry_pb2.PublishRevocationsRequest]:
    for message in publication_messages(outgoing):
        yield message


def publication_messages(outgoing: Outgoing) -> Iterator[trust_registry_pb2.PublishRevocationsRequest]:
    """First the metadata and head, then each list, whole or in parts of 8 MiB."""
    yield trust_registry_pb2.PublishRevocationsRequest(
        request_id=outgoing.request_id, metadata=outgoing.metadata, head=outgoing.head
    )
    for data in outgoing.lists:
        for start in range(0, len(data), MAX_PART_BYTES):
            end = start + MAX_PART_BYTES
            yield trust_registry_pb2.PublishRevocationsRequest(
                list=data[start:end], list_continues=end < len(data)
            )


class GatewayLink:
    """Carries a signed question to its home, through the gateway."""

    def __init__(self, link: ServiceLink) -> None:
        self._link = link

    async def ask(self, home: str, question: bytes, mode: QueryMode, timeout_seconds: float) -> bytes:
        """The home's answer, unchecked.

        Raises UnavailableError with retry advice when the home or the gateway cannot be
        reached, another HealthcodeError when the question was refused.
        """
        stub = GatewayServiceStub(await self._link.channel())
        request = gateway_pb2.AskRequest(
            issuer=home, question=question, mode=enum_number(province_node_pb2.QueryMode, mode)
        )
        try:
            with rpc_errors("the gateway"):
                response = await stub.Ask(request, timeout=timeout_seconds)
        except NotFoundError as error:
            raise UnavailableError(error.message, reason=error.reason) from error
        result = response.WhichOneof("result")
        if result == "answer":
            return response.answer
        if result == "home_unavailable":
            told = response.home_unavailable
            reason = Reason(told.reason) if told.reason in Reason.__members__ else Reason.HOME_UNAVAILABLE
            wait = told.retry_after.ToNanoseconds() / 1e9
            raise UnavailableError(
                f"participant {home} cannot be reached now",
                reason=reason,
                retry_after_seconds=wait or _DEFAULT_RETRY_SECONDS,
            )
        raise InternalError("the gateway answered with nothing that this software knows")
