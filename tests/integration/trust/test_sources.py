"""Trust over real HTTP, as a node and an edge client follow it: mirrors beside a registry, alone, and after years."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from healthcode.clock import SystemClock
from healthcode.errors import Reason, TrustError
from healthcode.revocation.state import RevocationStatus
from healthcode.service.registry_source import connect_source
from healthcode.service.trust_follower import TrustFollower
from healthcode.signing.purpose import KeyPurpose
from healthcode.telemetry import Metrics
from healthcode.trust.client import TrustClient
from healthcode.trust.format.layout import metadata_file
from healthcode.trust.sources.trust_source import TrustSource
from healthcode.trust.store import TrustStore, init_trust
from tests.simulator.mirror import run_mirror
from tests.simulator.realm import PEM, SimulatedRealm
from tests.world.background import run_all
from tests.world.waiting import until

YEAR = 365 * 86_400


class AheadClock:
    """A clock that is an hour ahead."""

    def now(self) -> int:
        return int(time.time()) + 3_000


@pytest.fixture
def realm() -> SimulatedRealm:
    return SimulatedRealm(now=int(time.time()))


@asynccontextmanager
async def following(
    folder: Path, sources: list[TrustSource], metrics: Metrics, clock: object = None
) -> AsyncIterator[TrustFollower]:
    follower = TrustFollower(
        folder,
        TrustClient(folder, sources),
        None,
        clock=clock or SystemClock(),  # type: ignore[arg-type]  # a clock
        metrics=metrics,
        poll_seconds=0.2,
    )
    follower.open()
    running = asyncio.create_task(run_all(follower.tasks()))
    try:
        yield follower
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    value: float | None = metrics.registry.get_sample_value(name, labels)
    return value


async def test_mirrors_stand_in_for_a_registry_that_is_gone(realm: SimulatedRealm, tmp_path: Path) -> None:
    """Nobody listens at the registry's address; news come by a mirror, and the metrics say so."""
    folder, metrics = tmp_path / "trust", Metrics("mirrors")
    with (
        run_mirror(realm.files) as mirror,
        run_mirror(dict(realm.files)) as frozen,
        connect_source("127.0.0.1:9", ca_pem=PEM) as registry,
    ):
        sources: list[TrustSource] = [registry, frozen.source(), mirror.source()]
        await asyncio.to_thread(init_trust, folder, sources, realm.fingerprint)
        async with following(folder, sources, metrics) as follower:
            await until(lambda: follower.has_view)
            realm.publish()
            await until(lambda: follower.view.snapshot_version == realm.snapshot_version)
    gone = sample(
        metrics,
        "healthcode_trust_source_passed_over_total",
        source=registry.name,
        reason=Reason.TRUST_UNAVAILABLE,
    )
    assert gone is not None
    assert gone >= 1
    assert sample(metrics, "healthcode_trust_clock_ahead_seconds") == 0


def test_files_that_a_source_cannot_give_hold_no_sound_province_back(tmp_path: Path) -> None:
    """A mirror that answers 503 for every file of twelve provinces: what the others revoked is in force at once."""
    realm = SimulatedRealm(now=int(time.time()))
    codes = ("12", "13", "14", "15", "21", "22", "23", "32", "33", "34", "35", "36")
    sound = ("00", "11", "31", "62", "63", "64")
    for code in (*codes, *sound[3:]):
        publish_whole(realm, code)
    realm.publish()
    folder = tmp_path / "trust"
    with run_mirror(realm.files) as mirror:
        init_trust(folder, mirror.source(), realm.fingerprint)
        client = TrustClient(folder, mirror.source())
        client.refresh(realm.now)
        realm.now += 1
        for code in (*codes, *sound):
            realm.revoke(code, 7, realm.now + 3600)
            realm.publish_live(code)
        realm.publish()
        harmed = tuple(f"province-{code}-live" for code in codes)
        mirror.behave = lambda path: unable if any(each in path for each in harmed) else None
        result = client.refresh(realm.now)
    for code in sound:
        state = result.view.issuers[code].revocations
        assert state is not None
        assert state.status(7, realm.now + 3600) is RevocationStatus.REVOKED
    assert {each.participant for each in result.rejected} == set(codes)


def publish_whole(realm: SimulatedRealm, code: str) -> None:
    realm.add_province(code)
    realm.publish_province(code)
    realm.publish_live(code)


