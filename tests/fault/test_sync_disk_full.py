"""With a full disk a refresh loses nothing that was accepted, and the last good trust serves."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from healthcode.errors import HealthcodeError, Reason
from healthcode.revocation.day import day_of
from healthcode.trust.client import TrustClient
from healthcode.trust.sources.trust_source import FolderSource
from healthcode.trust.store import TrustStore, init_trust
from tests.simulator.disk import EVERY_WRITE, FullDisk
from tests.simulator.fork_server import run_forked
from tests.simulator.realm import SimulatedRealm


def held(folder: Path, realm: SimulatedRealm) -> int:
    """The number of revoked codes in a folder that is opened again; it must be sound."""
    store = TrustStore.open(folder)
    assert store.warnings == ()
    revocations = store.view.issuers["31"].revocations
    assert revocations is not None
    return len(revocations.lists.get(day_of(realm.now + 3_600), ()))


def test_a_disk_that_fills_up_at_any_point_of_a_refresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each write: STORAGE_FULL, the folder has the old or the whole new state, and the next refresh succeeds."""
    folder, realm = tmp_path / "trust", SimulatedRealm(("31",))
    init_trust(folder, realm, realm.fingerprint)
    client = TrustClient(folder, realm)
    client.refresh(realm.now)
    disk = FullDisk(monkeypatch, calls=EVERY_WRITE)
    revoked, point = 0, 0
    reasons: list[Reason] = []
    while True:
        revoked += 1
        realm.revoke("31", revoked, realm.now + 3_600)
        realm.publish_targets()  # so that the whole workflow runs, python-tuf's cache too
        realm.publish_live("31")
        realm.publish()
        with disk.full_after(point):
            try:
                client.refresh(realm.now)
            except HealthcodeError as error:
                reasons.append(error.reason)
        calls = len(disk.calls)
        assert client.passed_over == ()
        assert held(folder, realm) in {revoked - 1, revoked}
        assert client.refresh(realm.now).rejected == ()
        assert held(folder, realm) == revoked
        if calls <= point:
            break
        point += 1
    assert set(reasons) == {Reason.STORAGE_FULL}
    assert len(reasons) >= 10


# as the kernel enforces a quota: no file may grow beyond the limit
LIMITED = """
import resource, sys
from pathlib import Path
from healthcode.errors import HealthcodeError
from healthcode.trust.client import TrustClient
from healthcode.trust.sources.trust_source import FolderSource

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    TrustClient(Path(sys.argv[1]), FolderSource(Path(sys.argv[2]))).refresh(int(sys.argv[4]))
except HealthcodeError as error:
    print(error.reason.value)
"""


def test_a_quota_of_the_kernel_is_told_and_loses_nothing(tmp_path: Path) -> None:
    """A real process that gets EFBIG in the middle of a list says STORAGE_FULL, and its folder is unchanged."""
    folder, mirror, realm = tmp_path / "trust", tmp_path / "mirror", SimulatedRealm(("31",))

    def mirrored() -> FolderSource:
        for path, data in realm.files.items():
            (mirror / path).parent.mkdir(parents=True, exist_ok=True)
            (mirror / path).write_bytes(data)
        return FolderSource(mirror)

    realm.revoke("31", 1, realm.now + 3_600)
    realm.publish_live("31")
    realm.publish()
    init_trust(folder, mirrored(), realm.fingerprint)
    client = TrustClient(folder, FolderSource(mirror))
    client.refresh(realm.now)
    realm.set_list("31", day_of(realm.now + 3_600), [1, *range(977, 40_000_000, 977)])
    realm.publish_live("31")
    realm.publish()
    mirrored()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = run_forked(LIMITED, folder, mirror, "30000", str(realm.now))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["STORAGE_FULL"], done
    assert held(folder, realm) == 1
    client.refresh(realm.now)
    assert held(folder, realm) > 39_000
