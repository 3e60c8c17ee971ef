"""Uploads of lists: what one participant may take of the registry's disk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from healthcode.errors import OverloadedError, Reason
from healthcode.revocation.day import day_of
from healthcode.v1.trust_registry_pb2 import PublishRevocationsRequest
from tests.simulator.realm import NOW
from tests.simulator.registry import Province
from trust_registry.participants.upload import receive_upload

REALM = "test-registry"


async def test_a_head_that_names_more_than_its_share_is_refused_before_a_list_comes(tmp_path: Path) -> None:
    """The quota counts what the head names, so nothing is written first."""
    shanghai = Province("31", REALM)
    shanghai.revoke(day_of(NOW), range(5000))
    metadata, head = shanghai.live_publication(1)
    size = sum(map(len, shanghai.lists.values()))

    async def messages() -> AsyncIterator[PublishRevocationsRequest]:
        yield PublishRevocationsRequest(request_id="1", metadata=metadata, head=head)
        for data in shanghai.lists.values():
            yield PublishRevocationsRequest(list=data)

    with pytest.raises(OverloadedError, match="province_list_bytes") as caught:
        await receive_upload(messages(), tmp_path / "spool", realm=REALM, issuer="31", max_bytes=size - 1)
    assert caught.value.reason is Reason.TOO_LARGE
    assert not (tmp_path / "spool").exists()
    upload = await receive_upload(messages(), tmp_path / "spool", realm=REALM, issuer="31", max_bytes=size)
    assert len(upload.lists) == len(shanghai.lists)