def unable(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(503)
    handler.send_header("Content-Length", "0")
    handler.end_headers()


async def test_a_clock_that_is_ahead_is_an_alarm(realm: SimulatedRealm, tmp_path: Path) -> None:
    """The gauge tells by how much, and every verdict can."""
    folder, metrics = tmp_path / "trust", Metrics("clock")
    with run_mirror(realm.files) as mirror:
        await asyncio.to_thread(init_trust, folder, mirror.source(), realm.fingerprint)
        async with following(folder, [mirror.source()], metrics, AheadClock()) as follower:
            await until(lambda: follower.has_view)
            await until(lambda: (sample(metrics, "healthcode_trust_clock_ahead_seconds") or 0) > 2_900)
            assert follower.view.clock_ahead_seconds(AheadClock().now()) > 2_900
    assert TrustStore.open(folder).view.clock_ahead_seconds(AheadClock().now()) > 2_900


def test_two_years_off(realm: SimulatedRealm, tmp_path: Path) -> None:
    """Every key there is was replaced since, some many times: old roots lead on, and what was revoked stays so."""
    folder = tmp_path / "trust"
    with run_mirror(realm.files) as mirror:
        init_trust(folder, mirror.source(), realm.fingerprint)
        client = TrustClient(folder, mirror.source())
        realm.kill("31", b"12345678")
        realm.publish_live("31")
        realm.publish()
        before = client.refresh(realm.now).view
        for month in range(24):
            realm.now += YEAR // 12
            if month % 6 == 0:
                realm.rotate_root(
                    root_keys=[realm.key(f"root {month} {number}") for number in range(3)],
                    operators=[realm.key(f"operator {month} {number}") for number in range(3)],
                )
            realm.rotate_root(
                snapshot_key=realm.key(f"snapshot {month}"), timestamp_key=realm.key(f"timestamp {month}")
            )
            for code in realm.provinces:
                if month % 8 == 0:
                    realm.hand_over(code, f"{month}")
                realm.rotate_key(code, KeyPurpose.QUESTION, f"{month}")
                realm.publish_province(code)
                realm.publish_live(code)
            realm.publish_targets()
            realm.publish_areas({})
            realm.publish()
        result = TrustClient(folder, mirror.source()).refresh(realm.now)
    assert result.rejected == ()
    assert result.view.root_version == 29 > before.root_version
    assert result.view.issuers["31"].province_version == 25
    state = result.view.issuers["31"].revocations
    assert state is not None
    assert b"12345678" in state.head.killed_kids
    assert TrustStore.open(folder).view.timestamp_signed_at == realm.now


def test_a_root_that_was_left_out_stops_the_way(realm: SimulatedRealm, tmp_path: Path) -> None:
    """Without every old root there is no way forward, and no other way in: the last good serves on."""
    folder = tmp_path / "trust"
    init_trust(folder, realm, realm.fingerprint)
    client = TrustClient(folder, realm)
    client.refresh(realm.now)
    for number in range(3):
        realm.rotate_root(timestamp_key=realm.key(f"timestamp {number}"))
        realm.publish()
    del realm.files[metadata_file("root", 3)]
    with pytest.raises(TrustError) as caught:
        client.refresh(realm.now)
    assert caught.value.reason is Reason.SIGNATURE_THRESHOLD
    assert client.open().view.root_version == 1


@pytest.mark.parametrize("after", [0, 1, 5, 20])
def test_a_full_disk_loses_nothing(
    realm: SimulatedRealm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Wherever in a refresh the disk fills up: the reason is told, no source is blamed, the last good serves, and
    with room again the next refresh takes it all, lists from where they were.
    """  # noqa: D205  one sentence
    folder = tmp_path / "trust"
    init_trust(folder, realm, realm.fingerprint)
    client = TrustClient(folder, realm)
    before = client.refresh(realm.now).view
    realm.revoke("31", 7, realm.now + 3_600)
    realm.publish_live("31")
    realm.publish()
    left, real = [after], os.fsync

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrustError, match="No space left") as caught:
        client.refresh(realm.now)
    assert caught.value.reason is Reason.STORAGE_FULL
    assert client.passed_over == ()
    kept = TrustStore.open(folder)
    assert (kept.warnings, kept.view.snapshot_version) == ((), before.snapshot_version)
    monkeypatch.undo()
    realm.fetched.clear()
    assert client.refresh(realm.now).view.snapshot_version == realm.snapshot_version
    assert not any(path.startswith("lists/") for path in realm.fetched)
    assert TrustStore.open(folder).warnings == ()
