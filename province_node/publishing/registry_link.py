"""Publishes to the registry: revocation heads with their lists, and province files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from healthcode.rpc.status_mapping import rpc_errors
from healthcode.service.service_link import ServiceLink
from healthcode.v1.trust_registry_pb2 import PublishProvinceRequest, PublishRevocationsRequest
from healthcode.v1.trust_registry_pb2_grpc import TrustRegistryServiceStub
from province_node.publishing.next_head import NextHead

__all__ = ["RegistryLink", "publication_messages"]

PUBLISH_TIMEOUT_SECONDS = 30.0
MAX_PART_BYTES = 8 * 1024 * 1024


class RegistryLink:
    """Publishes over the link to the registry."""

    def __init__(self, link: ServiceLink) -> None:
        self._link = link

    async def publish_revocations(self, head: NextHead) -> None:
        """Sends a head and its new lists. Raises HealthcodeError; ConflictError for a wrong version."""
        stub = TrustRegistryServiceStub(await self._link.channel())
        with rpc_errors("the registry"):
            await stub.PublishRevocations(_stream(head), timeout=PUBLISH_TIMEOUT_SECONDS)

    async def publish_province(self, request_id: str, metadata: bytes, province_json: bytes) -> int:
        """Sends the files that the authority signed; returns the version in force."""
        stub = TrustRegistryServiceStub(await self._link.channel())
        request = PublishProvinceRequest(
            request_id=request_id, metadata=metadata, province_json=province_json
        )
        with rpc_errors("the registry"):
            response = await stub.PublishProvince(request, timeout=PUBLISH_TIMEOUT_SECONDS)
        return int(response.version)


async def _stream(head: NextHead) -> AsyncIterator[PublishRevocationsRequest]:
    for message in publication_messages(head):
        yield message


def publication_messages(head: NextHead) -> Iterator[PublishRevocationsRequest]:
    """First the metadata and the head, then each list, whole or in parts of 8 MiB."""
    yield PublishRevocationsRequest(request_id=head.request_id, metadata=head.metadata, head=head.head)
    for data in head.lists:
        for start in range(0, len(data), MAX_PART_BYTES):
            end = start + MAX_PART_BYTES
            yield PublishRevocationsRequest(list=data[start:end], list_continues=end < len(data))
