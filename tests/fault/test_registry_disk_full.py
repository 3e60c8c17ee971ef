"""With a full disk the registry loses nothing that it acknowledged, and callers get STORAGE_FULL."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.revocation.day import day_of
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import init_trust
from healthcode.trust.verify.roots import root_fingerprint
from healthcode.v1.trust_registry_pb2 import PublishRevocationsRequest
from tests.simulator.disk import FullDisk
from tests.simulator.fork_server import run_forked
from tests.simulator.realm import NOW
from tests.simulator.registry import Province, admit, found_registry
from trust_registry.participants.submission import Publisher
from trust_registry.participants.upload import receive_upload
from trust_registry.registry import Registry

REALM = "test-registry"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    made = found_registry(tmp_path / "registry")
    admit(made, Province("31", REALM))
    return made


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_any_point_of_a_publication(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """At each write: STORAGE_FULL, readers see the old or the whole new state, and a retry succeeds."""
    shanghai = Province("31", REALM)
    source = FolderSource(registry.folder.repository)
    init_trust(
        tmp_path / "trust", source, root_fingerprint(registry.repository.tree.read(metadata_file("root", 1)))
    )
    client = TrustClient(tmp_path / "trust", source)
    publisher = Publisher(registry.repository)

    def publish(version: int, point: int | None = None) -> HealthcodeError | None:
        metadata, head = shanghai.live_publication(version)
        lists = shanghai.spool(tmp_path / "spool")
        try:
            with disk.full_after(point):
                publisher.publish_revocations("31", metadata, head, lists)
        except HealthcodeError as error:
            return error
        return None

    disk = FullDisk(monkeypatch, code)
    publish(1)
    version, point, refused = 1, 0, 0
    while True:
        version += 1
        shanghai.lists.clear()
        shanghai.revoke(day_of(NOW), range(version))
        error = publish(version, point)
        calls = len(disk.calls)
        if error is not None:
            assert error.reason is Reason.STORAGE_FULL
            refused += 1
            before = len(client.refresh(NOW).view.issuers["31"].revocations.lists.get(day_of(NOW), ()))
            assert before in {version - 1 if version > 2 else 0, version}
            assert publish(version) is None  # there is room again
        result = client.refresh(NOW)
        assert not result.rejected
        assert len(result.view.issuers["31"].revocations.lists[day_of(NOW)]) == version
        if calls <= point:
            break
        point += 1
    assert refused == point
    assert refused >= 10


# a disk quota as the kernel enforces it: no file may grow beyond the limit
LIMITED = """
import resource, sys
from pathlib import Path
from healthcode.errors import HealthcodeError
from healthcode.revocation.day import day_of
from tests.simulator.realm import NOW
from trust_registry.registry import open_registry
from tests.simulator.registry import Province
from tests.world.clock import ManualClock
from trust_registry.layout import RegistryFolder
from trust_registry.participants.submission import Publisher

registry = open_registry(RegistryFolder(Path(sys.argv[1])), ManualClock(), {})
shanghai = Province("31", "test-registry")
metadata, data = shanghai.publication(2, name="under a quota")
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    Publisher(registry.repository).publish_province("31", metadata, data)
except HealthcodeError as error:
    print(error.reason.value)
"""


def test_a_quota_of_the_kernel_is_told_and_loses_nothing(registry: Registry) -> None:
    """When RLIMIT_FSIZE stops a real process half way, it says STORAGE_FULL and the tree is unchanged."""
    before = registry.repository.published().versions
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = run_forked(LIMITED, registry.folder.root, "600")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["STORAGE_FULL"]
    assert registry.repository.published().versions == before
    assert not list(registry.folder.repository.rglob("*.partial"))
    metadata, data = Province("31", REALM).publication(2, name="under a quota")
    assert Publisher(registry.repository).publish_province("31", metadata, data).version == 2


async def test_an_upload_that_finds_no_room_is_told_and_leaves_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that cannot be spooled gets STORAGE_FULL, and its spool is removed."""
    shanghai = Province("31", REALM)
    shanghai.revoke(day_of(NOW), range(50))
    metadata, head = shanghai.live_publication(1)

    async def messages():
        yield PublishRevocationsRequest(request_id="1", metadata=metadata, head=head)
        for data in shanghai.lists.values():
            yield PublishRevocationsRequest(list=data)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("mkdir", "open"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, name, full)
            with pytest.raises(HealthcodeError) as refused:
                await receive_upload(messages(), registry.folder.repository, realm=REALM, issuer="31")
        assert refused.value.reason is Reason.STORAGE_FULL
    assert not list(registry.folder.repository.glob(".upload-*"))
